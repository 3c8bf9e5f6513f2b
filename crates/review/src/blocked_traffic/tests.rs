use super::*;
use crate::testing::*;
use nanoseg_graph::ServiceEnforcement;

type EdgeSketch<'a> = (&'a str, &'a [(Verdict, u64)], i64, i64);

const APPLIED: i64 = 1000;

/// Returns what is found for shop/db after `after` replaced `before`.
fn find(
    known: &[EdgeSketch],
    new: &[EdgeSketch],
    before: &[NetworkPolicy],
    after: &[NetworkPolicy],
) -> Option<BlockedTraffic> {
    let now = at(APPLIED + 60);
    let (known, new) = (graph(known), graph(new));
    blocked_after(
        &known,
        &new,
        &cluster(),
        &ServiceEnforcements::default(),
        before,
        after,
        &id("shop/db"),
        at(APPLIED),
        now,
    )
    .unwrap()
}

const OK: &[(Verdict, u64)] = &[(Verdict::Established, 50)];
const FAILED: &[(Verdict, u64)] = &[(Verdict::Refused, 1)];
const OK_AND_FAILED: &[(Verdict, u64)] = &[(Verdict::Established, 50), (Verdict::Refused, 1)];

fn deny() -> NetworkPolicy {
    of("shop/db", "ingress: [], egress: []")
}

fn right() -> NetworkPolicy {
    of(
        "shop/db",
        "ingress: [{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 5432}]}], egress: []",
    )
}

#[test]
fn a_connection_that_worked_and_that_the_new_policy_blocks_is_found() {
    let known = [("shop/web shop/db 5432", OK_AND_FAILED, 0, 1010)];
    let new = [("shop/web shop/db 5432", FAILED, 1001, 1010)];
    let found = find(&known, &new, &[], &[deny()]).expect("it is blocked");
    assert!(found.denied);
    assert_eq!(
        (found.failed, found.worked, found.last_failed),
        (1, 50, at(1010))
    );
    assert!(
        found
            .to_string()
            .starts_with("shop/web → shop/db 5432/TCP: 1 attempts failed")
    );
    assert!(find(&known, &new, &[right()], &[deny()]).is_some());
}

#[test]
fn a_connection_that_never_worked_or_still_works_or_was_not_tried_is_no_reason() {
    let tried = ("shop/web shop/db 5432", FAILED, 1001, 1010);
    let works = ("shop/web shop/db 5432", OK_AND_FAILED, 1001, 1010);
    let known = ("shop/web shop/db 5432", OK_AND_FAILED, 0, 1010);
    assert_eq!(find(&[tried], &[tried], &[], &[deny()]), None);
    assert_eq!(find(&[known], &[works], &[], &[deny()]), None);
    assert_eq!(find(&[known], &[], &[], &[deny()]), None);
    // It worked only after the apply.
    let later = ("shop/web shop/db 5432", OK_AND_FAILED, 1001, 1010);
    assert_eq!(find(&[later], &[tried], &[], &[deny()]), None);
}

#[test]
fn a_connection_that_the_policies_before_denied_is_no_reason() {
    let known = [("shop/web shop/db 5432", OK_AND_FAILED, 0, 1010)];
    let new = [("shop/web shop/db 5432", FAILED, 1001, 1010)];
    assert_eq!(find(&known, &new, &[deny()], &[deny()]), None);
    let foreign = policy(
        "shop/theirs",
        "{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress]}",
    );
    assert_eq!(
        find(
            &known,
            &new,
            std::slice::from_ref(&foreign),
            &[foreign.clone(), deny()]
        ),
        None
    );
}

#[test]
fn a_connection_that_the_other_end_denies_is_not_blocked_by_this_workload() {
    let known = [("shop/web shop/db 5432", OK_AND_FAILED, 0, 1010)];
    let new = [("shop/web shop/db 5432", FAILED, 1001, 1010)];
    let theirs = of("shop/web", "ingress: [], egress: []");
    assert_eq!(find(&known, &new, &[], &[right(), theirs]), None);
}

#[test]
fn a_server_that_is_down_for_everyone_is_an_outage_and_a_ready_one_is_not() {
    let known = [("shop/web shop/db 5432", OK_AND_FAILED, 0, 1010)];
    let new = [
        ("shop/web shop/db 5432", FAILED, 1001, 1010),
        ("shop/job shop/db 5432", FAILED, 1001, 1010),
    ];
    let check = |inventory: &Inventory| {
        let (known, new) = (graph(&known), graph(&new));
        let now = at(APPLIED + 60);
        blocked_after(
            &known,
            &new,
            inventory,
            &ServiceEnforcements::default(),
            &[],
            &[deny()],
            &id("shop/db"),
            at(APPLIED),
            now,
        )
        .unwrap()
    };
    let mut inventory = cluster();
    assert!(check(&inventory).is_some(), "its pods are there");
    for pod in &mut inventory.pods {
        if pod.workload == id("shop/db") {
            pod.owned.until = Some(at(1000));
        }
    }
    assert_eq!(check(&inventory), None, "its pods are gone");
}

