//! Generates the policies that the traffic needs, and proposes them where they differ from those that were approved.

use super::in_force::InForce;
use super::name_drifts;
use super::observation::{ClusterView, Observation};
use super::open_directions;
use super::openings;
use super::refusals::{Pass, Refused, is_rejected};
use super::state::EngineState;
use super::violations::find_approved_attempts;
use crate::finding::{Code, Finding};
use crate::graph::{DnsEvidence, NameDrifts, OpenDirections, Peer, Requirement};
use crate::inventory::WorkloadId;
use crate::net::Timestamp;
use crate::pipeline::{Proven, synthesise_and_prove};
use crate::policy::{SynthesisOptions, WorkloadPolicy};
use crate::review::resources::{ApprovalMode, Mode};
use crate::review::{
    Assessment, DesiredPolicy, Digest, ImpactInputs, Need, SegmentationSettings, Temporary,
    Violation, WorkloadState, assess, is_default_deny, is_reserved, may_approve,
};
use crate::risk;
use std::collections::{BTreeMap, BTreeSet};

/// How many connections that are closed on purpose a proposal names.
const MOST_CLOSED: usize = 20;

/// Makes, refreshes and withdraws proposals, and approves what the rules of a Segmentation approve. Returns the
/// namespaces for which no proposals could be made, with the reasons.
pub fn propose(
    engine_state: &mut EngineState,
    observation: &Observation,
    view: &ClusterView,
    in_force: &InForce,
    violations: &[Violation],
    now: Timestamp,
) -> BTreeMap<String, String> {
    let mut problems = not_known(engine_state, observation, view);
    let groups = groups(engine_state, observation, view);
    if groups.is_empty() {
        return problems;
    }
    let refused = Refused::find(engine_state, view, now);
    let violations = refused.open_violations(violations);
    let mut requirements = view.requirements.clone();
    requirements.extend(violations.iter().filter_map(asked_for));
    requirements.extend(find_approved_attempts(observation, view, in_force));
    let drifts = name_drifts::find(engine_state, observation, view, now);
    requirements.extend(drifts.found.iter().map(name_drifts::requirement));
    let open = open_directions::find(engine_state, observation, view, now);
    let mut left_open = OpenDirections::default();
    for pass in refused.passes(engine_state, &requirements, groups) {
        let input = PassInput {
            observation,
            view,
            in_force,
            violations: &violations,
            refused: &refused,
            drifts: &drifts,
            open: &open,
            pass: &pass,
        };
        let more = propose_pass(engine_state, &input, &mut left_open, now);
        problems.extend(more);
    }
    engine_state.note_open(view.only.as_ref(), &left_open);
    problems
}

/// What the proposals of one pass are made from.
struct PassInput<'a> {
    observation: &'a Observation,
    view: &'a ClusterView,
    in_force: &'a InForce,
    violations: &'a [Violation],
    refused: &'a Refused,
    drifts: &'a NameDrifts,
    open: &'a OpenDirections,
    pass: &'a Pass,
}

/// Returns the namespaces for which no proposals could be made, with the reasons.
fn propose_pass(
    engine_state: &mut EngineState,
    input: &PassInput<'_>,
    left_open: &mut OpenDirections,
    now: Timestamp,
) -> BTreeMap<String, String> {
    let mut problems = BTreeMap::new();
    let PassInput {
        observation,
        view,
        pass,
        open,
        ..
    } = *input;
    let (requirements, groups) = (&pass.requirements, &pass.groups);
    let (inventory, existing) = (&observation.inventory, &observation.foreign_policies);
    let dns = DnsEvidence::of(&view.graph);
    let needed = (requirements.as_slice(), &dns);
    let proven = match synthesise_and_prove(needed, groups, open, inventory, existing) {
        Ok(proven) => proven,
        Err(error) => {
            let ids = groups.iter().flat_map(|(workloads, _)| workloads);
            problems.extend(ids.map(|id| (id.namespace.clone(), error.to_string())));
            return problems;
        }
    };
    left_open.merge(proven.synthesis.open.clone());
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
            // A policy that would break what was observed is never proposed (rule: sound-or-nothing).
            problems.insert(workload.namespace.clone(), why.clone());
        } else if is_due(engine_state, observation, workload, now) {
            let input = ProposalInput {
                observation,
                view,
                in_force: input.in_force,
                violations: input.violations,
                refused: input.refused,
                drifts: input.drifts,
                findings: &findings,
                requirements,
            };
            if let Err(error) = propose_one(engine_state, &input, policy, now) {
                problems.insert(workload.namespace.clone(), error);
            }
        }
    }
    problems
}

