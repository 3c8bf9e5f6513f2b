//! One workload: who may talk to it, whom it may reach, now and as proposed; and the list of all.

use super::html::{Frame, Place, ports, table, tag, text};
use super::long::Long;
use super::risks;
use super::view::{View, workload_path};
use crate::evaluate::{BlastRadius, Evaluation};
use crate::graph::{Edge, Peer};
use crate::inventory::{Container, MANAGED_BY, Vulnerability, WorkloadId};
use crate::net::{ConnectionSet, Direction};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::ResourceExt;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// So many vulnerabilities of one workload are shown.
const MOST_VULNERABILITIES: usize = 100;

/// All workloads with their blast radius, the largest first.
pub fn list(frame: &Frame, view: &View) -> String {
    let mut all: Vec<(&WorkloadId, &BlastRadius)> = view.radii[0].iter().collect();
    all.sort_by_key(|(id, radius)| (std::cmp::Reverse(radius.all), *id));
    let rows: Vec<Vec<String>> = all
        .into_iter()
        .map(|(id, now)| {
            let then = view.radii[1].get(id).copied().unwrap_or_default();
            let evaluation = &view.evaluations[0];
            vec![
                frame.link(&workload_path(id), &id.to_string()),
                text(&id.kind),
                isolation(evaluation, id, Direction::Ingress),
                isolation(evaluation, id, Direction::Egress),
                now.hops[0].to_string(),
                now.all.to_string(),
                then.all.to_string(),
            ]
        })
        .collect();
    let header = [
        "workload",
        "kind",
        "in",
        "out",
        ">one hop",
        ">blast radius",
        ">as proposed",
    ];
    let body = format!(
        "<p>The blast radius: how many other workloads a break-in reaches in the end, over connections that policies \
         allow.</p>\n{}",
        table(&header, &rows)
    );
    frame.page(Place::Workloads, "Workloads", &body)
}

fn isolation(evaluation: &Evaluation, id: &WorkloadId, direction: Direction) -> String {
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
    let long = Long {
        frame,
        path: &path,
        query,
    };
    let mut body = format!(
        "<p>{} in namespace {}</p>\n",
        text(&id.kind),
        text(&id.namespace)
    );
    body.push_str(&radius(view, id));
    body.push_str(&policies(view, id));
    body.push_str("<h2>Who may talk to it</h2>\n");
    body.push_str(&neighbours(&long, view, id, Direction::Ingress));
    body.push_str("<h2>Whom it may reach</h2>\n");
    body.push_str(&neighbours(&long, view, id, Direction::Egress));
    body.push_str(&traffic(&long, view, id));
    body.push_str(&containers(view, id));
    body.push_str(&vulnerabilities(view, id));
    body.push_str(&findings(view, id));
    frame.page(Place::Workloads, &id.to_string(), &body)
}

