//! Pods that a policy selects and that are not of the workloads which it is meant for. Labels and owner references are
//! written by whoever may create pods (rule: foreign-pods-are-shown).

use super::selector::Selector;
use k8s_openapi::api::networking::v1::{NetworkPolicyPeer, NetworkPolicySpec};
use nanoseg_finding::{Code, Finding};
use nanoseg_inventory::{Inventory, Pod, WorkloadId};
use std::collections::{BTreeMap, BTreeSet};

/// How many pods a finding names.
const SAMPLES: usize = 5;

/// Returns a finding if the policy of `workload` selects pods of others as its own, and one if its peers have pods of other
/// workloads than `peers`. Only pods that are there count. A selector that cannot be read selects nobody here; the
/// evaluation reports it.
pub fn foreign_pods(
    inventory: &Inventory,
    workload: &WorkloadId,
    policy: &NetworkPolicySpec,
    peers: &BTreeSet<&WorkloadId>,
) -> Vec<Finding> {
    let others = || there(inventory).filter(|pod| pod.workload != *workload);
    let unmeant = || others().filter(|pod| !peers.contains(&pod.workload));
    let own = own_pods(workload, policy, others());
    let of_peers = peer_pods(inventory, workload, policy, unmeant());
    own.into_iter().chain(of_peers).collect()
}

/// The same of the policies in force, each with its workload. Who the peers of a policy were meant to be is not known any
/// more, so of them only pods count that name an owner which they do not have.
pub fn foreign_in_force<'p>(
    inventory: &Inventory,
    policies: impl IntoIterator<Item = (&'p WorkloadId, &'p NetworkPolicySpec)>,
) -> Vec<Finding> {
    let forged: Vec<&Pod> = there(inventory)
        .filter(|pod| pod.claimed_owner.is_some())
        .collect();
    let found = policies.into_iter().flat_map(|(workload, policy)| {
        let others = there(inventory).filter(|pod| pod.workload != *workload);
        let forged = forged.iter().copied();
        let forged = forged.filter(|pod| pod.workload != *workload);
        let own = own_pods(workload, policy, others);
        let of_peers = peer_pods(inventory, workload, policy, forged);
        own.into_iter().chain(of_peers)
    });
    found.collect()
}

/// The pods that a policy can select.
fn there(inventory: &Inventory) -> impl Iterator<Item = &Pod> {
    let pods = inventory.pods.iter();
    pods.filter(|pod| !pod.template && !pod.host_network && pod.owned.until.is_none())
}

fn own_pods<'p>(
    workload: &WorkloadId,
    policy: &NetworkPolicySpec,
    pods: impl Iterator<Item = &'p Pod>,
) -> Option<Finding> {
    let own = Selector::parse(&policy.pod_selector.clone().unwrap_or_default()).ok()?;
    let selected =
        pods.filter(|pod| pod.namespace == workload.namespace && own.matches(&pod.labels));
    let what = "its policy also selects pods of others, which get what it allows";
    finding(workload, what, selected)
}

fn peer_pods<'p>(
    inventory: &Inventory,
    workload: &WorkloadId,
    policy: &NetworkPolicySpec,
    pods: impl Iterator<Item = &'p Pod>,
) -> Option<Finding> {
    let from = policy.ingress.iter().flatten().flat_map(|rule| &rule.from);
    let to = policy.egress.iter().flatten().flat_map(|rule| &rule.to);
    let all: Vec<Peers> = from.chain(to).flatten().filter_map(Peers::parse).collect();
    let selected = pods.filter(|pod| {
        all.iter()
            .any(|peers| peers.select(pod, workload, inventory))
    });
    let what = "its policy lets pods of workloads talk to it, or it to them, that were not seen to";
    finding(workload, what, selected)
}

/// The selectors of a peer.
struct Peers {
    /// `None`: the policy's own namespace.
    namespaces: Option<Selector>,
    pods: Selector,
}

impl Peers {
    fn parse(peer: &NetworkPolicyPeer) -> Option<Peers> {
        if peer.ip_block.is_some() {
            return None;
        }
        let namespaces = peer.namespace_selector.as_ref().map(Selector::parse);
        Some(Peers {
            namespaces: namespaces.transpose().ok()?,
            pods: Selector::parse(&peer.pod_selector.clone().unwrap_or_default()).ok()?,
        })
    }

    fn select(&self, pod: &Pod, workload: &WorkloadId, inventory: &Inventory) -> bool {
        let in_namespace = match &self.namespaces {
            None => pod.namespace == workload.namespace,
            Some(selector) => {
                let namespace = inventory.namespaces.get(&pod.namespace);
                namespace.is_some_and(|namespace| selector.matches(&namespace.labels))
            }
        };
        in_namespace && self.pods.matches(&pod.labels)
    }
}

