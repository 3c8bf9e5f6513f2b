//! Text about decisions and actions, from the record.

use super::{Block, Section, table};
use crate::evidence::{Event, Evidence, RecordHead, ViolationLine};
use crate::words::{count, time};
use nanoseg_record::{Action, ActionKind};

/// Who approved the policies in force.
pub fn approvals(evidence: &Evidence) -> Section {
    if evidence.approvals.is_empty() {
        let text = match &evidence.record_head {
            Some(_) => "No approved policy was in force at the end of the period.",
            None => "These sources hold no approvals: only the controller's state does.",
        };
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

/// Each violation, with the decision about it.
pub fn violations(evidence: &Evidence) -> Section {
    let title = "Violations, and how they were answered";
    if evidence.record_head.is_none() {
        let text = "These sources hold no record: only the controller's state does.";
        return Section {
            title,
            blocks: vec![Block::Text(text.into())],
        };
    }
    let text = match evidence.figures.violations as u64 {
        0 => "None was recorded in the period, and none was open when it began.".to_owned(),
        some => format!(
            "{}, {} of them without a known answer at the end of the period. A kind of connection (workload, direction, \
             kind of peer, port) is recorded once, when it is first seen; it counts as answered once somebody decided about a proposal that holds it; one that was withdrawn is no answer.",
            count(some, "violation"),
            evidence.figures.violations_open
        ),
    };
    let mut blocks = vec![Block::Text(text)];
    if !evidence.violations.is_empty() {
        let rows = evidence.violations.iter().map(|one| {
            vec![
                one.sequence.to_string(),
                time(one.at),
                format!("{}/{}", one.namespace, one.workload),
                one.connection.clone(),
                one.reply.words().to_owned(),
                answers(one),
            ]
        });
        let header = [
            ">number",
            "at",
            "workload",
            "connection",
            "answer",
            "decided",
        ];
        blocks.push(table(&header, rows, "violations.csv"));
    }
    Section { title, blocks }
}

/// Who decided about a violation, when, and how.
pub fn answers(violation: &ViolationLine) -> String {
    let answers = violation.answers.iter();
    let texts = answers.map(|one| {
        let why = match one.reason.as_str() {
            "" => String::new(),
            why => format!(": {why}"),
        };
        match &one.by {
            Some(by) => format!(
                "{} {} by {by} at {} (record {}){why}",
                one.proposal,
                one.reply.words(),
                time(one.at),
                one.sequence
            ),
            None => format!("{} waits since {}", one.proposal, time(one.at)),
        }
    });
    texts.collect::<Vec<_>>().join("; ")
}

/// Drift, break-glass and decisions.
pub fn events(evidence: &Evidence) -> Section {
    let mut blocks = Vec::new();
    if let Some(head) = &evidence.record_head {
        blocks.push(Block::Text(chain(evidence, head)));
    } else {
        blocks.push(Block::Text(
            "These sources hold no record: only the controller's state does.".into(),
        ));
    }
    if !evidence.broken_glass.is_empty() {
        blocks.push(Block::Text("Break-glass was on:".into()));
        let rows = evidence.broken_glass.iter().map(|one| {
            vec![
                one.namespace.clone(),
                time(one.from),
                one.to.map_or("still on".into(), time),
                one.reason.clone(),
            ]
        });
        let header = ["namespace", "from", "to", "reason"];
        blocks.push(table(&header, rows, "evidence.json"));
    }
    blocks.extend(openings(evidence));
    let drift = [ActionKind::DriftRepaired, ActionKind::DriftGivenUp];
    blocks.extend(listed(
        evidence,
        "Drift that was repaired or given up:",
        &drift,
    ));
    let blocked = [ActionKind::ApprovedTrafficBlocked];
    blocks.extend(listed(
        evidence,
        "Approved traffic that a policy blocked, and that a person was asked about:",
        &blocked,
    ));
    let keeping = [
        ActionKind::SegmentationAdded,
        ActionKind::ModeChanged,
        ActionKind::SegmentationRemoved,
    ];
    blocks.extend(listed(
        evidence,
        "Namespaces whose enforcement began, changed or ended:",
        &keeping,
    ));
    let decisions = [
        ActionKind::Approved,
        ActionKind::AutoApproved,
        ActionKind::Rejected,
        ActionKind::ConnectionsRejected,
        ActionKind::OpeningExpired,
        ActionKind::DecisionRefused,
        ActionKind::RolledBack,
        ActionKind::AutoRolledBack,
    ];
    blocks.extend(listed(evidence, "Decisions:", &decisions));
    Section {
        title: "What was done",
        blocks,
    }
}

/// The end of the record, and whether its chain is intact.
fn chain(evidence: &Evidence, head: &RecordHead) -> String {
    if let Some(broken) = &evidence.record_broken {
        return format!("The record ends at number {}; {broken}.", head.sequence);
    }
    if head.sequence == 0 {
        return "The record is empty up to the end of the period: nothing was recorded.".into();
    }
    let lines = match evidence.events.len() as u64 {
        0 => "none of its lines is of the period and scope".to_owned(),
        some => format!("{} of the period and scope", count(some, "line")),
    };
    format!(
        "The record ends at number {} with digest {}; its chain is whole; {lines}.",
        head.sequence, head.digest
    )
}

/// The events of these actions as a table below a line of text; empty if there are none.
/// Temporary openings, and when each was closed again.
fn openings(evidence: &Evidence) -> Vec<Block> {
    let ended = |opened: &Event| {
        let mut later = evidence.events.iter();
        later.find(|event| {
            event.sequence > opened.sequence
                && event.entry.namespace == opened.entry.namespace
                && event.entry.action.kind() == ActionKind::OpeningExpired
                && event.entry.action.proposal() == opened.entry.action.proposal()
        })
    };
    let row = |event: &Event| match &event.entry.action {
        Action::Approved {
            proposal,
            until: Some(until),
            why,
            ..
        } => Some(vec![
            format!("{}/{}", event.entry.namespace, event.entry.object),
            proposal.clone(),
            event.entry.actor.to_string(),
            time(event.when()),
            time(*until),
            ended(event).map_or("not in the record".into(), |end| time(end.when())),
            why.clone(),
        ]),
        _ => None,
    };
    let rows: Vec<Vec<String>> = evidence.events.iter().filter_map(row).collect();
    if rows.is_empty() {
        return Vec::new();
    }
    let header = [
        "policy",
        "proposal",
        "by",
        "opened",
        "until",
        "closed again",
        "reason",
    ];
    vec![
        Block::Text("What was opened for a time:".into()),
        table(&header, rows, "record.jsonl"),
    ]
}

fn listed(evidence: &Evidence, title: &str, actions: &[ActionKind]) -> Vec<Block> {
    let events = evidence.events.iter();
    let rows: Vec<Vec<String>> = events
        .filter(|event| actions.contains(&event.entry.action.kind()))
        .map(row)
        .collect();
    if rows.is_empty() {
        return Vec::new();
    }
    let header = [">number", "at", "action", "by", "object", "reason"];
    vec![
        Block::Text(title.into()),
        table(&header, rows, "record.jsonl"),
    ]
}

fn row(event: &Event) -> Vec<String> {
    let entry = &event.entry;
    vec![
        event.sequence.to_string(),
        time(event.when()),
        entry.action.kind().name().to_owned(),
        entry.actor.to_string(),
        format!("{}/{}", entry.namespace, entry.object),
        entry.reason.clone(),
    ]
}
