//! Many objects on the API server, and the actions of people and kubelets on them.

use super::feed::Feed;
use super::process::Controller;
use crate::Options;
use crate::support::kubernetes::{Cluster, until};
use futures_util::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, Node, Pod};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchParams};
use kube::core::WatchEvent;
use kube::{Api, Client, CustomResourceExt, ResourceExt};
use nanoseg::review::resources::{
    PolicyProposal, ProposalDecision, ProposalDecisionSpec, Segmentation, Verb,
};
use serde_json::json;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(600);
/// The number of concurrent requests.
const AT_ONCE: usize = 32;

pub struct World {
    cluster: &'static Cluster,
    namespaces: Vec<Place>,
    next_address: AtomicU32,
}

/// A namespace: the addresses of its pods, by Deployment.
pub struct Place {
    name: String,
    pods: BTreeMap<String, Vec<IpAddr>>,
}

impl Place {
    /// Every pod of every Deployment except the first calls a pod of the first one.
    pub fn calls(&self, port: u16) -> Vec<(IpAddr, IpAddr, u16)> {
        let mut workloads = self.pods.values();
        let servers = workloads.next().map(Vec::as_slice).unwrap_or_default();
        let clients = workloads.flatten().zip(servers.iter().cycle());
        clients
            .map(|(client, server)| (*client, *server, port))
            .collect()
    }
}

/// The result of replacing pods.
pub struct Churned {
    pub changes: usize,
    pub took: Duration,
}

impl World {
    pub fn make(cluster: &'static Cluster, options: &Options) -> World {
        let world = World {
            cluster,
            namespaces: Vec::new(),
            next_address: AtomicU32::new(1),
        };
        cluster.run(world.build(options))
    }

    pub fn workloads(&self) -> usize {
        self.namespaces.iter().map(|n| n.pods.len()).sum()
    }

    pub fn namespaces(&self) -> impl Iterator<Item = &Place> {
        self.namespaces.iter()
    }

    fn client(&self) -> Client {
        self.cluster.client()
    }

    fn address(&self) -> IpAddr {
        let number = self.next_address.fetch_add(1, Ordering::Relaxed);
        Ipv4Addr::from(0x0a80_0000 + number).into()
    }

    async fn build(mut self, options: &Options) -> World {
        let client = self.client();
        install(&client).await;
        let names: Vec<String> = (0..options.namespaces)
            .map(|n| format!("scale-{n:04}"))
            .collect();
        eprintln!(
            "{} namespaces with {} Deployments each",
            names.len(),
            options.workloads
        );
        each(&names, async |name| {
            make_namespace(&client, name, options).await
        })
        .await;
        let expected = options.namespaces * options.workloads * options.replicas;
        let pods: Api<Pod> = Api::all(client.clone());
        let all = until(PATIENCE, "the pods", async || {
            let list = pods
                .list(&ListParams::default())
                .await
                .map_err(|e| e.to_string())?;
            let here: Vec<Pod> = list.items.into_iter().filter(is_here).collect();
            (here.len() >= expected)
                .then_some(here.clone())
                .ok_or_else(|| format!("{} of {expected}", here.len()))
        })
        .await;
        eprintln!("{} pods get their addresses", all.len());
        each(&all, async |pod| {
            self.run_pod(&client, pod).await;
        })
        .await;
        let list = pods.list(&ListParams::default()).await.expect("the pods");
        let mut places: BTreeMap<String, BTreeMap<String, Vec<IpAddr>>> = BTreeMap::new();
        for pod in list.items.iter().filter(|pod| is_here(pod)) {
            let address = pod
                .status
                .as_ref()
                .and_then(|s| s.pod_ip.as_ref())
                .expect("an address");
            let app = pod.labels()["app"].clone();
            let place = places
                .entry(pod.namespace().expect("a namespace"))
                .or_default();
            place
                .entry(app)
                .or_default()
                .push(address.parse().expect("an address"));
        }
        let places = places.into_iter().map(|(name, pods)| Place { name, pods });
        self.namespaces = places.collect();
        self
    }

    /// Returns the status that a kubelet reports for a running pod.
    async fn run_pod(&self, client: &Client, pod: &Pod) {
        let pods: Api<Pod> =
            Api::namespaced(client.clone(), &pod.namespace().expect("a namespace"));
        let address = self.address();
        let since = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(1);
        let since = since.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let status = json!({"status": {
            "phase": "Running", "startTime": since,
            "podIP": address, "podIPs": [{"ip": address}],
            "conditions": [{"type": "Ready", "status": "True"}],
        }});
        // The pod may be deleted already while pods are replaced.
        let _ = pods
            .patch_status(
                &pod.name_any(),
                &PatchParams::default(),
                &Patch::Merge(&status),
            )
            .await;
    }

