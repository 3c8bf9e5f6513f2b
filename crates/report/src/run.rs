//! The result of a `generate` run as plain data: the content of `report.json`, and the source of the Markdown
//! report and the terminal summary.
//!
//! Schema `nanoseg.dev/report/v1`. Fields may be added within v1; none is renamed, removed or given
//! another meaning. The caller fills the public fields; nothing here computes a figure that another
//! room owns.

use super::graph::GraphDocument;
use super::network_plugin::NetworkPluginDocument;
use super::view::{OpenDirection, UnattributedEdge, ViewDocument};
use nanoseg_finding::{Code, Finding, Rule, Severity};
use nanoseg_inventory::WorkloadId;
use nanoseg_net::{Direction, Timestamp};
use serde::{Deserialize, Serialize, Serializer};
use std::collections::{BTreeMap, BTreeSet};

/// All that is known about one run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunReport {
    /// Always [`RunReport::SCHEMA`].
    pub schema: &'static str,
    pub inputs: Inputs,
    /// Packets, flows and objects that were skipped, counted by reason (rule: loss-is-counted).
    pub skipped: BTreeMap<String, u64>,
    pub learning: LearningDocument,
    /// What was in view, of the workloads that can have a policy.
    pub view: ViewDocument,
    /// Where the policies were written, as the operator gave it. `None` if nothing was written.
    pub output: Option<String>,
    /// Which network plugin the proof holds for.
    pub network_plugin: NetworkPluginDocument,
    pub policies: Vec<PolicyReport>,
    pub proof: ProofDocument,
    #[serde(serialize_with = "explained")]
    pub findings: Vec<Finding>,
    pub graph: GraphDocument,
}

impl RunReport {
    pub const SCHEMA: &'static str = "nanoseg.dev/report/v1";

    /// The report as JSON.
    ///
    /// # Errors
    /// Only if serde fails, which no report makes it do.
    pub fn json(&self) -> Result<String, super::Error> {
        super::json(self)
    }

    /// The findings by severity, then code, subject and message.
    pub fn sorted_findings(&self) -> Vec<&Finding> {
        let mut findings: Vec<&Finding> = self.findings.iter().collect();
        findings.sort_by(|a, b| {
            let key = |f: &Finding| (f.severity, f.code.name());
            key(a)
                .cmp(&key(b))
                .then_with(|| (&a.subject, &a.message).cmp(&(&b.subject, &b.message)))
        });
        findings
    }

    /// How many findings are of that severity.
    pub fn findings_of(&self, severity: Severity) -> u64 {
        self.findings
            .iter()
            .filter(|finding| finding.severity == severity)
            .count() as u64
    }
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Inputs {
    pub captures: Vec<CaptureInput>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub flows: Vec<FlowInput>,
    pub snapshots: Vec<SnapshotInput>,
}

/// One capture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CaptureInput {
    /// The file as the operator named it, `-` for a stream.
    pub name: String,
    pub packets: u64,
    /// Bytes of the file, compressed files in their size on disk.
    pub bytes: u64,
    /// Time of the first and last packet, `None` without any.
    pub first: Option<Timestamp>,
    pub last: Option<Timestamp>,
}

/// One flow log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FlowInput {
    /// The file as the operator named it, `-` for a stream.
    pub name: String,
    /// `jsonl`, `csv`, `hubble`, `calico` or `store`.
    pub format: &'static str,
    /// Flow records or events of flows.
    pub flows: u64,
    /// DNS names.
    pub names: u64,
    /// Lines that could not be read.
    pub malformed: u64,
    /// Bytes of the file, compressed files in their size on disk.
    pub bytes: u64,
    /// Time of the first and last flow, `None` without any.
    pub first: Option<Timestamp>,
    pub last: Option<Timestamp>,
}

/// One snapshot of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SnapshotInput {
    pub name: String,
    /// How many snapshots it holds: several in one file are several documents.
    pub snapshots: u64,
    /// Objects of kinds that nanoseg reads.
    pub objects: u64,
}

/// How much was not seen yet (rule: learning-estimate): the estimate of `graph` in the form of `report.json`, rounded to
/// whole edges and without figures that rest on too little traffic.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct LearningDocument {
    pub overall: EstimateDocument,
    /// In order of workloads.
    pub workloads: Vec<WorkloadEstimate>,
}

/// The estimate of one workload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkloadEstimate {
    pub workload: WorkloadId,
    #[serde(flatten)]
    pub estimate: EstimateDocument,
}

/// An estimate of the edges not yet seen.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct EstimateDocument {
    /// Learned edges that it rests on.
    pub edges: u64,
    /// Estimated share of edges seen, the more careful of Chao2 and Good–Turing, 0–1; `None` if there is too little traffic for an estimate.
    pub coverage: Option<f64>,
    /// Estimated share of future connections that would use an edge not seen yet (Good–Turing
    /// missing mass), 0–1; `None` if nothing was learned.
    pub missing_mass: Option<f64>,
    /// Estimated number of edges not yet seen (Chao2), as an interval.
    pub unseen_low: u64,
    pub unseen_high: u64,
    /// When the newest edge was first seen.
    pub last_new_edge: Option<Timestamp>,
    /// When observation ended.
    pub end: Option<Timestamp>,
    /// How far to trust it, in words.
    pub confidence: String,
}

