//! The status of Segmentations: conditions and counts.

mod degraded;

use super::adopt::UnknownPolicies;
use super::enforcer_reports::Troubles;
use super::in_force::is_enforced;
use super::malformed;
use super::observation::Observation;
use super::openings;
use super::propose;
use super::publish::Published;
use super::state::{EngineState, SegmentState};
use super::trust;
use super::unseen_lookups;
use super::violations;
use super::waiting;
use crate::cluster::live::{Kind, Malformed, Writer};
use crate::controller::pending_writes::{PendingWrites, key_of};
use crate::finding::Finding;
use crate::graph::Peer;
use crate::inventory::WorkloadId;
use crate::net::Timestamp;
use crate::review::resources::{
    Mode, Segmentation, SegmentationCounts, SegmentationStatus, SharedFindingLine, WaitingWorkload,
    to_time,
};
use crate::review::{
    PendingViolations, SegmentationSettings, Uncovered, WorkloadState, is_default_deny,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The most nodes that a status names.
const MAX_NODES: usize = 50;
/// The most workloads without a proposal that a status names, and that its condition does.
const MAX_WAITING: usize = 50;
const MAX_WAITING_SAID: usize = 10;
/// The most uncovered pods that a status names.
const MAX_PODS: usize = 50;

/// What conditions depend on beside the state.
pub struct Circumstances<'a> {
    pub observation: &'a Observation,
    pub troubles: &'a Troubles,
    /// What is wrong with Segmentations that cannot be parsed, by namespace.
    pub errors: &'a BTreeMap<String, String>,
    /// Why no proposals can be made, by namespace.
    pub problems: &'a BTreeMap<String, String>,
    /// The pods that no policy selects, by enforced namespace.
    pub uncovered: &'a BTreeMap<String, Uncovered>,
    /// Policies with our label that the state does not know, by namespace.
    pub unknown: &'a UnknownPolicies,
    /// Pods that the policies in force select and that are not of their workloads.
    pub foreign_pods: &'a [Finding],
    /// Connections that the policies deny and that cannot be judged yet.
    pub pending_violations: &'a PendingViolations,
    /// The objects that cannot be read.
    pub malformed: &'a [Malformed],
    /// The nodes with pods whose agent is not connected.
    pub without_agent: &'a BTreeSet<String>,
    pub now: Timestamp,
}

/// Writes the status of the Segmentations of these namespaces where it differs.
pub async fn publish(
    engine_state: &EngineState,
    segmentations: &[Arc<Segmentation>],
    namespaces: &BTreeSet<String>,
    around: &Circumstances<'_>,
    writer: &Writer,
    pending: &mut PendingWrites,
) -> Published {
    let mut published = Published::default();
    let unread: BTreeSet<&str> = around
        .malformed
        .iter()
        .filter(|one| one.kind == Kind::Segmentation)
        .map(|one| one.namespace.as_str())
        .collect();
    for live in segmentations {
        let key = key_of(&live.metadata);
        // Of one that cannot be read now, this is how it was before; see `malformed::tell`.
        if !namespaces.contains(&key.0) || unread.contains(key.0.as_str()) {
            continue;
        }
        if pending.is_behind(&key, Some(&live.metadata)) {
            published.again.insert(key.0);
            continue;
        }
        let status = build_status(engine_state, live, around);
        match writer.apply_status(live.as_ref(), &status).await {
            Ok(written) if written.changed => pending.wrote(&written.object.metadata),
            Ok(_) => {}
            Err(error) => published.failed(key.0, error),
        }
    }
    published
}

/// Returns the status that a Segmentation should have. It equals the one it has if nothing changed.
fn build_status(
    engine_state: &EngineState,
    segmentation: &Segmentation,
    around: &Circumstances<'_>,
) -> SegmentationStatus {
    let namespace = segmentation
        .metadata
        .namespace
        .as_deref()
        .unwrap_or_default();
    let was = segmentation.status.clone().unwrap_or_default();
    let mut status = SegmentationStatus {
        observed_generation: segmentation.metadata.generation,
        ..was.clone()
    };
    let theirs: Vec<&WorkloadState> = engine_state.states_of(namespace).collect();
    let mut waiting: Vec<WaitingWorkload> = Vec::new();
    if let Some(state) = engine_state.segments.get(namespace) {
        status.observing_since = Some(to_time(state.observing_since));
        if let Some(segment) = &state.segment {
            let workloads = propose::segmented(around.observation, segment);
            status.counts = counts(state, &workloads, &theirs, around.observation);
            status.coverage = mean_coverage(&workloads, around.observation);
            waiting =
                waiting::waiting(engine_state, state, segment, around.observation, around.now);
        }
    }
    let pending = violations::waiting_in(around.pending_violations, namespace).count();
    status.counts.pending_violations = u32::try_from(pending).unwrap_or(u32::MAX);
    let uncovered = around.uncovered.get(namespace);
    let pods = uncovered.map(|one| one.pods.as_slice()).unwrap_or_default();
    status.counts.uncovered = u32::try_from(pods.len()).unwrap_or(u32::MAX);
    status.uncovered_pods = pods.iter().take(MAX_PODS).cloned().collect();
    let shared = around.observation.shared.all();
    status.shared_findings = shared.iter().map(SharedFindingLine::from).collect();
    status.network_plugin = around.observation.inventory.network_plugin.to_string();
    let unseen = unseen_nodes(namespace, around);
    status.nodes_without_agent = unseen.into_iter().take(MAX_NODES).collect();
    status.temporary_openings = openings::status(&theirs);
    let facts = facts(engine_state, namespace, &theirs, &waiting, around);
    waiting.truncate(MAX_WAITING);
    status.waiting = waiting;
    status.conditions = facts
        .into_iter()
        .map(|fact| condition(fact, segmentation, &was.conditions, around.now))
        .collect();
    let changed = status != was;
    if changed {
        status.last_change = Some(to_time(around.now));
    }
    status
}

