use super::evidence::{FAILING_ALONE_FOR, FAILING_FOR, NEW_POD};
use super::*;
use crate::testing::*;
use nanoseg_flow::{ActivityWindows, Opening, Source, Told};
use nanoseg_graph::EnforcedPorts;
use nanoseg_net::{Protocol, TimeSpans};
use std::net::IpAddr;

type EdgeSketch<'a> = (&'a str, &'a [(Verdict, u64)], i64, i64);

const APPLIED: i64 = 1000;
const OK: &[(Verdict, u64)] = &[(Verdict::Established, 50)];
const FAILED: &[(Verdict, u64)] = &[(Verdict::Refused, 20)];
const OK_AND_FAILED: &[(Verdict, u64)] = &[(Verdict::Established, 50), (Verdict::Refused, 20)];
const KNOWN: EdgeSketch<'static> = ("shop/web shop/db 5432", OK_AND_FAILED, 0, 1070);
const FAILS: EdgeSketch<'static> = ("shop/web shop/db 5432", FAILED, 1006, 1070);

fn deny() -> NetworkPolicy {
    of("shop/db", "ingress: [], egress: []")
}

fn right() -> NetworkPolicy {
    of(
        "shop/db",
        "ingress: [{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 5432}]}], egress: []",
    )
}

fn connection(text: &str) -> IntendedConnection {
    let mut words = text.split(' ');
    let mut next = || words.next().expect("client server port");
    let (client, server, port) = (next(), next(), next());
    IntendedConnection {
        client: peer(client),
        server: peer(server),
        protocol: Protocol::Tcp,
        port: port.parse().expect("a port"),
    }
}

fn allows(connections: &[&str]) -> Intent {
    Intent::new(connections.iter().map(|one| connection(one)), [])
}

/// A change of shop/db's policy: both revisions were meant to let web in, the policy of the new one does not, and web's
/// only pod tries every four seconds for more than a minute. Its fields are what a test changes.
struct Scene {
    inventory: Inventory,
    workload: WorkloadId,
    known: Vec<EdgeSketch<'static>>,
    new: Vec<EdgeSketch<'static>>,
    records: Vec<(Observer, FlowRecord)>,
    observed: Vec<&'static str>,
    intent: Intent,
    intent_before: Option<Intent>,
    before: Vec<NetworkPolicy>,
    after: Vec<NetworkPolicy>,
    plugin_lag: PluginLag,
}

impl Default for Scene {
    fn default() -> Self {
        let mut scene = Scene {
            inventory: cluster(),
            workload: id("shop/db"),
            known: vec![KNOWN],
            new: vec![FAILS],
            records: Vec::new(),
            observed: vec!["n1"],
            intent: allows(&["shop/web shop/db 5432"]),
            intent_before: Some(allows(&["shop/web shop/db 5432"])),
            before: vec![right()],
            after: vec![deny()],
            plugin_lag: PluginLag::default(),
        };
        scene.attempts("n1", WEB, DB, 10..=80);
        scene
    }
}

const WEB: &str = "10.244.1.5";
const DB: &str = "10.244.1.7";

impl Scene {
    /// Adds attempts every four seconds, as one node's agent reports them; seconds after the change.
    fn attempts(
        &mut self,
        node: &str,
        client: &str,
        server: &str,
        seconds: std::ops::RangeInclusive<i64>,
    ) {
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        for second in seconds.step_by(4) {
            let time = at(APPLIED + second);
            let observer = Observer {
                node: node.into(),
                source: Source::Conntrack,
            };
            let record = FlowRecord {
                client: address(client),
                server: address(server),
                port: 5432,
                protocol: Protocol::Tcp,
                via: None,
                seen_as: None,
                client_port: None,
                verdict: Verdict::Unanswered,
                opening: Opening::Handshake,
                labels: None,
                connections: 1,
                datagrams: 0,
                bytes_to_server: 0,
                bytes_to_client: 0,
                first: time,
                last: time,
                windows: ActivityWindows::at(time),
                observers: Default::default(),
                told: None,
            };
            self.records.push((observer, record));
        }
    }

