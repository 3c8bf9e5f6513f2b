//! The queue of proposals, and the page of one of them.

mod decision;
mod queue;

pub use queue::list;

use super::html::{Frame, NavEntry, moment_of, more, part, severity, table, tag, text};
use super::policies::changes;
use super::risks;
use super::view::{View, proposal_workload, workload_path};
use crate::finding::Code;
use crate::inventory::WorkloadId;
use crate::report::words::count;
use crate::review::outline::{self, OutlineLine};
use crate::review::resources::{
    ChangeLine, ConnectionRef, Impact, Phase, PolicyProposal, PolicyProposalStatus, RefusedLine,
};
use kube::ResourceExt;
use maud::{Markup, html};

fn risk(word: &str) -> Markup {
    match word {
        "" => tag("high", "unknown risk"),
        "low" | "medium" => tag(word, word),
        _ => tag("high", word),
    }
}

fn path(proposal: &PolicyProposal) -> String {
    let namespace = proposal.namespace().unwrap_or_default();
    format!(
        "proposal/{}/{}",
        part(&namespace),
        part(&proposal.name_any())
    )
}

/// The phase of a proposal in words.
fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Pending => "Pending",
        Phase::Approved => "Approved",
        Phase::Rejected => "Rejected",
        Phase::Applied => "Applied",
        Phase::Superseded => "Superseded",
        Phase::RolledBack => "Rolled back",
        Phase::Expired => "Taken back",
    }
}

/// The page of one proposal; `None` if there is none of that name.
pub fn one(frame: &Frame, view: &View, namespace: &str, name: &str) -> Option<String> {
    let proposal = view.proposal(namespace, name)?;
    let (spec, review) = (&proposal.spec, &proposal.spec.review);
    let id = proposal_workload(proposal);
    let title = match &spec.base {
        Some(_) => "Policy, against the one that it changes",
        None => "Policy, the first of this workload",
    };
    let body = html! {
        p {
            (risk(&review.risk)) " " (phase(proposal.phase())) " for "
            // A namespace's default deny is of no workload.
            @if view.workload(&id.namespace, &id.kind, &id.name).is_some() {
                (frame.link(&workload_path(&id), &id.to_string()))
            } @else {
                (id.to_string())
            }
            ": " (review.reason)
        }
        "\n"
        @if let Some(status) = &proposal.status { (decided(status)) }
        @if let Some(weakness) = view.weakness(&id) {
            p { (risks::headline(weakness)) " " (weakness.counts()) } "\n"
        }
        (figures(view, &id, review))
        (outlined(proposal, &id))
        @if spec.base.is_some() || review.closed_groups.is_empty() {
            (connections("Opens", &review.gained, review.gained_total))
        }
        (would_block(review))
        (refused(review))
        (findings(review, view.given.can_decide))
        (evidence(review))
        // A first policy closes everything else: the outline says it.
        @if spec.base.is_some() || review.closed_groups.is_empty() {
            (connections("Closes", &review.lost, review.lost_total))
        }
        h2 { (title) } "\n"
        (changes(spec.base.as_ref(), &spec.policy))
        (decide(frame, proposal, view.given.can_decide))
    };
    Some(frame.page(NavEntry::Proposals, &format!("Proposal {name}"), &body))
}

/// Who decided, and why; empty if nobody did.
fn decided(status: &PolicyProposalStatus) -> Markup {
    let who = status.decided_by.as_deref().unwrap_or_default();
    let why = [status.reason.as_deref(), status.message.as_deref()];
    let why: Vec<&str> = why.into_iter().flatten().collect();
    let without = status.except.iter().filter_map(ConnectionRef::connection);
    let without: Vec<String> = without.map(|one| one.to_string()).collect();
    html! {
        @if let Some(until) = &status.open_until {
            p { "What it opens is closed again at " (moment_of(&until.0.to_string())) "." } "\n"
        }
        @if !without.is_empty() {
            p { "Approved without " (without.join(", ")) "." } "\n"
        }
        @if !who.is_empty() || !why.is_empty() {
            p { (who) " " (why.join("; ")) } "\n"
        }
    }
}

/// The form of what can be decided now.
fn decide(frame: &Frame, proposal: &PolicyProposal, can_decide: bool) -> Markup {
    let total = proposal.spec.review.would_block_total;
    let tick = || {
        let read = format!(
            "I have read that {} would be blocked",
            count(total.into(), "recorded connection")
        );
        decision::tick(proposal, &read)
    };
    let fields = match proposal.phase() {
        Phase::Pending if can_decide => {
            let terms = html! {
                (tick()) (decision::ticks(proposal)) (decision::duration(proposal))
            };
            decision::fields(true, &terms)
        }
        Phase::Pending => return decision::fields(false, &html! {}),
        Phase::Applied if can_decide => decision::undo(),
        Phase::RolledBack if can_decide => decision::again(&tick()),
        _ => return html! {},
    };
    html! {
        form method="post" action={ (frame.root) "decide" } {
            (decision::no_button())
            input type="hidden" name="one" value=(decision::value(proposal));
            "\n"
            (fields)
        }
        "\n"
    }
}

