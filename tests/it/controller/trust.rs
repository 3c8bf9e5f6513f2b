//! What the users of a namespace may write, and what that cannot do: the real binary without any admission policy, so that
//! a missing one opens nothing.

use super::agent::Agent;
use super::process::Controller;
use super::world::World;
use super::{LOW_CEILINGS, learned};
use crate::support::kubernetes::{Cluster, PATIENCE, until};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DeleteParams, PostParams};
use kube::{CustomResourceExt, ResourceExt};
use nanoseg::review::resources::{PolicyProposal, Segmentation, Verb};
use serde_json::{Value, json};

#[test]
fn without_an_admission_policy_the_controller_keeps_to_the_ceilings_and_says_so() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let controller = Controller::start(cluster, "clamped", &[]);
    let (world, mut agent) = learned(cluster, &controller);
    // Learned at once, for a person to approve.
    world.open("web");
    let everything = json!({
        "allowInternetEgress": true, "allowCrossNamespace": true, "allowWouldBlock": true,
        "allowDefaultDeny": true, "maxGained": 1_000_000,
    });
    world.segment_as(json!({
        "mode": "Enforce",
        "learning": {"minimumDuration": "0s", "minimumCoverage": 0},
        "approval": {"mode": "Automatic", "automatic": everything},
        "defaultDeny": true,
    }));
    world.until_condition("WithinCeilings", "False", "Clamped");
    agent.learn(&world, &[("web", "db", 5432)]);
    for workload in ["web", "api", "db"] {
        world.until_open(workload, |proposal| {
            let status = proposal.status.clone().unwrap_or_default();
            let message = status.message.unwrap_or_default();
            message.contains("not approved automatically: the namespace was observed for less than")
        });
    }
    let names = [
        "nanoseg-web",
        "nanoseg-api",
        "nanoseg-db",
        "nanoseg.default-deny",
    ];
    assert!(names.iter().all(|name| world.find_policy(name).is_none()));
}

