//! New pods and pods that just went: judged late rather than wrong.

use super::*;
use nanoseg_graph::Evidence;
use nanoseg_inventory::testing;

/// Time 0 of these tests: when pods of [`cluster_with`] start.
const START: &str = "2027-01-15T08:00:00Z";

fn with(more: &[String]) -> Inventory {
    let pod = |name: &str, address: &str| {
        testing::pod("shop", name, address, "n1", &format!("app: {name}"))
    };
    let mut documents = vec![
        testing::node("n1", "10.244.1.0/24", "172.18.0.2"),
        pod("web", "10.244.1.5"),
        pod("api", "10.244.1.6"),
        pod("db", "10.244.1.7"),
    ];
    documents.extend_from_slice(more);
    testing::inventory(&documents.join("\n---\n")).0
}

/// A pod of `web` that ended so many seconds after [`at`] 0.
fn gone(address: &str, end: i64) -> String {
    let end = jiff::Timestamp::from_second(1_800_000_000 + end).expect("a time");
    testing::pod("shop", "web", address, "n1", "app: web")
        .replace("name: web,", "name: web-gone,")
        .replace(
            "phase: Running",
            &format!(
                "phase: Succeeded, containerStatuses: [{{name: c, state: {{terminated: {{finishedAt: '{end}'}}}}}}]"
            ),
        )
}

fn stranger(address: &str) -> Peer {
    Peer::Unattributed(Unattributed::at(
        address.parse().unwrap(),
        UnattributedReason::UnknownPod,
    ))
}

/// Attempts of `client` to reach `shop/db`.
fn attempts(client: &Peer, address: &str, (first, last): (i64, i64)) -> Graph {
    let mut built = Graph::default();
    let mut edge = Edge::new(Protocol::Tcp, 5432);
    edge.verdicts.insert(Verdict::Refused, 3);
    (edge.first, edge.last) = (Some(at(first)), Some(at(last)));
    edge.evidence.push(Evidence {
        client: address.parse().unwrap(),
        server: "10.244.1.7".parse().unwrap(),
        port: 5432,
        via: None,
        seen_as: None,
        verdict: Verdict::Refused,
        opening: nanoseg_flow::Opening::Handshake,
        connections: 3,
        first: at(first),
        last: at(last),
    });
    built.add_edge(client, &peer("shop/db"), edge);
    built
}

const ALLOWS_WEB: &str =
    "ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}], egress: []";

fn search(graph: &Graph, inventory: &Inventory, rules: &str) -> Vec<Violation> {
    violations(
        graph,
        inventory,
        &ServiceEnforcements::default(),
        &[of("shop/db", rules)],
        &BTreeSet::from([id("shop/db")]),
        &BTreeMap::from([(id("shop/db"), at(0))]),
    )
    .expect("policies")
}

#[test]
fn late_packets_of_a_pod_that_just_went_are_judged_as_the_pods() {
    let inventory = with(&[gone("10.244.1.77", 100)]);
    let seen = |times, rules| {
        let graph = attempts(&stranger("10.244.1.77"), "10.244.1.77", times);
        search(&graph, &inventory, rules).len()
    };
    assert_eq!(seen((130, 250), ALLOWS_WEB), 0);
    // Of what is not allowed to it, nothing is excused.
    assert_eq!(seen((130, 250), "ingress: [], egress: []"), 1);
    // And not for ever.
    assert_eq!(seen((130, 500), ALLOWS_WEB), 1);
    assert_eq!(seen((1000, 1000), ALLOWS_WEB), 1);
}

#[test]
fn packets_before_a_pods_address_is_known_are_judged_as_the_pods() {
    let new = testing::pod("shop", "web", "10.244.1.78", "n1", "app: web")
        .replace("name: web,", "name: web-new,")
        .replace("2026-01-01T00:00:00Z", "2027-01-15T08:05:00Z");
    assert_eq!(at(0).to_string(), START);
    let graph = attempts(&stranger("10.244.1.78"), "10.244.1.78", (200, 200));
    assert_eq!(search(&graph, &with(&[new]), ALLOWS_WEB), []);
    assert_eq!(search(&graph, &with(&[]), ALLOWS_WEB).len(), 1);
}

