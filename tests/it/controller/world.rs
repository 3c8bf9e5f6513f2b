//! A namespace with three pods, and the actions of people in it.

use crate::support::kubernetes::{Cluster, PATIENCE, until};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicySpec};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, CustomResourceExt, Resource, ResourceExt};
use nanoseg::review::resources::{
    BREAK_GLASS, BREAK_GLASS_BY, DecisionOutcome, Phase, PolicyProposal, ProposalDecision,
    ProposalDecisionSpec, Segmentation, Verb,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU8, Ordering};

/// Creates the custom resource definitions, once.
pub fn install(cluster: &'static Cluster) {
    cluster.define_once(|| cluster.run(install_definitions(cluster)));
}

async fn install_definitions(cluster: &Cluster) {
    let definitions: Api<CustomResourceDefinition> = Api::all(cluster.client());
    let all = [
        Segmentation::crd(),
        PolicyProposal::crd(),
        ProposalDecision::crd(),
    ];
    for definition in all {
        let params = PatchParams::apply("test").force();
        let name = definition.name_any();
        let patch = Patch::Apply(&definition);
        let applied = definitions.patch(&name, &params, &patch);
        applied.await.unwrap_or_else(|e| panic!("{name}: {e}"));
        until(PATIENCE, "the definition is established", async || {
            let definition = definitions.get(&name).await.map_err(|e| e.to_string())?;
            let conditions = definition.status.and_then(|s| s.conditions);
            let mut conditions = conditions.unwrap_or_default().into_iter();
            let is_so = conditions.any(|c| c.type_ == "Established" && c.status == "True");
            is_so.then_some(()).ok_or_else(|| "not yet".to_owned())
        })
        .await;
    }
}

/// See the module.
pub struct World {
    cluster: &'static Cluster,
    pub namespace: String,
    addresses: BTreeMap<String, IpAddr>,
}

impl World {
    /// Creates the pods web, api and db, which have run for ten hours.
    pub fn make(cluster: &'static Cluster) -> World {
        static SUBNET: AtomicU8 = AtomicU8::new(10);
        let subnet = SUBNET.fetch_add(1, Ordering::Relaxed);
        let mut world = World {
            cluster,
            namespace: cluster.namespace("shop"),
            addresses: BTreeMap::new(),
        };
        for (number, name) in ["web", "api", "db"].into_iter().enumerate() {
            let address = IpAddr::from([10, 77, subnet, 10 + number as u8]);
            world.addresses.insert(name.to_owned(), address);
            cluster.run(world.make_pod(name, address, "n1"));
        }
        world
    }

    /// Creates one more pod, on another node.
    pub fn add_pod(&mut self, name: &str, last: u8, node: &str) {
        let octets = match self.addresses.values().next() {
            Some(IpAddr::V4(first)) => first.octets(),
            _ => panic!("the world has IPv4 pods"),
        };
        let address = IpAddr::from([octets[0], octets[1], octets[2], last]);
        self.addresses.insert(name.to_owned(), address);
        self.cluster.run(self.make_pod(name, address, node));
    }

    /// Creates a pod of an app without an address: the kubelet has not published it yet.
    pub fn schedule_pod(&mut self, name: &str, app: &str, last: u8, node: &str) {
        self.name_address(name, last);
        self.cluster.run(self.create_pod(name, app, node));
    }

    /// Publishes the address of such a pod.
    pub fn publish_address(&self, name: &str) {
        self.cluster
            .run(self.patch_address(name, self.address(name)));
    }

    /// Gives a name to an address of the world that no pod has.
    pub fn name_address(&mut self, name: &str, last: u8) {
        let mut octets = match self.addresses.values().next() {
            Some(IpAddr::V4(first)) => first.octets(),
            _ => panic!("the world has IPv4 pods"),
        };
        octets[3] = last;
        self.addresses.insert(name.to_owned(), IpAddr::from(octets));
    }

    async fn make_pod(&self, name: &str, address: IpAddr, node: &str) {
        self.create_pod(name, name, node).await;
        self.patch_address(name, address).await;
    }

    async fn create_pod(&self, name: &str, app: &str, node: &str) {
        let pods: Api<Pod> = self.api();
        let pod = json!({
            "metadata": {"name": name, "labels": {"app": app}},
            "spec": {"nodeName": node, "containers": [{"name": "main", "image": "example.org/it:1"}]}
        });
        let pod: Pod = serde_json::from_value(pod).expect("a pod");
        pods.create(&PostParams::default(), &pod)
            .await
            .expect("a pod");
    }

