use super::*;
use crate::testing::*;
use nanoseg_graph::{EnforcedPorts, Unattributed, UnattributedReason};

fn found(graph: &Graph, policies: &[NetworkPolicy], ours: &[(&str, i64)]) -> Vec<(String, bool)> {
    let managed = ours.iter().map(|(name, _)| id(name)).collect();
    let since = ours
        .iter()
        .map(|(name, secs)| (id(name), at(*secs)))
        .collect();
    let found = violations(
        graph,
        &cluster(),
        &ServiceEnforcements::default(),
        policies,
        &managed,
        &since,
    )
    .expect("policies");
    found
        .into_iter()
        .map(|v| {
            (
                format!("{} {} {}", v.client, v.server, v.port),
                v.may_be_proposed,
            )
        })
        .collect()
}

const FAILED: &[(Verdict, u64)] = &[(Verdict::Unanswered, 3)];
const WORKED: &[(Verdict, u64)] = &[(Verdict::Established, 3)];

fn deny(name: &str) -> NetworkPolicy {
    of(name, "ingress: [], egress: []")
}

#[test]
fn a_denied_attempt_is_a_violation_and_may_be_proposed_if_something_listens() {
    let graph = graph(&[
        ("shop/web shop/db 5432", FAILED, 10, 20),
        ("shop/web shop/db 9999", FAILED, 10, 20),
        ("shop/job shop/api 8080", FAILED, 10, 20),
        ("shop/web shop/job 22", FAILED, 10, 20),
    ]);
    let policies = [deny("shop/db"), deny("shop/api")];
    let seen = found(&graph, &policies, &[("shop/db", 0), ("shop/api", 0)]);
    let wanted = [
        ("shop/job shop/api 8080".to_owned(), true),
        ("shop/web shop/db 5432".to_owned(), true),
        ("shop/web shop/db 9999".to_owned(), false),
    ];
    assert_eq!(seen, wanted);
}

#[test]
fn a_server_that_answered_once_is_known_to_listen() {
    let graph = graph(&[
        ("ops/probe shop/web 7000", WORKED, 0, 1),
        ("shop/job shop/web 7000", FAILED, 10, 20),
    ]);
    let allowed = "ingress: [{from: [{namespaceSelector: {}, podSelector: {matchLabels: {app: probe}}}]}], egress: []";
    let seen = found(&graph, &[of("shop/web", allowed)], &[("shop/web", 5)]);
    assert_eq!(seen, [("shop/job shop/web 7000".to_owned(), true)]);
}

#[test]
fn traffic_that_is_older_than_the_policy_or_allowed_or_not_ours_is_no_violation() {
    let graph = graph(&[
        ("shop/web shop/db 5432", FAILED, 10, 20),
        ("shop/web shop/api 8080", FAILED, 10, 20),
    ]);
    let policies = [
        deny("shop/db"),
        of(
            "shop/api",
            "ingress: [{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 8080}]}]",
        ),
    ];
    let ours = [("shop/db", 21), ("shop/api", 0)];
    assert_eq!(found(&graph, &policies, &ours), []);
    assert_eq!(found(&graph, &policies, &[("shop/web", 0)]), []);
    assert_eq!(found(&graph, &policies, &[]), []);
    assert_eq!(found(&graph, &policies, &[("shop/db", 20)]).len(), 1);
}

#[test]
fn traffic_that_succeeds_although_it_is_denied_is_a_violation_too() {
    let graph = graph(&[("shop/web 93.184.216.34 443", WORKED, 10, 20)]);
    let seen = found(&graph, &[deny("shop/web")], &[("shop/web", 15)]);
    assert_eq!(
        seen,
        [("shop/web outside:93.184.216.34 443".to_owned(), true)]
    );
}

