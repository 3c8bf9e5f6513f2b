//! Tests that a selector matches its workload and nothing else.

use super::*;
use crate::testing::{add, id, labels};
use proptest::prelude::*;

/// `a=b,!c,d!=e|f`: a short form for assertions.
fn text(selector: &Selector) -> String {
    let equal = selector.labels.iter().map(|(k, v)| format!("{k}={v}"));
    let absent = selector.absent.iter().map(|k| format!("!{k}"));
    let excluded = selector.excluded.iter().map(|(k, values)| {
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        format!("{k}!={}", values.join("|"))
    });
    let parts: Vec<String> = equal.chain(absent).chain(excluded).collect();
    parts.join(",")
}

/// A selection as text, with the other workloads that it matches too.
#[derive(Debug, PartialEq)]
struct Found {
    selector: Selector,
    also: BTreeSet<WorkloadId>,
    unselectable: bool,
}

fn select(inventory: &Inventory, workload: &str) -> Found {
    found(inventory, &id(workload))
}

fn found(inventory: &Inventory, id: &WorkloadId) -> Found {
    let selection = Selectors::build(inventory, Dialect::Kubernetes).select(id);
    let mut also = selection.reach.as_deref().cloned().unwrap_or_default();
    also.remove(id);
    Found {
        selector: selection.selector,
        also,
        unselectable: selection.unselectable,
    }
}

/// Workloads as (name, matchLabels, pods); the selector of the first.
fn first(workloads: &[(&str, &str, &[&str])]) -> Found {
    let mut inventory = Inventory::default();
    for (name, match_labels, pods) in workloads {
        add(&mut inventory, name, match_labels, pods);
    }
    select(&inventory, workloads[0].0)
}

fn exact(workloads: &[(&str, &str, &[&str])]) -> String {
    let selection = first(workloads);
    assert!(selection.also.is_empty(), "{selection:?}");
    assert!(!selection.unselectable, "{selection:?}");
    text(&selection.selector)
}

#[test]
fn the_name_of_one_of_several_pods_without_an_owner_never_selects() {
    // A program made it and takes part in its name: its workload is called otherwise.
    let agents = ("s/agent/Pod", "", &["name=agent-0,team=ci"][..]);
    assert_eq!(exact(&[agents, ("s/b", "app=b", &["app=b"])]), "team=ci");
}

#[test]
fn the_owners_labels_are_enough_if_they_are_exact() {
    assert_eq!(
        exact(&[
            (
                "s/a",
                "app=a",
                &["app=a,app.kubernetes.io/name=a,pod-template-hash=1"]
            ),
            ("s/b", "app=b", &["app=b,app.kubernetes.io/name=b"]),
        ]),
        "app=a"
    );
}

#[test]
fn labels_of_a_rollout_or_a_pod_are_never_used() {
    assert_eq!(
        exact(&[(
            "s/a/StatefulSet",
            "",
            &[
                "x=1,statefulset.kubernetes.io/pod-name=a-0,apps.kubernetes.io/pod-index=0,controller-revision-hash=q",
            ],
        )]),
        "x=1"
    );
    assert_eq!(
        exact(&[(
            "s/a/CronJob",
            "",
            &["job-name=a-1,batch.kubernetes.io/job-name=a-1,controller-uid=7,x=1"],
        )]),
        "x=1"
    );
}

#[test]
fn a_job_without_an_owner_can_be_selected_by_its_name() {
    let name = "batch.kubernetes.io/job-name=once,batch.kubernetes.io/controller-uid=7";
    assert_eq!(
        exact(&[(
            "s/once/Job",
            "batch.kubernetes.io/controller-uid=7",
            &[name]
        )]),
        "batch.kubernetes.io/job-name=once"
    );
}

#[test]
fn a_value_that_is_the_pods_name_or_the_rollouts_hash_is_never_used() {
    assert_eq!(exact(&[("s/a", "", &["pod=a-0,x=1",])]), "x=1");
    let selection = first(&[("s/a", "", &["rs=a-5f6,pod-template-hash=5f6"])]);
    assert!(selection.unselectable);
}

#[test]
fn a_label_must_exist_on_every_present_and_past_pod() {
    assert_eq!(
        exact(&[
            (
                "s/a",
                "app=a,tier=t",
                &[
                    "app=a,tier=t,extra=1",
                    "app=a,tier=t,extra=2",
                    "app=a,extra=1"
                ]
            ),
            ("s/b", "", &["tier=t"]),
        ]),
        "app=a"
    );
}

