//! All proposals: those that wait first, the riskiest of them first.

use super::{decision, path, phase, risk};
use crate::review::resources::{Phase, PolicyProposal};
use crate::web::html::{Frame, Place, select, text};
use crate::web::long::Long;
use crate::web::risks;
use crate::web::view::{View, proposal_workload, workload_path};
use kube::ResourceExt;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

const HEADER: [&str; 10] = [
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
const PHASES: [Phase; 6] = [
    Phase::Pending,
    Phase::Approved,
    Phase::Applied,
    Phase::Rejected,
    Phase::RolledBack,
    Phase::Superseded,
];

/// The queue. `query` may filter by `phase` and `namespace`; several can be decided at once.
pub fn list(frame: &Frame, view: &View, query: &BTreeMap<String, String>) -> String {
    let all = &view.given.proposals;
    if all.is_empty() {
        let body = "<p>Nothing waits for a decision.</p>\n";
        return frame.page(Place::Proposals, "Proposals", body);
    }
    let wanted = |name: &str| query.get(name).map(String::as_str).unwrap_or_default();
    let is = |name: &str, value: &str| wanted(name).is_empty() || wanted(name) == value;
    let mut chosen: Vec<&PolicyProposal> = all
        .iter()
        .filter(|one| is("phase", phase(one.phase())))
        .filter(|one| is("namespace", &one.namespace().unwrap_or_default()))
        .collect();
    // The order of the view stays within each of the two.
    chosen.sort_by_key(|one| one.phase() != Phase::Pending);
    let mut body = filter(all, wanted("phase"), wanted("namespace"));
    let open = all.iter().filter(|one| one.phase() == Phase::Pending);
    let _ = writeln!(
        body,
        "<p id=\"summary\">{} of {} shown, {} in all wait for a decision.</p>",
        chosen.len(),
        all.len(),
        open.count()
    );
    let long = Long {
        frame,
        path: "proposals",
        query,
    };
    let shown = long.part("rows", &chosen);
    let can_decide = view.given.can_decide;
    let is_any_open = shown.iter().any(|one| one.phase() == Phase::Pending);
    let _ = writeln!(
        body,
        "<form method=\"post\" action=\"{}decide\">{}",
        text(&frame.root),
        decision::NO_BUTTON
    );
    if can_decide && is_any_open {
        // Only the script can do it, and shows it.
        body.push_str(
            "<p><button type=\"button\" id=\"all\" hidden>Select all shown</button></p>\n",
        );
    }
    body.push_str(&long.table("rows", &HEADER, &chosen, |one| row(frame, view, one)));
    if is_any_open || !can_decide {
        body.push_str(&decision::fields(can_decide, ""));
    }
    body.push_str("</form>\n");
    frame.page(Place::Proposals, "Proposals", &body)
}

fn filter(all: &[PolicyProposal], wanted: &str, namespace: &str) -> String {
    let namespaces: BTreeSet<String> = all.iter().filter_map(ResourceExt::namespace).collect();
    let known: BTreeSet<&str> = all.iter().map(|one| phase(one.phase())).collect();
    let phases = PHASES.map(phase).into_iter();
    let phases = phases.filter(|word| known.contains(word) || *word == wanted);
    let mut names: BTreeSet<&str> = namespaces.iter().map(String::as_str).collect();
    names.extend(Some(namespace).filter(|name| !name.is_empty()));
    format!(
        "<form class=\"filter\">\n<label>Phase {}</label>\n<label>Namespace {}</label>\n<button>Filter</button></form>\n",
        select("phase", wanted, phases),
        select("namespace", namespace, names),
    )
}

fn row(frame: &Frame, view: &View, one: &PolicyProposal) -> Vec<String> {
    let (id, review) = (proposal_workload(one), &one.spec.review);
    let is_open = view.given.can_decide && one.phase() == Phase::Pending;
    let (mut choose, mut blocks) = (String::new(), review.would_block_total.to_string());
    if is_open {
        choose = format!(
            "<input type=\"checkbox\" name=\"one\" value=\"{}\" aria-label=\"choose {}\">",
            decision::value(one),
            text(one.name_any())
        );
        let tick = decision::tick(one, "read");
        if !tick.is_empty() {
            let _ = write!(blocks, " {tick}");
        }
    }
    let mut about = frame.link(&workload_path(&id), &id.to_string());
    if let Some(weakness) = view.weakness(&id) {
        let _ = write!(about, "<br>{}", risks::headline(weakness));
    }
    vec![
        choose,
        risk(&review.risk),
        frame.link(&path(one), &one.name_any()),
        about,
        text(phase(one.phase())),
        review.gained_total.to_string(),
        review.lost_total.to_string(),
        blocks,
        review
            .coverage
            .map_or("–".into(), |share| format!("{share} %")),
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
    fn what_waits_comes_first_however_risky_the_others_were() {
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
