//! How it stands with what the record tells.

use super::{Answer, Question, Standing, share};
use crate::report::evidence::Evidence;

/// The answer to a question of the record.
pub fn answer(question: Question, evidence: &Evidence) -> Answer {
    let (standing, finding, files) = told(question, evidence);
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

fn told(question: Question, evidence: &Evidence) -> Answer {
    let figures = &evidence.figures;
    let told_if = |is_told: bool, standing| if is_told { standing } else { Standing::NotTold };
    match question {
        Question::Approved => (
            share(figures.approved, figures.edges),
            format!(
                "{} of {} observed edges are allowed by rules that somebody approved.",
                figures.approved, figures.edges
            ),
            &["edges.csv", "record.jsonl"],
        ),
        Question::Kept => (
            told_if(!evidence.enforced.is_empty(), {
                match evidence.broken_glass.is_empty() {
                    true => Standing::Shown,
                    false => Standing::Partly,
                }
            }),
            format!(
                "{} deviations from approved policies were put right; break-glass took policies away {} times.",
                figures.drift_repairs, figures.break_glass
            ),
            &["record.jsonl", "isolation.csv", "evidence.json"],
        ),
        Question::Answered => (
            match figures.violations {
                0 => told_if(!evidence.enforced.is_empty(), Standing::Shown),
                all => share(all - figures.violations_open, all),
            },
            format!(
                "{} violations were recorded in the period or open when it began; {} of them have no known answer.",
                figures.violations, figures.violations_open
            ),
            &["violations.csv", "record.jsonl"],
        ),
        Question::Monitoring => (
            Standing::Shown,
            format!(
                "{} violations and {} drift repairs were recorded; {} edges were seen and not learned.",
                figures.violations, figures.drift_repairs, figures.not_learned
            ),
            &["record.jsonl", "violations.csv", "graph.json"],
        ),
        // The chain has no key.
        Question::Protected => (
            Standing::Partly,
            "Every line holds the digest of the line before, so a change shows to whoever keeps the head elsewhere; who can write the whole store can write another chain.".into(),
            &["record.jsonl", "manifest.json"],
        ),
        _ => (
            Standing::Shown,
            format!(
                "{} decisions and {} lines of the hash-chained record are in the period.",
                figures.decisions,
                evidence.events.len()
            ),
            &["record.jsonl", "evidence.json"],
        ),
    }
}
