//! Tenures of pods that are gone, as the inventory reads them.

use super::*;
use crate::inventory::{Inventory, Objects, Owner, OwnerRule};
use crate::net::Timestamp;

const HOUR: i64 = 3_600_000_000_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from(jiff::Timestamp::from_second(1_700_000_000 + second).expect("a time"))
}

fn pod(name: &str, uid: &str, started: i64, address: &str) -> Pod {
    let start = at(started);
    let text = format!(
        "metadata: {{namespace: shop, name: {name}, uid: {uid}, creationTimestamp: '{start}'}}\n\
         spec: {{nodeName: n1, containers: [{{name: main}}]}}\n\
         status: {{phase: Running, startTime: '{start}', podIP: {address}, podIPs: [{{ip: {address}}}]}}"
    );
    serde_yaml::from_str(&text).expect("a pod")
}

/// The pod that had 10.0.0.1 at that time, by the inventory of existing and departed pods.
fn owner(departed: &Departed, present: &[Pod], when: Timestamp) -> Option<String> {
    let gone = departed.pods().map(|pod| pod.as_ref().clone());
    let objects = Objects {
        pods: gone.chain(present.iter().cloned()).collect(),
        ..Objects::default()
    };
    let (inventory, _) = Inventory::build(&objects, OwnerRule::Infer);
    let address = "10.0.0.1".parse().expect("an address");
    match inventory.resolve(address, when) {
        Owner::Pod(index) => Some(inventory.pods[index].name.clone()),
        _ => None,
    }
}

#[test]
fn a_pod_that_is_gone_had_its_address_until_it_left() {
    let mut departed = Departed::new(HOUR, 100);
    let mut first = pod("first", "u1", 0, "10.0.0.1");
    departed.arrived(None, &mut first, at(0));
    departed.left(Some(&first), first.clone(), at(100));
    let second = pod("second", "u2", 110, "10.0.0.1");
    let present = [second];
    assert_eq!(owner(&departed, &present, at(50)).as_deref(), Some("first"));
    assert_eq!(
        owner(&departed, &present, at(150)).as_deref(),
        Some("second")
    );
}

#[test]
fn pods_that_are_gone_are_kept_for_the_retention_time_and_no_longer() {
    let mut departed = Departed::new(HOUR, 100);
    let gone = pod("gone", "u1", 0, "10.0.0.1");
    departed.left(Some(&gone), gone.clone(), at(100));
    assert!(!departed.expire(at(100 + 3500)));
    assert_eq!(departed.pods().count(), 1);
    assert!(departed.expire(at(100 + 3700)));
    assert_eq!(departed.pods().count(), 0);
}

#[test]
fn if_too_many_pods_left_the_first_are_dropped_and_counted() {
    let mut departed = Departed::new(HOUR, 2);
    for number in 0..4 {
        let gone = pod(&format!("p{number}"), &format!("u{number}"), 0, "10.0.0.1");
        departed.left(Some(&gone), gone.clone(), at(100 + number));
    }
    let names: Vec<_> = departed
        .pods()
        .filter_map(|p| p.metadata.name.clone())
        .collect();
    assert_eq!(names, ["p2", "p3"]);
    assert_eq!(departed.forgotten(), 2);
}

#[test]
fn saved_pods_are_restored_with_their_ends() {
    let mut departed = Departed::new(HOUR, 100);
    let gone = pod("gone", "u1", 0, "10.0.0.1");
    departed.left(Some(&gone), gone.clone(), at(100));
    let there = pod("there", "u2", 0, "10.0.0.2");
    let mut saved: Vec<Pod> = departed.pods().map(|pod| pod.as_ref().clone()).collect();
    saved.push(there);
    let mut again = Departed::new(HOUR, 100);
    again.restore(saved);
    again.listed(|_| false, at(200));
    let names: Vec<_> = again
        .pods()
        .filter_map(|p| p.metadata.name.clone())
        .collect();
    assert_eq!(
        names,
        ["gone", "there"],
        "one was there when it was saved, and is gone now"
    );
    assert_eq!(owner(&again, &[], at(50)).as_deref(), Some("gone"));
}

#[test]
fn a_pod_ends_when_its_name_is_used_again() {
    let mut departed = Departed::new(HOUR, 100);
    let first = pod("db-0", "u1", 0, "10.0.0.1");
    let mut second = pod("db-0", "u2", 100, "10.0.0.1");
    departed.arrived(Some(&first), &mut second, at(101));
    assert_eq!(departed.pods().count(), 1);
    assert_eq!(departed.since(0).len(), 1);
    let last = departed.since(0)[0].number;
    assert!(departed.since(last).is_empty());
}

#[test]
fn a_pod_whose_node_boots_again_had_its_earlier_address_until_then() {
    let mut departed = Departed::new(HOUR, 100);
    let first = pod("db-0", "u1", 0, "10.0.0.1");
    // The kubelet reports that the sandbox is gone before it has made another one.
    let mut without = first.clone();
    let status = without.status.as_mut().expect("a status");
    (status.pod_ip, status.pod_ips) = (None, None);
    departed.arrived(Some(&first), &mut without, at(100));
    let mut again = pod("db-0", "u1", 0, "10.0.0.2");
    departed.arrived(Some(&without), &mut again, at(130));
    let present = [again, pod("other", "u3", 140, "10.0.0.1")];
    let owner = |when| owner(&departed, &present, at(when));
    assert_eq!(owner(50).as_deref(), Some("db-0"));
    assert_eq!(owner(150).as_deref(), Some("other"));
    let since = present[0]
        .status
        .as_ref()
        .and_then(|s| s.start_time.clone());
    assert_eq!(
        since,
        Some(time(at(70))),
        "the second sandbox may be there already"
    );
}

#[test]
fn a_pod_that_is_over_and_lost_its_address_had_it_until_its_containers_ended() {
    let mut departed = Departed::new(HOUR, 100);
    let running = pod("job", "u1", 0, "10.0.0.1");
    let ended = at(90);
    let text = format!(
        "metadata: {{namespace: shop, name: job, uid: u1}}\n\
         spec: {{nodeName: n1, containers: [{{name: main}}]}}\n\
         status: {{phase: Succeeded, containerStatuses: [{{name: main, state: {{terminated: {{exitCode: 0, finishedAt: '{ended}'}}}}}}]}}"
    );
    let mut over: Pod = serde_yaml::from_str(&text).expect("a pod");
    departed.arrived(Some(&running), &mut over, at(300));
    let present = [over, pod("next", "u2", 95, "10.0.0.1")];
    let owner = |when| owner(&departed, &present, at(when));
    assert_eq!(owner(50).as_deref(), Some("job"));
    assert_eq!(owner(200).as_deref(), Some("next"));
}

#[test]
fn what_a_pod_sends_before_its_second_address_is_published_is_its_own() {
    let mut departed = Departed::new(HOUR, 100);
    let first = pod("db-0", "u1", 0, "10.0.0.2");
    let mut again = pod("db-0", "u1", 0, "10.0.0.1");
    let up = at(995);
    let condition =
        format!("{{type: PodReadyToStartContainers, status: 'True', lastTransitionTime: '{up}'}}");
    let status = again.status.as_mut().expect("a status");
    status.conditions = Some(vec![serde_yaml::from_str(&condition).expect("a condition")]);
    departed.arrived(Some(&first), &mut again, at(1000));
    let present = [again];
    let owner = |when| owner(&departed, &present, at(when));
    assert_eq!(owner(990).as_deref(), Some("db-0"));
    assert_eq!(owner(900), None);
}
