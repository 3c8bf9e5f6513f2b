//! The queue of proposals, and one of them for who decides.

mod decision;
mod queue;

pub use queue::list;

use super::html::{Frame, Place, moment_of, more, part, severity, table, tag, text};
use super::policies::changes;
use super::risks;
use super::view::{View, proposal_workload, workload_path};
use crate::finding::Code;
use crate::inventory::WorkloadId;
use crate::report::words::count;
use crate::review::resources::{ChangeLine, Impact, Phase, PolicyProposal};
use kube::ResourceExt;
use std::fmt::Write as _;

fn risk(word: &str) -> String {
    let class = match word {
        "low" => "low",
        "medium" => "medium",
        _ => "high",
    };
    tag(
        class,
        if word.is_empty() {
            "unknown risk"
        } else {
            word
        },
    )
}

fn path(proposal: &PolicyProposal) -> String {
    let namespace = proposal.namespace().unwrap_or_default();
    format!(
        "proposal/{}/{}",
        part(&namespace),
        part(&proposal.name_any())
    )
}

/// Where a proposal is, in words.
fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Pending => "Pending",
        Phase::Approved => "Approved",
        Phase::Rejected => "Rejected",
        Phase::Applied => "Applied",
        Phase::Superseded => "Superseded",
        Phase::RolledBack => "Rolled back",
    }
}

/// One proposal; `None` if there is none of that name.
pub fn one(frame: &Frame, view: &View, namespace: &str, name: &str) -> Option<String> {
    let proposal = view.proposal(namespace, name)?;
    let (spec, review) = (&proposal.spec, &proposal.spec.review);
    let id = proposal_workload(proposal);
    let mut body = format!(
        "<p>{} {} for {}: {}</p>\n",
        risk(&review.risk),
        phase(proposal.phase()),
        frame.link(&workload_path(&id), &id.to_string()),
        text(&review.reason)
    );
    if let Some(status) = &proposal.status {
        let who = status.decided_by.as_deref().unwrap_or_default();
        let said = [status.reason.as_deref(), status.message.as_deref()];
        let said: Vec<&str> = said.into_iter().flatten().collect();
        if !who.is_empty() || !said.is_empty() {
            let _ = writeln!(body, "<p>{} {}</p>", text(who), text(said.join("; ")));
        }
    }
    if let Some(weakness) = view.weakness(&id) {
        let counts = text(weakness.counts());
        let _ = writeln!(body, "<p>{} {counts}</p>", risks::headline(weakness));
    }
    body.push_str(&figures(view, &id, review));
    body.push_str(&connections("Opens", &review.gained, review.gained_total));
    body.push_str(&findings(review, view.given.can_decide));
    body.push_str(&would_block(review));
    body.push_str(&evidence(review));
    // Of a first policy that is a long list.
    body.push_str(&connections("Closes", &review.lost, review.lost_total));
    let title = match &spec.base {
        Some(_) => "Policy, against the one that it changes",
        None => "Policy, the first of this workload",
    };
    let _ = write!(
        body,
        "<h2>{title}</h2>\n{}",
        changes(spec.base.as_ref(), &spec.policy)
    );
    body.push_str(&decide(frame, proposal, view.given.can_decide));
    Some(frame.page(Place::Proposals, &format!("Proposal {name}"), &body))
}

/// The form of what can be decided now.
fn decide(frame: &Frame, proposal: &PolicyProposal, can_decide: bool) -> String {
    let total = proposal.spec.review.would_block_total;
    let fields = match proposal.phase() {
        Phase::Pending if can_decide => {
            let read = format!(
                "I have read that {} would be blocked",
                count(total.into(), "recorded connection")
            );
            decision::fields(true, &decision::tick(proposal, &read))
        }
        Phase::Pending => return decision::fields(false, ""),
        Phase::Applied if can_decide => decision::undo(),
        _ => return String::new(),
    };
    format!(
        "<form method=\"post\" action=\"{}decide\">{}<input type=\"hidden\" name=\"one\" value=\"{}\">\n{fields}</form>\n",
        text(&frame.root),
        decision::NO_BUTTON,
        decision::value(proposal)
    )
}

