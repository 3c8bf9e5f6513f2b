//! Snapshots of an API server that answers from a table.

mod api;

use super::content::{Listed, now};
use super::*;
use crate::cluster::parse_objects;
use crate::inventory::{Inventory, Objects, OwnerRule};
pub use api::Api;
use serde_json::{Value, json};

fn meta(namespace: &str, name: &str) -> Value {
    json!({"namespace": namespace, "name": name, "uid": name, "resourceVersion": "5"})
}

fn pod(namespace: &str, name: &str) -> Value {
    json!({"metadata": meta(namespace, name), "spec": {"nodeName": "n1"}, "status": {"podIP": "10.1.0.5"}})
}

fn names(snapshot: &Snapshot) -> Vec<String> {
    let items = snapshot.items.iter();
    items
        .map(|item| {
            let object: Value = serde_json::from_str(&item.json).unwrap();
            format!(
                "{} {}/{}",
                object["kind"].as_str().unwrap(),
                item.namespace,
                item.name
            )
        })
        .collect()
}

/// An API server with one pod, its node and its namespace.
fn shop() -> Api {
    let mut api = Api::default();
    api.add("/api/v1/pods", pod("shop", "web"));
    api.add("/api/v1/namespaces", json!({"metadata": {"name": "shop"}}));
    api.add("/api/v1/nodes", json!({"metadata": {"name": "n1"}}));
    api
}

/// The snapshot as a file, read again.
fn read_back(snapshot: &Snapshot, format: Format) -> Objects {
    let mut text = Vec::new();
    write_list(&mut text, format, snapshot).unwrap();
    let mut objects = Objects::default();
    let counts = parse_objects(&text, "snapshot", &mut objects).unwrap();
    assert_eq!((counts.lists, counts.singles), (1, 0));
    objects
}

#[test]
fn a_snapshot_of_the_sample_has_the_same_inventory_as_kubectls() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/shop/cluster.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    // The sample holds two snapshots; which pods are in which decides whose their addresses were. This is the last.
    let text = text.split("\n---\n").last().unwrap();
    let list: Value = serde_yaml::from_str(text).unwrap();
    let mut items = Vec::new();
    for object in list["items"].as_array().unwrap() {
        let object: kube::core::DynamicObject = serde_json::from_value(object.clone()).unwrap();
        let kind = object.types.as_ref().unwrap().kind.clone();
        let kind = kinds::built_in()
            .into_iter()
            .find(|one| one.resource.kind == kind)
            .unwrap();
        let small = reduce::reduced(object, &kind.resource, kind.reduce).unwrap();
        items.push(Item::new(&small));
    }
    let snapshot = Snapshot {
        taken_at: now(),
        namespaces: Vec::new(),
        items,
        missing: Vec::new(),
        listed: Vec::<Listed>::new(),
    };
    let inventory =
        |objects: &Objects| format!("{:?}", Inventory::build(objects, OwnerRule::Infer));
    let mut kubectls = Objects::default();
    parse_objects(text.as_bytes(), "kubectl", &mut kubectls).unwrap();
    let wanted = inventory(&kubectls);
    assert_eq!(inventory(&read_back(&snapshot, Format::Yaml)), wanted);
    assert_eq!(inventory(&read_back(&snapshot, Format::Json)), wanted);
    assert_eq!(inventory(&snapshot.objects().unwrap()), wanted);
}

#[tokio::test]
async fn a_snapshot_says_when_it_was_taken_and_is_the_same_each_time() {
    let client = shop().start().await;
    let first = Snapshot::take(&client, &[]).await.unwrap();
    assert_eq!(
        names(&first),
        ["Pod shop/web", "Namespace /shop", "Node /n1"]
    );
    assert!(first.missing.is_empty(), "{:?}", first.missing);
    let mut text = Vec::new();
    write_list(&mut text, Format::Yaml, &first).unwrap();
    let list: Value = serde_yaml::from_slice(&text).unwrap();
    assert_eq!(list["kind"], "List");
    assert_eq!(
        list["metadata"]["annotations"][TAKEN_AT],
        first.taken_at.to_string()
    );
    assert_eq!(list["items"][0]["kind"], "Pod");
    let second = Snapshot::take(&client, &[]).await.unwrap();
    assert_eq!(first.items, second.items);
}

