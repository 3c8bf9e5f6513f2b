//! Who had an address for certain, and who perhaps (rule: owner-at-that-time).

use super::{at, ip, owner_name};
use crate::testing::{inventory, node, snapshots};
use crate::{Inventory, LinkSpan, OwnerRule};
use std::collections::BTreeMap;

const ADDRESS: &str = "10.244.1.5";

fn running(name: &str, start: &str, up: &str) -> String {
    pod(
        name,
        start,
        &format!("podIP: {ADDRESS}"),
        &format!("running: {{startedAt: '2026-01-01T{up}Z'}}"),
    )
}

fn pod(name: &str, start: &str, address: &str, state: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{namespace: a, name: {name}, uid: {name}}}\n\
         spec: {{nodeName: n1, containers: [{{name: c, image: i}}]}}\n\
         status: {{phase: Running, {address}, startTime: '2026-01-01T{start}Z', \
         containerStatuses: [{{name: c, state: {{{state}}}}}]}}"
    )
}

/// A pod that is in every snapshot, so that these are views of the same cluster.
fn witness() -> String {
    running("witness", "08:00:00", "08:00:01").replace(ADDRESS, "10.244.1.9")
}

fn view(taken: Option<&str>, pods: &[String]) -> String {
    let mut documents = vec![witness(), node("n1", "10.244.1.0/24", "172.18.0.2")];
    documents.extend(pods.iter().cloned());
    let taken = taken.map_or(String::new(), |time| {
        format!("\n# taken 2026-01-01T{time}Z")
    });
    documents.join("\n---\n") + &taken
}

fn of(views: &[String]) -> Inventory {
    let views: Vec<&str> = views.iter().map(String::as_str).collect();
    Inventory::build(&snapshots(&views), OwnerRule::Infer).0
}

fn owner(inventory: &Inventory, time: &str) -> String {
    owner_name(inventory, ADDRESS, &format!("2026-01-01T{time}Z"))
}

fn link(first: &str, last: &str, interface: Option<u32>) -> LinkSpan {
    let time = |text: &str| at(&format!("2026-01-01T{text}Z"));
    LinkSpan {
        first: time(first),
        last: time(last),
        interface,
    }
}

fn confirm(inventory: &mut Inventory, links: &[LinkSpan], interfaces: &[(&str, u32)]) {
    let interfaces = interfaces
        .iter()
        .map(|(address, index)| (ip(address), *index));
    inventory.addresses.confirm(
        &BTreeMap::from([(ip(ADDRESS), links.to_vec())]),
        &interfaces.collect(),
    );
}

#[test]
fn a_pod_that_is_gone_without_an_end_has_its_address_for_certain_until_it_was_last_seen() {
    let old = running("old", "09:00:00", "09:00:01");
    let inventory = of(&[view(Some("10:00:00"), &[old]), view(Some("11:00:00"), &[])]);
    assert_eq!(owner(&inventory, "09:59:59"), "old");
    assert_eq!(owner(&inventory, "10:20:00"), "old?");
    assert_eq!(owner(&inventory, "11:20:00"), "old?");
    assert_eq!(
        inventory.addresses.open().collect::<Vec<_>>(),
        [ip(ADDRESS)]
    );
}

#[test]
fn a_pod_of_a_single_snapshot_has_its_address_as_long_as_it_is_there() {
    let inventory = of(&[view(
        Some("10:00:00"),
        &[running("old", "09:00:00", "09:00:01")],
    )]);
    assert_eq!(owner(&inventory, "12:00:00"), "old");
    assert_eq!(inventory.addresses.open().count(), 0);
}

#[test]
fn lists_of_other_namespaces_are_no_later_view() {
    let other = witness()
        .replace("namespace: a", "namespace: b")
        .replace("uid: witness", "uid: w2");
    let inventory = of(&[view(None, &[running("old", "09:00:00", "09:00:01")]), other]);
    assert_eq!(owner(&inventory, "12:00:00"), "old");
}

#[test]
fn packets_from_its_own_link_extend_the_certain_time_up_to_the_first_from_another() {
    let old = running("old", "09:00:00", "09:00:01");
    let mut inventory = of(&[view(Some("10:00:00"), &[old]), view(Some("11:00:00"), &[])]);
    let links = [
        link("09:59:00", "10:10:00", None),
        link("10:30:00", "10:40:00", None),
    ];
    confirm(&mut inventory, &links, &[]);
    assert_eq!(owner(&inventory, "10:09:59"), "old");
    for later in ["10:20:00", "10:30:00", "10:50:00"] {
        assert_eq!(owner(&inventory, later), "old?", "{later}");
    }
}

#[test]
fn a_link_that_appears_after_the_snapshot_is_not_known_to_be_the_old_pods() {
    let old = running("old", "09:00:00", "09:00:01");
    let mut inventory = of(&[view(Some("10:00:00"), &[old]), view(Some("11:00:00"), &[])]);
    confirm(&mut inventory, &[link("10:05:00", "10:10:00", None)], &[]);
    assert_eq!(owner(&inventory, "10:06:00"), "old?");
}

