//! What policies there should be by now, and proposals for what differs from what was approved.

use super::judge::{self, InForce};
use super::ledger::Ledger;
use super::sight::{Sight, View};
use crate::finding::Finding;
use crate::graph::{Graph, Peer, Requirement};
use crate::inventory::WorkloadId;
use crate::net::Timestamp;
use crate::pipeline::{Proven, synthesise_and_prove};
use crate::policy::{SynthesisOptions, WorkloadPolicy};
use crate::review::resources::{ApprovalMode, Mode};
use crate::review::{
    Digest, Need, Question, Segment, Violation, Wish, WorkloadState, build_material, may_approve,
};
use crate::risk;
use std::collections::{BTreeMap, BTreeSet};

/// Makes, refreshes and withdraws proposals, and approves what the rules of a Segmentation approve. Tells
/// why a namespace could not be proposed for.
pub fn propose(
    ledger: &mut Ledger,
    sight: &Sight,
    view: &View,
    in_force: &InForce,
    violations: &[Violation],
    now: Timestamp,
) -> BTreeMap<String, String> {
    let mut problems = BTreeMap::new();
    let groups = groups(ledger, sight, view);
    if groups.is_empty() {
        return problems;
    }
    let mut requirements = view.requirements.clone();
    requirements.extend(violations.iter().filter_map(asked_for));
    requirements.extend(judge::find_approved_attempts(sight, view, in_force));
    let proven = match synthesise_and_prove(&requirements, &groups, &sight.inventory) {
        Ok(proven) => proven,
        Err(error) => {
            for (workloads, _) in &groups {
                problems.extend(
                    workloads
                        .iter()
                        .map(|id| (id.namespace.clone(), error.to_string())),
                );
            }
            return problems;
        }
    };
    let blocked = unsound(&proven);
    let findings: Vec<Finding> = view
        .findings
        .iter()
        .chain(&proven.findings)
        .cloned()
        .collect();
    for policy in &proven.synthesis.policies {
        let workload = &policy.workload;
        if let Some(why) = blocked.get(workload) {
            // A policy that would break what was observed is never proposed (DESIGN §2).
            problems.insert(workload.namespace.clone(), why.clone());
        } else if is_due(ledger, sight, workload, now) {
            let asks = Asks {
                sight,
                view,
                in_force,
                violations,
                findings: &findings,
                requirements: &requirements,
            };
            if let Err(error) = propose_one(ledger, &asks, policy, now) {
                problems.insert(workload.namespace.clone(), error);
            }
        }
    }
    problems
}

/// The requirement of a violation that an operator is to be asked about.
fn asked_for(violation: &Violation) -> Option<Requirement> {
    violation
        .may_be_proposed
        .then(|| violation.requirement.clone())
}

/// The workloads that policies are made for, by the choices of their namespace.
fn groups(ledger: &Ledger, sight: &Sight, view: &View) -> Vec<(Vec<WorkloadId>, SynthesisOptions)> {
    let is_seen = |id: &WorkloadId| view.only.as_ref().is_none_or(|only| only.contains(id));
    let mut groups: Vec<(Vec<WorkloadId>, SynthesisOptions)> = Vec::new();
    for segment in ledger.segments.values().filter_map(|s| s.segment.as_ref()) {
        if segment.mode < Mode::Propose {
            continue;
        }
        if !touches(view, &segment.namespace) {
            continue;
        }
        let mut theirs = segmented(sight, segment);
        theirs.retain(is_seen);
        match groups
            .iter_mut()
            .find(|(_, options)| *options == segment.synthesis)
        {
            Some((workloads, _)) => workloads.extend(theirs),
            None => groups.push((theirs, segment.synthesis)),
        }
    }
    groups.retain(|(workloads, _)| !workloads.is_empty());
    groups
}

/// Whether some workload of a namespace is looked at.
fn touches(view: &View, namespace: &str) -> bool {
    let Some(only) = &view.only else { return true };
    only.iter().any(|id| id.namespace == namespace)
}

/// The workloads of a segment that policies can be made for: not excluded, not on the node's network.
pub fn segmented(sight: &Sight, segment: &Segment) -> Vec<WorkloadId> {
    let inventory = &sight.inventory;
    let kept = inventory
        .workloads_of(&segment.namespace)
        .filter(|workload| {
            let mut pods = workload
                .pods
                .iter()
                .filter_map(|index| inventory.pods.get(*index));
            !workload.host_network && !pods.any(|pod| segment.excludes(&pod.labels))
        });
    kept.map(|workload| workload.id.clone()).collect()
}

/// Workloads whose policy would block what it shall allow, with what it would block.
fn unsound(proven: &Proven) -> BTreeMap<WorkloadId, String> {
    let mut blocked = BTreeMap::new();
    for found in &proven.proof.blocked {
        for end in [&found.client, &found.server] {
            if let crate::evaluate::Span::Workload(id) = end {
                blocked
                    .entry(id.clone())
                    .or_insert_with(|| found.to_string());
            }
        }
    }
    blocked
}

/// Whether a workload was watched for long enough; one that has an approved policy was.
fn is_due(ledger: &Ledger, sight: &Sight, workload: &WorkloadId, now: Timestamp) -> bool {
    if ledger
        .states()
        .get(workload)
        .is_some_and(|state| !state.revisions.is_empty() || state.open().is_some())
    {
        return true;
    }
    let Some(state) = ledger.segments.get(&workload.namespace) else {
        return false;
    };
    let Some(segment) = &state.segment else {
        return false;
    };
    let long_enough = now.secs_since(state.observing_since) >= segment.minimum_duration;
    long_enough && coverage(sight, workload).unwrap_or(0.0) >= segment.minimum_coverage
}