#[tokio::test]
async fn a_snapshot_without_objects_is_a_list_too() {
    let snapshot = Snapshot::take(&Api::default().start().await, &[])
        .await
        .unwrap();
    for format in [Format::Yaml, Format::Json] {
        assert_eq!(read_back(&snapshot, format).count(), 0);
    }
}

#[tokio::test]
async fn a_list_of_many_pages_is_whole_although_its_pages_expire() {
    let mut api = shop();
    for n in 0..1200 {
        api.add("/api/v1/pods", pod("shop", &format!("p{n:04}")));
    }
    api.expire_pages = 1;
    let snapshot = Snapshot::take(&api.start().await, &[]).await.unwrap();
    let pods = names(&snapshot)
        .into_iter()
        .filter(|name| name.starts_with("Pod"));
    assert_eq!(pods.count(), 1201);
}

#[tokio::test]
async fn kinds_that_may_not_be_listed_are_named_with_what_that_means() {
    let mut api = shop();
    api.forbid("/api/v1/nodes");
    let snapshot = Snapshot::take(&api.start().await, &[]).await.unwrap();
    let missing: Vec<String> = snapshot.missing.iter().map(ToString::to_string).collect();
    assert_eq!(missing.len(), 1);
    assert!(
        missing[0].starts_with("nodes: not permitted (no list of /api/v1/nodes); kubelet probes"),
        "{missing:?}"
    );
    let objects = read_back(&snapshot, Format::Yaml);
    assert_eq!(objects.gaps.len(), 1, "a reader of the file learns it too");
    assert_eq!(objects.gaps[0].spec.lacks, "nodes");
    assert!(objects.skipped.is_empty(), "{:?}", objects.skipped);
}

#[tokio::test]
async fn without_the_right_to_list_pods_there_is_no_snapshot() {
    let mut api = shop();
    api.forbid("/api/v1/pods");
    api.add("/api/v1/namespaces/shop/pods", pod("shop", "web"));
    let client = api.start().await;
    let error = Snapshot::take(&client, &[])
        .await
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.contains("name the namespaces that you may read with -n"),
        "{error}"
    );
    let one = Snapshot::take(&client, &["shop".into()]).await.unwrap();
    assert!(names(&one).contains(&"Pod shop/web".to_owned()));
    let error = Snapshot::take(&client, &["shpo".into()])
        .await
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("namespace shpo"), "{error}");
}

#[tokio::test]
async fn where_namespaces_may_not_be_listed_the_named_one_is_read() {
    let mut api = shop();
    api.forbid("/api/v1/namespaces");
    api.forbid("/api/v1/pods");
    api.add("/api/v1/namespaces/shop/pods", pod("shop", "web"));
    api.object(
        "/api/v1/namespaces/shop",
        json!({"metadata": {"name": "shop", "labels": {"team": "a"}}}),
    );
    let snapshot = Snapshot::take(&api.start().await, &["shop".into()])
        .await
        .unwrap();
    assert!(names(&snapshot).contains(&"Namespace /shop".to_owned()));
    assert!(snapshot.missing.is_empty(), "{:?}", snapshot.missing);
}

