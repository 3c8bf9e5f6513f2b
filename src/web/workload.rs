//! The page of one workload (who may talk to it and whom it may reach, now and as proposed), and the list of all.

use super::html::{Frame, NavEntry, more, ports, table, tag, text};
use super::pagination::Pagination;
use super::risks;
use super::view::{View, workload_path};
use crate::evaluate::{BlastRadius, Evaluation};
use crate::graph::{Edge, Peer};
use crate::inventory::{Container, Vulnerability, WorkloadId, is_ours};
use crate::net::{ConnectionSet, Direction};
use maud::{Markup, html};
use std::collections::{BTreeMap, BTreeSet};

/// At most this many vulnerabilities of one workload are shown.
const MOST_VULNERABILITIES: usize = 100;

/// All workloads with their blast radius, the largest first.
pub fn list(frame: &Frame, view: &View) -> String {
    let mut all: Vec<(&WorkloadId, &BlastRadius)> = view.radii[0].iter().collect();
    all.sort_by_key(|(id, radius)| (std::cmp::Reverse(radius.all), *id));
    let rows: Vec<Vec<Markup>> = all
        .into_iter()
        .map(|(id, now)| {
            let then = view.radii[1].get(id).copied().unwrap_or_default();
            let evaluation = &view.evaluations[0];
            vec![
                frame.link(&workload_path(id), &id.to_string()),
                text(&id.kind),
                isolation(evaluation, id, Direction::Ingress),
                isolation(evaluation, id, Direction::Egress),
                text(now.hops[0]),
                text(now.all),
                text(then.all),
            ]
        })
        .collect();
    let header = [
        "workload",
        "kind",
        "incoming",
        "outgoing",
        ">reached directly",
        ">reached in the end",
        ">as proposed",
    ];
    let body = html! {
        p {
            "Incoming and outgoing: whether policies isolate the pods in that direction. Reached in the end (the blast "
            "radius): how many other workloads a break-in reaches over connections that policies allow, now and if all "
            "open proposals were approved."
        }
        "\n"
        (table(&header, &rows))
        (waiting(frame, view))
    };
    frame.page(NavEntry::Workloads, "Workloads", &body)
}

/// The workloads without a proposal, with what was seen of each and what it waits for.
pub fn waiting(frame: &Frame, view: &View) -> Markup {
    let all = view.given.waiting.iter();
    let row = |(id, message): (&WorkloadId, &String)| {
        vec![
            frame.link(&workload_path(id), &id.to_string()),
            text(&id.kind),
            text(message),
        ]
    };
    let rows: Vec<Vec<Markup>> = all.map(row).collect();
    html! {
        @if !rows.is_empty() {
            h2 { "No proposal yet" } "\n"
            (table(&["workload", "kind", "what was seen, and what it waits for"], &rows))
        }
    }
}

fn isolation(evaluation: &Evaluation, id: &WorkloadId, direction: Direction) -> Markup {
    let classes = evaluation.classes_of(id);
    let isolated = classes
        .iter()
        .filter(|class| evaluation.isolated(**class, direction))
        .count();
    let host = classes
        .iter()
        .any(|class| evaluation.class(*class).host_network);
    match isolated {
        _ if host => tag("medium", "host network"),
        0 => tag("high", "open"),
        some if some == classes.len() => tag("low", "isolated"),
        _ => tag("medium", "some pods open"),
    }
}

/// One workload.
pub fn one(
    frame: &Frame,
    view: &View,
    id: &WorkloadId,
    query: &BTreeMap<String, String>,
) -> String {
    let path = workload_path(id);
    let pages = Pagination {
        frame,
        path: &path,
        query,
    };
    let body = html! {
        p { (id.kind) " in namespace " (id.namespace) } "\n"
        @if let Some(message) = view.given.waiting.get(id) {
            p #waiting { "No proposal yet: " (message) "." } "\n"
        }
        (radius(view, id))
        (policies(view, id))
        h2 { "Who may talk to it" } "\n"
        (neighbours(&pages, view, id, Direction::Ingress))
        h2 { "Whom it may reach" } "\n"
        (neighbours(&pages, view, id, Direction::Egress))
        (traffic(&pages, view, id))
        (containers(view, id))
        (vulnerabilities(view, id))
        (findings(view, id))
    };
    frame.page(NavEntry::Workloads, &id.to_string(), &body)
}