#[test]
fn an_interface_that_is_older_than_one_of_the_snapshot_is_the_old_pods() {
    let old = running("old", "07:00:00", "07:00:01");
    let views = [view(Some("10:00:00"), &[old]), view(Some("11:00:00"), &[])];
    for (index, expected) in [(20, "old"), (40, "old?")] {
        let mut inventory = of(&views);
        // The witness' interface was made at 08:00.
        let links = [link("10:05:00", "10:10:00", Some(index))];
        confirm(&mut inventory, &links, &[("10.244.1.9", 30)]);
        assert_eq!(owner(&inventory, "10:06:00"), expected, "interface {index}");
        assert_eq!(owner(&inventory, "10:20:00"), "old?");
    }
}

#[test]
fn of_snapshots_without_a_time_the_first_of_two_links_is_the_old_pods() {
    let old = running("old", "09:00:00", "09:00:01");
    let late = running("late", "09:30:00", "09:30:01").replace(ADDRESS, "10.244.1.8");
    let views = [view(None, &[old]), view(None, &[late])];
    let two = [
        link("10:05:00", "10:10:00", None),
        link("10:30:00", "10:40:00", None),
    ];
    for (links, expected) in [(&two[..], "old"), (&two[..1], "old?"), (&[], "old?")] {
        let mut inventory = of(&views);
        confirm(&mut inventory, links, &[]);
        assert_eq!(owner(&inventory, "10:06:00"), expected, "{links:?}");
        assert_eq!(owner(&inventory, "10:35:00"), "old?");
    }
}

#[test]
fn the_times_of_two_machines_may_differ_where_nobody_else_had_the_address() {
    let alone = running("new", "10:00:05", "10:00:08");
    let view_of = |pods: &[String]| of(&[view(None, pods)]);
    let inventory = view_of(std::slice::from_ref(&alone));
    assert_eq!(owner(&inventory, "10:00:00"), "new");
    assert_eq!(owner(&inventory, "09:59:50"), "unknown");
    let before = pod(
        "before",
        "09:00:00",
        &format!("podIP: {ADDRESS}"),
        "terminated: {startedAt: '2026-01-01T09:00:01Z', finishedAt: '2026-01-01T09:59:58Z'}",
    )
    .replace("Running", "Succeeded");
    let inventory = view_of(&[alone, before]);
    assert_eq!(owner(&inventory, "09:59:58.5"), "before");
    assert_eq!(
        owner(&inventory, "10:00:00"),
        "new?",
        "somebody else had it just before"
    );
    assert_eq!(
        owner(&inventory, "10:00:04"),
        "new",
        "times are cut to the second"
    );
}

#[test]
fn a_pod_of_a_rebooted_node_has_its_address_since_its_new_sandbox() {
    let again = running("again", "08:00:00", "10:00:00");
    let between = pod(
        "between",
        "08:30:00",
        &format!("podIP: {ADDRESS}"),
        "terminated: {startedAt: '2026-01-01T08:30:01Z', finishedAt: '2026-01-01T09:30:00Z'}",
    )
    .replace("Running", "Succeeded");
    let inventory = of(&[view(None, std::slice::from_ref(&again))]);
    assert_eq!(owner(&inventory, "08:30:00"), "again?");
    assert_eq!(owner(&inventory, "10:00:00"), "again");
    let inventory = of(&[view(None, &[again, between])]);
    assert_eq!(owner(&inventory, "08:45:00"), "between");
    assert_eq!(owner(&inventory, "09:50:00"), "again?");
    assert_eq!(owner(&inventory, "10:00:00"), "again");
}

#[test]
fn an_address_survives_that_the_status_of_a_finished_pod_is_emptied() {
    let done =
        "terminated: {startedAt: '2026-01-01T09:00:01Z', finishedAt: '2026-01-01T10:30:00Z'}";
    let before = running("job", "09:00:00", "09:00:01");
    let after = pod("job", "09:00:00", "podIP: ''", done).replace("Running", "Succeeded");
    let inventory = of(&[
        view(Some("10:00:00"), &[before]),
        view(Some("11:00:00"), &[after]),
    ]);
    assert_eq!(owner(&inventory, "10:29:59"), "job");
    assert_eq!(owner(&inventory, "10:31:00"), "unknown");
}

#[test]
fn an_evicted_pod_ends_when_it_was_no_longer_ready() {
    let evicted = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{namespace: a, name: evicted, uid: e}}\n\
         spec: {{nodeName: n1, containers: [{{name: c, image: i}}]}}\n\
         status: {{phase: Failed, podIP: {ADDRESS}, startTime: '2026-01-01T09:00:00Z', \
         conditions: [{{type: Ready, status: 'False', lastTransitionTime: '2026-01-01T10:00:00Z'}}]}}"
    );
    let (inventory, _) = inventory(&view(None, &[evicted]));
    assert_eq!(owner(&inventory, "09:30:00"), "evicted");
    assert_eq!(owner(&inventory, "10:30:00"), "unknown");
}

#[test]
fn a_list_after_its_start_that_lacks_a_pod_is_of_after_its_end_whatever_time_it_shows() {
    let old = running("old", "07:00:00", "07:00:01");
    // The second shows only that it was taken after 08:00, when the witness began.
    let views = [view(Some("10:00:00"), &[old]), view(None, &[])];
    for views in [views.clone(), [views[1].clone(), views[0].clone()]] {
        let inventory = of(&views);
        assert_eq!(owner(&inventory, "09:59:59"), "old");
        assert_eq!(owner(&inventory, "10:20:00"), "old?");
    }
    let young = running("young", "09:00:00", "09:00:01");
    let inventory = of(&[view(None, &[]), view(Some("10:00:00"), &[young])]);
    assert_eq!(owner(&inventory, "10:20:00"), "young");
}
