//! From the controller's state: traffic by the hour, what was approved, the record.

use super::{LoadedEvidence, approvals, inventory_with};
use crate::finding::{Code, Finding};
use crate::flow::Aggregate;
use crate::graph::{Edge, EdgeKey, GraphOptions, History, Peer};
use crate::inventory::{Inventory, MANAGED_BY, Objects, WorkloadId};
use crate::load::error::LoadError;
use crate::load::observations::{hours_of, loss_findings};
use crate::load::policies::applied_over;
use crate::net::Timestamp;
use crate::pipeline::LiveGraph;
use crate::pipeline::evidence::EvidenceInputs;
use crate::record::{Action, ActionKind, Digest, Entry, RecordLine, Verifier, parse_line};
use crate::report::evidence::{Event, HourLine, Period, RecordHead, Source};
use crate::review::{Revision, WorkloadState, foreign_in_force, policy_digest, uncovered};
use crate::store::ReviewStore;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// Seconds of an hour.
const SECONDS: i64 = 3600;

/// Loads what the controller stored about the period. `path` is its state, `objects` is the cluster as it is now.
///
/// # Errors
/// A state that cannot be read or is damaged.
pub fn from_state(
    path: &Path,
    period: Period,
    objects: &Objects,
) -> Result<LoadedEvidence, LoadError> {
    let store = ReviewStore::open_read_only(path)?;
    let (inventory, mut findings) = inventory_with(objects, &store.node_addresses()?)?;
    let (history, hot, hours) = traffic(&store, hours_of(period), &inventory)?;
    let known: Vec<(EdgeKey, Edge)> = history
        .edges()
        .map(|(key, edge)| (key.clone(), edge.clone()))
        .collect();
    let inventory = Arc::new(inventory);
    let built = LiveGraph::new(history, hot).build(&inventory, GraphOptions::default());
    findings.extend(built.findings);
    findings.extend(loss_findings(&store.losses()?, |_| Vec::new()));
    let states = states(&store)?;
    let source = Source {
        name: path.display().to_string(),
        what: format!(
            "the controller's state: {} edges of single hours",
            hours.len()
        ),
    };
    let record = record(&store, period)?;
    let PoliciesAtEnd {
        approved,
        mut policies,
        lost,
    } = PoliciesAtEnd::find(&states, &record.in_force, objects, period);
    findings.extend(lost);
    policies.extend(approved.iter().map(|(state, one)| policy(state, one)));
    let policies = applied_over(objects.network_policies.clone(), policies);
    let ours = approved
        .iter()
        .map(|(state, one)| (&state.workload, &one.policy));
    findings.extend(foreign_in_force(&inventory, ours));
    let enforced: BTreeSet<&str> = record.in_force.keys().map(|(ns, _)| ns.as_str()).collect();
    findings.extend(enforced.into_iter().flat_map(|namespace| {
        let open = uncovered(&inventory, &policies, namespace, None);
        open.findings(&inventory)
    }));
    Ok(LoadedEvidence {
        policies,
        inputs: EvidenceInputs {
            period: period.by_the_hour(),
            sources: vec![source],
            findings,
            hours,
            gone: gone(known, &inventory),
            approvals: approved
                .iter()
                .map(|(state, one)| approvals::approval(state, one))
                .collect(),
            owners: states
                .iter()
                .map(|state| (approvals::policy_name(state), state.workload.clone()))
                .collect(),
            asked: states.iter().flat_map(approvals::asked).collect(),
            events: record.events,
            record: record.lines,
            record_head: Some(record.head),
            record_broken: record.broken,
            ..EvidenceInputs::default()
        },
        graph: built.graph,
        inventory: Arc::unwrap_or_clone(inventory),
    })
}

