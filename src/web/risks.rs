//! What stands around the traffic: vulnerable workloads and how near the internet is, findings, who sends most,
//! and what suddenly changed.

use super::html::{Frame, Place, moment, more, severity, size, table, tag, text};
use super::view::{View, workload_path};
use crate::finding::{Code, Finding};
use crate::inventory::{Grade, WorkloadId};
use crate::net::Timestamp;
use crate::report::words::thousands;
use crate::risk::{Talker, VolumeChange, VolumeReport, Weakness, talkers};
use std::fmt::Write as _;

/// So many lines of each list are shown.
const MOST: usize = 200;
/// So many talkers are.
const TALKERS: usize = 20;
/// So many weaknesses are said above the map and the queue.
const FIRST: usize = 5;

/// The page.
pub fn page(frame: &Frame, view: &View) -> String {
    let mut body = weaknesses(frame, view);
    body.push_str(&entries(frame, view));
    body.push_str(&format!(
        "<h2>Findings</h2>\n{}",
        findings(view.given.findings.iter(), view.given.can_decide)
    ));
    body.push_str(&volume(view));
    frame.page(Place::Risks, "Risks", &body)
}

/// `critical CVE, reachable from the internet through 2 hops`, coloured by how bad that is.
pub fn headline(weakness: &Weakness) -> String {
    let class = match (weakness.grade, weakness.hops) {
        (_, Weakness::UNREACHABLE) => "low",
        (Grade::Critical, _) => "high",
        (Grade::High, _) => "medium",
        _ => "low",
    };
    tag(class, &weakness.headline())
}

/// The worst weaknesses that the internet reaches, for the head of a page; empty where there are none.
pub fn first(frame: &Frame, view: &View) -> String {
    let urgent: Vec<&Weakness> = view.urgent().collect();
    if urgent.is_empty() {
        return String::new();
    }
    let mut out = String::from("<ul class=\"first\">\n");
    for weakness in urgent.iter().take(FIRST) {
        let _ = writeln!(
            out,
            "<li>{} {}</li>",
            link(frame, &weakness.workload),
            headline(weakness)
        );
    }
    if urgent.len() > FIRST {
        let more = format!("and {} more", urgent.len() - FIRST);
        let _ = writeln!(out, "<li>{}</li>", frame.link("risks", &more));
    }
    out.push_str("</ul>\n");
    out
}

fn link(frame: &Frame, id: &WorkloadId) -> String {
    frame.link(&workload_path(id), &id.to_string())
}

fn weaknesses(frame: &Frame, view: &View) -> String {
    let title = "<h2>Known vulnerabilities</h2>\n";
    if view.given.risk.vulnerabilities.is_empty() {
        return format!(
            "{title}<p>No scan is known. Give Trivy's JSON with --vulnerabilities; in a cluster the \
             VulnerabilityReports of trivy-operator are read where there are some.</p>\n"
        );
    }
    if view.weaknesses.is_empty() {
        return format!("{title}<p>None in the images that run.</p>\n");
    }
    let row = |one: &Weakness| {
        let then = view.distances[1].hops.get(&one.workload);
        let then = then.map_or("not reachable".into(), |hops| match hops {
            1 => "directly".into(),
            hops => format!("{hops} hops"),
        });
        vec![
            link(frame, &one.workload),
            headline(one),
            text(then),
            text(one.counts()),
        ]
    };
    let rows: Vec<Vec<String>> = view.weaknesses.iter().take(MOST).map(row).collect();
    let header = ["workload", "now", "with all proposals", "vulnerabilities"];
    format!(
        "{title}{}{}",
        table(&header, &rows),
        more(rows.len(), view.weaknesses.len())
    )
}

fn entries(frame: &Frame, view: &View) -> String {
    let title = "<h2>Reached from outside</h2>\n";
    let entries = &view.distances[0].entries;
    if entries.is_empty() {
        return format!("{title}<p>No workload.</p>\n");
    }
    let rows: Vec<Vec<String>> = entries
        .iter()
        .take(MOST)
        .map(|(id, why)| {
            let why: Vec<String> = why.iter().map(ToString::to_string).collect();
            vec![link(frame, id), text(why.join(", "))]
        })
        .collect();
    format!(
        "{title}{}{}",
        table(&["workload", "by"], &rows),
        more(rows.len(), entries.len())
    )
}

/// What to do about a finding. In a cluster there is no snapshot that somebody could make anew.
pub fn remedy(code: Code, is_live: bool) -> &'static str {
    match code {
        Code::MissingEndpointSlices
        | Code::MissingOwners
        | Code::MissingNodes
        | Code::MissingNamespaces
            if is_live =>
        {
            "See that they may be listed: deploy/ has the rights of the controller, and nanoseg-viewer those of who looks."
        }
        _ => code.remedy(),
    }
}

/// A table of findings, the worst first.
pub fn findings<'a>(all: impl Iterator<Item = &'a Finding>, is_live: bool) -> String {
    let mut all: Vec<&Finding> = all.collect();
    all.sort_by_key(|one| (one.severity, one.code.name(), &one.subject, &one.message));
    all.dedup();
    if all.is_empty() {
        return "<p>None.</p>\n".into();
    }
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
    let rows: Vec<Vec<String>> = all.iter().take(MOST).map(row).collect();
    let header = ["severity", "code", "about", "finding", "what to do"];
    format!("{}{}", table(&header, &rows), more(rows.len(), all.len()))
}

fn volume(view: &View) -> String {
    let row = |one: &Talker| {
        vec![
            text(super::edge::name(&view.given.graph, &one.peer)),
            size(one.sent_bytes),
            size(one.received_bytes),
            thousands(one.connections),
        ]
    };
    let report = view.given.volume.as_ref();
    let (talkers, since) = match report {
        Some(report) => (report.talkers.clone(), span(report)),
        None => (talkers(&view.given.graph), String::new()),
    };
    let busy = talkers.iter().filter(|one| one.connections > 0);
    let rows: Vec<Vec<String>> = busy.take(TALKERS).map(row).collect();
    let header = ["peer", ">sent", ">received", ">connections"];
    let mut out = format!(
        "<h2>Busiest talkers</h2>\n{since}{}<h2>Sudden changes in volume</h2>\n",
        table(&header, &rows)
    );
    let Some(report) = report else {
        out.push_str(
            "<p>Not known: volume by the hour is in the controller's state, and beside the record that it \
             publishes. nanoseg ui --state nanoseg.sqlite shows a copy of the state.</p>\n",
        );
        return out;
    };
    let row = |one: &VolumeChange| {
        let amount = |value| match one.in_bytes {
            true => size(value),
            false => format!("{} connections", thousands(value)),
        };
        vec![
            text(one.subject()),
            moment(Timestamp::from_hour(one.hour)),
            amount(one.usual),
            amount(one.now),
        ]
    };
    let rows: Vec<Vec<String>> = report.changes.iter().take(MOST).map(row).collect();
    match rows.is_empty() {
        true => out.push_str("<p>None in the last hour.</p>\n"),
        false => out.push_str(&table(
            &["edge", "hour from", ">usual per hour", ">in that hour"],
            &rows,
        )),
    }
    out.push_str(&more(rows.len(), report.changes.len()));
    out
}

/// Of which hours it is.
fn span(report: &VolumeReport) -> String {
    let hours = [report.first_hour, report.last_hour];
    let [first, last] = hours.map(|hour| moment(Timestamp::from_hour(hour)));
    format!("<p>In the hours that began from {first} to {last}.</p>\n")
}