/// One policy that was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PolicyReport {
    pub workload: WorkloadId,
    /// The name of the NetworkPolicy.
    pub name: String,
    /// Relative to the output folder.
    pub file: String,
    pub rules: Vec<RuleReport>,
}

/// One rule and why it is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuleReport {
    pub direction: Direction,
    /// In words: `in from shop/web → 8080/TCP`.
    pub text: String,
    /// The rules of `docs/design.md` that decided, in the order of that page.
    pub decided_by: Vec<Rule>,
    /// The edges that need it, as indices into the graph's edges.
    pub edges: Vec<usize>,
}

/// The evaluator's judgement (rule: sound-or-nothing, excess-is-listed) in the form of `report.json`: the proof of
/// `evaluate` in words, with observed and implied edges counted apart.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ProofDocument {
    /// Observed edges that must be allowed; implied ones are counted apart.
    pub observed: u64,
    /// How many of them are.
    pub observed_allowed: u64,
    /// Observed but blocked: empty in a sound run.
    pub blocked: Vec<Connection>,
    /// Observed, and as judged here blocked by policies that were already there, in directions that no generated
    /// policy isolates (rule: existing-policies-add-up).
    pub blocked_by_existing: Vec<Connection>,
    /// How many lines of `excess` there are in all; may exceed the list's length. All addresses with which one
    /// workload is allowed the same are one line.
    pub excess_total: u64,
    /// How many connections are allowed though unobserved, each address counted
    /// (rule: excess-is-listed); at most `u64::MAX`.
    pub excess_connections: u64,
    /// The allowed but unobserved connections.
    pub excess: Vec<Connection>,
    /// Allowed without being seen, for a reason.
    pub implied: Vec<Connection>,
    /// What policies that were already there allow beyond what was observed.
    pub existing_excess_total: u64,
    /// As `excess_connections`.
    pub existing_excess_connections: u64,
    pub existing_excess: Vec<Connection>,
    /// Directions that no policy isolates.
    pub open: Vec<OpenDirection>,
    /// Answered traffic with somebody whom nobody can name: no rule allows it, and it is not among `observed`.
    pub unattributed: Vec<UnattributedEdge>,
}

/// A connection in words.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Connection {
    pub client: String,
    pub server: String,
    /// `8080/TCP`, `8000-8100/TCP`.
    pub ports: String,
    /// Why, if there is a reason to show.
    pub reason: Option<String>,
    /// How many connections of the proof this line stands for.
    pub count: u64,
}

impl std::fmt::Display for Connection {
    /// `client → server ports (reason)`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} → {} {}", self.client, self.server, self.ports)?;
        match &self.reason {
            Some(reason) => write!(f, " ({reason})"),
            None => Ok(()),
        }
    }
}

/// A finding together with what its code means.
#[derive(Serialize)]
struct Explained<'a> {
    #[serde(flatten)]
    finding: &'a Finding,
    meaning: &'static str,
    remedy: &'static str,
}

fn explained<S: Serializer>(findings: &[Finding], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(
        findings
            .iter()
            .collect::<BTreeSet<_>>()
            .into_iter()
            .map(|finding| Explained {
                finding,
                meaning: finding.code.meaning(),
                remedy: finding.code.remedy(),
            }),
    )
}

/// The codes among `findings`, in order of severity and name, each once.
pub(super) fn codes(findings: &[&Finding]) -> Vec<Code> {
    let mut codes: Vec<Code> = findings.iter().map(|finding| finding.code).collect();
    codes.sort_by_key(|code| (code.severity(), code.name()));
    codes.dedup();
    codes
}

#[cfg(test)]
pub(crate) mod fixture {
    use super::*;
    use crate::graph::fixture::{minute, shop};

    fn connection(client: &str, server: &str, ports: &str, reason: Option<&str>) -> Connection {
        Connection {
            client: client.into(),
            server: server.into(),
            ports: ports.into(),
            reason: reason.map(str::to_owned),
            count: 1,
        }
    }

