//! `nanoseg controller` with a real API server. Agents are simulated: the test sends batches as agents send them, with a
//! real token. (tests/it/story has real traffic, real enforcement and the real agent.)

pub mod agent;
mod late;
mod learning;
mod memory;
mod observers;
pub mod operator;
pub mod process;
mod rollback;
mod said;
mod taken_over;
mod trust;
pub mod world;

use crate::connections::attack::{Attack, agents_port, http_port};
use crate::support::kubernetes::{Cluster, PATIENCE, until};
use agent::Agent;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use nanoseg::flow::Verdict;
use nanoseg::net::Timestamp;
use nanoseg::record::{
    Action, ActionKind, Actor, Chain, Entry, Head, PUBLISHED, RecordLine, Tail, to_line,
};
use nanoseg::review::resources::{DecisionOutcome, Phase, Verb};
use nanoseg::store::{BreakGlassEntry, BreakGlassLog, Commit, ReviewStore};
use process::Controller;
use serde_json::json;
use std::time::Duration;
use world::World;

/// Returns a world with learned traffic and open first proposals.
fn learned(cluster: &'static Cluster, controller: &Controller) -> (World, Agent) {
    let world = World::make(cluster);
    let mut agent = Agent::new(cluster, controller);
    world.segment("Enforce");
    agent.learn(&world, &[("web", "api", 8080), ("api", "db", 5432)]);
    (world, agent)
}

/// Ceilings for tests that cannot wait for a day.
const LOW_CEILINGS: [&str; 2] = [
    "--automatic-minimum-duration=0s",
    "--automatic-minimum-coverage=50",
];

#[test]
fn a_workload_on_a_node_without_an_agent_is_not_isolated_and_the_status_says_so() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let controller = Controller::start(cluster, "vantage", &[]);
    let mut world = World::make(cluster);
    world.add_pod("far", 20, "far-node");
    let mut agent = Agent::new(cluster, &controller);
    world.segment("Propose");
    agent.learn(
        &world,
        &[
            ("web", "api", 8080),
            ("api", "db", 5432),
            ("web", "far", 9000),
        ],
    );
    world.open("web");
    world.open("api");
    world.until_condition("Observed", "False", "NodesWithoutAgent");
    world.until_without_agent(&["far-node"]);
    controller.until_metric("nanoseg_controller_nodes_without_agent", |nodes| {
        nodes >= 1.0
    });
    // web's policy allows the call; the pod that was not in view has none.
    assert!(world.proposals("far").is_empty());

    // Its agent connects: with nothing but the word that it observes, the workload is in view.
    let mut second = Agent::on("far-node", cluster, &controller);
    second.silent();
    let proposal = world.open("far");
    assert_eq!(
        proposal.spec.policy.policy_types.as_deref(),
        Some(["Ingress".to_owned(), "Egress".to_owned()].as_slice())
    );
    world.until_condition("Observed", "True", "InView");
    world.until_without_agent(&[]);
}

