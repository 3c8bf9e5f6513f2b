//! What is true: nodes, workloads, pods with their times, Services, and who called whom.

use super::random::Random;
use nanoseg::graph::End;
use nanoseg::inventory::{Inventory, Objects, OwnerRule, WorkloadId};
use nanoseg::net::Timestamp;
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr};

/// The start of the time that all others count from, in seconds since 1970.
pub const START: i64 = 1_800_000_000;
/// How long the traffic lasts, in seconds.
pub const LENGTH: i64 = 600;
/// The port of a Service; its pods have others.
pub const SERVICE_PORT: u16 = 80;
/// How far from a change of hands nobody talks: times in objects are whole seconds.
const QUIET: i64 = 5;

#[derive(Debug)]
pub struct Workload {
    pub namespace: &'static str,
    pub name: String,
    pub port: u16,
}

#[derive(Debug)]
pub struct Pod {
    pub workload: usize,
    pub name: String,
    /// From 1 on.
    pub node: usize,
    pub address: IpAddr,
    pub from: i64,
    /// When it was deleted.
    pub until: Option<i64>,
    /// Its object stays after it has ended, as a finished Job's does.
    pub lingers: bool,
}

impl Pod {
    pub fn lives(&self, at: i64) -> bool {
        self.from <= at && self.until.is_none_or(|until| at < until)
    }

    fn talks(&self, at: i64) -> bool {
        let quiet_end = self.until.is_none_or(|until| at + QUIET < until);
        self.from + QUIET < at && quiet_end
    }
}

#[derive(Debug)]
pub struct Service {
    pub workload: usize,
    pub address: IpAddr,
}

#[derive(Debug, Clone, Copy)]
pub enum Server {
    Pod(usize),
    /// The Service, and the pod that answered.
    Service(usize, usize),
    Outside(IpAddr),
}

impl Server {
    /// The pod that answered.
    pub fn pod(self) -> Option<usize> {
        match self {
            Server::Pod(pod) | Server::Service(_, pod) => Some(pod),
            Server::Outside(_) => None,
        }
    }
}

/// One answered connection.
#[derive(Debug)]
pub struct Call {
    pub at: i64,
    pub client: usize,
    pub server: Server,
}

#[derive(Debug)]
pub struct World {
    pub nodes: usize,
    pub workloads: Vec<Workload>,
    pub pods: Vec<Pod>,
    pub services: Vec<Service>,
    pub calls: Vec<Call>,
}

impl World {
    pub fn any(random: &mut Random) -> World {
        let nodes = random.between(1, 4) as usize;
        let workloads: Vec<Workload> = (0..random.between(2, 5))
            .map(|number| Workload {
                namespace: ["shop", "pay"][random.below(2)],
                name: format!("w{number}"),
                port: 8000 + number as u16,
            })
            .collect();
        let mut world = World {
            nodes,
            workloads,
            pods: Vec::new(),
            services: Vec::new(),
            calls: Vec::new(),
        };
        for workload in 0..world.workloads.len() {
            for _ in 0..random.between(1, 3) {
                world.add_pod(workload, random);
            }
            if random.percent(60) {
                let address = Ipv4Addr::new(10, 96, 1, 10 + workload as u8).into();
                world.services.push(Service { workload, address });
            }
        }
        for _ in 0..random.between(1, 12) {
            world.calls.extend(world.any_call(random));
        }
        world.calls.sort_by_key(|call| call.at);
        world
    }

    fn add_pod(&mut self, workload: usize, random: &mut Random) {
        let number = self.pods.len();
        let from = if random.percent(60) {
            -1000
        } else {
            random.between(0, LENGTH - 100)
        };
        let until = random
            .percent(40)
            .then(|| random.between(from.max(0) + 50, LENGTH - 10));
        // The address of a pod that is gone by then, on the same node.
        let free: Vec<(usize, IpAddr)> = self
            .pods
            .iter()
            .filter(|pod| pod.until.is_some_and(|until| until + 2 * QUIET < from))
            .map(|pod| (pod.node, pod.address))
            .filter(|(_, address)| {
                let mut others = self.pods.iter().filter(|pod| pod.address == *address);
                others.all(|pod| pod.until.is_some_and(|until| until + 2 * QUIET < from))
            })
            .collect();
        let (node, address) = if !free.is_empty() && random.percent(70) {
            *random.pick(&free)
        } else {
            let node = random.between(1, self.nodes as i64) as usize;
            let octet = 10 + number as u8;
            (node, Ipv4Addr::new(10, 244, node as u8, octet).into())
        };
        self.pods.push(Pod {
            workload,
            name: format!("w{workload}-5d4f8c7b9-{}", suffix(number)),
            node,
            address,
            from,
            until,
            lingers: random.percent(20),
        });
    }

