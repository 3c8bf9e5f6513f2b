//! The shop of samples/shop on the test's cluster: the same workloads, Services and callers as small programs, in
//! separate namespaces for each run of the story.

mod manifests;
mod scenario;

use crate::support::kubernetes::{Cluster, OUTSIDE, PATIENCE, Pod, Program, until};
use scenario::{Kind, SERVICES, WORKLOADS};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The program of all pods, and of the hosts outside.
pub const PROGRAM: &str = include_str!("pod.py");
/// The DNS server outside of the cluster.
pub const OUTSIDE_DNS: &str = "203.0.113.53";
/// A customer outside of the cluster who calls the NodePort.
pub const CUSTOMER: &str = "198.51.100.7";

/// The running shop.
pub struct Shop {
    cluster: &'static Cluster,
    /// The suffix of its namespaces' names, such as `-story1`.
    suffix: String,
    /// ClusterIPs by `NAME.NAMESPACE` of the scenario, without headless Services.
    addresses: BTreeMap<String, String>,
    /// The node port of `web-public`.
    node_port: u16,
    zone: PathBuf,
    _outside: Vec<Program>,
}

impl Shop {
    /// Creates everything, and waits until all pods are ready and the first calls succeed.
    pub fn open(cluster: &'static Cluster, telling: u32) -> Shop {
        let mut shop = Shop {
            cluster,
            suffix: format!("-story{telling}"),
            addresses: BTreeMap::new(),
            node_port: 0,
            zone: cluster.path(&format!("zone-{telling}.json")),
            _outside: Vec::new(),
        };
        for namespace in scenario::NAMESPACES {
            let name = shop.namespace(namespace);
            let made = cluster.kubectl(&["create", "namespace", &name]);
            assert!(made.status.success(), "{made:?}");
        }
        shop.wait_for_accounts();
        shop.prepare_network();
        shop.make_services();
        shop.write_zone(&[]);
        for namespace in scenario::NAMESPACES {
            let workloads = WORKLOADS.iter().filter(|w| w.namespace == namespace);
            let items: Vec<Value> = workloads.map(|w| manifests::workload(&shop, w)).collect();
            let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
            cluster.apply(&shop.namespace(namespace), &list.to_string());
        }
        shop.wait_for_pods();
        let metrics = shop.pods("shop/app");
        shop.write_zone(&metrics);
        shop._outside = shop.start_outside();
        shop
    }

    /// Returns the name of a namespace of the scenario in this run.
    pub fn namespace(&self, name: &str) -> String {
        let name = if name == "kube-system" { "dns" } else { name };
        format!("{name}{}", self.suffix)
    }

    /// Returns the suffix of its namespaces' names.
    pub fn suffix(&self) -> &str {
        &self.suffix
    }

    /// Returns the names of all its namespaces in this run.
    pub fn namespaces(&self) -> [String; 3] {
        scenario::NAMESPACES.map(|name| self.namespace(name))
    }

    /// Converts `shop/web` to `shop-1/web`. Other peers are not changed.
    pub fn here(&self, peer: &str) -> String {
        match peer.split_once('/') {
            Some((namespace, name)) => format!("{}/{name}", self.namespace(namespace)),
            None => peer.to_owned(),
        }
    }

    /// Returns the ready pods of a workload, such as `shop/web`.
    pub fn pods(&self, workload: &str) -> Vec<Pod> {
        let (namespace, name) = workload.split_once('/').expect("NAMESPACE/NAME");
        let selector = scenario::selector(name);
        let namespace = self.namespace(namespace);
        self.cluster
            .run(self.cluster.running(&namespace, &selector))
    }

    pub fn pod(&self, workload: &str) -> Pod {
        let pods = self.pods(workload).into_iter().next();
        pods.unwrap_or_else(|| panic!("no pod of {workload} runs"))
    }

    /// Returns the addresses of a workload on a port of its pods: the pods, and the Services in front of them.
    pub fn ways(&self, server: &str, port: u16) -> Vec<(String, u16)> {
        let pods = self.pods(server).into_iter();
        let mut ways: Vec<(String, u16)> = pods.map(|pod| (pod.address, port)).collect();
        for service in SERVICES
            .iter()
            .filter(|s| s.workload == server && s.target == port)
        {
            if let Some(address) = self.addresses.get(service.name) {
                ways.push((address.clone(), service.port));
            }
        }
        ways
    }

    /// Returns the NodePort of the shop's front end, on a node with its pods.
    pub fn front(&self) -> (String, u16) {
        (self.cluster.nodes()[0].address.clone(), self.node_port)
    }

    /// Starts a run of the CronJob `batch` manually.
    pub fn start_batch(&self, name: &str) {
        let namespace = self.namespace("shop");
        let job = [
            "create",
            "job",
            "--from=cronjob/batch",
            name,
            "-n",
            &namespace,
        ];
        let made = self.cluster.kubectl(&job);
        assert!(made.status.success(), "{made:?}");
    }

