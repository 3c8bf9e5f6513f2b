//! Compares the plan with the cluster: what differs, and which writes put it right. No clock, no I/O.

use crate::controller::break_glass::{policies_to_delete, reason};
use crate::controller::pending_writes::{Key, PendingWrites, key_of};
use crate::controller::plan::{Desired, EnforcerReport, NamespacePlan, Plan, PlannedPolicy};
use crate::inventory::kubernetes::Namespace;
use crate::inventory::{MANAGED_BY, WorkloadId, is_ours};
use crate::net::Timestamp;
use crate::record::{Digest, Drift};
use crate::review::resources::REVISION;
use crate::review::{RepairBackoff, break_glass_changed_by, policy_digest};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// One write of a policy.
#[derive(Debug, Clone, PartialEq)]
pub enum PolicyWrite {
    Apply {
        wanted: PlannedPolicy,
        policy: Box<NetworkPolicy>,
        /// What differed and the digest found, if the policy had been in the cluster as planned: then somebody else
        /// changed it.
        drift: Option<(Drift, Option<Digest>)>,
    },
    Delete {
        /// `None` if break-glass deletes it.
        wanted: Option<PlannedPolicy>,
        namespace: String,
        name: String,
        uid: String,
        drift: bool,
    },
}

/// What differs between plan and cluster.
#[derive(Debug, Default, PartialEq)]
pub struct Diff {
    pub writes: Vec<PolicyWrite>,
    pub reports: Vec<EnforcerReport>,
    /// Something was put off, so the comparison has to be repeated.
    pub later: bool,
}

/// What is remembered between two comparisons.
#[derive(Debug, Default)]
pub struct DriftMemory {
    /// Somebody else writes the policies (GitOps): drift is reported and not repaired.
    report_only: bool,
    /// Why break-glass is on, by namespace.
    break_glass: BTreeMap<String, String>,
    /// Policies that break-glass deleted and that are not back yet. The plan may not show that: the engine may take
    /// longer than the second in which break-glass can be turned off again.
    taken_away: BTreeSet<Key>,
    /// Our writes that the watch does not show yet.
    pending: PendingWrites,
    backoffs: BTreeMap<Key, RepairBackoff>,
    /// Drift that was reported and not repaired.
    reported: BTreeMap<Key, String>,
}

impl DriftMemory {
    /// For the GitOps exporter, which never writes to the cluster.
    pub fn report_only() -> DriftMemory {
        DriftMemory {
            report_only: true,
            ..DriftMemory::default()
        }
    }

    /// Adds why break-glass was on in namespaces when this leader began. If it was turned off while nobody led,
    /// the first comparison reports that.
    pub fn with_break_glass(mut self, reasons: BTreeMap<String, String>) -> DriftMemory {
        self.break_glass = reasons;
        self
    }

    /// Notes that a write succeeded. `written`: the metadata of an applied policy as the API server returned it.
    pub fn done(&mut self, write: &PolicyWrite, written: Option<&ObjectMeta>) {
        match write {
            PolicyWrite::Apply { .. } => {
                if let Some(written) = written {
                    self.pending.wrote(written);
                }
            }
            PolicyWrite::Delete {
                wanted,
                namespace,
                name,
                uid,
                ..
            } => {
                let key = (namespace.clone(), name.clone());
                if wanted.is_none() {
                    self.taken_away.insert(key.clone());
                }
                self.pending.deleted(key, uid.clone());
            }
        }
    }
}

/// Compares the plan with the cluster.
pub fn diff(
    plan: &Plan,
    namespaces: &[Arc<Namespace>],
    policies: &[Arc<NetworkPolicy>],
    memory: &mut DriftMemory,
    now: Timestamp,
) -> Diff {
    let mut diff = Diff::default();
    let live: BTreeMap<Key, &NetworkPolicy> = policies
        .iter()
        .map(|p| (key_of(&p.metadata), p.as_ref()))
        .collect();
    for namespace in namespaces {
        let name = namespace.metadata.name.clone().unwrap_or_default();
        match reason(namespace) {
            Some(reason) => {
                let metadata = &namespace.metadata;
                break_glass_on(metadata, reason, &live, plan, memory, now, &mut diff);
            }
            None => {
                if memory.break_glass.remove(&name).is_some() {
                    diff.reports.push(break_glass_off(&namespace.metadata, now));
                }
                // The API server refuses writes in a namespace that is being deleted.
                let ends = namespace.metadata.deletion_timestamp.is_some();
                if let Some(plan) = plan.namespaces.get(&name).filter(|_| !ends) {
                    compare(&name, plan, &live, memory, now, &mut diff);
                }
            }
        }
    }
    diff
}

fn break_glass_off(namespace: &ObjectMeta, at: Timestamp) -> EnforcerReport {
    EnforcerReport::BreakGlass {
        namespace: namespace.name.clone().unwrap_or_default(),
        reason: None,
        by: break_glass_changed_by(namespace),
        deleted: 0,
        at,
    }
}

