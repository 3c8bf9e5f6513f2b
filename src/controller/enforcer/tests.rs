//! What one look at the cluster asks for.

use super::diff::{Diff, DriftMemory, PolicyWrite, build_policy, diff};
use crate::controller::plan::{Desired, EnforcerReport, NamespacePlan, Plan, PlannedPolicy};
use crate::inventory::WorkloadId;
use crate::inventory::kubernetes::Namespace;
use crate::net::Timestamp;
use crate::review::policy_digest;
use crate::review::resources::BREAK_GLASS;
use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicySpec};
use std::collections::BTreeMap;
use std::sync::Arc;

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(1_800_000_000 + secs)
}

fn id() -> WorkloadId {
    WorkloadId {
        namespace: "shop".into(),
        kind: "Deployment".into(),
        name: "web".into(),
    }
}

fn spec(port: u16) -> NetworkPolicySpec {
    let yaml = format!(
        "{{podSelector: {{}}, policyTypes: [Ingress], ingress: [{{ports: [{{port: {port}}}]}}]}}"
    );
    serde_yaml::from_str(&yaml).expect("a spec")
}

/// The plan wants `nanoseg-web` with this port, or wants none.
fn plan(port: Option<u16>, was_applied: bool) -> Plan {
    let desired = match port {
        Some(port) => Desired::Present {
            revision: 1,
            digest: policy_digest(&spec(port)),
            spec: Arc::new(spec(port)),
        },
        None => Desired::Absent,
    };
    let wanted = PlannedPolicy {
        workload: id(),
        desired,
        was_applied,
    };
    let policies = BTreeMap::from([("nanoseg-web".to_owned(), wanted)]);
    Plan {
        namespaces: BTreeMap::from([("shop".to_owned(), NamespacePlan { policies })]),
    }
}

fn namespace(glass: Option<&str>) -> Vec<Arc<Namespace>> {
    let mut namespace = Namespace::default();
    namespace.metadata.name = Some("shop".into());
    let glass = glass.map(|why| BTreeMap::from([(BREAK_GLASS.to_owned(), why.to_owned())]));
    namespace.metadata.annotations = glass;
    vec![Arc::new(namespace)]
}

/// `nanoseg-web` as the API server has it.
fn live(port: u16, version: u64) -> NetworkPolicy {
    let key = ("shop".to_owned(), "nanoseg-web".to_owned());
    let mut policy = build_policy(&key, &policy_digest(&spec(port)), &spec(port));
    policy.metadata.uid = Some("u1".into());
    policy.metadata.resource_version = Some(version.to_string());
    policy
}

fn see(plan: &Plan, policies: &[NetworkPolicy], memory: &mut DriftMemory, now: Timestamp) -> Diff {
    let policies: Vec<_> = policies.iter().cloned().map(Arc::new).collect();
    diff(plan, &namespace(None), &policies, memory, now)
}

#[test]
fn a_missing_policy_is_written_and_a_present_one_is_reported_once() {
    let mut memory = DriftMemory::default();
    let found = see(&plan(Some(80), false), &[], &mut memory, at(0));
    assert!(matches!(
        &found.writes[..],
        [PolicyWrite::Apply { drift: None, .. }]
    ));
    let found = see(&plan(Some(80), false), &[live(80, 5)], &mut memory, at(0));
    assert!(found.writes.is_empty());
    assert!(matches!(
        &found.reports[..],
        [EnforcerReport::InPlace {
            revision: Some(1),
            wrote: false,
            ..
        }]
    ));
    // Known to be applied: nothing to do and nothing to report.
    let found = see(&plan(Some(80), true), &[live(80, 5)], &mut memory, at(0));
    assert_eq!(found, Diff::default());
}

#[test]
fn our_own_write_that_the_watch_does_not_show_yet_is_no_drift() {
    let mut memory = DriftMemory::default();
    let found = see(&plan(Some(80), true), &[live(81, 5)], &mut memory, at(0));
    memory.done(&found.writes[0], Some(&live(80, 7).metadata));
    let found = see(&plan(Some(80), true), &[live(81, 5)], &mut memory, at(0));
    assert!(found.writes.is_empty() && found.later);
    // Somebody wrote after us: that is.
    let found = see(&plan(Some(80), true), &[live(81, 8)], &mut memory, at(0));
    assert_eq!(found.writes.len(), 1);
}

#[test]
fn repeated_drift_is_reported_once_and_each_repair_waits_longer() {
    let mut memory = DriftMemory::default();
    let (mut repairs, mut reported) = (0, 0);
    for tenth in 0..600 {
        let now = at(0).plus_nanos(tenth * 100_000_000);
        let found = see(&plan(Some(80), true), &[live(81, 5)], &mut memory, now);
        repairs += found.writes.len();
        reported += found.reports.len();
    }
    assert!((4..=10).contains(&repairs), "{repairs} repairs in a minute");
    assert!((1..=10).contains(&reported), "reported {reported} times");
}

