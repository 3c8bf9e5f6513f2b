//! A state that is lost, cut or altered, and a controller that takes it over.

use super::process::Controller;
use super::{learned, published, until_published};
use crate::support::kubernetes::{Cluster, PATIENCE, until};
use kube::ResourceExt;
use kube::api::{DeleteParams, PostParams};
use nanoseg::record::{Action, Actor, Head, PUBLISHED, ResetCause, Tail};
use nanoseg::review::resources::{DecisionOutcome, PolicyProposal, Verb};
use nanoseg::store::ReviewStore;
use std::path::Path;
use std::process::{Command, Output};

/// The published object's version, and its data.
fn bulletin(cluster: &'static Cluster) -> (String, Tail) {
    let object = cluster.run(async { published(cluster).get(PUBLISHED).await });
    let object = object.expect("it is published");
    let version = object.resource_version().unwrap_or_default();
    let tail = Tail::from_data(&object.data.unwrap_or_default()).expect("a record");
    (version, tail)
}

/// The files of a store.
fn files(store: &Path) -> Vec<std::path::PathBuf> {
    let name = store.display().to_string();
    ["", "-wal", "-shm"]
        .iter()
        .map(|end| format!("{name}{end}").into())
        .collect()
}

fn remove(store: &Path) {
    for file in files(store) {
        let _ = std::fs::remove_file(file);
    }
}

/// How many entries the record of a store has.
fn record_of(store: &Path) -> u64 {
    let store = ReviewStore::open_read_only(store).expect("a store");
    let mut entries = 0;
    let read = store.record_lines(1, |_, _| {
        entries += 1;
        true
    });
    read.map(|()| entries).expect("a record")
}

fn nanoseg(cluster: &Cluster, arguments: impl FnOnce(&mut Command)) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nanoseg"));
    command.env("KUBECONFIG", cluster.kubeconfig());
    arguments(&mut command);
    command.output().expect("it runs")
}

/// The first line of the record after the controller was told to go on.
fn accepted(controller: &mut Controller, cluster: &'static Cluster, lines_before: u64) -> Action {
    controller.kill();
    controller.restart_with(&["--accept-new-state"]);
    cluster.run(until(PATIENCE, "a line more", async || {
        let found = controller.record_lines().len() as u64;
        (found > lines_before)
            .then_some(())
            .ok_or_else(|| found.to_string())
    }));
    until_published(cluster, controller);
    let lines = controller.record_lines();
    let line = &lines[usize::try_from(lines_before).expect("a place")];
    assert_eq!(line.entry.actor, Actor::Unknown);
    // One start is enough.
    controller.kill();
    controller.restart_with(&[]);
    controller.until_ready();
    line.entry.action.clone()
}

