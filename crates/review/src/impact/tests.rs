//! Tests of the impact of a proposal.

use super::*;
use crate::testing::{DAY, at, cluster, graph, id, of, policy};
use crate::violations;
use nanoseg_finding::Code;
use nanoseg_flow::Verdict::{Established, Refused};
use nanoseg_graph::EnforcedPorts;
use nanoseg_net::Protocol;
use std::collections::BTreeMap;

/// Inputs for `shop/db`, whose policy allows the workloads of `after` in namespace shop on port 5432.
struct Case {
    inventory: Inventory,
    graph: Graph,
    base: Option<NetworkPolicySpec>,
    policy: NetworkPolicySpec,
    enforcement: ServiceEnforcements,
    findings: Vec<Finding>,
    wanted: Vec<Violation>,
}

fn db(clients: &[&str]) -> NetworkPolicySpec {
    let rules: Vec<String> = clients
        .iter()
        .map(|app| {
            format!(
                "{{from: [{{podSelector: {{matchLabels: {{app: {app}}}}}}}], ports: [{{port: 5432, protocol: TCP}}]}}"
            )
        })
        .collect();
    let rules = format!("ingress: [{}], egress: []", rules.join(", "));
    of("shop/db", &rules).spec.expect("a spec")
}

impl Case {
    fn new(base: Option<&[&str]>, after: &[&str]) -> Case {
        Case {
            inventory: cluster(),
            graph: graph(&[
                ("shop/api shop/db 5432", &[(Established, 9)], -3 * DAY, -60),
                ("shop/job shop/db 5432", &[(Established, 2)], -600, -60),
                ("shop/web shop/api 8080", &[(Established, 7)], -3 * DAY, -60),
            ]),
            base: base.map(db),
            policy: db(after),
            enforcement: ServiceEnforcements::default(),
            findings: Vec::new(),
            wanted: Vec::new(),
        }
    }

    fn ask(&self) -> Result<Impact, EvaluateError> {
        Ok(self.assess()?.impact)
    }

    fn intent(&self) -> Intent {
        self.assess().expect("an assessment").intent
    }

    fn assess(&self) -> Result<Assessment, EvaluateError> {
        let needed = nanoseg_graph::requirements(&self.graph, &self.inventory, &self.enforcement);
        assess(&ImpactInputs {
            inventory: &self.inventory,
            graph: &self.graph,
            enforcement: &self.enforcement,
            requirements: &needed,
            wanted_blocked: &self.wanted,
            workload: &id("shop/db"),
            policy_name: "nanoseg-db",
            base: self.base.as_ref(),
            policy: &self.policy,
            others: &[],
            findings: &self.findings,
            coverage: Some(0.979),
            reason: "a test",
            now: at(0),
        })
    }

    fn impact(&self) -> Impact {
        self.ask().expect("impact")
    }
}

fn codes(impact: &Impact) -> Vec<&str> {
    impact
        .findings
        .iter()
        .map(|line| line.code.as_str())
        .collect()
}

#[test]
fn a_first_policy_shows_what_it_allows_and_what_it_closes() {
    let impact = Case::new(None, &["api", "job"]).impact();
    assert_eq!(
        impact.revision,
        policy_digest(&db(&["api", "job"])).to_string()
    );
    assert_eq!(impact.gained_total, 0);
    assert!(impact.lost_total > 4, "{}", impact.lost_total);
    assert_eq!(impact.lost.len(), impact.lost_total as usize);
    let clients: Vec<&str> = impact
        .evidence
        .iter()
        .map(|line| line.client.as_str())
        .collect();
    assert_eq!(clients, ["shop/api", "shop/job"]);
    assert_eq!(impact.evidence[0].connections, 9);
    assert_eq!(impact.evidence[0].port, "5432/TCP");
    assert_eq!(impact.coverage, Some(97));
    assert_eq!((impact.would_block_total, impact.risk.as_str()), (0, "low"));
    assert_eq!(
        codes(&impact),
        ["first-seen-today"],
        "job came ten minutes ago"
    );
}

