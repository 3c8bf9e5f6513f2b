//! Evidence for auditors: which workloads communicated in a period, which policies allowed it, who approved the
//! policies, and how far workloads were isolated. Plain data and the files that are made from it.

mod answers;
mod controls;
mod files;
mod ocsf;
mod page;
mod standing;
mod tested;
mod text;
mod timeline;

pub use super::period::{Counted, Period};
pub use answers::{Answer, Asked, Reply, ViolationLine, answer};
pub use controls::{Control, Framework};
pub use files::{MANIFEST_SCHEMA, files};
pub use standing::Standing;
pub use tested::Tested;
pub use text::CHECK_COMMANDS;
pub use timeline::{BrokenGlass, Enforced, Lapse, Timeline, broken_glass, timeline};

use super::network_plugin::NetworkPluginDocument;
use super::run::{EstimateDocument, WorkloadEstimate};
use super::verification::Verification;
use nanoseg_evaluate::RuleRef;
use nanoseg_finding::Finding;
use nanoseg_graph::Peer;
use nanoseg_inventory::WorkloadId;
use nanoseg_net::{Direction, Protocol, Timestamp};
use nanoseg_record::{Actor, Entry, RecordLine};
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

/// The whole content of a report, except the graph.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    /// Always [`Evidence::SCHEMA`].
    pub schema: &'static str,
    pub period: Period,
    /// The namespaces in scope; empty: all.
    pub namespaces: Vec<String>,
    /// What the report was made from.
    pub sources: Vec<Source>,
    /// Which network plugin the figures hold for.
    pub network_plugin: NetworkPluginDocument,
    pub figures: Figures,
    /// The state of every workload in scope at the end of the period.
    pub workloads: Vec<WorkloadLine>,
    /// The policies against what was observed in the period.
    pub verdict: Verification,
    /// How much was not seen (rule: learning-estimate).
    pub learning: LearningLines,
    /// The policies in force at the end of the period, and who approved them.
    pub approvals: Vec<Approval>,
    /// The times when each policy was in force, by the record.
    pub enforced: Vec<Enforced>,
    /// The times when an approved policy differed from its approval, or nanoseg did not enforce it.
    pub lapses: Vec<Lapse>,
    /// The violations that were recorded in the period or were open when it began, and the decisions about each
    /// by its end.
    pub violations: Vec<ViolationLine>,
    /// The times when break-glass was active.
    pub broken_glass: Vec<BrokenGlass>,
    /// Decisions and writes in the period, oldest first.
    pub events: Vec<Event>,
    /// The end of the record; absent if there is no record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record_head: Option<RecordHead>,
    /// Where the chain of the record is broken, as a sentence; absent if the chain is intact.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record_broken: Option<String>,
    /// What was tried; empty: nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tested: Vec<Tested>,
    pub findings: Vec<Finding>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub framework: Option<FrameworkReport>,
    /// The edges of the period, with the rules that allow each edge.
    pub edges: Vec<EdgeLine>,
    /// The hours in which each edge was seen.
    #[serde(skip)]
    pub hours: Vec<HourLine>,
    /// All lines of the record up to the end of the period, as they are in the chain.
    #[serde(skip)]
    pub record: Vec<String>,
    /// The policies that were evaluated: file name and YAML.
    #[serde(skip)]
    pub policies: Vec<(String, String)>,
}

impl Evidence {
    pub const SCHEMA: &'static str = "nanoseg.dev/evidence/v1";

    /// The last run of `nanoseg probe` that is about this period and these policies; else the last one.
    pub fn last_test(&self) -> Option<&Tested> {
        self.tested.iter().max_by_key(|one| (one.counts(), one.to))
    }
}

/// An input of the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Source {
    pub name: String,
    /// The kind of the input and how much of it was read.
    pub what: String,
}

/// The figures of the first page.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Figures {
    /// Workloads in scope, without those of the host network.
    pub workloads: usize,
    /// Workloads that are isolated in both directions, by rules that do not allow everything.
    pub isolated: usize,
    /// Workloads that are selected by a policy that allows everything in at least one direction.
    pub allows_all: usize,
    pub host_network: usize,
    /// Edges that were observed and learned, and the number of their connections.
    pub edges: usize,
    pub connections: u64,
    /// Edges that were not observed and follow from others, such as DNS over TCP.
    pub implied: usize,
    /// Edges that were observed and not learned: scans, refused and unanswered calls.
    pub not_learned: usize,
    /// Observed edges that rules with a recorded approval allow, at each end that is isolated.
    pub approved: usize,
    /// Violations that were recorded in the period, or were open when it began.
    pub violations: usize,
    /// Those of them without a decision at the end of the period.
    pub violations_open: usize,
    pub drift_repairs: usize,
    /// Deviations that were found and not repaired, or not at once.
    pub drift_left: usize,
    /// How often nanoseg stopped enforcing the policies of a namespace.
    pub keeping_ended: usize,
    pub break_glass: usize,
    pub decisions: usize,
    /// The estimated share of the edges that were seen, 0–1 (Chao2 and Good–Turing, the lower of both); absent
    /// if there is too little traffic for an estimate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coverage: Option<f64>,
    /// The estimated share of future connections on edges that were not seen, 0–1 (Good–Turing).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing_mass: Option<f64>,
}

