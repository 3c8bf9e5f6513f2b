//! The bundled sample: real traffic of real software, with the true edges from its scenario.
//! The graph must equal the truth edge by edge, and the policies must be sound and tight.

use crate::binary::{Run, nanoseg};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// `samples/shop/truth.yaml`.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Truth {
    edges: Vec<TrueEdge>,
    implied: Vec<TrueEdge>,
    not_learned: Vec<NotLearned>,
    silent: Vec<Silent>,
    host_network: Vec<String>,
    findings: BTreeSet<String>,
    not_findings: BTreeSet<String>,
}

#[derive(Deserialize)]
struct TrueEdge {
    client: String,
    server: String,
    protocol: String,
    port: u16,
    name: Option<String>,
    #[serde(default)]
    inferred: bool,
}

#[derive(Deserialize)]
struct NotLearned {
    client: String,
    server: String,
    protocol: String,
    ports: Vec<u16>,
}

#[derive(Deserialize)]
struct Silent {
    workload: String,
}

impl TrueEdge {
    fn text(&self) -> String {
        let TrueEdge {
            client,
            server,
            protocol,
            port,
            ..
        } = self;
        format!("{client} → {server} {port}/{protocol}")
    }
}

fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/shop")
}

fn truth() -> Truth {
    let text = std::fs::read_to_string(sample().join("truth.yaml")).expect("truth.yaml");
    serde_yaml::from_str(&text).expect("a truth")
}

fn generate() -> Run {
    let sample = sample();
    let cluster = sample.join("cluster.yaml");
    let args = ["generate", "--output", "json", "--capture"];
    nanoseg(args.map(Into::into).into_iter().chain([
        sample.into_os_string(),
        "--cluster".into(),
        cluster.into_os_string(),
    ]))
}

/// `namespace/name[Kind]` → `namespace/name`.
fn peer(id: &str) -> String {
    id.split('[').next().unwrap_or(id).to_owned()
}

fn edges_of(run: &Run, lesson: &str) -> BTreeSet<String> {
    let edges = run.json["graph"]["edges"].as_array().expect("edges");
    edges
        .iter()
        .filter(|edge| edge["lesson"]["kind"] == lesson)
        .map(|edge| {
            let end = |side: &str| peer(edge[side].as_str().expect("a peer"));
            let (protocol, port) = (
                edge["protocol"].as_str().expect("a protocol"),
                &edge["port"],
            );
            format!("{} → {} {port}/{protocol}", end("client"), end("server"))
        })
        .collect()
}

fn texts(edges: &[TrueEdge]) -> BTreeSet<String> {
    edges.iter().map(TrueEdge::text).collect()
}

#[test]
fn the_graph_of_the_sample_equals_the_truth_edge_by_edge() {
    let (run, truth) = (generate(), truth());
    assert_eq!(edges_of(&run, "learned"), texts(&truth.edges));
    assert_eq!(edges_of(&run, "implied"), texts(&truth.implied));
    assert_eq!(edges_of(&run, "review"), BTreeSet::new());
    let inferred: BTreeSet<&str> = truth
        .edges
        .iter()
        .filter(|edge| edge.inferred)
        .map(|edge| edge.server.as_str())
        .collect();
    let found = run.json["graph"]["edges"].as_array().expect("edges").iter();
    let found: BTreeSet<String> = found
        .filter(|edge| edge["inferred"] == true)
        .map(|edge| peer(edge["server"].as_str().expect("a peer")))
        .collect();
    assert_eq!(
        found.iter().map(String::as_str).collect::<BTreeSet<_>>(),
        inferred
    );
}

#[test]
fn nothing_that_must_not_be_learned_from_the_sample_is_learned() {
    let (run, truth) = (generate(), truth());
    let learned: BTreeSet<String> = edges_of(&run, "learned")
        .union(&edges_of(&run, "implied"))
        .cloned()
        .collect();
    let wanted: BTreeSet<String> = texts(&truth.edges)
        .union(&texts(&truth.implied))
        .cloned()
        .collect();
    for not in &truth.not_learned {
        for port in &not.ports {
            let edge = format!("{} → {} {port}/{}", not.client, not.server, not.protocol);
            assert!(
                !learned.contains(&edge) || wanted.contains(&edge),
                "{edge} was learned"
            );
        }
    }
}

#[test]
fn the_findings_of_the_sample_are_those_of_its_scenario() {
    let (run, truth) = (generate(), truth());
    let found: BTreeSet<String> = run.json["findings"]
        .as_array()
        .expect("findings")
        .iter()
        .map(|finding| finding["code"].as_str().expect("a code").to_owned())
        .collect();
    assert_eq!(
        truth.findings.difference(&found).collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "missing"
    );
    assert_eq!(
        found.intersection(&truth.not_findings).collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "wrong"
    );
}

#[test]
fn the_policies_of_the_sample_are_sound_and_tight() {
    let (run, truth) = (generate(), truth());
    let proof = &run.json["proof"];
    assert_eq!(proof["observed"], truth.edges.len());
    assert_eq!(proof["observed_allowed"], proof["observed"]);
    assert_eq!(proof["blocked"].as_array().map(Vec::len), Some(0));
    assert_eq!(proof["excess_total"], 0, "{}", proof["excess"]);
    // A scan was found, which is an error to decide about.
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    let policies: BTreeSet<String> = run.json["policies"]
        .as_array()
        .expect("policies")
        .iter()
        .map(|policy| {
            let id = &policy["workload"];
            format!(
                "{}/{}",
                id["namespace"].as_str().unwrap_or("?"),
                id["name"].as_str().unwrap_or("?")
            )
        })
        .collect();
    for silent in &truth.silent {
        assert!(
            !policies.contains(&silent.workload),
            "{} was seen of",
            silent.workload
        );
    }
    for host in &truth.host_network {
        assert!(!policies.contains(host), "{host} cannot be selected");
    }
}

#[test]
fn outside_addresses_have_the_resolved_name() {
    let (run, truth) = (generate(), truth());
    for edge in truth.edges.iter().filter(|edge| edge.name.is_some()) {
        let found = run.json["graph"]["peers"]
            .as_array()
            .expect("peers")
            .iter()
            .find(|p| p["id"] == edge.server.as_str());
        let names = &found.expect("the outside peer")["dns_names"];
        assert_eq!(names[0].as_str(), edge.name.as_deref(), "{names}");
    }
}
