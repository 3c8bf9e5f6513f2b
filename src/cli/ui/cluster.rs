//! The cluster, looked at again whenever something of it changes that is shown.

use super::changes::{Change, Fingerprint, changes, digest, published_version, versions};
use super::evidence::{of_evidence, of_those_there};
use super::record::{Record, Records};
use super::scans::Scans;
use super::{Args, parts};
use crate::cli::access::{Access, list_everywhere, list_objects_now};
use crate::cli::input::{TrafficArgs, read_traffic};
use crate::cli::policies::current;
use crate::cli::published::{Published, PublishedGraph, read_published, read_published_graph};
use crate::cli::risk::RiskArgs;
use crate::cli::service_enforcement::ServiceEnforcementArgs;
use crate::graph::{GraphOptions, ServiceEnforcements, build};
use crate::inventory::{Inventory, Objects, OwnerRule};
use crate::pipeline::RiskChoices;
use crate::review::resources::{Phase, PolicyProposal, ProposalDecision, Segmentation};
use crate::review::{SegmentationSettings, service_enforcements};
use crate::risk::VolumeReport;
use crate::web::{GraphSource, Shown, View, ViewInputs};
use anyhow::Context;
use futures_util::{Stream, StreamExt};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::ResourceExt;
use kube::runtime::watcher;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Changes often come together: so long is waited for more.
const SETTLE: Duration = Duration::from_millis(300);
/// Pods change all the time in a large cluster. Where nothing else did, there is no second look until so long after
/// the last, and so many times as long as that took.
const REST: Duration = Duration::from_secs(2);
const REST_SHARE: u32 = 10;

/// States of what is looked at, one after the other.
pub struct Views {
    pub receiver: watch::Receiver<Shown>,
    /// A sender that is dropped ends the stream of changes.
    _sender: Option<watch::Sender<Shown>>,
}

impl Views {
    /// Something that does not change.
    pub fn fixed(view: View) -> Views {
        let (sender, receiver) = watch::channel(first(view));
        Views {
            receiver,
            _sender: Some(sender),
        }
    }

