//! Hubble live: events served by Cilium's own generated code give the same records as the same events as lines.

use nanoseg::flow::{Loss, Observations};
use nanoseg::observe::hubble::{
    HubbleCounters, HubbleLines, HubbleRelay, HubbleRelaySettings, HubbleScope, HubbleTls,
};
use nanoseg::observe::{LiveError, LiveSource, flow_log};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use server::Server;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

mod server;
mod sources;

const PATIENCE: Duration = Duration::from_secs(20);
const SAMPLES: [(&str, u64); 3] = [
    ("basic-sample-10-flows.json", 10),
    ("basic-sample-330-dns-flows.json", 330),
    ("basic-sample-400-tcp-flows.json", 400),
];

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/flows/hubble")
        .join(name)
}

fn open(settings: HubbleRelaySettings) -> Result<HubbleRelay, LiveError> {
    HubbleRelay::open(settings, HubbleScope::Everything)
}

fn plain(server: &Server) -> HubbleRelaySettings {
    HubbleRelaySettings {
        address: server.address.clone(),
        tls: None,
        since: None,
    }
}

/// Returns everything that a source reports after the given number of events. They are read at once, so that the result
/// does not depend on the time of the calls.
fn all(source: &mut dyn LiveSource, counters: &HubbleCounters, events: u64) -> Observations {
    let deadline = Instant::now() + PATIENCE;
    while counters.events.load(Ordering::Relaxed) < events {
        assert!(Instant::now() < deadline, "{counters:?}");
        std::thread::yield_now();
    }
    source.poll(Duration::from_millis(10)).expect("events");
    source.finish();
    source.take()
}

fn by_lines(path: &Path, events: u64) -> Observations {
    let mut lines = HubbleLines::open(path).expect("the file opens");
    let counters = lines.counters();
    let slice = all(&mut lines, &counters, events);
    assert!(!lines.poll(PATIENCE).expect("its end"), "a file ends");
    slice
}

fn by_relay(settings: HubbleRelaySettings, events: u64) -> Observations {
    let mut relay = open(settings).expect("the server is there");
    let counters = relay.counters();
    all(&mut relay, &counters, events)
}

#[test]
fn a_sample_through_the_relay_gives_the_same_records_as_a_file() {
    for (name, events) in SAMPLES {
        let path = sample(name);
        let Some(server) = Server::start(&[], &[&path]) else {
            return;
        };
        let expected = by_lines(&path, events);
        assert!(!expected.records.is_empty() && expected.losses.is_empty());
        assert_eq!(by_relay(plain(&server), events), expected, "{name}");
    }
}

/// Events with every field that is read, and events that give no record.
const ODD: &str = r#"{"flow":{"time":"2026-01-01T00:00:00.000000001Z","verdict":"DROPPED","IP":{"source":"10.0.0.1","destination":"10.0.0.2"},"l4":{"TCP":{"source_port":40000,"destination_port":443,"flags":{"SYN":true}}},"source":{"identity":700,"namespace":"a","workloads":[{"name":"w","kind":"Deployment"}]},"destination":{"identity":1,"labels":["reserved:host"]},"Type":"L3_L4","event_type":{"type":5},"is_reply":false},"time":"2026-01-01T00:00:00.000000001Z"}
{"flow":{"time":"2026-01-01T00:00:01Z","verdict":"FORWARDED","IP":{"source":"fd00::1","destination":"fd00::2"},"l4":{"SCTP":{"source_port":40000,"destination_port":5000}},"source":{"namespace":"a","pod_name":"p"},"destination":{"identity":2,"labels":["reserved:world"]},"destination_names":["Example.com."],"destination_service":{"name":"s","namespace":"b"},"Type":"L3_L4","event_type":{"type":4},"trace_observation_point":"TO_ENDPOINT","is_reply":false},"time":"2026-01-01T00:00:01Z"}
{"flow":{"verdict":"FORWARDED","IP":{"source":"10.0.0.9","destination":"10.0.0.1"},"l4":{"UDP":{"source_port":53,"destination_port":40000}},"Type":"L7","l7":{"type":"RESPONSE","dns":{"query":"db.example.","ips":["192.0.2.1"],"ttl":30}},"event_type":{"type":129}},"time":"2026-01-01T00:00:02Z"}
{"flow":{"time":"2026-01-01T00:00:03Z","IP":{"source":"10.0.0.1","destination":"10.0.0.2"},"l4":{"ICMPv4":{"type":8}},"Type":"L3_L4"},"time":"2026-01-01T00:00:03Z"}
{"flow":{"time":"2026-01-01T00:00:04Z","IP":{"source":"10.0.0.1","destination":"10.0.0.2"},"l4":{"TCP":{"destination_port":80}},"Type":"L3_L4"},"time":"2026-01-01T00:00:04Z"}
{"node_status":{"state_change":"NODE_UNAVAILABLE","node_names":["n1"]},"time":"2026-01-01T00:00:05Z"}
{"lost_events":{"source":"HUBBLE_RING_BUFFER","num_events_lost":"7"},"time":"2026-01-01T00:00:06Z"}
"#;

