//! Evidence for auditors: which workloads talked to each other in a period, which policies allowed it, who approved
//! the policies, and how far workloads were isolated. Plain data and the files that are made of it.

mod answers;
mod controls;
mod files;
mod ocsf;
mod page;
mod standing;
mod text;
mod timeline;

pub use super::period::{Counted, Period};
pub use answers::{Answer, Asked, Reply, ViolationLine, answer};
pub use controls::{Control, Framework};
pub use files::{MANIFEST_SCHEMA, files};
pub use standing::Standing;
pub use text::CHECK_COMMANDS;
pub use timeline::{BrokenGlass, Enforced, Lapse, Timeline, broken_glass, timeline};

use super::run::{EstimateDocument, WorkloadEstimate};
use super::verification::Verification;
use crate::evaluate::RuleRef;
use crate::finding::Finding;
use crate::graph::Peer;
use crate::inventory::WorkloadId;
use crate::net::{Direction, Protocol, Timestamp};
use crate::record::{Actor, Entry, RecordLine};
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

/// Everything that a report says, but for the graph.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    /// Always [`Evidence::SCHEMA`].
    pub schema: &'static str,
    pub period: Period,
    /// Only these; all, if it is empty.
    pub namespaces: Vec<String>,
    /// What the report was made from.
    pub sources: Vec<Source>,
    pub figures: Figures,
    /// The state of every workload in scope at the end of the period.
    pub workloads: Vec<WorkloadLine>,
    /// The policies against what was observed in the period.
    pub verdict: Verification,
    /// How much was not seen (rule: learning-estimate).
    pub learning: LearningLines,
    /// The policies that were in force at the end of the period, and who approved them.
    pub approvals: Vec<Approval>,
    /// When which policy was in force, by the record.
    pub enforced: Vec<Enforced>,
    /// When which approved policy was not as approved, or nobody kept it so.
    pub lapses: Vec<Lapse>,
    /// The violations that were recorded in the period or open when it began, and what was decided about each
    /// by its end.
    pub violations: Vec<ViolationLine>,
    /// When break-glass was on.
    pub broken_glass: Vec<BrokenGlass>,
    /// Decisions and writes in the period, oldest first.
    pub events: Vec<Event>,
    /// The end of the record; absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record_head: Option<RecordHead>,
    /// Where the chain of the record is broken, in words; absent where it is whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record_broken: Option<String>,
    pub findings: Vec<Finding>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub framework: Option<FrameworkReport>,
    /// The edges of the period, with the rules that allow each.
    pub edges: Vec<EdgeLine>,
    /// Which edges were seen in which hour.
    #[serde(skip)]
    pub hours: Vec<HourLine>,
    /// All lines of the record up to the end of the period, as they are chained.
    #[serde(skip)]
    pub record: Vec<String>,
    /// The policies that were judged: file name and YAML.
    #[serde(skip)]
    pub policies: Vec<(String, String)>,
}

impl Evidence {
    pub const SCHEMA: &'static str = "nanoseg.dev/evidence/v1";
}

/// Something that the report was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Source {
    pub name: String,
    /// What it is and how much of it was read.
    pub what: String,
}

/// The figures of the first page.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Figures {
    /// In scope, those of the host network not counted.
    pub workloads: usize,
    /// Isolated in both directions, and by rules that do not allow everything.
    pub isolated: usize,
    /// Selected by a policy that allows everything in one direction at least.
    pub allows_all: usize,
    pub host_network: usize,
    /// Edges that were observed and learned, and connections of them.
    pub edges: usize,
    pub connections: u64,
    /// Edges that nobody saw and that others imply, such as DNS over TCP.
    pub implied: usize,
    /// Edges that were seen and not learned: scans, refused and unanswered calls.
    pub not_learned: usize,
    /// Of the observed edges those that rules with a recorded approval allow, at each end that is isolated.
    pub approved: usize,
    /// Recorded in the period, or open when it began.
    pub violations: usize,
    /// Of these, those that nobody had decided about by the end of the period.
    pub violations_open: usize,
    pub drift_repairs: usize,
    /// Deviations that were found and not put right, or not at once.
    pub drift_left: usize,
    /// How often the keeping of a namespace's policies ended.
    pub keeping_ended: usize,
    pub break_glass: usize,
    pub decisions: usize,
    /// The estimated share of the edges that were seen, 0–1 (Chao2 and Good–Turing, the more careful one);
    /// absent where there is too little traffic for an estimate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coverage: Option<f64>,
    /// The estimated share of future connections on edges that were not seen, 0–1 (Good–Turing).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing_mass: Option<f64>,
}