/// The learning estimate.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct LearningLines {
    /// The estimate for the whole scope; absent if the sources have only an estimate of more than the scope.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overall: Option<EstimateDocument>,
    /// Ordered by workload.
    pub workloads: Vec<WorkloadEstimate>,
}

/// The state of one workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadLine {
    pub workload: WorkloadId,
    /// True if each pod of it is isolated by a policy.
    pub ingress: bool,
    pub egress: bool,
    /// True if the policies that isolate its pods still allow everything, from or to every pod and address.
    pub ingress_allows_all: bool,
    pub egress_allows_all: bool,
    /// True if NetworkPolicy cannot select it.
    pub host_network: bool,
    /// `namespace/name`.
    pub policies: Vec<String>,
}

impl WorkloadLine {
    /// Returns true if some connections to it are denied.
    pub fn is_closed_in(&self) -> bool {
        self.ingress && !self.ingress_allows_all
    }

    /// Returns true if some connections from it are denied.
    pub fn is_closed_out(&self) -> bool {
        self.egress && !self.egress_allows_all
    }

    /// Returns true if it is isolated in both directions, in effect.
    pub fn is_closed(&self) -> bool {
        self.is_closed_in() && self.is_closed_out()
    }
}

/// Who approved a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Approval {
    /// `namespace/name`.
    pub policy: String,
    pub workload: WorkloadId,
    pub revision: u32,
    pub digest: String,
    pub by: String,
    pub at: Timestamp,
    pub reason: String,
    /// For each rule that is still the same, who approved it first.
    pub rules: Vec<RuleApproval>,
}

/// Who approved one rule of a policy, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleApproval {
    pub direction: Direction,
    /// Its index among the rules of that direction, from 0.
    pub index: usize,
    /// The revision that added the rule.
    pub revision: u32,
    pub by: String,
    pub at: Timestamp,
}

/// An event: a line of the record, or a decision that is still in the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub sequence: u64,
    /// The time when it was recorded.
    pub at: Timestamp,
    /// The time when it was done, if it was recorded later.
    pub done: Option<Timestamp>,
    pub entry: Entry,
}

impl Event {
    /// Returns the time when it was done.
    pub fn when(&self) -> Timestamp {
        self.done.unwrap_or(self.at)
    }
}

impl From<RecordLine> for Event {
    fn from(line: RecordLine) -> Event {
        Event {
            sequence: line.sequence,
            at: line.at,
            done: line.done(),
            entry: line.entry,
        }
    }
}

/// The form in `evidence.json`. The reason is quoted from the record; no figure of the report depends on it.
impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let entry = &self.entry;
        let mut event = serializer.serialize_struct("Event", 9)?;
        event.serialize_field("sequence", &self.sequence)?;
        event.serialize_field("at", &self.at)?;
        match &self.done {
            Some(done) => event.serialize_field("done", done)?,
            None => event.skip_field("done")?,
        }
        event.serialize_field("action", entry.action.kind().name())?;
        event.serialize_field("actor", &entry.actor.to_string())?;
        // If the name is not a user's: the program that wrote, and the time.
        match &entry.actor {
            Actor::FieldManager { .. } | Actor::Unknown => {
                event.serialize_field("by", &entry.actor)?;
            }
            Actor::User { .. } | Actor::Controller => event.skip_field("by")?,
        }
        event.serialize_field("namespace", &entry.namespace)?;
        event.serialize_field("object", &entry.object)?;
        event.serialize_field("reason", &entry.reason)?;
        event.end()
    }
}

/// The end of the chain, which the next line of the record continues.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RecordHead {
    pub sequence: u64,
    pub digest: String,
}

/// One edge of the period.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EdgeLine {
    /// As in graph.json.
    pub client: String,
    pub server: String,
    pub protocol: Protocol,
    pub port: u16,
    pub lesson: &'static str,
    pub connections: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_seen: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<Timestamp>,
    /// The rules that allow it; empty if neither end is isolated, or if one end denies it.
    pub allowed_by: Vec<RuleRef>,
    /// Who approved these rules, and when.
    pub approved_by: Vec<String>,
    /// True if at each isolated end an approved rule allows it.
    pub approved: bool,
    /// True if the policies of an end deny it at the end of the period.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub blocked: bool,
    /// True if an end of it no longer exists in the cluster, so no policy was evaluated for it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub gone: bool,
}

/// One edge in one hour.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HourLine {
    /// The beginning of the hour.
    pub hour: Timestamp,
    pub client: Peer,
    pub server: Peer,
    pub protocol: Protocol,
    pub port: u16,
    pub connections: u64,
    pub bytes_to_server: u64,
    pub bytes_to_client: u64,
}

/// The controls of a framework, and the assessment of each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FrameworkReport {
    pub framework: &'static str,
    pub edition: &'static str,
    pub controls: Vec<ControlLine>,
    /// Facts that nanoseg does not prove, whatever the figures are.
    pub not_proven: Vec<&'static str>,
}

/// One control.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ControlLine {
    pub number: &'static str,
    /// The requirement, in short words of our own.
    pub asks: &'static str,
    pub standing: Standing,
    /// The figures, in one sentence.
    pub finding: String,
    /// The files that prove it.
    pub files: Vec<&'static str>,
}