    /// A sound run over the small shop, with one of everything.
    pub fn run() -> RunReport {
        let app = WorkloadId {
            namespace: "shop".into(),
            name: "app".into(),
            kind: "Deployment".into(),
        };
        let estimate = EstimateDocument {
            edges: 6,
            coverage: Some(0.984),
            missing_mass: Some(0.002),
            unseen_low: 0,
            unseen_high: 2,
            last_new_edge: Some(minute(2)),
            end: Some(minute(5)),
            confidence: "fair: 40 windows".into(),
        };
        RunReport {
            network_plugin: NetworkPluginDocument::default(),
            schema: RunReport::SCHEMA,
            inputs: Inputs {
                captures: vec![CaptureInput {
                    name: "node|a.pcap".into(),
                    packets: 48_213,
                    bytes: 5_120_000,
                    first: Some(minute(0)),
                    last: Some(minute(5)),
                }],
                flows: Vec::new(),
                snapshots: vec![SnapshotInput {
                    name: "cluster.yaml".into(),
                    snapshots: 1,
                    objects: 61,
                }],
            },
            skipped: BTreeMap::from([("LLDP".into(), 16), ("ARP".into(), 96)]),
            learning: LearningDocument {
                overall: estimate.clone(),
                workloads: vec![WorkloadEstimate {
                    workload: app.clone(),
                    estimate,
                }],
            },
            view: ViewDocument {
                pods: 7,
                pods_in_view: 7,
                pod_seconds: 2100,
                pod_seconds_in_view: 2100,
                nodes: vec!["node1".into()],
                ..ViewDocument::default()
            },
            output: Some("policies-out".into()),
            policies: vec![PolicyReport {
                workload: app,
                name: "nanoseg-app".into(),
                file: "shop/app.yaml".into(),
                rules: vec![
                    RuleReport {
                        direction: Direction::Ingress,
                        text: "in from shop/web → 8080/TCP".into(),
                        decided_by: vec![Rule::ServiceTargetPort],
                        edges: vec![5],
                    },
                    RuleReport {
                        direction: Direction::Egress,
                        text: "out to 203.0.113.9 → 443/TCP".into(),
                        decided_by: vec![Rule::OutsideAddressBlocks],
                        edges: vec![4],
                    },
                ],
            }],
            proof: ProofDocument {
                observed: 6,
                observed_allowed: 6,
                implied: vec![connection(
                    "shop/web",
                    "unknown-pod:10.1.9.9",
                    "53/TCP",
                    Some("DNS over TCP (RFC 7766)"),
                )],
                ..ProofDocument::default()
            },
            findings: vec![
                Finding::new(Code::InternetEgress, "shop/app", "called 203.0.113.9:443"),
                Finding::new(
                    Code::PortScan,
                    "shop/batch",
                    "tried 39 addresses on 3 ports",
                ),
                Finding::new(
                    Code::RefusedConnections,
                    "shop/web",
                    "called shop/redis on 22/TCP",
                ),
            ],
            graph: GraphDocument::build(&shop(false)),
        }
    }

    /// The same, but one node was not in view, and nobody can name whom the app called.
    pub fn partial() -> RunReport {
        let mut run = run();
        let app = run.policies[0].workload.clone();
        run.view.pods_in_view = 5;
        run.view.pod_seconds_in_view = 1500;
        run.view.unseen_nodes = vec!["node2".into()];
        run.view.losses = 1;
        run.proof.open = vec![OpenDirection {
            workload: app.clone(),
            direction: Direction::Egress,
            reasons: vec!["2 of 3 pods were not in view".into()],
        }];
        run.proof.unattributed = vec![UnattributedEdge {
            workload: app,
            direction: Direction::Egress,
            peer: "10.96.0.77".into(),
            protocol: nanoseg_net::Protocol::Tcp,
            port: 443,
            reason: "unknown-service",
            connections: 3,
        }];
        run
    }

    /// The same, but unsound and with excess.
    pub fn unsound() -> RunReport {
        let mut run = run();
        run.proof.observed_allowed = 5;
        run.proof.blocked = vec![connection("shop/web", "shop/app", "8080/TCP", None)];
        run.proof.excess_total = 2;
        run.proof.excess_connections = 2;
        run.proof.excess = vec![connection(
            "shop/web",
            "shop/app2",
            "8080/TCP",
            Some("same labels"),
        )];
        run
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_explains_findings_and_holds_the_graph() {
        let value: serde_json::Value =
            serde_json::from_str(&fixture::run().json().unwrap()).unwrap();
        assert_eq!(value["schema"], "nanoseg.dev/report/v1");
        assert_eq!(value["graph"]["schema"], "nanoseg.dev/graph/v1");
        assert_eq!(value["findings"][0]["code"], "port-scan");
        assert_eq!(value["findings"][0]["severity"], "error");
        assert!(
            value["findings"][0]["remedy"]
                .as_str()
                .unwrap()
                .contains("scanner")
        );
        assert_eq!(value["learning"]["workloads"][0]["coverage"], 0.984);
        assert_eq!(value["policies"][0]["rules"][0]["direction"], "ingress");
        let edge = value["policies"][0]["rules"][0]["edges"][0]
            .as_u64()
            .unwrap() as usize;
        assert_eq!(
            value["graph"]["edges"][edge]["server"],
            "shop/app[Deployment]"
        );
    }

    #[test]
    fn the_order_of_findings_does_not_matter() {
        let run = fixture::run();
        let mut other = run.clone();
        other.findings.reverse();
        assert_eq!(run.json().unwrap(), other.json().unwrap());
    }
}
