//! The page of a cluster, read again whenever something that it shows changes.

use super::PageSource;
use super::changes::{Fingerprint, PageChange, changes, digest, published_version, versions};
use super::proposal_graph::{of_evidence, of_present};
use super::record::{Record, Records};
use super::scans::Scans;
use crate::finding::{Code, Finding};
use crate::graph::{EnforcedPorts, Graph, GraphOptions, ServiceEnforcements, build};
use crate::inventory::{Inventory, ObjectRemark, Objects, OwnerRule, WorkloadId, foreign_policies};
use crate::load::client::{BlockingClient, list_everywhere};
use crate::load::controller_state;
use crate::load::error::LoadError;
use crate::load::notice::NoticeSink;
use crate::load::objects::list_objects;
use crate::load::observations::{TrafficSource, read_traffic};
use crate::load::policies::current;
use crate::load::published::{Published, PublishedGraph, read_published, read_published_graph};
use crate::load::risk::RiskSource;
use crate::load::source_path::SourcePath;
use crate::pipeline::{RiskChoices, network_plugin_findings};
use crate::plugin::Profile;
use crate::review::resources::{
    Mode, Phase, PolicyProposal, ProposalDecision, Segmentation, WaitingWorkload,
};
use crate::review::{SegmentationSettings, service_enforcements, uncovered};
use crate::risk::VolumeReport;
use crate::web::{GraphSource, Shown, View, ViewInputs};
use futures_util::{Stream, StreamExt};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::runtime::watcher;
use kube::{Client, ResourceExt};
use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Changes often come together: after the first, more are awaited for this time.
const SETTLE: Duration = Duration::from_millis(300);
/// Pods change all the time in a large cluster. Where only they did, the cluster is read again at the earliest so
/// long after the last time, and so many times as long as reading took.
const REST: Duration = Duration::from_secs(2);
const REST_SHARE: u32 = 10;

/// The page of a cluster.
pub struct ClusterPage {
    /// Which cluster it is, and who looks at it.
    subject: String,
    flows: Vec<PathBuf>,
    risk: RiskSource,
    service_enforcement: Option<EnforcedPorts>,
    network_plugin: Option<Profile>,
    records: Records,
    scans: Scans,
    notices: Arc<dyn NoticeSink>,
}

/// What was read from the cluster.
struct ClusterState {
    objects: Objects,
    proposals: Vec<PolicyProposal>,
    decisions: Vec<ProposalDecision>,
    risk: RiskChoices,
    enforcement: ServiceEnforcements,
    segments: Vec<SegmentationSettings>,
    /// What workloads without a proposal wait for.
    waiting: BTreeMap<WorkloadId, String>,
    /// The published part of the record; `None` where a copy of the controller's state is given.
    record: Option<Published>,
    /// The published graph, or why there is none.
    graph: Result<PublishedGraph, String>,
}

/// Shows a newer view, or the problem why there is none.
fn show(sender: &watch::Sender<Shown>, view: Option<Arc<View>>, problem: Option<String>) {
    sender.send_if_modified(|shown| {
        if view.is_none() && shown.problem == problem {
            return false;
        }
        shown.version = shown.version.saturating_add(1);
        shown.problem = problem;
        shown.view = view.unwrap_or_else(|| shown.view.clone());
        true
    });
}

fn problem(error: &LoadError) -> String {
    format!(
        "The cluster could not be read: {}. What is shown here is older than that; it is tried again.",
        chain(error)
    )
}

/// An error with its causes in one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

impl ClusterPage {
    /// `subject` is which cluster it is, and who looks at it.
    pub fn new(subject: String, source: PageSource, notices: Arc<dyn NoticeSink>) -> ClusterPage {
        ClusterPage {
            subject,
            flows: source.flows,
            risk: source.risk,
            service_enforcement: source.service_enforcement,
            network_plugin: source.network_plugin,
            records: Records::new(source.state, source.controller_namespace),
            scans: Scans::default(),
            notices,
        }
    }

    /// Reads the cluster.
    ///
    /// # Errors
    /// The cluster does not answer, or a file cannot be read.
    pub async fn read_view(&self, client: &Client) -> Result<(Fingerprint, View), LoadError> {
        let (fingerprint, state) = self.read(client).await?;
        Ok((fingerprint, self.view(state)?))
    }

