//! The status of Segmentations: conditions and counts.

use super::conditions::{Fact, facts, unseen_nodes};
use super::enforcer_reports::Troubles;
use super::observation::Observation;
use super::propose;
use super::publish::Published;
use super::state::{EngineState, SegmentState};
use crate::cluster::live::{Kind, Malformed, Writer};
use crate::controller::pending_writes::{PendingWrites, key_of};
use crate::graph::Peer;
use crate::inventory::WorkloadId;
use crate::net::Timestamp;
use crate::review::resources::{Segmentation, SegmentationCounts, SegmentationStatus, to_time};
use crate::review::{Uncovered, WorkloadState, is_default_deny};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The most nodes that a status names.
const MAX_NODES: usize = 50;
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
    if let Some(state) = engine_state.segments.get(namespace) {
        status.observing_since = Some(to_time(state.observing_since));
        if let Some(segment) = &state.segment {
            let workloads = propose::segmented(around.observation, segment);
            status.counts = counts(state, &workloads, &theirs, around.observation);
            status.coverage = mean_coverage(&workloads, around.observation);
        }
    }
    let uncovered = around.uncovered.get(namespace);
    let pods = uncovered.map(|one| one.pods.as_slice()).unwrap_or_default();
    status.counts.uncovered = u32::try_from(pods.len()).unwrap_or(u32::MAX);
    status.uncovered_pods = pods.iter().take(MAX_PODS).cloned().collect();
    let unseen = unseen_nodes(namespace, around);
    status.nodes_without_agent = unseen.into_iter().take(MAX_NODES).collect();
    let facts = facts(engine_state, namespace, &theirs, around);
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
        enforced: number(
            theirs
                .iter()
                .filter(|s| !is_default_deny(&s.workload))
                .filter(|s| s.applied.as_ref().is_some_and(|a| a.revision.is_some()))
                .count(),
        ),
        open_proposals: number(theirs.iter().filter(|s| s.open().is_some()).count()),
        edges: number(workloads.iter().map(edges).sum()),
        violations: number(state.kept.violations.len()),
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
        "{} % of {}/{}",
        (mean * 100.0).floor(),
        known.len(),
        workloads.len()
    )
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