    /// Only these attempts, reported by node n1.
    fn only(mut self, client: &str, seconds: std::ops::RangeInclusive<i64>) -> Scene {
        self.records.clear();
        self.attempts("n1", client, DB, seconds);
        self
    }

    /// One more pod of web; returns its address.
    fn second_pod(&mut self) -> &'static str {
        let mut pod = self.pod("web").clone();
        pod.name = "web-2".into();
        pod.addresses = vec!["10.244.1.55".parse().expect("an address")];
        let index = self.inventory.pods.len();
        self.inventory.pods.push(pod);
        let workload = self.inventory.workloads.get_mut(&id("shop/web"));
        workload.expect("a workload").pods.push(index);
        "10.244.1.55"
    }

    fn pod(&mut self, name: &str) -> &mut nanoseg_inventory::Pod {
        let mut pods = self.inventory.pods.iter_mut();
        pods.find(|pod| pod.name == name).expect("a pod")
    }

    fn started(&mut self, name: &str, second: i64) {
        self.pod(name).owned.from = Some(at(APPLIED + second));
    }

    fn effect_with(&self, known: &Graph, new: &Graph, enforcement: &ServiceEnforcements) -> Effect {
        let records: Vec<_> = self.records.iter().map(|(o, r)| (o, r)).collect();
        let mut view = TimeSpans::default();
        view.insert(at(0), at(APPLIED + 80));
        let views = self.observed.iter();
        let views: Views = views.map(|node| ((*node).into(), view.clone())).collect();
        let change = Change {
            workload: &self.workload,
            applied_at: at(APPLIED),
            intent: &self.intent,
            intent_before: self.intent_before.as_ref(),
            policies_before: &self.before,
            policies_after: &self.after,
        };
        let inputs = EffectInputs {
            plugin_lag: &self.plugin_lag,
            graph: known,
            recent: new,
            records: &records,
            views: &views,
            inventory: &self.inventory,
            enforcement,
            now: at(APPLIED + 80),
        };
        effect_of(&change, &inputs).expect("policies")
    }

    fn effect(&self) -> Effect {
        let (known, new) = (graph(&self.known), graph(&self.new));
        self.effect_with(&known, &new, &ServiceEnforcements::default())
    }

    fn remedy(&self) -> Option<Remedy> {
        self.effect().blocked.map(|(_, remedy)| remedy)
    }
}

#[test]
fn a_connection_that_was_meant_to_stay_and_that_the_new_policy_blocks_is_found() {
    let (found, remedy) = Scene::default().effect().blocked.expect("it is blocked");
    assert_eq!(remedy, Remedy::RollBack);
    assert_eq!((found.failed, found.worked), (20, 50));
    assert_eq!((found.pods, found.seconds), (1, 68));
    assert_eq!(
        found.to_string(),
        "shop/web → shop/db 5432/TCP: 20 attempts of 1 pod failed within 68 s and none worked, 50 worked before; \
         the policy does not allow it any more"
    );
}

#[test]
fn what_a_revision_said_it_would_block_is_no_reason_however_often_it_is_tried() {
    let closed = Intent::new([], [connection("shop/web shop/db 5432")]);
    let scene = Scene {
        intent: closed,
        ..Scene::default()
    };
    assert_eq!(scene.effect(), Effect::default());
}