#[test]
fn proposals_are_decided_applied_kept_and_rolled_back() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let mut controller = Controller::start(cluster, "life", &[]);
    let (world, mut agent) = learned(cluster, &controller);
    world.approve_first_policies();
    let applied = world.policy("nanoseg-api");

    // Somebody edits it, somebody deletes it: it is repaired.
    cluster.run(async {
        let policies: Api<NetworkPolicy> = world.api();
        let open = json!({"spec": {"ingress": [{}]}});
        let params = PatchParams::default();
        let edited = policies
            .patch("nanoseg-api", &params, &Patch::Merge(&open))
            .await;
        edited.expect("it is edited");
    });
    world.until_policy("nanoseg-api", "it is as before", |policy| {
        policy.is_some_and(|policy| policy.spec == applied.spec)
    });
    cluster.run(async {
        let policies: Api<NetworkPolicy> = world.api();
        let deleted = policies
            .delete("nanoseg-api", &DeleteParams::default())
            .await;
        deleted.expect("it is deleted");
    });
    world.until_policy("nanoseg-api", "it is back", |policy| {
        policy.is_some_and(|policy| policy.spec == applied.spec)
    });
    world.until_event("DriftRepaired");

    // A connection that was never observed is attempted, and is proposed.
    agent.see(&world, ("web", "db", 5432), Verdict::Refused, 3);
    let asked = world.open("db");
    assert!(
        asked
            .spec
            .review
            .findings
            .iter()
            .any(|line| line.code == "blocked-traffic"),
        "{:?}",
        asked.spec.review
    );
    world.decide_open("db", Verb::Approve);
    world.until_policy("nanoseg-db", "web may come", |policy| {
        policy.is_some_and(|policy| format!("{:?}", policy.spec).contains("web"))
    });

    // Rollback to the policy before.
    world.until_phase(&asked, Phase::Applied);
    world.decide(&asked, Verb::Rollback, DecisionOutcome::Accepted);
    world.until_policy("nanoseg-db", "web may not come", |policy| {
        policy.is_some_and(|policy| !format!("{:?}", policy.spec).contains("web"))
    });
    // Whoever reads the log alone knows what happened.
    let namespace = &world.namespace;
    for did in ["approved", "drift-repaired", "rolled-back"] {
        let said = format!("{did} {namespace}/nanoseg-");
        let log = controller.log();
        assert!(log.contains(&said), "no {said:?} in {log}");
    }
    assert_eq!(controller.stop(), 0, "{}", controller.log());
}

#[test]
fn break_glass_deletes_all_policies_at_once_and_its_end_brings_them_back() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let controller = Controller::start(cluster, "glass", &[]);
    let (world, _agent) = learned(cluster, &controller);
    world.approve_first_policies();
    for name in ["nanoseg-web", "nanoseg-api", "nanoseg-db"] {
        world.policy(name);
    }
    world.break_glass(Some("the shop is down"));
    let began = std::time::Instant::now();
    cluster.run(until(
        Duration::from_secs(5),
        "no policy is left",
        async || {
            let policies: Api<NetworkPolicy> = world.api();
            let list = policies
                .list(&Default::default())
                .await
                .map_err(|e| e.to_string())?;
            list.items
                .is_empty()
                .then_some(())
                .ok_or_else(|| format!("{} are", list.items.len()))
        },
    ));
    eprintln!("the glass took {:?}", began.elapsed());
    world.until_condition("Enforcing", "False", "BreakGlass");
    world.break_glass(None);
    world.policy("nanoseg-api");
    world.until_condition("Enforcing", "True", "Enforced");
    // Each line names who did it.
    for kind in [
        ActionKind::SegmentationAdded,
        ActionKind::BreakGlassOn,
        ActionKind::BreakGlassOff,
    ] {
        let lines = controller.record_lines();
        // Other tests' namespaces are in the record too.
        let mut ours = lines
            .iter()
            .filter(|one| one.entry.namespace == world.namespace);
        let line = ours.find(|one| one.entry.action.kind() == kind);
        let actor = line.map(|one| one.entry.actor.clone());
        assert_eq!(actor, Some(Actor::user("admin")), "{kind}");
    }
}

#[test]
fn break_glass_of_a_killed_leader_is_recorded_by_the_next_one() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let mut controller = Controller::start(cluster, "untold", &[]);
    let (world, _agent) = learned(cluster, &controller);
    world.decide_open("api", Verb::Approve);
    world.policy("nanoseg-api");
    world.until_condition("Enforcing", "True", "Enforced");
    // Such a leader leaves its note and no policy.
    controller.kill();
    let untold = BreakGlassEntry {
        namespace: world.namespace.clone(),
        reason: "the shop is down".into(),
        by: Actor::user("olga"),
        policies: 1,
        at: Timestamp::from_secs(1_700_000_000),
    };
    let log = BreakGlassLog::open(&controller.store());
    log.and_then(|mut log| log.write(&[untold]))
        .expect("it is written down");
    cluster.run(async {
        let policies: Api<NetworkPolicy> = world.api();
        let gone = policies
            .delete("nanoseg-api", &DeleteParams::default())
            .await;
        gone.expect("it is deleted");
    });
    controller.restart();
    world.policy("nanoseg-api");
    let told = |controller: &Controller| -> Vec<String> {
        let mut actions = controller.record_actions();
        actions.retain(|action| {
            action.starts_with("break-glass") || action == "applied" || action == "drift-repaired"
        });
        actions
    };
    let all = ["applied", "break-glass-on", "break-glass-off", "applied"];
    cluster.run(until(PATIENCE, "all of it is told", async || {
        let told = told(&controller);
        (told == all)
            .then_some(())
            .ok_or_else(|| format!("{told:?}"))
    }));
    // It is recorded once.
    controller.kill();
    controller.restart();
    controller.until_metric("nanoseg_controller_enforced_workloads", |number| {
        number == 1.0
    });
    assert_eq!(controller.stop(), 0, "{}", controller.log());
    assert_eq!(told(&controller), all);
}

