//! All proposals: the pending ones first, the riskiest of them first.

use super::{decision, path, phase, risk};
use crate::review::resources::{Phase, PolicyProposal};
use crate::web::html::{Frame, NavEntry, select, text};
use crate::web::pagination::Pagination;
use crate::web::risks;
use crate::web::view::{View, proposal_workload, workload_path};
use crate::web::workload;
use kube::ResourceExt;
use maud::{Markup, html};
use std::collections::{BTreeMap, BTreeSet};

const HEADER: [&str; 10] = [
    "",
    "risk",
    "proposal",
    "workload",
    "phase",
    ">opens",
    ">closes",
    ">would block",
    ">edges seen",
    "why",
];
const PHASES: [Phase; 7] = [
    Phase::Pending,
    Phase::Approved,
    Phase::Applied,
    Phase::Rejected,
    Phase::RolledBack,
    Phase::Expired,
    Phase::Superseded,
];

/// The queue. `query` may filter by `phase` and `namespace`; several can be decided at once.
pub fn list(frame: &Frame, view: &View, query: &BTreeMap<String, String>) -> String {
    let all = &view.given.proposals;
    if all.is_empty() {
        let body = html! {
            p { "Nothing waits for a decision." } "\n"
            (workload::waiting(frame, view))
        };
        return frame.page(NavEntry::Proposals, "Proposals", &body);
    }
    let wanted = |name: &str| query.get(name).map(String::as_str).unwrap_or_default();
    let is = |name: &str, value: &str| wanted(name).is_empty() || wanted(name) == value;
    let mut chosen: Vec<&PolicyProposal> = all
        .iter()
        .filter(|one| is("phase", phase(one.phase())))
        .filter(|one| is("namespace", &one.namespace().unwrap_or_default()))
        .collect();
    // A stable sort: pending and decided ones each keep the order of the view.
    chosen.sort_by_key(|one| one.phase() != Phase::Pending);
    let open = all.iter().filter(|one| one.phase() == Phase::Pending);
    let body = html! {
        (filter(all, wanted("phase"), wanted("namespace")))
        p #summary {
            (chosen.len()) " of " (all.len()) " shown, " (open.count()) " in all wait for a decision."
        }
        "\n"
        (form(frame, view, query, &chosen))
        (workload::waiting(frame, view))
    };
    frame.page(NavEntry::Proposals, "Proposals", &body)
}

