//! The data of the pages: one state of cluster and traffic, with everything that is computed from it once.

use super::html::size;
use super::record::RecordSource;
use crate::evaluate::{BlastRadius, EvaluateError, Evaluation, HostNetwork, Reach};
use crate::finding::Finding;
use crate::graph::{Graph, ServiceEnforcements};
use crate::inventory::{Inventory, WorkloadId};
use crate::net::Timestamp;
use crate::pipeline::RiskChoices;
use crate::pipeline::risk::{Distances, distances};
use crate::report::evidence::Event;
use crate::review::resources::{PolicyProposal, risk_rank};
use crate::risk::{VolumeChange, VolumeReport, Weakness};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::ResourceExt;
use std::collections::BTreeMap;

/// The inputs of a view.
#[derive(Debug, Default)]
pub struct ViewInputs {
    /// The name of the source: a context, a folder.
    pub subject: String,
    pub graph: Graph,
    /// Where the network plugin checks connections through Services.
    pub enforcement: ServiceEnforcements,
    /// The source of the graph.
    pub graph_source: GraphSource,
    pub inventory: Inventory,
    /// The policies that are in force.
    pub now: Vec<NetworkPolicy>,
    /// The policies that would be in force if every open proposal were approved.
    pub proposed: Vec<NetworkPolicy>,
    pub proposals: Vec<PolicyProposal>,
    /// Oldest first.
    pub events: Vec<Event>,
    /// Why the chain of the record is broken; `None` if there is no record, or if its chain is verified.
    pub record_problem: Option<String>,
    /// The source of the events.
    pub record_source: RecordSource,
    /// Findings of reading and of the traffic. [`View::new`] adds those of images, privileges, vulnerabilities and volume.
    pub findings: Vec<Finding>,
    /// Approved images and vulnerability scans.
    pub risk: RiskChoices,
    /// Volume by the hour, if it is known.
    pub volume: Option<VolumeReport>,
    /// What workloads without a proposal wait for, in words.
    pub waiting: BTreeMap<WorkloadId, String>,
    /// True if the page can decide proposals.
    pub can_decide: bool,
}

/// The source of the graph.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub enum GraphSource {
    /// Recorded flows, which are complete.
    #[default]
    Flows,
    /// The graph that the controller publishes; `left_out` edges had no room.
    Published { left_out: usize },
    /// The evidence of proposals, because there is no graph.
    Evidence { why: String },
}

impl GraphSource {
    /// What a reader of the map must know about the source; `None` for a complete one.
    pub fn words(&self) -> Option<String> {
        match self {
            GraphSource::Flows => None,
            GraphSource::Published { left_out: 0 } => {
                Some("All traffic that the controller knows of, as it last published it.".into())
            }
            GraphSource::Published { left_out } => Some(format!(
                "Traffic as the controller publishes it: {left_out} older edges had no room. \
                 Give recorded flows with --flows to see all."
            )),
            GraphSource::Evidence { why } => Some(format!(
                "Only the traffic that is evidence of proposals: {why}. Give recorded flows with --flows to see all."
            )),
        }
    }
}

/// One state, ready to be shown.
#[derive(Debug)]
pub struct View {
    pub given: ViewInputs,
    /// What a break-in reaches with the policies in force, and with those that are proposed.
    pub reach: [Reach; 2],
    pub radii: [BTreeMap<WorkloadId, BlastRadius>; 2],
    pub evaluations: [Evaluation; 2],
    /// Hops from the internet, with the policies in force and with those that are proposed.
    pub distances: [Distances; 2],
    /// Known vulnerabilities with the policies in force, the gravest and nearest to the internet first.
    pub weaknesses: Vec<Weakness>,
    /// The index of each workload in `weaknesses`.
    weakness_places: BTreeMap<WorkloadId, usize>,
    /// The time of the last observation: edges are new relative to it, not to a clock.
    pub last_seen: Option<Timestamp>,
}