#[test]
fn what_a_revision_does_not_speak_of_is_no_reason() {
    for (intent, before) in [
        (Intent::default(), allows(&["shop/web shop/db 5432"])),
        (allows(&["shop/web shop/db 5432"]), Intent::default()),
        (
            allows(&["shop/web shop/db 5433"]),
            allows(&["shop/web shop/db 5432"]),
        ),
    ] {
        let scene = Scene {
            intent,
            intent_before: Some(before),
            ..Scene::default()
        };
        assert_eq!(scene.effect(), Effect::default());
    }
    // A workload of the same name and another kind is another one.
    let mut other = connection("shop/web shop/db 5432");
    other.client = Peer::Workload(WorkloadId {
        kind: "Deployment".into(),
        ..id("shop/web")
    });
    let scene = Scene {
        intent: Intent::new([other], []),
        ..Scene::default()
    };
    assert_eq!(scene.effect(), Effect::default());
}

#[test]
fn without_a_revision_before_a_person_decides() {
    let scene = Scene {
        intent_before: None,
        before: vec![],
        ..Scene::default()
    };
    let why = NotAutomatic::NoRevisionBefore;
    assert_eq!(scene.remedy(), Some(Remedy::AskPerson(why)));
}

#[test]
fn a_rollback_that_would_open_what_the_revision_closes_is_left_to_a_person() {
    let more = of(
        "shop/db",
        "ingress: [{from: [{podSelector: {matchLabels: {app: web}}}, {podSelector: {matchLabels: {app: job}}}], \
         ports: [{port: 5432}]}], egress: []",
    );
    let wider = of(
        "shop/db",
        "ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}], egress: []",
    );
    let outside = of(
        "shop/db",
        "ingress: [{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 5432}]}], \
         egress: [{to: [{ipBlock: {cidr: 93.184.216.0/24}}], ports: [{port: 443}]}]",
    );
    for before in [more, wider, outside] {
        let scene = Scene {
            before: vec![before],
            ..Scene::default()
        };
        let why = NotAutomatic::Reopens;
        assert_eq!(scene.remedy(), Some(Remedy::AskPerson(why)));
    }
    // What the revision was meant to allow may come back, of addresses too.
    let outside = of(
        "shop/db",
        "ingress: [{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 5432}]}], \
         egress: [{to: [{ipBlock: {cidr: 93.184.216.34/32}}], ports: [{port: 443}]}]",
    );
    let scene = Scene {
        before: vec![outside],
        intent: allows(&["shop/web shop/db 5432", "shop/db 93.184.216.34 443"]),
        ..Scene::default()
    };
    assert_eq!(scene.remedy(), Some(Remedy::RollBack));
}

#[test]
fn what_the_policies_allow_and_something_else_blocks_is_a_finding_and_no_reason() {
    let scene = Scene {
        after: vec![right()],
        ..Scene::default()
    };
    let Effect {
        blocked,
        unexplained,
    } = scene.effect();
    assert_eq!(blocked, None);
    assert_eq!(unexplained.len(), 1);
    assert!(!unexplained[0].denied);
    assert!(unexplained[0].to_string().contains("something else"));
}

#[test]
fn some_attempts_within_a_moment_are_no_evidence() {
    let mut scene = Scene::default().only(WEB, 10..=10);
    scene.records[0].1.connections = 10_000;
    assert_eq!(scene.effect(), Effect::default());
    let short = Scene::default().only(WEB, 10..=10 + FAILING_ALONE_FOR - 1);
    assert_eq!(short.remedy(), None);
    let long = Scene::default().only(WEB, 10..=10 + FAILING_ALONE_FOR + 3);
    assert_eq!(long.remedy(), Some(Remedy::RollBack));
}

#[test]
fn a_client_of_several_pods_needs_the_failures_of_two_of_them() {
    let mut scene = Scene::default();
    let second = scene.second_pod();
    assert_eq!(scene.remedy(), None, "one of two fails");
    let mut scene = scene.only(WEB, 10..=10 + FAILING_FOR + 3);
    scene.attempts("n1", second, DB, 10..=10);
    assert_eq!(scene.remedy(), None, "the second one tried once");
    scene.attempts("n1", second, DB, 20..=40);
    assert_eq!(scene.remedy(), Some(Remedy::RollBack));
}

