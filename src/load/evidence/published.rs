//! From what the controller publishes in the cluster: the graph, the newest part of the record, proposals. The rights to
//! read these are all that is needed; nothing is copied out of a pod.

use super::state::{gone, reset};
use super::{LoadedEvidence, inventory};
use crate::graph::{Edge, EdgeKey, Graph, Peer};
use crate::inventory::{Objects, WorkloadId, is_ours};
use crate::load::client::BlockingClient;
use crate::load::error::LoadError;
use crate::load::published::{
    Published, PublishedGraph, place, read_published, read_published_graph,
};
use crate::net::Direction;
use crate::pipeline::evidence::EvidenceInputs;
use crate::record::{Action, Digest, RecordLine, Tail};
use crate::report::LearningDocument;
use crate::report::evidence::{
    Approval, Asked, Counted, Event, Period, RecordHead, RuleApproval, Source,
};
use crate::review::resources::{EvidenceLine, PolicyProposal};
use crate::review::{foreign_in_force, policy_digest, uncovered};
use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicySpec};
use std::collections::{BTreeMap, BTreeSet};

/// What the controller publishes.
pub struct PublishedState {
    pub graph: Graph,
    /// How many more edges the controller has.
    pub left_out: usize,
    pub tail: Tail,
    pub proposals: Vec<PolicyProposal>,
}

impl PublishedState {
    /// Reads it from the cluster. `namespace` is the controller's.
    ///
    /// # Errors
    /// It is not there, or may not be read.
    pub fn read(client: &BlockingClient, namespace: &str) -> Result<PublishedState, LoadError> {
        let record = client.block_on(read_published(&client.client, namespace))?;
        let tail = match record {
            Published::Part { tail, .. } => tail.map_err(|error| {
                LoadError::NotPublished(format!("{}: {error}", place(namespace)))
            })?,
            Published::Absent => {
                return Err(LoadError::NotPublished(format!(
                    "there is no {}",
                    place(namespace)
                )));
            }
            Published::Refused(why) => {
                return Err(LoadError::NotPublished(format!(
                    "{} may not be read: {why}",
                    place(namespace)
                )));
            }
        };
        let graph = client.block_on(read_published_graph(&client.client, namespace))?;
        let PublishedGraph {
            graph, left_out, ..
        } = graph.map_err(LoadError::NotPublished)?;
        Ok(PublishedState {
            graph,
            left_out,
            tail,
            proposals: client.list(None)?,
        })
    }
}

/// Makes evidence of what is published. `objects` is the cluster as it is now.
///
/// # Errors
/// A period, which a published graph cannot be cut to; a cluster without pods.
pub fn from_published(
    published: PublishedState,
    period: Period,
    objects: &Objects,
) -> Result<LoadedEvidence, LoadError> {
    if period != Period::default() {
        return Err(LoadError::PeriodOfPublished);
    }
    let (inventory, mut findings) = inventory(objects)?;
    let PublishedState {
        graph,
        left_out,
        tail,
        proposals,
    } = published;
    let (lines, problems) = tail.check(None);
    let reset = lines
        .iter()
        .find(|line| matches!(line.entry.action, Action::RecordReset { .. }))
        .map(reset);
    let broken = problems.first().map(ToString::to_string).or(reset);
    let policies = objects.network_policies.clone();
    let owners = owners(&proposals);
    let ours = policies.iter().filter(|policy| is_ours(&policy.metadata));
    let ours: Vec<(String, &NetworkPolicySpec)> = ours.filter_map(named).collect();
    let known = ours
        .iter()
        .filter_map(|(name, spec)| Some((owners.get(name)?, *spec)));
    findings.extend(foreign_in_force(&inventory, known));
    let enforced: BTreeSet<&str> = ours
        .iter()
        .filter_map(|(name, _)| namespace(name))
        .collect();
    findings.extend(enforced.into_iter().flat_map(|namespace| {
        let open = uncovered(&inventory, &policies, namespace, None);
        open.findings(&inventory)
    }));
    let approvals = ours
        .iter()
        .filter_map(|(name, spec)| approval(name, spec, owners.get(name)?, &lines, &proposals));
    let edges = graph.edges().into_iter();
    let edges: Vec<(EdgeKey, Edge)> = edges
        .map(|(client, server, edge)| {
            let key = (client.clone(), server.clone(), edge.protocol, edge.port);
            (key, edge.clone())
        })
        .collect();
    let gone = gone(edges, &inventory);
    let sources = sources(&graph, left_out, &tail);
    let inputs = EvidenceInputs {
        period: Period {
            counted: Counted::Whole,
            ..period
        },
        sources,
        findings,
        // It cannot be computed from a graph that was read.
        learning: Some(LearningDocument::default()),
        approvals: approvals.collect(),
        asked: proposals.iter().map(asked).collect(),
        owners,
        events: lines.into_iter().map(Event::from).collect(),
        record_head: Some(RecordHead {
            sequence: tail.head.sequence,
            digest: tail.head.digest.as_str().to_owned(),
        }),
        record: tail.lines,
        record_broken: broken,
        ..EvidenceInputs::default()
    };
    Ok(LoadedEvidence {
        graph: without(&graph, &gone),
        inventory,
        policies,
        inputs: EvidenceInputs { gone, ..inputs },
    })
}