/// Deletes every policy of ours in the namespace, and reports once that break-glass is on, and again if its reason
/// changes.
fn break_glass_on(
    metadata: &ObjectMeta,
    reason: &str,
    live: &BTreeMap<Key, &NetworkPolicy>,
    plan: &Plan,
    memory: &mut DriftMemory,
    now: Timestamp,
    diff: &mut Diff,
) {
    let namespace = metadata.name.as_deref().unwrap_or_default();
    let planned = plan.namespaces.get(namespace);
    let doomed = policies_to_delete(namespace, planned, live, &mut memory.pending);
    let deleted = doomed.len();
    for key in doomed {
        let uid = live
            .get(&key)
            .and_then(|policy| policy.metadata.uid.clone());
        let (namespace, name) = key;
        diff.writes.push(PolicyWrite::Delete {
            wanted: None,
            namespace,
            name,
            uid: uid.unwrap_or_default(),
            drift: false,
        });
    }
    let known = memory
        .break_glass
        .insert(namespace.to_owned(), reason.to_owned());
    if known.as_deref() != Some(reason) {
        diff.reports.push(EnforcerReport::BreakGlass {
            namespace: namespace.to_owned(),
            reason: Some(reason.to_owned()),
            by: break_glass_changed_by(metadata),
            deleted,
            at: now,
        });
    }
}

fn compare(
    namespace: &str,
    plan: &NamespacePlan,
    live: &BTreeMap<Key, &NetworkPolicy>,
    memory: &mut DriftMemory,
    now: Timestamp,
    diff: &mut Diff,
) {
    for (name, wanted) in &plan.policies {
        let key = (namespace.to_owned(), name.clone());
        let found = live.get(&key).copied();
        if memory.pending.is_behind(&key, found.map(|f| &f.metadata)) {
            diff.later = true;
            continue;
        }
        let problem = difference(wanted, found);
        let Some(what) = problem else {
            memory.taken_away.remove(&key);
            let had_trouble = memory.reported.remove(&key).is_some();
            if !wanted.was_applied || had_trouble {
                diff.reports.push(in_place(wanted, now, false));
            }
            continue;
        };
        if let Some(found) = found.filter(|policy| !is_ours(&policy.metadata)) {
            foreign(&key, wanted, found, memory, now, diff);
            continue;
        }
        let was_applied = wanted.was_applied && !memory.taken_away.contains(&key);
        if was_applied && memory.report_only {
            report_drift(&key, wanted, what, None, memory, now, diff);
            continue;
        }
        if was_applied && put_off(&key, wanted, what, memory, now, diff) {
            continue;
        }
        memory.reported.remove(&key);
        let drift = was_applied.then(|| (what, found.and_then(digest_of)));
        diff.writes.extend(write(&key, wanted, found, drift));
    }
}

/// Returns how the policy in the cluster differs from the planned one. `None`: it does not.
fn difference(wanted: &PlannedPolicy, found: Option<&NetworkPolicy>) -> Option<Drift> {
    match (&wanted.desired, found) {
        (Desired::Absent, None) => None,
        (Desired::Absent, Some(policy)) => is_ours(&policy.metadata).then_some(Drift::Unwanted),
        (Desired::Present { .. }, None) => Some(Drift::Deleted),
        (Desired::Present { digest, .. }, Some(policy)) => match digest_of(policy) {
            Some(found) if found == *digest && is_ours(&policy.metadata) => None,
            _ if !is_ours(&policy.metadata) => Some(Drift::LabelChanged),
            _ => Some(Drift::SpecChanged),
        },
    }
}

/// Reports once that a policy of that name is not ours. It is never written.
fn foreign(
    key: &Key,
    wanted: &PlannedPolicy,
    found: &NetworkPolicy,
    memory: &mut DriftMemory,
    now: Timestamp,
    diff: &mut Diff,
) {
    let name = found.metadata.name.as_deref().unwrap_or_default();
    let why = format!(
        "a policy {name} is there that does not carry {}={}: it is left alone; rename it, or give it back the label",
        MANAGED_BY.0, MANAGED_BY.1
    );
    if memory.reported.insert(key.clone(), why.clone()).as_deref() != Some(why.as_str()) {
        diff.reports.push(EnforcerReport::Failed {
            workload: wanted.workload.clone(),
            why,
            at: now,
        });
    }
}

/// Returns true if the next repair has to wait, since somebody keeps changing the policy. Reports that once.
fn put_off(
    key: &Key,
    wanted: &PlannedPolicy,
    what: Drift,
    memory: &mut DriftMemory,
    now: Timestamp,
    diff: &mut Diff,
) -> bool {
    let backoff = memory.backoffs.entry(key.clone()).or_default();
    let until = match backoff.ask(now) {
        None => return false,
        Some(until) => until,
    };
    diff.later = true;
    report_drift(key, wanted, what, Some(until), memory, now, diff);
    true
}