/// The edges with an end that is gone: no policy can name it, but it was observed.
pub(super) fn gone(edges: Vec<(EdgeKey, Edge)>, inventory: &Inventory) -> Vec<(Peer, Peer, Edge)> {
    let is_gone = |peer: &Peer| match peer {
        Peer::Workload(id) => !inventory.workloads.contains_key(id),
        Peer::Node(name) => inventory.nodes.iter().all(|node| node.name != *name),
        Peer::ApiServer | Peer::Outside(_) | Peer::Unattributed(_) => false,
    };
    let edges = edges.into_iter();
    edges
        .filter(|((client, server, ..), _)| is_gone(client) || is_gone(server))
        .map(|((client, server, ..), edge)| (client, server, edge))
        .collect()
}

type Traffic = (History, Aggregate, Vec<HourLine>);

fn traffic(
    store: &ReviewStore,
    hours: Range<i64>,
    inventory: &Inventory,
) -> Result<Traffic, LoadError> {
    let mut sums: BTreeMap<(i64, EdgeKey), HourLine> = BTreeMap::new();
    let mut note = |hour: i64, key: &EdgeKey, edge: &Edge| {
        let line = sums.entry((hour, key.clone())).or_insert_with(|| HourLine {
            hour: Timestamp::from_hour(hour),
            client: key.0.clone(),
            server: key.1.clone(),
            protocol: key.2,
            port: key.3,
            connections: 0,
            bytes_to_server: 0,
            bytes_to_client: 0,
        });
        line.connections += edge.connections();
        line.bytes_to_server += edge.bytes_to_server;
        line.bytes_to_client += edge.bytes_to_client;
    };
    let mut history = store.names(hours.clone())?;
    for one in store.hours(hours.clone())? {
        note(one.hour, &one.key, &one.edge);
        history.add_edge(&one.key, &one.edge);
    }
    for (client, scan) in store.scans(hours.clone())? {
        history.add_scan(&client, &scan);
    }
    let seconds = hours.start * SECONDS..hours.end * SECONDS;
    let hot = store.unfolded(seconds)?;
    for (hour, records) in hot.clone().take_hours(hours.end) {
        for (key, edge) in History::fold(&records, inventory).edges() {
            note(hour, key, edge);
        }
    }
    let mut lines: Vec<HourLine> = sums.into_values().collect();
    lines.sort();
    Ok((history, hot, lines))
}

/// The reviews of all workloads, including those that are gone.
fn states(store: &ReviewStore) -> Result<Vec<WorkloadState>, LoadError> {
    let reviews = store.load()?.reviews.into_iter();
    let ended = store.ended_reviews()?.into_iter();
    let ended = ended.map(|one| (one.workload, one.body));
    let state = |(id, body): (WorkloadId, String)| {
        serde_json::from_str(&body).map_err(|error| {
            LoadError::unreadable(format!("the review of {id}"), "the state is damaged", error)
        })
    };
    reviews.chain(ended).map(state).collect()
}

/// The policies in the cluster at the end of the period.
#[derive(Default)]
struct PoliciesAtEnd<'s> {
    approved: Vec<(&'s WorkloadState, &'s Revision)>,
    /// Policies without a stored review that the snapshot still has.
    policies: Vec<NetworkPolicy>,
    /// Policies that are not known any more.
    lost: Vec<Finding>,
}

impl<'s> PoliciesAtEnd<'s> {
    fn find(
        states: &'s [WorkloadState],
        in_force: &InForce,
        objects: &Objects,
        period: Period,
    ) -> Self {
        let mut found = PoliciesAtEnd::default();
        for ((namespace, name), digest) in in_force {
            let theirs = states.iter().filter(|state| {
                state.workload.namespace == *namespace && state.policy_name == *name
            });
            let known = theirs.filter_map(|state| Some((state, revision(state, digest, period)?)));
            let there = objects.network_policies.iter().find(|policy| {
                let at = (&policy.metadata.namespace, &policy.metadata.name);
                at == (&Some(namespace.clone()), &Some(name.clone()))
                    && policy.spec.as_ref().map(policy_digest).as_ref() == Some(digest)
            });
            // A workload may have come back, and its policy been approved once more.
            match (known.max_by_key(|(_, revision)| revision.at), there) {
                (Some(one), _) => found.approved.push(one),
                (None, Some(policy)) => found.policies.push(policy.clone()),
                (None, None) => found.lost.push(Finding::new(
                    Code::LostPolicy,
                    format!("{namespace}/{name}"),
                    format!("{digest} was in force"),
                )),
            }
        }
        found
    }
}

