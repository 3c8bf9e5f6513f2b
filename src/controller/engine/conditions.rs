//! The conditions of Segmentations: what is true of a namespace, and why.

use super::in_force::is_enforced;
use super::malformed;
use super::propose;
use super::state::{EngineState, SegmentState};
use super::status::Circumstances;
use crate::inventory::WorkloadId;
use crate::review::resources::Mode;
use crate::review::{SegmentationSettings, Uncovered, WorkloadState};
use std::collections::{BTreeMap, BTreeSet};

/// A condition as it is now.
pub struct Fact {
    pub kind: &'static str,
    pub is_true: bool,
    pub reason: &'static str,
    pub message: String,
}

/// All conditions of a namespace.
pub fn facts(
    engine_state: &EngineState,
    namespace: &str,
    theirs: &[&WorkloadState],
    around: &Circumstances<'_>,
) -> Vec<Fact> {
    let state = engine_state.segments.get(namespace);
    let segment = state.and_then(|s| s.segment.as_ref());
    vec![
        ready(namespace, around),
        learning(segment, theirs, around),
        enforcing(engine_state, namespace, state, theirs),
        drifted(namespace, around),
        degraded(engine_state, namespace, theirs, around),
        observed(engine_state, namespace, around),
        covered(engine_state, namespace, around),
        well_formed(namespace, around),
        within_ceilings(segment),
    ]
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
    match (unseen.is_empty(), open.is_empty()) {
        (true, true) => fact(true, "InView", String::new()),
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
pub fn unseen_nodes(namespace: &str, around: &Circumstances<'_>) -> BTreeSet<String> {
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

fn learning(
    segment: Option<&SegmentationSettings>,
    theirs: &[&WorkloadState],
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
    let workloads = propose::segmented(around.observation, segment);
    let known = |id: &&WorkloadId| theirs.iter().any(|s| s.workload == **id);
    let unknown: Vec<String> = workloads
        .iter()
        .filter(|id| !known(id))
        .map(|id| id.name.clone())
        .collect();
    match (unknown.as_slice(), segment.mode) {
        (_, Mode::Observe) => fact(
            true,
            "Observing",
            "mode Observe: no proposals are made".into(),
        ),
        ([], _) => fact(false, "Learned", String::new()),
        (names, _) => {
            let shown = names
                .iter()
                .take(10)
                .cloned()
                .collect::<Vec<_>>()
                .join(", ");
            let message = format!(
                "{} of {} workloads are not learned yet: {shown}",
                names.len(),
                workloads.len()
            );
            fact(true, "NotLearned", message)
        }
    }
}

fn enforcing(
    engine_state: &EngineState,
    namespace: &str,
    state: Option<&SegmentState>,
    theirs: &[&WorkloadState],
) -> Fact {
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
        [] => fact(true, "Enforced", String::new()),
        names => fact(
            false,
            "Waiting",
            format!("not in the cluster yet: {}", names.join(", ")),
        ),
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

fn degraded(
    engine_state: &EngineState,
    namespace: &str,
    theirs: &[&WorkloadState],
    around: &Circumstances<'_>,
) -> Fact {
    let fact = |is_true, reason, message| Fact {
        kind: "Degraded",
        is_true,
        reason,
        message,
    };
    let altered = listed(&engine_state.altered, namespace);
    if !altered.is_empty() {
        return fact(
            true,
            "StateAltered",
            format!("{altered}; what is not proven is not applied: decide on the next proposal"),
        );
    }
    let failures = listed(&around.troubles.failures, namespace);
    if !failures.is_empty() {
        return fact(true, "WriteFailed", failures);
    }
    let undone: Vec<String> = theirs
        .iter()
        .filter_map(|s| {
            s.degraded
                .as_ref()
                .map(|d| format!("{}: rolled back: {}", s.workload.name, d.why))
        })
        .collect();
    if undone.is_empty() {
        fact(false, "Works", String::new())
    } else {
        fact(true, "RolledBack", undone.join("; "))
    }
}

fn listed(troubles: &BTreeMap<WorkloadId, String>, namespace: &str) -> String {
    let theirs = troubles.iter().filter(|(id, _)| id.namespace == namespace);
    theirs
        .map(|(id, words)| format!("{}: {words}", id.name))
        .collect::<Vec<_>>()
        .join("; ")
}