fn finding<'p>(
    workload: &WorkloadId,
    what: &str,
    pods: impl Iterator<Item = &'p Pod>,
) -> Option<Finding> {
    let mut by_workload: BTreeMap<&WorkloadId, BTreeSet<String>> = BTreeMap::new();
    for pod in pods {
        let name = match &pod.claimed_owner {
            Some(owner) => format!(
                "{}/{} (names {} {} as its owner, and is not its)",
                pod.namespace, pod.name, owner.kind, owner.name
            ),
            None => format!("{}/{}", pod.namespace, pod.name),
        };
        by_workload.entry(&pod.workload).or_default().insert(name);
    }
    let number: usize = by_workload.values().map(BTreeSet::len).sum();
    if number == 0 {
        return None;
    }
    let names: Vec<String> = by_workload
        .values()
        .flatten()
        .take(SAMPLES)
        .cloned()
        .collect();
    let more = number.saturating_sub(names.len());
    let rest = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    let message = format!("{what}: {}{rest}", names.join(", "));
    Some(
        Finding::new(Code::SelectedByForeignPods, workload.to_string(), message)
            .with_samples(names),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use nanoseg_inventory::testing;

    const SET: &str = "apiVersion: apps/v1\nkind: ReplicaSet\n\
         metadata: {namespace: shop, name: web-1, uid: u-web, creationTimestamp: '2026-01-01T00:00:00Z'}\n\
         spec: {selector: {matchLabels: {app: web}}}";

    /// A pod that names ReplicaSet `web-1` of uid `uid` as its owner.
    fn owned(name: &str, address: &str, uid: &str) -> String {
        let owner = format!(
            "name: {name}, creationTimestamp: '2026-01-02T00:00:00Z', ownerReferences: [{{apiVersion: apps/v1, \
             kind: ReplicaSet, name: web-1, uid: {uid}, controller: true}}], labels"
        );
        testing::pod("shop", name, address, "n1", "app: web")
            .replace(&format!("name: {name}, labels"), &owner)
    }

    fn messages(policy: &str, documents: &[String], peers: &[&str]) -> Vec<String> {
        let inventory = testing::inventory(&documents.join("\n---\n")).0;
        let of = |name: &str| {
            let found = inventory.workloads.keys().find(|id| id.to_string() == name);
            found.unwrap_or_else(|| panic!("no {name} in {:?}", inventory.workloads.keys()))
        };
        let policy: NetworkPolicySpec = serde_yaml::from_str(policy).expect("a policy");
        let peers = peers.iter().map(|name| of(name)).collect();
        let found = foreign_pods(&inventory, of("shop/web-1"), &policy, &peers);
        found.into_iter().map(|one| one.message).collect()
    }

    #[test]
    fn pods_with_copied_labels_and_forged_owners_are_named() {
        let documents = [
            SET.to_owned(),
            owned("web-1-a", "10.244.1.1", "u-web"),
            owned("web-1-b", "10.244.1.2", "u-forged"),
            testing::pod("shop", "copy", "10.244.1.3", "n1", "app: web"),
            testing::pod("other", "copy", "10.244.1.4", "n1", "app: web"),
        ];
        let policy = "{podSelector: {matchLabels: {app: web}}}";
        assert_eq!(
            messages(policy, &documents, &[]),
            [
                "its policy also selects pods of others, which get what it allows: shop/copy, \
              shop/web-1-b (names ReplicaSet web-1 as its owner, and is not its)"
            ]
        );
        assert!(messages(policy, &documents[..2], &[]).is_empty());
        // After its approval as well.
        let inventory = testing::inventory(&documents.join("\n---\n")).0;
        let web = inventory.workloads.keys().find(|id| id.name == "web-1");
        let policy: NetworkPolicySpec = serde_yaml::from_str(policy).expect("a policy");
        let found = foreign_in_force(&inventory, [(web.expect("web"), &policy)]);
        assert_eq!(found.len(), 1);
    }

    #[test]
    fn peers_that_were_not_meant_are_named_in_their_namespaces() {
        let documents = [
            SET.to_owned(),
            owned("web-1-a", "10.244.1.1", "u-web"),
            testing::pod("shop", "client", "10.244.1.3", "n1", "app: client"),
            testing::pod("shop", "copy", "10.244.1.4", "n1", "app: client"),
            testing::pod("other", "far", "10.244.1.5", "n1", "app: client"),
            testing::pod("evil", "far", "10.244.1.6", "n1", "app: client"),
        ];
        let policy = "{podSelector: {matchLabels: {app: web}}, ingress: [{from: [\
             {podSelector: {matchLabels: {app: client}}}, \
             {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: other}}, podSelector: {matchLabels: {app: client}}}]}]}";
        let told = messages(policy, &documents, &["shop/client"]);
        assert_eq!(told.len(), 1);
        assert!(
            told[0].ends_with("not seen to: other/far, shop/copy"),
            "{told:?}"
        );
        assert!(
            messages(
                policy,
                &documents,
                &["shop/client", "shop/copy", "other/far"]
            )
            .is_empty()
        );
    }
}
