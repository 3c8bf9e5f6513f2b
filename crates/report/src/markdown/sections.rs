//! The sections of the report other than the policies.

use super::{heading, table};
use crate::escape::{code, markdown as text};
use crate::learning as words;
use crate::run::{Connection, RunReport, WorkloadEstimate, codes};
use crate::view::{OpenDirection, UnattributedEdge};
use crate::words::{bytes, count, large, plural, thousands, time};
use nanoseg_finding::{Finding, Severity};
use std::fmt::Write as _;

/// How many connections of a list are printed; `report.json` has all.
const MOST_CONNECTIONS: usize = 200;

/// The headline: can this be applied?
pub fn verdict(out: &mut String, run: &RunReport) {
    let proof = &run.proof;
    let sound = proof.blocked.is_empty()
        && (proof.observed_allowed >= proof.observed || !proof.blocked_by_existing.is_empty());
    let whole = run.view.is_complete()
        && proof.open.is_empty()
        && proof.unattributed.is_empty()
        && proof.blocked_by_existing.is_empty();
    let sentence = match (sound, whole, proof.excess_total) {
        (false, ..) => "**Not sound: do not apply.** The policies would block observed traffic.",
        (true, false, _) => {
            "**Sound for what was seen and can be named, which is not everything.** It is allowed; \
             what was not in view or has no name is listed under Proof."
        }
        (true, true, 0) => "**Sound and tight.** Everything observed is allowed, and nothing else.",
        (true, true, _) => {
            "**Sound, not tight.** Everything observed is allowed, and a little more."
        }
    };
    let _ = writeln!(out, "{sentence}\n");
    let mut rows = vec![
        vec![
            "Observed edges allowed".to_owned(),
            format!(
                "{} of {}",
                thousands(proof.observed_allowed),
                thousands(proof.observed)
            ),
        ],
        vec![
            "Allowed but unobserved".to_owned(),
            large(proof.excess_connections),
        ],
        vec![
            "Implied (allowed unseen, with a reason)".to_owned(),
            thousands(proof.implied.len() as u64),
        ],
        vec![
            "Not attributed (answered, nobody can name the other end)".to_owned(),
            thousands(proof.unattributed.len() as u64),
        ],
        vec![
            "Directions that stay open".to_owned(),
            thousands(proof.open.len() as u64),
        ],
        vec!["In view".to_owned(), text(&run.view.line())],
        vec!["Policies".to_owned(), thousands(run.policies.len() as u64)],
        vec![
            "Graph".to_owned(),
            format!(
                "{}, {}, {}",
                count(run.graph.peers_of("workload"), "workload"),
                count(run.graph.outside_peers(), "outside peer"),
                count(run.graph.edges_of("learned"), "learned edge")
            ),
        ],
        vec!["Learning".to_owned(), words::line_of(run)],
        vec!["Findings".to_owned(), finding_counts(run)],
    ];
    rows.extend(network_plugin(run));
    if let Some(folder) = &run.output
        && !run.policies.is_empty()
    {
        rows.push(vec![
            "Apply with".to_owned(),
            code(&format!("kubectl apply -k {folder}")),
        ]);
    }
    table(out, &["", ""], &rows);
}

/// Which network plugin the proof holds for; nothing where a finding says that it is not known.
fn network_plugin(run: &RunReport) -> Option<Vec<String>> {
    let plugin = &run.network_plugin;
    let row = || vec!["Network plugin".to_owned(), text(&plugin.to_string())];
    plugin.known.then(row)
}

fn finding_counts(run: &RunReport) -> String {
    let counts: Vec<String> = [Severity::Error, Severity::Warning, Severity::Note]
        .into_iter()
        .map(|severity| (run.findings_of(severity), severity))
        .filter(|(number, _)| *number > 0)
        .map(|(number, severity)| count(number, &severity.to_string()))
        .collect();
    if counts.is_empty() {
        "none".to_owned()
    } else {
        counts.join(", ")
    }
}

/// Findings by code, each code with its meaning and remedy once.
pub fn findings(out: &mut String, run: &RunReport) {
    heading(out, 2, "Findings");
    let findings = run.sorted_findings();
    if findings.is_empty() {
        out.push_str("None.\n");
        return;
    }
    for (number, code) in codes(&findings).into_iter().enumerate() {
        if number > 0 {
            out.push('\n');
        }
        let _ = writeln!(out, "### {}: {code}\n", code.severity());
        let _ = writeln!(
            out,
            "{} **Remedy:** {}\n",
            text(code.meaning()),
            text(code.remedy())
        );
        for finding in findings.iter().filter(|finding| finding.code == code) {
            item(out, finding);
        }
    }
}

