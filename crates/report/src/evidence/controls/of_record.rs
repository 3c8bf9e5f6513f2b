//! Answers to questions about decisions and actions, from the record.

use super::{Assessment, Question, Standing, share};
use crate::evidence::Evidence;
use nanoseg_record::ActionKind;

/// Answers a question about the record.
pub fn answer(question: Question, evidence: &Evidence) -> Assessment {
    let (standing, finding, files) = from_figures(question, evidence);
    let standing = match (&evidence.record_head, &evidence.record_broken) {
        (None, _) => Standing::NotTold,
        (Some(_), Some(_)) => Standing::Gap,
        (Some(_), None) => standing,
    };
    let finding = match &evidence.record_broken {
        Some(broken) => format!("{broken}. {finding}"),
        None => finding,
    };
    (standing, finding, files)
}

fn from_figures(question: Question, evidence: &Evidence) -> Assessment {
    match question {
        Question::Approved => approved(evidence),
        Question::Kept => kept(evidence),
        Question::Answered => answered(evidence),
        Question::Monitoring => monitoring(evidence),
        Question::Protected => protected(evidence),
        Question::Logged => {
            let (standing, finding, files) = changes(evidence);
            let finding = format!("{finding} What administrators do elsewhere is not in it.");
            (standing.at_most_partly(), finding, files)
        }
        _ => changes(evidence),
    }
}

fn approved(evidence: &Evidence) -> Assessment {
    let figures = &evidence.figures;
    let standing = match figures.edges {
        0 => Standing::Nothing,
        all => share(figures.approved, all),
    };
    (
        standing,
        format!(
            "{} of {} observed edges are allowed by rules that somebody approved.",
            figures.approved, figures.edges
        ),
        &["edges.csv", "record.jsonl"],
    )
}

/// Answers whether the approved policies were in the cluster, and nanoseg enforced them.
fn kept(evidence: &Evidence) -> Assessment {
    let figures = &evidence.figures;
    let left = evidence.lapses.iter().filter(|one| one.to.is_none());
    let left = left.count();
    let in_force = evidence.enforced.iter().filter(|one| one.to.is_none());
    let in_force = in_force.count();
    let was_whole = evidence.lapses.is_empty()
        && evidence.broken_glass.is_empty()
        && figures.drift_left + figures.keeping_ended == 0;
    let standing = match (in_force, left) {
        _ if evidence.enforced.is_empty() && evidence.lapses.is_empty() => Standing::Nothing,
        (0, 1..) => Standing::Gap,
        (_, 0) if was_whole => Standing::Shown,
        _ => Standing::Partly,
    };
    (
        standing,
        format!(
            "{} deviations from approved policies were put right, {} were left; break-glass took policies away {} times, and enforcement of a namespace ended {} times. At the end of the period {in_force} approved policies were in force, and {left} more were not as approved or kept by nobody.",
            figures.drift_repairs, figures.drift_left, figures.break_glass, figures.keeping_ended
        ),
        &["record.jsonl", "isolation.csv", "evidence.json"],
    )
}

fn answered(evidence: &Evidence) -> Assessment {
    let figures = &evidence.figures;
    let standing = match figures.violations {
        0 => Standing::Nothing,
        all => share(all - figures.violations_open.min(all), all),
    };
    (
        standing,
        format!(
            "{} violations were recorded in the period or open when it began; {} of them have no known answer.",
            figures.violations, figures.violations_open
        ),
        &["violations.csv", "record.jsonl"],
    )
}

fn monitoring(evidence: &Evidence) -> Assessment {
    let figures = &evidence.figures;
    (
        if_any(evidence.events.len()),
        format!(
            "{} violations and {} deviations were recorded; {} edges were seen and not learned; {} lines of the record are in the period.",
            figures.violations,
            figures.drift_repairs + figures.drift_left,
            figures.not_learned,
            evidence.events.len()
        ),
        &["record.jsonl", "violations.csv", "graph.json"],
    )
}

/// The chain has no key, so the record alone never proves it wholly.
fn protected(evidence: &Evidence) -> Assessment {
    let standing = match evidence.record.len() {
        0 => Standing::Nothing,
        _ => Standing::Partly,
    };
    (
        standing,
        "Every line holds the digest of the line before, so a person who keeps the head elsewhere notices a change; a person who can write the whole store can write another chain.".into(),
        &["record.jsonl", "manifest.json"],
    )
}

/// Actions that change which traffic is allowed, or whether this is enforced.
const CHANGES: [ActionKind; 15] = [
    ActionKind::Approved,
    ActionKind::AutoApproved,
    ActionKind::Rejected,
    ActionKind::ConnectionsRejected,
    ActionKind::OpeningExpired,
    ActionKind::RolledBack,
    ActionKind::AutoRolledBack,
    ActionKind::Applied,
    ActionKind::Deleted,
    ActionKind::Adopted,
    ActionKind::BreakGlassOn,
    ActionKind::BreakGlassOff,
    ActionKind::ModeChanged,
    ActionKind::SegmentationAdded,
    ActionKind::SegmentationRemoved,
];

fn changes(evidence: &Evidence) -> Assessment {
    let events = evidence.events.iter();
    let changes = events
        .filter(|one| CHANGES.contains(&one.entry.action.kind()))
        .count();
    (
        if_any(changes),
        format!(
            "{} decisions, {changes} changes in all and {} lines of the hash-chained record are in the period.",
            evidence.figures.decisions,
            evidence.events.len()
        ),
        &["record.jsonl", "evidence.json"],
    )
}

fn if_any(lines: usize) -> Standing {
    match lines {
        0 => Standing::Nothing,
        _ => Standing::Shown,
    }
}
