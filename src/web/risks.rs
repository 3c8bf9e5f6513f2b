//! The page of risks: vulnerable workloads and how near the internet is, findings, who sends most, and sudden changes.

use super::html::{Frame, NavEntry, moment, more, severity, size, table, tag, text};
use super::view::{View, workload_path};
use crate::finding::{Code, Finding};
use crate::inventory::{Grade, WorkloadId};
use crate::net::Timestamp;
use crate::report::words::thousands;
use crate::risk::{Talker, VolumeChange, VolumeReport, Weakness, talkers};
use maud::{Markup, html};

/// At most this many rows of each list are shown.
const MOST: usize = 200;
/// At most this many talkers are shown.
const TALKERS: usize = 20;
/// At most this many weaknesses are listed above the map.
const FIRST: usize = 5;

/// The page.
pub fn page(frame: &Frame, view: &View) -> String {
    let body = html! {
        (weaknesses(frame, view))
        (entries(frame, view))
        h2 { "Findings" } "\n"
        (findings(view.given.findings.iter(), view.given.can_decide))
        (volume(view))
    };
    frame.page(NavEntry::Risks, "Risks", &body)
}

/// `critical CVE, reachable from the internet through 2 hops`, coloured by how bad that is.
pub fn headline(weakness: &Weakness) -> Markup {
    let class = match (weakness.grade, weakness.hops) {
        (_, Weakness::UNREACHABLE) => "low",
        (Grade::Critical, _) => "high",
        (Grade::High, _) => "medium",
        _ => "low",
    };
    tag(class, &weakness.headline())
}

/// The worst weaknesses that the internet reaches, for the head of a page; empty if there are none.
pub fn first(frame: &Frame, view: &View) -> Markup {
    let urgent: Vec<&Weakness> = view.urgent().collect();
    let rest = urgent.len().saturating_sub(FIRST);
    html! {
        @if !urgent.is_empty() {
            ul.first {
                "\n"
                @for weakness in urgent.iter().take(FIRST) {
                    li { (link(frame, &weakness.workload)) " " (headline(weakness)) } "\n"
                }
                @if rest > 0 {
                    li { (frame.link("risks", &format!("and {rest} more"))) } "\n"
                }
            }
            "\n"
        }
    }
}

fn link(frame: &Frame, id: &WorkloadId) -> Markup {
    frame.link(&workload_path(id), &id.to_string())
}

fn weaknesses(frame: &Frame, view: &View) -> Markup {
    let row = |one: &Weakness| {
        let then = match view.distances[1].hops.get(&one.workload) {
            None => "not reachable".into(),
            Some(1) => "directly".into(),
            Some(hops) => format!("{hops} hops"),
        };
        vec![
            link(frame, &one.workload),
            headline(one),
            text(then),
            text(one.counts()),
        ]
    };
    let rows: Vec<Vec<Markup>> = view.weaknesses.iter().take(MOST).map(row).collect();
    let header = ["workload", "now", "with all proposals", "vulnerabilities"];
    html! {
        h2 { "Known vulnerabilities" } "\n"
        @if view.given.risk.vulnerabilities.is_empty() {
            p {
                "No scan is known. Give Trivy's JSON with --vulnerabilities; in a cluster the \
                 VulnerabilityReports of trivy-operator are read if there are any."
            }
            "\n"
        } @else if rows.is_empty() {
            p { "None in the images that run." } "\n"
        } @else {
            (table(&header, &rows))
            (more(rows.len(), view.weaknesses.len()))
        }
    }
}

fn entries(frame: &Frame, view: &View) -> Markup {
    let entries = &view.distances[0].entries;
    let rows: Vec<Vec<Markup>> = entries
        .iter()
        .take(MOST)
        .map(|(id, why)| {
            let why: Vec<String> = why.iter().map(ToString::to_string).collect();
            vec![link(frame, id), text(why.join(", "))]
        })
        .collect();
    html! {
        h2 { "Reached from outside" } "\n"
        @if rows.is_empty() {
            p { "No workload." } "\n"
        } @else {
            (table(&["workload", "by"], &rows))
            (more(rows.len(), entries.len()))
        }
    }
}