fn figures(view: &View, id: &WorkloadId, review: &Impact) -> String {
    let radius = |side: usize| view.radii[side].get(id).copied().unwrap_or_default();
    let (now, then) = (radius(0), radius(1));
    let coverage = match review.coverage {
        Some(share) => format!("about {share} % of its edges were seen"),
        None => "too little was seen to estimate how much is missing".into(),
    };
    format!(
        "<ul class=\"figures\"><li>opens <b>{}</b>, closes <b>{}</b>, would block <b>{}</b></li>\
         <li>a break-in reaches <b>{}</b> workloads now, <b>{}</b> with all proposals</li><li>{coverage}</li></ul>\n",
        review.gained_total, review.lost_total, review.would_block_total, now.all, then.all
    )
}

fn connections(title: &str, list: &[ChangeLine], total: u32) -> String {
    let all = u64::from(total);
    if list.is_empty() {
        // Proposals of earlier versions list nothing that a first policy closes.
        return match all {
            0 => String::new(),
            _ => format!(
                "<h2>{title} {} of workloads</h2>\n<p>Everything that is not allowed, as the first policy of a workload \
                 does.</p>\n",
                count(all, "pair")
            ),
        };
    }
    let row = |one: &ChangeLine| vec![text(&one.client), text(&one.server), text(ports(one))];
    let rows: Vec<Vec<String>> = list.iter().map(row).collect();
    format!(
        "<h2>{title} {}</h2>\n{}{}",
        count(all, "connection"),
        table(&["client", "server", "ports"], &rows),
        more(list.len(), total as usize)
    )
}

fn ports(change: &ChangeLine) -> &str {
    match change.ports.as_str() {
        "All Connections" => "all ports",
        ports => ports,
    }
}

fn findings(review: &Impact, is_live: bool) -> String {
    if review.findings.is_empty() {
        return String::new();
    }
    let remedy = |code: &str| {
        let code = Code::ALL.iter().find(|one| one.name() == code);
        code.map(|code| risks::remedy(*code, is_live))
            .unwrap_or_default()
    };
    let rows: Vec<Vec<String>> = review
        .findings
        .iter()
        .map(|one| {
            vec![
                severity(&one.severity),
                text(&one.subject),
                text(&one.message),
                text(remedy(&one.code)),
            ]
        })
        .collect();
    format!(
        "<h2>Findings</h2>\n{}",
        table(&["severity", "about", "finding", "what to do"], &rows)
    )
}

fn would_block(review: &Impact) -> String {
    if review.would_block_total == 0 {
        return String::new();
    }
    let rows: Vec<Vec<String>> = review
        .would_block
        .iter()
        .map(|one| {
            vec![
                text(&one.client),
                text(&one.server),
                text(&one.port),
                one.connections.to_string(),
                moment_of(&one.last_seen),
            ]
        })
        .collect();
    let header = ["client", "server", "port", ">connections", "last seen"];
    format!(
        "<h2>Would block {}</h2>\n{}{}",
        count(review.would_block_total.into(), "recorded connection"),
        table(&header, &rows),
        more(rows.len(), review.would_block_total as usize)
    )
}

fn evidence(review: &Impact) -> String {
    let rows: Vec<Vec<String>> = review
        .evidence
        .iter()
        .map(|one| {
            vec![
                text(&one.client),
                text(&one.server),
                text(&one.port),
                one.connections.to_string(),
                moment_of(&one.first_seen),
                moment_of(&one.last_seen),
                text(one.samples.join(", ")),
                text(one.notes.join(", ")),
            ]
        })
        .collect();
    let header = [
        "client",
        "server",
        "port",
        ">connections",
        "first seen",
        "last seen",
        "for example",
        "notes",
    ];
    format!(
        "<h2>Evidence of what it allows</h2>\n{}{}",
        table(&header, &rows),
        more(rows.len(), review.evidence_total as usize)
    )
}
