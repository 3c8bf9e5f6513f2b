//! The leader's work: what operators and traffic say → state and record, on the disk first → plan, proposals,
//! answers and conditions. One task; [`Engine::cycle`] is its table of contents.

mod decide;
mod hear;
mod housekeeping;
mod judge;
mod ledger;
mod planning;
mod publish;
mod segments;
mod sight;
mod status;
mod tell;
mod wish;

pub use ledger::{Ledger, LedgerError};
pub use sight::Sight;

use super::ahead::Ahead;
use super::plan::{Plan, Report};
use super::vitals::Vitals;
use crate::cluster::live::{Events, Watches, WriteError, Writer};
use crate::flow::FlowBatch;
use crate::net::Timestamp;
use crate::review::record::Entry;
use crate::store::ReviewStore;
use hear::Troubles;
use housekeeping::Housekeeping;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// How often what depends on time is looked at, and what could not be written is tried again.
const TICK: Duration = Duration::from_secs(1);
/// The engine rests as long as its last cycle took, at most so long: then half of one core is its limit
/// where much happens.
const LONGEST_REST: Duration = Duration::from_secs(2);

/// What the engine works with.
pub struct Parts {
    pub watches: Arc<Watches>,
    pub writer: Writer,
    pub events: Events,
    pub store: ReviewStore,
    pub ledger: Ledger,
    pub sight: Sight,
    pub plan: watch::Sender<Option<Arc<Plan>>>,
    pub reports: mpsc::UnboundedReceiver<Report>,
    pub heard: mpsc::Receiver<FlowBatch>,
    pub vitals: Arc<Vitals>,
    /// How long pods that are gone are kept.
    pub retention: Duration,
    pub now: fn() -> Timestamp,
}

/// See the module.
pub struct Engine {
    parts: Parts,
    housekeeping: Housekeeping,
    troubles: Troubles,
    /// Segmentations that cannot be understood, by namespace.
    errors: BTreeMap<String, String>,
    /// Why a namespace cannot be proposed for.
    problems: BTreeMap<String, String>,
    proposals_ahead: Ahead,
    decisions_ahead: Ahead,
    segmentations_ahead: Ahead,
    /// Something was not written, on the disk or in the cluster.
    unfinished: bool,
    /// When a namespace will have been watched for long enough.
    due: Option<Timestamp>,
}

impl Engine {
    pub fn new(parts: Parts) -> Engine {
        Engine {
            housekeeping: Housekeeping::new(parts.retention),
            parts,
            troubles: Troubles::default(),
            errors: BTreeMap::new(),
            problems: BTreeMap::new(),
            proposals_ahead: Ahead::default(),
            decisions_ahead: Ahead::default(),
            segmentations_ahead: Ahead::default(),
            unfinished: true,
            due: None,
        }
    }