#[test]
fn a_lost_or_older_store_is_not_acted_on_and_nothing_published_is_overwritten() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let mut controller = Controller::start(cluster, "lost", &[]);
    let (world, _agent) = learned(cluster, &controller);
    world.decide_open("api", Verb::Approve);
    world.until_condition("Enforcing", "True", "Enforced");
    until_published(cluster, &controller);
    // A backup while it runs, and a copy of the record.
    let folder = tempfile::tempdir().expect("a folder");
    let (backup, copy) = (
        folder.path().join("backup"),
        folder.path().join("copy.jsonl"),
    );
    let made = nanoseg(cluster, |command| {
        command.args(["controller", "backup", "--store"]);
        command.arg(controller.store()).arg("--out").arg(&backup);
    });
    assert_eq!(made.status.code(), Some(0), "{made:?}");
    let printed = nanoseg(cluster, |command| {
        command.args(["controller", "backup", "--out", "-", "--store"]);
        command.arg(controller.store());
    });
    assert!(
        printed.stdout.starts_with(b"SQLite format 3\0"),
        "{printed:?}"
    );
    let older = std::fs::read(&backup).expect("the backup");
    let before = record_of(&backup);
    let fetch = || {
        nanoseg(cluster, |command| {
            command.args([
                "record",
                "fetch",
                "--controller-namespace",
                "default",
                "--out",
            ]);
            command.arg(&copy);
        })
    };
    world.decide_open("web", Verb::Approve);
    world.until_condition("Enforcing", "True", "Enforced");
    until_published(cluster, &controller);
    let policy = world.policy("nanoseg-api");
    let fetched = fetch();
    assert_eq!(fetched.status.code(), Some(0), "{fetched:?}");
    controller.kill();
    let (version, tail) = bulletin(cluster);
    let lines = std::fs::read_to_string(&copy).expect("a copy");
    assert_eq!(lines.lines().collect::<Vec<_>>(), tail.lines);

    // It is restored from an older backup.
    remove(&controller.store());
    std::fs::write(controller.store(), older).expect("it is restored");
    controller.restart();
    let answer = controller.until_not_acting();
    assert!(answer.starts_with("HTTP/1.0 503"), "{answer}");
    for words in ["--accept-new-state", &tail.head.to_string()] {
        assert!(answer.contains(words), "{answer}");
        assert!(controller.log().contains(words), "{}", controller.log());
    }
    assert_eq!(bulletin(cluster).0, version, "nothing is overwritten");
    let action = accepted(&mut controller, cluster, before);
    assert_eq!(action, reset(&tail.head, ResetCause::Behind));
    let fetched = fetch();
    assert_eq!(
        fetched.status.code(),
        Some(1),
        "what was fetched is gone: {fetched:?}"
    );
    let kept = std::fs::read_to_string(&copy).expect("a copy");
    assert_eq!(kept, lines);
    assert_eq!(world.policy("nanoseg-api").spec, policy.spec);

    // It is lost.
    until_published(cluster, &controller);
    controller.kill();
    let (version, tail) = bulletin(cluster);
    remove(&controller.store());
    controller.restart();
    controller.until_not_acting();
    assert_eq!(bulletin(cluster).0, version, "nothing is overwritten");
    assert_eq!(world.policy("nanoseg-api").spec, policy.spec);
    let action = accepted(&mut controller, cluster, 0);
    assert_eq!(action, reset(&tail.head, ResetCause::Lost));
    // What was published is kept.
    let kept = format!(
        "{}.published-{}.jsonl",
        controller.store().display(),
        tail.head.sequence
    );
    let kept = std::fs::read_to_string(kept).expect("it is kept");
    assert_eq!(kept.lines().collect::<Vec<_>>(), tail.lines);
}

fn reset(head: &Head, cause: ResetCause) -> Action {
    Action::RecordReset {
        published: Some(head.clone()),
        cause,
        faults: 0,
    }
}

#[test]
fn a_store_whose_published_record_was_deleted_or_exchanged_is_not_acted_on() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let mut controller = Controller::start(cluster, "deleted", &[]);
    let (world, _agent) = learned(cluster, &controller);
    world.open("api");
    until_published(cluster, &controller);
    controller.kill();
    let api = published(cluster);
    let object = cluster.run(async { api.get(PUBLISHED).await });
    let mut object = object.expect("it is published");
    cluster.run(async {
        let gone = api.delete(PUBLISHED, &DeleteParams::default()).await;
        gone.expect("it is deleted");
    });
    controller.restart();
    let answer = controller.until_not_acting();
    assert!(answer.contains("none is published any more"), "{answer}");
    let there = cluster.run(async { api.get_opt(PUBLISHED).await });
    assert!(there.expect("an answer").is_none());

    // Somebody puts something else there.
    controller.kill();
    object.metadata = kube::api::ObjectMeta {
        name: Some(PUBLISHED.into()),
        ..Default::default()
    };
    let original = object.clone();
    let data = object.data.get_or_insert_default();
    data.insert("head".into(), "junk".into());
    cluster.run(async {
        let made = api.create(&PostParams::default(), &object).await;
        made.expect("it is made");
    });
    controller.restart();
    let answer = controller.until_not_acting();
    assert!(answer.contains("cannot be read"), "{answer}");

    // With what was there, it acts.
    controller.kill();
    cluster.run(async {
        let gone = api.delete(PUBLISHED, &DeleteParams::default()).await;
        gone.expect("it is deleted");
        let made = api.create(&PostParams::default(), &original).await;
        made.expect("it is made");
    });
    controller.restart();
    controller.until_ready();
}

