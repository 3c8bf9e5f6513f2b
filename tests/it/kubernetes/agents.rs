//! The records of agents about real connections between pods, allowed and denied ones.

use super::deny;
use crate::support::kubernetes::{
    AUDIENCE, AgentSettings, Agents, CONTROL, Cluster, Deployment, Outcome, Pod, Program,
};
use nanoseg::flow::{FlowRecord, Verdict};
use nanoseg::store::FlowStore;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// A receiver in the control plane's network with agents that send to it.
struct Watch {
    agents: Agents,
    receiver: Program,
    store: PathBuf,
    _folder: tempfile::TempDir,
}

impl Watch {
    fn start(cluster: &'static Cluster, namespace: &str) -> Watch {
        let folder = tempfile::tempdir().expect("a folder");
        let store = folder.path().join("flows.db");
        let jwks = folder.path().join("jwks.json");
        std::fs::write(&jwks, cluster.jwks()).expect("a file");
        let (files, port) = (cluster.serving_certificate(), cluster.port());
        let listen = format!("{CONTROL}:{port}");
        let mut command = cluster.command(env!("CARGO_BIN_EXE_nanoseg"));
        command.args(["receive", "--listen", &listen]);
        command.args(["--metrics-listen", &format!("127.0.0.1:{port}")]);
        command.args(["--token-audience", AUDIENCE, "--allow-subject"]);
        command.arg(format!("system:serviceaccount:{namespace}:default"));
        command.arg("--tls-cert").arg(files.certificate);
        command.arg("--tls-key").arg(files.key);
        command.arg("--token-jwks").arg(jwks);
        command.arg("--store").arg(&store);
        let receiver = Program::start(command, &folder.path().join("receiver.log"));
        let agents = cluster.agents(&AgentSettings {
            receiver: format!("https://{listen}"),
            account: (namespace.to_owned(), "default".to_owned()),
            sources: vec!["conntrack", "capture"],
            window: "10s",
            hosts: String::new(),
        });
        Watch {
            agents,
            receiver,
            store,
            _folder: folder,
        }
    }

    /// Returns all records of this client so far: node, source, and record.
    fn records(&self, client: &Pod) -> Vec<(String, FlowRecord)> {
        let client: IpAddr = client.address.parse().expect("an address");
        let store = FlowStore::open_read_only(&self.store);
        let read = store.and_then(|store| store.load()).unwrap_or_default();
        let ours = read.records().filter(|(_, record)| record.client == client);
        ours.map(|(observer, record)| {
            let observer = format!("{} {}", observer.node, observer.source.name());
            (observer, record.clone())
        })
        .collect()
    }

    /// Waits for the expected records, and prints each new one with the time since the beginning.
    fn wait(
        &self,
        client: &Pod,
        patience: Duration,
        wanted: impl Fn(&FlowRecord) -> bool,
    ) -> Duration {
        let begun = Instant::now();
        loop {
            let records = self.records(client);
            if records.iter().any(|(_, record)| wanted(record)) {
                return begun.elapsed();
            }
            assert!(
                begun.elapsed() < patience,
                "not within {patience:?}: {records:#?}\n{}\n{}",
                self.receiver.log(),
                self.agents.log()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

#[test]
fn a_connection_through_a_cluster_ip_is_an_edge_to_the_pod_behind_it() {
    let Some(cluster) = Cluster::with_nodes() else {
        return;
    };
    let namespace = cluster.namespace("edge");
    let watch = Watch::start(cluster, &namespace);
    let client = &cluster.deploy(&namespace, &Deployment::new("client").on("node1"))[0];
    let web = Deployment::new("web").serves(8080).on("node2");
    let web = &cluster.deploy(&namespace, &web)[0];
    let service = cluster.expose(&namespace, "web", 80, 8080);
    client.connects_until(&service, 80, Outcome::Connected);
    let server: IpAddr = web.address.parse().expect("an address");
    let called = format!("{service}:80").parse().expect("an address");
    let took = watch.wait(client, Duration::from_secs(10), |record| {
        record.verdict == Verdict::Established
            && (record.server, record.port) == (server, 8080)
            && record.via == Some(called)
    });
    eprintln!("the edge is there after {took:?}");
    assert_eq!(watch.agents.terminate(cluster), [0, 0]);
}

/// Two callers on node1 and a server, with a policy at one of the ends that denies the connection.
struct Forbidden {
    callers: Vec<Pod>,
    server: Pod,
    service: String,
}

impl Forbidden {
    /// `direction` is "Ingress" for the server, or "Egress" for the callers.
    fn make(cluster: &'static Cluster, namespace: &str, direction: &str, node: &str) -> Forbidden {
        let name = format!("{}-{node}", direction.to_lowercase());
        let callers = Deployment::new(&format!("callers-{name}")).replicas(2);
        let callers = cluster.deploy(namespace, &callers.on("node1"));
        let server = Deployment::new(&name).serves(8080).serves(9090).on(node);
        let server = cluster.deploy(namespace, &server).remove(0);
        let service = cluster.expose(namespace, &name, 80, 8080);
        for caller in &callers {
            caller.connects_until(&server.address, 9090, Outcome::Connected);
        }
        let protected = match direction {
            "Ingress" => name,
            _ => format!("callers-{name}"),
        };
        cluster.apply(namespace, &deny(&protected, direction));
        // On another port, so that the next connection is the first one that agents see on its port.
        for caller in &callers {
            caller.connects_until(&server.address, 9090, Outcome::Refused);
        }
        Forbidden {
            callers,
            server,
            service,
        }
    }
}

#[test]
fn the_first_blocked_attempt_is_reported_as_refused_within_five_seconds_at_either_end() {
    let Some(cluster) = Cluster::with_nodes() else {
        return;
    };
    let namespace = cluster.namespace("blocked");
    let watch = Watch::start(cluster, &namespace);
    for (direction, node) in [
        ("Ingress", "node1"),
        ("Ingress", "node2"),
        ("Egress", "node1"),
        ("Egress", "node2"),
    ] {
        let made = Forbidden::make(cluster, &namespace, direction, node);
        let pod: IpAddr = made.server.address.parse().expect("an address");
        let service: IpAddr = made.service.parse().expect("an address");
        let calls = [(&made.server.address, 8080), (&made.service, 80)];
        for (caller, (target, port)) in made.callers.iter().zip(calls) {
            assert_eq!(caller.connect(target, port), Outcome::Refused, "{target}");
            // A SYN that is refused on the node of the caller was never translated there. The called address is then that
            // of the Service.
            let took = watch.wait(caller, Duration::from_secs(5), |record| {
                record.verdict == Verdict::Refused
                    && [(pod, 8080), (service, 80)].contains(&(record.server, record.port))
            });
            eprintln!("{direction}, server on {node}: {target}:{port} told after {took:?}");
            for (observer, record) in watch.records(caller) {
                let FlowRecord {
                    verdict,
                    server,
                    port,
                    via,
                    ..
                } = record;
                eprintln!("  {observer}: {verdict:?} {server}:{port} via {via:?}");
            }
        }
    }
}