/// The chosen proposals, and the fields that decide several of them at once.
fn form(
    frame: &Frame,
    view: &View,
    query: &BTreeMap<String, String>,
    chosen: &[&PolicyProposal],
) -> Markup {
    let pages = Pagination {
        frame,
        path: "proposals",
        query,
    };
    let mut shown = pages.part("rows", chosen).iter();
    let can_decide = view.given.can_decide;
    let is_any_open = shown.any(|one| one.phase() == Phase::Pending);
    html! {
        form method="post" action={ (frame.root) "decide" } {
            (decision::no_button()) "\n"
            @if can_decide && is_any_open {
                // The button needs the script, which shows it.
                p { button #all type="button" hidden { "Select all shown" } } "\n"
            }
            (pages.table("rows", &HEADER, chosen, |one| row(frame, view, one)))
            @if is_any_open || !can_decide {
                (decision::fields(can_decide, &html! {}))
            }
        }
        "\n"
    }
}

fn filter(all: &[PolicyProposal], wanted: &str, namespace: &str) -> Markup {
    let namespaces: BTreeSet<String> = all.iter().filter_map(ResourceExt::namespace).collect();
    let known: BTreeSet<&str> = all.iter().map(|one| phase(one.phase())).collect();
    let phases = PHASES.map(phase).into_iter();
    let phases = phases.filter(|word| known.contains(word) || *word == wanted);
    let mut names: BTreeSet<&str> = namespaces.iter().map(String::as_str).collect();
    names.extend(Some(namespace).filter(|name| !name.is_empty()));
    html! {
        form.filter {
            "\n"
            label { "Phase " (select("phase", wanted, phases)) } "\n"
            label { "Namespace " (select("namespace", namespace, names)) } "\n"
            button { "Filter" }
        }
        "\n"
    }
}

fn row(frame: &Frame, view: &View, one: &PolicyProposal) -> Vec<Markup> {
    let (id, review) = (proposal_workload(one), &one.spec.review);
    let is_open = view.given.can_decide && one.phase() == Phase::Pending;
    let choose = html! {
        @if is_open {
            input type="checkbox" name="one" value=(decision::value(one))
                aria-label={ "choose " (one.name_any()) };
        }
    };
    let blocks = html! {
        (review.would_block_total)
        @if is_open && review.would_block_total > 0 { " " (decision::tick(one, "read")) }
    };
    let about = html! {
        (frame.link(&workload_path(&id), &id.to_string()))
        @if let Some(weakness) = view.weakness(&id) { br; (risks::headline(weakness)) }
    };
    let coverage = review.coverage;
    vec![
        choose,
        risk(&review.risk),
        frame.link(&path(one), &one.name_any()),
        about,
        text(phase(one.phase())),
        text(review.gained_total),
        text(review.lost_total),
        blocks,
        text(coverage.map_or("–".into(), |share| format!("{share} %"))),
        text(&review.reason),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::review::resources::{PolicyProposalSpec, PolicyProposalStatus};
    use crate::web::ViewInputs;

    fn proposal(namespace: &str, name: &str, phase: Phase, risk: &str) -> PolicyProposal {
        let mut spec = PolicyProposalSpec::default();
        spec.review.risk = risk.into();
        spec.review.would_block_total = 3;
        let mut proposal = PolicyProposal::new(name, spec);
        proposal.metadata.namespace = Some(namespace.into());
        proposal.status = Some(PolicyProposalStatus {
            phase,
            ..PolicyProposalStatus::default()
        });
        proposal
    }

    fn shown(query: &[(&str, &str)]) -> String {
        let given = ViewInputs {
            proposals: vec![
                proposal("a", "done", Phase::RolledBack, "high"),
                proposal("a", "easy", Phase::Pending, "low"),
                proposal("b", "hard", Phase::Pending, "high"),
            ],
            can_decide: true,
            ..ViewInputs::default()
        };
        let frame = Frame {
            root: "/token/".into(),
            subject: String::new(),
            version: 1,
            problem: None,
        };
        let query = query.iter().map(|(k, v)| (k.to_string(), v.to_string()));
        list(&frame, &View::new(given).expect("a view"), &query.collect())
    }

    fn places(page: &str, names: &[&str]) -> Vec<Option<usize>> {
        let place = |name: &&str| page.find(&format!(">{name}</a>"));
        names.iter().map(place).collect()
    }

    #[test]
    fn pending_proposals_come_first_whatever_the_risk_of_the_others() {
        let page = shown(&[]);
        let places = places(&page, &["hard", "easy", "done"]);
        assert!(places.is_sorted() && places[0].is_some(), "{places:?}");
        assert!(page.contains("3 of 3 shown, 2 in all wait"), "{page}");
        assert_eq!(page.matches("name=\"one\"").count(), 2);
        assert_eq!(page.matches("name=\"read\"").count(), 2);
    }

    #[test]
    fn the_queue_is_filtered_by_phase_and_namespace() {
        let names = ["hard", "easy", "done"];
        let found = |query: &[(&str, &str)]| {
            let all = places(&shown(query), &names);
            all.iter().map(Option::is_some).collect::<Vec<bool>>()
        };
        assert_eq!(found(&[("phase", "Rolled back")]), [false, false, true]);
        assert_eq!(
            found(&[("phase", ""), ("namespace", "a")]),
            [false, true, true]
        );
        let both = [("phase", "Pending"), ("namespace", "a")];
        assert_eq!(found(&both), [false, true, false]);
        let page = shown(&both);
        assert!(page.contains("<option selected>Pending</option>"), "{page}");
        // What is decided already has nothing to decide.
        assert!(!shown(&[("phase", "Rolled back")]).contains("value=\"approve\""));
    }
}
