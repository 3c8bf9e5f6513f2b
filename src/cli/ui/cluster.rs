//! The cluster, looked at again whenever something of nanoseg's or a policy changes.

use super::record::{Record, Records};
use super::{Args, parts};
use crate::cli::access::{Access, list_everywhere, list_objects_now, list_scans};
use crate::cli::input::{TrafficArgs, read_traffic};
use crate::cli::policies::current;
use crate::cli::published::{Published, read_published};
use crate::cli::risk::RiskArgs;
use crate::flow::Verdict;
use crate::graph::{Edge, Graph, GraphOptions, Lesson, Peer, build};
use crate::inventory::{Inventory, Objects, OwnerRule, WorkloadId};
use crate::net::{Protocol, Timestamp};
use crate::pipeline::RiskChoices;
use crate::review::Segment;
use crate::review::record::PUBLISHED;
use crate::review::resources::{
    EvidenceLine, Phase, PolicyProposal, ProposalDecision, Segmentation,
};
use crate::web::{View, ViewInputs};
use anyhow::Context;
use futures_util::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, ResourceExt};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Changes often come together: so long is waited for more.
const SETTLE: Duration = Duration::from_millis(300);

/// States of what is looked at, one after the other.
pub struct Views {
    pub receiver: watch::Receiver<(u64, Arc<View>)>,
    /// A sender that is dropped ends the stream of changes.
    _sender: Option<watch::Sender<(u64, Arc<View>)>>,
}

impl Views {
    /// Something that does not change.
    pub fn fixed(view: View) -> Views {
        let (sender, receiver) = watch::channel((1, Arc::new(view)));
        Views {
            receiver,
            _sender: Some(sender),
        }
    }

    /// Reads the cluster once, and again in a thread of its own whenever something changes.
    pub fn watch(args: &Args) -> anyhow::Result<Views> {
        let access = Access::open(&args.access)?;
        let source = Source {
            flows: args.flows.clone(),
            risk: args.risk.clone(),
            records: Records::new(args),
        };
        let (seen, first) = source.look(&access)?;
        let (sender, receiver) = watch::channel((1, Arc::new(first)));
        std::thread::Builder::new()
            .name("cluster".into())
            .spawn(move || source.follow(&access, &sender, seen))
            .context("failed to start a thread")?;
        Ok(Views {
            receiver,
            _sender: None,
        })
    }
}

/// Which versions of the objects that are watched were looked at.
type Fingerprint = Vec<(Option<String>, Option<String>)>;

fn fingerprint(
    objects: &Objects,
    proposals: &[PolicyProposal],
    decisions: &[ProposalDecision],
    published: Option<&Published>,
) -> Fingerprint {
    let of = |metadata: &ObjectMeta| (metadata.uid.clone(), metadata.resource_version.clone());
    let policies = objects.network_policies.iter().map(|one| of(&one.metadata));
    let proposals = proposals.iter().map(|one| of(&one.metadata));
    let decisions = decisions.iter().map(|one| of(&one.metadata));
    let record = match published {
        Some(Published::Part { version, .. }) => (None, version.clone()),
        Some(Published::Refused(why)) => (Some(why.clone()), None),
        Some(Published::Absent) | None => (None, None),
    };
    let all = policies.chain(proposals).chain(decisions);
    all.chain([record]).collect()
}

struct Source {
    flows: Vec<PathBuf>,
    risk: RiskArgs,
    records: Records,
}

impl Source {
    /// Looks again after each change, until nobody wants to know.
    fn follow(
        &self,
        access: &Access,
        sender: &watch::Sender<(u64, Arc<View>)>,
        mut known: Fingerprint,
    ) {
        access.wait(async {
            let mut changes = self.changes(&access.client);
            while let Some(change) = changes.next().await {
                if let Err(error) = change {
                    tracing::warn!("failed to watch: {error}");
                    continue;
                }
                // Whatever else comes within that time is in the same look.
                let settled = tokio::time::sleep(SETTLE);
                tokio::pin!(settled);
                loop {
                    tokio::select! {
                        () = &mut settled => break,
                        more = changes.next() => if more.is_none() { break },
                    }
                }
                match self.look_now(access).await {
                    // The first events of a watch tell what is known already.
                    Ok((seen, _)) if seen == known => {}
                    Ok((seen, view)) => {
                        known = seen;
                        let version = sender.borrow().0.saturating_add(1);
                        if sender.send((version, Arc::new(view))).is_err() {
                            return;
                        }
                    }
                    Err(error) => tracing::warn!("failed to look at the cluster: {error:#}"),
                }
            }
        });
    }

    /// Word of everything that a look would show, or of a watch that broke.
    fn changes(
        &self,
        client: &kube::Client,
    ) -> impl futures_util::Stream<Item = Result<(), watcher::Error>> + Unpin + use<> {
        let settings = || watcher::Config::default();
        let proposals = watcher(Api::<PolicyProposal>::all(client.clone()), settings());
        let decisions = watcher(Api::<ProposalDecision>::all(client.clone()), settings());
        let policies = watcher(Api::<NetworkPolicy>::all(client.clone()), settings());
        let record = watcher(
            Api::<ConfigMap>::namespaced(client.clone(), &self.records.namespace),
            // Only of that name: a role gives no more.
            settings().fields(&format!("metadata.name={PUBLISHED}")),
        );
        futures_util::stream::select_all([
            record
                .default_backoff()
                // That it may not be read is on the page.
                .filter_map(|event| std::future::ready(event.ok().map(|_| Ok(()))))
                .boxed(),
            proposals
                .default_backoff()
                .map(|event| event.map(drop))
                .boxed(),
            decisions
                .default_backoff()
                .map(|event| event.map(drop))
                .boxed(),
            policies
                .default_backoff()
                .map(|event| event.map(drop))
                .boxed(),
        ])
    }

