//! What people refused stays out of proposals until its traffic changes (rule: rejected-is-not-asked-again).

use super::observation::ClusterView;
use super::state::EngineState;
use crate::finding::{Code, Finding};
use crate::graph::{Edge, Graph, Peer, Requirement};
use crate::inventory::WorkloadId;
use crate::net::Timestamp;
use crate::policy::SynthesisOptions;
use crate::review::resources::RefusedLine;
use crate::review::{
    Assessment, DesiredPolicy, IntendedConnection, Proposal, Refusals, RefusedBy,
    RefusedConnection, RejectedPolicy, SeenTraffic, TrafficChange, Violation, WorkloadState,
    names_of,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How many refused connections a proposal lists.
const MOST_LINES: usize = 20;

/// Which requirements the policies of which workloads are made from.
pub struct Pass {
    pub requirements: Vec<Requirement>,
    pub groups: Vec<(Vec<WorkloadId>, SynthesisOptions)>,
}

/// What people refused of the traffic of a view.
#[derive(Default)]
pub struct Refused {
    all: Arc<Refusals>,
    /// The refusal of each such connection, and what changed since; `None`: nothing, so it stays closed.
    found: BTreeMap<IntendedConnection, (RefusedConnection, Option<TrafficChange>)>,
    /// The place of each in [`Graph::taught`].
    places: BTreeMap<IntendedConnection, usize>,
}

pub fn connection(client: &Peer, server: &Peer, edge: &Edge) -> IntendedConnection {
    IntendedConnection {
        client: client.clone(),
        server: server.clone(),
        protocol: edge.protocol,
        port: edge.port,
    }
}

fn is_of(one: &IntendedConnection, workload: &WorkloadId) -> bool {
    [one.client.workload(), one.server.workload()].contains(&Some(workload))
}

impl Refused {
    pub fn find(engine_state: &EngineState, view: &ClusterView, now: Timestamp) -> Refused {
        let all = engine_state.memories.refusals();
        let mut refused = Refused {
            all,
            ..Refused::default()
        };
        if refused.all.is_empty() {
            return refused;
        }
        let periods = engine_state.memories.periods();
        for (client, server, edge) in view.graph.edges() {
            let connection = connection(client, server, edge);
            if let Some(refusal) = refused.all.of(&connection, &view.graph.names) {
                let change = refusal.change(edge, &periods, now);
                refused.found.insert(connection, (refusal.clone(), change));
            }
        }
        for (place, (client, server, edge)) in view.graph.taught().into_iter().enumerate() {
            let connection = connection(client, server, edge);
            if refused.found.contains_key(&connection) {
                refused.places.insert(connection, place);
            }
        }
        refused
    }

    /// Whether a person refused the connection, and nothing changed since.
    fn is_closed(&self, connection: &IntendedConnection) -> bool {
        self.found
            .get(connection)
            .is_some_and(|(_, change)| change.is_none())
    }

    /// The violations that may be asked about.
    pub fn open_violations(&self, violations: &[Violation]) -> Vec<Violation> {
        let is_open = |violation: &&Violation| {
            !self.is_closed(&IntendedConnection {
                client: violation.client.clone(),
                server: violation.server.clone(),
                protocol: violation.protocol,
                port: violation.port,
            })
        };
        violations.iter().filter(is_open).cloned().collect()
    }

    /// Divides the workloads by the requirements that their policies are made from: all without what was refused. Where
    /// the policy in force allows a refused connection at its own end, the policy goes on to allow it: who refuses a
    /// connection at one end asks for no change at the other.
    pub fn passes(
        &self,
        engine_state: &EngineState,
        requirements: &[Requirement],
        groups: Vec<(Vec<WorkloadId>, SynthesisOptions)>,
    ) -> Vec<Pass> {
        let closed: Vec<(&IntendedConnection, usize)> = self
            .places
            .iter()
            .filter(|(connection, _)| self.is_closed(connection))
            .map(|(connection, place)| (connection, *place))
            .collect();
        let mut keepers: BTreeMap<WorkloadId, BTreeSet<usize>> = BTreeMap::new();
        for (connection, place) in &closed {
            for id in [&connection.client, &connection.server] {
                let state = id.workload().and_then(|id| engine_state.states().get(id));
                if let Some(state) = state.filter(|state| allows(state, connection)) {
                    let kept = keepers.entry(state.workload.clone()).or_default();
                    kept.insert(*place);
                }
            }
        }
        let closed: BTreeSet<usize> = closed.into_iter().map(|(_, place)| place).collect();
        let without = |kept: &BTreeSet<usize>| -> Vec<Requirement> {
            let is_open =
                |one: &&Requirement| !closed.contains(&one.edge) || kept.contains(&one.edge);
            requirements.iter().filter(is_open).cloned().collect()
        };
        let mut passes = Vec::new();
        let mut rest = groups;
        for (workloads, options) in &mut rest {
            for id in workloads.iter() {
                if let Some(kept) = keepers.get(id) {
                    passes.push(Pass {
                        requirements: without(kept),
                        groups: vec![(vec![id.clone()], *options)],
                    });
                }
            }
            workloads.retain(|id| !keepers.contains_key(id));
        }
        rest.retain(|(workloads, _)| !workloads.is_empty());
        passes.push(Pass {
            requirements: without(&BTreeSet::new()),
            groups: rest,
        });
        passes
    }

    /// Whether something that was refused of the workload's traffic is to be asked about again.
    pub fn is_changed(&self, workload: &WorkloadId) -> bool {
        let mut theirs = self.found.iter().filter(|(one, _)| is_of(one, workload));
        theirs.any(|(_, (_, change))| change.is_some())
    }

    /// What a proposal for the workload shows of it, as text to be compared.
    pub fn basis(&self, workload: &WorkloadId) -> impl Iterator<Item = String> {
        let theirs = self.found.iter().filter(|(one, _)| is_of(one, workload));
        theirs.map(|(one, (refusal, change))| {
            let name = change.as_ref().map(kind_of).unwrap_or_default();
            format!("refused {} {} {name}", one.for_record(), refusal.at)
        })
    }

    /// Adds to a proposal what a person refused of the workload's traffic, and what changed since.
    pub fn note(&self, assessment: &mut Assessment, workload: &WorkloadId) {
        let mut lines = Vec::new();
        let allows = &assessment.intent.allows;
        for (one, (refusal, change)) in self.found.iter().filter(|(one, _)| is_of(one, workload)) {
            match change.as_ref().filter(|_| allows.contains(one)) {
                Some(change) => lines.insert(0, line(one, refusal, Some(change))),
                None if !allows.contains(one) => lines.push(line(one, refusal, None)),
                None => {}
            }
        }
        for one in &assessment.opens.all {
            if !self.found.contains_key(one)
                && let Some((refusal, change)) = self.all.like(one)
            {
                lines.insert(0, line(one, refusal, Some(&change)));
            }
        }
        for one in lines.iter().filter(|one| one.change.is_some()) {
            let subject = format!("{} → {} {}", one.client, one.server, one.port);
            let message = format!(
                "{} refused it at {} ({}): {}",
                one.refused_by, one.refused_at, one.proposal, one.message
            );
            let finding = Finding::new(Code::RefusedBefore, subject, message);
            assessment.impact.add_finding(&finding);
        }
        lines.truncate(MOST_LINES);
        assessment.impact.refused = lines;
    }
}

fn allows(state: &WorkloadState, connection: &IntendedConnection) -> bool {
    let wanted = state.wanted.and_then(|number| state.revision(number));
    wanted.is_some_and(|one| one.intent.allows.contains(connection))
}

fn kind_of(change: &TrafficChange) -> &'static str {
    match change {
        TrafficChange::Answered => "answered",
        TrafficChange::Volume { .. } => "volume",
        TrafficChange::TriedAgain => "tried-again",
        TrafficChange::OtherClient { .. } => "other-client",
        TrafficChange::OtherPort { .. } => "other-port",
    }
}