fn counts(
    state: &SegmentState,
    workloads: &[WorkloadId],
    theirs: &[&WorkloadState],
    observation: &Observation,
) -> SegmentationCounts {
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let edges = |id: &WorkloadId| {
        let own = Peer::Workload(id.clone());
        let is_other = |client: &Peer| client.workload().is_none_or(|c| !workloads.contains(c));
        let edges = observation.built.graph.edges_of(&own).into_iter();
        // An edge between two of them counts with its client.
        edges
            .filter(|(client, _, edge)| {
                edge.lesson.teaches() && (**client == own || is_other(client))
            })
            .count()
    };
    SegmentationCounts {
        workloads: number(workloads.len()),
        learned: number(
            workloads
                .iter()
                .filter(|id| propose::coverage(observation, id).is_some())
                .count(),
        ),
        enforced: number(
            theirs
                .iter()
                .filter(|s| !is_default_deny(&s.workload))
                .filter(|s| s.applied.as_ref().is_some_and(|a| a.revision.is_some()))
                .count(),
        ),
        open_proposals: number(theirs.iter().filter(|s| s.open().is_some()).count()),
        edges: number(workloads.iter().map(edges).sum()),
        violations: number(state.kept.violations()),
        pending_violations: 0,
        uncovered: 0,
    }
}

/// Returns the mean of the workloads' estimates in whole percent; empty while there is no estimate.
fn mean_coverage(workloads: &[WorkloadId], observation: &Observation) -> String {
    let known: Vec<f64> = workloads
        .iter()
        .filter_map(|id| propose::coverage(observation, id))
        .collect();
    if known.is_empty() {
        return String::new();
    }
    let mean = known.iter().sum::<f64>() / known.len() as f64;
    format!(
        "{} % ({} of {} workloads)",
        (mean * 100.0).floor(),
        known.len(),
        workloads.len()
    )
}

struct Fact {
    kind: &'static str,
    is_true: bool,
    reason: &'static str,
    message: String,
}

fn facts(
    engine_state: &EngineState,
    namespace: &str,
    theirs: &[&WorkloadState],
    waiting: &[WaitingWorkload],
    around: &Circumstances<'_>,
) -> Vec<Fact> {
    let state = engine_state.segments.get(namespace);
    let segment = state.and_then(|s| s.segment.as_ref());
    vec![
        ready(namespace, around),
        learning(segment, waiting, around),
        enforcing(engine_state, namespace, theirs, around),
        drifted(namespace, around),
        degraded::degraded(engine_state, namespace, theirs, around),
        observed(engine_state, namespace, around),
        trusted(namespace, around),
        judged(namespace, around),
        covered(engine_state, namespace, around),
        exclusive(engine_state, namespace, around),
        well_formed(namespace, around),
        within_ceilings(segment),
        adopted(namespace, around),
    ]
}

/// Does every agent tell of its own node only, and do the agents of both ends agree?
fn trusted(namespace: &str, around: &Circumstances<'_>) -> Fact {
    let trust = trust::of(namespace, around.observation);
    Fact {
        kind: "Trusted",
        is_true: trust.is_whole,
        reason: trust.reason,
        message: trust.message,
    }
}

/// Is all denied traffic judged (rule: judge-late-rather-than-wrong)?
fn judged(namespace: &str, around: &Circumstances<'_>) -> Fact {
    let message = violations::waiting_sentence(around.pending_violations, namespace);
    let is_true = message.is_empty();
    Fact {
        kind: "Judged",
        is_true,
        reason: if is_true { "CaughtUp" } else { "NotJudgedYet" },
        message,
    }
}