/// The revision of a workload with that policy.
fn revision<'s>(state: &'s WorkloadState, digest: &Digest, period: Period) -> Option<&'s Revision> {
    // The same policy may have been approved again later.
    let mut revisions = state.revisions.iter().rev();
    revisions.find(|one| one.digest == *digest && period.to.is_none_or(|to| one.at < to))
}

fn policy(state: &WorkloadState, revision: &Revision) -> NetworkPolicy {
    let mut policy = NetworkPolicy {
        spec: Some(revision.policy.clone()),
        ..NetworkPolicy::default()
    };
    policy.metadata.name = Some(state.policy_name.clone());
    policy.metadata.namespace = Some(state.workload.namespace.clone());
    policy.metadata.labels = Some([(MANAGED_BY.0.into(), MANAGED_BY.1.into())].into());
    policy
}

/// The digest of each policy, by namespace and name, in the cluster at the end of the period.
type InForce = BTreeMap<(String, String), Digest>;

/// The record up to the end of the period.
struct Record {
    events: Vec<Event>,
    lines: Vec<String>,
    head: RecordHead,
    /// Where its chain is broken.
    broken: Option<String>,
    in_force: InForce,
}

/// Applies to `in_force` what an entry wrote to the cluster or deleted from it.
fn note(in_force: &mut InForce, entry: &Entry) {
    let key = (entry.namespace.clone(), entry.object.clone());
    match (entry.action.kind(), &entry.after) {
        (ActionKind::Applied | ActionKind::Adopted | ActionKind::DriftRepaired, Some(digest)) => {
            in_force.insert(key, digest.clone());
        }
        (ActionKind::Deleted, _) => drop(in_force.remove(&key)),
        (ActionKind::BreakGlassOn, _) => in_force.retain(|(namespace, _), _| *namespace != key.0),
        _ => {}
    }
}

/// What it means that a person accepted a state that did not continue the record.
pub(super) fn reset(line: &RecordLine) -> String {
    format!(
        "entry {} goes on with another state: {}; what was recorded before and is not here is not known",
        line.sequence, line.entry.reason
    )
}

/// Reads the record up to the end of the period.
fn record(store: &ReviewStore, period: Period) -> Result<Record, LoadError> {
    let (mut events, mut lines, mut in_force) = (Vec::new(), Vec::new(), InForce::new());
    let mut head = RecordHead {
        sequence: 0,
        digest: String::new(),
    };
    let (mut problem, mut broken) = (None, None);
    let mut verifier = Verifier::default();
    store.record_lines(1, |number, line| {
        let entry = match parse_line(line) {
            Ok(entry) => entry,
            Err(error) => {
                problem = Some(LoadError::unreadable(
                    format!("entry {number} of the record"),
                    "find out more with nanoseg record verify",
                    error,
                ));
                return false;
            }
        };
        if period.to.is_some_and(|to| entry.at >= to) {
            return false;
        }
        if let Err(found) = verifier.check(&entry) {
            broken.get_or_insert_with(|| found.to_string());
        }
        if let Action::RecordReset { .. } = entry.entry.action {
            broken.get_or_insert_with(|| reset(&entry));
        }
        head = RecordHead {
            sequence: entry.sequence,
            digest: entry.digest.as_str().to_owned(),
        };
        lines.push(line.to_owned());
        note(&mut in_force, &entry.entry);
        events.push(Event::from(entry));
        true
    })?;
    match problem {
        Some(problem) => Err(problem),
        None => Ok(Record {
            events,
            lines,
            head,
            broken,
            in_force,
        }),
    }
}