fn item(out: &mut String, finding: &Finding) {
    let _ = writeln!(
        out,
        "- {} {}",
        code(&finding.subject),
        text(&finding.message)
    );
    for sample in &finding.samples {
        let _ = writeln!(out, "  - {}", code(sample));
    }
}

/// The evaluator's figures with every list that is not empty.
pub fn proof(out: &mut String, run: &RunReport) {
    let proof = &run.proof;
    heading(out, 2, "Proof");
    let _ = writeln!(
        out,
        "By an evaluator that shares no code with the generator: {} of {} allowed, {} allowed but unobserved.",
        thousands(proof.observed_allowed),
        count(proof.observed, "observed edge"),
        format_args!(
            "{} {}",
            large(proof.excess_connections),
            plural(proof.excess_connections, "connection")
        ),
    );
    let blocked = proof.blocked.len() as u64;
    connections(out, "Observed but blocked", &proof.blocked, blocked);
    let before = &proof.blocked_by_existing;
    let title = "Observed, and blocked by policies that were already there, as judged";
    connections(out, title, before, before.len() as u64);
    connections(
        out,
        "Allowed but unobserved",
        &proof.excess,
        proof.excess_connections,
    );
    connections(out, "Implied", &proof.implied, proof.implied.len() as u64);
    open_directions(out, run);
    unattributed(out, run);
    let existing = proof.existing_excess_connections;
    connections(
        out,
        "Left open by policies that were already there",
        &proof.existing_excess,
        existing,
    );
}

/// The directions that no policy isolates.
fn open_directions(out: &mut String, run: &RunReport) {
    let open = &run.proof.open;
    if open.is_empty() {
        return;
    }
    heading(
        out,
        3,
        &format!("Stays open ({})", thousands(open.len() as u64)),
    );
    let row = |one: &OpenDirection| {
        let reasons: Vec<String> = one.reasons.iter().map(|reason| text(reason)).collect();
        vec![
            code(&one.workload.to_string()),
            one.direction.to_string(),
            reasons.join("; "),
        ]
    };
    let rows: Vec<Vec<String>> = open.iter().take(MOST_CONNECTIONS).map(row).collect();
    table(out, &["Workload", "Direction", "Why"], &rows);
}

/// Answered traffic with somebody whom nobody can name.
fn unattributed(out: &mut String, run: &RunReport) {
    let edges = &run.proof.unattributed;
    if edges.is_empty() {
        return;
    }
    heading(
        out,
        3,
        &format!("Not attributed ({})", thousands(edges.len() as u64)),
    );
    let row = |edge: &UnattributedEdge| {
        vec![
            code(&edge.workload.to_string()),
            edge.direction.to_string(),
            code(&edge.peer),
            format!("{}/{}", edge.port, edge.protocol),
            thousands(edge.connections),
            edge.reason.to_owned(),
        ]
    };
    let rows: Vec<Vec<String>> = edges.iter().take(MOST_CONNECTIONS).map(row).collect();
    table(
        out,
        &[
            "Workload",
            "Direction",
            "Other end",
            "Port",
            ">Connections",
            "Reason",
        ],
        &rows,
    );
}

fn connections(out: &mut String, title: &str, list: &[Connection], total: u64) {
    if list.is_empty() && total == 0 {
        return;
    }
    heading(out, 3, &format!("{title} ({})", large(total)));
    let rows: Vec<Vec<String>> = list
        .iter()
        .take(MOST_CONNECTIONS)
        .map(|connection| {
            vec![
                code(&connection.client),
                code(&connection.server),
                text(&connection.ports),
                large(connection.count),
                connection.reason.as_deref().map(text).unwrap_or_default(),
            ]
        })
        .collect();
    table(
        out,
        &["Client", "Server", "Ports", ">Count", "Reason"],
        &rows,
    );
    if list.len() > MOST_CONNECTIONS {
        let more = count((list.len() - MOST_CONNECTIONS) as u64, "more line");
        let _ = writeln!(out, "\n… and {more} in `report.json`.");
    }
}