#[test]
fn services_workloads_names_losses_and_ignored_events_are_the_same_through_the_relay_and_in_a_file()
{
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("odd.json");
    std::fs::write(&path, ODD).expect("written");
    let Some(server) = Server::start(&[], &[&path]) else {
        return;
    };
    let expected = by_lines(&path, 7);
    assert_eq!(expected.records.len(), 3, "{expected:#?}");
    assert_eq!(expected.names.len(), 2);
    assert_eq!(
        expected.losses.into_iter().collect::<Vec<_>>(),
        [(Loss::FlowIncomplete, 1), (Loss::LogLost, 7)]
    );
    assert_eq!(by_relay(plain(&server), 7), by_lines(&path, 7));
}

#[test]
fn after_an_interruption_the_stream_continues_and_nothing_is_counted_twice() {
    let path = sample(SAMPLES[2].0);
    let Some(server) = Server::start(&["--break-after", "200"], &[&path]) else {
        return;
    };
    let mut relay = open(plain(&server)).expect("the server is there");
    let counters = relay.counters();
    let seen = all(&mut relay, &counters, SAMPLES[2].1);
    assert_eq!(seen, by_lines(&path, SAMPLES[2].1));
    assert_eq!(counters.reconnects.load(Ordering::Relaxed), 1);
    let requests = server.requests();
    assert!(
        !requests[0].contains("since") && requests[1].contains("since"),
        "{requests:?}"
    );
    assert!(requests.iter().all(|r| r.contains("\"follow\":true")));
}

/// Creates a folder with a certificate authority, and a server and a client certificate that it issued.
fn certificates() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).expect("written");
    };
    let authority = |name: &str| {
        let mut params = CertificateParams::new([]).expect("names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let authority = CertifiedIssuer::self_signed(params, key).expect("an authority");
        write(name, &authority.pem());
        authority
    };
    authority("other.pem");
    let issuer = authority("ca.pem");
    for (name, host) in [
        ("server", "*.hubble-relay.cilium.io"),
        ("client", "nanoseg"),
    ] {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new([host.to_owned()]).expect("names");
        let signed = params.signed_by(&key, &issuer).expect("a certificate");
        write(&format!("{name}.crt"), &signed.pem());
        write(&format!("{name}.key"), &key.serialize_pem());
    }
    folder
}

#[test]
fn with_tls_both_sides_must_authenticate_or_the_source_does_not_open() {
    let folder = certificates();
    let file = |name: &str| folder.path().join(name);
    let text = |name: &str| file(name).to_str().expect("a path").to_owned();
    let (crt, key, ca) = (text("server.crt"), text("server.key"), text("ca.pem"));
    let args = ["--cert", &crt, "--key", &key, "--client-ca", &ca];
    let (name, events) = SAMPLES[1];
    let Some(server) = Server::start(&args, &[&sample(name)]) else {
        return;
    };
    let tls = |ca: &str, identity: bool, name: &str| HubbleRelaySettings {
        tls: Some(HubbleTls {
            ca: file(ca),
            identity: identity.then(|| (file("client.crt"), file("client.key"))),
            server_name: Some(name.to_owned()),
        }),
        ..plain(&server)
    };
    let good = "ui.hubble-relay.cilium.io";
    let seen = by_relay(tls("ca.pem", true, good), events);
    assert_eq!(seen, by_lines(&sample(name), events));
    for (settings, remedy) in [
        (tls("other.pem", true, good), "authority"),
        (tls("ca.pem", true, "elsewhere.example"), "name"),
        (tls("ca.pem", false, good), "certificate"),
        (tls("missing.pem", true, good), "give a PEM file"),
        (plain(&server), "TLS"),
    ] {
        let error = open(settings.clone()).expect_err("a refusal");
        assert!(
            error.to_string().contains(remedy),
            "{settings:?}: {error} ({:?})",
            error.source
        );
    }
}

