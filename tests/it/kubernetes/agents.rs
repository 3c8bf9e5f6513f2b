//! What the agents tell of real connections between pods, those that are let through and those that are not.

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
            window: "1s",
        });
        Watch {
            agents: agents,
            receiver,
            store,
            _folder: folder,
        }
    }

    /// All records of this client so far: node and source, and the record.
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

    /// Waits for records that are wanted, and says each new one with the time since the beginning.
    fn wait(&self, client: &Pod, patience: Duration, wanted: impl Fn(&FlowRecord) -> bool) -> Duration {
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
fn a_connection_by_a_cluster_ip_is_an_edge_to_the_pod_behind_it() {
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
}

#[test]
fn a_blocked_connection_is_told_within_five_seconds() {
    let Some(cluster) = Cluster::with_nodes() else {
        return;
    };
    let namespace = cluster.namespace("blocked");
    let watch = Watch::start(cluster, &namespace);
    for (server, node) in [("near", "node1"), ("far", "node2")] {
        let deployment = Deployment::new(server).serves(8080).on(node);
        let pod = &cluster.deploy(&namespace, &deployment)[0];
        let service = cluster.expose(&namespace, server, 80, 8080);
        cluster.apply(&namespace, &deny(server));
        let probe = Deployment::new(&format!("probe-{server}")).on("node1");
        let probe = &cluster.deploy(&namespace, &probe)[0];
        probe.connects_until(&pod.address, 8080, Outcome::Refused);
        for (number, (target, port)) in [(&pod.address, 8080), (&service, 80)].into_iter().enumerate() {
            // One that has called nobody yet.
            let client = Deployment::new(&format!("client-{server}-{number}")).on("node1");
            let client = &cluster.deploy(&namespace, &client)[0];
            let outcome = client.connect(target, port);
            let took = watch.wait(client, Duration::from_secs(5), |record| {
                matches!(record.verdict, Verdict::Refused | Verdict::Unanswered)
            });
            eprintln!("{server}: {target}:{port} was {outcome:?}, told after {took:?}");
            for (observer, record) in watch.records(client) {
                eprintln!("  {observer}: {:?} {}:{} via {:?}", record.verdict, record.server, record.port, record.via);
            }
            assert_ne!(outcome, Outcome::Connected);
        }
    }
}