#[test]
fn break_glass_works_although_the_store_refuses_writes() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let controller = Controller::start(cluster, "busy", &[]);
    let (world, _agent) = learned(cluster, &controller);
    world.decide_open("api", Verb::Approve);
    world.policy("nanoseg-api");
    world.until_condition("Enforcing", "True", "Enforced");
    let other = rusqlite::Connection::open(controller.store()).expect("the store");
    other
        .execute_batch("BEGIN IMMEDIATE")
        .expect("it is locked");
    let began = std::time::Instant::now();
    world.break_glass(Some("the shop is down"));
    world.until_policy("nanoseg-api", "it is gone", |policy| policy.is_none());
    eprintln!("the glass took {:?}", began.elapsed());
    assert!(other.execute_batch("ROLLBACK").is_ok());
    world.until_condition("Enforcing", "False", "BreakGlass");
}

#[test]
fn after_the_leader_dies_the_other_replica_continues_without_writing_twice() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let mut first = Controller::start(cluster, "leader", &[]);
    let (world, _agent) = learned(cluster, &first);
    let mut second = first.second();
    second.until_ready();
    assert!(!second.leads());
    second.until_logged("stands by: another replica leads");
    world.decide_open("web", Verb::Approve);
    world.until_condition("Enforcing", "True", "Enforced");
    let before = world.settled();
    first.kill();
    second.until_leading();
    second.until_logged("takes over: leads from now on");
    second.until_metric("nanoseg_controller_enforced_workloads", |number| {
        number == 1.0
    });
    assert_eq!(world.settled(), before);
    assert_eq!(second.writes(), 0.0, "{}", second.log());
    // A decision that was made without a leader is carried out once.
    second.kill();
    let open = world.open("api");
    let name = world.post_decision(&open, Verb::Approve);
    first.restart();
    world.until_answered(&name, DecisionOutcome::Accepted);
    world.policy("nanoseg-api");
    world.until_condition("Enforcing", "True", "Enforced");
    assert_eq!(first.stop(), 0, "{}", first.log());
    let applied = first.record_actions();
    let applied = applied.iter().filter(|action| *action == "applied");
    assert_eq!(applied.count(), 2, "web and api, once each");
}

#[test]
fn a_proposal_within_the_rules_is_approved_automatically_and_reported_by_events() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let controller = Controller::start(cluster, "automatic", &LOW_CEILINGS);
    let world = World::make(cluster);
    let mut agent = Agent::new(cluster, &controller);
    world.segment_as(json!({
        "mode": "Enforce",
        "learning": {"minimumDuration": "0s", "minimumCoverage": 50},
        "approval": {"mode": "Automatic"},
    }));
    agent.learn(&world, &[("web", "api", 8080), ("api", "db", 5432)]);
    world.policy("nanoseg-web");
    world.policy("nanoseg-db");
    // Blocked traffic makes a proposal, and a person must decide.
    agent.see(&world, ("web", "db", 5432), Verdict::Refused, 3);
    let asked = world.open("db");
    let message = asked.status.unwrap_or_default().message.unwrap_or_default();
    assert!(
        message.starts_with("not approved automatically"),
        "{message}"
    );
    world.until_event("PolicyApplied");
}