#[test]
fn an_unreachable_peer_is_reported_with_a_remedy() {
    let settings = HubbleRelaySettings {
        address: "127.0.0.1:1".to_owned(),
        tls: None,
        since: None,
    };
    let error = open(settings).expect_err("nobody is there");
    assert!(error.to_string().contains("port-forward"), "{error}");
    let error = HubbleLines::open(Path::new("/nowhere")).expect_err("no file");
    assert!(error.to_string().contains("jsonpb"), "{error}");
}

#[test]
fn an_idle_relay_stays_open_and_ends_when_it_is_dropped() {
    let Some(server) = Server::start(&[], &[]) else {
        return;
    };
    let mut relay = open(plain(&server)).expect("the server is there");
    assert!(relay.poll(Duration::from_millis(1)).expect("nothing yet"));
    assert!(relay.take().is_empty());
    let start = Instant::now();
    drop(relay);
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn standard_input_is_read_while_it_is_open_and_invalid_lines_are_counted() {
    let mut run = Command::new(env!("CARGO_BIN_EXE_nanoseg"))
        .args(["observe", "--hubble", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("nanoseg runs");
    let mut input = run.stdin.take().expect("stdin");
    let mut output = BufReader::new(run.stdout.take().expect("stdout"));
    let lines = std::fs::read_to_string(sample(SAMPLES[0].0)).expect("the sample");
    writeln!(input, "{lines}no event").expect("it reads");
    let mut line = String::new();
    // Reported although the input is still open.
    output.read_line(&mut line).expect("an edge");
    assert!(line.contains(" -> ") && line.contains("hubble"), "{line}");
    drop(input);
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut output, &mut rest).expect("the table");
    assert!(rest.contains("1 losses"), "{rest}");
    let ended = run.wait_with_output().expect("its end");
    assert!(ended.status.success());
    let told = String::from_utf8_lossy(&ended.stderr);
    assert!(told.contains("no flow of Hubble"), "{told}");
}

/// Returns what `observe` shows and writes: edges, and the flow log.
fn observe(args: &[&str]) -> (BTreeSet<String>, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("flows.jsonl");
    let run = Command::new(env!("CARGO_BIN_EXE_nanoseg"))
        .args(["observe", "--output", "json", "--out"])
        .arg(&out)
        .args(args)
        .output()
        .expect("nanoseg runs");
    assert!(run.status.success(), "{run:?}");
    let document: serde_json::Value = serde_json::from_slice(&run.stdout).expect("JSON");
    let names = [
        "client",
        "clientName",
        "serverName",
        "protocol",
        "port",
        "verdict",
        "sources",
    ];
    let edges = document["edges"].as_array().expect("edges").iter();
    let edges = edges.map(|edge| names.map(|name| edge[name].to_string()).join(" "));
    let (_, summary) = flow_log::read_flows(std::slice::from_ref(&out)).expect("a flow log");
    assert_eq!(summary.read[0].malformed, 0);
    let written = std::fs::read_to_string(&out).expect("the flow log");
    (edges.collect(), written)
}

#[test]
fn observe_shows_and_writes_the_same_with_the_relay_and_with_a_file() {
    let path = sample(SAMPLES[0].0);
    let Some(server) = Server::start(&[], &[&path]) else {
        return;
    };
    let (by_file, _) = observe(&["--hubble", path.to_str().expect("a path")]);
    let (by_relay, written) = observe(&["--hubble-relay", &server.address, "--for", "2s"]);
    assert_eq!(by_relay, by_file);
    // Pods have names although there is no snapshot.
    assert!(by_file.iter().any(|edge| edge.contains('/')), "{by_file:?}");
    assert!(
        written.contains("\"source\":\"hubble\"") && written.contains("\"pod\""),
        "{written}"
    );
}