#[test]
fn a_policy_that_was_altered_in_the_store_is_not_applied() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let mut controller = Controller::start(cluster, "altered", &[]);
    let (world, _agent) = learned(cluster, &controller);
    for workload in ["web", "api"] {
        world.decide_open(workload, Verb::Approve);
    }
    world.until_condition("Enforcing", "True", "Enforced");
    until_published(cluster, &controller);
    let policy = world.policy("nanoseg-api");
    assert_eq!(controller.stop(), 0, "{}", controller.log());
    let store = rusqlite::Connection::open(controller.store()).expect("the store");
    let body: String = store
        .query_row("SELECT body FROM reviews WHERE name = 'api'", [], |row| {
            row.get(0)
        })
        .expect("a review");
    let mut review: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    for revision in review["revisions"].as_array_mut().expect("revisions") {
        revision["policy"]["ingress"] = serde_json::json!([{}]);
    }
    let changed = store
        .execute(
            "UPDATE reviews SET body = ?1 WHERE name = 'api'",
            [review.to_string()],
        )
        .expect("it is altered");
    assert_eq!(changed, 1);
    drop(store);
    controller.restart();
    world.until_condition("Degraded", "True", "StateAltered");
    controller.until_metric("nanoseg_controller_altered_reviews", |number| number == 1.0);
    assert!(
        controller.log().contains("/api"),
        "it names the workload: {}",
        controller.log()
    );
    assert_eq!(world.policy("nanoseg-api").spec, policy.spec);
    // A person decides again.
    world.decide_open("api", Verb::Approve);
    world.until_condition("Degraded", "False", "Works");
    assert_eq!(world.policy("nanoseg-api").spec, policy.spec);
}

#[test]
fn after_a_reinstall_policies_in_the_cluster_are_listed_and_adopted_by_a_decision() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let mut controller = Controller::start(cluster, "adopted", &[]);
    let (world, _agent) = learned(cluster, &controller);
    for workload in ["web", "api"] {
        world.decide_open(workload, Verb::Approve);
    }
    world.until_condition("Enforcing", "True", "Enforced");
    world.until_condition("Adopted", "True", "AllApproved");
    let policy = world.policy("nanoseg-api");
    assert_eq!(controller.stop(), 0, "{}", controller.log());

    // Installed again: nothing is left but the cluster's objects.
    remove(&controller.store());
    cluster.run(async {
        let gone = published(cluster)
            .delete(PUBLISHED, &DeleteParams::default())
            .await;
        gone.expect("it is deleted");
    });
    controller.restart();
    world.until_condition("Adopted", "False", "UnknownPolicies");
    controller.until_metric("nanoseg_controller_unknown_policies", |number| {
        number >= 2.0
    });
    let status = nanoseg(cluster, |command| {
        command.args(["status", "--namespace", &world.namespace]);
    });
    let status = String::from_utf8_lossy(&status.stdout).into_owned();
    for words in ["Adopted=False", "nanoseg-api", "nanoseg-web"] {
        assert!(status.contains(words), "{status}");
    }
    for workload in ["web", "api"] {
        let adopts = |open: &PolicyProposal| {
            let findings = &open.spec.review.findings;
            findings.iter().any(|line| line.code == "unknown-policy")
        };
        let open = world.until_open(workload, adopts);
        let live = world.policy(&format!("nanoseg-{workload}"));
        assert_eq!(Some(&open.spec.policy), live.spec.as_ref());
        world.decide(&open, Verb::Approve, DecisionOutcome::Accepted);
    }
    world.until_condition("Adopted", "True", "AllApproved");
    world.until_condition("Enforcing", "True", "Enforced");
    let kept = world.policy("nanoseg-api");
    assert_eq!(kept.resource_version(), policy.resource_version());
    let adopted = controller.record_actions();
    let adopted = adopted.iter().filter(|action| *action == "adopted");
    assert_eq!(adopted.count(), 2);
}
