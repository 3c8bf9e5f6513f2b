//! A namespace in the state that a controller leaves: segmented, with proposals. A client with the controller's
//! ServiceAccount simulates the controller, as the admission policies require.

use crate::story::install::Installation;
use crate::support::kubernetes::Cluster;
use k8s_openapi::NamespaceResourceScope;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Resource, ResourceExt};
use nanoseg::review::resources::{PolicyProposal, ProposalDecision, Segmentation};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;

pub struct Shop {
    pub cluster: &'static Cluster,
    pub namespace: String,
    /// The user who decides.
    pub rosa: PathBuf,
    /// The user who only reads.
    pub vera: PathBuf,
    controller: PathBuf,
    _installed: Installation,
}

impl Shop {
    pub fn make(cluster: &'static Cluster) -> Shop {
        let installed = Installation::make(cluster);
        let namespace = cluster.namespace("shop");
        for (user, role) in [("rosa", "nanoseg-operator"), ("vera", "nanoseg-viewer")] {
            let bind = [
                "create",
                "rolebinding",
                user,
                "-n",
                &namespace,
                "--user",
                user,
            ];
            let bound = cluster.kubectl(&[&bind[..], &["--clusterrole", role]].concat());
            assert!(bound.status.success(), "{bound:?}");
        }
        Shop {
            cluster,
            namespace,
            rosa: cluster.kubeconfig_as("rosa", &[]),
            vera: cluster.kubeconfig_as("vera", &[]),
            controller: cluster.service_account_kubeconfig("nanoseg", "nanoseg-controller"),
            _installed: installed,
        }
    }

    /// A client with the rights of the controller.
    fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        let client = self.cluster.client_of(&self.controller);
        Api::namespaced(client, &self.namespace)
    }

    /// Creates a Segmentation in mode Enforce, with the status that the controller writes.
    pub fn segment(&self) {
        let segmentation: Segmentation = serde_json::from_value(json!({
            "metadata": {"name": "default"},
            "spec": {"mode": "Enforce", "changedBy": "admin"},
        }))
        .expect("a Segmentation");
        let condition = |name: &str, status: &str, message: &str| {
            json!({"type": name, "status": status, "reason": "Test", "message": message,
                   "lastTransitionTime": "2026-11-24T08:00:00Z"})
        };
        self.cluster.run(async {
            let admin: Api<Segmentation> =
                Api::namespaced(self.cluster.client(), &self.namespace);
            let made = admin.create(&PostParams::default(), &segmentation).await;
            let generation = made.expect("a Segmentation").metadata.generation;
            let status = json!({"status": {
                "observedGeneration": generation,
                "coverage": "97 %",
                "counts": {"workloads": 4, "enforced": 2, "openProposals": 2, "edges": 9, "violations": 1},
                "conditions": [
                    condition("Ready", "True", ""),
                    condition("Enforcing", "True", ""),
                    condition("Degraded", "True", "shop/web was rolled back"),
                ],
            }});
            let patch = Patch::Merge(&status);
            let done = self
                .api::<Segmentation>()
                .patch_status("default", &PatchParams::default(), &patch)
                .await;
            done.expect("a status");
        });
    }

    /// Creates a proposal for `web` with its status.
    pub fn propose(&self, name: &str, spec: &Value, status: Value) -> PolicyProposal {
        let spec = serde_json::from_value(spec.clone()).expect("a proposal");
        let mut proposal = PolicyProposal::new(name, spec);
        proposal.metadata.labels = Some(ours());
        self.cluster.run(async {
            let api = self.api::<PolicyProposal>();
            let made = api.create(&PostParams::default(), &proposal).await;
            made.unwrap_or_else(|error| panic!("{name}: {error}"));
            let status = json!({"status": status});
            let patch = Patch::Merge(&status);
            let done = api
                .patch_status(name, &PatchParams::default(), &patch)
                .await;
            done.unwrap_or_else(|error| panic!("{name}: {error}"))
        })
    }

    /// Accepts a decision as the controller does. Without a Segmentation it writes nothing.
    pub async fn accept(&self, decision: &ProposalDecision) {
        let patch = Patch::Merge(json!({"status": {"outcome": "Accepted"}}));
        let name = decision.name_any();
        let api = self.api::<ProposalDecision>();
        let done = api
            .patch_status(&name, &PatchParams::default(), &patch)
            .await;
        done.unwrap_or_else(|error| panic!("{name}: {error}"));
    }

    /// Returns the decisions about a proposal, in the order of their creation.
    pub fn decisions(&self, proposal: &str) -> Vec<ProposalDecision> {
        self.cluster.run(self.decisions_now(proposal))
    }

    /// Does the same inside a running runtime.
    pub async fn decisions_now(&self, proposal: &str) -> Vec<ProposalDecision> {
        let api = self.api::<ProposalDecision>();
        let list = api.list(&Default::default()).await;
        let mut items = list.expect("a list").items;
        items.retain(|one| one.spec.proposal == proposal);
        items.sort_by_key(|one| (one.creation_timestamp(), one.name_any()));
        items
    }
}

/// The label of what the controller writes.
pub fn ours() -> BTreeMap<String, String> {
    [("app.kubernetes.io/managed-by".into(), "nanoseg".into())].into()
}

/// The spec of a proposal with risk `risk` and revision `digit`, repeated: api may call web too.
pub fn proposal(risk: &str, digit: &str) -> Value {
    let policy = |clients: &[&str]| {
        let peer = |app: &&str| json!({"podSelector": {"matchLabels": {"app": app}}});
        let from: Vec<Value> = clients.iter().map(peer).collect();
        json!({
            "podSelector": {"matchLabels": {"app": "web"}},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": from, "ports": [{"protocol": "TCP", "port": 8080}]}],
        })
    };
    json!({
        "workload": {"kind": "Deployment", "name": "web"},
        "policyName": "nanoseg-web",
        "policy": policy(&["proxy", "api"]),
        "base": policy(&["proxy"]),
        "review": {
            "revision": format!("sha256:{}", digit.repeat(64)),
            "reason": "new connections were seen",
            "risk": risk,
            "gained": [{"client": "shop/api", "server": "shop/web", "ports": "TCP 8080"}],
            "gainedTotal": 1,
            "lostTotal": 0,
            "findings": [{"severity": "warning", "code": "first-seen-today", "subject": "shop/web",
                          "message": "was never called by shop/api before today"}],
            "wouldBlock": [{"client": "shop/batch", "server": "shop/web", "port": "TCP 9090",
                            "connections": 3, "lastSeen": "2026-11-24T07:00:00Z"}],
            "wouldBlockTotal": 1,
            "evidence": [{"client": "shop/api", "server": "shop/web", "port": "TCP 8080", "connections": 12,
                          "firstSeen": "2026-11-24T06:00:00Z", "lastSeen": "2026-11-24T07:59:00Z"}],
            "coverage": 97,
        },
    })
}
