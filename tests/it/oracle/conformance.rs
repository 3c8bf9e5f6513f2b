//! The conformance suite of sigs.k8s.io/network-policy-api v0.3.0, unchanged: its pods and policies are kept in memory by
//! tests/go/network-policy-api, and where it would connect from one pod to another, the evaluator is asked (rule: oracles-agree).

use super::case::Case;
use super::ours::Ours;
use crate::support::go::built;
use nanoseg::evaluate::HostNetwork;
use serde::Deserialize;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Results { results: Vec<Outcome> },
    Question(Box<Case>),
}

#[derive(Debug, Deserialize)]
struct Outcome {
    name: String,
    passed: bool,
    connections: usize,
}

fn run() -> Option<Vec<Outcome>> {
    let mut process = Command::new(built("network-policy-api")?)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the suite starts");
    let mut answers = process.stdin.take().expect("stdin");
    let mut log = process.stderr.take().expect("stderr");
    let log = std::thread::spawn(move || std::io::read_to_string(&mut log));
    let questions = BufReader::new(process.stdout.take().expect("stdout"));
    let mut results = None;
    for line in questions.lines() {
        let line = line.expect("a line");
        match serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}")) {
            Line::Results { results: found } => results = Some(found),
            Line::Question(case) => {
                let (client, server) = case.pairs[0];
                let ours = Ours::new(&case, HostNetwork::Exact);
                let verdict = ours.allows(client, server, case.probes[0]);
                writeln!(answers, "{}", u8::from(verdict)).expect("the suite reads");
            }
        }
    }
    process.wait().expect("the suite ends");
    let log = log.join().expect("the log").unwrap_or_default();
    Some(results.unwrap_or_else(|| panic!("the suite ended without results: {log}")))
}

/// Tests that select nodes by their labels, which an inventory does not have: such a peer is said as not judged, and the
/// program leaves these tests out.
const NOT_JUDGED: [&str; 2] = [
    "CNPAdminTierEgressNodePeers",
    "CNPBaselineTierEgressNodePeers",
];

#[test]
fn the_evaluator_passes_the_conformance_suite_of_the_network_policy_api() {
    let Some(results) = run() else { return };
    assert_eq!(results.len(), 30, "all tests of v0.3.0");
    let failed = results.iter().filter(|one| !one.passed);
    let failed: Vec<&str> = failed.map(|one| one.name.as_str()).collect();
    assert_eq!(failed, NOT_JUDGED);
    let mut passed = results.iter().filter(|one| one.passed);
    assert!(passed.all(|one| one.connections >= 4), "{results:#?}");
}