/// Reports once that a policy differs and is not repaired before `until`, or not at all.
fn report_drift(
    key: &Key,
    wanted: &PlannedPolicy,
    what: Drift,
    until: Option<Timestamp>,
    memory: &mut DriftMemory,
    now: Timestamp,
    diff: &mut Diff,
) {
    let reported = memory.reported.insert(key.clone(), what.to_string());
    if reported != Some(what.to_string()) {
        diff.reports.push(EnforcerReport::Drifted {
            workload: wanted.workload.clone(),
            drift: what,
            until,
            at: now,
        });
    }
}

fn write(
    key: &Key,
    wanted: &PlannedPolicy,
    found: Option<&NetworkPolicy>,
    drift: Option<(Drift, Option<Digest>)>,
) -> Option<PolicyWrite> {
    match &wanted.desired {
        Desired::Present { digest, spec, .. } => Some(PolicyWrite::Apply {
            wanted: wanted.clone(),
            policy: Box::new(build_policy(key, digest, spec)),
            drift,
        }),
        Desired::Absent => Some(PolicyWrite::Delete {
            wanted: Some(wanted.clone()),
            namespace: key.0.clone(),
            name: key.1.clone(),
            uid: found?.metadata.uid.clone().unwrap_or_default(),
            drift: drift.is_some(),
        }),
    }
}

/// Returns the object to apply, with only those fields that we own.
pub fn build_policy(
    (namespace, name): &Key,
    digest: &Digest,
    spec: &k8s_openapi::api::networking::v1::NetworkPolicySpec,
) -> NetworkPolicy {
    let (label, value) = MANAGED_BY;
    NetworkPolicy {
        metadata: ObjectMeta {
            namespace: Some(namespace.clone()),
            name: Some(name.clone()),
            labels: Some(BTreeMap::from([(label.to_owned(), value.to_owned())])),
            annotations: Some(BTreeMap::from([(REVISION.to_owned(), digest.to_string())])),
            ..ObjectMeta::default()
        },
        spec: Some(spec.clone()),
    }
}

impl PolicyWrite {
    /// Returns the report of the write after it succeeded. `None` for break-glass, which is reported before.
    pub fn report(&self, at: Timestamp) -> Option<EnforcerReport> {
        match self {
            PolicyWrite::Apply {
                wanted,
                drift: Some((what, found)),
                ..
            } => Some(EnforcerReport::Repaired {
                workload: wanted.workload.clone(),
                drift: *what,
                found: found.clone(),
                wanted: wanted.digest(),
                at,
            }),
            PolicyWrite::Delete {
                wanted: Some(wanted),
                drift: true,
                ..
            } => Some(EnforcerReport::Repaired {
                workload: wanted.workload.clone(),
                drift: Drift::Unwanted,
                found: None,
                wanted: None,
                at,
            }),
            PolicyWrite::Apply { wanted, .. }
            | PolicyWrite::Delete {
                wanted: Some(wanted),
                ..
            } => Some(in_place(wanted, at, true)),
            PolicyWrite::Delete { wanted: None, .. } => None,
        }
    }

    /// Returns the report of the write after it failed.
    pub fn failed(&self, why: String, at: Timestamp) -> EnforcerReport {
        let workload = match self {
            PolicyWrite::Apply { wanted, .. }
            | PolicyWrite::Delete {
                wanted: Some(wanted),
                ..
            } => wanted.workload.clone(),
            PolicyWrite::Delete {
                namespace, name, ..
            } => WorkloadId {
                namespace: namespace.clone(),
                name: name.clone(),
                kind: "NetworkPolicy".into(),
            },
        };
        EnforcerReport::Failed { workload, why, at }
    }
}

impl fmt::Display for PolicyWrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PolicyWrite::Apply { policy, .. } => {
                let (namespace, name) = key_of(&policy.metadata);
                write!(f, "apply {namespace}/{name}")
            }
            PolicyWrite::Delete {
                namespace, name, ..
            } => write!(f, "delete {namespace}/{name}"),
        }
    }
}

impl PlannedPolicy {
    fn digest(&self) -> Option<Digest> {
        match &self.desired {
            Desired::Present { digest, .. } => Some(digest.clone()),
            Desired::Absent => None,
        }
    }
}

fn in_place(wanted: &PlannedPolicy, at: Timestamp, wrote: bool) -> EnforcerReport {
    EnforcerReport::InPlace {
        workload: wanted.workload.clone(),
        revision: wanted.desired.revision(),
        at,
        wrote,
    }
}

fn digest_of(policy: &NetworkPolicy) -> Option<Digest> {
    policy.spec.as_ref().map(policy_digest)
}