#[tokio::test]
async fn endpoints_are_read_only_for_services_without_endpoint_slices() {
    let mut api = shop();
    for name in ["old", "new", "out"] {
        let mut service =
            json!({"metadata": meta("shop", name), "spec": {"clusterIP": "10.96.0.7"}});
        if name == "out" {
            service["spec"]["type"] = "ExternalName".into();
        }
        api.add("/api/v1/services", service);
        api.add("/api/v1/endpoints", json!({"metadata": meta("shop", name), "subsets": [{"addresses": [{"ip": "10.1.0.5"}]}]}));
    }
    let mut slice = json!({"metadata": meta("shop", "new-x"), "endpoints": []});
    slice["metadata"]["labels"] = json!({"kubernetes.io/service-name": "new"});
    api.add("/apis/discovery.k8s.io/v1/endpointslices", slice);
    let snapshot = Snapshot::take(&api.start().await, &[]).await.unwrap();
    let names = names(&snapshot);
    assert!(
        names.contains(&"Endpoints shop/old".to_owned()),
        "{names:?}"
    );
    assert_eq!(
        names
            .iter()
            .filter(|name| name.starts_with("Endpoints "))
            .count(),
        1,
        "{names:?}"
    );
}

#[tokio::test]
async fn custom_owners_are_read_up_to_the_top_and_other_policies_too() {
    let mut api = shop();
    let owned = |name: &str, version: &str, kind: &str, owner: &str| {
        let mut meta = meta("shop", name);
        meta["ownerReferences"] = json!([{"apiVersion": version, "kind": kind, "name": owner, "uid": "u", "controller": true}]);
        json!({"metadata": meta, "spec": {"secret": "hunter2"}})
    };
    api.add(
        "/api/v1/pods",
        owned("rev-1-x", "serving.knative.dev/v1", "Revision", "rev-1"),
    );
    api.add("/api/v1/pods", owned("odd", "v1", "Secret", "s"));
    let revisions = "/apis/serving.knative.dev/v1/revisions";
    api.add(
        revisions,
        owned("rev-1", "serving.knative.dev/v1", "Configuration", "site"),
    );
    api.add(
        revisions,
        owned("rev-0", "serving.knative.dev/v1", "Configuration", "site"),
    );
    api.add(
        "/apis/serving.knative.dev/v1/configurations",
        owned("site", "v1", "Secret", "s"),
    );
    api.kind("serving.knative.dev", "v1", "revisions", "Revision", true);
    api.kind(
        "serving.knative.dev",
        "v1",
        "configurations",
        "Configuration",
        true,
    );
    api.kind(
        "cilium.io",
        "v2",
        "ciliumnetworkpolicies",
        "CiliumNetworkPolicy",
        true,
    );
    api.kind(
        "cilium.io",
        "v2",
        "ciliumidentities",
        "CiliumIdentity",
        false,
    );
    api.kind(
        "networking.k8s.io",
        "v1",
        "servicecidrs",
        "ServiceCIDR",
        false,
    );
    api.add(
        "/apis/cilium.io/v2/ciliumnetworkpolicies",
        json!({"metadata": meta("shop", "deny"), "spec": {"a": 1}}),
    );
    api.add(
        "/apis/cilium.io/v2/ciliumidentities",
        json!({"metadata": {"name": "1"}}),
    );
    api.add(
        "/apis/networking.k8s.io/v1/servicecidrs",
        json!({"metadata": {"name": "kubernetes"}, "spec": {"cidrs": ["10.96.0.0/16"]}}),
    );
    let snapshot = Snapshot::take(&api.start().await, &[]).await.unwrap();
    let names = names(&snapshot);
    for wanted in [
        "Revision shop/rev-1",
        "Configuration shop/site",
        "CiliumNetworkPolicy shop/deny",
        "ServiceCIDR /kubernetes",
    ] {
        assert!(names.contains(&wanted.to_owned()), "{wanted}: {names:?}");
    }
    for unwanted in ["Revision shop/rev-0", "CiliumIdentity /1"] {
        assert!(!names.contains(&unwanted.to_owned()), "{unwanted}");
    }
    assert!(
        snapshot
            .items
            .iter()
            .all(|item| !item.json.contains("hunter2"))
    );
}