    fn look(&self, access: &Access) -> anyhow::Result<(Fingerprint, View)> {
        access.wait(self.look_now(access))
    }

    async fn look_now(&self, access: &Access) -> anyhow::Result<(Fingerprint, View)> {
        let objects = list_objects_now(&access.client).await?;
        let proposals: Vec<PolicyProposal> = list_everywhere(&access.client).await?;
        let decisions: Vec<ProposalDecision> = list_everywhere(&access.client).await?;
        let segmentations: Vec<Segmentation> = list_everywhere(&access.client).await?;
        let scans = list_scans(&access.client).await?;
        let mut risk = self.risk.read(&scans)?;
        // One that is not understood approves nothing; the controller says what is wrong with it.
        let segments = segmentations
            .iter()
            .filter_map(|one| Segment::parse(one).ok());
        let approved = segments.map(|segment| (segment.namespace.clone(), segment.approved));
        risk.by_namespace = approved.collect();
        let published = match self.records.state {
            Some(_) => None,
            None => Some(read_published(&access.client, &self.records.namespace).await?),
        };
        let seen = fingerprint(&objects, &proposals, &decisions, published.as_ref());
        let record = self.records.read(published, &decisions)?;
        Ok((seen, self.view(&objects, proposals, record, risk)?))
    }

    fn view(
        &self,
        objects: &Objects,
        proposals: Vec<PolicyProposal>,
        record: Record,
        risk: RiskChoices,
    ) -> anyhow::Result<View> {
        let (inventory, mut findings) = Inventory::build(objects, OwnerRule::Infer);
        let graph = match self.flows.as_slice() {
            [] => of_evidence(&proposals, &inventory),
            paths => {
                let traffic = TrafficArgs::of(&[], paths);
                let read = read_traffic(&traffic, objects, Vec::new(), 0)?;
                let built = build(&read.seen, &inventory, GraphOptions::default());
                findings.extend(built.findings);
                built.graph
            }
        };
        let now = current(objects);
        let view = View::new(ViewInputs {
            subject: "cluster".into(),
            proposed: proposed(&now, &proposals),
            volumes: parts::volumes(self.records.state.as_deref(), &inventory)?,
            risk,
            now,
            proposals,
            events: record.events,
            record_problem: record.problem,
            record_source: record.source,
            findings,
            graph,
            inventory,
            can_decide: true,
        });
        view.context("failed to judge the policies of the cluster")
    }
}

/// What would be in force if every open proposal were approved.
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

/// The edges that proposals have evidence of: what an operator may read without the controller's state.
fn of_evidence(proposals: &[PolicyProposal], inventory: &Inventory) -> Graph {
    let mut edges: BTreeMap<(Peer, Peer, Protocol, u16), Edge> = BTreeMap::new();
    let mut graph = Graph::default();
    for line in proposals.iter().flat_map(|one| &one.spec.review.evidence) {
        if let Some((key, edge)) = edge(line, inventory) {
            for peer in [&key.0, &key.1] {
                if let Peer::Outside(address) = peer {
                    let names = line.notes.iter().filter(|note| is_name(note));
                    graph
                        .names
                        .entry(*address)
                        .or_default()
                        .extend(names.cloned());
                }
            }
            let known = edges.entry(key).or_insert_with(|| edge.clone());
            // Both ends' proposals have it; the later one knows more.
            if edge.last > known.last {
                *known = edge;
            }
        }
    }
    for ((client, server, _, _), edge) in edges {
        graph.add_edge(&client, &server, edge);
    }
    graph
}

/// Of the notes of a line what is none of its other words is a DNS name.
fn is_name(note: &str) -> bool {
    !matches!(note, "implied" | "blocked" | "new") && !note.starts_with("via ")
}

type Keyed = ((Peer, Peer, Protocol, u16), Edge);

fn edge(line: &EvidenceLine, inventory: &Inventory) -> Option<Keyed> {
    let (port, protocol) = line.port.split_once('/')?;
    let (port, protocol) = (port.parse().ok()?, Protocol::parse(protocol)?);
    let (client, server) = (
        peer(&line.client, inventory)?,
        peer(&line.server, inventory)?,
    );
    let time = |text: &str| text.parse::<jiff::Timestamp>().ok().map(Timestamp::from);
    let has = |word: &str| line.notes.iter().any(|note| note == word);
    let mut edge = Edge::new(protocol, port);
    edge.lesson = match () {
        () if has("blocked") => Lesson::Review("a policy blocks it".into()),
        () if has("implied") => Lesson::Implied("beside what was seen".into()),
        () => Lesson::Learned,
    };
    if line.connections > 0 {
        edge.verdicts.insert(Verdict::Established, line.connections);
    }
    (edge.first, edge.last) = (time(&line.first_seen), time(&line.last_seen));
    Some(((client, server, protocol, port), edge))
}

/// From the words of a proposal back to a peer.
fn peer(words: &str, inventory: &Inventory) -> Option<Peer> {
    if words == "api-server" {
        return Some(Peer::ApiServer);
    }
    if let Some(name) = words.strip_prefix("node:") {
        return Some(Peer::Node(name.to_owned()));
    }
    let address = words.strip_prefix("outside:").unwrap_or(words);
    if let Ok(address) = address.parse() {
        return Some(Peer::Outside(address));
    }
    let (namespace, name) = words.split_once('/')?;
    let mut all = inventory.workloads.keys();
    let found = all.find(|id: &&WorkloadId| id.namespace == namespace && id.name == name)?;
    Some(Peer::Workload(found.clone()))
}
