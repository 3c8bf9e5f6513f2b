//! The text of the report, written once for the page and for Markdown.

mod counting;
mod coverage;
mod done;
mod figures;
mod tested;

pub use coverage::standing;
pub use done::answers;

use super::{EdgeLine, Evidence, Period, Standing};
use crate::learning;
use crate::words::{count, thousands, time};
use nanoseg_net::Timestamp;

/// A part of the report with a heading.
pub struct Section {
    pub title: &'static str,
    pub blocks: Vec<Block>,
}

/// A part of a section. All texts are plain: the writer of each format escapes them.
pub enum Block {
    Text(String),
    /// A column whose name begins with `>` is right-aligned.
    Table {
        header: Vec<&'static str>,
        rows: Vec<Vec<String>>,
        /// The number of rows that are left out here, and the file that contains them.
        more: Option<(usize, &'static str)>,
    },
    /// Lines for a shell, unchanged.
    Commands(Vec<String>),
    /// The picture of the graph.
    Graph,
}

/// How many rows of a long table the page shows; the files contain all rows.
const MOST: usize = 100;

/// All sections, in order.
pub fn sections(evidence: &Evidence) -> Vec<Section> {
    let mut all = vec![summary(evidence)];
    all.extend(controls(evidence));
    all.push(coverage::section(evidence));
    all.push(Section {
        title: "Who talked to whom",
        blocks: vec![Block::Graph, edges(evidence)],
    });
    all.push(judgement(evidence));
    all.extend(tested::section(evidence));
    all.push(learning_section(evidence));
    all.push(done::approvals(evidence));
    all.push(done::violations(evidence));
    all.push(done::events(evidence));
    all.push(findings(evidence));
    all.push(sources(evidence));
    all.push(check());
    all
}

/// The period as text.
pub fn period(evidence: &Evidence) -> String {
    let period = &evidence.period;
    period_of((period.from, period.to), period)
}

/// A time as text; an end that is not given is that of the observation.
fn period_of((from, to): (Option<Timestamp>, Option<Timestamp>), period: &Period) -> String {
    let end = |asked: Option<Timestamp>, seen: Option<Timestamp>, word: &str| match (asked, seen) {
        (Some(at), _) => time(at),
        (None, Some(at)) => format!("{} ({word} observation)", time(at)),
        (None, None) => "nothing observed".into(),
    };
    format!(
        "{} to {} UTC",
        end(from, period.first_seen, "first"),
        end(to, period.last_seen, "last")
    )
}

fn table(
    header: &[&'static str],
    rows: impl IntoIterator<Item = Vec<String>>,
    file: &'static str,
) -> Block {
    let mut rows: Vec<Vec<String>> = rows.into_iter().collect();
    let more = rows.len().saturating_sub(MOST);
    rows.truncate(MOST);
    Block::Table {
        header: header.to_vec(),
        rows,
        more: (more > 0).then_some((more, file)),
    }
}

fn summary(evidence: &Evidence) -> Section {
    let scope = match evidence.namespaces.as_slice() {
        [] => "all namespaces".to_owned(),
        names => format!("namespaces {}", names.join(", ")),
    };
    let mut blocks = vec![Block::Text(format!(
        "Period: {}. Scope: {scope}.",
        period(evidence)
    ))];
    blocks.extend(counting::rules(evidence).into_iter().map(Block::Text));
    blocks.push(Block::Text(headline(evidence)));
    if let Some(broken) = &evidence.record_broken {
        blocks.push(Block::Text(format!(
            "Do not rely on what this report says of decisions: {broken}."
        )));
    }
    blocks.push(table(
        &["figure", ">value"],
        figures::rows(evidence),
        "evidence.json",
    ));
    Section {
        title: "Summary",
        blocks,
    }
}

/// The result of the verification (sound and tight), as text.
fn headline(evidence: &Evidence) -> String {
    let verdict = &evidence.verdict;
    if verdict.policies == 0 {
        return "No policies were in force: everything is allowed.".into();
    }
    let blocked = verdict.observed - verdict.allowed.min(verdict.observed);
    let sound = match (blocked, verdict.would_block.len(), verdict.observed) {
        (0, 0, 0) => "Nothing was observed that the policies could block.".to_owned(),
        (0, 0, _) => "The policies allow every observed edge.".to_owned(),
        (0, ..) => "The policies would block implied edges.".to_owned(),
        (some, ..) => format!(
            "The policies would block {} wholly or in part.",
            count(some as u64, "observed edge")
        ),
    };
    let tight = match verdict.unused_total {
        0 if verdict.open_ingress.is_empty() && verdict.open_egress.is_empty() => {
            "They allow nothing that was not observed.".to_owned()
        }
        0 => "In the directions in which they isolate, they allow nothing that was not observed."
            .to_owned(),
        some => format!(
            "They allow {} of client and server{} beyond what was observed.",
            count(some, "pair"),
            verdict.unused_connections_text()
        ),
    };
    format!("{sound} {tight}")
}

/// The estimate of unseen traffic, as text.
fn learning_section(evidence: &Evidence) -> Section {
    let lines = &evidence.learning;
    let mut blocks = Vec::new();
    match &lines.overall {
        Some(overall) => {
            blocks.push(Block::Text(format!("Overall {}.", learning::line(overall))));
            let more = [learning::missing(overall), learning::confidence(overall)];
            blocks.extend(more.into_iter().flatten().map(Block::Text));
        }
        None => blocks.push(Block::Text(
            "These sources contain no estimate for the whole scope.".into(),
        )),
    }
    blocks.push(Block::Text(
        "Estimated by Chao2 from the time windows in which each edge was seen, and by Good–Turing from edges of a \
         single connection; the more careful of the two counts."
            .into(),
    ));
    if !lines.workloads.is_empty() {
        let rows = lines.workloads.iter().map(|line| {
            let mut row = vec![line.workload.to_string()];
            row.extend(learning::cells(&line.estimate));
            row
        });
        blocks.push(table(&learning::HEADER, rows, "learning.csv"));
    }
    Section {
        title: "How much was not seen",
        blocks,
    }
}

fn controls(evidence: &Evidence) -> Option<Section> {
    let framework = evidence.framework.as_ref()?;
    let rows = framework.controls.iter().map(|control| {
        vec![
            control.number.to_owned(),
            control.asks.to_owned(),
            control.standing.words().to_owned(),
            control.finding.clone(),
            control.files.join(", "),
        ]
    });
    let gaps = framework
        .controls
        .iter()
        .filter(|control| control.standing != Standing::Shown)
        .count();
    let not_proven = framework
        .not_proven
        .iter()
        .map(|one| vec![(*one).to_owned()]);
    Some(Section {
        title: "Controls",
        blocks: vec![
            Block::Text(format!(
                "{}: controls that segmentation is evidence for, in our own words; {gaps} of {} are not shown wholly.",
                framework.edition,
                framework.controls.len()
            )),
            table(
                &["control", "asks", "standing", "finding", "files"],
                rows,
                "evidence.json",
            ),
            table(
                &["what this report does not prove"],
                not_proven,
                "evidence.json",
            ),
        ],
    })
}

/// The rules that allow an edge, or the reason why there is none.
fn allowed_by(edge: &EdgeLine) -> String {
    let rules: Vec<String> = edge.allowed_by.iter().map(ToString::to_string).collect();
    match (edge.gone, edge.lesson) {
        _ if edge.blocked => "not allowed".into(),
        (true, _) => "not judged: an end is not in the cluster any more".into(),
        (false, "learned" | "implied") if rules.is_empty() => {
            "no rule needed: neither end is isolated".into()
        }
        _ => rules.join("; "),
    }
}

fn edges(evidence: &Evidence) -> Block {
    let seen = |at: Option<Timestamp>| at.map(time).unwrap_or_default();
    let rows = evidence.edges.iter().map(|edge| {
        vec![
            edge.client.clone(),
            edge.server.clone(),
            format!("{}/{}", edge.port, edge.protocol),
            edge.lesson.to_owned(),
            thousands(edge.connections),
            seen(edge.first_seen),
            seen(edge.last_seen),
            allowed_by(edge),
            edge.approved_by.join("; "),
        ]
    });
    let header = [
        "client",
        "server",
        "port",
        "lesson",
        ">connections",
        "first seen",
        "last seen",
        "allowed by",
        "approved by",
    ];
    table(&header, rows, "edges.csv")
}

fn judgement(evidence: &Evidence) -> Section {
    let verdict = &evidence.verdict;
    let implied = match verdict.implied {
        0 => String::new(),
        all => format!(
            ", and {} of {} that nobody saw and others imply",
            thousands(verdict.implied_allowed as u64),
            thousands(all as u64)
        ),
    };
    let mut blocks = vec![Block::Text(format!(
        "{} of {} observed edges are allowed by {}{implied}.",
        thousands(verdict.allowed as u64),
        thousands(verdict.observed as u64),
        count(verdict.policies as u64, "policy")
    ))];
    if !verdict.would_block.is_empty() {
        let rows = verdict.would_block.iter().map(|one| {
            vec![
                one.client.clone(),
                one.server.clone(),
                one.ports.clone(),
                one.seen(),
                one.by.clone(),
            ]
        });
        blocks.push(Block::Text("Observed or implied, and not allowed:".into()));
        blocks.push(table(
            &["client", "server", "ports", "seen", "why"],
            rows,
            "evidence.json",
        ));
    }
    if !verdict.unused.is_empty() {
        let rows = verdict
            .unused
            .iter()
            .map(|one| vec![one.client.clone(), one.server.clone(), one.ports.clone()]);
        blocks.push(Block::Text("Allowed, and not observed:".into()));
        blocks.push(table(&["client", "server", "ports"], rows, "evidence.json"));
    }
    if !verdict.unused_rules.is_empty() {
        let rows = verdict
            .unused_rules
            .iter()
            .map(|rule| vec![rule.to_string()]);
        blocks.push(table(
            &["rules that no observed or implied edge used"],
            rows,
            "evidence.json",
        ));
    }
    Section {
        title: "Policies against traffic",
        blocks,
    }
}

fn findings(evidence: &Evidence) -> Section {
    let rows: Vec<_> = evidence
        .findings
        .iter()
        .map(|one| {
            vec![
                one.severity.to_string(),
                one.code.to_string(),
                one.subject.clone(),
                one.message.clone(),
                one.code.remedy().to_owned(),
            ]
        })
        .collect();
    let blocks = match rows.len() {
        0 => vec![Block::Text("None.".into())],
        _ => vec![table(
            &["severity", "code", "subject", "finding", "what to do"],
            rows,
            "evidence.json",
        )],
    };
    Section {
        title: "Findings",
        blocks,
    }
}

fn sources(evidence: &Evidence) -> Section {
    let rows = evidence
        .sources
        .iter()
        .map(|one| vec![one.name.clone(), one.what.clone()]);
    Section {
        title: "Sources",
        blocks: vec![table(&["source", "what it is"], rows, "evidence.json")],
    }
}

/// The commands that an auditor runs in the report's folder; the help of `nanoseg report` shows them too, and a
/// test compares docs/evidence.md with them. A person who changed a file may have written another SHA256SUMS:
/// the signed manifest has the digest of the right one.
pub const CHECK_COMMANDS: &str = include_str!("check.sh");

fn check() -> Section {
    let text = |text: &str| Block::Text(text.into());
    let lines = CHECK_COMMANDS.lines().map(str::to_owned);
    let blocks = vec![
        text(
            "With stock tools, in this folder; the last line is printed only if all before it are content:",
        ),
        Block::Commands(lines.collect()),
        text(
            "In turn: all are plain files, and no folder is empty; the signature fits the manifest, and the key is that of ops@example.org in allowed_signers (leave this out if the report is not signed; then who can change all files goes unseen); SHA256SUMS is the one of the manifest; every file is as it says; no file was added.",
        ),
        text(
            "nanoseg report verify DIR does the same; nanoseg record verify record.jsonl checks the chain of the record.",
        ),
    ];
    Section {
        title: "How to check this report",
        blocks,
    }
}