fn line(
    one: &IntendedConnection,
    refusal: &RefusedConnection,
    change: Option<&TrafficChange>,
) -> RefusedLine {
    RefusedLine {
        client: one.client.to_string(),
        server: one.server.to_string(),
        port: format!("{}/{}", one.port, one.protocol),
        refused_by: refusal.by.clone(),
        refused_at: refusal.at.to_string(),
        proposal: refusal.proposal.clone(),
        change: change.map(|change| kind_of(change).to_owned()),
        message: change.map(ToString::to_string).unwrap_or_default(),
    }
}

/// Whether a person has rejected all that a proposal for the workload would be made for. If what it would allow is
/// new, the proposal says so.
pub fn is_rejected(
    engine_state: &EngineState,
    state: &WorkloadState,
    desired: &DesiredPolicy,
    assessment: &mut Assessment,
) -> bool {
    let memory = engine_state.memories.of(&state.workload.namespace);
    let base = state.wanted.and_then(|number| state.revision(number));
    let known = memory
        .and_then(|memory| memory.rejected(&state.workload, base.map(|revision| &revision.digest)));
    let Some(rejected) = known.filter(|_| state.degraded.is_none()) else {
        return false;
    };
    let news = match base {
        // What it opens was not refused, or it would not be in it.
        Some(_) => {
            return !desired.is_changed
                && assessment.opens.all.is_empty()
                && assessment.closes.is_subset(&rejected.closes);
        }
        None => rejected.news(&assessment.intent.allows),
    };
    if news.is_empty() {
        return !desired.is_changed;
    }
    let lines: Vec<RefusedLine> = news
        .iter()
        .take(MOST_LINES)
        .map(|one| new(one, rejected))
        .collect();
    let names: Vec<String> = news
        .iter()
        .take(3)
        .map(|one| one.for_record().to_string())
        .collect();
    let more = match news.len().saturating_sub(names.len()) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    assessment.impact.reason = format!(
        "{}; new since {} rejected {} at {}: {}{more}",
        assessment.impact.reason,
        rejected.by,
        rejected.proposal,
        rejected.at,
        names.join(", ")
    );
    assessment.impact.refused.splice(0..0, lines);
    assessment.impact.refused.truncate(MOST_LINES);
    false
}