fn radius(view: &View, id: &WorkloadId) -> Markup {
    let row = |name: &str, side: usize| {
        let radius = view.radii[side].get(id).copied().unwrap_or_default();
        let [one, two, three] = radius.hops;
        vec![
            text(name),
            text(one),
            text(two),
            text(three),
            text(radius.all),
        ]
    };
    let header = [
        "blast radius: workloads a break-in reaches",
        ">1 hop",
        ">2 hops",
        ">3 hops",
        ">in all",
    ];
    let way = |side: usize| match view.distances[side].hops.get(id) {
        None => "not reached".to_owned(),
        Some(1) => "directly".to_owned(),
        Some(hops) => format!("through {hops} hops"),
    };
    html! {
        (table(&header, &[row("now", 0), row("as proposed", 1)]))
        p { "From the internet: " (way(0)) " now, " (way(1)) " as proposed." } "\n"
    }
}

fn policies(view: &View, id: &WorkloadId) -> Markup {
    let mut isolating: BTreeMap<String, [Vec<&str>; 2]> = BTreeMap::new();
    for (side, evaluation) in view.evaluations.iter().enumerate() {
        for class in evaluation.classes_of(id) {
            for (direction, word) in [(Direction::Ingress, "in"), (Direction::Egress, "out")] {
                for policy in evaluation.isolated_by(*class, direction) {
                    let entry = &mut isolating.entry(policy.to_owned()).or_default()[side];
                    if !entry.contains(&word) {
                        entry.push(word);
                    }
                }
            }
        }
    }
    let name = |policy: &str| {
        html! {
            (policy)
            @if is_foreign(view, policy) { " " (tag("medium", "not written by nanoseg")) }
        }
    };
    let rows: Vec<Vec<Markup>> = isolating
        .into_iter()
        .map(|(policy, [now, then])| {
            vec![name(&policy), text(now.join(", ")), text(then.join(", "))]
        })
        .collect();
    html! {
        @if rows.is_empty() {
            p { "No policy selects it." } "\n"
        } @else {
            h2 { "Policies that apply" } "\n"
            (table(&["policy", "isolates now", "as proposed"], &rows))
        }
    }
}

/// Returns true if a policy that is in force, `namespace/name`, was written by somebody else: it has no label that
/// nanoseg manages it, and no proposal is for it.
fn is_foreign(view: &View, policy: &str) -> bool {
    let is_named = |namespace: Option<&str>, name: &str| {
        policy.split_once('/') == Some((namespace.unwrap_or("default"), name))
    };
    let proposals = &view.given.proposals;
    let mut in_force = view.given.now.iter().filter(|one| {
        let name = one.metadata.name.as_deref().unwrap_or_default();
        is_named(one.metadata.namespace.as_deref(), name)
    });
    let is_proposed = proposals
        .iter()
        .any(|one| is_named(one.metadata.namespace.as_deref(), &one.spec.policy_name));
    !is_proposed && in_force.any(|one| !is_ours(&one.metadata))
}

