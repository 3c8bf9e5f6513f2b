//! The learning estimate in words (rule: learning-estimate), the same way in every report.

use super::run::{EstimateDocument, RunReport};
use super::words::count;
use super::words::{duration, percent, thousands, time};
use nanoseg_graph::{Missing, Progress};
use nanoseg_net::SECOND;
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

/// What is known of a workload before there is a proposal, and what that waits for: `1 connection in 3 h from 1 client;
/// waits until its edge is seen in a second time window of 17 min, about 5 min`.
pub fn progress(progress: &Progress) -> String {
    let waits: Vec<String> = progress.missing.iter().map(missing_one).collect();
    let seen = seen_so_far(progress);
    if waits.is_empty() {
        return seen;
    }
    format!("{seen}; waits {}", waits.join(", and "))
}

fn seen_so_far(progress: &Progress) -> String {
    if progress.connections == 0 {
        return "no conversation seen".to_owned();
    }
    let clients = count(progress.clients.max(1) as u64, "client");
    let mut text = format!(
        "{} in {} from {clients}",
        count(progress.connections, "connection"),
        rough(progress.secs),
    );
    if progress.edges > 1 {
        let _ = write!(text, " over {}", count(progress.edges as u64, "edge"));
    }
    if let Some(coverage) = progress.coverage {
        // Rounded down, so that it is never more than what a proposal asks for.
        let _ = write!(
            text,
            ", about {} % of its edges seen",
            (coverage * 100.0).floor()
        );
    }
    text
}

fn missing_one(missing: &Missing) -> String {
    match missing {
        Missing::Traffic => "for its first conversation, nobody knows when".to_owned(),
        Missing::Duration { secs } => {
            format!(
                "for the rest of the minimum duration, about {}",
                rough(*secs)
            )
        }
        Missing::Windows {
            passed,
            wanted,
            window_secs,
            secs,
        } => format!(
            "for {} more time windows of {} to compare ({passed} of {wanted} have passed), about {}",
            wanted - passed,
            rough(window(*window_secs)),
            rough(*secs)
        ),
        Missing::SecondSight {
            once,
            of,
            window_secs,
            secs,
        } => {
            let which = match (*once, *of) {
                (1, 1) => "its edge is".to_owned(),
                (1, of) => format!("1 of its {of} edges is"),
                (once, of) if once == of => format!("its {of} edges are"),
                (once, of) => format!("{once} of its {of} edges are"),
            };
            let when = match secs {
                Some(secs) => format!("about {} if it stays open", rough(*secs)),
                None => "nobody knows when: not in use now".to_owned(),
            };
            let length = rough(window(*window_secs));
            format!(
                "until {which} seen by another client or in a second time window of {length}, {when}"
            )
        }
        Missing::Coverage {
            percent,
            wanted,
            lost,
        } => {
            let lost = match lost {
                0 => String::new(),
                lost => format!(" ({lost} % of the records were lost, which counts for a day)"),
            };
            format!(
                "until rare edges are seen again: {percent} % of {wanted} %{lost}, nobody knows when"
            )
        }
    }
}

fn window(secs: u64) -> i64 {
    i64::try_from(secs).unwrap_or(i64::MAX)
}

/// A length of time in steps that do not change all the time.
fn rough(secs: i64) -> String {
    let step = match secs {
        ..60 => 10,
        60..600 => 60,
        600..7_200 => 600,
        _ => 3_600,
    };
    let secs = secs.saturating_add(step - 1) / step * step;
    duration(secs.saturating_mul(SECOND))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_workload_waits_for_is_said_with_what_was_seen() {
        let pooled = Progress {
            edges: 1,
            connections: 1,
            clients: 1,
            secs: 3 * 3600,
            coverage: None,
            missing: vec![Missing::SecondSight {
                once: 1,
                of: 1,
                window_secs: 1024,
                secs: Some(280),
            }],
        };
        assert_eq!(
            progress(&pooled),
            "1 connection in 3 h from 1 client; waits until its edge is seen by another client or in a second time window of \
             20 min, about 5 min if it stays open"
        );
        let silent = Progress {
            missing: vec![Missing::Traffic, Missing::Duration { secs: 20 * 3600 }],
            ..Progress::default()
        };
        assert_eq!(
            progress(&silent),
            "no conversation seen; waits for its first conversation, nobody knows when, and for the rest of the minimum \
             duration, about 20 h"
        );
        let young = Progress {
            edges: 3,
            connections: 40,
            clients: 2,
            secs: 60,
            coverage: Some(0.919),
            missing: vec![
                Missing::Windows {
                    passed: 5,
                    wanted: 8,
                    window_secs: 16,
                    secs: 48,
                },
                Missing::Coverage {
                    percent: 91,
                    wanted: 95,
                    lost: 2,
                },
            ],
        };
        assert_eq!(
            progress(&young),
            "40 connections in 60 s from 2 clients over 3 edges, about 91 % of its edges seen; waits for 3 more time windows \
             of 20 s to compare (5 of 8 have passed), about 50 s, and until rare edges are seen again: 91 % of 95 % (2 % of \
             the records were lost, which counts for a day), nobody knows when"
        );
    }
}