/// Returns the requirement of a violation if an operator is to be asked to allow it.
fn asked_for(violation: &Violation) -> Option<Requirement> {
    violation
        .may_be_proposed
        .then(|| violation.requirement.clone())
}

/// The namespaces for which nothing is proposed, since an object there cannot be read.
fn not_known(
    engine_state: &EngineState,
    observation: &Observation,
    view: &ClusterView,
) -> BTreeMap<String, String> {
    let unknown = observation.not_known.iter();
    unknown
        .filter(|(name, _)| engine_state.segments.contains_key(*name) && touches(view, name))
        .map(|(name, why)| (name.clone(), why.clone()))
        .collect()
}

/// Groups the workloads that get policies by the options of their namespace.
fn groups(
    engine_state: &EngineState,
    observation: &Observation,
    view: &ClusterView,
) -> Vec<(Vec<WorkloadId>, SynthesisOptions)> {
    let is_seen = |id: &WorkloadId| view.only.as_ref().is_none_or(|only| only.contains(id));
    let mut groups: Vec<(Vec<WorkloadId>, SynthesisOptions)> = Vec::new();
    for segment in engine_state
        .segments
        .values()
        .filter_map(|s| s.segment.as_ref())
    {
        if segment.mode < Mode::Propose {
            continue;
        }
        if !touches(view, &segment.namespace)
            || observation.not_known.contains_key(&segment.namespace)
        {
            continue;
        }
        let mut theirs = segmented(observation, segment);
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

/// Returns true if the view has a workload of the namespace.
fn touches(view: &ClusterView, namespace: &str) -> bool {
    let Some(only) = &view.only else { return true };
    only.iter().any(|id| id.namespace == namespace)
}

/// Returns the workloads of a segment that can get a policy: not excluded, and not on the node's network.
pub fn segmented(observation: &Observation, segment: &SegmentationSettings) -> Vec<WorkloadId> {
    let inventory = &observation.inventory;
    let kept = inventory
        .workloads_of(&segment.namespace)
        .filter(|workload| {
            let mut pods = workload
                .pods
                .iter()
                .filter_map(|index| inventory.pods.get(*index));
            !workload.host_network
                && !is_reserved(&workload.id)
                && !pods.any(|pod| segment.excludes(&pod.labels))
        });
    kept.map(|workload| workload.id.clone()).collect()
}

/// Returns the workloads whose policy would block a requirement, each with one of those that it would block.
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

/// Returns true if a workload was observed for long enough. One that has an approved policy was.
fn is_due(
    engine_state: &EngineState,
    observation: &Observation,
    workload: &WorkloadId,
    now: Timestamp,
) -> bool {
    if engine_state
        .states()
        .get(workload)
        .is_some_and(|state| !state.revisions.is_empty() || state.open().is_some())
    {
        return true;
    }
    let Some(state) = engine_state.segments.get(&workload.namespace) else {
        return false;
    };
    let Some(segment) = &state.segment else {
        return false;
    };
    let long_enough = now.secs_since(state.observing_since) >= segment.minimum_duration;
    long_enough && coverage(observation, workload).unwrap_or(0.0) >= segment.minimum_coverage
}

/// Returns the estimated share of the workload's edges that were seen, 0–1. `None` while there is too little data for an
/// estimate.
pub fn coverage(observation: &Observation, workload: &WorkloadId) -> Option<f64> {
    let estimate = observation.learning.as_ref()?.workloads.get(workload)?;
    estimate.is_meaningful().then_some(estimate.coverage)
}

struct ProposalInput<'a> {
    observation: &'a Observation,
    view: &'a ClusterView,
    in_force: &'a InForce,
    violations: &'a [Violation],
    refused: &'a Refused,
    drifts: &'a NameDrifts,
    findings: &'a [Finding],
    requirements: &'a [Requirement],
}

fn propose_one(
    engine_state: &mut EngineState,
    input: &ProposalInput<'_>,
    policy: &WorkloadPolicy,
    now: Timestamp,
) -> Result<(), String> {
    let workload = &policy.workload;
    let name = policy.policy.metadata.name.clone().unwrap_or_default();
    let Some(spec) = policy.policy.spec.clone() else {
        return Ok(());
    };
    let theirs: Vec<Violation> = input
        .violations
        .iter()
        .filter(|v| {
            v.may_be_proposed
                && [v.client.workload(), v.server.workload()].contains(&Some(workload))
        })
        .cloned()
        .collect();
    let risks = risks(engine_state, input.observation, workload);
    let known = engine_state.states().get(workload);
    let fresh = WorkloadState::new(workload.clone(), name);
    let desired = DesiredPolicy {
        policy: spec,
        basis: basis(input, workload, &theirs, &risks),
        asked_by_blocked: !theirs.is_empty() || known.is_some_and(|state| state.degraded.is_some()),
        is_changed: input.refused.is_changed(workload),
        temporary: temporary(engine_state, input, known, now)?,
    };
    match known.unwrap_or(&fresh).need(&desired) {
        Need::Nothing => {
            approve_within_rules(engine_state, workload, now);
            return Ok(());
        }
        Need::Withdraw => {
            let why = "the approved policy is right by now";
            engine_state.change(workload, |state, record| state.withdraw(why, now, record));
            return Ok(());
        }
        Need::Assess => {}
    }
    if known.is_none() {
        engine_state.begin(fresh);
    }
    let Some(state) = engine_state.states().get(workload) else {
        return Ok(());
    };
    let judged = state.policy_to_assess(&desired);
    let others = input.in_force.others(workload);
    let drift = name_drifts::finding(input.drifts, workload, state.wanted_policy());
    let assessment = assess(&ImpactInputs {
        inventory: &input.observation.inventory,
        graph: &input.view.graph,
        enforcement: &input.observation.enforcement,
        requirements: input.requirements,
        wanted_blocked: &theirs,
        workload,
        policy_name: &state.policy_name,
        base: state.wanted_policy(),
        policy: judged,
        others: &others,
        findings: &[input.findings, risks.as_slice()].concat(),
        coverage: coverage(input.observation, workload),
        reason: &reason(state, &desired, judged, drift.as_ref()),
        now,
    });
    let mut assessment = assessment.map_err(|e| e.to_string())?;
    let shared = input.observation.shared.codes_for(&workload.namespace);
    assessment.impact.mark_shared(workload, &shared);
    input.refused.note(&mut assessment, workload);
    if let Some(drift) = &drift {
        assessment.impact.add_finding(drift);
    }
    if state.open().is_none() && is_rejected(engine_state, state, &desired, &mut assessment) {
        engine_state.change(workload, |state, _| state.answer(&desired));
        return Ok(());
    }
    engine_state.change(workload, |state, record| {
        let assessment = with_closed_on_purpose(assessment, state);
        state.propose(desired, assessment, now, record);
    });
    approve_within_rules(engine_state, workload, now);
    Ok(())
}

/// Adds what the policy would open although a revision in force was approved to block it.
fn with_closed_on_purpose(mut assessment: Assessment, state: &WorkloadState) -> Assessment {
    let closed = state.closed_on_purpose().into_iter();
    let opened = closed.filter(|one| assessment.intent.allows.contains(*one));
    for connection in opened.take(MOST_CLOSED) {
        let subject = connection.for_record().to_string();
        let message = "is closed on purpose, and would be opened";
        assessment
            .impact
            .add_finding(&Finding::new(Code::ClosedOnPurpose, subject, message));
    }
    assessment
}

/// The reason of a proposal that adopts a policy.
pub const ADOPTS: &str =
    "a policy of nanoseg is in the cluster that the state does not know: approve it to keep it";

fn reason(
    state: &WorkloadState,
    desired: &DesiredPolicy,
    judged: &k8s_openapi::api::networking::v1::NetworkPolicySpec,
    drift: Option<&Finding>,
) -> String {
    if state.open().is_some_and(|open| open.adopts) {
        return ADOPTS.into();
    }
    if *judged != desired.policy {
        return "edited by a person".into();
    }
    if state.degraded.is_some() {
        return "approved connections are blocked".into();
    }
    if drift.is_some() && !desired.asked_by_blocked {
        return "names that it calls have new addresses".into();
    }
    match (desired.asked_by_blocked, state.wanted) {
        (true, _) => "connections were tried that the approved policy does not allow".into(),
        (false, None) => "first policy: what was observed so far".into(),
        (false, Some(revision)) => format!("what was observed differs from revision {revision}"),
    }
}

/// Returns the findings about a workload's images and privileges. A new image needs a new assessment: otherwise an image
/// that nobody approved could be approved automatically.
pub fn risks(
    engine_state: &EngineState,
    observation: &Observation,
    id: &WorkloadId,
) -> Vec<Finding> {
    let Some(workload) = observation.inventory.workloads.get(id) else {
        return Vec::new();
    };
    let segment = engine_state.segments.get(&id.namespace);
    let approved = match segment.and_then(|state| state.segment.as_ref()) {
        Some(segment) => observation.approved.and(&segment.approved),
        None => observation.approved.clone(),
    };
    risk::findings(workload, &approved)
}

/// Returns what is left of the workload's policy when its temporary opening ends; `None`: it has none.
fn temporary(
    engine_state: &EngineState,
    input: &ProposalInput<'_>,
    state: Option<&WorkloadState>,
    now: Timestamp,
) -> Result<Option<Temporary>, String> {
    let opening = state.and_then(|state| Some((state, state.opening.as_ref()?)));
    let Some(of) = opening else { return Ok(None) };
    openings::afterwards(
        engine_state,
        input.observation,
        input.view,
        of,
        input.requirements,
        now,
    )
}

/// Returns the digest of what a proposal for the workload shows: its edges without their counts, its risks, and what
/// was refused.
fn basis(
    input: &ProposalInput<'_>,
    workload: &WorkloadId,
    violations: &[Violation],
    risks: &[Finding],
) -> Digest {
    let graph = &input.view.graph;
    let mut seen: BTreeSet<String> = input.refused.basis(workload).collect();
    let own = Peer::Workload(workload.clone());
    for (client, server, edge) in graph.edges_of(&own) {
        let lesson = edge.lesson.teaches();
        let unguarded = edge.unguarded.map_or(String::new(), |one| one.to_string());
        seen.insert(format!(
            "{client} {server} {} {} {lesson}{unguarded}{}",
            edge.port,
            edge.protocol,
            if edge.is_corroborated() {
                ""
            } else {
                " one-sided"
            }
        ));
    }
    seen.extend(
        violations
            .iter()
            .map(|v| format!("{} {} {} {}", v.client, v.server, v.port, v.protocol)),
    );
    seen.extend(name_drifts::basis(input.drifts, workload));
    seen.extend(risks.iter().map(|f| format!("{} {}", f.code, f.message)));
    Digest::of_bytes(seen.into_iter().collect::<Vec<_>>().join("\n").as_bytes())
}

/// Approves the open proposal if the rules of the Segmentation, within the ceilings of the cluster, approve it
/// (rule: automatic-approval-has-ceilings). A namespace that turns automatic approval on later has to be observed as
/// long.
pub fn approve_within_rules(engine_state: &mut EngineState, workload: &WorkloadId, now: Timestamp) {
    let known = engine_state.states().get(workload);
    let Some((known, open)) = known.and_then(|known| Some((known, known.open()?))) else {
        return;
    };
    let state = engine_state.segments.get(&workload.namespace);
    let Some((segment, since)) = state.and_then(|s| Some((s.segment.as_ref()?, s.observing_since)))
    else {
        return;
    };
    if segment.approval.mode != ApprovalMode::Automatic || open.is_kept() {
        return;
    }
    let rules = &segment.approval.automatic;
    let outcome = if let Some(why) = known.needs_person() {
        Err(why.into())
    } else if now.secs_since(since) < segment.minimum_duration {
        Err(format!(
            "the namespace was observed for less than {} s",
            segment.minimum_duration
        ))
    } else if is_default_deny(workload) && !rules.allow_default_deny {
        Err("a person decides about the default deny of a namespace".into())
    } else {
        may_approve(segment, &open.impact, open.asked_by_blocked)
    };
    match outcome {
        Ok(()) => {
            engine_state.change(workload, |state, record| {
                state.approve_automatically(now, record)
            });
        }
        Err(why) => {
            let message = format!("not approved automatically: {why}");
            if open.message.as_ref() != Some(&message) {
                engine_state.change(workload, |state, _| state.note(message));
            }
        }
    }
}