#[test]
fn a_job_that_was_over_before_its_address_was_known_is_judged_as_the_job() {
    let job = gone("10.244.1.80", 101).replace("podIP: 10.244.1.80, ", "");
    let seen = |node: &str, rules: &str| {
        let mut graph = Graph::default();
        let one = attempts(&stranger("10.244.1.80"), "10.244.1.80", (100, 100));
        for (client, server, edge) in one.edges() {
            let mut edge = edge.clone();
            edge.observers = nanoseg_flow::Observers::one(&node.into());
            graph.add_edge(client, server, edge);
        }
        search(&graph, &with(std::slice::from_ref(&job)), rules).len()
    };
    assert_eq!(seen("n1", ALLOWS_WEB), 0);
    assert_eq!(seen("n1", "ingress: [], egress: []"), 1);
    assert_eq!(seen("n2", ALLOWS_WEB), 1);
}

#[test]
fn a_call_of_a_service_whose_pods_are_all_gone_is_judged_by_whom_it_leads_to() {
    let service = "apiVersion: v1\nkind: Service\nmetadata: {namespace: shop, name: api}\n\
         spec: {clusterIP: 10.96.0.20, clusterIPs: [10.96.0.20], selector: {app: api}, \
         ports: [{port: 80, targetPort: 8080, protocol: TCP}]}";
    let slice = "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {namespace: shop, name: api-0, \
         labels: {kubernetes.io/service-name: api}}\naddressType: IPv4\nports: [{port: 8080, protocol: TCP}]\n\
         endpoints: []";
    let inventory = with(&[service.to_owned(), slice.to_owned()]);
    let mut known = Edge::new(Protocol::Tcp, 8080);
    known.verdicts.insert(Verdict::Established, 3);
    known.services.insert("shop/api:80".into());
    (known.first, known.last) = (Some(at(10)), Some(at(20)));
    let mut graph = Graph::default();
    graph.add_edge(&peer("shop/web"), &peer("shop/api"), known);
    let mut orphan = Edge::new(Protocol::Tcp, 80);
    orphan.verdicts.insert(Verdict::Refused, 1);
    (orphan.first, orphan.last) = (Some(at(30)), Some(at(30)));
    let nobody = Peer::Unattributed(Unattributed {
        name: Some("shop/api".into()),
        ..Unattributed::at(
            "10.96.0.20".parse().unwrap(),
            UnattributedReason::ServiceWithoutEndpoints,
        )
    });
    graph.add_edge(&peer("shop/web"), &nobody, orphan);
    let seen = |rules: &str| {
        let found = violations(
            &graph,
            &inventory,
            &ServiceEnforcements::default(),
            &[of("shop/web", rules)],
            &BTreeSet::from([id("shop/web")]),
            &BTreeMap::from([(id("shop/web"), at(25))]),
        );
        found.expect("policies").len()
    };
    let to_api = "ingress: [], egress: [{to: [{podSelector: {matchLabels: {app: api}}}], ports: [{port: 8080}]}]";
    assert_eq!(seen(to_api), 0);
    assert_eq!(seen("ingress: [], egress: []"), 1);
}

#[test]
fn what_is_seen_from_the_middle_is_perhaps_the_answer_of_an_allowed_connection() {
    let mut built = graph(&[("shop/web shop/db 5432", WORKED, 0, 50)]);
    let mut middle = Edge::new(Protocol::Tcp, 48_212);
    middle.verdicts.insert(Verdict::Established, 1);
    middle.inferred = true;
    (middle.first, middle.last) = (Some(at(40)), Some(at(50)));
    built.add_edge(&peer("shop/db"), &peer("shop/web"), middle.clone());
    assert_eq!(search(&built, &with(&[]), ALLOWS_WEB), []);
    // An attempt is no answer.
    let mut built = graph(&[("shop/web shop/db 5432", WORKED, 0, 50)]);
    middle.verdicts.insert(Verdict::Unanswered, 1);
    built.add_edge(&peer("shop/db"), &peer("shop/web"), middle);
    assert_eq!(search(&built, &with(&[]), ALLOWS_WEB).len(), 1);
}

fn judged(pending: &mut PendingViolations, found: &[Violation], caught_up: i64, now: i64) -> usize {
    pending
        .judge(found.to_vec(), None, at(caught_up), at(now))
        .len()
}