#[test]
fn a_workload_with_unapproved_images_needs_a_person() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let lists = [
        &["--approved-registry", "registry.example"][..],
        &LOW_CEILINGS,
    ]
    .concat();
    let controller = Controller::start(cluster, "images", &lists);
    let world = World::make(cluster);
    let mut agent = Agent::new(cluster, &controller);
    let segment = |images| {
        world.segment_as(json!({
            "mode": "Enforce",
            "learning": {"minimumDuration": "0s", "minimumCoverage": 50},
            "approval": {"mode": "Automatic"},
            "images": images,
        }));
    };
    segment(json!({}));
    agent.learn(&world, &[("web", "api", 8080)]);
    let said = |code: &str| {
        world.until_open("api", |proposal| {
            let status = proposal.status.clone().unwrap_or_default();
            let is_said = status.message.is_some_and(|message| message.contains(code));
            let lines = &proposal.spec.review.findings;
            is_said && lines.iter().any(|line| line.code == code)
        });
    };
    said("unapproved-registry");
    // The namespace approves more images. The remaining finding is the mutable tag.
    segment(json!({"approvedImages": ["example.org/it:1"]}));
    said("mutable-tag");
    assert!(world.find_policy("nanoseg-api").is_none());
    // A person may approve it nevertheless.
    world.decide_open("api", Verb::Approve);
    world.policy("nanoseg-api");
}

#[test]
fn policies_of_deleted_workloads_are_removed_if_the_segmentation_says_remove() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let controller = Controller::start(cluster, "gone", &["--retention", "1s"]);
    let world = World::make(cluster);
    let mut agent = Agent::new(cluster, &controller);
    world.segment_as(json!({
        "mode": "Enforce",
        "learning": {"minimumDuration": "0s", "minimumCoverage": 50},
        "onDelete": "Remove",
    }));
    agent.learn(&world, &[("web", "api", 8080), ("api", "db", 5432)]);
    for workload in ["web", "api"] {
        world.decide_open(workload, Verb::Approve);
    }
    world.policy("nanoseg-web");
    world.policy("nanoseg-api");
    world.delete_pod("web");
    world.until_policy("nanoseg-web", "it is gone", |policy| policy.is_none());
    assert!(world.find_policy("nanoseg-api").is_some());
    // All policies are removed with the Segmentation.
    world.unsegment();
    world.until_policy("nanoseg-api", "it is gone", |policy| policy.is_none());
    // What was approved is kept for reports.
    let store = ReviewStore::open_read_only(&controller.store()).expect("the store");
    cluster.run(until(PATIENCE, "the reviews have ended", async || {
        let ended = store.ended_reviews().map_err(|e| e.to_string())?;
        let names: Vec<_> = ended.iter().map(|one| one.workload.name.as_str()).collect();
        let all = ["web", "api"].iter().all(|name| names.contains(name));
        all.then_some(()).ok_or_else(|| format!("{names:?}"))
    }));
    let actions = controller.record_actions();
    let deleted = actions.iter().filter(|action| *action == "deleted");
    assert_eq!(deleted.count(), 2, "{actions:?}");
}

#[test]
fn a_restart_continues_with_the_same_state_and_writes_nothing() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let mut controller = Controller::start(cluster, "restart", &[]);
    let (world, _agent) = learned(cluster, &controller);
    for workload in ["web", "api"] {
        world.decide_open(workload, Verb::Approve);
    }
    let open = world.open("db");
    world.until_condition("Enforcing", "True", "Enforced");
    let before = world.settled();
    controller.kill();
    controller.restart();
    controller.until_metric("nanoseg_controller_leading", |leading| leading == 1.0);
    controller.until_metric("nanoseg_controller_enforced_workloads", |number| {
        number == 2.0
    });
    assert_eq!(world.settled(), before);
    assert_eq!(world.open("db").uid(), open.uid());
    assert_eq!(controller.writes(), 0.0, "{}", controller.log());
}

#[test]
fn a_decision_on_another_revision_is_refused_with_the_reason() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let controller = Controller::start(cluster, "revision", &[]);
    let (world, _agent) = learned(cluster, &controller);
    let read = world.open("db");
    // A person edits it after somebody else has read it.
    world.edit(&read, |spec| spec.ingress = Some(Vec::new()));
    cluster.run(until(PATIENCE, "it is judged anew", async || {
        let now = world.fetch(&read.name_any()).await?;
        let is_new = now.spec.review.revision != read.spec.review.revision;
        is_new.then_some(()).ok_or_else(|| "not yet".to_owned())
    }));
    let refused = world.decide(&read, Verb::Approve, DecisionOutcome::Refused);
    let message = refused
        .status
        .and_then(|status| status.message)
        .unwrap_or_default();
    assert!(message.contains("revision"), "{message}");
    assert_eq!(world.open("db").name_any(), read.name_any());
}

