//! Answers to questions about what the policies allow and deny.

use super::{Assessment, Question, Standing, share};
use crate::evidence::{Evidence, WorkloadLine};
use std::collections::BTreeMap;

/// Answers a question about policies.
pub fn answer(question: Question, evidence: &Evidence) -> Assessment {
    let (standing, finding, files) = from_figures(question, evidence);
    // The approved policies were evaluated; those in the cluster may differ.
    let left = evidence.lapses.iter().filter(|one| one.to.is_none());
    match left.count() {
        0 => (standing, finding, files),
        some => (
            standing.at_most_partly(),
            format!(
                "{finding} Judged as approved, but not kept so at the end of the period: {some} approved policies."
            ),
            files,
        ),
    }
}

fn from_figures(question: Question, evidence: &Evidence) -> Assessment {
    match question {
        Question::Inbound => one_way(evidence, "into", WorkloadLine::is_closed_in),
        Question::Outbound => one_way(evidence, "out of", WorkloadLine::is_closed_out),
        Question::Namespaces => namespaces(evidence),
        Question::LeastPrivilege => least_privilege(evidence),
        _ => deny_by_default(evidence),
    }
}

fn deny_by_default(evidence: &Evidence) -> Assessment {
    let figures = &evidence.figures;
    let standing = of_pods(evidence, share(figures.isolated, figures.workloads));
    (
        if_tight(evidence, standing),
        format!(
            "{} of {} workloads are isolated in both directions{}; {}; on the host network, where NetworkPolicy does not reach: {}.",
            figures.isolated,
            figures.workloads,
            allows_all(evidence),
            excess(evidence),
            figures.host_network
        ),
        &["workloads.csv", "isolation.csv", "policies/"],
    )
}

/// Lowers the answer about pods to partly shown if there are workloads that no policy can select.
fn of_pods(evidence: &Evidence, standing: Standing) -> Standing {
    match evidence.figures.host_network {
        0 => standing,
        _ => standing.at_most_partly(),
    }
}

/// Lowers an answer to partly shown if more is allowed than was observed.
fn if_tight(evidence: &Evidence, standing: Standing) -> Standing {
    match evidence.verdict.unused_total {
        0 => standing,
        _ => standing.at_most_partly(),
    }
}

fn excess(evidence: &Evidence) -> String {
    let some = evidence.verdict.unused_total;
    let connections = evidence.verdict.unused_connections_text();
    format!("{some} pairs of client and server{connections} are allowed beyond what was observed")
}

/// The workloads that policies select and that are open nevertheless, by name; empty text if there are none.
fn allows_all(evidence: &Evidence) -> String {
    const NAMED: usize = 10;
    let open: Vec<String> = evidence
        .workloads
        .iter()
        .filter(|one| !one.host_network && (one.ingress_allows_all || one.egress_allows_all))
        .map(|one| one.workload.to_string())
        .collect();
    let more = match open.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    match open.get(..NAMED).unwrap_or(&open) {
        [] => String::new(),
        some => format!(
            "; selected by policies that allow everything in a direction, so not isolated: {}{more}",
            some.join(", ")
        ),
    }
}

/// Denied by default in one direction, and not more allowed than was observed.
fn one_way(evidence: &Evidence, way: &str, is_closed: fn(&WorkloadLine) -> bool) -> Assessment {
    let figures = &evidence.figures;
    let pods = evidence.workloads.iter().filter(|one| !one.host_network);
    let closed = pods.filter(|one| is_closed(one)).count();
    let standing = of_pods(evidence, share(closed, figures.workloads));
    (
        if_tight(evidence, standing),
        format!(
            "What goes {way} {closed} of {} workloads is denied unless a rule allows it{}; {} in all; on the host network, where NetworkPolicy does not reach: {}.",
            figures.workloads,
            allows_all(evidence),
            excess(evidence),
            figures.host_network
        ),
        &["workloads.csv", "policies/", "evidence.json"],
    )
}

fn namespaces(evidence: &Evidence) -> Assessment {
    let mut namespaces: BTreeMap<&str, bool> = BTreeMap::new();
    for one in evidence.workloads.iter().filter(|one| !one.host_network) {
        let has_some = namespaces.entry(&one.workload.namespace).or_default();
        *has_some |= !one.policies.is_empty();
    }
    let without: Vec<&str> = namespaces
        .iter()
        .filter(|(_, has_some)| !**has_some)
        .map(|(namespace, _)| *namespace)
        .collect();
    let which = match without.as_slice() {
        [] => String::new(),
        names => format!("; without any: {}", names.join(", ")),
    };
    let with = namespaces.len() - without.len();
    let whole = share(with, namespaces.len());
    let figures = &evidence.figures;
    let standing = if figures.isolated < figures.workloads {
        whole.at_most_partly()
    } else {
        whole
    };
    (
        if_tight(evidence, standing),
        format!(
            "{with} of {} namespaces with workloads have policies{which}; {} of {} workloads are isolated in both directions{}; {}.",
            namespaces.len(),
            figures.isolated,
            figures.workloads,
            allows_all(evidence),
            excess(evidence)
        ),
        &["workloads.csv", "policies/"],
    )
}

fn least_privilege(evidence: &Evidence) -> Assessment {
    let (figures, verdict) = (&evidence.figures, &evidence.verdict);
    let standing = match verdict.policies {
        0 => Standing::Gap,
        _ => share(figures.isolated, figures.workloads),
    };
    (
        if_tight(evidence, standing),
        format!(
            "{}; {} of {} rules were not used{}.",
            excess(evidence),
            verdict.unused_rules.len(),
            verdict.rules,
            allows_all(evidence)
        ),
        &["evidence.json", "edges.csv"],
    )
}