/// What to do about a finding. A cluster has no snapshot that somebody could make again.
pub fn remedy(code: Code, is_live: bool) -> &'static str {
    match code {
        Code::MissingEndpointSlices
        | Code::MissingOwners
        | Code::MissingNodes
        | Code::MissingNamespaces
            if is_live =>
        {
            "Allow listing them: deploy/ has the rights of the controller, and nanoseg-viewer those of a person who looks."
        }
        _ => code.remedy(),
    }
}

/// A table of findings, the worst first.
pub fn findings<'a>(all: impl Iterator<Item = &'a Finding>, is_live: bool) -> Markup {
    let mut all: Vec<&Finding> = all.collect();
    all.sort_by_key(|one| (one.severity, one.code.name(), &one.subject, &one.message));
    all.dedup();
    let row = |one: &&Finding| {
        let subject = match (is_live, one.subject.as_str()) {
            (true, "snapshot") => "cluster",
            (_, subject) => subject,
        };
        vec![
            severity(&one.severity.to_string()),
            text(one.code.name()),
            text(subject),
            text(&one.message),
            text(remedy(one.code, is_live)),
        ]
    };
    let rows: Vec<Vec<Markup>> = all.iter().take(MOST).map(row).collect();
    let header = ["severity", "code", "about", "finding", "what to do"];
    html! {
        @if rows.is_empty() {
            p { "None." } "\n"
        } @else {
            (table(&header, &rows))
            (more(rows.len(), all.len()))
        }
    }
}

fn volume(view: &View) -> Markup {
    let row = |one: &Talker| {
        vec![
            text(super::edge::name(&view.given.graph, &one.peer)),
            text(size(one.sent_bytes)),
            text(size(one.received_bytes)),
            text(thousands(one.connections)),
        ]
    };
    let report = view.given.volume.as_ref();
    let talkers = match report {
        Some(report) => report.talkers.clone(),
        None => talkers(&view.given.graph),
    };
    let busy = talkers.iter().filter(|one| one.connections > 0);
    let rows: Vec<Vec<Markup>> = busy.take(TALKERS).map(row).collect();
    let header = ["peer", ">sent", ">received", ">connections"];
    html! {
        h2 { "Busiest talkers" } "\n"
        @if let Some(report) = report { (span(report)) }
        (table(&header, &rows))
        h2 { "Sudden changes in volume" } "\n"
        @match report {
            Some(report) => { (sudden_changes(report)) }
            None => {
                p {
                    "Not known: volume by the hour is in the controller's state, and published beside the record. nanoseg ui --state nanoseg.sqlite shows a copy of the state."
                }
                "\n"
            }
        }
    }
}

fn sudden_changes(report: &VolumeReport) -> Markup {
    let row = |one: &VolumeChange| {
        let amount = |value| {
            if one.in_bytes {
                size(value)
            } else {
                format!("{} connections", thousands(value))
            }
        };
        vec![
            text(one.subject()),
            moment(Timestamp::from_hour(one.hour)),
            text(amount(one.usual)),
            text(amount(one.now)),
        ]
    };
    let rows: Vec<Vec<Markup>> = report.changes.iter().take(MOST).map(row).collect();
    let header = ["edge", "hour from", ">usual per hour", ">in that hour"];
    html! {
        @if rows.is_empty() {
            p { "None in the last hour." } "\n"
        } @else {
            (table(&header, &rows))
        }
        (more(rows.len(), report.changes.len()))
    }
}

/// The hours of a report of volume.
fn span(report: &VolumeReport) -> Markup {
    let hours = [report.first_hour, report.last_hour];
    let [first, last] = hours.map(|hour| moment(Timestamp::from_hour(hour)));
    html! { p { "In the hours that began from " (first) " to " (last) "." } "\n" }
}