#[test]
fn labels_are_added_until_the_selector_is_exact() {
    assert_eq!(
        exact(&[
            ("s/a", "app=web", &["app=web,team=x,track=stable"]),
            ("s/b", "app=web", &["app=web,team=y,track=canary"]),
            ("s/c", "app=db", &["app=db,team=x,track=stable"]),
        ]),
        "app=web,team=x"
    );
}

#[test]
fn few_labels_and_the_recommended_ones_are_preferred() {
    let a = "a=1,app=a,app.kubernetes.io/name=a,z=1";
    assert_eq!(exact(&[("s/a", a, &[a])]), "app.kubernetes.io/name=a");
    let [a, b, c] = ["p=1,q=1,r=1", "p=1,q=2,r=2", "p=2,q=1,r=1"];
    assert_eq!(
        exact(&[("s/a", "", &[a]), ("s/b", "", &[b]), ("s/c", "", &[c])]),
        "p=1,q=1"
    );
}

#[test]
fn a_version_is_a_last_resort_and_never_stands_alone() {
    let [v1, v2] = ["app=r,version=v1", "app=r,version=v2"];
    assert_eq!(
        exact(&[("s/a", v1, &[v1]), ("s/b", v2, &[v2])]),
        "app=r,version=v1"
    );
    assert_eq!(
        exact(&[
            ("s/a", "", &["app=r,color=red,version=v1"]),
            ("s/b", "", &["app=r,color=blue,version=v2"])
        ]),
        "color=red"
    );
}

#[test]
fn what_does_not_last_is_chosen_only_if_nothing_that_lasts_is_exact() {
    let passing = |workloads: &[(&str, &str, &[&str])]| -> Vec<String> {
        let mut inventory = Inventory::default();
        for (name, match_labels, pods) in workloads {
            add(&mut inventory, name, match_labels, pods);
        }
        let selection =
            Selectors::build(&inventory, Dialect::Kubernetes).select(&id(workloads[0].0));
        let labels = selection.passing.iter();
        labels
            .map(|l| format!("{}={} {:?}", l.key, l.value, l.nature))
            .collect()
    };
    // A role, a commit, a date and a user, each beside something that lasts.
    for (labels, chosen) in [
        ("x.io/cluster=db,role=primary", "x.io/cluster=db"),
        ("service=cart,git-sha=75ba3d3d", "service=cart"),
        ("zone-app=cart,app=cart-20261129", "zone-app=cart"),
        ("zz=lab,user=alice", "zz=lab"),
    ] {
        let own = [labels];
        let all = [("s/a/Custom", "", own.as_slice()), ("s/b", "", &["app=b"])];
        assert_eq!(exact(&all), chosen);
        assert_eq!(passing(&all), Vec::<String>::new(), "{labels}");
    }
    let [a, b] = [
        "part=etl,image-tag=1.4.2-88fe",
        "part=etl,image-tag=2.0.0-17aa",
    ];
    let (own, other) = ([a], [b]);
    let all = [
        ("s/a/Custom", "", own.as_slice()),
        ("s/b/Custom", "", other.as_slice()),
    ];
    assert_eq!(exact(&all), "image-tag=1.4.2-88fe,part=etl");
    assert_eq!(passing(&all), ["image-tag=1.4.2-88fe Release"]);
    // What others have and this one lacks lasts longer than its own version.
    let all = [
        ("s/a/Custom", "", ["app=x,version=1"].as_slice()),
        ("s/b/Custom", "", &["app=x,tier=y,version=2"]),
    ];
    assert_eq!(exact(&all), "app=x,!tier");
}

#[test]
fn a_key_that_changed_before_is_chosen_last_and_one_that_services_select_by_first() {
    let mut inventory = Inventory::default();
    add(&mut inventory, "s/a", "", &["aa=1,bb=2,cc=3"]);
    assert_eq!(text(&select(&inventory, "s/a").selector), "aa=1");
    let workload = inventory.workloads.get_mut(&id("s/a")).unwrap();
    workload.service_keys.insert("bb".to_string());
    assert_eq!(text(&select(&inventory, "s/a").selector), "bb=2");
    let workload = inventory.workloads.get_mut(&id("s/a")).unwrap();
    workload.changing_keys.insert("bb".to_string());
    assert_eq!(text(&select(&inventory, "s/a").selector), "aa=1");
    // It changed for another workload.
    add(&mut inventory, "s/b", "app=b", &["app=b"]);
    let other = inventory.workloads.get_mut(&id("s/b")).unwrap();
    other.changing_keys.insert("aa".to_string());
    assert_eq!(text(&select(&inventory, "s/a").selector), "cc=3");
}