impl View {
    /// Computes the data of the pages.
    ///
    /// # Errors
    /// A policy that the API server would refuse.
    pub fn new(mut given: ViewInputs) -> Result<View, EvaluateError> {
        let evaluate = |policies: &[NetworkPolicy]| {
            Evaluation::new(&given.inventory, policies, HostNetwork::Exact)
        };
        let evaluations = [evaluate(&given.now)?, evaluate(&given.proposed)?];
        let reach = [Reach::of(&evaluations[0]), Reach::of(&evaluations[1])];
        let radii = [0, 1].map(|side: usize| {
            let all = reach[side].radii().into_iter();
            all.map(|(id, radius)| (id.clone(), radius)).collect()
        });
        let distances = [0, 1].map(|side: usize| {
            distances(
                &given.inventory,
                &given.graph,
                &evaluations[side],
                &reach[side],
            )
        });
        let weaknesses = given.risk.weaknesses(&given.inventory, &distances[0]);
        given
            .findings
            .extend(given.risk.findings(&given.inventory, |_| true));
        given
            .findings
            .extend(weaknesses.iter().filter_map(Weakness::finding));
        let changes = given.volume.iter().flat_map(|volume| &volume.changes);
        given.findings.extend(changes.map(change_finding));
        given.findings.sort();
        given.findings.dedup();
        let places: BTreeMap<WorkloadId, usize> = weaknesses
            .iter()
            .enumerate()
            .map(|(place, one)| (one.workload.clone(), place))
            .collect();
        given.proposals.sort_by_cached_key(|one| {
            let risk = risk_rank(&one.spec.review.risk);
            let place = places.get(&proposal_workload(one)).copied();
            let urgent = place.filter(|place| is_urgent(&weaknesses[*place]));
            let name = (one.namespace(), one.name_any());
            (urgent.is_none(), urgent, risk, name)
        });
        let last_seen = given.graph.span().map(|(_, last)| last);
        Ok(View {
            given,
            reach,
            radii,
            evaluations,
            distances,
            weaknesses,
            weakness_places: places,
            last_seen,
        })
    }

    /// High or critical vulnerabilities that the internet reaches, the worst first.
    pub fn urgent(&self) -> impl Iterator<Item = &Weakness> {
        self.weaknesses.iter().filter(|one| is_urgent(one))
    }

    /// The same for one workload.
    pub fn urgent_of(&self, id: &WorkloadId) -> Option<&Weakness> {
        self.weakness(id).filter(|one| is_urgent(one))
    }

    /// The known vulnerabilities of a workload.
    pub fn weakness(&self, id: &WorkloadId) -> Option<&Weakness> {
        let place = self.weakness_places.get(id)?;
        self.weaknesses.get(*place)
    }

    /// The workload of that name, if there is one.
    pub fn workload(&self, namespace: &str, kind: &str, name: &str) -> Option<WorkloadId> {
        let id = WorkloadId {
            namespace: namespace.to_owned(),
            kind: kind.to_owned(),
            name: name.to_owned(),
        };
        self.given
            .inventory
            .workloads
            .contains_key(&id)
            .then_some(id)
    }

    pub fn proposal(&self, namespace: &str, name: &str) -> Option<&PolicyProposal> {
        let mut all = self.given.proposals.iter();
        all.find(|one| one.namespace().as_deref() == Some(namespace) && one.name_any() == name)
    }
}

fn is_urgent(weakness: &Weakness) -> bool {
    weakness.is_grave() && weakness.hops != Weakness::UNREACHABLE
}

/// The finding of a change, with sizes in the units of the pages.
fn change_finding(change: &VolumeChange) -> Finding {
    let mut finding = change.finding();
    if change.in_bytes {
        finding.message = format!(
            "had {} in its last hour, and usually has {}",
            size(change.now),
            size(change.usual)
        );
    }
    finding
}

/// The workload of a proposal.
pub fn proposal_workload(proposal: &PolicyProposal) -> WorkloadId {
    let workload = &proposal.spec.workload;
    WorkloadId {
        namespace: proposal.namespace().unwrap_or_default(),
        kind: workload.kind.clone(),
        name: workload.name.clone(),
    }
}

/// The path of a workload's page.
pub fn workload_path(id: &WorkloadId) -> String {
    use super::html::part;
    format!(
        "workload/{}/{}/{}",
        part(&id.namespace),
        part(&id.kind),
        part(&id.name)
    )
}