#[test]
fn pods_that_no_policy_selects_are_counted_and_a_default_deny_closes_them() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let controller = Controller::start(cluster, "uncovered", &[]);
    let (mut world, _agent) = learned(cluster, &controller);
    for workload in ["web", "api"] {
        world.decide_open(workload, Verb::Approve);
    }
    world.policy("nanoseg-web");
    world.policy("nanoseg-api");
    // One is not approved yet, one is new, and one leaves its policy by another label.
    world.add_pod("stray", 20, "n1");
    let label = [
        "label",
        "--overwrite",
        "pod",
        "api",
        "app=free",
        "-n",
        &world.namespace,
    ];
    assert!(cluster.kubectl(&label).status.success());
    world.until_condition("Covered", "False", "UncoveredPods");
    let uncovered = "nanoseg_controller_uncovered_pods";
    controller.until_metric(uncovered, |pods| pods == 3.0);
    let text = |path: &str| {
        let words = [
            "get",
            "segmentation",
            "default",
            "-n",
            &world.namespace,
            "-o",
            path,
        ];
        String::from_utf8_lossy(&cluster.kubectl(&words).stdout).into_owned()
    };
    cluster.run(until(PATIENCE, "they are named", async || {
        let named = text("jsonpath={.status.uncoveredPods} {.status.counts.uncovered}");
        (named == r#"["api","db","stray"] 3"#)
            .then_some(())
            .ok_or(named)
    }));
    let label = [
        "label",
        "--overwrite",
        "pod",
        "api",
        "app=api",
        "-n",
        &world.namespace,
    ];
    assert!(cluster.kubectl(&label).status.success());
    controller.until_metric(uncovered, |pods| pods == 2.0);

    // A default deny would close what was observed of db, so it is not proposed before that has a policy.
    let deny = |wanted: bool| {
        let learning = json!({"minimumDuration": "0s", "minimumCoverage": 50});
        world.segment_as(json!({"mode": "Enforce", "learning": learning, "defaultDeny": wanted}));
    };
    deny(true);
    world.until_condition("Ready", "False", "NotProposed");
    let why = text(r#"jsonpath={.status.conditions[?(@.type=="Ready")].message}"#);
    assert!(why.contains("the default deny would block"), "{why}");
    assert_eq!(world.proposals("default-deny").len(), 0);
    world.decide_open("db", Verb::Approve);
    let proposal = world.open("default-deny");
    assert_eq!(proposal.spec.policy_name, "nanoseg.default-deny");
    assert_eq!(proposal.spec.review.would_block_total, 0);
    let lost = &proposal.spec.review.lost;
    assert!(
        lost.iter().any(|one| one.server.ends_with("/stray")),
        "{lost:?}"
    );
    assert!(world.find_policy("nanoseg.default-deny").is_none());
    world.decide_open("default-deny", Verb::Approve);
    world.policy("nanoseg.default-deny");
    world.until_condition("Covered", "True", "AllSelected");
    controller.until_metric(uncovered, |pods| pods == 0.0);

    it_is_repaired_and_rolled_back_as_any_policy(cluster, &world);
    // And it goes once it is not wanted.
    deny(false);
    cluster.run(until(PATIENCE, "its review ends", async || {
        let api: Api<PolicyProposal> = world.api();
        let all = api.list(&Default::default()).await;
        let all = all.map_err(|e| e.to_string())?.items.into_iter();
        let mut names = all.map(|one| one.name_any());
        let left = names.find(|name| name.contains("default-deny"));
        left.map_or(Ok(()), Err)
    }));
    deny(true);
    world.decide_open("default-deny", Verb::Approve);
    world.policy("nanoseg.default-deny");
    deny(false);
    world.until_policy("nanoseg.default-deny", "it is gone", |policy| {
        policy.is_none()
    });
}

fn it_is_repaired_and_rolled_back_as_any_policy(cluster: &'static Cluster, world: &World) {
    let api: Api<NetworkPolicy> = world.api();
    let uid = world.policy("nanoseg.default-deny").uid();
    cluster.run(async {
        let params = DeleteParams::default();
        let deleted = api.delete("nanoseg.default-deny", &params).await;
        deleted.expect("it is deleted");
    });
    world.until_policy("nanoseg.default-deny", "it is back", |policy| {
        policy.is_some_and(|policy| policy.uid() != uid)
    });
    let applied = world.proposals("default-deny");
    let applied = applied.last().expect("a proposal");
    let accepted = nanoseg::review::resources::DecisionOutcome::Accepted;
    world.decide(applied, Verb::Rollback, accepted);
    world.until_policy("nanoseg.default-deny", "it is gone", |policy| {
        policy.is_none()
    });
}

/// Replaces the schema of the spec of Segmentations, `None`: by the real one.
fn schema(cluster: &'static Cluster, spec: Option<Value>) {
    let api: Api<CustomResourceDefinition> = Api::all(cluster.client());
    let name = Segmentation::crd().name_any();
    cluster.run(until(PATIENCE, "the definition is replaced", async || {
        let live = api.get(&name).await.map_err(|e| e.to_string())?;
        let mut wanted = Segmentation::crd();
        wanted.metadata = live.metadata.clone();
        let mut text = serde_json::to_value(&wanted).expect("JSON");
        if let Some(spec) = &spec {
            let place = "/spec/versions/0/schema/openAPIV3Schema/properties/spec";
            *text.pointer_mut(place).expect("the spec") = spec.clone();
        }
        let wanted = serde_json::from_value(text).expect("a definition");
        let replaced = api.replace(&name, &PostParams::default(), &wanted).await;
        replaced.map(drop).map_err(|e| e.to_string())
    }));
}

#[test]
fn a_malformed_segmentation_keeps_what_was_approved_in_force_and_stops_nothing_else() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let mut controller = Controller::start(cluster, "malformed", &[]);
    let (world, mut agent) = learned(cluster, &controller);
    world.decide_open("web", Verb::Approve);
    world.policy("nanoseg-web");
    // As an older version with another schema might have left it behind.
    schema(
        cluster,
        Some(json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})),
    );
    let patch = |what: &str| {
        let place = ["patch", "segmentation", "default", "-n", &world.namespace];
        cluster.kubectl(&[&place[..], &["--type=merge", "-p", what]].concat())
    };
    cluster.run(until(PATIENCE, "it is malformed", async || {
        let patched = patch(r#"{"spec": {"mode": 5}}"#);
        let done = patched.status.success();
        done.then_some(()).ok_or_else(|| format!("{patched:?}"))
    }));
    let malformed = r#"nanoseg_controller_malformed_objects{kind="Segmentation"}"#;
    controller.until_metric(malformed, |count| count == 1.0);
    let log = controller.log();
    let wanted = format!(
        "Segmentation {}/default cannot be read: spec.mode",
        world.namespace
    );
    assert!(log.contains(&wanted), "{log}");

    // A new leader knows the last good version no more, and still keeps what was approved.
    controller.kill();
    controller.restart();
    controller.until_leading();
    controller.until_metric(malformed, |count| count == 1.0);
    let api: Api<NetworkPolicy> = world.api();
    let uid = world.policy("nanoseg-web").uid();
    cluster.run(async {
        let params = DeleteParams::default();
        let deleted = api.delete("nanoseg-web", &params).await;
        deleted.expect("it is deleted");
    });
    world.until_policy("nanoseg-web", "it is back", |policy| {
        policy.is_some_and(|policy| policy.uid() != uid)
    });
    cluster.run(until(PATIENCE, "the status says so", async || {
        let path = r#"jsonpath={.status.conditions[?(@.type=="Ready")].message}"#;
        let words = [
            "get",
            "segmentation",
            "default",
            "-n",
            &world.namespace,
            "-o",
            path,
        ];
        let said = String::from_utf8_lossy(&cluster.kubectl(&words).stdout).into_owned();
        said.contains("spec.mode").then_some(()).ok_or(said)
    }));
    // Nothing else stops: another namespace is learned, decided and enforced.
    let other = World::make(cluster);
    other.segment("Enforce");
    agent.learn(&other, &[("web", "api", 8080), ("api", "db", 5432)]);
    other.decide_open("web", Verb::Approve);
    other.policy("nanoseg-web");
    controller.until_metric("nanoseg_controller_stale", |stale| stale == 0.0);

    // Corrected, it counts again.
    schema(cluster, None);
    let patched = patch(r#"{"spec": {"mode": "Enforce"}}"#);
    assert!(patched.status.success(), "{patched:?}");
    controller.until_metric(malformed, |count| count == 0.0);
    world.until_condition("WellFormed", "True", "AllRead");
    world.until_condition("Enforcing", "True", "Enforced");
}

#[test]
fn a_default_deny_is_approved_automatically_only_where_namespace_and_cluster_allow_it() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let options = [&LOW_CEILINGS[..], &["--automatic-allow=default-deny"]].concat();
    let controller = Controller::start(cluster, "deny", &options);
    let world = World::make(cluster);
    let mut agent = Agent::new(cluster, &controller);
    let segment = |rules: Value| {
        world.segment_as(json!({
            "mode": "Enforce",
            "learning": {"minimumDuration": "0s", "minimumCoverage": 50},
            "approval": {"mode": "Automatic", "automatic": rules},
            "defaultDeny": true,
        }));
    };
    segment(json!({}));
    agent.learn(&world, &[("web", "api", 8080), ("api", "db", 5432)]);
    world.until_open("default-deny", |proposal| {
        let status = proposal.status.clone().unwrap_or_default();
        let message = status.message.unwrap_or_default();
        message.contains("a person decides about the default deny")
    });
    segment(json!({"allowDefaultDeny": true}));
    world.policy("nanoseg.default-deny");
    world.until_condition("WithinCeilings", "True", "AsSpecified");
}