#[test]
fn the_owners_own_selector_lasts_unless_its_value_names_a_release() {
    let all = [
        (
            "s/a",
            "app=redis,role=master",
            ["app=redis,role=master"].as_slice(),
        ),
        ("s/b", "app=redis,role=replica", &["app=redis,role=replica"]),
    ];
    assert_eq!(exact(&all), "app=redis,role=master");
    let a = "app.kubernetes.io/name=x,helm.sh/chart=x-1.2.3";
    let b = "app.kubernetes.io/name=x,helm.sh/chart=y-1.2.3";
    let mut inventory = Inventory::default();
    add(&mut inventory, "s/a", a, &[a]);
    add(&mut inventory, "s/b", b, &[b]);
    let selection = Selectors::build(&inventory, Dialect::Kubernetes).select(&id("s/a"));
    assert_eq!(selection.passing.len(), 1);
}

#[test]
fn a_pod_of_the_past_and_one_expected_count_like_any_other() {
    let mut inventory = Inventory::default();
    add(&mut inventory, "s/a", "app=a", &["app=a,x=1"]);
    add(&mut inventory, "s/gone", "", &["app=a,x=2"]);
    inventory.pods[1].template = true;
    assert_eq!(text(&select(&inventory, "s/a").selector), "app=a,x=1");
}

#[test]
fn pods_on_the_node_network_and_in_other_namespaces_do_not_count() {
    let mut inventory = Inventory::default();
    add(&mut inventory, "s/a", "app=a", &["app=a"]);
    add(&mut inventory, "s/host", "app=a", &["app=a"]);
    add(&mut inventory, "other/a", "app=a", &["app=a"]);
    inventory.pods[1].host_network = true;
    assert_eq!(select(&inventory, "s/a").also, BTreeSet::new());
}

#[test]
fn a_workload_whose_labels_another_has_too_is_selected_by_an_absent_label() {
    assert_eq!(
        exact(&[
            ("s/a", "app=x", &["app=x"]),
            ("s/b", "app=x", &["app=x,tier=y,version=1"]),
        ]),
        "app=x,!tier"
    );
    assert_eq!(
        exact(&[
            ("s/a", "app=x", &["app=x", "app=x,track=1"]),
            ("s/b", "app=x", &["app=x,track=9"]),
            ("s/c", "app=x", &["app=x,track=8"]),
        ]),
        "app=x,track!=8|9"
    );
}

#[test]
fn workloads_with_the_same_labels_are_listed() {
    let selection = first(&[
        ("s/a", "app=x", &["app=x"]),
        ("s/b", "app=x", &["app=x", "app=x,y=1"]),
        ("s/c", "app=x", &["app=x,z=1"]),
    ]);
    assert_eq!(selection.also, BTreeSet::from([id("s/b")]));
    assert_eq!(text(&selection.selector), "app=x,!y,!z");
}

#[test]
fn an_unknown_workload_is_unselectable() {
    assert!(select(&Inventory::default(), "s/a").unselectable);
    let selection = first(&[("s/a", "", &[]), ("s/b", "", &["app=b"])]);
    assert_eq!(selection.also, BTreeSet::from([id("s/b")]));
}

#[test]
fn many_labels_are_searched_without_trying_all_sets() {
    // a differs from other number i only in label i: all forty are needed.
    let own: Vec<String> = (0..40).map(|i| format!("k{i:02}=1")).collect();
    let mut inventory = Inventory::default();
    add(&mut inventory, "s/a", "", &[&own.join(",")]);
    for i in 0..40 {
        let mut other = own.clone();
        other[i] = format!("k{i:02}=2");
        add(&mut inventory, &format!("s/o{i}"), "", &[&other.join(",")]);
    }
    let selection = select(&inventory, "s/a");
    assert_eq!(selection.selector.labels.len(), 40);
    assert!(selection.also.is_empty());
}