    /// Reads the cluster again after each change, until nobody looks at the page any more.
    pub fn follow(
        &self,
        client: &BlockingClient,
        sender: &watch::Sender<Shown>,
        mut known: Fingerprint,
    ) {
        client.block_on(async {
            let mut changes = changes(&client.client, &self.records.namespace);
            let (mut rested, mut is_due) = (Instant::now(), false);
            loop {
                tokio::select! {
                    change = changes.next() => {
                        let Some(change) = change else { return };
                        let Some(change) = self.known_change(change) else { continue };
                        is_due = true;
                        if change != PageChange::Decisions && Instant::now() < rested {
                            continue;
                        }
                    }
                    () = tokio::time::sleep_until(rested), if is_due => {}
                }
                self.settle(&mut changes).await;
                let began = Instant::now();
                let newer = self.read_newer(&client.client, &known).await;
                rested = Instant::now() + REST.max(began.elapsed() * REST_SHARE);
                is_due = newer.is_err();
                let (view, problem) = match newer {
                    Ok(None) => (None, None),
                    Ok(Some((fingerprint, view))) => {
                        known = fingerprint;
                        (Some(Arc::new(view)), None)
                    }
                    Err(error) => {
                        tracing::warn!("failed to read the cluster: {}", chain(&error));
                        (None, Some(problem(&error)))
                    }
                };
                show(sender, view, problem);
                if sender.is_closed() {
                    return;
                }
            }
        });
    }

    /// Waits a moment for more changes, so that they are read together.
    async fn settle(
        &self,
        changes: &mut (impl Stream<Item = Result<PageChange, watcher::Error>> + Unpin),
    ) {
        let settled = tokio::time::sleep(SETTLE);
        tokio::pin!(settled);
        loop {
            tokio::select! {
                () = &mut settled => return,
                more = changes.next() => match more {
                    Some(change) => drop(self.known_change(change)),
                    None => return,
                }
            }
        }
    }

    /// What a watch reported; `None`: nothing is known to have changed.
    fn known_change(&self, change: Result<PageChange, watcher::Error>) -> Option<PageChange> {
        match change {
            Ok(PageChange::Scans) => {
                self.scans.changed();
                Some(PageChange::Scans)
            }
            Ok(PageChange::ScansUnseen) => {
                self.scans.changed();
                None
            }
            Ok(change) => Some(change),
            Err(error) => {
                // Reading the cluster shows whether more is wrong.
                tracing::warn!("failed to watch: {error}");
                Some(PageChange::Cluster)
            }
        }
    }

    /// Reads the cluster; `None`: it is as it was at `known`.
    async fn read_newer(
        &self,
        client: &Client,
        known: &Fingerprint,
    ) -> Result<Option<(Fingerprint, View)>, LoadError> {
        let (fingerprint, state) = self.read(client).await?;
        // The first events of a watch are about what was read already.
        if fingerprint == *known {
            return Ok(None);
        }
        Ok(Some((fingerprint, self.view(state)?)))
    }

    async fn read(&self, client: &Client) -> Result<(Fingerprint, ClusterState), LoadError> {
        let mut objects = list_objects(client, &*self.notices).await?;
        let (proposals, of_proposals): (Vec<PolicyProposal>, _) = list_everywhere(client).await?;
        let (decisions, of_decisions): (Vec<ProposalDecision>, _) = list_everywhere(client).await?;
        let (segmentations, of_segmentations): (Vec<Segmentation>, _) =
            list_everywhere(client).await?;
        let unread = [of_proposals, of_decisions, of_segmentations].concat();
        objects.remarks.extend(unread);
        let (scans, scans_generation) = self.scans.read(client, &*self.notices).await?;
        objects.remarks.extend(self.scans.unread());
        let mut risk = self.risk.read(&scans)?;
        // An invalid Segmentation approves nothing; the controller reports what is wrong with it.
        let segments: Vec<SegmentationSettings> = segmentations
            .iter()
            .filter_map(|one| SegmentationSettings::parse(one).ok())
            .collect();
        let enforcement = service_enforcements(self.service_enforcement, &segments);
        let approved = segments.iter();
        let approved = approved.map(|one| (one.namespace.clone(), one.approved.clone()));
        risk.by_namespace = approved.collect();
        let namespace = &self.records.namespace;
        let record = match self.records.state {
            Some(_) => None,
            None => Some(read_published(client, namespace).await?),
        };
        let graph = match self.flows.as_slice() {
            [] => read_published_graph(client, namespace).await?,
            _ => Err("recorded flows are given".to_owned()),
        };
        let waiting: BTreeMap<WorkloadId, String> =
            segmentations.iter().flat_map(waiting).collect();
        let state = ClusterState {
            segments,
            waiting: waiting.clone(),
            objects,
            proposals,
            decisions,
            risk,
            enforcement,
            record,
            graph,
        };
        let fingerprint = Fingerprint {
            versions: state.versions(),
            pods: state.objects.pods.iter().map(digest).collect(),
            generations: segmentations
                .iter()
                .map(|one| (one.uid(), one.metadata.generation))
                .collect(),
            waiting,
            scans: scans_generation,
        };
        Ok((fingerprint, state))
    }