/// The learning estimate.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct LearningLines {
    /// Of everything in scope; absent where the sources have only an estimate of more than that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overall: Option<EstimateDocument>,
    /// In order of workloads.
    pub workloads: Vec<WorkloadEstimate>,
}

/// The state of one workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadLine {
    pub workload: WorkloadId,
    /// Some policy isolates all its pods.
    pub ingress: bool,
    pub egress: bool,
    /// The policies that isolate pods of it allow everything all the same, from or to every pod and address.
    pub ingress_allows_all: bool,
    pub egress_allows_all: bool,
    /// NetworkPolicy cannot select it.
    pub host_network: bool,
    /// `namespace/name`.
    pub policies: Vec<String>,
}

impl WorkloadLine {
    /// Whether something is denied to others that would open connections to it.
    pub fn is_closed_in(&self) -> bool {
        self.ingress && !self.ingress_allows_all
    }

    /// Whether something is denied to it that it would open connections to.
    pub fn is_closed_out(&self) -> bool {
        self.egress && !self.egress_allows_all
    }

    /// Whether it is isolated in both directions, in effect.
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
    /// Who approved each of its rules first, as it still is.
    pub rules: Vec<RuleApproval>,
}

/// Who approved one rule of a policy, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleApproval {
    pub direction: Direction,
    /// Its place among the rules of that direction, from 0.
    pub index: usize,
    /// The revision that brought it.
    pub revision: u32,
    pub by: String,
    pub at: Timestamp,
}

/// Something that was done: a line of the record, or a decision that the cluster still has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub sequence: u64,
    /// When it was recorded.
    pub at: Timestamp,
    /// When it was done, if it was recorded later than that.
    pub done: Option<Timestamp>,
    pub entry: Entry,
}

impl Event {
    /// When it was done.
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

/// As `evidence.json` has it. The reason is quoted from the record; no figure of the report depends on it.
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
        // Where the name is no user's, the program that wrote and when.
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

/// What the next line of the record follows.
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
    /// The rules that allow it; empty if nothing isolates either end, or one end denies it.
    pub allowed_by: Vec<RuleRef>,
    /// Who approved those rules, and when.
    pub approved_by: Vec<String>,
    /// At each end that is isolated somebody approved a rule that allows it.
    pub approved: bool,
    /// The policies of an end deny it, at the end of the period.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub blocked: bool,
    /// An end of it is not among the cluster's objects any more, so no policy was judged by it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub gone: bool,
}

/// One edge in one hour.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HourLine {
    /// When the hour begins.
    pub hour: Timestamp,
    pub client: Peer,
    pub server: Peer,
    pub protocol: Protocol,
    pub port: u16,
    pub connections: u64,
    pub bytes_to_server: u64,
    pub bytes_to_client: u64,
}

/// The controls of a framework and how they stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FrameworkReport {
    pub framework: &'static str,
    pub edition: &'static str,
    pub controls: Vec<ControlLine>,
    /// What nanoseg does not prove, whatever the figures.
    pub not_proven: Vec<&'static str>,
}

/// One control.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ControlLine {
    pub number: &'static str,
    /// In our own short words.
    pub asks: &'static str,
    pub standing: Standing,
    /// The figures, one sentence.
    pub finding: String,
    /// The files that prove it.
    pub files: Vec<&'static str>,
}