/// Returns whether a selector matches labels as Kubernetes does it, without the index of this crate.
fn selects(selector: &Selector, pod: &BTreeMap<String, String>) -> bool {
    selector.labels.iter().all(|(k, v)| pod.get(k) == Some(v))
        && selector.absent.iter().all(|k| !pod.contains_key(k))
        && selector
            .excluded
            .iter()
            .all(|(k, values)| pod.get(k).is_none_or(|v| !values.contains(v)))
}

/// Labels of few keys and values, so that workloads often share labels. Some keys are volatile.
fn pod() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec![
        "app",
        "tier",
        "x",
        "version",
        "job-name",
        "pod-template-hash",
        "app.kubernetes.io/name",
    ]);
    let pair = (key, "[abw]").prop_map(|(k, v)| format!("{k}={v}"));
    prop::collection::vec(pair, 0..5).prop_map(|pairs| pairs.join(","))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn a_selection_matches_all_own_pods_and_only_the_other_pods_that_it_lists(
        workloads in prop::collection::vec(
            (prop::collection::vec(pod(), 1..4), pod(), prop::bool::weighted(0.1), 0..3u8), 1..7),
    ) {
        let mut inventory = Inventory::default();
        let mut ids = Vec::new();
        for (number, (pods, match_labels, host, kind)) in workloads.iter().enumerate() {
            // A job name equals a label value only if the workload has the name of a value, so some have.
            let kind = ["Deployment", "Job", "CronJob"][usize::from(*kind)];
            let name = if number == 0 { "s/a".to_string() } else { format!("s/w{number}") };
            let name = format!("{name}/{kind}");
            let pods: Vec<&str> = pods.iter().map(String::as_str).collect();
            let from = inventory.pods.len();
            add(&mut inventory, &name, match_labels, &pods);
            inventory.pods[from..].iter_mut().for_each(|p| p.host_network = *host);
            ids.push(id(&name));
        }
        for id in &ids {
            let selection = found(&inventory, id);
            let mut also = BTreeSet::new();
            for pod in inventory.pods.iter().filter(|p| !p.host_network) {
                let selected = selects(&selection.selector, &pod.labels);
                if pod.workload == *id {
                    prop_assert!(selected, "{:?} misses {:?}", selection, pod);
                } else if selected {
                    also.insert(pod.workload.clone());
                }
            }
            prop_assert_eq!(&also, &selection.also);
            for key in selection.selector.labels.keys().chain(&selection.selector.absent) {
                prop_assert!(!label::is_volatile(key));
            }
            if !selection.unselectable {
                prop_assert!(!selection.selector.labels.is_empty());
            }
        }
    }

    #[test]
    fn no_label_of_a_selection_can_be_left_out(
        pods in prop::collection::vec(pod(), 2..8),
    ) {
        let mut inventory = Inventory::default();
        for (number, labels) in pods.iter().enumerate() {
            add(&mut inventory, &format!("s/w{number}"), "", &[labels]);
        }
        let selection = select(&inventory, "s/w0");
        let chosen = &selection.selector.labels;
        let hits = |selector: &Selector| {
            let others = inventory.pods.iter().skip(1);
            others.filter(|p| selects(selector, &p.labels)).count()
        };
        for key in chosen.keys().filter(|_| chosen.len() > 1) {
            let mut fewer = selection.selector.clone();
            fewer.labels.remove(key);
            // A weak label may need another label beside it.
            if fewer.labels.keys().any(|key| !label::is_last_resort(key, "")) {
                prop_assert!(hits(&fewer) > hits(&selection.selector), "{:?}", selection);
            }
        }
    }

    #[test]
    fn the_order_of_pods_does_not_change_a_selection(
        pods in prop::collection::vec((0..4u8, pod()), 1..10),
    ) {
        let build = |pods: &[(u8, String)]| {
            let mut inventory = Inventory::default();
            for (workload, labels) in pods {
                add(&mut inventory, &format!("s/w{workload}"), "", &[labels]);
            }
            // The names of pods depend on their order, which this test does not check.
            inventory.pods.iter_mut().for_each(|p| p.name = String::from("p"));
            (0..4).map(|w| select(&inventory, &format!("s/w{w}"))).collect::<Vec<_>>()
        };
        let mut back = pods.clone();
        back.reverse();
        prop_assert_eq!(build(&pods), build(&back));
    }
}

#[test]
fn the_naive_check_can_fail() {
    let selector = Selector {
        labels: labels("a=b"),
        ..Selector::default()
    };
    assert!(selects(&selector, &labels("a=b,c=d")) && !selects(&selector, &labels("a=c")));
}