#[test]
fn a_change_shows_what_it_opens_and_closes_and_no_connections_of_others() {
    let impact = Case::new(Some(&["api"]), &["job"]).impact();
    let words = |list: &[crate::resources::ChangeLine]| -> Vec<String> {
        list.iter()
            .map(|c| format!("{} → {} {}", c.client, c.server, c.ports))
            .collect()
    };
    assert_eq!(words(&impact.gained), ["shop/job → shop/db TCP 5432"]);
    assert_eq!(words(&impact.lost), ["shop/api → shop/db TCP 5432"]);
}

#[test]
fn recorded_flows_that_it_would_block_are_counted_and_are_findings() {
    let impact = Case::new(Some(&["api", "job"]), &["job"]).impact();
    assert_eq!(impact.would_block_total, 1);
    assert_eq!(impact.would_block[0].client, "shop/api");
    assert_eq!(impact.would_block[0].connections, 9);
    assert!(codes(&impact).contains(&"would-block"));
    assert_eq!(impact.risk, "medium");
    // A connection that was blocked before is not blocked by this policy.
    let impact = Case::new(Some(&["job"]), &["job"]).impact();
    assert_eq!(impact.would_block_total, 0);
}

#[test]
fn a_connection_that_was_tried_and_blocked_is_a_finding() {
    let mut case = Case::new(Some(&["api"]), &["api", "web"]);
    case.graph = graph(&[
        ("shop/api shop/db 5432", &[(Established, 9)], -3 * DAY, -60),
        ("shop/web shop/db 5432", &[(Refused, 4)], -60, -30),
    ]);
    let enforced = [policy_of(&db(&["api"]))];
    let managed = BTreeSet::from([id("shop/db")]);
    let since = BTreeMap::from([(id("shop/db"), at(-DAY))]);
    case.wanted = violations(
        &case.graph,
        &case.inventory,
        &case.enforcement,
        &enforced,
        &managed,
        &since,
    )
    .expect("violations");
    assert_eq!(case.wanted.len(), 1);
    let impact = case.impact();
    assert!(
        codes(&impact).contains(&"blocked-traffic"),
        "{:?}",
        impact.findings
    );
    let line = impact
        .evidence
        .iter()
        .find(|line| line.client == "shop/web")
        .expect("evidence");
    assert_eq!(line.notes, ["blocked", "new"]);
    // A report finds the decision about a violation by this connection.
    assert_eq!(line.connection(), Some(case.wanted[0].connection()));
}

#[test]
fn errors_of_the_workload_make_the_risk_high_and_those_of_others_do_not() {
    let mut case = Case::new(None, &["api", "job"]);
    case.findings.push(Finding::new(
        Code::UnselectableWorkload,
        "shop/other",
        "has no labels",
    ));
    assert_eq!(case.impact().risk, "low");
    case.findings
        .push(Finding::new(Code::PortScan, "shop/db", "scanned"));
    assert_eq!(case.impact().risk, "high");
}

#[test]
fn a_client_that_scanned_ports_and_got_answers_is_a_finding() {
    let mut case = Case::new(None, &["api", "job"]);
    case.findings
        .push(Finding::new(Code::PortScan, "shop/job", "scanned"));
    assert!(codes(&case.impact()).contains(&"scan-shadow"));
}

#[test]
fn new_connections_that_leave_the_namespace_or_the_cluster_are_findings() {
    let mut case = Case::new(None, &[]);
    case.policy = of(
        "shop/db",
        "ingress: [{from: [{namespaceSelector: {}, podSelector: {matchLabels: {app: probe}}}]}], egress: [{}]",
    )
    .spec
    .expect("a spec");
    case.graph = graph(&[
        ("ops/probe shop/db 5432", &[(Established, 9)], -3 * DAY, -60),
        (
            "shop/db 198.51.100.7 443",
            &[(Established, 9)],
            -3 * DAY,
            -60,
        ),
        (
            "shop/db 169.254.169.254 80",
            &[(Established, 9)],
            -3 * DAY,
            -60,
        ),
    ]);
    let impact = case.impact();
    assert_eq!(
        codes(&impact),
        ["internet-egress", "metadata-service", "cross-namespace"]
    );
    // If it was approved before, it is not new.
    case.base = Some(case.policy.clone());
    assert_eq!(codes(&case.impact()), Vec::<&str>::new());
}