    /// Waits until a run of `batch` is finished.
    pub fn await_batch(&self, name: &str) {
        let namespace = self.namespace("shop");
        let get = [
            "get",
            "job",
            name,
            "-n",
            &namespace,
            "-o",
            "jsonpath={.status.succeeded}",
        ];
        self.cluster.run(until(PATIENCE, "the batch job", async || {
            let output = self.cluster.kubectl(&get);
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            if said == "1" {
                Ok(())
            } else {
                Err(format!("{name}: {said:?}"))
            }
        }));
    }

    /// Deletes everything, and does not wait.
    pub fn close(self) {
        for namespace in scenario::NAMESPACES {
            let name = self.namespace(namespace);
            self.cluster
                .kubectl(&["delete", "namespace", &name, "--wait=false"]);
        }
    }

    fn wait_for_accounts(&self) {
        for namespace in scenario::NAMESPACES {
            let name = self.namespace(namespace);
            self.cluster
                .run(until(PATIENCE, "the default ServiceAccount", async || {
                    let get =
                        self.cluster
                            .kubectl(&["get", "serviceaccount", "default", "-n", &name]);
                    if get.status.success() {
                        Ok(())
                    } else {
                        Err(name.clone())
                    }
                }));
        }
    }

    /// Creates addresses outside of the cluster, and the metadata address, which drops every packet.
    fn prepare_network(&self) {
        for address in [OUTSIDE_DNS, CUSTOMER] {
            self.cluster.add_address(&format!("{address}/32"), "lo");
        }
        for node in self.cluster.nodes() {
            node.namespace
                .ip("route replace blackhole 169.254.169.254/32");
        }
    }

    fn make_services(&mut self) {
        for namespace in scenario::NAMESPACES {
            let services = SERVICES.iter().filter(|s| s.namespace() == namespace);
            let items: Vec<Value> = services.map(manifests::service).collect();
            let here = self.namespace(namespace);
            let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
            self.cluster.apply(&here, &list.to_string());
            let output = self
                .cluster
                .kubectl(&["get", "services", "-n", &here, "-o", "json"]);
            let made: Value = serde_json::from_slice(&output.stdout).expect("services");
            for service in made["items"].as_array().into_iter().flatten() {
                let name = service["metadata"]["name"].as_str().expect("a name");
                let address = service["spec"]["clusterIP"].as_str().expect("an address");
                if address != "None" {
                    self.addresses
                        .insert(format!("{name}.{namespace}"), address.to_owned());
                }
                if let Some(port) = service["spec"]["ports"][0]["nodePort"].as_u64() {
                    self.node_port = u16::try_from(port).expect("a port");
                }
            }
        }
    }

    /// Returns the answers of cluster DNS.
    fn write_zone(&self, metrics: &[Pod]) {
        let addresses = self.addresses.iter();
        let mut names: BTreeMap<String, Vec<String>> = addresses
            .map(|(name, address)| (name.clone(), vec![address.clone()]))
            .collect();
        let pods = metrics.iter().map(|pod| pod.address.clone()).collect();
        names.insert("app-metrics.shop".to_owned(), pods);
        let text = serde_json::to_string(&names).expect("a zone");
        std::fs::write(&self.zone, text).expect("a file");
    }

    fn wait_for_pods(&self) {
        self.cluster
            .run(until(2 * PATIENCE, "the shop's pods", async || {
                let mut missing = Vec::new();
                for workload in WORKLOADS.iter().filter(|w| w.kind != Kind::CronJob) {
                    let (namespace, selector) = (
                        self.namespace(workload.namespace),
                        scenario::selector(workload.name),
                    );
                    let ready = self.cluster.running(&namespace, &selector).await.len();
                    if ready != workload.replicas as usize {
                        missing.push(format!(
                            "{ready} of {} {}",
                            workload.replicas, workload.name
                        ));
                    }
                }
                if missing.is_empty() {
                    Ok(())
                } else {
                    Err(missing.join(", "))
                }
            }));
    }

    /// Starts the payment host, the upstream DNS server of coredns, and the customer.
    fn start_outside(&self) -> Vec<Program> {
        let zone = self.cluster.path("zone-outside.json");
        std::fs::write(
            &zone,
            json!({"api.payments.example": [OUTSIDE]}).to_string(),
        )
        .expect("a file");
        let (node, port) = self.front();
        let script = self.cluster.path("customer.py");
        std::fs::write(&script, include_str!("customer.py")).expect("a file");
        let python = |words: &[&str]| {
            let mut command = self.cluster.command("/usr/bin/python3");
            command
                .args(words)
                .env("ZONE", &zone)
                .env("NAMESERVER", OUTSIDE_DNS);
            let name = self.cluster.name("outside");
            Program::start(command, &self.cluster.path(&format!("{name}.log")))
        };
        vec![
            python(&["-c", PROGRAM, "serve:443", &format!("dns:53:{OUTSIDE_DNS}")]),
            python(&[
                &script.to_string_lossy(),
                CUSTOMER,
                &node,
                &port.to_string(),
            ]),
        ]
    }
}
