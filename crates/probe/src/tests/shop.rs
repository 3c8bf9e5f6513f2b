//! A small shop: `web` may call `api`, `api` may call `db`; everything else is denied. `api` is on node2.

use crate::{Limits, Plan, PlanInputs, PodName, Subject, plan, subject};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use nanoseg_evaluate::{Evaluation, HostNetwork};
use nanoseg_inventory::{Inventory, testing};
use nanoseg_plugin::EnforcedPorts;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const POLICY: &str = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n";

pub struct Shop {
    pub inventory: Inventory,
    pub policies: Vec<NetworkPolicy>,
    pub pods: Vec<Value>,
    pub limits: Limits,
    pub seed: u64,
    pub namespaces: BTreeSet<String>,
    pub ports: EnforcedPorts,
}

fn service(name: &str, address: &str, port: u16, target: u16) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{namespace: shop, name: {name}}}\n\
         spec: {{clusterIP: {address}, clusterIPs: [{address}], selector: {{app: {name}}}, ports: [{{port: {port}, targetPort: {target}, protocol: TCP}}]}}"
    )
}

fn server_policy(server: &str, client: &str, port: u16) -> NetworkPolicy {
    let text = format!(
        "{POLICY}metadata: {{namespace: shop, name: {server}}}\nspec: {{podSelector: {{matchLabels: {{app: {server}}}}}, \
         policyTypes: [Ingress], ingress: [{{from: [{{podSelector: {{matchLabels: {{app: {client}}}}}}}], ports: [{{port: {port}}}]}}]}}"
    );
    serde_yaml::from_str(&text).unwrap()
}

/// A pod as the API server has it.
pub fn raw(name: &str, address: &str) -> Value {
    json!({
        "metadata": {"namespace": "shop", "name": name, "uid": format!("uid-{name}")},
        "spec": {"containers": [{"name": "c"}]},
        "status": {"phase": "Running", "podIPs": [{"ip": address}]},
    })
}

impl Shop {
    pub fn new() -> Shop {
        let pods = [
            ("web", "10.0.1.1", "node1"),
            ("api", "10.0.2.1", "node2"),
            ("db", "10.0.1.2", "node1"),
            ("job", "10.0.1.3", "node1"),
        ];
        let mut documents: Vec<String> = pods
            .iter()
            .map(|(name, address, node)| {
                testing::pod("shop", name, address, node, &format!("app: {name}"))
            })
            .collect();
        documents.push(service("api", "10.96.0.10", 80, 8080));
        documents.push(service("db", "10.96.0.11", 5432, 5432));
        let (inventory, _) = testing::inventory(&documents.join("\n---\n"));
        Shop {
            inventory,
            policies: vec![
                server_policy("api", "web", 8080),
                server_policy("db", "api", 5432),
            ],
            pods: pods
                .iter()
                .map(|(name, address, _)| raw(name, address))
                .collect(),
            limits: Limits::default(),
            seed: 1,
            namespaces: BTreeSet::new(),
            ports: EnforcedPorts::Pod,
        }
    }

    pub fn evaluation(&self) -> Evaluation {
        Evaluation::new(&self.inventory, &self.policies, HostNetwork::Exact).unwrap()
    }

    pub fn subjects(&self) -> Vec<Subject> {
        let fit = self.pods.iter();
        fit.filter_map(|pod| subject(pod, self.limits.containers).ok())
            .collect()
    }

    pub fn plan(&self) -> Plan {
        let mut unfit = BTreeMap::new();
        let mut running = BTreeSet::new();
        for pod in &self.pods {
            let name = self.name(pod["metadata"]["name"].as_str().unwrap());
            running.insert(name.clone());
            unfit.extend(
                subject(pod, self.limits.containers)
                    .err()
                    .map(|why| (name, why)),
            );
        }
        plan(&PlanInputs {
            inventory: &self.inventory,
            evaluation: &self.evaluation(),
            enforced_ports: self.ports,
            graph: None,
            subjects: &self.subjects(),
            unfit: &unfit,
            running: &running,
            namespaces: &self.namespaces,
            limits: self.limits,
            seed: self.seed,
        })
    }

    pub fn name(&self, pod: &str) -> PodName {
        PodName {
            namespace: "shop".into(),
            name: pod.into(),
        }
    }
}

/// The probes of a plan as text.
pub fn words(plan: &Plan) -> Vec<String> {
    let word = |probe: &crate::Probe| {
        let by = probe
            .through
            .as_ref()
            .map(|service| format!(" by {service}"));
        format!(
            "{} → {} {}{} {}",
            probe.client.pod.name,
            probe
                .server
                .pod
                .as_ref()
                .map_or("-", |pod| pod.name.as_str()),
            probe.to.port(),
            by.unwrap_or_default(),
            probe.expected.words()
        )
    };
    let mut all: Vec<String> = plan.probes.iter().map(word).collect();
    all.sort();
    all
}