/// The next records, and the documents among them by name and whether they are an end.
async fn until(history: &mut History, wanted: usize) -> Vec<Record> {
    let mut all = Vec::new();
    while all.len() < wanted {
        let next = tokio::time::timeout(std::time::Duration::from_secs(20), history.next());
        all.extend(next.await.expect("a change in time"));
    }
    all
}

fn event(kind: &str, version: u64, name: &str) -> Value {
    let mut object = pod("shop", name);
    object["apiVersion"] = "v1".into();
    object["kind"] = "Pod".into();
    object["metadata"]["resourceVersion"] = version.to_string().into();
    json!({"type": kind, "object": object})
}

#[tokio::test]
async fn a_history_has_each_pod_that_came_and_went() {
    let mut api = shop();
    api.watch(
        "/api/v1/pods",
        vec![event("ADDED", 11, "job"), event("DELETED", 12, "job")],
    );
    let client = api.start().await;
    let snapshot = Snapshot::take(&client, &[]).await.unwrap();
    let mut history = History::start(&client, &snapshot);
    let records = until(&mut history, 2).await;
    let [Record::Document(came), Record::Document(went)] = &records[..] else {
        panic!("{records:?}");
    };
    assert_eq!(came["metadata"]["name"], "job");
    assert!(came["metadata"]["annotations"].is_null());
    assert!(went["metadata"]["annotations"][DELETED_AT].is_string());
    assert!(history.finish(Some(&snapshot)).is_empty());
}

#[tokio::test]
async fn an_expired_watch_lists_again_and_says_what_it_does_not_know() {
    let mut api = shop();
    api.add("/api/v1/pods", pod("shop", "old"));
    let gone = json!({"type": "ERROR", "object": {"kind": "Status", "status": "Failure", "code": 410, "reason": "Expired", "message": "too old"}});
    api.watch("/api/v1/pods", vec![gone]);
    let (client, state) = api.start_with_state().await;
    let snapshot = Snapshot::take(&client, &[]).await.unwrap();
    state.lock().unwrap().remove("/api/v1/pods", "old");
    let mut history = History::start(&client, &snapshot);
    let records = until(&mut history, 2).await;
    let [Record::Gap(gap), Record::Document(went)] = &records[..] else {
        panic!("{records:?}");
    };
    assert_eq!(gap.what, "pods");
    assert!(gap.from >= snapshot.taken_at && gap.to >= gap.from);
    assert_eq!(went["metadata"]["name"], "old");
    assert_eq!(
        went["metadata"]["annotations"][DELETED_AT],
        gap.from.to_string()
    );
    let mut objects = Objects::default();
    let text = went.to_string();
    parse_objects(text.as_bytes(), "history", &mut objects).unwrap();
    assert!(objects.pods[0].metadata.deletion_timestamp.is_some());
}

#[tokio::test]
async fn what_a_watch_did_not_tell_until_the_end_is_a_gap() {
    let (client, state) = shop().start_with_state().await;
    let first = Snapshot::take(&client, &[]).await.unwrap();
    let history = History::start(&client, &first);
    state
        .lock()
        .unwrap()
        .add("/api/v1/pods", pod("shop", "unseen"));
    let last = Snapshot::take(&client, &[]).await.unwrap();
    let records = history.finish(Some(&last));
    let [Record::Gap(_), Record::Document(seen)] = &records[..] else {
        panic!("{records:?}");
    };
    assert_eq!(seen["metadata"]["name"], "unseen");
}

#[tokio::test]
async fn who_may_not_watch_pods_is_told() {
    let mut api = shop();
    api.forbid_watch("/api/v1/pods");
    let client = api.start().await;
    let snapshot = Snapshot::take(&client, &[]).await.unwrap();
    let records = until(&mut History::start(&client, &snapshot), 1).await;
    assert!(
        matches!(&records[..], [Record::Refused { is_pods: true, .. }]),
        "{records:?}"
    );
}
