//! One look at the cluster: what is not as it shall be, and what is to be done about it. Pure.

use crate::controller::pending_writes::{Key, PendingWrites, key_of};
use crate::controller::plan::{Desired, EnforcerReport, NamespacePlan, Plan, PlannedPolicy};
use crate::inventory::kubernetes::Namespace;
use crate::inventory::{MANAGED_BY, WorkloadId};
use crate::net::Timestamp;
use crate::review::resources::{BREAK_GLASS, REVISION};
use crate::review::{Digest, RepairBackoff};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// A write.
#[derive(Debug, Clone, PartialEq)]
pub enum PolicyWrite {
    Apply {
        wanted: PlannedPolicy,
        policy: Box<NetworkPolicy>,
        /// What was there of it, if it had been as it shall be.
        drift: Option<(String, Option<Digest>)>,
    },
    Delete {
        /// `None`: to break the glass.
        wanted: Option<PlannedPolicy>,
        namespace: String,
        name: String,
        uid: String,
        drift: bool,
    },
}

/// What a look comes to.
#[derive(Debug, Default, PartialEq)]
pub struct Diff {
    pub writes: Vec<PolicyWrite>,
    pub reports: Vec<EnforcerReport>,
    /// Something was put off.
    pub later: bool,
}

/// What is remembered between looks.
#[derive(Debug, Default)]
pub struct DriftMemory {
    /// Somebody else writes the policies (GitOps): drift is told, and not repaired.
    report_only: bool,
    /// Why the glass of a namespace is broken.
    broken: BTreeMap<String, String>,
    /// What was taken away to break a glass and is not back yet. The plan may not know that: the engine takes its
    /// time, and a glass can be mended within a second.
    taken_away: BTreeSet<Key>,
    /// What we wrote and the watch has not shown yet.
    pending: PendingWrites,
    backoffs: BTreeMap<Key, RepairBackoff>,
    /// Drift that was reported and not put right.
    reported: BTreeMap<Key, String>,
}

impl DriftMemory {
    /// For who never writes.
    pub fn report_only() -> DriftMemory {
        DriftMemory {
            report_only: true,
            ..DriftMemory::default()
        }
    }

    /// For who takes over: why the glass of namespaces was broken, as it is kept. One that was mended while
    /// nobody led is told of then.
    pub fn with_broken(mut self, broken: BTreeMap<String, String>) -> DriftMemory {
        self.broken = broken;
        self
    }

    /// A step was carried out; an applied policy looks like this now.
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

/// Compares plan and cluster.
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
        let annotations = namespace.metadata.annotations.as_ref();
        match annotations.and_then(|a| a.get(BREAK_GLASS)) {
            Some(reason) => break_glass(&name, reason, &live, plan, memory, now, &mut diff),
            None => {
                if memory.broken.remove(&name).is_some() {
                    diff.reports.push(mended(&name, now));
                }
                // A namespace that is on its way out takes no writes.
                let ends = namespace.metadata.deletion_timestamp.is_some();
                if let Some(plan) = plan.namespaces.get(&name).filter(|_| !ends) {
                    compare(&name, plan, &live, memory, now, &mut diff);
                }
            }
        }
    }
    diff
}

fn mended(namespace: &str, at: Timestamp) -> EnforcerReport {
    EnforcerReport::BreakGlass {
        namespace: namespace.to_owned(),
        reason: None,
        deleted: 0,
        at,
    }
}