#[test]
fn the_requirement_of_a_violation_equals_that_of_a_learned_edge() {
    let built = graph(&[("shop/web 93.184.216.34 443", FAILED, 10, 20)]);
    let managed = BTreeSet::from([id("shop/web")]);
    let since = BTreeMap::from([(id("shop/web"), at(0))]);
    let found = violations(
        &built,
        &cluster(),
        &ServiceEnforcements::default(),
        &[deny("shop/web")],
        &managed,
        &since,
    )
    .unwrap();
    let learned = graph(&[("shop/web 93.184.216.34 443", WORKED, 10, 20)]);
    let mut wanted =
        nanoseg_graph::requirements(&learned, &cluster(), &ServiceEnforcements::default());
    wanted[0].edge = Requiring::NOT_TAUGHT;
    assert_eq!(found[0].requirement, wanted[0]);
    assert_eq!((found[0].connections, found[0].last), (3, at(20)));
}

#[test]
fn addresses_without_a_known_owner_are_not_proposed() {
    let mut built = Graph::default();
    let mut edge = Edge::new(Protocol::Tcp, 5432);
    edge.verdicts.insert(Verdict::Unanswered, 1);
    (edge.first, edge.last) = (Some(at(1)), Some(at(2)));
    let stranger = Peer::Unattributed(Unattributed::at(
        "10.244.1.77".parse().unwrap(),
        UnattributedReason::UnknownPod,
    ));
    built.add_edge(&stranger, &peer("shop/db"), edge);
    let seen = found(&built, &[deny("shop/db")], &[("shop/db", 0)]);
    assert_eq!(
        seen,
        [("unknown-pod:10.244.1.77 shop/db 5432".to_owned(), false)]
    );
}

#[test]
fn a_connection_that_was_approved_before_it_worked_stays_required() {
    let graph = graph(&[
        ("shop/web shop/db 5432", FAILED, 10, 20),
        ("shop/job shop/db 5432", FAILED, 10, 20),
        // Nothing is known to listen there.
        ("shop/web shop/db 9999", FAILED, 10, 20),
    ]);
    let allows_web = of(
        "shop/db",
        "ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}], egress: []",
    );
    let asked = |policies: &[NetworkPolicy]| {
        let managed = BTreeSet::from([id("shop/db")]);
        approved_attempts(
            &graph,
            &cluster(),
            &ServiceEnforcements::default(),
            policies,
            &managed,
        )
        .unwrap()
    };
    let allowed = asked(&[allows_web]);
    assert_eq!(allowed.len(), 1, "{allowed:?}");
    assert_eq!(
        allowed[0].client,
        nanoseg_graph::End::Workload(id("shop/web"))
    );
    assert_eq!(asked(&[deny("shop/db")]), []);
}

/// `shop/web` calls `shop/api` through its Service, 80 → 8080.
fn called_through_the_service(verdicts: &[(Verdict, u64)]) -> Graph {
    let mut built = Graph::default();
    let mut edge = Edge::new(Protocol::Tcp, 8080);
    edge.verdicts = verdicts.iter().copied().collect();
    edge.service_ports.insert(80);
    edge.services.insert("shop/api".into());
    (edge.first, edge.last) = (Some(at(10)), Some(at(20)));
    built.add_edge(&peer("shop/web"), &peer("shop/api"), edge);
    built
}

#[test]
fn where_plugins_check_before_translation_a_policy_without_the_service_port_is_violated() {
    let graph = called_through_the_service(FAILED);
    let pod_port = of(
        "shop/api",
        "ingress: [{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 8080}]}]",
    );
    let managed = BTreeSet::from([id("shop/api")]);
    let since = BTreeMap::from([(id("shop/api"), at(0))]);
    let ports = |enforcement: EnforcedPorts| -> Vec<u16> {
        let policies = [pod_port.clone()];
        let found = violations(
            &graph,
            &cluster(),
            &enforcement.into(),
            &policies,
            &managed,
            &since,
        );
        let found = found.expect("policies");
        found.iter().map(|one| one.requirement.port).collect()
    };
    assert!(ports(EnforcedPorts::Pod).is_empty());
    assert_eq!(ports(EnforcedPorts::Either), [80]);
}