    async fn patch_address(&self, name: &str, address: IpAddr) {
        let pods: Api<Pod> = self.api();
        let since = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(10);
        let since = since.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let status = json!({"status": {
            "phase": "Running", "startTime": since,
            "podIP": address, "podIPs": [{"ip": address}],
        }});
        let (params, patch) = (PatchParams::default(), Patch::Merge(&status));
        let patched = pods.patch_status(name, &params, &patch);
        patched.await.expect("it has an address");
    }

    pub fn address(&self, name: &str) -> IpAddr {
        self.addresses[name]
    }

    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.cluster.client(), &self.namespace)
    }

    /// Creates a Segmentation with a short learning phase.
    pub fn segment(&self, mode: &str) {
        let learning = json!({"minimumDuration": "0s", "minimumCoverage": 50});
        self.segment_as(json!({"mode": mode, "learning": learning}));
    }

    /// Creates a Segmentation in the namespace.
    pub fn segment_as(&self, mut spec: Value) {
        spec["changedBy"] = "admin".into();
        let segmentation = json!({
            "apiVersion": "nanoseg.dev/v1alpha1",
            "kind": "Segmentation",
            "metadata": {"name": "default"},
            "spec": spec,
        });
        self.cluster.run(async {
            let api: Api<Segmentation> = self.api();
            let params = PatchParams::apply("test").force();
            let patch = Patch::Apply(&segmentation);
            let applied = api.patch("default", &params, &patch);
            applied.await.expect("the namespace is segmented");
        });
    }

    /// Waits for the open proposal of a workload and returns it.
    pub fn open(&self, workload: &str) -> PolicyProposal {
        self.until_open(workload, |_| true)
    }

    /// Waits until the open proposal of a workload satisfies a condition and returns it.
    pub fn until_open(
        &self,
        workload: &str,
        is: impl Fn(&PolicyProposal) -> bool,
    ) -> PolicyProposal {
        let api: Api<PolicyProposal> = self.api();
        let what = format!("a proposal for {workload}");
        self.cluster.run(until(PATIENCE, &what, async || {
            let all = api
                .list(&Default::default())
                .await
                .map_err(|e| e.to_string())?;
            let mut seen = Vec::new();
            for proposal in all.items {
                let status = proposal.status.clone().unwrap_or_default();
                let message = status.message.clone().unwrap_or_default();
                let name = proposal.name_any();
                seen.push(format!("{name} {:?} {message}", status.phase));
                let is_it = proposal.spec.workload.name == workload && is(&proposal);
                if is_it && proposal.status.is_some() && status.phase == Phase::Pending {
                    return Ok(proposal);
                }
            }
            let segmentations: Api<Segmentation> = self.api();
            let segmentation = segmentations.get("default").await;
            let status = segmentation.map_err(|e| e.to_string())?.status;
            Err(format!("{seen:?}\n{status:#?}"))
        }))
    }

    /// The proposals of a workload.
    pub fn proposals(&self, workload: &str) -> Vec<PolicyProposal> {
        let api: Api<PolicyProposal> = self.api();
        let all = self
            .cluster
            .run(async { api.list(&Default::default()).await.expect("an answer") });
        let theirs = all.items.into_iter();
        theirs
            .filter(|one| one.spec.workload.name == workload)
            .collect()
    }

    pub async fn fetch(&self, name: &str) -> Result<PolicyProposal, String> {
        let api: Api<PolicyProposal> = self.api();
        api.get(name).await.map_err(|e| e.to_string())
    }

    /// Waits until a proposal is in a phase.
    pub fn until_phase(&self, proposal: &PolicyProposal, phase: Phase) {
        let name = proposal.name_any();
        let what = format!("{name} to be {phase:?}");
        self.cluster.run(until(PATIENCE, &what, async || {
            let now = self.fetch(&name).await?.status.unwrap_or_default().phase;
            (now == phase)
                .then_some(())
                .ok_or_else(|| format!("{now:?}"))
        }));
    }

    /// Decides on the open proposal of a workload, and waits until the decision is accepted.
    pub fn decide_open(&self, workload: &str, verb: Verb) {
        self.decide(&self.open(workload), verb, DecisionOutcome::Accepted);
    }

    /// Approves the proposals of all workloads that [`super::learned`] makes.
    pub fn approve_first_policies(&self) {
        for workload in ["web", "api", "db"] {
            self.decide_open(workload, Verb::Approve);
        }
    }

    /// Decides on the given revision of a proposal, and waits for the outcome.
    pub fn decide(
        &self,
        read: &PolicyProposal,
        verb: Verb,
        expected: DecisionOutcome,
    ) -> ProposalDecision {
        let name = self.post_decision(read, verb);
        self.until_answered(&name, expected)
    }

    /// Decides on the given revision of a proposal. Returns the decision's name.
    pub fn post_decision(&self, read: &PolicyProposal, verb: Verb) -> String {
        self.post(read, verb, |_| {})
    }

    /// Approves the given revision of a proposal on terms, and waits for the outcome.
    pub fn approve_on(
        &self,
        read: &PolicyProposal,
        terms: impl FnOnce(&mut ProposalDecisionSpec),
        expected: DecisionOutcome,
    ) -> ProposalDecision {
        let name = self.post(read, Verb::Approve, terms);
        self.until_answered(&name, expected)
    }

    fn post(
        &self,
        read: &PolicyProposal,
        verb: Verb,
        terms: impl FnOnce(&mut ProposalDecisionSpec),
    ) -> String {
        let name = self.cluster.name("decision");
        let mut spec = ProposalDecisionSpec {
            proposal: read.name_any(),
            proposal_uid: read.uid().expect("a uid"),
            revision: read.spec.review.revision.clone(),
            decision: verb,
            reason: "as the test has it".into(),
            decided_by: "system:admin".into(),
            ..ProposalDecisionSpec::default()
        };
        terms(&mut spec);
        let decision = ProposalDecision::new(&name, spec);
        let api: Api<ProposalDecision> = self.api();
        self.cluster.run(async {
            let made = api.create(&PostParams::default(), &decision).await;
            made.expect("it is decided");
        });
        name
    }

    /// Waits for the outcome of a decision.
    pub fn until_answered(&self, name: &str, expected: DecisionOutcome) -> ProposalDecision {
        let api: Api<ProposalDecision> = self.api();
        self.cluster.run(async {
            let answered = until(PATIENCE, "the answer", async || {
                let now = api.get(name).await.map_err(|e| e.to_string())?;
                let answered = now.status.as_ref().is_some_and(|s| s.outcome.is_some());
                answered.then_some(now).ok_or_else(|| "none yet".to_owned())
            })
            .await;
            let outcome = answered.status.as_ref().and_then(|s| s.outcome);
            assert_eq!(outcome, Some(expected), "{:?}", answered.status);
            answered
        })
    }

    /// Edits a proposal's policy as a person does.
    pub fn edit(&self, proposal: &PolicyProposal, change: impl FnOnce(&mut NetworkPolicySpec)) {
        let mut spec = proposal.spec.policy.clone();
        change(&mut spec);
        let patch = json!({"spec": {"policy": spec}});
        let api: Api<PolicyProposal> = self.api();
        self.cluster.run(async {
            let name = proposal.name_any();
            let params = PatchParams::default();
            let edited = api.patch(&name, &params, &Patch::Merge(&patch)).await;
            edited.expect("it is edited");
        });
    }

    /// Waits for a policy and returns it.
    pub fn policy(&self, name: &str) -> NetworkPolicy {
        self.until_policy(name, "it is there", |policy| policy.is_some());
        self.find_policy(name).expect("a policy")
    }

    pub fn find_policy(&self, name: &str) -> Option<NetworkPolicy> {
        let api: Api<NetworkPolicy> = self.api();
        self.cluster
            .run(async { api.get_opt(name).await.expect("an answer") })
    }

    pub fn until_policy(
        &self,
        name: &str,
        what: &str,
        is: impl Fn(Option<&NetworkPolicy>) -> bool,
    ) {
        let api: Api<NetworkPolicy> = self.api();
        self.cluster.run(until(
            PATIENCE,
            &format!("policy {name}: {what}"),
            async || {
                let now = api.get_opt(name).await.map_err(|e| e.to_string())?;
                is(now.as_ref())
                    .then_some(())
                    .ok_or_else(|| format!("{:?}", now.map(|p| p.spec)))
            },
        ));
    }

    /// Waits until a condition of the Segmentation has the given status.
    pub fn until_condition(&self, kind: &str, status: &str, reason: &str) {
        let api: Api<Segmentation> = self.api();
        let what = format!("condition {kind}={status} {reason}");
        self.cluster.run(until(PATIENCE, &what, async || {
            let now = api.get("default").await.map_err(|e| e.to_string())?;
            let conditions = now.status.unwrap_or_default().conditions;
            let is_it = conditions
                .iter()
                .any(|c| c.type_ == kind && c.status == status && c.reason == reason);
            is_it
                .then_some(())
                .ok_or_else(|| format!("{conditions:#?}"))
        }));
    }

    /// Waits until the Segmentation names these nodes as those without an agent.
    pub fn until_without_agent(&self, nodes: &[&str]) {
        let api: Api<Segmentation> = self.api();
        let what = format!("nodes without an agent: {nodes:?}");
        self.cluster.run(until(PATIENCE, &what, async || {
            let now = api.get("default").await.map_err(|e| e.to_string())?;
            let named = now.status.unwrap_or_default().nodes_without_agent;
            (named == nodes)
                .then_some(())
                .ok_or_else(|| format!("{named:?}"))
        }));
    }

    /// Waits for an Event with this reason on some object of the namespace.
    pub fn until_event(&self, reason: &str) {
        let api: Api<Event> = self.api();
        let what = format!("an Event {reason}");
        self.cluster.run(until(PATIENCE, &what, async || {
            let all = api
                .list(&Default::default())
                .await
                .map_err(|e| e.to_string())?;
            let mut reasons = all.items.iter().filter_map(|event| event.reason.as_deref());
            reasons
                .any(|r| r == reason)
                .then_some(())
                .ok_or_else(|| format!("{} others", all.items.len()))
        }));
    }

    /// Sets a label of a pod, or removes it.
    pub fn label(&self, pod: &str, key: &str, value: Option<&str>) {
        let patch = json!({"metadata": {"labels": {key: value}}});
        let api: Api<Pod> = self.api();
        self.cluster.run(async {
            let params = PatchParams::default();
            let done = api.patch(pod, &params, &Patch::Merge(&patch)).await;
            done.expect("it is labelled");
        });
    }

    /// Edits the open proposal of a workload as a person does, and waits until it is judged anew.
    pub fn edit_open(
        &self,
        workload: &str,
        change: impl FnOnce(&mut NetworkPolicySpec),
    ) -> PolicyProposal {
        let asked = self.open(workload);
        self.edit(&asked, change);
        self.cluster
            .run(until(PATIENCE, "it is judged anew", async || {
                let now = self.fetch(&asked.name_any()).await?;
                let is_new = now.spec.review.revision != asked.spec.review.revision;
                is_new.then_some(now).ok_or_else(|| "not yet".to_owned())
            }))
    }

    pub fn delete_pod(&self, name: &str) {
        let api: Api<Pod> = self.api();
        let now = DeleteParams::default().grace_period(0);
        let deleted = self.cluster.run(async { api.delete(name, &now).await });
        deleted.expect("it is deleted");
    }

    /// Deletes the Segmentation of the namespace.
    pub fn unsegment(&self) {
        let api: Api<Segmentation> = self.api();
        let deleted = self.cluster.run(async {
            api.delete("default", &DeleteParams::default())
                .await
                .map(|_| ())
        });
        deleted.expect("it is deleted");
    }

    /// Sets the break-glass annotation of the namespace with a reason, or removes it.
    pub fn break_glass(&self, reason: Option<&str>) {
        let annotations = json!({BREAK_GLASS: reason, BREAK_GLASS_BY: "admin"});
        let patch = json!({"metadata": {"annotations": annotations}});
        let api: Api<Namespace> = Api::all(self.cluster.client());
        self.cluster.run(async {
            let params = PatchParams::default();
            let done = api
                .patch(&self.namespace, &params, &Patch::Merge(&patch))
                .await;
            done.expect("it is annotated");
        });
    }

    /// Waits until nothing changes any more. Returns the resource versions of everything that the controller writes here.
    pub fn settled(&self) -> BTreeMap<String, String> {
        let mut last = self.versions();
        self.cluster.run(until(PATIENCE, "nothing moves", async || {
            tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
            let now = self.versions_now().await;
            let same = now == last;
            last = now;
            same.then_some(()).ok_or_else(|| format!("{last:?}"))
        }));
        last
    }

    fn versions(&self) -> BTreeMap<String, String> {
        self.cluster.run(self.versions_now())
    }

    async fn versions_now(&self) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        all.extend(versions(self.api::<NetworkPolicy>()).await);
        all.extend(versions(self.api::<PolicyProposal>()).await);
        all.extend(versions(self.api::<ProposalDecision>()).await);
        all.extend(versions(self.api::<Segmentation>()).await);
        all
    }
}

impl Drop for World {
    /// Deletes the objects, so that the next test's controller does not find them.
    fn drop(&mut self) {
        let api: Api<Segmentation> = self.api();
        let deleted = self
            .cluster
            .run(async { api.delete("default", &Default::default()).await.map(|_| ()) });
        if let Err(error) = deleted
            && !matches!(&error, kube::Error::Api(status) if status.code == 404)
        {
            eprintln!("the Segmentation of {} stays: {error}", self.namespace);
        }
    }
}

async fn versions<K>(api: Api<K>) -> Vec<(String, String)>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let list = api.list(&Default::default()).await.expect("a list");
    let version = |object: &K| {
        let name = format!("{} {}", K::kind(&()), object.name_any());
        (name, object.resource_version().unwrap_or_default())
    };
    list.items.iter().map(version).collect()
}
