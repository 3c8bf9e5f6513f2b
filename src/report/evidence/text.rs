//! What the report says, once, for the page and for Markdown alike.

use super::{Event, Evidence, Standing};
use crate::net::Timestamp;
use crate::report::words::{count, thousands, time};

/// A part of the report with a heading.
pub struct Section {
    pub title: &'static str,
    pub blocks: Vec<Block>,
}

/// What a section is made of. All texts are plain: who writes them escapes them.
pub enum Block {
    Text(String),
    /// A column that begins with `>` is right-aligned.
    Table {
        header: Vec<&'static str>,
        rows: Vec<Vec<String>>,
        /// Rows that are left out here, and the file that has them.
        more: Option<(usize, &'static str)>,
    },
    /// The picture of the graph.
    Graph,
}

/// How many rows of a long table the page shows; the files have all.
const MOST: usize = 100;

/// All sections, in order.
pub fn sections(evidence: &Evidence) -> Vec<Section> {
    let mut all = vec![summary(evidence)];
    all.extend(controls(evidence));
    all.push(coverage(evidence));
    all.push(Section {
        title: "Who talked to whom",
        blocks: vec![Block::Graph, edges(evidence)],
    });
    all.push(judgement(evidence));
    all.push(approvals(evidence));
    all.push(events(evidence));
    all.push(findings(evidence));
    all.push(sources(evidence));
    all.push(check());
    all
}

/// The period in words.
pub fn period(evidence: &Evidence) -> String {
    let period = &evidence.period;
    let end = |asked: Option<Timestamp>, seen: Option<Timestamp>, word: &str| match (asked, seen) {
        (Some(at), _) => time(at),
        (None, Some(at)) => format!("{} ({word} observation)", time(at)),
        (None, None) => "nothing observed".into(),
    };
    format!(
        "{} to {} UTC",
        end(period.from, period.first_seen, "first"),
        end(period.to, period.last_seen, "last")
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
    let (figures, verdict) = (&evidence.figures, &evidence.verdict);
    let scope = match evidence.namespaces.as_slice() {
        [] => "all namespaces".to_owned(),
        names => format!("namespaces {}", names.join(", ")),
    };
    let sound = match verdict.would_block.len() {
        0 => "The policies allow every observed connection.".to_owned(),
        some => format!(
            "The policies would block {}.",
            count(some as u64, "observed connection")
        ),
    };
    let tight = match verdict.unused_total {
        0 => "They allow isolated workloads nothing that was not observed.".to_owned(),
        some => format!(
            "They allow isolated workloads {} that were not observed.",
            count(some, "connection")
        ),
    };
    let row = |name: &str, value: String| vec![name.to_owned(), value];
    let of = |part: usize, whole: usize| {
        format!("{} of {}", thousands(part as u64), thousands(whole as u64))
    };
    let rows = [
        row(
            "Workloads isolated in both directions",
            of(figures.isolated, figures.workloads),
        ),
        row(
            "Workloads on the host network, out of reach",
            thousands(figures.host_network as u64),
        ),
        row("Observed edges, learned", thousands(figures.edges as u64)),
        row("Connections of these", thousands(figures.connections)),
        row(
            "Observed edges, not learned",
            thousands(figures.not_learned as u64),
        ),
        row(
            "Edges with a recorded approval",
            of(figures.approved, figures.edges),
        ),
        row(
            "Observed connections that the policies allow",
            of(verdict.allowed, verdict.observed),
        ),
        row("Allowed and not observed", thousands(verdict.unused_total)),
        row(
            "Rules without use",
            of(verdict.unused_rules.len(), verdict.rules),
        ),
        row("Violations recorded", thousands(figures.violations as u64)),
        row("Drift repaired", thousands(figures.drift_repairs as u64)),
        row("Break-glass", thousands(figures.break_glass as u64)),
        row("Decisions", thousands(figures.decisions as u64)),
    ];
    Section {
        title: "Summary",
        blocks: vec![
            Block::Text(format!("Period: {}. Scope: {scope}.", period(evidence))),
            Block::Text(format!("{sound} {tight}")),
            table(&["figure", ">value"], rows, "evidence.json"),
        ],
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

fn coverage(evidence: &Evidence) -> Section {
    let yes = |yes: bool| if yes { "isolated" } else { "open" }.to_owned();
    let open = evidence
        .workloads
        .iter()
        .filter(|one| !(one.ingress && one.egress));
    let rows = open.map(|one| {
        let way = |isolated| match one.host_network {
            true => "host network".to_owned(),
            false => yes(isolated),
        };
        vec![
            one.workload.to_string(),
            one.workload.kind.clone(),
            way(one.ingress),
            way(one.egress),
            one.policies.join(", "),
        ]
    });
    let rows: Vec<_> = rows.collect();
    let text = match rows.len() {
        0 => "Every workload in scope is isolated in both directions.".to_owned(),
        some => format!(
            "{} not isolated in both directions:",
            count(some as u64, "workload")
        ),
    };
    let mut blocks = vec![Block::Text(text)];
    if !rows.is_empty() {
        blocks.push(table(
            &["workload", "kind", "ingress", "egress", "policies"],
            rows,
            "workloads.csv",
        ));
    }
    if !evidence.enforced.is_empty() {
        blocks.push(Block::Text(
            "When policies were in force, by the record:".into(),
        ));
        let rows = evidence.enforced.iter().map(|one| {
            vec![
                one.policy.clone(),
                time(one.from),
                one.to.map_or("still in force".into(), time),
                one.ended_by.unwrap_or_default().to_owned(),
            ]
        });
        blocks.push(table(
            &["policy", "from", "to", "ended by"],
            rows,
            "evidence.json",
        ));
    }
    Section {
        title: "Coverage",
        blocks,
    }
}

fn edges(evidence: &Evidence) -> Block {
    let seen = |at: Option<Timestamp>| at.map(time).unwrap_or_default();
    let rows = evidence.edges.iter().map(|edge| {
        let rules: Vec<String> = edge.allowed_by.iter().map(ToString::to_string).collect();
        vec![
            edge.client.clone(),
            edge.server.clone(),
            format!("{}/{}", edge.port, edge.protocol),
            edge.lesson.to_owned(),
            thousands(edge.connections),
            seen(edge.first_seen),
            seen(edge.last_seen),
            rules.join("; "),
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
    let mut blocks = vec![Block::Text(format!(
        "{} of {} observed connections are allowed by {}.",
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
        blocks.push(Block::Text("Observed, and not allowed:".into()));
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
            &["rules that no observed connection used"],
            rows,
            "evidence.json",
        ));
    }
    Section {
        title: "Policies against traffic",
        blocks,
    }
}

fn approvals(evidence: &Evidence) -> Section {
    if evidence.approvals.is_empty() {
        let text = "These sources hold no approvals: only the controller's state does.";
        return Section {
            title: "Approvals",
            blocks: vec![Block::Text(text.into())],
        };
    }
    let rows = evidence.approvals.iter().map(|one| {
        vec![
            one.policy.clone(),
            one.workload.to_string(),
            one.revision.to_string(),
            one.by.clone(),
            time(one.at),
            one.reason.clone(),
        ]
    });
    let header = [
        "policy",
        "workload",
        ">revision",
        "approved by",
        "at",
        "reason",
    ];
    Section {
        title: "Approvals",
        blocks: vec![table(&header, rows, "evidence.json")],
    }
}

fn events(evidence: &Evidence) -> Section {
    let of = |actions: &[&str]| -> Vec<&Event> {
        let events = evidence.events.iter();
        events
            .filter(|event| actions.contains(&event.action))
            .collect()
    };
    let parts = [
        (
            "Violations, and drift that was repaired or given up:",
            of(&["violation", "drift-repaired", "drift-given-up"]),
        ),
        ("Break-glass:", of(&["break-glass-on", "break-glass-off"])),
        (
            "Decisions:",
            of(&[
                "approved",
                "auto-approved",
                "rejected",
                "decision-refused",
                "rolled-back",
                "auto-rolled-back",
            ]),
        ),
    ];
    let mut blocks = Vec::new();
    if let Some(head) = &evidence.record_head {
        blocks.push(Block::Text(format!(
            "The record ends at number {} with digest {}.",
            head.sequence, head.digest
        )));
    } else {
        blocks.push(Block::Text(
            "These sources hold no record: only the controller's state does.".into(),
        ));
    }
    for (title, events) in parts {
        if events.is_empty() {
            continue;
        }
        let rows = events.iter().map(|event| {
            vec![
                event.sequence.to_string(),
                time(event.at),
                event.action.to_owned(),
                event.actor.clone(),
                format!("{}/{}", event.namespace, event.object),
                event.reason.clone(),
            ]
        });
        blocks.push(Block::Text(title.into()));
        blocks.push(table(
            &[">number", "at", "action", "by", "object", "reason"],
            rows,
            "record.jsonl",
        ));
    }
    Section {
        title: "What was done",
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

fn check() -> Section {
    let lines = [
        "sha256sum -c SHA256SUMS checks every file but the manifest.",
        "ssh-keygen -Y verify -f allowed_signers -I NAME -n nanoseg-report -s manifest.json.sig < manifest.json checks the signature, if the report is signed; the manifest holds the digest of SHA256SUMS and of every file.",
        "nanoseg report verify DIR does both; nanoseg record verify record.jsonl checks the chain of the record.",
    ];
    Section {
        title: "How to check this report",
        blocks: lines
            .into_iter()
            .map(|line| Block::Text(line.into()))
            .collect(),
    }
}