#[test]
fn a_policy_of_somebody_else_is_left_alone_and_reported_once() {
    let mut memory = DriftMemory::default();
    let mut theirs = live(81, 5);
    theirs.metadata.labels = None;
    let found = see(
        &plan(Some(80), false),
        std::slice::from_ref(&theirs),
        &mut memory,
        at(0),
    );
    assert!(found.writes.is_empty());
    assert!(matches!(
        &found.reports[..],
        [EnforcerReport::Failed { .. }]
    ));
    let found = see(
        &plan(Some(80), false),
        std::slice::from_ref(&theirs),
        &mut memory,
        at(1),
    );
    assert!(found.writes.is_empty() && found.reports.is_empty());
    // And never deleted.
    let found = see(&plan(None, false), &[theirs], &mut memory, at(2));
    assert!(found.writes.is_empty());
}

#[test]
fn a_policy_that_must_not_exist_is_deleted_by_its_uid() {
    let found = see(
        &plan(None, false),
        &[live(80, 5)],
        &mut DriftMemory::default(),
        at(0),
    );
    assert!(matches!(&found.writes[..], [PolicyWrite::Delete { uid, .. }] if uid == "u1"));
}

#[test]
fn break_glass_deletes_all_our_policies_even_outside_the_plan_and_none_of_others() {
    let mut memory = DriftMemory::default();
    let mut theirs = live(80, 5);
    theirs.metadata.labels = None;
    theirs.metadata.name = Some("by-hand".into());
    let all = [Arc::new(live(80, 5)), Arc::new(theirs)];
    let broken = namespace(Some("the shop is down"));
    let found = diff(&Plan::default(), &broken, &all, &mut memory, at(0));
    assert!(
        matches!(&found.writes[..], [PolicyWrite::Delete { wanted: None, name, .. }] if name == "nanoseg-web")
    );
    assert!(matches!(
        &found.reports[..],
        [EnforcerReport::BreakGlass {
            deleted: 1,
            reason: Some(_),
            ..
        }]
    ));
    memory.done(&found.writes[0], None);
    // Nothing is written meanwhile, and break-glass is reported once.
    let found = diff(&plan(Some(80), true), &broken, &all, &mut memory, at(1));
    assert!(found.writes.is_empty() && found.reports.is_empty());
    // Mended, it comes back.
    let found = diff(
        &plan(Some(80), false),
        &namespace(None),
        &[],
        &mut memory,
        at(2),
    );
    assert!(matches!(
        &found.reports[..],
        [EnforcerReport::BreakGlass { reason: None, .. }]
    ));
    assert!(matches!(
        &found.writes[..],
        [PolicyWrite::Apply { drift: None, .. }]
    ));
}

#[test]
fn a_policy_that_returns_after_break_glass_is_no_repair_even_if_the_plan_is_older() {
    let mut memory = DriftMemory::default();
    let known = plan(Some(80), true);
    let broken = namespace(Some("the shop is down"));
    let found = diff(
        &known,
        &broken,
        &[Arc::new(live(80, 5))],
        &mut memory,
        at(0),
    );
    memory.done(&found.writes[0], None);
    let found = see(&known, &[], &mut memory, at(1));
    assert!(matches!(
        &found.writes[..],
        [PolicyWrite::Apply { drift: None, .. }]
    ));
    memory.done(&found.writes[0], Some(&live(80, 7).metadata));
    // Once it is back, what happens to it is drift again.
    let found = see(&known, &[live(80, 7)], &mut memory, at(2));
    assert!(found.writes.is_empty());
    let found = see(&known, &[], &mut memory, at(3));
    assert!(matches!(
        &found.writes[..],
        [PolicyWrite::Apply { drift: Some(_), .. }]
    ));
}

#[test]
fn in_report_only_mode_drift_is_reported_when_it_begins_and_when_it_ends() {
    let mut memory = DriftMemory::report_only();
    let found = see(&plan(Some(80), true), &[live(81, 5)], &mut memory, at(0));
    assert!(found.writes.is_empty());
    assert!(matches!(
        &found.reports[..],
        [EnforcerReport::Drifted { until: None, .. }]
    ));
    let found = see(&plan(Some(80), true), &[live(81, 5)], &mut memory, at(1));
    assert_eq!(found, Diff::default());
    let found = see(&plan(Some(80), true), &[live(80, 6)], &mut memory, at(2));
    assert!(matches!(
        &found.reports[..],
        [EnforcerReport::InPlace { .. }]
    ));
}

#[test]
fn a_namespace_that_is_being_deleted_gets_no_writes() {
    let mut ending = Namespace::clone(&namespace(None)[0]);
    ending.metadata.deletion_timestamp = Some(crate::review::resources::to_time(at(0)));
    let found = diff(
        &plan(Some(80), true),
        &[Arc::new(ending)],
        &[],
        &mut DriftMemory::default(),
        at(0),
    );
    assert_eq!(found, Diff::default());
}

#[test]
fn break_glass_that_ended_while_nobody_led_is_reported_by_the_next_leader() {
    let broken = BTreeMap::from([("shop".to_owned(), "the shop is down".to_owned())]);
    let mut memory = DriftMemory::default().with_break_glass(broken);
    let plan = Plan::default();
    let mended = |diff: Diff| {
        let mut reports = diff.reports.into_iter();
        reports.any(|report| matches!(report, EnforcerReport::BreakGlass { reason: None, .. }))
    };
    assert!(mended(see(&plan, &[], &mut memory, at(1))));
    assert!(!mended(see(&plan, &[], &mut memory, at(2))));
}