/// The estimated share of the workload's edges seen; `None` while that says nothing.
pub fn coverage(sight: &Sight, workload: &WorkloadId) -> Option<f64> {
    let estimate = sight.learning.as_ref()?.workloads.get(workload)?;
    estimate.is_meaningful().then_some(estimate.coverage)
}

struct Asks<'a> {
    sight: &'a Sight,
    view: &'a View,
    in_force: &'a InForce,
    violations: &'a [Violation],
    findings: &'a [Finding],
    requirements: &'a [Requirement],
}

fn propose_one(
    ledger: &mut Ledger,
    asks: &Asks<'_>,
    policy: &WorkloadPolicy,
    now: Timestamp,
) -> Result<(), String> {
    let workload = &policy.workload;
    let name = policy.policy.metadata.name.clone().unwrap_or_default();
    let Some(spec) = policy.policy.spec.clone() else {
        return Ok(());
    };
    let theirs: Vec<Violation> = asks
        .violations
        .iter()
        .filter(|v| {
            v.may_be_proposed
                && [v.client.workload(), v.server.workload()].contains(&Some(workload))
        })
        .cloned()
        .collect();
    let risks = risks(ledger, asks.sight, workload);
    let wish = Wish {
        policy: spec,
        basis: basis(&asks.view.graph, workload, &theirs, &risks),
        asked_by_blocked: !theirs.is_empty(),
    };
    let fresh = WorkloadState::new(workload.clone(), name);
    let known = ledger.states().get(workload);
    match known.unwrap_or(&fresh).need(&wish) {
        Need::Nothing => return Ok(()),
        Need::Withdraw => {
            let why = "the approved policy is right by now";
            ledger.change(workload, |state, record| state.withdraw(why, now, record));
            return Ok(());
        }
        Need::Material => {}
    }
    if known.is_none() {
        ledger.begin(fresh);
    }
    let Some(state) = ledger.states().get(workload) else {
        return Ok(());
    };
    let judged = state.policy_to_judge(&wish);
    let others = asks.in_force.others(workload);
    let material = build_material(&Question {
        inventory: &asks.sight.inventory,
        graph: &asks.view.graph,
        requirements: asks.requirements,
        wanted_blocked: &theirs,
        workload,
        policy_name: &state.policy_name,
        base: state.wanted_policy(),
        policy: judged,
        others: &others,
        findings: &[asks.findings, risks.as_slice()].concat(),
        coverage: coverage(asks.sight, workload),
        reason: &reason(state, &wish, judged),
        now,
    });
    let material = material.map_err(|e| e.to_string())?;
    ledger.change(workload, |state, record| {
        state.propose(wish, material, now, record)
    });
    approve_within_rules(ledger, workload, now);
    Ok(())
}

fn reason(
    state: &WorkloadState,
    wish: &Wish,
    judged: &k8s_openapi::api::networking::v1::NetworkPolicySpec,
) -> String {
    if *judged != wish.policy {
        return "edited by a person".into();
    }
    match (wish.asked_by_blocked, state.wanted) {
        (true, _) => "connections were tried that the approved policy does not allow".into(),
        (false, None) => "first policy: what was observed so far".into(),
        (false, Some(revision)) => format!("what was observed differs from revision {revision}"),
    }
}

/// What is known of a workload's images and privileges. A new image asks for new material, since what was not
/// approved must not be approved by itself.
fn risks(ledger: &Ledger, sight: &Sight, id: &WorkloadId) -> Vec<Finding> {
    let Some(workload) = sight.inventory.workloads.get(id) else {
        return Vec::new();
    };
    let segment = ledger.segments.get(&id.namespace);
    let approved = match segment.and_then(|state| state.segment.as_ref()) {
        Some(segment) => sight.approved.and(&segment.approved),
        None => sight.approved.clone(),
    };
    risk::findings(workload, &approved)
}

/// Everything that a proposal for the workload shows: its edges, not their counts, and its risks.
fn basis(
    graph: &Graph,
    workload: &WorkloadId,
    violations: &[Violation],
    risks: &[Finding],
) -> Digest {
    let mut seen = BTreeSet::new();
    let own = Peer::Workload(workload.clone());
    for (client, server, edge) in graph.edges_of(&own) {
        let lesson = edge.lesson.teaches();
        seen.insert(format!(
            "{client} {server} {} {} {lesson}",
            edge.port, edge.protocol
        ));
    }
    seen.extend(
        violations
            .iter()
            .map(|v| format!("{} {} {} {}", v.client, v.server, v.port, v.protocol)),
    );
    seen.extend(risks.iter().map(|f| format!("{} {}", f.code, f.message)));
    Digest::of_bytes(seen.into_iter().collect::<Vec<_>>().join("\n").as_bytes())
}

fn approve_within_rules(ledger: &mut Ledger, workload: &WorkloadId, now: Timestamp) {
    let segment = ledger
        .segments
        .get(&workload.namespace)
        .and_then(|s| s.segment.clone());
    let Some(segment) = segment.filter(|s| s.approval.mode == ApprovalMode::Automatic) else {
        return;
    };
    ledger.change(workload, |state, record| {
        let Some(open) = state.open() else { return };
        if open.is_edited() {
            return;
        }
        match may_approve(&segment, &open.material, open.asked_by_blocked) {
            Ok(()) => state.approve_automatically(now, record),
            Err(why) => state.note(format!("not approved automatically: {why}")),
        }
    });
}