/// The connections that are allowed with others in one direction, or that all of them are.
fn neighbours(
    pages: &Pagination<'_>,
    view: &View,
    id: &WorkloadId,
    direction: Direction,
) -> Markup {
    let sides = [0, 1].map(|side: usize| allowed(&view.evaluations[side], id, direction));
    let others = view.given.inventory.workloads.len().saturating_sub(1);
    let is_open = |side: &BTreeMap<WorkloadId, ConnectionSet>| {
        side.len() >= others && others > 0 && side.values().all(ConnectionSet::is_all)
    };
    let [open_now, open_then] = sides.each_ref().map(is_open);
    if open_now && open_then {
        return html! { p { "Every workload, on every port." } "\n" };
    }
    let all: BTreeSet<&WorkloadId> = sides.iter().flat_map(BTreeMap::keys).collect();
    let all: Vec<&WorkloadId> = all
        .into_iter()
        .filter(|other| !open_now || sides[1].contains_key(*other))
        .collect();
    let shown = |side: usize, other: &WorkloadId| match sides[side].get(other) {
        Some(connections) => text(ports(connections)),
        None => text("–"),
    };
    let row = |other: &&WorkloadId| {
        vec![
            pages.frame.link(&workload_path(other), &other.to_string()),
            shown(0, other),
            shown(1, other),
        ]
    };
    let name = match direction {
        Direction::Ingress => "in",
        Direction::Egress => "out",
    };
    html! {
        @if open_now {
            p { "Now: every workload, on every port." } "\n"
        }
        @if all.is_empty() {
            p { "No workload." } "\n"
        } @else {
            (pages.table(name, &["workload", "now", "as proposed"], &all, row))
        }
        @for (side, word) in [(0usize, "now"), (1, "as proposed")] {
            p.dim { "Addresses " (word) ": " (addresses(&view.evaluations[side], id, direction)) } "\n"
        }
    }
}

fn allowed(
    evaluation: &Evaluation,
    id: &WorkloadId,
    direction: Direction,
) -> BTreeMap<WorkloadId, ConnectionSet> {
    let mut found: BTreeMap<WorkloadId, ConnectionSet> = BTreeMap::new();
    for own in evaluation.classes_of(id) {
        for (other, class) in evaluation.classes() {
            if class.workload == *id {
                continue;
            }
            let connections = match direction {
                Direction::Ingress => evaluation.between(other, *own),
                Direction::Egress => evaluation.between(*own, other),
            };
            if !connections.is_empty() {
                let sum = found.entry(class.workload.clone()).or_default();
                *sum = sum.union(&connections);
            }
        }
    }
    found
}

fn addresses(evaluation: &Evaluation, id: &WorkloadId, direction: Direction) -> String {
    let mut parts: Vec<String> = Vec::new();
    let everywhere = evaluation.everywhere();
    for class in evaluation.classes_of(id) {
        for (set, connections) in evaluation.addresses(*class, direction).iter() {
            let set = if *set == everywhere {
                "any address".to_owned()
            } else {
                set.to_string()
            };
            let part = format!("{set} on {}", ports(connections));
            if !parts.contains(&part) {
                parts.push(part);
            }
        }
    }
    if parts.is_empty() {
        "none".into()
    } else {
        parts.join("; ")
    }
}

fn traffic(pages: &Pagination<'_>, view: &View, id: &WorkloadId) -> Markup {
    let peer = Peer::Workload(id.clone());
    let edges = view.given.graph.edges_of(&peer);
    let row = |edge: &(&Peer, &Peer, &Edge)| super::edge::row(&view.given.graph, *edge);
    html! {
        h2 { "Observed traffic" } "\n"
        @if edges.is_empty() {
            p { "No traffic of it was seen." } "\n"
        } @else {
            (pages.table("seen", &super::edge::HEADER, &edges, row))
        }
    }
}

fn containers(view: &View, id: &WorkloadId) -> Markup {
    let workload = view.given.inventory.workloads.get(id);
    let containers = workload.map_or(&[][..], |workload| &workload.containers);
    let on_host = workload.is_some_and(|workload| workload.host_network);
    let row = |one| container(one, on_host);
    let rows: Vec<Vec<Markup>> = containers.iter().map(row).collect();
    let header = [
        "container",
        "registry",
        "image",
        "tag",
        "digest",
        "privileges",
    ];
    html! {
        @if !rows.is_empty() {
            h2 { "Containers" } "\n"
            (table(&header, &rows))
        }
    }
}