#[test]
fn with_gitops_approved_policies_are_written_to_a_folder_and_compared_with_the_cluster() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let output = folder.path().to_str().expect("a path").to_owned();
    let controller = Controller::start(cluster, "gitops", &["--output-dir", &output]);
    let (world, _agent) = learned(cluster, &controller);
    world.decide_open("api", Verb::Approve);
    let file = folder
        .path()
        .join(&world.namespace)
        .join("nanoseg-api.yaml");
    cluster.run(until(PATIENCE, "the file", async || {
        std::fs::metadata(&file)
            .map(|_| ())
            .map_err(|e| e.to_string())
    }));
    world.until_condition("Enforcing", "False", "Waiting");
    assert!(
        world.find_policy("nanoseg-api").is_none(),
        "nothing is written to the cluster"
    );
    let applied = cluster.kubectl(&["apply", "-k", &output]);
    assert!(applied.status.success(), "{applied:?}");
    world.until_condition("Enforcing", "True", "Enforced");
    cluster.run(async {
        let policies: Api<NetworkPolicy> = world.api();
        policies
            .delete("nanoseg-api", &DeleteParams::default())
            .await
            .expect("it is deleted");
    });
    world.until_condition("Drifted", "True", "ChangedByOthers");
    assert!(
        world.find_policy("nanoseg-api").is_none(),
        "drift is told, not repaired"
    );
    let applied = cluster.kubectl(&["apply", "-k", &output]);
    assert!(applied.status.success(), "{applied:?}");
    world.until_condition("Drifted", "False", "AsApproved");
}

fn published(cluster: &'static Cluster) -> Api<ConfigMap> {
    Api::namespaced(cluster.client(), "default")
}

/// Waits until the ConfigMap has the record of the store. Returns its version.
pub fn until_published(cluster: &'static Cluster, controller: &Controller) -> (Tail, String) {
    let api = published(cluster);
    cluster.run(until(PATIENCE, "the record is published", async || {
        let object = api.get(PUBLISHED).await.map_err(|e| e.to_string())?;
        let version = object.resource_version().unwrap_or_default();
        let tail = Tail::from_data(&object.data.unwrap_or_default()).map_err(|e| e.to_string())?;
        let (there, here) = (tail.head.sequence, controller.record_actions().len() as u64);
        (there == here)
            .then_some((tail, version))
            .ok_or_else(|| format!("{there} of {here}"))
    }))
}

#[test]
fn the_record_is_published_and_an_idle_controller_writes_nothing() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let mut controller = Controller::start(cluster, "bulletin", &[]);
    let (world, _agent) = learned(cluster, &controller);
    world.decide_open("api", Verb::Approve);
    world.until_condition("Enforcing", "True", "Enforced");
    world.settled();
    let (tail, version) = until_published(cluster, &controller);
    let (entries, problems) = tail.check(None);
    assert_eq!(problems, []);
    let actions: Vec<ActionKind> = entries
        .iter()
        .map(|line| line.entry.action.kind())
        .collect();
    for action in [
        ActionKind::Proposed,
        ActionKind::Approved,
        ActionKind::Applied,
    ] {
        assert!(actions.contains(&action), "{actions:?}");
    }
    let writes = controller.writes();
    world.settled();
    assert_eq!(controller.writes(), writes, "{}", controller.log());
    assert_eq!(until_published(cluster, &controller).1, version);

    // Lines that are recorded right before the end are published before the end.
    let open = world.open("web");
    let name = world.post_decision(&open, Verb::Reject);
    world.until_answered(&name, DecisionOutcome::Accepted);
    assert_eq!(controller.stop(), 0, "{}", controller.log());
    let (tail, _) = until_published(cluster, &controller);
    let (entries, problems) = tail.check(None);
    assert_eq!(problems, []);
    let rejected = |line: &&RecordLine| line.entry.action.kind() == ActionKind::Rejected;
    assert!(entries.iter().find(rejected).is_some(), "{entries:?}");

    a_long_record_is_published_from_some_entry_on(cluster, &mut controller, tail.head);
}