#[test]
fn nobody_is_judged_before_what_is_known_of_the_cluster_has_caught_up() {
    let job = attempts(&peer("shop/api"), "10.244.1.6", (90, 99));
    let found = search(&job, &with(&[]), ALLOWS_WEB);
    assert_eq!(found[0].attributed, Attributed::Certain);
    let mut pending = PendingViolations::default();
    assert_eq!(judged(&mut pending, &found, 98, 100), 0);
    assert_eq!(pending.waiting().count(), 1);
    assert_eq!(
        judged(&mut pending, &found, 98, 500),
        0,
        "the API server is silent"
    );
    assert_eq!(pending.ripe(at(99)).len(), 2);
    assert_eq!(judged(&mut pending, &found, 99, 501), 1);
    assert_eq!(
        (pending.waiting().count(), pending.ripe(at(600)).len()),
        (0, 0)
    );
    // What goes on is not put off again.
    assert_eq!(judged(&mut pending, &found, 98, 502), 1);
}

#[test]
fn what_is_needed_of_the_cluster_is_asked_for_when_the_time_of_a_connection_has_come() {
    let job = attempts(&peer("shop/api"), "10.244.1.6", (90, 99));
    let mut pending = PendingViolations::default();
    assert_eq!(pending.needed(at(200)), None);
    judged(&mut pending, &search(&job, &with(&[]), ALLOWS_WEB), 98, 100);
    assert_eq!(pending.needed(at(98)), None);
    assert_eq!(pending.needed(at(99)), Some(at(99)));
    assert_eq!(pending.needed(at(200)), Some(at(99)));
    judged(&mut pending, &search(&job, &with(&[]), ALLOWS_WEB), 99, 200);
    assert_eq!(pending.needed(at(200)), None, "it is judged");
}

#[test]
fn a_controller_that_takes_over_does_not_begin_to_wait_anew() {
    let job = attempts(&peer("shop/api"), "10.244.1.6", (90, 99));
    let found = search(&job, &with(&[]), ALLOWS_WEB);
    // What it has listed is of a time after the traffic.
    let mut pending = PendingViolations::default();
    assert_eq!(judged(&mut pending, &found, 100, 500), 1);
    // A clock that runs ahead puts nothing off.
    let ahead = attempts(&peer("shop/api"), "10.244.1.6", (90, 9000));
    let found = search(&ahead, &with(&[]), ALLOWS_WEB);
    let mut pending = PendingViolations::default();
    assert_eq!(judged(&mut pending, &found, 99, 100), 0);
    assert_eq!(judged(&mut pending, &found, 100, 101), 1);
}

#[test]
fn an_unknown_end_has_a_grace_that_it_cannot_stretch() {
    let inventory = with(&[]);
    let mut pending = PendingViolations::default();
    let seen = |last: i64| {
        let graph = attempts(&stranger("10.244.1.77"), "10.244.1.77", (90, last));
        search(&graph, &inventory, ALLOWS_WEB)
    };
    assert_eq!(seen(99)[0].attributed, Attributed::Unsettled);
    assert_eq!(judged(&mut pending, &seen(99), 100, 100), 0);
    assert_eq!(judged(&mut pending, &seen(158), 158, 159), 0);
    // It goes on sending.
    assert_eq!(judged(&mut pending, &seen(160), 160, 161), 1);
}

#[test]
fn while_a_pod_waits_for_its_address_unknown_ends_wait_longer_and_not_for_ever() {
    let waiting = testing::pod("shop", "web", "10.244.1.79", "n1", "app: web")
        .replace("name: web,", "name: web-new,")
        .replace("podIP: 10.244.1.79, ", "");
    let graph = attempts(&stranger("10.244.1.77"), "10.244.1.77", (90, 99));
    let found = search(&graph, &with(&[waiting]), ALLOWS_WEB);
    assert_eq!(found[0].attributed, Attributed::AddressAwaited);
    let mut pending = PendingViolations::default();
    assert_eq!(judged(&mut pending, &found, 100, 100), 0);
    assert_eq!(judged(&mut pending, &found, 698, 698), 0);
    assert_eq!(judged(&mut pending, &found, 699, 699), 1);
}