/// A connection that a rejected first policy did not allow.
fn new(one: &IntendedConnection, rejected: &RejectedPolicy) -> RefusedLine {
    RefusedLine {
        client: one.client.to_string(),
        server: one.server.to_string(),
        port: format!("{}/{}", one.port, one.protocol),
        refused_by: rejected.by.clone(),
        refused_at: rejected.at.to_string(),
        proposal: rejected.proposal.clone(),
        change: Some("new-connection".into()),
        message: "it is new since the first policy was rejected".into(),
    }
}

/// Remembers what a person refused by rejecting a proposal as a whole. `base`: the digest of the policy in force.
pub fn remember_rejection(
    engine_state: &mut EngineState,
    graph: &Graph,
    state: &WorkloadState,
    proposal: &Proposal,
    by: &str,
    now: Timestamp,
) {
    let refused = proposal.refused_by_rejection();
    remember(
        engine_state,
        graph,
        &state.workload,
        proposal,
        &refused,
        (by, RefusedBy::Rejection),
        now,
    );
    let base = state.wanted.and_then(|number| state.revision(number));
    let rejected = RejectedPolicy {
        workload: state.workload.clone(),
        base: base.map(|revision| revision.digest.clone()),
        allows: proposal.intent.allows.clone(),
        closes: proposal.closes.clone(),
        by: by.to_owned(),
        at: now,
        proposal: proposal.name.clone(),
    };
    engine_state
        .memories
        .change(&state.workload.namespace, |memory| {
            memory.reject(rejected);
            true
        });
}

/// Remembers connections that a person refused.
pub fn remember(
    engine_state: &mut EngineState,
    graph: &Graph,
    workload: &WorkloadId,
    proposal: &Proposal,
    refused: &BTreeSet<IntendedConnection>,
    (by, how): (&str, RefusedBy),
    now: Timestamp,
) {
    if refused.is_empty() {
        return;
    }
    let new = |one: &IntendedConnection| {
        let edge = graph.edge(&one.client, &one.server, one.protocol, one.port);
        RefusedConnection {
            connection: one.clone(),
            names: names_of(one, &graph.names).cloned().unwrap_or_default(),
            by: by.to_owned(),
            at: now,
            proposal: proposal.name.clone(),
            how,
            seen: edge.map(SeenTraffic::of),
        }
    };
    refused
        .iter()
        .for_each(|one| engine_state.memories.concerns(one));
    engine_state.memories.change(&workload.namespace, |memory| {
        refused.iter().map(new).for_each(|one| memory.refuse(one));
        true
    });
}

/// Forgets that a person refused what a person has approved now.
pub fn permit(
    engine_state: &mut EngineState,
    workload: &WorkloadId,
    allowed: &BTreeSet<IntendedConnection>,
) {
    engine_state.memories.change_all(|memory| {
        let before = memory.rejected.len();
        memory.accept(workload);
        memory.permit(allowed) | (before != memory.rejected.len())
    });
}
