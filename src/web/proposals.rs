//! The queue of proposals, and one of them for who decides.

use super::html::{Frame, Place, part, severity, table, tag, text};
use super::policies::changes;
use super::risks;
use super::view::{View, proposal_workload, workload_path};
use crate::finding::Code;
use crate::inventory::WorkloadId;
use crate::review::resources::{Change, Material, Phase, PolicyProposal};
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

/// The queue, the riskiest first; several can be decided at once.
pub fn list(frame: &Frame, view: &View) -> String {
    let all = &view.given.proposals;
    if all.is_empty() {
        let body = "<p>Nothing waits for a decision.</p>\n";
        return frame.page(Place::Proposals, "Proposals", body);
    }
    let can_decide = view.given.can_decide;
    let row = |one: &PolicyProposal| {
        let (name, namespace) = (one.name_any(), one.namespace().unwrap_or_default());
        let (id, review) = (proposal_workload(one), &one.spec.review);
        let is_open = one.phase() == Phase::Pending;
        let choose = match can_decide && is_open {
            true => format!(
                "<input type=\"checkbox\" name=\"one\" value=\"{}\" aria-label=\"choose {}\">",
                text(format!("{namespace}/{name}/{}", review.revision)),
                text(&name)
            ),
            false => String::new(),
        };
        let mut about = frame.link(&workload_path(&id), &id.to_string());
        if let Some(weakness) = view.weakness(&id) {
            let _ = write!(about, "<br>{}", risks::headline(weakness));
        }
        vec![
            choose,
            risk(&review.risk),
            frame.link(&path(one), &name),
            about,
            text(format!("{:?}", one.phase())),
            review.gained_total.to_string(),
            review.lost_total.to_string(),
            review.would_block_total.to_string(),
            review
                .coverage
                .map_or("–".into(), |share| format!("{share} %")),
            text(&review.reason),
        ]
    };
    let rows: Vec<Vec<String>> = all.iter().map(row).collect();
    let header = [
        "",
        "risk",
        "proposal",
        "workload",
        "phase",
        ">opens",
        ">closes",
        ">would block",
        ">coverage",
        "why",
    ];
    let mut body = format!(
        "<form method=\"post\" action=\"{}decide\">\n{}",
        text(&frame.root),
        table(&header, &rows)
    );
    body.push_str(&decision(can_decide));
    body.push_str("</form>\n");
    frame.page(Place::Proposals, "Proposals", &body)
}

/// The fields of a decision.
fn decision(can_decide: bool) -> String {
    match can_decide {
        true => "<fieldset class=\"decide\"><legend>Decide</legend>\
                 <label>Reason <input name=\"reason\" maxlength=\"2000\" size=\"48\"></label>\n\
                 <button name=\"verb\" value=\"approve\">Approve</button>\n\
                 <button name=\"verb\" value=\"reject\">Reject</button></fieldset>\n"
            .into(),
        false => "<p class=\"dim\">This is a look at a folder: decisions need a cluster (nanoseg ui).</p>\n".into(),
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
        text(format!("{:?}", proposal.phase())),
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
    body.push_str(&connections("Closes", &review.lost, review.lost_total));
    body.push_str(&findings(review));
    body.push_str(&would_block(review));
    body.push_str(&evidence(review));
    let title = match &spec.base {
        Some(_) => "Policy, against the one that it changes",
        None => "Policy, the first of this workload",
    };
    let _ = write!(
        body,
        "<h2>{title}</h2>\n{}",
        changes(spec.base.as_ref(), &spec.policy)
    );
    if proposal.phase() == Phase::Pending {
        let value = text(format!("{namespace}/{name}/{}", review.revision));
        let _ = write!(
            body,
            "<form method=\"post\" action=\"{}decide\"><input type=\"hidden\" name=\"one\" value=\"{value}\">\n{}</form>\n",
            text(&frame.root),
            decision(view.given.can_decide)
        );
    } else if proposal.phase() == Phase::Applied && view.given.can_decide {
        let value = text(format!("{namespace}/{name}/{}", review.revision));
        let _ = writeln!(
            body,
            "<form method=\"post\" action=\"{}decide\"><input type=\"hidden\" name=\"one\" value=\"{value}\">\
             <fieldset class=\"decide\"><legend>Undo</legend><label>Reason <input name=\"reason\" maxlength=\"2000\" \
             size=\"48\"></label> <button name=\"verb\" value=\"rollback\">Roll back</button></fieldset></form>",
            text(&frame.root)
        );
    }
    Some(frame.page(Place::Proposals, &format!("Proposal {name}"), &body))
}

fn figures(view: &View, id: &WorkloadId, review: &Material) -> String {
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

fn connections(title: &str, list: &[Change], total: u32) -> String {
    if list.is_empty() {
        return match total {
            0 => String::new(),
            some => format!(
                "<h2>{title} {some}</h2>\n<p>Everything that is not allowed, as the first policy of a workload does.</p>\n"
            ),
        };
    }
    let rows: Vec<Vec<String>> = list
        .iter()
        .map(|one| vec![text(&one.client), text(&one.server), text(&one.ports)])
        .collect();
    let more = (total as usize).saturating_sub(list.len());
    let more = match more {
        0 => String::new(),
        some => format!("<p>… and {some} more.</p>\n"),
    };
    format!(
        "<h2>{title} {total}</h2>\n{}{more}",
        table(&["client", "server", "ports"], &rows)
    )
}

fn findings(review: &Material) -> String {
    if review.findings.is_empty() {
        return String::new();
    }
    let remedy = |code: &str| {
        let code = Code::ALL.iter().find(|one| one.name() == code);
        code.map(|code| code.remedy()).unwrap_or_default()
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

fn would_block(review: &Material) -> String {
    if review.would_block.is_empty() {
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
                text(&one.last_seen),
            ]
        })
        .collect();
    let header = ["client", "server", "port", ">connections", "last seen"];
    format!("<h2>Would block</h2>\n{}", table(&header, &rows))
}

fn evidence(review: &Material) -> String {
    let rows: Vec<Vec<String>> = review
        .evidence
        .iter()
        .map(|one| {
            vec![
                text(&one.client),
                text(&one.server),
                text(&one.port),
                one.connections.to_string(),
                text(&one.first_seen),
                text(&one.last_seen),
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
        "<h2>Evidence of what it allows</h2>\n{}",
        table(&header, &rows)
    )
}
