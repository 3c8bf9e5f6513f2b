//! What nanoseg gets to see of a world: flow records of some nodes, and snapshots that lack something.

use super::random::Random;
use super::world::{
    Call, LENGTH, SERVICE_PORT, Server, World, kubernetes_service, namespace_object, time,
};
use nanoseg::load::SourcePath;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{fmt, fs};

/// The kinds that a snapshot may lack. It always has pods.
const KINDS: [&str; 6] = [
    "Namespace",
    "Node",
    "Service",
    "EndpointSlice",
    "Deployment",
    "ReplicaSet",
];

#[derive(Debug)]
pub struct Observation {
    /// Lines of the flow log.
    lines: Vec<String>,
    /// The nodes that were in view, from 1 on.
    in_view: BTreeSet<usize>,
    snapshots: Vec<Snapshot>,
}

struct Snapshot {
    at: i64,
    /// It holds this namespace only.
    namespace: Option<&'static str>,
    lacks: BTreeSet<&'static str>,
    items: Vec<Value>,
    says_its_time: bool,
}

impl Observation {
    pub fn any(world: &World, random: &mut Random) -> Observation {
        let in_view: BTreeSet<usize> = (1..=world.nodes).filter(|_| random.percent(70)).collect();
        // Whether the log names the nodes that observed.
        let says_nodes = random.percent(70);
        let mut lines = Vec::new();
        for call in &world.calls {
            for node in &in_view {
                lines.extend(line(world, call, *node, says_nodes, random));
            }
        }
        // The last one is of a time after all traffic, and of every namespace that an earlier one has: a pod that no
        // later snapshot could show to be gone is taken to be there (rule: owner-at-that-time), which is another story.
        let mut times: Vec<i64> = (0..random.between(0, 2))
            .map(|_| random.between(0, LENGTH))
            .collect();
        times.push(LENGTH + 1);
        let mut snapshots: Vec<Snapshot> = times
            .into_iter()
            .map(|at| Snapshot::any(world, at, random))
            .collect();
        if let Some((last, earlier)) = snapshots.split_last_mut()
            && earlier.iter().any(|one| one.namespace != last.namespace)
        {
            last.namespace = None;
            last.fill(world);
        }
        Observation {
            lines,
            in_view,
            snapshots,
        }
    }

    /// Returns true if nothing tells whose pod one end of the call was: no snapshot has it and no log names it, or
    /// it was only seen to be called at the address of a Service that no snapshot has.
    pub fn is_nameless(&self, world: &World, call: &Call, pod: usize) -> bool {
        let is_behind_unknown = match call.server {
            Server::Service(service, server) if server == pod => {
                let own = world.pods[pod].address;
                let shown = format!("\"server\":\"{own}\"");
                let at = format!("\"time\":\"{}\"", time(call.at));
                let mut lines = self.lines.iter().filter(|line| line.contains(&at));
                let address = json!(world.services[service].address);
                let mut items = self.snapshots.iter().flat_map(|one| &one.items);
                !lines.any(|line| line.contains(&shown))
                    && !items.any(|item| item["spec"]["clusterIP"] == address)
            }
            _ => false,
        };
        is_behind_unknown || !self.shows(world, pod)
    }

    /// Returns true if anything that is observed has the pod's name: a snapshot or the log.
    fn shows(&self, world: &World, pod: usize) -> bool {
        let name = &world.pods[pod].name;
        let quoted = format!("{name:?}");
        let mut items = self.snapshots.iter().flat_map(|one| &one.items);
        items.any(|item| item["metadata"]["name"] == name.as_str())
            || self.lines.iter().any(|line| line.contains(&quoted))
    }

    /// Returns true if the call passed a node that was in view.
    pub fn saw(&self, world: &World, call: &Call) -> bool {
        let ends = [Some(call.client), call.server.pod()];
        let mut nodes = ends.into_iter().flatten().map(|pod| world.pods[pod].node);
        nodes.any(|node| self.in_view.contains(&node))
    }

    /// Writes all of it into a folder: the flow logs and the snapshots.
    pub fn write(&self, folder: &Path) -> (Vec<SourcePath>, Vec<PathBuf>) {
        let flows = folder.join("flows.jsonl");
        fs::write(&flows, self.lines.join("\n")).expect("a file");
        let mut cluster = Vec::new();
        for (number, snapshot) in self.snapshots.iter().enumerate() {
            let path = folder.join(format!("cluster-{number}.json"));
            let mut list = json!({"apiVersion": "v1", "kind": "List", "items": snapshot.items});
            if snapshot.says_its_time {
                list["metadata"] =
                    json!({"annotations": {"nanoseg.dev/taken-at": time(snapshot.at)}});
            }
            fs::write(&path, list.to_string()).expect("a file");
            cluster.push(path);
        }
        (vec![SourcePath::unsaid(flows)], cluster)
    }
}