    fn any_call(&self, random: &mut Random) -> Option<Call> {
        let at = random.between(1, LENGTH - 1);
        let talking: Vec<usize> = (0..self.pods.len())
            .filter(|pod| self.pods[*pod].talks(at))
            .collect();
        if talking.is_empty() {
            return None;
        }
        let client = *random.pick(&talking);
        let server = *random.pick(&talking);
        if random.percent(15) {
            let address = Ipv4Addr::new(203, 0, 113, random.between(1, 9) as u8);
            let server = Server::Outside(address.into());
            return Some(Call { at, client, server });
        }
        if client == server {
            return None;
        }
        let mut services = self.services.iter();
        let service = services.position(|one| one.workload == self.pods[server].workload);
        let server = match service {
            Some(service) if random.percent(60) => Server::Service(service, server),
            _ => Server::Pod(server),
        };
        Some(Call { at, client, server })
    }

    /// The name of a workload: `namespace/name`.
    pub fn name(&self, pod: usize) -> String {
        let workload = &self.workloads[self.pods[pod].workload];
        format!("{}/{}", workload.namespace, workload.name)
    }

    pub fn client(&self, call: &Call) -> String {
        self.name(call.client)
    }

    /// The workload or address that is called.
    pub fn server(&self, call: &Call) -> String {
        match call.server {
            Server::Pod(pod) | Server::Service(_, pod) => self.name(pod),
            Server::Outside(address) => address.to_string(),
        }
    }

    /// The server's own port.
    pub fn port(&self, call: &Call) -> u16 {
        match call.server {
            Server::Pod(pod) | Server::Service(_, pod) => {
                self.workloads[self.pods[pod].workload].port
            }
            Server::Outside(_) => 443,
        }
    }

    pub fn end(&self, pod: usize) -> End {
        let workload = &self.workloads[self.pods[pod].workload];
        End::Workload(WorkloadId {
            namespace: workload.namespace.to_owned(),
            name: workload.name.clone(),
            kind: "Deployment".to_owned(),
        })
    }

    /// The inventory of all that is true, to judge policies by.
    pub fn inventory(&self) -> Inventory {
        let mut objects = Objects {
            snapshots: 1,
            ..Objects::default()
        };
        for node in 1..=self.nodes {
            objects.nodes.push(parse(self.node(node)));
        }
        for namespace in ["shop", "pay"] {
            objects.namespaces.push(parse(namespace_object(namespace)));
        }
        for number in 0..self.workloads.len() {
            objects.deployments.push(parse(self.deployment(number)));
            objects.replica_sets.push(parse(self.replica_set(number)));
        }
        for pod in &self.pods {
            objects.pods.push(parse(self.pod(pod, LENGTH + 1)));
        }
        Inventory::build(&objects, OwnerRule::Infer).0
    }

    pub fn node(&self, node: usize) -> Value {
        let cidr = format!("10.244.{node}.0/24");
        json!({
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": format!("n{node}")},
            "spec": {"podCIDR": cidr, "podCIDRs": [cidr]},
            "status": {"addresses": [{"type": "InternalIP", "address": host(node)}]}
        })
    }