#[test]
fn a_pod_that_came_after_the_change_is_no_witness() {
    let mut scene = Scene::default();
    scene.started("web", 1);
    assert_eq!(scene.effect(), Effect::default());
    // Nor is one of which it is not known since when it is there, or that is gone.
    scene.pod("web").owned.from = None;
    assert_eq!(scene.effect(), Effect::default());
    scene.started("web", -3600);
    assert_eq!(scene.remedy(), Some(Remedy::RollBack));
    scene.pod("web").owned.until = Some(at(APPLIED + 75));
    assert_eq!(scene.effect(), Effect::default());
}

#[test]
fn failures_in_the_first_seconds_of_a_pod_do_not_count() {
    // The client was there before the change, and for a moment only.
    let mut scene = Scene::default().only(WEB, 10..=70);
    scene.started("web", -1);
    assert_eq!(scene.remedy(), None, "10 to 28 s are too early");
    scene.started("web", -NEW_POD);
    assert_eq!(scene.remedy(), Some(Remedy::RollBack));
    // The server was restarted: plugins need a moment for it.
    scene.started("db", 5);
    assert_eq!(scene.remedy(), None);
    scene.started("db", 10 - NEW_POD);
    assert_eq!(scene.remedy(), Some(Remedy::RollBack));
}

#[test]
fn where_the_plugin_needs_longer_a_new_pods_failures_say_nothing_for_longer() {
    let mut scene = Scene::default().only(WEB, 10..=70);
    scene.started("web", -NEW_POD);
    assert_eq!(scene.remedy(), Some(Remedy::RollBack));
    // Another pod's connections worked only 55 s after its start.
    let attempt = |verdict, second: i64| FlowRecord {
        first: at(second),
        last: at(second),
        ..nanoseg_graph::testing::record("10.244.1.6", "10.244.1.7:5432", verdict)
    };
    let records = [
        attempt(Verdict::Refused, 55),
        attempt(Verdict::Established, 56),
    ];
    let mut inventory = scene.inventory.clone();
    for pod in &mut inventory.pods {
        pod.network_up = Some(at(if pod.name == "api" { 0 } else { -3600 }));
    }
    let applied = std::collections::BTreeMap::from([(id("shop/db"), at(-10))]);
    let mut lag = PluginLag::default();
    lag.measure(records.iter(), &inventory, &applied, at(-60));
    assert_eq!(lag.seconds(LagCause::PodStart, NEW_POD), 55);
    scene.plugin_lag = lag;
    assert_eq!(scene.remedy(), None);
}

#[test]
fn where_both_ends_are_observed_both_must_report_it() {
    let mut scene = Scene::default();
    scene.pod("db").node = Some("n2".into());
    assert_eq!(scene.remedy(), Some(Remedy::RollBack), "n2 is not observed");
    scene.observed = vec!["n1", "n2"];
    assert_eq!(scene.effect(), Effect::default(), "only the client's node");
    scene.attempts("n3", WEB, DB, 10..=80);
    assert_eq!(scene.effect(), Effect::default(), "and somebody else's");
    scene.attempts("n2", WEB, DB, 10..=80);
    assert_eq!(scene.remedy(), Some(Remedy::RollBack));
    scene
        .records
        .retain(|(observer, _)| &*observer.node != "n1");
    assert_eq!(scene.effect(), Effect::default(), "only the server's node");
}

#[test]
fn what_only_another_node_reports_is_no_evidence() {
    let mut scene = Scene::default();
    for (observer, _) in &mut scene.records {
        observer.node = "n9".into();
    }
    assert_eq!(scene.effect(), Effect::default());
    // Nor if nobody observes the two ends' nodes.
    scene.observed = vec!["n9"];
    assert_eq!(scene.effect(), Effect::default());
    // Nor is it known where the server's pod is.
    let mut scene = Scene::default();
    scene.pod("db").node = None;
    assert_eq!(scene.effect(), Effect::default());
}

