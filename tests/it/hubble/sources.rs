//! Hubble as a source of agents and of a receiver: each event counts for the node that names it.

use super::server::Server;
use super::{PATIENCE, all, plain};
use crate::wire::process::ReceiverProcess;
use nanoseg::flow::{Loss, Source, Verdict};
use nanoseg::net::Timestamp;
use nanoseg::observe::hubble::{HubbleRelay, HubbleRelaySettings, HubbleScope, HubbleTls};
use nanoseg::store::FlowStore;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::Instant;

const INSECURE: [&str; 2] = ["--insecure-no-tls", "--insecure-no-auth"];

/// A packet of a connection from 10.0.0.1 to port `port` of 10.0.0.2, `ago` seconds ago, as Cilium 1.16 tells of it.
fn packet(node: &str, port: u16, reply: bool, rest: &str, ago: i64) -> String {
    let now: Timestamp = jiff::Timestamp::now().into();
    let time = now.plus_secs(-ago);
    let (client, server) = (("10.0.0.1", 40_000), ("10.0.0.2", port));
    let ((from, sport), (to, dport)) = if reply {
        (server, client)
    } else {
        (client, server)
    };
    let ack = if reply { ",\"ACK\":true" } else { "" };
    format!(
        r#"{{"flow":{{"time":"{time}","node_name":"{node}","is_reply":{reply},"IP":{{"source":"{from}","destination":"{to}","ipVersion":"IPv4"}},"l4":{{"TCP":{{"source_port":{sport},"destination_port":{dport},"flags":{{"SYN":true{ack}}}}}}},"source":{{"identity":700,"namespace":"shop","pod_name":"p"}},"destination":{{"identity":701,"cluster_name":"prod","namespace":"shop","pod_name":"p"}},"Type":"L3_L4","event_type":{{"type":4}},{rest}}},"node_name":"{node}","time":"{time}"}}"#
    )
}

const FORWARDED: &str = r#""verdict":"FORWARDED""#;
const DENIED: &str = r#""verdict":"DROPPED","drop_reason":133,"drop_reason_desc":"POLICY_DENIED""#;
const AUDITED: &str = r#""verdict":"AUDIT""#;

/// What two nodes of a cluster saw: an answered connection, one that a policy denied on the way in, and one that audit
/// mode let pass.
fn recorded(folder: &Path) -> std::path::PathBuf {
    let now = jiff::Timestamp::now();
    let lines = [
        format!(
            r#"{{"node_status":{{"state_change":"NODE_CONNECTED","node_names":["prod/n1","prod/n2"]}},"node_name":"prod/n1","time":"{now}"}}"#
        ),
        packet("prod/n1", 80, false, FORWARDED, 9),
        packet("prod/n2", 80, false, FORWARDED, 9),
        packet("prod/n2", 80, true, FORWARDED, 8),
        packet("prod/n1", 80, true, FORWARDED, 8),
        packet("prod/n1", 5432, false, FORWARDED, 7),
        packet("prod/n2", 5432, false, DENIED, 7),
        packet("prod/n2", 9000, false, AUDITED, 6),
        packet("prod/n2", 9000, true, FORWARDED, 6),
        format!(
            r#"{{"lost_events":{{"source":"PERF_EVENT_RING_BUFFER","num_events_lost":"5"}},"node_name":"prod/n1","time":"{now}"}}"#
        ),
    ];
    let path = folder.join("recorded.json");
    std::fs::write(&path, lines.join("\n") + "\n").expect("written");
    path
}

/// The requests, once the server has told of one.
fn asked(server: &Server) -> Vec<String> {
    let deadline = Instant::now() + PATIENCE;
    while server.requests().is_empty() {
        assert!(Instant::now() < deadline, "no request");
        std::thread::yield_now();
    }
    server.requests()
}

fn of_node(node: &str) -> HubbleScope {
    HubbleScope::Node {
        node: node.to_owned(),
        cluster: None,
    }
}