fn radius(view: &View, id: &WorkloadId) -> String {
    let row = |name: &str, side: usize| {
        let radius = view.radii[side].get(id).copied().unwrap_or_default();
        let [one, two, three] = radius.hops;
        vec![
            text(name),
            one.to_string(),
            two.to_string(),
            three.to_string(),
            radius.all.to_string(),
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
    format!(
        "{}<p>From the internet: {} now, {} as proposed.</p>\n",
        table(&header, &[row("now", 0), row("as proposed", 1)]),
        way(0),
        way(1)
    )
}

fn policies(view: &View, id: &WorkloadId) -> String {
    let mut rows: BTreeMap<String, [Vec<&str>; 2]> = BTreeMap::new();
    for (side, evaluation) in view.evaluations.iter().enumerate() {
        for class in evaluation.classes_of(id) {
            for (direction, word) in [(Direction::Ingress, "in"), (Direction::Egress, "out")] {
                for policy in evaluation.isolated_by(*class, direction) {
                    let entry = &mut rows.entry(policy.to_owned()).or_default()[side];
                    if !entry.contains(&word) {
                        entry.push(word);
                    }
                }
            }
        }
    }
    if rows.is_empty() {
        return "<p>No policy selects it.</p>\n".into();
    }
    let rows: Vec<Vec<String>> = rows
        .into_iter()
        .map(|(policy, [now, then])| {
            let mut name = text(&policy);
            if is_foreign(view, &policy) {
                let _ = write!(name, " {}", tag("medium", "not written by nanoseg"));
            }
            vec![name, now.join(", "), then.join(", ")]
        })
        .collect();
    format!(
        "<h2>Policies that apply</h2>\n{}",
        table(&["policy", "isolates now", "as proposed"], &rows)
    )
}

/// Whether a policy that is in force, `namespace/name`, is somebody's own: it does not say that nanoseg manages it,
/// and no proposal is about it.
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
    let is_managed = |one: &NetworkPolicy| {
        let value = one.labels().get(MANAGED_BY.0);
        value.is_some_and(|value| value == MANAGED_BY.1)
    };
    !is_proposed && in_force.any(|one| !is_managed(one))
}

/// What is allowed with others at one side; where everything is, that is said instead.
fn neighbours(long: &Long<'_>, view: &View, id: &WorkloadId, direction: Direction) -> String {
    let sides = [0, 1].map(|side: usize| allowed(&view.evaluations[side], id, direction));
    let all: std::collections::BTreeSet<&WorkloadId> =
        sides.iter().flat_map(BTreeMap::keys).collect();
    let others = view.given.inventory.workloads.len().saturating_sub(1);
    let shown =
        |side: &BTreeMap<WorkloadId, ConnectionSet>, other: &WorkloadId| match side.get(other) {
            Some(connections) => text(ports(connections)),
            None => "–".into(),
        };
    let is_open = |side: &BTreeMap<WorkloadId, ConnectionSet>| {
        side.len() >= others && others > 0 && side.values().all(ConnectionSet::is_all)
    };
    if is_open(&sides[0]) && is_open(&sides[1]) {
        return "<p>Every workload, on every port.</p>\n".into();
    }
    let mut out = String::new();
    if is_open(&sides[0]) {
        out.push_str("<p>Now: every workload, on every port.</p>\n");
    }
    let all: Vec<&WorkloadId> = all
        .into_iter()
        .filter(|other| !is_open(&sides[0]) || sides[1].contains_key(*other))
        .collect();
    let row = |other: &&WorkloadId| {
        vec![
            long.frame.link(&workload_path(other), &other.to_string()),
            shown(&sides[0], other),
            shown(&sides[1], other),
        ]
    };
    let name = match direction {
        Direction::Ingress => "in",
        Direction::Egress => "out",
    };
    match all.is_empty() {
        true => out.push_str("<p>No workload.</p>\n"),
        false => out.push_str(&long.table(name, &["workload", "now", "as proposed"], &all, row)),
    }
    for (side, word) in [(0, "now"), (1, "as proposed")] {
        let _ = writeln!(
            out,
            "<p class=\"dim\">Addresses {word}: {}</p>",
            text(addresses(&view.evaluations[side], id, direction))
        );
    }
    out
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
            let set = match *set == everywhere {
                true => "any address".to_owned(),
                false => set.to_string(),
            };
            let part = format!("{set} on {}", ports(connections));
            if !parts.contains(&part) {
                parts.push(part);
            }
        }
    }
    match parts.is_empty() {
        true => "none".into(),
        false => parts.join("; "),
    }
}

fn traffic(long: &Long<'_>, view: &View, id: &WorkloadId) -> String {
    let peer = Peer::Workload(id.clone());
    let edges = view.given.graph.edges_of(&peer);
    if edges.is_empty() {
        return "<h2>Observed traffic</h2>\n<p>Nothing was seen of it.</p>\n".into();
    }
    let row = |edge: &(&Peer, &Peer, &Edge)| super::edge::row(&view.given.graph, *edge);
    format!(
        "<h2>Observed traffic</h2>\n{}",
        long.table("seen", &super::edge::HEADER, &edges, row)
    )
}

fn containers(view: &View, id: &WorkloadId) -> String {
    let workload = view.given.inventory.workloads.get(id);
    let containers = workload.map_or(&[][..], |workload| &workload.containers);
    if containers.is_empty() {
        return String::new();
    }
    let on_host = workload.is_some_and(|workload| workload.host_network);
    let row = |one| container(one, on_host);
    let rows: Vec<Vec<String>> = containers.iter().map(row).collect();
    let header = [
        "container",
        "registry",
        "image",
        "tag",
        "digest",
        "privileges",
    ];
    format!("<h2>Containers</h2>\n{}", table(&header, &rows))
}

fn container(container: &Container, on_host: bool) -> Vec<String> {
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
    // What runs is more than what was asked for.
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
fn vulnerabilities(view: &View, id: &WorkloadId) -> String {
    let Some(weakness) = view.weakness(id) else {
        return String::new();
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
    let rows: Vec<Vec<String>> = all.iter().take(MOST_VULNERABILITIES).map(row).collect();
    let more = match all.len().saturating_sub(MOST_VULNERABILITIES) {
        0 => String::new(),
        some => format!("<p>… and {some} more.</p>\n"),
    };
    format!(
        "<h2>Known vulnerabilities</h2>\n<p>{} {}</p>\n{}{more}",
        risks::headline(weakness),
        text(weakness.counts()),
        table(&["grade", "vulnerability", "package", "fixed in"], &rows)
    )
}

/// Findings whose subject names the workload.
fn findings(view: &View, id: &WorkloadId) -> String {
    let own = id.to_string();
    let all = view.given.findings.iter();
    let own: Vec<_> = all.filter(|one| one.is_about(&own)).collect();
    match own.is_empty() {
        true => String::new(),
        false => format!(
            "<h2>Findings</h2>\n{}",
            risks::findings(own.into_iter(), view.given.can_decide)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::review::resources::{PolicyProposal, PolicyProposalSpec};
    use crate::web::ViewInputs;

    #[test]
    fn policies_that_nanoseg_neither_manages_nor_proposes_are_somebodys_own() {
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