#[test]
fn attempts_of_the_future_and_of_other_addresses_do_not_count() {
    let ahead = Scene::default().only(WEB, 81..=300);
    assert_eq!(ahead.effect(), Effect::default());
    let other = Scene::default().only("10.244.1.8", 10..=80);
    assert_eq!(other.effect(), Effect::default());
}

#[test]
fn what_was_told_before_the_change_says_nothing_about_it() {
    let mut scene = Scene::default();
    let told = |second: i64| {
        Some(Told {
            first: at(APPLIED + second),
            last: at(APPLIED + 80),
        })
    };
    for (_, record) in &mut scene.records {
        record.told = told(-20);
    }
    assert_eq!(scene.effect(), Effect::default(), "of the future then");
    for (_, record) in &mut scene.records {
        record.told = told(75);
    }
    assert_eq!(scene.remedy(), Some(Remedy::RollBack));
}

#[test]
fn only_pods_are_witnesses() {
    let outside = "93.184.216.34";
    let mut scene = Scene {
        known: vec![("93.184.216.34 shop/db 5432", OK_AND_FAILED, 0, 1070)],
        new: vec![("93.184.216.34 shop/db 5432", FAILED, 1006, 1070)],
        intent: allows(&["93.184.216.34 shop/db 5432"]),
        intent_before: Some(allows(&["93.184.216.34 shop/db 5432"])),
        ..Scene::default()
    };
    scene.attempts("n1", outside, DB, 10..=80);
    assert_eq!(scene.effect(), Effect::default());
}

#[test]
fn a_connection_that_never_worked_or_still_works_or_was_not_tried_is_no_reason() {
    let works: EdgeSketch = ("shop/web shop/db 5432", OK_AND_FAILED, 1006, 1070);
    for (known, new) in [
        (FAILS, vec![FAILS]),
        (KNOWN, vec![works]),
        (KNOWN, vec![]),
        // It worked only after the change.
        (works, vec![FAILS]),
    ] {
        let scene = Scene {
            known: vec![known],
            new,
            ..Scene::default()
        };
        assert_eq!(scene.effect(), Effect::default());
    }
}

#[test]
fn a_connection_that_the_policies_before_denied_is_no_reason() {
    let scene = Scene {
        before: vec![deny()],
        ..Scene::default()
    };
    assert_eq!(scene.effect(), Effect::default());
    let foreign = policy(
        "shop/theirs",
        "{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress]}",
    );
    let scene = Scene {
        before: vec![foreign.clone(), right()],
        after: vec![foreign, deny()],
        ..Scene::default()
    };
    assert_eq!(scene.effect(), Effect::default());
}

#[test]
fn a_connection_that_the_other_end_denies_is_not_blocked_by_this_workload() {
    let theirs = of("shop/web", "ingress: [], egress: []");
    let scene = Scene {
        after: vec![right(), theirs],
        ..Scene::default()
    };
    assert_eq!(scene.effect(), Effect::default());
}

#[test]
fn a_server_that_is_down_for_everyone_is_an_outage_and_a_ready_one_is_not() {
    let mut scene = Scene::default();
    assert!(scene.remedy().is_some(), "its pods are there");
    scene.pod("db").owned.until = Some(at(APPLIED + 79));
    assert_eq!(scene.effect(), Effect::default(), "its pods are gone");
    // Somebody else reaches it.
    scene.new.push(("shop/job shop/db 5432", OK, 1006, 1070));
    assert!(scene.remedy().is_some());
}