fn a_long_record_is_published_from_some_entry_on(
    cluster: &'static Cluster,
    controller: &mut Controller,
    head: Head,
) {
    let mut store = ReviewStore::open(&controller.store()).expect("the store");
    let mut chain = Chain::after(head);
    let now: Timestamp = jiff::Timestamp::now().into();
    let entry = Entry::new(Action::Exported, Actor::Controller, "shop", "db");
    let entry = entry.with_reason("x".repeat(500));
    let line = |_| {
        let line = chain.append(entry.clone(), now);
        (line.sequence, to_line(&line))
    };
    let commit = Commit {
        record_lines: (0..1500).map(line).collect(),
        ..Commit::default()
    };
    store.commit(&commit).expect("it is written");
    drop(store);
    controller.restart();
    let (tail, _) = until_published(cluster, controller);
    let (entries, problems) = tail.check(None);
    assert_eq!(problems, []);
    assert!(
        tail.after.sequence > 0 && entries.len() > 500,
        "{}",
        entries.len()
    );
    let bytes: usize = tail.to_data().values().map(String::len).sum();
    assert!((500 << 10..513 << 10).contains(&bytes), "{bytes}");
    let arguments = [
        "record",
        "verify",
        "cluster",
        "--controller-namespace",
        "default",
    ];
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_nanoseg"))
        .args(arguments)
        .env("KUBECONFIG", cluster.kubeconfig())
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let wanted = format!(
        "intact: {} entries, after {}, head {}\n",
        entries.len(),
        tail.after,
        tail.head
    );
    assert_eq!(said, wanted, "{output:?}");
}

#[test]
fn a_record_that_cannot_be_published_does_not_delay_decisions() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let controller = Controller::start(cluster, "unpublished", &[]);
    let api = published(cluster);
    // An immutable ConfigMap, which the API server lets nobody change.
    let delete = async || match api.delete(PUBLISHED, &DeleteParams::default()).await {
        Err(kube::Error::Api(status)) if status.code == 404 => {}
        other => drop(other.expect("it is deleted")),
    };
    let frozen = json!({"metadata": {"name": PUBLISHED}, "immutable": true, "data": {"head": "x"}});
    let frozen: ConfigMap = serde_json::from_value(frozen).expect("a ConfigMap");
    // The controller may publish in between.
    cluster.run(until(PATIENCE, "it is made", async || {
        delete().await;
        let made = api.create(&PostParams::default(), &frozen).await;
        made.map(drop).map_err(|error| error.to_string())
    }));
    let (world, _agent) = learned(cluster, &controller);
    world.approve_first_policies();
    world.policy("nanoseg-api");
    cluster.run(until(PATIENCE, "it is said", async || {
        let log = controller.log();
        let said = log.contains("failed to publish the record");
        said.then_some(()).ok_or(log)
    }));
    cluster.run(delete());
    let (tail, _) = until_published(cluster, &controller);
    assert_eq!(tail.check(None).1, []);
}

/// (rule: connections-are-bounded)
#[test]
fn ten_thousand_connections_against_each_port_leave_the_lease_held_and_a_batch_arrives() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let mut controller = Controller::start(cluster, "crowd", &[]);
    let world = World::make(cluster);
    let mut agent = Agent::new(cluster, &controller);
    let ports = [
        (controller.listen, agents_port(false)),
        (controller.metrics, http_port("/metrics")),
    ];
    for (address, said) in ports {
        let attack = Attack::start(address, &said);
        agent.see(&world, ("web", "api", 8080), Verdict::Established, 1);
        let attack = attack.complete();
        agent.see(&world, ("web", "api", 8080), Verdict::Established, 1);
        controller.until_ready();
        // A leader that loses the Lease ends.
        controller.until_leading();
        drop(attack);
    }
    assert_eq!(controller.stop(), 0);
}