    fn view(&self, state: ClusterState) -> Result<View, LoadError> {
        let (mut inventory, mut findings) = Inventory::build(&state.objects, OwnerRule::Infer);
        inventory.take_network_plugin(self.network_plugin);
        let (graph, graph_source) = match self.flows.as_slice() {
            [] => state.graph(&inventory),
            paths => {
                let traffic = TrafficSource::new(Vec::new(), SourcePath::unsaid_all(paths));
                let read = read_traffic(&traffic, &state.objects, &*self.notices)?;
                let built = build(&read.flows, &inventory, GraphOptions::default());
                findings.extend(built.findings);
                (built.graph, GraphSource::Flows)
            }
        };
        let volume = match &self.records.state {
            Some(path) => controller_state::volume(Some(path), &inventory)?,
            None => state.volume(),
        };
        let now = current(&state.objects);
        findings.extend(state.objects.remarks.iter().map(malformed));
        let existing = foreign_policies(&state.objects);
        findings.extend(network_plugin_findings(&inventory, &existing));
        let enforced = state.segments.iter();
        findings.extend(
            enforced
                .filter(|one| one.mode == Mode::Enforce)
                .flat_map(|one| {
                    let open = uncovered(&inventory, &now, &one.namespace, Some(one));
                    open.findings(&inventory)
                }),
        );
        let Record {
            events,
            problem,
            source,
        } = self.records.read(state.record, &state.decisions)?;
        let view = View::new(ViewInputs {
            subject: self.subject.clone(),
            graph_source,
            enforcement: state.enforcement,
            proposed: proposed(&now, &state.proposals),
            volume,
            risk: state.risk,
            now,
            proposals: state.proposals,
            events,
            record_problem: problem,
            record_source: source,
            findings,
            graph,
            inventory,
            waiting: state.waiting,
            can_decide: true,
        });
        view.map_err(|source| LoadError::Judge {
            what: "the policies of the cluster",
            source,
        })
    }
}

/// What the workloads of a namespace without a proposal wait for, as the controller says.
fn waiting(segmentation: &Segmentation) -> Vec<(WorkloadId, String)> {
    let namespace = segmentation.namespace().unwrap_or_default();
    let listed = segmentation.status.iter().flat_map(|one| &one.waiting);
    let one = |one: &WaitingWorkload| {
        let id = WorkloadId {
            namespace: namespace.clone(),
            name: one.name.clone(),
            kind: one.kind.clone(),
        };
        (id, one.message.clone())
    };
    listed.map(one).collect()
}

/// An object that cannot be read as a whole.
fn malformed(remark: &ObjectRemark) -> Finding {
    Finding::new(Code::MalformedObject, &remark.object, &remark.problem)
}

impl ClusterState {
    /// The UIDs and resource versions of what is watched as a whole.
    fn versions(&self) -> Vec<(Option<String>, Option<String>)> {
        let graph = self.graph.as_ref().ok();
        let graph = graph.and_then(|graph| graph.version.clone());
        versions(&self.objects.network_policies)
            .chain(versions(&self.proposals))
            .chain(versions(&self.decisions))
            .chain([published_version(self.record.as_ref()), (None, graph)])
            .collect()
    }

    /// The published graph, else the edges in the evidence of proposals.
    fn graph(&self, inventory: &Inventory) -> (Graph, GraphSource) {
        match &self.graph {
            Ok(published) => {
                let left_out = published.left_out;
                let graph = of_present(&published.graph, inventory);
                (graph, GraphSource::Published { left_out })
            }
            Err(why) => (
                of_evidence(&self.proposals, inventory),
                GraphSource::Evidence { why: why.clone() },
            ),
        }
    }

    /// Volume by the hour as the controller publishes it.
    fn volume(&self) -> Option<VolumeReport> {
        match &self.record {
            Some(Published::Part { volume, .. }) => volume.clone(),
            _ => None,
        }
    }
}

/// The policies in force if every open proposal were approved.
fn proposed(now: &[NetworkPolicy], proposals: &[PolicyProposal]) -> Vec<NetworkPolicy> {
    let mut all: BTreeMap<(String, String), NetworkPolicy> = now
        .iter()
        .map(|policy| {
            (
                (policy.namespace().unwrap_or_default(), policy.name_any()),
                policy.clone(),
            )
        })
        .collect();
    for one in proposals {
        if !matches!(one.phase(), Phase::Pending | Phase::Approved) {
            continue;
        }
        let key = (
            one.namespace().unwrap_or_default(),
            one.spec.policy_name.clone(),
        );
        let mut policy = NetworkPolicy {
            spec: Some(one.spec.policy.clone()),
            ..NetworkPolicy::default()
        };
        policy.metadata.namespace = Some(key.0.clone());
        policy.metadata.name = Some(key.1.clone());
        all.insert(key, policy);
    }
    all.into_values().collect()
}