fn sources(graph: &Graph, left_out: usize, tail: &Tail) -> Vec<Source> {
    let edges = graph.inner().edge_count();
    let left_out = match left_out {
        0 => String::new(),
        count => format!("; {count} that were seen longest ago are not published"),
    };
    let from = match tail.after.sequence {
        0 => "the whole record".to_owned(),
        _ => format!("the newest part, which follows {}", tail.after),
    };
    let source = |name: &str, what| Source {
        name: name.to_owned(),
        what,
    };
    vec![
        source(
            "nanoseg-graph",
            format!("the published graph: {edges} edges{left_out}"),
        ),
        source("nanoseg-record", format!("the published record: {from}")),
    ]
}

/// The graph without the edges of those that are gone: no policy can be judged by them.
fn without(graph: &Graph, gone: &[(Peer, Peer, Edge)]) -> Graph {
    let gone: BTreeSet<_> = gone
        .iter()
        .map(|(client, server, edge)| (client, server, edge.protocol, edge.port))
        .collect();
    let mut left = Graph::default();
    left.names.clone_from(&graph.names);
    left.named_at.clone_from(&graph.named_at);
    for (client, server, edge) in graph.edges() {
        if !gone.contains(&(client, server, edge.protocol, edge.port)) {
            left.add_edge(client, server, edge.clone());
        }
    }
    left
}

/// `namespace/name` of a policy, and what it says.
fn named(policy: &NetworkPolicy) -> Option<(String, &NetworkPolicySpec)> {
    let meta = &policy.metadata;
    let name = format!("{}/{}", meta.namespace.as_ref()?, meta.name.as_ref()?);
    Some((name, policy.spec.as_ref()?))
}

fn namespace(name: &str) -> Option<&str> {
    Some(name.split_once('/')?.0)
}

/// The workloads of policies, `namespace/name`, by their proposals.
fn owners(proposals: &[PolicyProposal]) -> BTreeMap<String, WorkloadId> {
    let owner = |proposal: &PolicyProposal| {
        let namespace = proposal.metadata.namespace.clone()?;
        let spec = &proposal.spec;
        let name = format!("{namespace}/{}", spec.policy_name);
        let (name_of, kind) = (spec.workload.name.clone(), spec.workload.kind.clone());
        let id = WorkloadId {
            namespace,
            name: name_of,
            kind,
        };
        Some((name, id))
    };
    proposals.iter().filter_map(owner).collect()
}

/// Who approved a policy as it is now, by the newest line of the record that says so.
fn approval(
    name: &str,
    spec: &NetworkPolicySpec,
    workload: &WorkloadId,
    lines: &[RecordLine],
    proposals: &[PolicyProposal],
) -> Option<Approval> {
    let digest = policy_digest(spec);
    let (line, proposal, reason) = lines
        .iter()
        .rev()
        .find_map(|line| approved(line, name, &digest))?;
    let revision = proposals
        .iter()
        .find(|one| {
            let meta = &one.metadata;
            meta.name.as_deref() == Some(proposal) && meta.namespace.as_deref() == namespace(name)
        })
        .and_then(|one| one.status.as_ref()?.applied_revision)
        .unwrap_or_default();
    let by = line.entry.actor.to_string();
    let count = |rules: Option<usize>| rules.unwrap_or_default();
    let rules = [
        (
            Direction::Ingress,
            count(spec.ingress.as_ref().map(Vec::len)),
        ),
        (Direction::Egress, count(spec.egress.as_ref().map(Vec::len))),
    ];
    // Which earlier approval added a rule is in the controller's state alone.
    let rules = rules.into_iter().flat_map(|(direction, count)| {
        let by = &by;
        (0..count).map(move |index| RuleApproval {
            direction,
            index,
            revision,
            by: by.clone(),
            at: line.at,
        })
    });
    Some(Approval {
        policy: name.to_owned(),
        workload: workload.clone(),
        revision,
        digest: digest.as_str().to_owned(),
        rules: rules.collect(),
        by,
        at: line.at,
        reason: reason.to_owned(),
    })
}