    /// Reads the cluster once, and again in a thread of its own whenever something changes.
    pub fn watch(args: &Args) -> anyhow::Result<Views> {
        let access = Access::open(&args.access)?;
        let user = access.user().map(|user| format!("{user} at "));
        let source = Source {
            subject: user.unwrap_or_default() + &access.cluster,
            flows: args.flows.clone(),
            risk: args.risk.clone(),
            service_enforcement: args.service_enforcement,
            records: Records::new(args),
            scans: Scans::default(),
        };
        let looked = access.wait(source.look(&access, None))?;
        let (seen, view) = looked.context("nothing was looked at")?;
        let (sender, receiver) = watch::channel(first(view));
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

/// What is shown of the cluster beside its objects.
struct Beside {
    proposals: Vec<PolicyProposal>,
    record: Record,
    risk: RiskChoices,
    enforcement: ServiceEnforcements,
    /// As the controller publishes it.
    volume: Option<VolumeReport>,
    /// The same; or why there is none.
    graph: Result<PublishedGraph, String>,
}

fn first(view: View) -> Shown {
    Shown {
        version: 1,
        view: Arc::new(view),
        problem: None,
    }
}

/// Shows a newer state, or that there is none.
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

fn problem(error: &anyhow::Error) -> String {
    format!(
        "The cluster could not be looked at: {error:#}. What is shown here is older than that; it is tried again."
    )
}

struct Source {
    /// Which cluster it is, and who looks at it.
    subject: String,
    flows: Vec<PathBuf>,
    risk: RiskArgs,
    service_enforcement: ServiceEnforcementArgs,
    records: Records,
    scans: Scans,
}

impl Source {
    /// Looks again after each change, until nobody wants to know.
    fn follow(&self, access: &Access, sender: &watch::Sender<Shown>, mut known: Fingerprint) {
        access.wait(async {
            let mut changes = changes(&access.client, &self.records.namespace);
            let (mut rested, mut is_due) = (Instant::now(), false);
            loop {
                tokio::select! {
                    change = changes.next() => {
                        let Some(change) = change else { return };
                        let Some(change) = self.note(change) else { continue };
                        is_due = true;
                        if change != Change::Decisions && Instant::now() < rested {
                            continue;
                        }
                    }
                    () = tokio::time::sleep_until(rested), if is_due => {}
                }
                self.settle(&mut changes).await;
                let began = Instant::now();
                let looked = self.look(access, Some(&known)).await;
                rested = Instant::now() + REST.max(began.elapsed() * REST_SHARE);
                is_due = looked.is_err();
                let (view, problem) = match looked {
                    Ok(None) => (None, None),
                    Ok(Some((seen, view))) => {
                        known = seen;
                        (Some(Arc::new(view)), None)
                    }
                    Err(error) => {
                        tracing::warn!("failed to look at the cluster: {error:#}");
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

    /// Whatever else comes within that time is in the same look.
    async fn settle(
        &self,
        changes: &mut (impl Stream<Item = Result<Change, watcher::Error>> + Unpin),
    ) {
        let settled = tokio::time::sleep(SETTLE);
        tokio::pin!(settled);
        loop {
            tokio::select! {
                () = &mut settled => return,
                more = changes.next() => match more {
                    Some(change) => drop(self.note(change)),
                    None => return,
                }
            }
        }
    }

    /// What a watch said; `None`: nothing changed that is known of.
    fn note(&self, change: Result<Change, watcher::Error>) -> Option<Change> {
        match change {
            Ok(Change::Scans) => {
                self.scans.changed();
                Some(Change::Scans)
            }
            Ok(Change::ScansUnseen) => {
                self.scans.changed();
                None
            }
            Ok(change) => Some(change),
            Err(error) => {
                // A look tells whether it is more than that.
                tracing::warn!("failed to watch: {error}");
                Some(Change::Cluster)
            }
        }
    }

    /// Looks at everything; `None`: it is as it is known.
    async fn look(
        &self,
        access: &Access,
        known: Option<&Fingerprint>,
    ) -> anyhow::Result<Option<(Fingerprint, View)>> {
        let objects = list_objects_now(&access.client).await?;
        let proposals: Vec<PolicyProposal> = list_everywhere(&access.client).await?;
        let decisions: Vec<ProposalDecision> = list_everywhere(&access.client).await?;
        let segmentations: Vec<Segmentation> = list_everywhere(&access.client).await?;
        let (scans, scans_generation) = self.scans.read(&access.client).await?;
        let mut risk = self.risk.read(&scans)?;
        // One that is not understood approves nothing; the controller says what is wrong with it.
        let segments: Vec<SegmentationSettings> = segmentations
            .iter()
            .filter_map(|one| SegmentationSettings::parse(one).ok())
            .collect();
        let enforcement = service_enforcements(self.service_enforcement.setting(), &segments);
        let segments = segments.into_iter();
        let approved = segments.map(|segment| (segment.namespace, segment.approved));
        risk.by_namespace = approved.collect();
        let published = match self.records.state {
            Some(_) => None,
            None => Some(read_published(&access.client, &self.records.namespace).await?),
        };
        let graph = match self.flows.as_slice() {
            [] => read_published_graph(&access.client, &self.records.namespace).await?,
            _ => Err("recorded flows are given".to_owned()),
        };
        let graph_version = graph.as_ref().map(|graph| graph.version.clone());
        let seen = Fingerprint {
            versions: versions(&objects.network_policies)
                .chain(versions(&proposals))
                .chain(versions(&decisions))
                .chain([
                    published_version(published.as_ref()),
                    (None, graph_version.unwrap_or_default()),
                ])
                .collect(),
            pods: objects.pods.iter().map(digest).collect(),
            generations: segmentations
                .iter()
                .map(|one| (one.uid(), one.metadata.generation))
                .collect(),
            scans: scans_generation,
        };
        // The first events of a watch tell what is known already.
        if known == Some(&seen) {
            return Ok(None);
        }
        let volume = match &published {
            Some(Published::Part { volume, .. }) => volume.clone(),
            _ => None,
        };
        let record = self.records.read(published, &decisions)?;
        let beside = Beside {
            proposals,
            record,
            risk,
            enforcement,
            volume,
            graph,
        };
        Ok(Some((seen, self.view(&objects, beside)?)))
    }

    fn view(&self, objects: &Objects, beside: Beside) -> anyhow::Result<View> {
        let Beside {
            proposals,
            record,
            risk,
            enforcement,
            volume,
            graph,
        } = beside;
        let (inventory, mut findings) = Inventory::build(objects, OwnerRule::Infer);
        let (graph, graph_source) = match (self.flows.as_slice(), graph) {
            ([], Ok(published)) => {
                let left_out = published.left_out;
                let graph = of_those_there(&published.graph, &inventory);
                (graph, GraphSource::Published { left_out })
            }
            ([], Err(why)) => (
                of_evidence(&proposals, &inventory),
                GraphSource::Evidence { why },
            ),
            (paths, _) => {
                let traffic = TrafficArgs::of(&[], paths);
                let read = read_traffic(&traffic, objects, Vec::new(), 0)?;
                let built = build(&read.seen, &inventory, GraphOptions::default());
                findings.extend(built.findings);
                (built.graph, GraphSource::Flows)
            }
        };
        let now = current(objects);
        let view = View::new(ViewInputs {
            subject: self.subject.clone(),
            graph_source,
            enforcement,
            proposed: proposed(&now, &proposals),
            volume: match &self.records.state {
                Some(state) => parts::volume(Some(state), &inventory)?,
                None => volume,
            },
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
