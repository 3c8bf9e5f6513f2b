//! GitOps: writes the approved policies to a folder, and compares them with the cluster. A GitOps tool commits and
//! applies the folder; nothing is written to the cluster from here.

use super::break_glass::{BreakGlass, reason};
use super::enforcer::{DriftMemory, PolicyWrite, build_policy, diff};
use super::plan::{Desired, EnforcerReport, Plan, PlannedPolicy};
use crate::cluster::live::Watches;
use crate::inventory::WorkloadId;
use crate::net::Timestamp;
use crate::policy::render_kustomization;
use crate::review::Digest;
use crate::store::{FolderError, OutputFolder};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// How long to wait before a failed write is tried again.
const AGAIN: Duration = Duration::from_secs(5);

/// The exporter and what it needs.
pub struct Exporter {
    watches: Arc<Watches>,
    root: PathBuf,
    plan: watch::Receiver<Option<Arc<Plan>>>,
    reports: mpsc::UnboundedSender<EnforcerReport>,
    now: fn() -> Timestamp,
    break_glass: BreakGlass,
    /// The workload of each file at the last export, by name, to find those that are gone.
    exported: BTreeMap<PathBuf, WorkloadId>,
    failure: Option<String>,
}

/// The files of a folder, by name, and the workload of each.
struct Files {
    contents: BTreeMap<PathBuf, Vec<u8>>,
    owners: BTreeMap<PathBuf, (WorkloadId, Digest)>,
}

impl Exporter {
    pub fn new(
        watches: Arc<Watches>,
        root: &Path,
        plan: watch::Receiver<Option<Arc<Plan>>>,
        reports: mpsc::UnboundedSender<EnforcerReport>,
        break_glass: BreakGlass,
        now: fn() -> Timestamp,
    ) -> Exporter {
        Exporter {
            watches,
            root: root.to_owned(),
            plan,
            reports,
            now,
            break_glass,
            exported: BTreeMap::new(),
            failure: None,
        }
    }

    /// Runs until `stop` turns true.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut memory =
            DriftMemory::report_only().with_break_glass(self.break_glass.reasons().clone());
        let mut changed = self.watches.changed();
        while !*stop.borrow() {
            let unfinished = !tokio::task::block_in_place(|| self.round(&mut memory));
            let again = async {
                if unfinished {
                    tokio::time::sleep(AGAIN).await
                } else {
                    std::future::pending().await
                }
            };
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => {}
                changed = self.plan.changed() => if changed.is_err() { return },
                changed = changed.changed() => if changed.is_err() { return },
                () = again => {}
            }
        }
    }

    /// Writes the files that differ, and reports what the cluster has. Returns true if it worked.
    fn round(&mut self, memory: &mut DriftMemory) -> bool {
        let Some(plan) = self.plan.borrow_and_update().clone() else {
            return true;
        };
        if self.watches.check().is_err() {
            return false;
        }
        let now = (self.now)();
        let (namespaces, policies) = (self.watches.namespaces(), self.watches.policies());
        let open = namespaces
            .iter()
            .filter(|namespace| reason(namespace).is_some());
        let open = open.filter_map(|n| n.metadata.name.as_deref()).collect();
        let seen = diff(&plan, &namespaces, &policies, memory, now);
        self.break_glass.log(&seen.reports);
        let wrote = self.export(&plan, &open, now);
        for report in seen.reports {
            let _ = self.reports.send(report);
        }
        // The GitOps tool has not applied these yet: the watch will show when it has.
        for write in &seen.writes {
            if let PolicyWrite::Apply { .. } = write {
                tracing::debug!(step = %write, "waits for the GitOps tool");
            }
        }
        wrote
    }

    fn export(&mut self, plan: &Plan, open: &BTreeSet<&str>, now: Timestamp) -> bool {
        let files = build_files(plan, open);
        match OutputFolder::new(&self.root).replace(&files.contents) {
            Ok(summary) => {
                if self.failure.take().is_some() {
                    tracing::info!("the folder {} can be written again", self.root.display());
                }
                self.report_changes(&files, &summary.written, now);
                true
            }
            Err(error) => {
                self.fail(&error, &files, now);
                false
            }
        }
    }

    fn report_changes(&mut self, files: &Files, new: &[PathBuf], now: Timestamp) {
        for (workload, digest) in new.iter().filter_map(|name| files.owners.get(name)) {
            self.send(workload, Some(digest.clone()), now);
        }
        for (name, workload) in &self.exported {
            if !files.owners.contains_key(name) {
                self.send(workload, None, now);
            }
        }
        let owners = files.owners.iter();
        self.exported = owners
            .map(|(name, (workload, _))| (name.clone(), workload.clone()))
            .collect();
    }

    fn send(&self, workload: &WorkloadId, policy: Option<Digest>, at: Timestamp) {
        let workload = workload.clone();
        let _ = self.reports.send(EnforcerReport::Exported {
            workload,
            policy,
            at,
        });
    }

    /// Reports once why the folder could not be written, for every workload with a file in it.
    fn fail(&mut self, error: &FolderError, files: &Files, now: Timestamp) {
        let why = error.to_string();
        if self.failure.as_ref() == Some(&why) {
            return;
        }
        tracing::error!("{why}");
        for (workload, _) in files.owners.values() {
            let _ = self.reports.send(EnforcerReport::Failed {
                workload: workload.clone(),
                why: why.clone(),
                at: now,
            });
        }
        self.failure = Some(why);
    }
}

/// Returns one file per policy, `NAMESPACE/POLICY.yaml`, and the kustomization that lists them.
fn build_files(plan: &Plan, open: &BTreeSet<&str>) -> Files {
    let mut files = Files {
        contents: BTreeMap::new(),
        owners: BTreeMap::new(),
    };
    let mut names = Vec::new();
    let closed = plan
        .namespaces
        .iter()
        .filter(|(namespace, _)| !open.contains(namespace.as_str()));
    for (namespace, wanted) in closed {
        for (
            name,
            PlannedPolicy {
                workload, desired, ..
            },
        ) in &wanted.policies
        {
            let Desired::Present { digest, spec, .. } = desired else {
                continue;
            };
            let policy = build_policy(&(namespace.clone(), name.clone()), digest, spec);
            // A policy is plain data: serde cannot fail on it.
            let Ok(text) = serde_yaml::to_string(&policy) else {
                continue;
            };
            let file = format!("{namespace}/{name}.yaml");
            files
                .contents
                .insert(file.clone().into(), text.into_bytes());
            let owner = (workload.clone(), digest.clone());
            files.owners.insert(file.clone().into(), owner);
            names.push(file);
        }
    }
    let kustomization = render_kustomization(&names).into_bytes();
    files
        .contents
        .insert("kustomization.yaml".into(), kustomization);
    files
}