#[test]
fn an_outside_server_that_nobody_reaches_is_an_outage() {
    let outside = "93.184.216.34";
    let allow = of(
        "shop/db",
        "ingress: [], egress: [{to: [{ipBlock: {cidr: 93.184.216.34/32}}], ports: [{port: 5432}]}]",
    );
    let mut scene = Scene {
        known: vec![
            ("shop/db 93.184.216.34 5432", OK_AND_FAILED, 0, 1070),
            ("shop/web 93.184.216.34 5432", OK_AND_FAILED, 0, 1070),
        ],
        new: vec![
            ("shop/db 93.184.216.34 5432", FAILED, 1006, 1070),
            ("shop/web 93.184.216.34 5432", FAILED, 1006, 1070),
        ],
        intent: allows(&["shop/db 93.184.216.34 5432"]),
        intent_before: Some(allows(&["shop/db 93.184.216.34 5432"])),
        before: vec![allow],
        ..Scene::default()
    };
    scene.attempts("n1", DB, outside, 10..=80);
    assert_eq!(scene.effect(), Effect::default());
    scene.new.truncate(1);
    assert_eq!(scene.remedy(), Some(Remedy::RollBack));
}

#[test]
fn of_several_connections_the_one_with_the_most_failures_is_returned() {
    let both = &["shop/web shop/db 5432", "shop/job shop/db 5432"];
    let from_both = of(
        "shop/db",
        "ingress: [{from: [{podSelector: {matchLabels: {app: web}}}, {podSelector: {matchLabels: {app: job}}}], \
         ports: [{port: 5432}]}], egress: []",
    );
    let more: &[(Verdict, u64)] = &[(Verdict::Dropped, 30)];
    let mut scene = Scene {
        intent: allows(both),
        intent_before: Some(allows(both)),
        before: vec![from_both],
        ..Scene::default()
    };
    scene
        .known
        .push(("shop/job shop/db 5432", OK_AND_FAILED, 0, 1070));
    scene.new.push(("shop/job shop/db 5432", more, 1006, 1070));
    scene.attempts("n1", "10.244.1.8", DB, 10..=80);
    let (found, remedy) = scene.effect().blocked.expect("it is blocked");
    assert_eq!(remedy, Remedy::RollBack);
    assert_eq!(found.connection, connection("shop/job shop/db 5432"));
}

#[test]
fn where_plugins_check_before_translation_a_policy_without_the_service_port_cuts_a_call_off() {
    let through_the_service = |verdicts: &[(Verdict, u64)], first: i64, last: i64| {
        let mut built = graph(&[("shop/web shop/api 5432", verdicts, first, last)]);
        let (client, server) = (peer("shop/web"), peer("shop/api"));
        let mut edge = built
            .edge(&client, &server, Protocol::Tcp, 5432)
            .expect("an edge")
            .clone();
        edge.service_ports.insert(80);
        built = Graph::default();
        built.add_edge(&client, &server, edge);
        built
    };
    let known = through_the_service(OK_AND_FAILED, 0, 1070);
    let new = through_the_service(FAILED, 1006, 1070);
    let allow = |ports: &str| {
        let rules = format!(
            "ingress: [{{from: [{{podSelector: {{matchLabels: {{app: web}}}}}}], ports: [{ports}]}}]"
        );
        of("shop/api", &rules)
    };
    let is_denied = |enforcement: EnforcedPorts, ports: &str| {
        let mut scene = Scene {
            workload: id("shop/api"),
            intent: allows(&["shop/web shop/api 5432"]),
            intent_before: Some(allows(&["shop/web shop/api 5432"])),
            before: vec![allow("{port: 5432}, {port: 80}")],
            after: vec![allow(ports)],
            ..Scene::default()
        };
        scene.attempts("n1", WEB, "10.244.1.6", 10..=80);
        let effect = scene.effect_with(&known, &new, &enforcement.into());
        effect
            .blocked
            .is_some_and(|(_, remedy)| remedy == Remedy::RollBack)
    };
    let (after, before) = (EnforcedPorts::Pod, EnforcedPorts::Either);
    assert!(!is_denied(after, "{port: 5432}"));
    assert!(is_denied(before, "{port: 5432}"));
    assert!(!is_denied(before, "{port: 5432}, {port: 80}"));
}
