//! How it stands with what the policies allow and deny.

use super::{Answer, Question, Standing, share};
use crate::report::evidence::{Evidence, WorkloadLine};
use std::collections::BTreeMap;

/// The answer to a question of policies.
pub fn answer(question: Question, evidence: &Evidence) -> Answer {
    match question {
        Question::Inbound => one_way(evidence, "into", |one| one.ingress),
        Question::Outbound => one_way(evidence, "out of", |one| one.egress),
        Question::Namespaces => namespaces(evidence),
        Question::LeastPrivilege => least_privilege(evidence),
        _ => deny_by_default(evidence),
    }
}

fn deny_by_default(evidence: &Evidence) -> Answer {
    let figures = &evidence.figures;
    (
        of_pods(evidence, share(figures.isolated, figures.workloads)),
        format!(
            "{} of {} workloads are isolated in both directions; on the host network, where NetworkPolicy does not reach: {}.",
            figures.isolated, figures.workloads, figures.host_network
        ),
        &["workloads.csv", "isolation.csv", "policies/"],
    )
}

/// What is shown of pods is shown in part where there are workloads that no policy reaches.
fn of_pods(evidence: &Evidence, standing: Standing) -> Standing {
    match evidence.figures.host_network {
        0 => standing,
        _ => standing.at_most_partly(),
    }
}

/// Denied by default in one direction, and no more allowed than what was seen.
fn one_way(evidence: &Evidence, way: &str, isolated: fn(&WorkloadLine) -> bool) -> Answer {
    let (figures, verdict) = (&evidence.figures, &evidence.verdict);
    let pods = evidence.workloads.iter().filter(|one| !one.host_network);
    let closed = pods.filter(|one| isolated(one)).count();
    let standing = match verdict.unused_total {
        0 => of_pods(evidence, share(closed, figures.workloads)),
        _ => share(closed, figures.workloads).at_most_partly(),
    };
    (
        standing,
        format!(
            "What goes {way} {closed} of {} workloads is denied unless a rule allows it; {} connections are allowed in all that were not observed; on the host network, where NetworkPolicy does not reach: {}.",
            figures.workloads, verdict.unused_total, figures.host_network
        ),
        &["workloads.csv", "policies/", "evidence.json"],
    )
}

fn namespaces(evidence: &Evidence) -> Answer {
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
    let standing = match figures.isolated < figures.workloads {
        true => whole.at_most_partly(),
        false => whole,
    };
    (
        standing,
        format!(
            "{with} of {} namespaces with workloads have policies{which}; {} of {} workloads are isolated in both directions.",
            namespaces.len(),
            figures.isolated,
            figures.workloads
        ),
        &["workloads.csv", "policies/"],
    )
}

fn least_privilege(evidence: &Evidence) -> Answer {
    let (figures, verdict) = (&evidence.figures, &evidence.verdict);
    let standing = match (verdict.policies, verdict.unused_total) {
        (0, _) => Standing::Gap,
        (_, 0) => share(figures.isolated, figures.workloads),
        _ => share(figures.isolated, figures.workloads).at_most_partly(),
    };
    (
        standing,
        format!(
            "{} connections are allowed to isolated workloads and were not observed; {} of {} rules were not used.",
            verdict.unused_total,
            verdict.unused_rules.len(),
            verdict.rules
        ),
        &["evidence.json", "edges.csv"],
    )
}
