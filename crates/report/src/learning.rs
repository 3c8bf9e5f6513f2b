//! The learning estimate in words (rule: learning-estimate), the same way in every report.

use super::run::{EstimateDocument, RunReport};
use super::words::{duration, percent, thousands, time};
use std::fmt::Write as _;

/// The columns of [`cells`], with the workload before them. One that begins with `>` is right-aligned.
pub const HEADER: [&str; 6] = [
    "Workload",
    ">Edges",
    ">Seen",
    ">Still unseen",
    "Last new edge (UTC)",
    "Confidence",
];

/// The estimate of a run in one line: it speaks for what was in view only.
pub fn line_of(run: &RunReport) -> String {
    let line = line(&run.learning.overall);
    if run.view.is_complete() {
        line
    } else {
        format!("of what was in view: {line}")
    }
}

/// In one line.
pub fn line(estimate: &EstimateDocument) -> String {
    let Some(coverage) = estimate.coverage else {
        return "too little traffic to tell how much is still unseen".to_owned();
    };
    let unseen = match bounds(estimate) {
        (0, 0) => "none expected unseen".to_owned(),
        (low, high) if low == high => format!("{} still unseen", thousands(low)),
        (low, high) => format!("{}–{} still unseen", thousands(low), thousands(high)),
    };
    let mut text = format!("about {} of edges seen, {unseen}", percent(coverage));
    if let (Some(new), Some(end)) = (estimate.last_new_edge, estimate.end) {
        let _ = write!(
            text,
            " · last new edge {} before the end",
            duration(end.since(new))
        );
    }
    text
}

/// The share of future connections that would use an unseen edge (Good–Turing), as a sentence.
pub fn missing(estimate: &EstimateDocument) -> Option<String> {
    let share = match estimate.missing_mass? {
        share if share < 0.01 => "Fewer than 1 %".to_owned(),
        share => format!("About {}", percent(share)),
    };
    Some(format!(
        "{share} of future connections would use an edge that is still unseen."
    ))
}

/// How far the figures can be trusted, as a sentence.
pub fn confidence(estimate: &EstimateDocument) -> Option<String> {
    let text = estimate.confidence.trim_end_matches('.');
    (!text.is_empty()).then(|| format!("Confidence: {text}."))
}

/// How many edges are still unseen; `?` if there is too little traffic for an estimate.
pub fn unseen(estimate: &EstimateDocument) -> String {
    match bounds(estimate) {
        _ if estimate.coverage.is_none() => "?".to_owned(),
        (low, high) if low == high => low.to_string(),
        (low, high) => format!("{low}–{high}"),
    }
}

/// The share of edges seen; `?` if there is too little traffic for an estimate.
pub fn seen(estimate: &EstimateDocument) -> String {
    estimate.coverage.map_or_else(|| "?".to_owned(), percent)
}

/// The rest of a row under [`HEADER`].
pub fn cells(estimate: &EstimateDocument) -> [String; 5] {
    [
        thousands(estimate.edges),
        seen(estimate),
        unseen(estimate),
        estimate.last_new_edge.map(time).unwrap_or_default(),
        estimate.confidence.clone(),
    ]
}

fn bounds(estimate: &EstimateDocument) -> (u64, u64) {
    let low = estimate.unseen_low;
    (low, estimate.unseen_high.max(low))
}