/// Takes every policy of ours away, whether or not it is in the plan.
fn break_glass(
    namespace: &str,
    reason: &str,
    live: &BTreeMap<Key, &NetworkPolicy>,
    plan: &Plan,
    memory: &mut DriftMemory,
    now: Timestamp,
    diff: &mut Diff,
) {
    let planned = plan.namespaces.get(namespace);
    let first = (namespace.to_owned(), String::new());
    let here = live
        .range(first..)
        .take_while(|((ns, _), _)| ns == namespace);
    let mut deleted = 0;
    for (key, policy) in here {
        let known = planned.is_some_and(|p| p.policies.contains_key(&key.1));
        let ours = is_ours(policy) && (known || annotation(policy, REVISION).is_some());
        if !ours || memory.pending.is_behind(key, Some(&policy.metadata)) {
            continue;
        }
        deleted += 1;
        diff.writes.push(PolicyWrite::Delete {
            wanted: None,
            namespace: namespace.to_owned(),
            name: key.1.clone(),
            uid: policy.metadata.uid.clone().unwrap_or_default(),
            drift: false,
        });
    }
    if memory
        .broken
        .insert(namespace.to_owned(), reason.to_owned())
        .as_deref()
        != Some(reason)
    {
        diff.reports.push(EnforcerReport::BreakGlass {
            namespace: namespace.to_owned(),
            reason: Some(reason.to_owned()),
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
        if let Some(found) = found.filter(|policy| !is_ours(policy)) {
            foreign(&key, wanted, found, memory, now, diff);
            continue;
        }
        let was_applied = wanted.was_applied && !memory.taken_away.contains(&key);
        if was_applied && memory.report_only {
            report_drift(&key, wanted, &what, None, memory, now, diff);
            continue;
        }
        if was_applied && put_off(&key, wanted, &what, memory, now, diff) {
            continue;
        }
        memory.reported.remove(&key);
        let drift = was_applied.then(|| (what, found.and_then(digest_of)));
        diff.writes.extend(write(&key, wanted, found, drift));
    }
}

/// What is not as it shall be, in words.
fn difference(wanted: &PlannedPolicy, found: Option<&NetworkPolicy>) -> Option<String> {
    match (&wanted.desired, found) {
        (Desired::Absent, None) => None,
        (Desired::Absent, Some(policy)) => {
            is_ours(policy).then(|| "it is there, and shall not be".into())
        }
        (Desired::Present { .. }, None) => Some("it was deleted".into()),
        (Desired::Present { digest, .. }, Some(policy)) => match digest_of(policy) {
            Some(found) if found == *digest && is_ours(policy) => None,
            _ if !is_ours(policy) => {
                Some("its label app.kubernetes.io/managed-by was changed".into())
            }
            _ => Some("its spec was changed".into()),
        },
    }
}

/// A policy of that name is not ours: it is never written, and told once.
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

/// Where somebody keeps changing it, the next repair waits. Told once.
fn put_off(
    key: &Key,
    wanted: &PlannedPolicy,
    what: &str,
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

/// Says once that something is not as it shall be and stays so for now.
fn report_drift(
    key: &Key,
    wanted: &PlannedPolicy,
    what: &str,
    until: Option<Timestamp>,
    memory: &mut DriftMemory,
    now: Timestamp,
    diff: &mut Diff,
) {
    if memory
        .reported
        .insert(key.clone(), what.to_owned())
        .as_deref()
        != Some(what)
    {
        diff.reports.push(EnforcerReport::Drifted {
            workload: wanted.workload.clone(),
            what: what.to_owned(),
            until,
            at: now,
        });
    }
}

fn write(
    key: &Key,
    wanted: &PlannedPolicy,
    found: Option<&NetworkPolicy>,
    drift: Option<(String, Option<Digest>)>,
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

/// The object as it is written: nothing but what we own of it.
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
    /// What there is to tell when it is done.
    pub fn report(&self, at: Timestamp) -> Option<EnforcerReport> {
        match self {
            PolicyWrite::Apply {
                wanted,
                drift: Some((what, found)),
                ..
            } => Some(EnforcerReport::Repaired {
                workload: wanted.workload.clone(),
                what: what.clone(),
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
                what: "it was there, and shall not be".into(),
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

    /// What there is to tell when it could not be done.
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

pub fn is_ours(policy: &NetworkPolicy) -> bool {
    let labels = policy.metadata.labels.as_ref();
    labels
        .and_then(|l| l.get(MANAGED_BY.0))
        .is_some_and(|v| v == MANAGED_BY.1)
}

fn annotation<'a>(policy: &'a NetworkPolicy, name: &str) -> Option<&'a String> {
    policy.metadata.annotations.as_ref()?.get(name)
}

fn digest_of(policy: &NetworkPolicy) -> Option<Digest> {
    policy.spec.as_ref().map(Digest::of_policy)
}