#[test]
fn a_policy_that_the_api_server_would_refuse_is_an_error() {
    let mut case = Case::new(None, &[]);
    case.policy = policy(
        "shop/db",
        "{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: nonsense}}]}]}",
    )
    .spec
    .expect("a spec");
    assert!(case.ask().is_err());
}

#[test]
fn long_lists_are_truncated_and_their_totals_are_listed() {
    let mut case = Case::new(None, &["api"]);
    let edges: Vec<String> = (1..=80u16)
        .map(|port| format!("shop/web shop/db {port}"))
        .collect();
    let verdicts: &[(nanoseg_flow::Verdict, u64)] = &[(Established, 1)];
    let all: Vec<_> = edges
        .iter()
        .map(|edge| (edge.as_str(), verdicts, -2 * DAY, -60))
        .collect();
    case.graph = graph(&all);
    let impact = case.impact();
    assert_eq!(
        (impact.would_block.len(), impact.would_block_total),
        (50, 80)
    );
}

#[test]
fn what_a_policy_is_meant_to_do_is_kept_in_full() {
    let client = |one: &IntendedConnection| one.client.to_string();
    let intent = Case::new(Some(&["api", "job"]), &["job"]).intent();
    let [allows, blocks] =
        [&intent.allows, &intent.blocks].map(|all| all.iter().map(client).collect::<Vec<_>>());
    assert_eq!(
        (allows, blocks),
        (vec!["shop/job".to_owned()], vec!["shop/api".to_owned()])
    );
    let mut case = Case::new(None, &["api"]);
    let edges: Vec<String> = (1..=80u16)
        .map(|port| format!("shop/web shop/db {port}"))
        .collect();
    let verdicts: &[(nanoseg_flow::Verdict, u64)] = &[(Established, 1)];
    let all: Vec<_> = edges
        .iter()
        .map(|edge| (edge.as_str(), verdicts, -2 * DAY, -60))
        .collect();
    case.graph = graph(&all);
    assert_eq!(case.intent().blocks.len(), 80);
}

#[test]
fn a_finding_that_is_added_stands_with_its_like_and_counts_for_the_risk() {
    let mut impact = Case::new(Some(&["api"]), &["api"]).impact();
    assert_eq!(impact.risk, "low");
    let finding = Finding::new(Code::ClosedOnPurpose, "shop/web → shop/db 5432/TCP", "x");
    impact.add_finding(&finding);
    assert_eq!(impact.risk, "medium");
    assert_eq!(codes(&impact).first(), Some(&"closed-on-purpose"));
}

#[test]
fn evidence_of_new_connections_is_truncated_last() {
    let mut case = Case::new(Some(&["api"]), &["api", "web"]);
    // Every port is allowed, to api before and to web from now on.
    let open = |apps: &[&str]| {
        let from: Vec<String> = apps
            .iter()
            .map(|app| format!("{{podSelector: {{matchLabels: {{app: {app}}}}}}}"))
            .collect();
        let rules = format!("ingress: [{{from: [{}]}}], egress: []", from.join(", "));
        of("shop/db", &rules).spec.expect("a spec")
    };
    (case.base, case.policy) = (Some(open(&["api"])), open(&["api", "web"]));
    let mut edges: Vec<String> = (1..=80u16)
        .map(|port| format!("shop/api shop/db {port}"))
        .collect();
    edges.push("shop/web shop/db 5432".into());
    let verdicts: &[(nanoseg_flow::Verdict, u64)] = &[(Established, 1)];
    let all: Vec<_> = edges
        .iter()
        .map(|edge| (edge.as_str(), verdicts, -2 * DAY, -60))
        .collect();
    case.graph = graph(&all);
    let impact = case.impact();
    assert_eq!((impact.evidence.len(), impact.evidence_total), (50, 81));
    assert_eq!(impact.evidence[0].client, "shop/web");
    assert_eq!(impact.evidence[0].notes, ["new"]);
}