/// Does some policy select every pod of the namespace?
fn covered(engine_state: &EngineState, namespace: &str, around: &Circumstances<'_>) -> Fact {
    let message = around.uncovered.get(namespace).map(Uncovered::sentence);
    let message = message.unwrap_or_default();
    let (is_true, reason) = match (is_enforced(engine_state, namespace), message.is_empty()) {
        (false, _) => (false, "NotEnforced"),
        (true, true) => (true, "AllSelected"),
        (true, false) => (false, "UncoveredPods"),
    };
    Fact {
        kind: "Covered",
        is_true,
        reason,
        message,
    }
}

/// Does each policy in force select pods of its own workload only (rule: foreign-pods-are-shown)?
fn exclusive(engine_state: &EngineState, namespace: &str, around: &Circumstances<'_>) -> Fact {
    let of_namespace = |one: &&Finding| one.subject.split('/').next() == Some(namespace);
    let found = around.foreign_pods.iter().filter(of_namespace);
    let said: Vec<String> = found
        .map(|one| format!("{}: {}", one.subject, one.message))
        .collect();
    let (is_true, reason) = match (is_enforced(engine_state, namespace), said.is_empty()) {
        (false, _) => (false, "NotEnforced"),
        (true, true) => (true, "OwnPodsOnly"),
        (true, false) => (false, "ForeignPods"),
    };
    Fact {
        kind: "Exclusive",
        is_true,
        reason,
        message: said
            .into_iter()
            .take(MAX_PODS)
            .collect::<Vec<_>>()
            .join("; "),
    }
}

/// Is what the Segmentation asks of automatic approval what counts?
fn within_ceilings(segment: Option<&SegmentationSettings>) -> Fact {
    let beyond = segment.map(|segment| segment.beyond_ceilings.as_slice());
    let beyond = beyond.unwrap_or_default();
    let said: Vec<String> = beyond.iter().map(ToString::to_string).collect();
    let is_true = said.is_empty();
    Fact {
        kind: "WithinCeilings",
        is_true,
        reason: if is_true { "AsSpecified" } else { "Clamped" },
        message: said.join("; "),
    }
}

/// Can all objects of the namespace be read?
fn well_formed(namespace: &str, around: &Circumstances<'_>) -> Fact {
    let message = malformed::of_namespace(around.malformed, namespace);
    let is_true = message.is_empty();
    Fact {
        kind: "WellFormed",
        is_true,
        reason: if is_true { "AllRead" } else { "Malformed" },
        message,
    }
}

/// Are all pods of the namespace where an agent sees them, and can everybody be named to whom they talk?
fn observed(engine_state: &EngineState, namespace: &str, around: &Circumstances<'_>) -> Fact {
    let unseen = unseen_nodes(namespace, around);
    let open = engine_state.open_directions().iter();
    let open: Vec<String> = open
        .filter(|(id, ..)| id.namespace == namespace)
        .map(|(id, direction, reasons)| {
            let reasons: Vec<String> = reasons.iter().map(ToString::to_string).collect();
            format!(
                "{direction} of {} stays open: {}",
                id.name,
                reasons.join("; ")
            )
        })
        .take(10)
        .collect();
    let fact = |is_true, reason, message| Fact {
        kind: "Observed",
        is_true,
        reason,
        message,
    };
    let lookups = unseen_lookups::of(namespace, around.observation);
    match (unseen.is_empty(), open.is_empty()) {
        (true, true) if lookups.is_unresolved => {
            fact(false, "LookupsNotSeen", lookups.said.join(". "))
        }
        (true, true) => fact(true, "InView", lookups.said.join(". ")),
        (true, false) => fact(false, "LeftOpen", open.join(". ")),
        (false, _) => {
            let nodes: Vec<&str> = unseen.iter().map(String::as_str).take(10).collect();
            let mut message = vec![format!(
                "no agent is connected on {} of its nodes: {}",
                unseen.len(),
                nodes.join(", ")
            )];
            message.extend(open);
            fact(false, "NodesWithoutAgent", message.join(". "))
        }
    }
}

/// The nodes with pods of the namespace whose agent is not connected.
fn unseen_nodes(namespace: &str, around: &Circumstances<'_>) -> BTreeSet<String> {
    let inventory = &around.observation.inventory;
    let theirs = inventory.pods.iter().filter(|pod| {
        pod.namespace == namespace
            && !pod.template
            && !pod.host_network
            && pod.owned.until.is_none()
    });
    let nodes = theirs.filter_map(|pod| pod.node.clone());
    nodes
        .filter(|node| around.without_agent.contains(node))
        .collect()
}

fn ready(namespace: &str, around: &Circumstances<'_>) -> Fact {
    let error = around.errors.get(namespace).map(|e| ("Invalid", e));
    let (reason, message) =
        match error.or_else(|| around.problems.get(namespace).map(|p| ("NotProposed", p))) {
            Some((reason, message)) => (reason, message.clone()),
            None => ("AsSpecified", String::new()),
        };
    Fact {
        kind: "Ready",
        is_true: reason == "AsSpecified",
        reason,
        message,
    }
}