#[test]
fn where_plugins_check_before_translation_an_approved_attempt_needs_the_service_port_too() {
    let graph = called_through_the_service(FAILED);
    let both_ports = of(
        "shop/api",
        "ingress: [{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 8080}, {port: 80}]}]",
    );
    let managed = BTreeSet::from([id("shop/api")]);
    let ports = |enforcement: EnforcedPorts| -> Vec<u16> {
        let policies = [both_ports.clone()];
        let found = approved_attempts(&graph, &cluster(), &enforcement.into(), &policies, &managed);
        found
            .expect("policies")
            .iter()
            .map(|one| one.port)
            .collect()
    };
    assert_eq!(ports(EnforcedPorts::Pod), [8080]);
    assert_eq!(ports(EnforcedPorts::Either), [8080, 80]);
}

mod late;

#[test]
fn a_client_through_a_node_is_denied_in_both_ways_if_it_was_answered_and_in_one_if_not() {
    let seen = |verdicts: &[(Verdict, u64)], rules: &str| {
        let mut built = Graph::default();
        let mut edge = Edge::new(Protocol::Tcp, 8080);
        edge.verdicts = verdicts.iter().copied().collect();
        edge.services.insert("shop/api:80".into());
        edge.enforced_from = cluster().node_addresses();
        (edge.first, edge.last) = (Some(at(10)), Some(at(20)));
        built.add_edge(&peer("203.0.113.7"), &peer("shop/api"), edge);
        found(&built, &[of("shop/api", rules)], &[("shop/api", 0)]).len()
    };
    let nodes = "{ipBlock: {cidr: 172.18.0.0/24}}, {ipBlock: {cidr: 10.244.1.1/32}}, {ipBlock: {cidr: 10.244.2.1/32}}";
    let only_nodes = format!("ingress: [{{from: [{nodes}]}}], egress: []");
    let both = format!(
        "ingress: [{{from: [{nodes}, {{ipBlock: {{cidr: 203.0.113.7/32}}}}]}}], egress: []"
    );
    assert_eq!((seen(WORKED, &both), seen(FAILED, &both)), (0, 0));
    assert_eq!(
        (seen(WORKED, &only_nodes), seen(FAILED, &only_nodes)),
        (0, 1)
    );
    let nobody = "ingress: [], egress: []";
    assert_eq!((seen(WORKED, nobody), seen(FAILED, nobody)), (2, 2));
}

#[test]
fn who_never_answered_is_not_proposed_for_whoever_it_is() {
    use Verdict::{Established, Refused, Unanswered};
    let asks = |to: &str, verdicts: &[(Verdict, u64)]| {
        let graph = graph(&[(&format!("shop/db {to}"), verdicts, -60, -10)]);
        let all = found(&graph, &[deny("shop/db")], &[("shop/db", -600)]);
        assert_eq!(all.len(), 1, "{to}: a violation all the same");
        all[0].1
    };
    for to in ["169.254.169.254 80", "198.51.100.7 443"] {
        assert!(!asks(to, &[(Unanswered, 4)]), "{to}");
        assert!(!asks(to, &[(Refused, 4)]), "{to}");
        assert!(asks(to, &[(Established, 1), (Unanswered, 4)]), "{to}");
    }
    // Nobody says that a node listens at that port; the one of the API server is declared.
    let edge = |server: &Peer, port: u16, verdict| {
        let mut edge = nanoseg_graph::Edge::new(Protocol::Tcp, port);
        edge.verdicts.insert(verdict, 1);
        edge.lesson = match verdict {
            Established => nanoseg_graph::Lesson::Learned,
            _ => nanoseg_graph::Lesson::Ignored(String::new()),
        };
        let mut inventory = cluster();
        inventory
            .api_server
            .insert("172.18.0.9:6443".parse().expect("an address"));
        let graph = Graph::default();
        let listeners = super::KnownListeners::build(&graph, &inventory);
        listeners.may_be_proposed(&peer("shop/db"), server, &edge)
    };
    let node = Peer::Node("n1".into());
    assert!(!edge(&node, 10250, Unanswered));
    assert!(edge(&node, 10250, Established));
    assert!(edge(&Peer::ApiServer, 6443, Unanswered));
    assert!(!edge(&Peer::ApiServer, 22, Unanswered));
}