/// The record of a call as a node sees it; nothing if it does not pass the node.
fn line(
    world: &World,
    call: &Call,
    node: usize,
    says_node: bool,
    random: &mut Random,
) -> Option<String> {
    let client = &world.pods[call.client];
    let at_client = client.node == node;
    let (server, port, via, pod) = match call.server {
        Server::Outside(address) => (address, 443, None, None),
        Server::Pod(pod) => (world.pods[pod].address, world.port(call), None, Some(pod)),
        Server::Service(service, pod) => {
            let called = (world.services[service].address, SERVICE_PORT);
            let own = (world.pods[pod].address, world.port(call));
            // At the client's pod a Service is not translated yet.
            if at_client && random.percent(30) {
                (called.0, called.1, None, Some(pod))
            } else {
                let via = at_client.then(|| format!("{}:{}", called.0, called.1));
                (own.0, own.1, via, Some(pod))
            }
        }
    };
    let at_server = pod.is_some_and(|pod| world.pods[pod].node == node);
    if !at_client && !at_server {
        return None;
    }
    let mut line = json!({
        "client": client.address, "server": server, "port": port, "protocol": "TCP",
        "time": time(call.at), "verdict": "established", "opening": "handshake"
    });
    if let Some(via) = via {
        line["via"] = json!(via);
    }
    if says_node {
        line["node"] = json!(format!("n{node}"));
    }
    if random.percent(20) {
        let named = |pod: usize| {
            let pod = &world.pods[pod];
            let namespace = world.workloads[pod.workload].namespace;
            json!({"pod": {"namespace": namespace, "name": pod.name}})
        };
        line["claims"] = json!({"client": named(call.client)});
        if let Some(pod) = pod.filter(|pod| world.pods[*pod].address == server) {
            line["claims"]["server"] = named(pod);
        }
    }
    Some(line.to_string())
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Snapshot {
            at,
            namespace,
            lacks,
            items,
            says_its_time,
        } = self;
        let pods = items.iter().filter(|item| item["kind"] == "Pod");
        let pods: Vec<&str> = pods
            .filter_map(|pod| pod["metadata"]["name"].as_str())
            .collect();
        write!(
            f,
            "at {at} (said: {says_its_time}) of {namespace:?} without {lacks:?}: {pods:?}"
        )
    }
}

impl Snapshot {
    fn any(world: &World, at: i64, random: &mut Random) -> Snapshot {
        let namespace = random.percent(15).then(|| *random.pick(&["shop", "pay"]));
        let lacks = KINDS.into_iter().filter(|_| random.percent(15)).collect();
        let mut snapshot = Snapshot {
            at,
            namespace,
            lacks,
            items: Vec::new(),
            says_its_time: random.percent(50),
        };
        snapshot.fill(world);
        snapshot
    }

    fn has(&self, kind: &str, namespace: &str) -> bool {
        let within = match self.namespace {
            None => true,
            Some(only) => only == namespace,
        };
        within && !self.lacks.contains(kind)
    }

    fn fill(&mut self, world: &World) {
        let mut items = Vec::new();
        if self.has("Node", "") {
            items.extend((1..=world.nodes).map(|node| world.node(node)));
        }
        if self.has("Namespace", "") {
            items.extend(["shop", "pay"].map(namespace_object));
        }
        if self.has("Service", "default") {
            items.push(kubernetes_service());
        }
        for (number, workload) in world.workloads.iter().enumerate() {
            if self.has("Deployment", workload.namespace) {
                items.push(world.deployment(number));
            }
            if self.has("ReplicaSet", workload.namespace) {
                items.push(world.replica_set(number));
            }
        }
        for (number, service) in world.services.iter().enumerate() {
            let namespace = world.workloads[service.workload].namespace;
            if self.has("Service", namespace) {
                items.push(world.service(number));
            }
            if self.has("EndpointSlice", namespace) {
                items.push(world.slice(number, self.at));
            }
        }
        for pod in &world.pods {
            let namespace = world.workloads[pod.workload].namespace;
            let there = pod.from <= self.at && (pod.lives(self.at) || pod.lingers);
            if there && self.has("Pod", namespace) {
                items.push(world.pod(pod, self.at));
            }
        }
        self.items = items;
    }
}
