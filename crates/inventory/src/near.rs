//! Who had an address shortly before or after a time: a pod that is gone still gets packets, and a new one sends before
//! the kubelet has published its address (rule: judge-late-rather-than-wrong).

use super::tenures::Hold;
use super::{Inventory, WorkloadId};
use nanoseg_net::Timestamp;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// How far from a pod's time with an address traffic may be that is perhaps the pod's, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nearness {
    /// After the pod gave the address back.
    pub after: i64,
    /// Before the pod is known to have got it.
    pub before: i64,
}

impl Inventory {
    /// The workloads of the pods that had `address` between two times, shortly before or shortly after, for certain or
    /// perhaps.
    pub fn near(
        &self,
        address: IpAddr,
        (first, last): (Timestamp, Timestamp),
        nearness: Nearness,
    ) -> BTreeSet<&WorkloadId> {
        let tenures = self.addresses.tenures(address).iter();
        let near = tenures.filter(|tenure| {
            tenure.hold != Hold::Hardly
                && tenure.until.plus_secs(nearness.after) > last
                && tenure.from < first.plus_secs(nearness.before)
        });
        let pods = near.filter_map(|tenure| self.pods.get(tenure.pod));
        pods.map(|pod| &pod.workload).collect()
    }

    /// The workloads of pods that ended without an address that anybody knows, on nodes with `is_on`, and that were there
    /// between two times or shortly before: a pod that is over within a second may never have one published.
    pub fn never_addressed(
        &self,
        is_on: impl Fn(&str) -> bool,
        (first, last): (Timestamp, Timestamp),
        nearness: Nearness,
    ) -> BTreeSet<&WorkloadId> {
        let pods = self.pods.iter().filter(|pod| {
            let has_none = !pod.template && !pod.host_network && pod.addresses.is_empty();
            let until = pod.owned.until.map(|until| until.plus_secs(nearness.after));
            has_none
                && pod.node.as_deref().is_some_and(&is_on)
                && until.is_some_and(|until| until > last)
                && pod.owned.from.is_some_and(|from| from <= first)
        });
        pods.map(|pod| &pod.workload).collect()
    }

    /// The nodes with a pod that has no address yet: an address of the pods' ranges that nobody has is perhaps its.
    pub fn nodes_awaiting_addresses(&self) -> BTreeSet<&str> {
        let waiting = self.pods.iter().filter(|pod| {
            let is_over = pod.owned.until.is_some();
            !pod.template && !pod.host_network && pod.addresses.is_empty() && !is_over
        });
        waiting.filter_map(|pod| pod.node.as_deref()).collect()
    }

    /// Returns true if a pod of the workload gave its addresses back after `since`, or is about to: the addresses may be
    /// another pod's by now.
    pub fn has_pod_leaving(&self, id: &WorkloadId, since: Timestamp) -> bool {
        let pods = self.workloads.get(id).into_iter().flat_map(|w| &w.pods);
        let mut pods = pods.filter_map(|index| self.pods.get(*index));
        pods.any(|pod| pod.owned.until.is_some_and(|until| until > since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    const NEAR: Nearness = Nearness {
        after: 300,
        before: 600,
    };

    fn at(time: &str) -> Timestamp {
        time.parse::<jiff::Timestamp>().expect("a time").into()
    }

    fn ended(name: &str, address: &str, begin: &str, end: &str) -> String {
        testing::pod("shop", name, address, "n1", &format!("app: {name}"))
            .replace("2026-01-01T00:00:00Z", begin)
            .replace(
                "phase: Running",
                &format!(
                    "phase: Succeeded, containerStatuses: [{{name: c, state: {{terminated: {{finishedAt: '{end}'}}}}}}]"
                ),
            )
    }

    fn inventory() -> Inventory {
        let documents = [
            testing::node("n1", "10.244.1.0/24", "172.18.0.2"),
            ended(
                "old",
                "10.244.1.5",
                "2026-01-01T10:00:00Z",
                "2026-01-01T11:00:00Z",
            ),
            testing::pod("shop", "new", "10.244.1.5", "n1", "app: new")
                .replace("2026-01-01T00:00:00Z", "2026-01-01T13:00:00Z"),
        ];
        testing::inventory(&documents.join("\n---\n")).0
    }

    fn names(first: &str, last: &str) -> Vec<String> {
        let inventory = inventory();
        let address = "10.244.1.5".parse().expect("an address");
        let near = inventory.near(address, (at(first), at(last)), NEAR);
        near.into_iter().map(|id| id.name.clone()).collect()
    }

    #[test]
    fn traffic_shortly_after_a_pods_end_or_before_its_start_is_perhaps_the_pods() {
        assert_eq!(
            names("2026-01-01T11:04:00Z", "2026-01-01T11:04:50Z"),
            ["old"]
        );
        assert_eq!(
            names("2026-01-01T12:51:00Z", "2026-01-01T12:51:00Z"),
            ["new"]
        );
    }

    #[test]
    fn traffic_long_after_a_pods_end_and_long_before_the_next_is_nobodys() {
        let none: [&str; 0] = [];
        assert_eq!(names("2026-01-01T11:10:00Z", "2026-01-01T11:10:00Z"), none);
        // It began near and went on: the last packet counts.
        assert_eq!(names("2026-01-01T11:01:00Z", "2026-01-01T11:10:00Z"), none);
    }

    #[test]
    fn a_pod_that_was_over_before_its_address_was_published_is_known_by_its_node_and_time() {
        let job = ended(
            "job",
            "10.244.1.8",
            "2026-01-01T10:00:00Z",
            "2026-01-01T10:00:01Z",
        )
        .replace("podIP: 10.244.1.8, ", "");
        let (inventory, _) = testing::inventory(&job);
        let names = |node: &str, time: &str| -> Vec<String> {
            let found = inventory.never_addressed(|one| one == node, (at(time), at(time)), NEAR);
            found.into_iter().map(|id| id.name.clone()).collect()
        };
        assert_eq!(names("n1", "2026-01-01T10:00:00.5Z"), ["job"]);
        for (node, time) in [
            ("n2", "2026-01-01T10:00:00.5Z"),
            ("n1", "2026-01-01T09:59:00Z"),
            ("n1", "2026-01-01T10:10:00Z"),
        ] {
            assert_eq!(names(node, time), [] as [&str; 0], "{node} {time}");
        }
    }

    #[test]
    fn a_pod_without_an_address_makes_its_node_wait() {
        let pod = testing::pod("shop", "web", "10.244.1.9", "n2", "app: web")
            .replace("podIP: 10.244.1.9, ", "");
        let (inventory, _) = testing::inventory(&pod);
        assert_eq!(inventory.nodes_awaiting_addresses(), BTreeSet::from(["n2"]));
    }
}
