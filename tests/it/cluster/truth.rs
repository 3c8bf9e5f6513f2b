//! The true edges of the cluster, and the differences of a graph to them.

use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// `truth.json` of `tests/cluster/run`.
#[derive(Deserialize)]
pub struct Truth {
    edges: Vec<TrueEdge>,
    implied: Vec<TrueEdge>,
    not_learned: Vec<NotLearned>,
    findings: BTreeSet<String>,
    findings_of: BTreeMap<String, BTreeSet<String>>,
    not_findings: BTreeSet<String>,
}

#[derive(Deserialize)]
struct TrueEdge {
    client: String,
    server: String,
    protocol: String,
    port: u16,
    /// The number of connections, if the scenario knows it.
    connections: Option<u64>,
    /// The reason why a source alone cannot observe this edge, by source.
    #[serde(default)]
    unseen: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct NotLearned {
    client: String,
    server: String,
    protocol: String,
    ports: Vec<u16>,
    /// The reason why a source cannot recognise that this must not be an edge, by source.
    #[serde(default)]
    unseen: BTreeMap<String, String>,
}

fn text(client: &str, server: &str, protocol: &str, port: u64) -> String {
    format!("{client} → {server} {port}/{protocol}")
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
        text(client, server, protocol, (*port).into())
    }
}

/// `namespace/name[Kind]` → `namespace/name`.
fn peer(id: &str) -> &str {
    id.split('[').next().unwrap_or(id)
}

/// Returns the edges of a graph with this lesson, and the number of connections of each.
fn edges(run: &Value, lesson: &str) -> BTreeMap<String, u64> {
    let edges = run["graph"]["edges"].as_array();
    edges
        .into_iter()
        .flatten()
        .filter(|edge| edge["lesson"]["kind"] == lesson)
        .map(|edge| {
            let word = |name: &str| edge[name].as_str().expect("a word");
            let port = edge["port"].as_u64().expect("a port");
            let key = text(
                peer(word("client")),
                peer(word("server")),
                word("protocol"),
                port,
            );
            (key, edge["connections"].as_u64().expect("a count"))
        })
        .collect()
}

impl Truth {
    pub fn read(path: &Path) -> Truth {
        let text = std::fs::read_to_string(path).expect("truth.json");
        serde_json::from_str(&text).expect("a truth")
    }

    /// Returns the differences between the result of `nanoseg generate --output json` and the truth as far as `sources`
    /// can observe it, one line per difference.
    /// `restarts` is the number of times that an agent was killed and may have counted open connections again
    /// (docs/observe.md).
    pub fn differences(&self, run: &Value, sources: &[&str], restarts: u64) -> Vec<String> {
        if run["graph"].is_null() {
            return vec!["there is no graph".to_owned()];
        }
        let mut differences = self.wrong_edges(run, sources, restarts);
        differences.extend(self.learned_wrongly(run, sources));
        differences.extend(self.wrong_findings(run, sources));
        differences
    }

    fn wrong_edges(&self, run: &Value, sources: &[&str], restarts: u64) -> Vec<String> {
        let (learned, implied) = (edges(run, "learned"), edges(run, "implied"));
        let mut wrong = Vec::new();
        for edge in &self.edges {
            let name = edge.text();
            let unseen = sources
                .iter()
                .all(|source| edge.unseen.contains_key(*source));
            match (learned.get(&name), edge.connections) {
                (None, _) if !unseen => wrong.push(format!("missing: {name}")),
                (Some(found), Some(wanted))
                    if *found < wanted || *found > wanted * (1 + restarts) =>
                {
                    wrong.push(format!("{name}: {found} connections, {wanted} were made"));
                }
                _ => {}
            }
        }
        let known: BTreeSet<String> = self.edges.iter().map(TrueEdge::text).collect();
        let all = self.not_learned.iter().flat_map(NotLearned::texts);
        let excused: BTreeSet<String> = all.collect();
        let extra = learned
            .keys()
            .filter(|name| !known.contains(*name) && !excused.contains(*name));
        wrong.extend(extra.map(|name| format!("learned, and not true: {name}")));
        let wanted: BTreeSet<String> = self.implied.iter().map(TrueEdge::text).collect();
        let found: BTreeSet<String> = implied.into_keys().collect();
        let odd = wanted.symmetric_difference(&found);
        wrong.extend(odd.map(|name| format!("implied on one side only: {name}")));
        let review = edges(run, "review").into_keys();
        wrong.extend(review.map(|name| format!("up for review: {name}")));
        wrong
    }

    fn wrong_findings(&self, run: &Value, sources: &[&str]) -> Vec<String> {
        let findings = run["findings"].as_array().into_iter().flatten();
        let found: BTreeSet<&str> = findings.filter_map(|one| one["code"].as_str()).collect();
        let own = sources.iter().filter_map(|one| self.findings_of.get(*one));
        let wanted = self.findings.iter().chain(own.flatten());
        let missing = wanted.filter(|code| !found.contains(code.as_str()));
        let wrong = self
            .not_findings
            .iter()
            .filter(|code| found.contains(code.as_str()));
        missing
            .map(|code| format!("no finding {code}"))
            .chain(wrong.map(|code| format!("wrong finding {code}: {}", said(run, code))))
            .collect()
    }

    /// The edges that must not be learned from these sources.
    fn forbidden(&self, sources: &[&str]) -> BTreeSet<String> {
        let known = |not: &&NotLearned| !sources.iter().any(|one| not.unseen.contains_key(*one));
        let not = self.not_learned.iter().filter(known);
        not.flat_map(NotLearned::texts).collect()
    }

    /// Returns the edges of a graph that are learned and must not be learned.
    fn learned_wrongly(&self, run: &Value, sources: &[&str]) -> Vec<String> {
        let learned = edges(run, "learned");
        let forbidden = self.forbidden(sources).into_iter();
        forbidden
            .filter(|name| learned.contains_key(name))
            .map(|name| format!("learned, and must not be: {name}"))
            .collect()
    }
}

impl NotLearned {
    fn texts(&self) -> Vec<String> {
        let name = |port: &u16| text(&self.client, &self.server, &self.protocol, (*port).into());
        self.ports.iter().map(name).collect()
    }
}

/// Returns the messages and samples of the findings with a code.
fn said(run: &Value, code: &str) -> String {
    let findings = run["findings"].as_array().into_iter().flatten();
    let those = findings.filter(|one| one["code"] == code);
    those.map(|one| format!("{one} ")).collect()
}
