//! One run of the story: its cluster and controllers, and functions that read their state.

use super::controllers::{Controllers, SERVICE};
use super::install::Installation;
use super::people::People;
use super::shop::Shop;
use crate::support::kubernetes::{AgentSettings, Agents, Cluster, until};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicySpec};
use kube::api::ListParams;
use kube::{Api, Resource, ResourceExt};
use nanoseg::review::resources::{Phase, PolicyProposal, Segmentation};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The label of nanoseg's policies.
const OURS: &str = "app.kubernetes.io/managed-by=nanoseg";

pub struct Telling {
    pub cluster: &'static Cluster,
    pub installation: Installation,
    pub shop: Shop,
    pub people: People,
    pub controllers: Controllers,
    pub agents: Agents,
    /// Is true if nobody kills the leader. Time limits are checked then.
    pub calm: bool,
    /// The time just before somebody first edits a policy.
    pub first_edit: OnceLock<jiff::Timestamp>,
    begun: Instant,
}

impl Telling {
    pub fn begin(cluster: &'static Cluster, number: u32, calm: bool) -> Telling {
        let begun = Instant::now();
        let installation = Installation::make(cluster);
        // The pods exist before the agents start, as in a real cluster.
        let shop = Shop::open(cluster, number);
        let people = People::make(cluster);
        People::employ(cluster, &shop);
        let controllers = Controllers::start(cluster, &installation);
        let agents = start_agents(cluster, &installation);
        Telling {
            cluster,
            installation,
            shop,
            people,
            controllers,
            agents,
            calm,
            first_edit: OnceLock::new(),
            begun,
        }
    }

    /// Prints a measured time.
    pub fn say(&self, words: &str) {
        let at = self.begun.elapsed().as_secs_f64();
        eprintln!("{at:7.2} s  {words}");
    }

    /// Fails if a step exceeded its time limit.
    pub fn in_time(&self, what: &str, took: Duration, limit: Duration) {
        self.say(&format!("{what}: {took:.2?}"));
        assert!(took <= limit || !self.calm, "{what}: {took:?} of {limit:?}");
    }

    /// Waits for a condition, at most as long as two changes of the leader take.
    pub fn until<T>(&self, what: &str, mut ask: impl AsyncFnMut() -> Result<T, String>) -> T {
        let patience = Duration::from_secs(if self.calm { 30 } else { 90 });
        let asked = until(patience, what, async || ask().await);
        self.cluster.run(asked)
    }

    /// Returns all objects of a kind in a namespace.
    pub async fn all<K>(&self, namespace: &str) -> Result<Vec<K>, String>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + DeserializeOwned,
    {
        let api: Api<K> = Api::namespaced(self.cluster.client(), namespace);
        let listed = api.list(&ListParams::default()).await;
        listed.map(|list| list.items).map_err(|e| e.to_string())
    }

    /// Returns the Segmentation of a namespace.
    pub async fn segmentation(&self, namespace: &str) -> Result<Segmentation, String> {
        let all = self.all(namespace).await?;
        all.into_iter()
            .next()
            .ok_or_else(|| format!("none in {namespace}"))
    }

    /// Returns the specs of nanoseg's policies in all namespaces of the shop, by `NAMESPACE/NAME`.
    pub async fn policies(&self) -> Result<BTreeMap<String, NetworkPolicySpec>, String> {
        let mut found = BTreeMap::new();
        for namespace in self.shop.namespaces() {
            for policy in self.our_policies(&namespace).await? {
                let name = format!("{namespace}/{}", policy.name_any());
                found.insert(name, plain(policy.spec.unwrap_or_default()));
            }
        }
        Ok(found)
    }

    /// Returns nanoseg's policies in a namespace.
    pub async fn our_policies(&self, namespace: &str) -> Result<Vec<NetworkPolicy>, String> {
        let api: Api<NetworkPolicy> = Api::namespaced(self.cluster.client(), namespace);
        let listed = api.list(&ListParams::default().labels(OURS)).await;
        listed.map(|list| list.items).map_err(|e| e.to_string())
    }

    /// Returns the open proposals in all namespaces of the shop, by `NAMESPACE/WORKLOAD`.
    pub async fn waiting(&self) -> Result<BTreeMap<String, PolicyProposal>, String> {
        let mut found = BTreeMap::new();
        for namespace in self.shop.namespaces() {
            for proposal in self.all::<PolicyProposal>(&namespace).await? {
                let phase = proposal.status.as_ref().map(|status| status.phase);
                // A proposal without a status was just created.
                if phase.unwrap_or_default() == Phase::Pending {
                    let workload = format!("{namespace}/{}", proposal.spec.workload.name);
                    found.insert(workload, proposal);
                }
            }
        }
        Ok(found)
    }

    /// Waits for an open proposal of a workload that satisfies a condition.
    pub fn proposal(
        &self,
        workload: &str,
        what: &str,
        is: impl Fn(&PolicyProposal) -> bool,
    ) -> PolicyProposal {
        let workload = self.shop.here(workload);
        self.until(&format!("a proposal for {workload}: {what}"), async || {
            let mut waiting = self.waiting().await?;
            let known: Vec<String> = waiting.keys().cloned().collect();
            let proposal = waiting
                .remove(&workload)
                .ok_or_else(|| format!("waiting are {known:?}"))?;
            if is(&proposal) {
                Ok(proposal)
            } else {
                Err(format!("{:#?}", proposal.spec.review))
            }
        })
    }
}

/// Returns a spec as the API server returns it: without empty lists.
pub fn plain(mut spec: NetworkPolicySpec) -> NetworkPolicySpec {
    spec.ingress = spec.ingress.filter(|rules| !rules.is_empty());
    spec.egress = spec.egress.filter(|rules| !rules.is_empty());
    spec
}

/// Agents with the relevant arguments of the DaemonSet. Their windows are shorter, because the story does not run for
/// hours.
fn start_agents(cluster: &'static Cluster, installation: &Installation) -> Agents {
    let arguments = installation.arguments("DaemonSet");
    let receiver = arguments
        .iter()
        .find_map(|word| word.strip_prefix("--receiver="));
    let hosts = ["172.18.0.21", "172.18.0.22"].map(|address| format!("{address} {SERVICE}\n"));
    cluster.agents(&AgentSettings {
        receiver: receiver.expect("a receiver").to_owned(),
        account: installation.account("DaemonSet"),
        sources: vec!["conntrack", "capture"],
        window: "2s",
        hosts: hosts.concat(),
    })
}