    /// Works until `stop` turns true.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut changed = self.parts.watches.changed();
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !*stop.borrow() {
            let is_due = tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                changed = changed.changed() => match changed { Ok(()) => true, Err(_) => return },
                batch = self.parts.heard.recv() => match batch {
                    Some(batch) => { self.parts.sight.hear(batch); true }
                    None => return,
                },
                report = self.parts.reports.recv() => match report {
                    Some(report) => { self.hear(&report); true }
                    None => return,
                },
                _ = tick.tick() => self.is_due(),
            };
            if is_due {
                let began = Instant::now();
                self.take_what_waits();
                self.cycle().await;
                let took = began.elapsed();
                self.parts.vitals.cycle(took);
                tokio::select! {
                    _ = stop.wait_for(|stop| *stop) => return,
                    () = tokio::time::sleep(took.min(LONGEST_REST)) => {}
                }
            }
        }
    }

    fn is_due(&self) -> bool {
        let now = (self.parts.now)();
        self.unfinished || self.due.is_some_and(|due| now >= due) || self.housekeeping.is_due(now)
    }

    /// All batches and reports that wait already: one cycle for all of them.
    fn take_what_waits(&mut self) {
        while let Ok(batch) = self.parts.heard.try_recv() {
            self.parts.sight.hear(batch);
        }
        while let Ok(report) = self.parts.reports.try_recv() {
            self.hear(&report);
        }
    }

    fn hear(&mut self, report: &Report) {
        self.parts.vitals.heard(report);
        hear::hear(&mut self.parts.ledger, &mut self.troubles, report);
    }

    async fn cycle(&mut self) {
        let now = (self.parts.now)();
        let stale = self.parts.watches.check();
        self.parts.vitals.stale(stale.is_err());
        self.unfinished = false;
        if let Err(stale) = stale {
            // What the enforcer did is kept; nothing is concluded from what may not be true any more.
            tracing::debug!("no cycle: {stale}");
            self.unfinished = true;
            self.commit(now);
            return;
        }
        let entries = tokio::task::block_in_place(|| {
            self.conclude(now);
            self.housekeeping.run(&mut self.parts, now);
            self.commit(now)
        });
        // Nothing reaches the cluster that is not on the disk.
        let Some(entries) = entries else { return };
        self.publish_plan();
        self.publish(now).await;
        tell::tell(&entries, &self.parts.watches, &self.parts.events).await;
    }

    /// Segmentations, edits, decisions and traffic → what is wanted.
    fn conclude(&mut self, now: Timestamp) {
        let Parts {
            watches,
            ledger,
            sight,
            vitals,
            ..
        } = &mut self.parts;
        let proposals = watches.proposals();
        let (errors, mut changed) = segments::take_segments(ledger, &watches.segmentations(), now);
        self.errors = errors;
        changed |= decide::take_edits(ledger, &proposals) > 0;
        changed |= decide::take_decisions(ledger, &watches.decisions(), &proposals, now) > 0;
        changed |= sight.look(watches);
        changed |= self.due.is_some_and(|due| now >= due);
        if changed {
            let mut in_force = judge::InForce::build(ledger, sight);
            let violations = judge::find_violations(ledger, sight, &in_force);
            if !judge::undo_harmful(ledger, sight, &in_force, now).is_empty() {
                in_force = judge::InForce::build(ledger, sight);
            }
            self.problems = wish::propose(ledger, sight, &in_force, &violations, now);
            segments::retire_gone(ledger, &sight.inventory, now);
            self.due = segments::next_due(ledger, now);
            vitals.concluded(ledger, sight, &violations);
        }
        segments::forget_left(ledger);
    }

    /// Everything new onto the disk. `None` if it refuses: it is tried again.
    fn commit(&mut self, now: Timestamp) -> Option<Vec<Entry>> {
        match self.parts.ledger.commit(&mut self.parts.store, now) {
            Ok(entries) => {
                self.parts.vitals.committed(&entries);
                Some(entries)
            }
            Err(error) => {
                tracing::error!("{error}");
                self.parts.vitals.commit_failed(error.to_string());
                self.unfinished = true;
                None
            }
        }
    }

    fn publish_plan(&mut self) {
        let plan = planning::build_plan(&self.parts.ledger);
        self.parts.plan.send_if_modified(|known| {
            let is_new = known.as_deref() != Some(&plan);
            if is_new {
                *known = Some(Arc::new(plan));
            }
            is_new
        });
    }

    /// Proposals, answers and conditions into the cluster.
    async fn publish(&mut self, now: Timestamp) {
        // Not all of the parts may be looked at from two threads.
        let Parts {
            ledger,
            writer,
            watches,
            sight,
            ..
        } = &self.parts;
        let live = watches.proposals();
        let mut errors =
            publish::publish_proposals(ledger, &live, writer, &mut self.proposals_ahead).await;
        let decisions = watches.decisions();
        errors.extend(
            publish::publish_answers(ledger, &decisions, writer, &mut self.decisions_ahead).await,
        );
        let around = status::Circumstances {
            sight,
            troubles: &self.troubles,
            errors: &self.errors,
            problems: &self.problems,
            now,
        };
        let segmentations = watches.segmentations();
        let ahead = &mut self.segmentations_ahead;
        errors.extend(status::publish(ledger, &segmentations, &around, writer, ahead).await);
        for error in errors {
            // It changed meanwhile, or went: the watch tells, and the next cycle looks again.
            if !matches!(error, WriteError::Conflict { .. } | WriteError::Gone { .. }) {
                tracing::warn!("{error}");
            }
            self.unfinished = true;
        }
    }
}