/// Are there workloads that were not observed for long enough for a proposal?
fn learning(
    segment: Option<&SegmentationSettings>,
    waiting: &[WaitingWorkload],
    around: &Circumstances<'_>,
) -> Fact {
    let fact = |is_true, reason, message| Fact {
        kind: "Learning",
        is_true,
        reason,
        message,
    };
    let Some(segment) = segment else {
        return fact(false, "NotWatched", String::new());
    };
    if segment.mode == Mode::Observe {
        let message = "mode Observe: no proposals are made".to_owned();
        return fact(true, "Observing", message);
    }
    if waiting.is_empty() {
        return fact(false, "Learned", String::new());
    }
    let of = propose::segmented(around.observation, segment).len();
    let said = waiting.iter().take(MAX_WAITING_SAID);
    let said: Vec<String> = said
        .map(|one| format!("{}: {}", one.name, one.message))
        .collect();
    let message = format!(
        "{} of {of} workloads have no proposal yet. {}",
        waiting.len(),
        said.join(". ")
    );
    fact(true, "NotLearned", message)
}

fn enforcing(
    engine_state: &EngineState,
    namespace: &str,
    theirs: &[&WorkloadState],
    around: &Circumstances<'_>,
) -> Fact {
    let state = engine_state.segments.get(namespace);
    let fact = |is_true, reason, message| Fact {
        kind: "Enforcing",
        is_true,
        reason,
        message,
    };
    if let Some(why) = state.and_then(|s| s.kept.break_glass.as_ref()) {
        return fact(false, "BreakGlass", why.clone());
    }
    if !is_enforced(engine_state, namespace) {
        return fact(false, "NotEnforced", "the mode is not Enforce".into());
    }
    let waiting: Vec<&str> = theirs
        .iter()
        .filter(|s| !s.is_applied())
        .map(|s| s.policy_name.as_str())
        .collect();
    match waiting.as_slice() {
        // Approved traffic that something else blocks, and what the plugin needs until a policy is in effect.
        [] => {
            let unexplained = listed(&around.troubles.unexplained, namespace);
            let lag = around.observation.plugin_lag.to_string();
            let said: Vec<String> = [unexplained, lag]
                .into_iter()
                .filter(|s| !s.is_empty())
                .collect();
            fact(true, "Enforced", said.join("; "))
        }
        names => fact(
            false,
            "Waiting",
            format!("not in the cluster yet: {}", names.join(", ")),
        ),
    }
}

/// Is every policy with our label one that was approved?
fn adopted(namespace: &str, around: &Circumstances<'_>) -> Fact {
    let unknown = around.unknown.get(namespace);
    let names: Vec<&str> = unknown.into_iter().flatten().map(String::as_str).collect();
    let message = match names.len() {
        0 => String::new(),
        count => format!(
            "{count} policies with nanoseg's label were never approved here, and nobody keeps them as they are: {}; \
             approve the proposals that adopt them, or delete them",
            names.into_iter().take(10).collect::<Vec<_>>().join(", ")
        ),
    };
    let is_true = message.is_empty();
    Fact {
        kind: "Adopted",
        is_true,
        reason: if is_true {
            "AllApproved"
        } else {
            "UnknownPolicies"
        },
        message,
    }
}

fn drifted(namespace: &str, around: &Circumstances<'_>) -> Fact {
    let words = listed(&around.troubles.drift, namespace);
    let reason = if words.is_empty() {
        "AsApproved"
    } else {
        "ChangedByOthers"
    };
    Fact {
        kind: "Drifted",
        is_true: !words.is_empty(),
        reason,
        message: words,
    }
}

fn listed(troubles: &BTreeMap<WorkloadId, String>, namespace: &str) -> String {
    let theirs = troubles.iter().filter(|(id, _)| id.namespace == namespace);
    theirs
        .map(|(id, words)| format!("{}: {words}", id.name))
        .collect::<Vec<_>>()
        .join("; ")
}

/// A condition keeps its time while its status stays (API conventions, `lastTransitionTime`).
fn condition(
    fact: Fact,
    segmentation: &Segmentation,
    was: &[Condition],
    now: Timestamp,
) -> Condition {
    let status = if fact.is_true { "True" } else { "False" };
    let before = was
        .iter()
        .find(|c| c.type_ == fact.kind && c.status == status);
    let since = before.map(|c| c.last_transition_time.clone());
    Condition {
        type_: fact.kind.into(),
        status: status.into(),
        reason: fact.reason.into(),
        message: fact.message,
        observed_generation: segmentation.metadata.generation,
        last_transition_time: since.unwrap_or_else(|| to_time(now)),
    }
}
