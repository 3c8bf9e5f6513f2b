//! Answers to questions about whether policies do what they say: by what was tried, where something was.

use super::{Assessment, Question, Standing, share};
use crate::evidence::{Evidence, Tested};

const EVALUATED: &[&str] = &["evidence.json", "policies/"];
const TRIED: &[&str] = &["probe.json", "evidence.json", "policies/"];

/// Answers a question about tests.
pub fn answer(question: Question, evidence: &Evidence) -> Assessment {
    match (question, evidence.last_test()) {
        (Question::Enforced, None) => not_tried(evidence),
        (Question::Enforced, Some(test)) => (enforced(test), words(test), TRIED),
        (_, None) => evaluated(evidence),
        (_, Some(test)) => {
            let (standing, finding, _) = evaluated(evidence);
            let standing = tested(evidence, test, standing);
            (standing, format!("{} {finding}", words(test)), TRIED)
        }
    }
}

fn not_tried(evidence: &Evidence) -> Assessment {
    let (verdict, plugin) = (&evidence.verdict, &evidence.network_plugin);
    if !plugin.enforces {
        let said = format!("The network plugin enforces no policy: {plugin}.");
        return (Standing::Gap, said, &["evidence.json"]);
    }
    (
        Standing::NotTold,
        format!(
            "Network plugin: {plugin}. nanoseg works out what policies allow and does not try it: test the plugin itself, or with nanoseg probe. {} of {} observed edges are not allowed by the policies of the end of the period.",
            verdict.observed - verdict.allowed.min(verdict.observed),
            verdict.observed
        ),
        &["evidence.json"],
    )
}

fn evaluated(evidence: &Evidence) -> Assessment {
    let (figures, verdict) = (&evidence.figures, &evidence.verdict);
    let standing = match (verdict.observed, verdict.would_block.len()) {
        (0, _) => Standing::Nothing,
        // A computed result is not a test.
        (_, 0) => share(figures.isolated, figures.workloads).at_most_partly(),
        _ => Standing::Partly,
    };
    (
        standing,
        format!(
            "By evaluation, not by trying: {} of {} observed edges are allowed; {} pairs of client and server{} are allowed beyond what was observed.",
            verdict.allowed,
            verdict.observed,
            verdict.unused_total,
            verdict.unused_connections_text()
        ),
        EVALUATED,
    )
}

/// What was tried proves itself only: everything in scope must be isolated, and each policy seen to stop something.
fn tested(evidence: &Evidence, test: &Tested, evaluated: Standing) -> Standing {
    let (figures, verdict) = (&evidence.figures, &evidence.verdict);
    let whole = share(figures.isolated, figures.workloads);
    match enforced(test) {
        Standing::Gap => Standing::Gap,
        _ if !verdict.would_block.is_empty() => Standing::Partly,
        Standing::Shown => whole,
        Standing::Partly => whole.at_most_partly(),
        Standing::Nothing | Standing::NotTold => evaluated,
    }
}

fn enforced(test: &Tested) -> Standing {
    match test.figures.differences() {
        _ if !test.counts() => Standing::NotTold,
        0 if test.figures.denied_confirmed == 0 => Standing::NotTold,
        0 if test.is_complete() && test.figures.allowed_confirmed > 0 => Standing::Shown,
        0 => Standing::Partly,
        _ => Standing::Gap,
    }
}

fn words(test: &Tested) -> String {
    let figures = &test.figures;
    let counts = match (test.is_in_period, test.changed_policies.len()) {
        (false, _) => " It does not count: it is not of this period.".to_owned(),
        (true, 0) => String::new(),
        (true, some) => {
            format!(" It does not count: {some} policies were other ones then.")
        }
    };
    format!(
        "By trying {} connections from inside pods: {} that are allowed get through, {} that are denied are stopped, {} are otherwise than evaluated, of {} nothing can be told; the policies of {} of {} isolated workloads were seen to stop something.{counts}",
        figures.tried,
        figures.allowed_confirmed,
        figures.denied_confirmed,
        figures.differences(),
        figures.not_told,
        test.stopping,
        test.isolated
    )
}