    pub fn deployment(&self, number: usize) -> Value {
        let workload = &self.workloads[number];
        let labels = json!({"app": workload.name});
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": workload.name, "namespace": workload.namespace, "uid": format!("d{number}")},
            "spec": {"selector": {"matchLabels": labels}, "template": template(&workload.name, labels, workload.port)}
        })
    }

    pub fn replica_set(&self, number: usize) -> Value {
        let workload = &self.workloads[number];
        let labels = json!({"app": workload.name, "pod-template-hash": "5d4f8c7b9"});
        json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {
                "name": format!("{}-5d4f8c7b9", workload.name), "namespace": workload.namespace, "uid": format!("r{number}"),
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": workload.name, "uid": format!("d{number}"), "controller": true}]
            },
            "spec": {"selector": {"matchLabels": labels}, "template": template(&workload.name, labels, workload.port)}
        })
    }

    /// A pod as it is at a time.
    pub fn pod(&self, pod: &Pod, at: i64) -> Value {
        let workload = &self.workloads[pod.workload];
        let ended = pod.until.filter(|until| *until <= at);
        let since = time(pod.from);
        let state = match ended {
            Some(end) => json!({"terminated": {"startedAt": since, "finishedAt": time(end)}}),
            None => json!({"running": {"startedAt": since}}),
        };
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": pod.name, "namespace": workload.namespace, "uid": pod.name,
                "labels": {"app": workload.name, "pod-template-hash": "5d4f8c7b9"},
                "ownerReferences": [{
                    "apiVersion": "apps/v1", "kind": "ReplicaSet", "controller": true,
                    "name": format!("{}-5d4f8c7b9", workload.name), "uid": format!("r{}", pod.workload)
                }]
            },
            "spec": {
                "nodeName": format!("n{}", pod.node),
                "containers": [{"name": "c", "image": "i", "ports": [{"containerPort": workload.port, "protocol": "TCP"}]}]
            },
            "status": {
                "phase": if ended.is_some() { "Succeeded" } else { "Running" },
                "startTime": since, "hostIP": host(pod.node), "podIP": pod.address, "podIPs": [{"ip": pod.address}],
                "containerStatuses": [{"name": "c", "imageID": "i", "state": state}]
            }
        })
    }

    pub fn service(&self, number: usize) -> Value {
        let service = &self.services[number];
        let workload = &self.workloads[service.workload];
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": workload.name, "namespace": workload.namespace},
            "spec": {
                "clusterIP": service.address, "clusterIPs": [service.address], "selector": {"app": workload.name},
                "ports": [{"port": SERVICE_PORT, "targetPort": workload.port, "protocol": "TCP"}]
            }
        })
    }

    pub fn slice(&self, number: usize, at: i64) -> Value {
        let service = &self.services[number];
        let workload = &self.workloads[service.workload];
        let theirs = self
            .pods
            .iter()
            .filter(|pod| pod.workload == service.workload);
        let endpoints: Vec<Value> = theirs
            .filter(|pod| pod.lives(at))
            .map(|pod| {
                json!({"addresses": [pod.address], "conditions": {"ready": true},
                       "targetRef": {"kind": "Pod", "name": pod.name}})
            })
            .collect();
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": format!("{}-x", workload.name), "namespace": workload.namespace,
                         "labels": {"kubernetes.io/service-name": workload.name}},
            "ports": [{"port": workload.port, "protocol": "TCP"}], "endpoints": endpoints
        })
    }
}

fn parse<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("an object")
}

fn template(name: &str, labels: Value, port: u16) -> Value {
    json!({
        "metadata": {"labels": labels},
        "spec": {"containers": [{"name": name, "image": "i", "ports": [{"containerPort": port, "protocol": "TCP"}]}]}
    })
}

pub fn namespace_object(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace",
           "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}}})
}

/// The API server's Service, by which a snapshot shows that it is of the whole cluster.
pub fn kubernetes_service() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "kubernetes", "namespace": "default"},
        "spec": {"clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"], "ports": [{"port": 443, "protocol": "TCP"}]}
    })
}

fn host(node: usize) -> String {
    format!("172.18.0.{}", node + 1)
}

/// A time in RFC 3339, in whole seconds.
pub fn time(at: i64) -> String {
    moment(at).to_string()
}

pub fn moment(at: i64) -> Timestamp {
    Timestamp::from_secs(START + at)
}

fn suffix(number: usize) -> String {
    let letter = char::from(b'b' + (number % 20) as u8);
    std::iter::repeat_n(letter, 5).collect()
}