/// What the policy allows and closes, one line for each group of ends.
fn outlined(proposal: &PolicyProposal, id: &WorkloadId) -> Markup {
    let review = &proposal.spec.review;
    let allowed = outline::allowed(&id.to_string(), &review.evidence);
    let closed = outline::closed(review);
    let title = match &proposal.spec.base {
        Some(_) => "Closes, in short",
        None => "Closes everything else",
    };
    let rows = |lines: &[OutlineLine]| -> Vec<Vec<Markup>> {
        let row = |one: &OutlineLine| vec![text(one.direction), text(&one.ends), text(&one.ports)];
        lines.iter().map(row).collect()
    };
    html! {
        @if !allowed.is_empty() {
            h2 { "Allows what was seen" } "\n"
            (table(&["direction", "ends", "ports"], &rows(&allowed)))
            (more(review.evidence.len(), review.evidence_total as usize))
        }
        @if !closed.is_empty() {
            h2 { (title) } "\n"
            (table(&["direction", "ends", "ports"], &rows(&closed)))
        }
    }
}

/// What people refused before: what is left out, and what is offered again.
fn refused(review: &Impact) -> Markup {
    let row = |one: &RefusedLine| {
        let name = format!("{} → {} {}", one.client, one.server, one.port);
        let now = match one.change {
            None => "left out".to_owned(),
            Some(_) => format!("offered again: {}", one.message),
        };
        let by = format!("{} ({})", one.refused_by, one.proposal);
        vec![text(name), text(by), moment_of(&one.refused_at), text(now)]
    };
    let rows: Vec<Vec<Markup>> = review.refused.iter().map(row).collect();
    html! {
        @if !rows.is_empty() {
            h2 { "Refused before" } "\n"
            (table(&["connection", "by", "when", "now"], &rows))
        }
    }
}

fn figures(view: &View, id: &WorkloadId, review: &Impact) -> Markup {
    let radius = |side: usize| view.radii[side].get(id).copied().unwrap_or_default();
    let (now, then) = (radius(0), radius(1));
    let coverage = match review.coverage {
        Some(share) => format!("about {share} % of its edges were seen"),
        None => "too little was seen to estimate how much is missing".into(),
    };
    html! {
        ul.figures {
            li {
                "opens " b { (review.gained_total) } ", closes " b { (review.lost_total) }
                ", would block " b { (review.would_block_total) }
            }
            li {
                "a break-in reaches " b { (now.all) } " workloads now, " b { (then.all) } " with all proposals"
            }
            li { (coverage) }
        }
        "\n"
    }
}

fn connections(title: &str, list: &[ChangeLine], total: u32) -> Markup {
    let all = u64::from(total);
    let row = |one: &ChangeLine| vec![text(&one.client), text(&one.server), text(ports(one))];
    let rows: Vec<Vec<Markup>> = list.iter().map(row).collect();
    html! {
        @if !rows.is_empty() {
            h2 { (title) " " (count(all, "connection")) } "\n"
            (table(&["client", "server", "ports"], &rows))
            (more(rows.len(), total as usize))
        } @else if all > 0 {
            // Proposals of earlier versions do not list what a first policy closes.
            h2 { (title) " " (count(all, "pair")) " of workloads" } "\n"
            p { "Everything that is not allowed, as the first policy of a workload does." } "\n"
        }
    }
}

fn ports(change: &ChangeLine) -> &str {
    match change.ports.as_str() {
        "All Connections" => "all ports",
        ports => ports,
    }
}

fn findings(review: &Impact, is_live: bool) -> Markup {
    if review.findings.is_empty() {
        return html! {};
    }
    let remedy = |code: &str| {
        let code = Code::ALL.iter().find(|one| one.name() == code);
        code.map(|code| risks::remedy(*code, is_live))
            .unwrap_or_default()
    };
    let rows: Vec<Vec<Markup>> = review
        .findings
        .iter()
        .map(|one| {
            vec![
                severity(&one.severity),
                text(&one.subject),
                html! {
                    (one.message)
                    @if one.shared { " (as nearly all workloads, so it raises no risk)" }
                },
                text(remedy(&one.code)),
            ]
        })
        .collect();
    html! {
        h2 { "Findings" } "\n"
        (table(&["severity", "about", "finding", "what to do"], &rows))
    }
}

fn would_block(review: &Impact) -> Markup {
    if review.would_block_total == 0 {
        return html! {};
    }
    let rows: Vec<Vec<Markup>> = review
        .would_block
        .iter()
        .map(|one| {
            vec![
                text(&one.client),
                text(&one.server),
                text(&one.port),
                text(one.connections),
                moment_of(&one.last_seen),
            ]
        })
        .collect();
    let header = ["client", "server", "port", ">connections", "last seen"];
    let total = review.would_block_total;
    html! {
        h2 { "Would block " (count(total.into(), "recorded connection")) } "\n"
        (table(&header, &rows))
        (more(rows.len(), total as usize))
    }
}

fn evidence(review: &Impact) -> Markup {
    let rows: Vec<Vec<Markup>> = review
        .evidence
        .iter()
        .map(|one| {
            vec![
                text(&one.client),
                text(&one.server),
                text(&one.port),
                text(one.connections),
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
    html! {
        h2 { "Evidence of what it allows" } "\n"
        (table(&header, &rows))
        (more(rows.len(), review.evidence_total as usize))
    }
}