#[test]
fn an_outside_server_that_nobody_reaches_is_an_outage() {
    let known = [
        ("shop/db 93.184.216.34 443", OK_AND_FAILED, 0, 1010),
        ("shop/web 93.184.216.34 443", OK_AND_FAILED, 0, 1010),
    ];
    let new = [
        ("shop/db 93.184.216.34 443", FAILED, 1001, 1010),
        ("shop/web 93.184.216.34 443", FAILED, 1001, 1010),
    ];
    assert_eq!(find(&known, &new, &[], &[deny()]), None);
    assert!(find(&known, &new[..1], &[], &[deny()]).is_some());
}

#[test]
fn a_connection_that_is_allowed_and_still_fails_needs_more_evidence() {
    let many: &[(Verdict, u64)] = &[(Verdict::Unanswered, 3)];
    let known = [("shop/web shop/db 5432", OK_AND_FAILED, 0, 1010)];
    let works = ("shop/job shop/db 5432", OK, 1001, 1010);
    let fails = |verdicts| ("shop/web shop/db 5432", verdicts, 1001, 1010);
    let after = || [right()];
    let found = find(&known, &[fails(many), works], &[], &after()).expect("others get through");
    assert!(!found.denied);
    assert_eq!(find(&known, &[fails(FAILED), works], &[], &after()), None);
    assert_eq!(find(&known, &[fails(many)], &[], &after()), None);
    let (known, new) = (graph(&known), graph(&[fails(many), works]));
    let late = at(APPLIED + UNEXPLAINED_FOR + 1);
    let found = blocked_after(
        &known,
        &new,
        &cluster(),
        &ServiceEnforcements::default(),
        &[],
        &after(),
        &id("shop/db"),
        at(APPLIED),
        late,
    );
    assert_eq!(found, Ok(None));
}

#[test]
fn of_several_connections_the_one_with_the_most_failures_is_returned() {
    let three: &[(Verdict, u64)] = &[(Verdict::Dropped, 3)];
    let known = [
        ("shop/job shop/db 5432", OK_AND_FAILED, 0, 1010),
        ("shop/web shop/db 5432", OK_AND_FAILED, 0, 1010),
    ];
    let new = [
        ("shop/job shop/db 5432", FAILED, 1001, 1010),
        ("shop/web shop/db 5432", three, 1001, 1010),
    ];
    let found = find(&known, &new, &[], &[deny()]).unwrap();
    assert_eq!((found.client, found.failed), (peer("shop/web"), 3));
}

#[test]
fn a_connection_that_worked_only_until_the_plugin_enforced_the_policy_has_mixed_results() {
    let mixed = graph(&[("shop/web shop/db 5432", OK_AND_FAILED, 1000, 1010)]);
    let works = graph(&[("shop/web shop/db 5432", OK, 1000, 1010)]);
    let fails = graph(&[("shop/web shop/db 5432", FAILED, 1001, 1010)]);
    assert!(
        has_mixed_results(&mixed, &id("shop/db")) && has_mixed_results(&mixed, &id("shop/web"))
    );
    assert!(!has_mixed_results(&mixed, &id("shop/job")));
    assert!(
        !has_mixed_results(&works, &id("shop/db")) && !has_mixed_results(&fails, &id("shop/db"))
    );
}

#[test]
fn where_plugins_check_before_translation_a_policy_without_the_service_port_cuts_a_call_off() {
    let through_the_service = |verdicts: &[(Verdict, u64)], first: i64, last: i64| {
        let mut built = graph(&[("shop/web shop/api 8080", verdicts, first, last)]);
        let (client, server) = (peer("shop/web"), peer("shop/api"));
        let mut edge = built
            .edge(&client, &server, Protocol::Tcp, 8080)
            .expect("an edge")
            .clone();
        edge.service_ports.insert(80);
        built = Graph::default();
        built.add_edge(&client, &server, edge);
        built
    };
    let known = through_the_service(OK_AND_FAILED, 0, 1010);
    let new = through_the_service(FAILED, 1001, 1010);
    let allows = |ports: &str| {
        let rules = format!(
            "ingress: [{{from: [{{podSelector: {{matchLabels: {{app: web}}}}}}], ports: [{ports}]}}]"
        );
        [of("shop/api", &rules)]
    };
    let is_denied = |enforcement: ServiceEnforcement, ports: &str| {
        let found = blocked_after(
            &known,
            &new,
            &cluster(),
            &enforcement.into(),
            &[],
            &allows(ports),
            &id("shop/api"),
            at(APPLIED),
            at(APPLIED + 60),
        );
        found
            .expect("policies")
            .is_some_and(|traffic| traffic.denied)
    };
    let (after, before) = (
        ServiceEnforcement::AfterTranslation,
        ServiceEnforcement::BeforeTranslation,
    );
    assert!(!is_denied(after, "{port: 8080}"));
    assert!(is_denied(before, "{port: 8080}"));
    assert!(!is_denied(before, "{port: 8080}, {port: 80}"));
}
