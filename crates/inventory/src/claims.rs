//! What the versions of pods in all snapshots claim: each address that a pod had in any of them
//! (rule: owner-at-that-time).

use super::owners::namespace_of;
use super::pods::{addresses, network_up, read_owned, started};
use super::presence::identity;
use super::snapshots::LastSeen;
use super::tenures::Claim;
use super::{Objects, Pod};
use crate::kubernetes as core;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// The claims on each address. `newest` has the newest version of each pod, in the order of `pods`. A pod whose
/// newest version has no address any more keeps the last one that it had.
pub(super) fn claims(
    objects: &Objects,
    newest: &[&core::Pod],
    pods: &mut [Pod],
) -> BTreeMap<IpAddr, Vec<Claim>> {
    let seen = objects.last_seen();
    let mut versions: BTreeMap<String, Vec<&core::Pod>> = BTreeMap::new();
    for pod in &objects.pods {
        versions.entry(key(pod)).or_default().push(pod);
    }
    let mut claims: BTreeMap<IpAddr, Vec<Claim>> = BTreeMap::new();
    for (index, (newest, pod)) in newest.iter().zip(pods.iter_mut()).enumerate() {
        if pod.host_network {
            continue;
        }
        let mut versions = versions.remove(&key(newest)).unwrap_or_default();
        versions.sort_by_key(|version| number(version));
        if pod.addresses.is_empty() {
            let last = versions.iter().rev().map(|version| addresses(version));
            pod.addresses = last
                .into_iter()
                .find(|all| !all.is_empty())
                .unwrap_or_default();
        }
        let current = Claim {
            pod: index,
            name: format!("{}/{}", pod.namespace, pod.name),
            node: pod.node.clone(),
            start: started(newest),
            from: pod.owned.from,
            up: pod.network_up,
            until: pod.owned.until,
            seen: seen
                .get(identity(&newest.metadata).as_str())
                .copied()
                .unwrap_or_default(),
        };
        for address in former(&versions, &pod.addresses) {
            let claim = given_up(&versions, address, &current);
            claims.entry(address).or_default().push(claim);
        }
        for address in &pod.addresses {
            claims.entry(*address).or_default().push(current.clone());
        }
    }
    claims
}

/// Addresses that earlier versions had and the newest one has not.
fn former(versions: &[&core::Pod], current: &[IpAddr]) -> Vec<IpAddr> {
    let mut former: Vec<IpAddr> = versions
        .iter()
        .flat_map(|version| addresses(version))
        .filter(|address| !current.contains(address))
        .collect();
    former.sort();
    former.dedup();
    former
}

/// The claim on an address that the pod had in an earlier sandbox: until the newest one was made, if that is known.
fn given_up(versions: &[&core::Pod], address: IpAddr, current: &Claim) -> Claim {
    let had = versions.iter().rev();
    let mut had = had.filter(|version| addresses(version).contains(&address));
    let Some(version) = had.next() else {
        return current.clone();
    };
    let up = network_up(version);
    Claim {
        start: started(version),
        from: read_owned(version).from,
        up,
        until: current.up.filter(|new| Some(*new) > up),
        seen: LastSeen {
            at: up,
            timed: false,
            ordered: false,
            gone: true,
        },
        ..current.clone()
    }
}

fn key(pod: &core::Pod) -> String {
    let metadata = &pod.metadata;
    format!(
        "{}/{} {}",
        namespace_of(metadata),
        metadata.name.as_deref().unwrap_or_default(),
        identity(metadata)
    )
}

fn number(pod: &core::Pod) -> u64 {
    let version = pod.metadata.resource_version.as_deref();
    version.and_then(|v| v.parse().ok()).unwrap_or(0)
}