    /// Waits until the controller no longer writes.
    pub fn settle(&self, controller: &Controller) {
        let mut last = -1.0;
        self.cluster
            .run(until(PATIENCE, "nothing is written", async || {
                tokio::time::sleep(Duration::from_secs(5)).await;
                let now = controller.writes();
                let same = now == last;
                last = now;
                same.then_some(()).ok_or_else(|| format!("{now} writes"))
            }));
    }

    /// Times new edges, one after the other: from the acknowledged record to the proposal that includes it.
    pub fn time_proposals(&self, feed: &mut Feed, count: usize) -> Vec<Duration> {
        let mut times = Vec::new();
        for (number, place) in (0..count).zip(self.namespaces.iter().cycle()) {
            let port = 9000 + number as u16;
            let edge = place.calls(port).into_iter().next().expect("an edge");
            let api: Api<PolicyProposal> = Api::namespaced(self.client(), &place.name);
            let stream = self.cluster.run(async {
                let list = api.list(&ListParams::default()).await.expect("proposals");
                let version = list.metadata.resource_version.unwrap_or_default();
                api.watch(&WatchParams::default(), &version)
                    .await
                    .expect("a watch")
            });
            feed.see(edge);
            let began = Instant::now();
            self.cluster.run(async {
                let mut stream = std::pin::pin!(stream);
                let wanted = format!("{port}/TCP");
                let waited = tokio::time::timeout(PATIENCE, async {
                    while let Some(event) = stream.try_next().await.expect("an event") {
                        if let WatchEvent::Added(p) | WatchEvent::Modified(p) = event
                            && p.spec
                                .review
                                .evidence
                                .iter()
                                .any(|line| line.port == wanted)
                        {
                            return;
                        }
                    }
                    panic!("the watch ended");
                });
                waited.await.expect("a proposal");
            });
            times.push(began.elapsed());
        }
        times
    }

    /// Times decisions in namespaces in mode Enforce: from the created decision to the written policy.
    pub fn time_decisions(&self, count: usize) -> Vec<Duration> {
        self.time_decisions_in(self.namespaces.iter().rev().take(count))
    }

    /// The same in other namespaces, the first ones.
    pub fn time_more_decisions(&self, count: usize) -> Vec<Duration> {
        self.time_decisions_in(self.namespaces.iter().take(count))
    }

    fn time_decisions_in<'p>(&self, places: impl Iterator<Item = &'p Place>) -> Vec<Duration> {
        let client = self.client();
        let mut times = Vec::new();
        for place in places {
            let time = self.cluster.run(async {
                segment(&client, &place.name, "Enforce").await;
                let proposals: Api<PolicyProposal> = Api::namespaced(client.clone(), &place.name);
                let policies: Api<NetworkPolicy> = Api::namespaced(client.clone(), &place.name);
                let list = proposals
                    .list(&ListParams::default())
                    .await
                    .expect("proposals");
                let proposal = list.items.first().expect("a proposal");
                let spec = ProposalDecisionSpec {
                    proposal: proposal.name_any(),
                    proposal_uid: proposal.uid().expect("a uid"),
                    revision: proposal.spec.review.revision.clone(),
                    decision: Verb::Approve,
                    reason: "a bench".into(),
                    decided_by: "admin".into(),
                    ..ProposalDecisionSpec::default()
                };
                let decision = ProposalDecision::new("bench", spec);
                let decisions: Api<ProposalDecision> = Api::namespaced(client.clone(), &place.name);
                // Wait until the change of the Segmentation is processed.
                tokio::time::sleep(Duration::from_secs(1)).await;
                let began = Instant::now();
                decisions
                    .create(&PostParams::default(), &decision)
                    .await
                    .expect("it is decided");
                let name = proposal.spec.policy_name.clone();
                until(PATIENCE, "the policy", async || {
                    let policy = policies.get_opt(&name).await.map_err(|e| e.to_string())?;
                    policy.map(|_| ()).ok_or_else(|| "none yet".to_owned())
                })
                .await;
                began.elapsed()
            });
            times.push(time);
        }
        times
    }

    /// Deletes pods, and acts as the kubelet for the pods that replace them.
    pub fn churn(&self, options: &Options) -> Churned {
        let client = self.client();
        self.cluster.run(async {
            let pods: Api<Pod> = Api::all(client.clone());
            let list = pods.list(&ListParams::default()).await.expect("the pods");
            let version = list.metadata.resource_version.clone().unwrap_or_default();
            let stream = pods
                .watch(&WatchParams::default(), &version)
                .await
                .expect("a watch");
            let began = Instant::now();
            let mut changes = 0;
            let play = async {
                let mut stream = std::pin::pin!(stream.ready_chunks(64));
                while let Some(events) = stream.next().await {
                    changes += events.len();
                    let fresh: Vec<Pod> = events
                        .into_iter()
                        .filter_map(|event| match event {
                            Ok(WatchEvent::Added(pod)) if is_here(&pod) => Some(pod),
                            _ => None,
                        })
                        .collect();
                    each(&fresh, async |pod| self.run_pod(&client, pod).await).await;
                }
            };
            let delete = async {
                let mut victims = list.items.iter().filter(|pod| is_here(pod));
                let mut tick = tokio::time::interval(Duration::from_secs(1));
                while began.elapsed().as_secs() < options.churn_secs {
                    tick.tick().await;
                    let some: Vec<&Pod> = victims.by_ref().take(options.churn).collect();
                    each(&some, async |pod| {
                        let api: Api<Pod> =
                            Api::namespaced(client.clone(), &pod.namespace().expect("a namespace"));
                        let _ = api
                            .delete(&pod.name_any(), &DeleteParams::default().grace_period(0))
                            .await;
                    })
                    .await;
                }
            };
            tokio::select! {
                () = play => {}
                () = delete => {}
            }
            Churned {
                changes,
                took: began.elapsed(),
            }
        })
    }
}