#[test]
fn an_agents_source_asks_for_its_node_and_takes_nothing_of_others_and_no_names() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = recorded(folder.path());
    for args in [&[][..], &["--all-nodes"]] {
        let Some(server) = Server::start(args, &[&path]) else {
            return;
        };
        let mut relay = HubbleRelay::open(plain(&server), of_node("n2")).expect("it is there");
        let counters = relay.counters();
        let others = if args.is_empty() { 0 } else { 3 };
        let seen = all(&mut relay, &counters, 7 + others);
        let asked = asked(&server);
        assert!(
            asked[0].contains(r#""whitelist":[{"nodeName":["n2"]}]"#),
            "{asked:?}"
        );
        let mut found: Vec<_> = seen
            .records
            .iter()
            .map(|(_, r)| (r.port, r.verdict))
            .collect();
        found.sort();
        let expected = [
            (80, Verdict::Established),
            (5432, Verdict::Dropped),
            (9000, Verdict::Established),
        ];
        assert_eq!(found, expected);
        assert!(
            seen.records
                .iter()
                .all(|(_, record)| record.labels.is_none())
        );
        assert!(seen.losses.is_empty(), "what n1 lost: {:?}", seen.losses);
        assert_eq!(counters.of_others.load(Ordering::Relaxed), others);
        assert_eq!(counters.denied.load(Ordering::Relaxed), 1);
        assert_eq!(counters.audited.load(Ordering::Relaxed), 1);
    }
}

#[test]
fn the_socket_of_a_nodes_own_cilium_agent_is_used_without_tls() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = recorded(folder.path());
    let socket = format!("unix:{}", folder.path().join("hubble.sock").display());
    let Some(server) = Server::start(&["--listen", &socket], &[&path]) else {
        return;
    };
    assert!(server.address.starts_with("unix:"));
    let mut relay = HubbleRelay::open(plain(&server), of_node("n1")).expect("it is there");
    let counters = relay.counters();
    let seen = all(&mut relay, &counters, 5);
    assert_eq!(seen.records.len(), 2);
    assert_eq!(seen.losses[&Loss::LogLost], 5);
    let gone = HubbleRelaySettings {
        address: "unix:/nowhere/hubble.sock".to_owned(),
        ..plain(&server)
    };
    let error = HubbleRelay::open(gone, of_node("n1")).expect_err("nobody is there");
    assert!(
        error.to_string().contains("enabled on this node"),
        "{error}"
    );
}

/// Waits until the metrics of the receiver tell something.
fn wait_until(receiver: &ReceiverProcess, what: &str, tell: impl Fn(&str) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let metrics = receiver.get("/metrics");
        if tell(&metrics) {
            return;
        }
        assert!(Instant::now() < deadline, "{what} in {metrics}");
        std::thread::yield_now();
    }
}

/// Waits until a metric of the receiver has a value.
fn wait_for_metric(receiver: &ReceiverProcess, line: &str) {
    wait_until(receiver, line, |metrics| {
        metrics.lines().any(|found| found == line)
    });
}

/// What the store has: node, source, port and verdict of each record.
fn stored(path: &Path) -> Vec<(String, Source, u16, Verdict)> {
    let store = FlowStore::open_read_only(path).expect("the store");
    let all = store.load().expect("what it has");
    let records = all.records().map(|(observer, record)| {
        assert_eq!(record.labels, None, "names of the ends");
        let node = observer.node.to_string();
        (node, observer.source, record.port, record.verdict)
    });
    let mut records: Vec<_> = records.collect();
    records.sort();
    records
}

#[test]
fn a_receiver_that_follows_relay_has_what_each_node_saw_and_when_it_was_in_view() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = recorded(folder.path());
    let Some(server) = Server::start(&["--break-after", "4"], &[&path]) else {
        return;
    };
    let store = folder.path().join("flows.db");
    let args = [&INSECURE[..], &["--hubble-relay", &server.address]].concat();
    let receiver = ReceiverProcess::start("127.0.0.1:0", &store, &args);
    wait_for_metric(&receiver, "nanoseg_receiver_hubble_running 1");
    wait_for_metric(
        &receiver,
        r#"nanoseg_receiver_hubble_figure{figure="reconnects"} 1"#,
    );
    wait_for_metric(
        &receiver,
        r#"nanoseg_receiver_hubble_figure{figure="policy-audited"} 1"#,
    );
    assert_eq!(receiver.stop(), Some(0));
    let hubble = |node: &str, port, verdict| (node.to_owned(), Source::Hubble, port, verdict);
    let expected = [
        hubble("n1", 80, Verdict::Established),
        hubble("n1", 5432, Verdict::Unanswered),
        hubble("n2", 80, Verdict::Established),
        hubble("n2", 5432, Verdict::Dropped),
        hubble("n2", 9000, Verdict::Established),
    ];
    assert_eq!(stored(&store), expected);
    let store = FlowStore::open_read_only(&store).expect("the store");
    let views = store.views().expect("when nodes were in view");
    assert_eq!(
        views.keys().map(|node| &**node).collect::<Vec<_>>(),
        ["n1", "n2"]
    );
    let all = store.load().expect("what it has");
    assert_eq!(all.losses()[&Loss::LogLost], 5, "{:?}", all.losses());
}

/// Ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn an_agent_brings_what_its_node_saw_by_hubble_to_the_receiver() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = recorded(folder.path());
    let Some(server) = Server::start(&[], &[&path]) else {
        return;
    };
    let store = folder.path().join("flows.db");
    let receiver = ReceiverProcess::start("127.0.0.1:0", &store, &INSECURE);
    let agent = Command::new(env!("CARGO_BIN_EXE_nanoseg"))
        .args([
            "agent",
            "--node",
            "n2",
            "--source",
            "conntrack",
            "--window",
            "1s",
        ])
        .args(["--metrics-listen", "none", "--insecure", "--receiver"])
        .arg(format!("http://{}", receiver.address))
        .args(["--hubble-relay", &server.address])
        .stderr(Stdio::null())
        .spawn();
    let agent = Running(agent.expect("the agent starts"));
    wait_until(&receiver, "three records", |metrics| {
        let records = "nanoseg_receiver_records_total ";
        let count = metrics.lines().find_map(|line| line.strip_prefix(records));
        count.is_some_and(|count| count.parse::<u64>().is_ok_and(|count| count >= 3))
    });
    drop(agent);
    assert_eq!(receiver.stop(), Some(0));
    let of_hubble: Vec<_> = stored(&store)
        .into_iter()
        .filter(|(_, source, ..)| *source == Source::Hubble)
        .map(|(node, _, port, verdict)| (node, port, verdict))
        .collect();
    let n2 = || "n2".to_owned();
    let expected = [
        (n2(), 80, Verdict::Established),
        (n2(), 5432, Verdict::Dropped),
        (n2(), 9000, Verdict::Established),
    ];
    assert_eq!(of_hubble, expected);
}

#[test]
fn a_relay_beyond_this_machine_needs_tls_or_somebody_who_trusts_the_network() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = folder.path().join("flows.db");
    let refused = Command::new(env!("CARGO_BIN_EXE_nanoseg"))
        .args([
            "receive",
            "--listen",
            "127.0.0.1:0",
            "--metrics-listen",
            "127.0.0.1:0",
        ])
        .args(INSECURE)
        .args([
            "--hubble-relay",
            "hubble-relay.kube-system.svc:80",
            "--store",
        ])
        .arg(&store)
        .output()
        .expect("nanoseg runs");
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    let told = String::from_utf8_lossy(&refused.stderr);
    assert!(
        told.contains("--hubble-tls-ca") && told.contains("--hubble-insecure"),
        "{told}"
    );
}

/// (rule: certificates-are-read-again)
#[test]
fn the_authority_of_relay_is_read_again_when_the_connection_is_made_again() {
    let (folder, renewed) = (super::certificates(), super::certificates());
    let path = recorded(folder.path());
    let address = format!("127.0.0.1:{}", crate::support::free_port());
    let start = |of: &Path, file: &Path| {
        let text = |name: &str| of.join(name).to_str().expect("a path").to_owned();
        let (crt, key) = (text("server.crt"), text("server.key"));
        let args = ["--listen", &address, "--cert", &crt, "--key", &key];
        Server::start(&args, &[file])
    };
    let Some(server) = start(folder.path(), &path) else {
        return;
    };
    let ca = folder.path().join("ca.pem");
    let settings = HubbleRelaySettings {
        tls: Some(HubbleTls {
            ca: ca.clone(),
            identity: None,
            server_name: Some("ui.hubble-relay.cilium.io".to_owned()),
        }),
        ..plain(&server)
    };
    let mut relay = HubbleRelay::open(settings, of_node("n2")).expect("it is there");
    let counters = relay.counters();
    all(&mut relay, &counters, 7);
    let later = folder.path().join("later.json");
    let line = packet("prod/n2", 7777, false, DENIED, 0);
    std::fs::write(&later, line + "\n").expect("written");
    drop(server);
    std::fs::copy(renewed.path().join("ca.pem"), &ca).expect("renewed");
    let _server = start(renewed.path(), &later).expect("it starts again");
    let seen = all(&mut relay, &counters, 8);
    let ports: Vec<u16> = seen.records.iter().map(|(_, record)| record.port).collect();
    assert_eq!(ports, [7777]);
    assert!(counters.reconnects.load(Ordering::Relaxed) >= 1);
}
