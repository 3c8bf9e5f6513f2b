use super::*;

fn pod(name: &str, uid: &str, version: u64, phase: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": "shop", "name": name, "uid": uid, "resourceVersion": version.to_string()},
        "status": {"phase": phase, "conditions": [{"type": "Ready", "status": phase}]}
    })
}

fn at(second: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn pods(objects: Vec<Value>, version: &str) -> Relisted<'_> {
    Relisted {
        kind: "v1/Pod".into(),
        namespace: None,
        objects,
        version,
    }
}

#[test]
fn a_version_is_written_only_if_something_changed_that_is_read() {
    let mut changes = Changes::default();
    assert_eq!(changes.seen(pod("a", "1", 5, "Running"), at(0)).len(), 1);
    let mut unready = pod("a", "1", 6, "Running");
    unready["status"]["conditions"][0]["status"] = "False".into();
    assert!(
        changes.seen(unready, at(1)).is_empty(),
        "readiness comes and goes"
    );
    assert_eq!(changes.seen(pod("a", "1", 7, "Succeeded"), at(2)).len(), 1);
    assert!(
        changes.seen(pod("a", "1", 6, "Running"), at(3)).is_empty(),
        "an older version"
    );
}

#[test]
fn a_pod_that_was_deleted_at_once_ends_when_its_deletion_was_seen() {
    let mut changes = Changes::default();
    changes.seen(pod("a", "1", 5, "Running"), at(0));
    let gone = changes.gone(pod("a", "1", 6, "Running"), at(9));
    assert_eq!(
        gone["metadata"]["annotations"][DELETED_AT],
        at(9).to_string()
    );
    assert_eq!(gone["metadata"]["deletionTimestamp"], at(9).to_string());
    let mut graceful = pod("b", "2", 8, "Running");
    graceful["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    let gone = changes.gone(graceful, at(9));
    assert_eq!(
        gone["metadata"]["deletionTimestamp"],
        "2026-01-01T00:00:00Z"
    );
    let mut early = pod("c", "3", 8, "Running");
    early["metadata"]["deletionTimestamp"] = at(39).to_string().into();
    let gone = changes.gone(early, at(9));
    assert_eq!(gone["metadata"]["deletionTimestamp"], at(9).to_string());
}

#[test]
fn a_new_pod_of_the_same_name_ends_the_old_one() {
    let mut changes = Changes::default();
    changes.seen(pod("db-0", "1", 5, "Running"), at(0));
    let documents = changes.seen(pod("db-0", "2", 7, "Pending"), at(4));
    let uids: Vec<&str> = documents
        .iter()
        .filter_map(|one| one["metadata"]["uid"].as_str())
        .collect();
    assert_eq!(uids, ["1", "2"]);
    assert_eq!(
        documents[0]["metadata"]["annotations"][DELETED_AT],
        at(4).to_string()
    );
    assert!(documents[1]["metadata"]["annotations"].is_null());
}

#[test]
fn what_went_in_a_gap_is_gone_since_its_beginning_and_newer_than_every_version() {
    let mut changes = Changes::default();
    for (name, version) in [("a", 5), ("b", 6), ("late", 30)] {
        changes.seen(pod(name, name, version, "Running"), at(0));
    }
    let there = vec![pod("b", "b", 6, "Running"), pod("c", "c", 19, "Running")];
    let documents = changes.relisted(pods(there, "20"), at(3));
    let names: Vec<&str> = documents
        .iter()
        .filter_map(|one| one["metadata"]["name"].as_str())
        .collect();
    assert_eq!(
        names,
        ["a", "c"],
        "b is as it was, late is newer than the list"
    );
    let gone = &documents[0]["metadata"];
    assert_eq!(gone["annotations"][DELETED_AT], at(3).to_string());
    assert_eq!(gone["resourceVersion"], "20");
    assert!(documents[1]["metadata"]["annotations"].is_null());
}

#[test]
fn a_list_of_one_namespace_ends_nothing_in_another() {
    let mut changes = Changes::default();
    changes.seen(pod("a", "1", 5, "Running"), at(0));
    let list = Relisted {
        namespace: Some("other"),
        ..pods(Vec::new(), "20")
    };
    assert!(changes.relisted(list, at(3)).is_empty());
    assert_eq!(changes.relisted(pods(Vec::new(), "20"), at(3)).len(), 1);
}

#[test]
fn a_list_that_is_older_than_a_deletion_brings_nothing_back() {
    let mut changes = Changes::default();
    changes.seen(pod("a", "1", 5, "Running"), at(0));
    changes.gone(pod("a", "1", 21, "Running"), at(2));
    let list = || vec![pod("a", "1", 5, "Running")];
    assert!(changes.relisted(pods(list(), "20"), at(3)).is_empty());
    let mut other = list();
    other[0]["metadata"]["uid"] = "2".into();
    assert_eq!(changes.relisted(pods(other, "30"), at(3)).len(), 1);
}
