//! Answers to questions about the observed traffic.

use super::{Assessment, Question, Standing, share};
use crate::evidence::Evidence;
use crate::words::percent;

/// Below this estimated share of seen edges, a diagram shows only a part.
const ENOUGH: f64 = 0.95;

const GRAPH: &[&str] = &["graph.svg", "graph.json", "graph.csv", "hours.csv"];

/// Answers a question about traffic.
pub fn answer(question: Question, evidence: &Evidence) -> Assessment {
    let (standing, finding, files) = match question {
        Question::Authorised => authorised(evidence),
        Question::AccountData => account_data(evidence),
        _ => diagram(evidence),
    };
    (standing, finding, files)
}

/// Returns how much of the traffic the diagram shows.
fn diagram(evidence: &Evidence) -> Assessment {
    let figures = &evidence.figures;
    let standing = match (figures.edges, figures.coverage) {
        (0, _) => Standing::Nothing,
        (_, Some(seen)) if seen >= ENOUGH => Standing::Shown,
        _ => Standing::Partly,
    };
    (standing, drawn(evidence), GRAPH)
}

fn drawn(evidence: &Evidence) -> String {
    let figures = &evidence.figures;
    let implied = match figures.implied {
        0 => String::new(),
        some => format!(", and {some} that nobody saw and others imply"),
    };
    let seen = match figures.coverage {
        Some(seen) => format!(
            "about {} of all there are, estimated; below {} it counts as a part",
            percent(seen),
            percent(ENOUGH)
        ),
        None => "the total number cannot be estimated yet".into(),
    };
    format!(
        "{} edges were observed in the period and are drawn{implied}; {seen}.",
        figures.edges
    )
}

fn account_data(evidence: &Evidence) -> Assessment {
    let (standing, finding, files) = diagram(evidence);
    let finding = format!("{finding} Which of them carry account data nanoseg does not know.");
    (standing.at_most_partly(), finding, files)
}

/// An edge is documented if the diagram shows it, and authorised if a person approved it.
fn authorised(evidence: &Evidence) -> Assessment {
    let figures = &evidence.figures;
    let (documented, finding, _) = diagram(evidence);
    let standing = match (documented, &evidence.record_head, &evidence.record_broken) {
        (Standing::Nothing, ..) => Standing::Nothing,
        (_, None, _) => Standing::NotTold,
        (_, _, Some(_)) => Standing::Gap,
        (Standing::Partly, ..) => share(figures.approved, figures.edges).at_most_partly(),
        _ => share(figures.approved, figures.edges),
    };
    (
        standing,
        format!(
            "{finding} {} of {} are allowed by rules that somebody approved.",
            figures.approved, figures.edges
        ),
        &["edges.csv", "graph.json", "graph.svg"],
    )
}