fn container(container: &Container, on_host: bool) -> Vec<Markup> {
    let image = &container.image;
    let mut privileges: Vec<String> = Vec::new();
    if container.privileged {
        privileges.push("privileged".into());
    }
    if on_host {
        privileges.push("host network".into());
    }
    privileges.extend(container.capabilities.iter().cloned());
    let ports = container.host_ports.iter();
    privileges.extend(ports.map(|port| format!("host port {port}")));
    // The digest that runs is known better than the one that the manifest names.
    let digest = match (&container.running, &image.digest) {
        (Some(running), _) => running.clone(),
        (None, Some(asked)) => asked.clone(),
        (None, None) => String::new(),
    };
    vec![
        text(&container.name),
        text(&image.registry),
        text(&image.repository),
        text(image.tag.as_deref().unwrap_or_default()),
        text(digest),
        text(privileges.join(", ")),
    ]
}

/// Known vulnerabilities, the gravest first.
fn vulnerabilities(view: &View, id: &WorkloadId) -> Markup {
    let Some(weakness) = view.weakness(id) else {
        return html! {};
    };
    let row = |one: &Vulnerability| {
        vec![
            text(one.grade.to_string()),
            text(&one.id),
            text(&one.package),
            text(one.fixed_in.as_deref().unwrap_or("–")),
        ]
    };
    let all = &weakness.vulnerabilities;
    let rows: Vec<Vec<Markup>> = all.iter().take(MOST_VULNERABILITIES).map(row).collect();
    html! {
        h2 { "Known vulnerabilities" } "\n"
        p { (risks::headline(weakness)) " " (weakness.counts()) } "\n"
        (table(&["grade", "vulnerability", "package", "fixed in"], &rows))
        (more(rows.len(), all.len()))
    }
}

/// Findings whose subject names the workload.
fn findings(view: &View, id: &WorkloadId) -> Markup {
    let own = id.to_string();
    let all = view.given.findings.iter();
    let own: Vec<_> = all.filter(|one| one.is_about(&own)).collect();
    html! {
        @if !own.is_empty() {
            h2 { "Findings" } "\n"
            (risks::findings(own.into_iter(), view.given.can_decide))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::MANAGED_BY;
    use crate::review::resources::{PolicyProposal, PolicyProposalSpec};
    use crate::web::ViewInputs;
    use k8s_openapi::api::networking::v1::NetworkPolicy;
    use kube::ResourceExt;

    #[test]
    fn a_workload_without_a_proposal_shows_what_it_waits_for() {
        let id = WorkloadId {
            namespace: "shop".into(),
            name: "db".into(),
            kind: "Deployment".into(),
        };
        let message = "1 connection in 3 h from 1 client; waits for more".to_owned();
        let given = ViewInputs {
            waiting: BTreeMap::from([(id.clone(), message.clone())]),
            ..ViewInputs::default()
        };
        let view = View::new(given).expect("a view");
        let frame = Frame {
            root: "/".into(),
            subject: "test".into(),
            version: 1,
            problem: None,
        };
        let list = waiting(&frame, &view).into_string();
        assert!(
            list.contains("No proposal yet") && list.contains(&message),
            "{list}"
        );
        let page = one(&frame, &view, &id, &BTreeMap::new());
        assert!(page.contains(&message), "{page}");
    }

    #[test]
    fn policies_that_nanoseg_neither_manages_nor_proposes_are_foreign() {
        let policy = |name: &str, is_managed: bool| {
            let mut policy = NetworkPolicy::default();
            policy.metadata.namespace = Some("shop".into());
            policy.metadata.name = Some(name.into());
            if is_managed {
                let label = MANAGED_BY.0.to_owned();
                policy.labels_mut().insert(label, MANAGED_BY.1.into());
            }
            policy
        };
        let spec = PolicyProposalSpec {
            policy_name: "asked".into(),
            ..PolicyProposalSpec::default()
        };
        let mut proposal = PolicyProposal::new("web-1", spec);
        proposal.metadata.namespace = Some("shop".into());
        let given = ViewInputs {
            now: vec![
                policy("by-hand", false),
                policy("ours", true),
                policy("asked", false),
            ],
            proposals: vec![proposal],
            ..ViewInputs::default()
        };
        let view = View::new(given).expect("a view");
        let foreign = |name| is_foreign(&view, name);
        assert!(foreign("shop/by-hand"));
        assert!(!foreign("shop/ours") && !foreign("shop/asked"));
        assert!(!foreign("other/by-hand"), "there is none");
    }
}