/// The proposal and the reason, if a line says that this policy was approved.
fn approved<'l>(
    line: &'l RecordLine,
    name: &str,
    digest: &Digest,
) -> Option<(&'l RecordLine, &'l str, &'l str)> {
    let entry = &line.entry;
    let is_it = entry.after.as_ref() == Some(digest)
        && name.split_once('/') == Some((entry.namespace.as_str(), entry.object.as_str()));
    match &entry.action {
        Action::Approved { proposal, why, .. } if is_it => Some((line, proposal, why)),
        Action::AutoApproved { proposal } if is_it => Some((line, proposal, "")),
        _ => None,
    }
}

/// The connections that a proposal would allow.
fn asked(proposal: &PolicyProposal) -> Asked {
    let evidence = proposal.spec.review.evidence.iter();
    Asked {
        namespace: proposal.metadata.namespace.clone().unwrap_or_default(),
        name: proposal.metadata.name.clone().unwrap_or_default(),
        connections: evidence.filter_map(EvidenceLine::connection).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Timestamp;
    use crate::record::{Actor, Chain, Entry, to_line};

    const POLICY: &str = "{metadata: {namespace: shop, name: nanoseg-db, labels: {app.kubernetes.io/managed-by: nanoseg}}, \
         spec: {podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress], \
         ingress: [{from: [{podSelector: {matchLabels: {app: api}}}]}]}}";

    fn proposal(name: &str, spec: &NetworkPolicySpec) -> PolicyProposal {
        let policy = serde_json::to_value(spec).unwrap();
        serde_json::from_value(serde_json::json!({
            "apiVersion": "nanoseg.dev/v1alpha1", "kind": "PolicyProposal",
            "metadata": {"namespace": "shop", "name": name},
            "spec": {"workload": {"kind": "Pod", "name": "db"}, "policyName": "nanoseg-db", "policy": policy},
            "status": {"phase": "Applied", "appliedRevision": 3},
        }))
        .unwrap()
    }

    fn state(policy: &NetworkPolicy, by: &str) -> PublishedState {
        let spec = policy.spec.as_ref().unwrap();
        let action = Action::Approved {
            proposal: "db-3".into(),
            why: "CHG-1".into(),
            until: None,
            afterwards: None,
        };
        let mut entry = Entry::new(action, Actor::user(by), "shop", "nanoseg-db");
        entry.after = Some(policy_digest(spec));
        let line = to_line(&Chain::default().append(entry, Timestamp::from_secs(60)));
        let tail = Tail::of_lines(vec![line]).unwrap().unwrap();
        PublishedState {
            graph: Graph::default(),
            left_out: 0,
            tail,
            proposals: vec![proposal("db-3", spec)],
        }
    }

    fn objects(policy: &NetworkPolicy) -> Objects {
        let pod = "{metadata: {name: db-0, namespace: shop, labels: {app: db}}, spec: {containers: []}, \
             status: {podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}], phase: Running}}";
        Objects {
            pods: vec![serde_yaml::from_str(pod).unwrap()],
            network_policies: vec![policy.clone()],
            ..Objects::default()
        }
    }

    #[test]
    fn what_is_published_says_who_approved_the_policy_that_is_in_the_cluster() {
        let mut policy: NetworkPolicy = serde_yaml::from_str(POLICY).unwrap();
        let published = state(&policy, "olga");
        let loaded = from_published(published, Period::default(), &objects(&policy)).unwrap();
        let approvals = &loaded.inputs.approvals;
        assert_eq!(approvals.len(), 1);
        let one = &approvals[0];
        assert_eq!((one.by.as_str(), one.reason.as_str()), ("olga", "CHG-1"));
        assert_eq!((one.revision, one.rules.len()), (3, 1));
        assert_eq!(loaded.inputs.record_broken, None);
        assert_eq!(loaded.inputs.events.len(), 1);
        // Nobody approved what somebody else wrote over it.
        let published = state(&policy, "olga");
        policy.spec.as_mut().unwrap().ingress = Some(vec![Default::default()]);
        let loaded = from_published(published, Period::default(), &objects(&policy)).unwrap();
        assert!(loaded.inputs.approvals.is_empty());
    }

    #[test]
    fn a_published_record_that_was_altered_is_said_and_a_period_is_refused() {
        let policy: NetworkPolicy = serde_yaml::from_str(POLICY).unwrap();
        let mut published = state(&policy, "olga");
        published.tail.lines[0] = published.tail.lines[0].replace("olga", "otto");
        let loaded = from_published(published, Period::default(), &objects(&policy)).unwrap();
        assert!(loaded.inputs.record_broken.is_some());
        let period = Period {
            from: Some(Timestamp::from_secs(1)),
            ..Period::default()
        };
        let refused = from_published(state(&policy, "olga"), period, &objects(&policy));
        let why = refused
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default();
        assert!(why.contains("backup"), "{why}");
    }
}
