//! Keeps the policies in the cluster as they were approved. It decides nothing: the engine makes the plan.
//! It is a task of its own, so that break-glass takes effect within a second while the engine computes.

mod diff;
#[cfg(test)]
mod tests;
pub use diff::{Diff, DriftMemory, PolicyWrite, build_policy, diff};

use super::break_glass::BreakGlass;
use super::plan::{EnforcerReport, Plan};
use crate::cluster::live::{Kind, Watches, Writer};
use crate::net::{Outages, Timestamp};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// How long to wait before writes that failed or were put off are tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// The enforcer and what it needs.
pub struct Enforcer {
    pub watches: Arc<Watches>,
    pub writer: Writer,
    pub plan: watch::Receiver<Option<Arc<Plan>>>,
    pub reports: mpsc::UnboundedSender<EnforcerReport>,
    pub break_glass: BreakGlass,
    pub now: fn() -> Timestamp,
    pub outages: Outages,
}

impl Enforcer {
    /// Runs until `stop` turns true.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut memory =
            DriftMemory::default().with_break_glass(self.break_glass.reasons().clone());
        let mut changed = self.watches.changed();
        let (mut unfinished, mut replanned, mut seen) = (false, true, None);
        while !*stop.borrow() {
            // Most changes in a cluster concern neither namespaces nor policies.
            let generations = [Kind::Namespace, Kind::NetworkPolicy];
            let now = Some(generations.map(|kind| self.watches.generation_of(kind)));
            if unfinished || std::mem::take(&mut replanned) || seen != now {
                seen = now;
                unfinished = self.round(&mut memory).await;
            }
            let again = async {
                if unfinished {
                    tokio::time::sleep(AGAIN).await
                } else {
                    std::future::pending().await
                }
            };
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => {}
                changed = self.plan.changed() => match changed {
                    Ok(()) => replanned = true,
                    Err(_) => return,
                },
                changed = changed.changed() => if changed.is_err() { return },
                () = again => {}
            }
        }
    }

    /// Compares everything once and writes what differs. Returns true if something is left to do.
    async fn round(&mut self, memory: &mut DriftMemory) -> bool {
        let Some(plan) = self.plan.borrow_and_update().clone() else {
            return false;
        };
        // Nothing is done while the inventory may be out of date (rule: no-write-when-in-doubt).
        if self.watches.check().is_err() {
            return true;
        }
        let now = (self.now)();
        let (namespaces, policies) = (self.watches.namespaces(), self.watches.policies());
        let Diff {
            writes,
            reports,
            later,
        } = diff(&plan, &namespaces, &policies, memory, now);
        tokio::task::block_in_place(|| self.break_glass.log(&reports));
        for report in reports {
            let _ = self.reports.send(report);
        }
        let mut failed = false;
        for write in writes {
            failed |= !self.take(write, memory).await;
        }
        failed || later
    }

    /// Carries one write out and reports it. Returns true if it worked.
    async fn take(&mut self, write: PolicyWrite, memory: &mut DriftMemory) -> bool {
        let result = match &write {
            PolicyWrite::Apply { policy, .. } => {
                let written = self.writer.apply_policy(policy).await;
                written.map(|written| Some(written.object.metadata))
            }
            PolicyWrite::Delete {
                namespace,
                name,
                uid,
                ..
            } => {
                let deleted = self.writer.delete_policy(namespace, name, Some(uid)).await;
                deleted.map(|_| None)
            }
        };
        let now = (self.now)();
        match result {
            Ok(written) => {
                memory.done(&write, written.as_ref());
                if let Some(over) = self.outages.worked(&write.to_string(), now) {
                    tracing::info!(step = %write, "it worked {over}");
                }
                if let Some(report) = write.report(now) {
                    let _ = self.reports.send(report);
                }
                true
            }
            Err(error) => {
                // (rule: logs-tell-changes)
                let why = error.to_string();
                if self.outages.failed(&write.to_string(), &why, now) {
                    tracing::warn!(step = %write, "{why}; it is tried again");
                }
                let _ = self.reports.send(write.failed(error.to_string(), now));
                false
            }
        }
    }
}