fn policy_of(spec: &NetworkPolicySpec) -> NetworkPolicy {
    let mut policy = of("shop/db", "ingress: []");
    policy.spec = Some(spec.clone());
    policy
}

#[test]
fn one_finding_of_each_code_is_always_kept() {
    let line = |code: &str, number: usize| FindingLine {
        code: code.into(),
        subject: number.to_string(),
        ..FindingLine::default()
    };
    let mut all: Vec<FindingLine> = (0..80).map(|n| line("internet-egress", n)).collect();
    all.extend([line("mutable-tag", 0), line("cross-namespace", 0)]);
    let kept = super::cut_findings(all.clone());
    assert_eq!(kept.len(), super::MOST_LINES);
    assert_eq!(kept[..48], all[..48]);
    assert_eq!(kept[48..], all[80..]);
    assert_eq!(super::cut_findings(all[70..].to_vec()), all[70..]);
}

#[test]
fn where_plugins_check_before_translation_a_proposal_without_the_service_port_would_block() {
    let mut case = Case::new(Some(&["api"]), &["api"]);
    let (client, server) = (
        Peer::Workload(id("shop/api")),
        Peer::Workload(id("shop/db")),
    );
    let mut edge = case
        .graph
        .edge(&client, &server, Protocol::Tcp, 5432)
        .expect("an edge")
        .clone();
    edge.service_ports.insert(6000);
    case.graph = Graph::default();
    case.graph.add_edge(&client, &server, edge);
    let rules = "ingress: [{from: [{podSelector: {matchLabels: {app: api}}}], \
                 ports: [{port: 5432}, {port: 6000}]}], egress: []";
    case.base = of("shop/db", rules).spec;
    assert_eq!(case.impact().would_block_total, 0);
    assert_eq!(case.impact().evidence_total, 1);
    case.enforcement = EnforcedPorts::Either.into();
    assert_eq!(case.impact().would_block_total, 1);
    assert_eq!(case.impact().evidence_total, 0);
}

#[test]
fn what_nearly_all_workloads_share_raises_no_risk_and_is_shown_and_refused_all_the_same() {
    let mut case = Case::new(None, &["api", "job"]);
    case.findings
        .push(Finding::new(Code::MutableTag, "shop/db", "runs db:1"));
    let mut impact = case.impact();
    assert_eq!(impact.risk, "medium");
    impact.mark_shared(&id("shop/other"), &[Code::MutableTag].into());
    assert_eq!(impact.risk, "medium", "another workload's");
    impact.mark_shared(&id("shop/db"), &[Code::MutableTag].into());
    assert_eq!(impact.risk, "low");
    assert_eq!(codes(&impact), ["first-seen-today", "mutable-tag"]);
    let text = "metadata: {name: default, namespace: shop}\nspec: {mode: Enforce, approval: {mode: Automatic}}";
    let segmentation: crate::resources::Segmentation =
        serde_yaml::from_str(text).expect("a Segmentation");
    let settings = crate::SegmentationSettings::parse(&segmentation).expect("settings");
    let refused = crate::may_approve(&settings, &impact, false);
    assert!(refused.is_err_and(|why| why.contains("mutable-tag")));
    // What the proposal itself opens is never shared.
    impact.add_finding(&Finding::new(Code::InternetEgress, "shop/db → x", "open"));
    impact.mark_shared(
        &id("shop/db"),
        &[Code::MutableTag, Code::InternetEgress].into(),
    );
    assert_eq!(impact.risk, "medium");
}