/// The learning estimate, overall and per workload.
pub fn learning(out: &mut String, run: &RunReport) {
    heading(out, 2, "Learning");
    let overall = &run.learning.overall;
    let of = if run.view.is_complete() {
        "Overall"
    } else {
        "Of what was in view,"
    };
    let _ = writeln!(out, "{of} {}.", text(&words::line(overall)));
    let sentences = [words::missing(overall), words::confidence(overall)];
    for sentence in sentences.into_iter().flatten() {
        let _ = writeln!(out, "{}", text(&sentence));
    }
    if run.learning.workloads.is_empty() {
        return;
    }
    out.push('\n');
    let row = |line: &WorkloadEstimate| {
        let mut row = vec![code(&line.workload.to_string())];
        row.extend(words::cells(&line.estimate).iter().map(|cell| text(cell)));
        row
    };
    let rows: Vec<Vec<String>> = run.learning.workloads.iter().map(row).collect();
    table(out, &words::HEADER, &rows);
}

/// What was seen but not learned.
pub fn unlearned(out: &mut String, run: &RunReport) {
    let rows: Vec<Vec<String>> = run
        .graph
        .edges
        .iter()
        .filter(|edge| matches!(edge.lesson.kind, "review" | "ignored"))
        .map(|edge| {
            vec![
                code(&edge.client),
                code(&edge.server),
                format!("{}/{}", edge.port, edge.protocol),
                edge.lesson.kind.to_owned(),
                thousands(edge.connections),
                edge.lesson.reason.as_deref().map(text).unwrap_or_default(),
            ]
        })
        .collect();
    if rows.is_empty() {
        return;
    }
    heading(
        out,
        2,
        &format!("Seen but not learned ({})", thousands(rows.len() as u64)),
    );
    let shown = rows.get(..MOST_CONNECTIONS).unwrap_or(&rows);
    table(
        out,
        &[
            "Client",
            "Server",
            "Port",
            "Lesson",
            ">Connections",
            "Reason",
        ],
        shown,
    );
    if rows.len() > shown.len() {
        let more = count((rows.len() - shown.len()) as u64, "more line");
        let _ = writeln!(out, "\n… and {more} in `report.json`.");
    }
}

/// What was not read, by reason.
pub fn skipped(out: &mut String, run: &RunReport) {
    heading(out, 2, "Skipped");
    if run.skipped.values().all(|number| *number == 0) {
        out.push_str("Nothing.\n");
        return;
    }
    let rows: Vec<Vec<String>> = run
        .skipped
        .iter()
        .map(|(reason, number)| vec![text(reason), thousands(*number)])
        .collect();
    table(out, &["Reason", ">Count"], &rows);
}

/// What was read.
pub fn inputs(out: &mut String, run: &RunReport) {
    heading(out, 2, "Inputs");
    if !run.inputs.captures.is_empty() || run.inputs.flows.is_empty() {
        captures(out, run);
    }
    if !run.inputs.flows.is_empty() {
        flows(out, run);
    }
    let snapshots: Vec<Vec<String>> = run
        .inputs
        .snapshots
        .iter()
        .map(|snapshot| vec![code(&snapshot.name), thousands(snapshot.objects)])
        .collect();
    table(out, &["Snapshot", ">Objects"], &snapshots);
}

fn flows(out: &mut String, run: &RunReport) {
    let logs = run.inputs.flows.iter();
    let rows: Vec<Vec<String>> = logs
        .map(|log| {
            vec![
                code(&log.name),
                log.format.to_owned(),
                thousands(log.flows),
                thousands(log.names),
                bytes(log.bytes),
                log.first.map(time).unwrap_or_default(),
                log.last.map(time).unwrap_or_default(),
            ]
        })
        .collect();
    let titles = [
        "Flow log",
        "Form",
        ">Flows",
        ">Names",
        ">Size",
        "First (UTC)",
        "Last (UTC)",
    ];
    table(out, &titles, &rows);
    out.push('\n');
}

fn captures(out: &mut String, run: &RunReport) {
    let captures: Vec<Vec<String>> = run
        .inputs
        .captures
        .iter()
        .map(|capture| {
            vec![
                code(&capture.name),
                thousands(capture.packets),
                bytes(capture.bytes),
                capture.first.map(time).unwrap_or_default(),
                capture.last.map(time).unwrap_or_default(),
            ]
        })
        .collect();
    table(
        out,
        &["Capture", ">Packets", ">Size", "First (UTC)", "Last (UTC)"],
        &captures,
    );
    out.push('\n');
}