#[test]
fn who_turns_out_to_be_allowed_leaves_nothing_and_may_be_a_stranger_again() {
    let mut pending = PendingViolations::default();
    let graph = attempts(&stranger("10.244.1.77"), "10.244.1.77", (90, 99));
    let found = search(&graph, &with(&[]), ALLOWS_WEB);
    assert_eq!(judged(&mut pending, &found, 100, 100), 0);
    assert_eq!(judged(&mut pending, &[], 110, 110), 0);
    assert_eq!(pending.waiting().count(), 0);
    assert_eq!(judged(&mut pending, &found, 120, 120), 0, "it waits again");
    assert_eq!(judged(&mut pending, &found, 159, 160), 1);
}

#[test]
fn more_unknown_ends_than_can_wait_are_judged_at_once() {
    let inventory = with(&[]);
    let graph = attempts(&stranger("10.244.1.77"), "10.244.1.77", (90, 99));
    let one = search(&graph, &inventory, ALLOWS_WEB).remove(0);
    let many: Vec<Violation> = (0..10_001_u32)
        .map(|n| Violation {
            client: stranger(&std::net::Ipv4Addr::from(0x0af4_0100 + n).to_string()),
            ..one.clone()
        })
        .collect();
    let mut pending = PendingViolations::default();
    assert_eq!(judged(&mut pending, &many, 100, 100), 1);
    assert_eq!(pending.waiting().count(), 10_000);
    // They are one kind.
    let mut ledger = ViolationLedger::default();
    let noted: Vec<Noted> = many.iter().map(|one| ledger.note(one)).collect();
    assert_eq!(noted.iter().filter(|one| **one == Noted::New).count(), 1);
    assert_eq!(ledger.standing(), 1);
}

#[test]
fn what_turns_out_to_be_anothers_is_withdrawn_once_and_counts_no_more() {
    let graph = attempts(&stranger("10.244.1.77"), "10.244.1.77", (90, 99));
    let found = search(&graph, &with(&[]), ALLOWS_WEB);
    let mut ledger = ViolationLedger::default();
    assert_eq!(ledger.note(&found[0]), Noted::New);
    assert_eq!(ledger.withdraw(&found, &graph, &with(&[])), []);
    let web = testing::pod("shop", "web", "10.244.1.77", "n1", "app: web")
        .replace("name: web,", "name: web-new,");
    let graph = attempts(&peer("shop/web"), "10.244.1.77", (90, 99));
    let inventory = with(&[web]);
    let withdrawn = ledger.withdraw(&[], &graph, &inventory);
    let words: Vec<String> = withdrawn
        .iter()
        .map(|(was, now)| format!("{} | {now}", was.connection()))
        .collect();
    assert_eq!(
        words,
        ["unknown-pod:10.244.1.77 → shop/db 5432/TCP | shop/web-new → shop/db 5432/TCP"]
    );
    assert_eq!(ledger.standing(), 0);
    assert_eq!(ledger.withdraw(&[], &graph, &inventory), []);
    let kept = serde_json::to_string(&ledger).expect("JSON");
    assert_eq!(
        serde_json::from_str::<ViolationLedger>(&kept).expect("the ledger"),
        ledger
    );
    // The next stranger is a violation again.
    assert_eq!(ledger.note(&found[0]), Noted::New);
    assert_eq!(ledger.standing(), 1);
}

#[test]
fn ports_and_workloads_without_end_hide_nobody_elses_violation() {
    let graph = attempts(&peer("shop/api"), "10.244.1.6", (90, 99));
    let one = search(&graph, &with(&[]), ALLOWS_WEB).remove(0);
    let mut ledger = ViolationLedger::default();
    let attempt = |client: &str, server: &str, port: u16| Violation {
        client: peer(client),
        server: peer(server),
        port,
        ..one.clone()
    };
    for port in 1..=2000 {
        ledger.note(&attempt("evil/pod", "shop/db", port));
    }
    for pod in 0..2000 {
        ledger.note(&attempt(&format!("evil/pod-{pod}"), "shop/api", 80));
    }
    let few = ledger.standing();
    assert!(few <= 2 * 33, "{few}");
    for server in 0..2000 {
        let server = format!("shop/server-{server}");
        assert_ne!(ledger.note(&attempt("shop/web", &server, 80)), Noted::Known);
    }
    assert_eq!(
        ledger.note(&attempt("other/pod", "shop/db", 22)),
        Noted::FirstOfRest
    );
    assert_eq!(ledger.standing(), few + 2001);
}