fn is_here(pod: &Pod) -> bool {
    let ours = pod
        .namespace()
        .is_some_and(|name| name.starts_with("scale-"));
    ours && pod.metadata.deletion_timestamp.is_none()
}

/// Runs all requests, a limited number at a time.
async fn each<T>(all: &[T], act: impl AsyncFn(&T)) {
    stream::iter(all)
        .for_each_concurrent(AT_ONCE, |one| act(one))
        .await;
}

async fn install(client: &Client) {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    for definition in [
        Segmentation::crd(),
        PolicyProposal::crd(),
        ProposalDecision::crd(),
    ] {
        let params = PatchParams::apply("bench").force();
        let patch = Patch::Apply(&definition);
        definitions
            .patch(&definition.name_any(), &params, &patch)
            .await
            .expect("a definition");
    }
    let nodes: Api<Node> = Api::all(client.clone());
    let node: Node = serde_json::from_value(json!({"metadata": {"name": "n1"}})).expect("a node");
    nodes
        .create(&PostParams::default(), &node)
        .await
        .expect("a node");
    let segmentations: Api<Segmentation> = Api::all(client.clone());
    until(PATIENCE, "the definitions", async || {
        let list = segmentations.list(&ListParams::default()).await;
        list.map(|_| ()).map_err(|e| e.to_string())
    })
    .await;
}

async fn make_namespace(client: &Client, name: &str, options: &Options) {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace: Namespace =
        serde_json::from_value(json!({"metadata": {"name": name}})).expect("a namespace");
    namespaces
        .create(&PostParams::default(), &namespace)
        .await
        .expect("a namespace");
    segment(client, name, "Propose").await;
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), name);
    for number in 0..options.workloads {
        let app = format!("app-{number}");
        let deployment = json!({
            "metadata": {"name": app},
            "spec": {
                "replicas": options.replicas,
                "selector": {"matchLabels": {"app": app}},
                "template": {
                    "metadata": {"labels": {"app": app}},
                    // Without a node nobody knows whose agent would have seen its traffic.
                    "spec": {"schedulerName": "none", "automountServiceAccountToken": false,
                             "nodeName": "n1", "tolerations": [{"operator": "Exists"}],
                             "containers": [{"name": "main", "image": "example.org/it:1"}]},
                },
            },
        });
        let deployment: Deployment = serde_json::from_value(deployment).expect("a Deployment");
        deployments
            .create(&PostParams::default(), &deployment)
            .await
            .expect("a Deployment");
    }
}

async fn segment(client: &Client, namespace: &str, mode: &str) {
    let api: Api<Segmentation> = Api::namespaced(client.clone(), namespace);
    let segmentation = json!({
        "apiVersion": "nanoseg.dev/v1alpha1",
        "kind": "Segmentation",
        "metadata": {"name": "default"},
        "spec": {"mode": mode, "learning": {"minimumDuration": "0s", "minimumCoverage": 50}},
    });
    let params = PatchParams::apply("bench").force();
    let patch = Patch::Apply(&segmentation);
    api.patch("default", &params, &patch)
        .await
        .expect("a Segmentation");
}
