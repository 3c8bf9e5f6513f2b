//! A source's label of an end (Hubble, Calico) goes before the address, where the inventory knows the object
//! that it names, or what made it. A pod that nothing explains is kept by its name (rule: departed-pod-by-its-owner).

use super::departed;
use super::{Attribution, PeerKey, ServiceAccess};
use crate::UnattributedReason;
use ipnet::IpNet;
use nanoseg_flow::{FlowRecord, PeerLabel, PodLabel, is_stand_in, stand_in_address};
use nanoseg_inventory::{Inventory, Owner, Pod, WorkloadId};
use nanoseg_net::Timestamp;
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// The pods, workloads and Services of the inventory, by name.
pub(super) struct NamedPeers {
    /// Namespace and name → the latest pod of that name.
    pods: BTreeMap<(String, String), usize>,
    /// Namespace and name → workloads, with their places in the inventory's order.
    workloads: FxHashMap<(String, String), Vec<(u32, String)>>,
    services: FxHashMap<(String, String), usize>,
}

impl NamedPeers {
    pub fn build(inventory: &Inventory) -> Self {
        let mut pods = BTreeMap::new();
        for (index, pod) in inventory.pods.iter().enumerate() {
            if !pod.template {
                pods.insert((pod.namespace.clone(), pod.name.clone()), index);
            }
        }
        let mut workloads: FxHashMap<_, Vec<_>> = FxHashMap::default();
        for (
            place,
            WorkloadId {
                namespace,
                name,
                kind,
            },
        ) in (0u32..).zip(inventory.workloads.keys())
        {
            workloads
                .entry((namespace.clone(), name.clone()))
                .or_default()
                .push((place, kind.clone()));
        }
        // A log names the release or the user, the inventory the workload of all of them
        // (rule: releases-and-users-are-one-workload).
        for (member, family) in &inventory.families {
            if let Some(place) = inventory.workloads.keys().position(|id| id == family) {
                workloads
                    .entry((member.namespace.clone(), member.name.clone()))
                    .or_default()
                    .push((place as u32, member.kind.clone()));
            }
        }
        let named = |(index, s): (usize, &nanoseg_inventory::Service)| {
            ((s.namespace.clone(), s.name.clone()), index)
        };
        NamedPeers {
            pods,
            workloads,
            services: inventory.services.iter().enumerate().map(named).collect(),
        }
    }

    /// The pod of that name. A name that ends in `*` means all pods that begin so (Calico's
    /// aggregation by generateName): any of them gives the workload, if all are of one.
    pub fn pod(&self, namespace: &str, name: &str, inventory: &Inventory) -> Option<usize> {
        let Some(prefix) = name.strip_suffix('*') else {
            let key = (namespace.to_owned(), name.to_owned());
            return self.pods.get(&key).copied();
        };
        let from = (namespace.to_owned(), prefix.to_owned());
        let mut found = self
            .pods
            .range(from..)
            .take_while(|((ns, pod), _)| ns == namespace && pod.starts_with(prefix))
            // `web-*` is not `web-api-7d9f-abcde`: what a generator adds has no more dashes.
            .filter(|((_, pod), _)| {
                pod.get(prefix.len()..)
                    .is_some_and(|rest| !rest.contains('-'))
            })
            .map(|(_, index)| *index);
        let first = found.next()?;
        let workload = |index: usize| inventory.pods.get(index).map(|pod| &pod.workload);
        found
            .all(|other| workload(other) == workload(first))
            .then_some(first)
    }

    fn workload(&self, namespace: &str, name: &str, kind: &str) -> Option<u32> {
        let key = (namespace.to_owned(), name.to_owned());
        let found = self.workloads.get(&key)?;
        departed::of_kind(kind, found.iter().cloned())
    }
}

impl<'a> Attribution<'a> {
    /// The peer that a label names for `address`, and its node where it is a pod. `None`: the address decides.
    pub(super) fn labelled(
        &self,
        label: &PeerLabel,
        address: IpAddr,
        at: Timestamp,
    ) -> Option<(PeerKey, Option<u32>)> {
        match label {
            PeerLabel::Pod(pod) => self.labelled_pod(pod, address, at),
            PeerLabel::Workload {
                namespace,
                kind,
                name,
            } => {
                let found = self.named_peers.workload(namespace, name, kind);
                let Some(place) = found else {
                    let may_be = |pod: &Pod| pod.namespace == *namespace;
                    return self.departed(address, at, may_be, format!("{namespace}/{name}"));
                };
                self.workload_key(place)
            }
            PeerLabel::Network { name } => is_stand_in(address).then(|| {
                // A host endpoint has the name of its node, or is made for it (Calico: `NODE-auto-hep`).
                let node = name.strip_suffix("-auto-hep").unwrap_or(name);
                let mut nodes = (0u32..).zip(&self.inventory.nodes);
                if let Some((place, _)) = nodes.find(|(_, known)| known.name == node) {
                    return (PeerKey::Node(place), None);
                }
                let reason = match name.parse::<IpNet>() {
                    Ok(_) => UnattributedReason::OutsideBlock,
                    Err(_) => UnattributedReason::OutsideNetwork,
                };
                (
                    self.named(stand_in_address(name), name.clone(), reason),
                    None,
                )
            }),
            // An API server may be reached by an address that no Endpoints object has; then the rule
            // must carry that address.
            PeerLabel::ApiServer => self
                .is_api_server(address)
                .then_some((PeerKey::ApiServer, None)),
            // The address decides which node it is, and what Cilium reports as outside may be a pod
            // of another cluster, or one that has just ended: in the cluster's ranges the address is right.
            PeerLabel::Host | PeerLabel::RemoteNode | PeerLabel::World => None,
        }
    }

    /// The peer of a pod that the source names.
    fn labelled_pod(
        &self,
        label: &PodLabel,
        address: IpAddr,
        at: Timestamp,
    ) -> Option<(PeerKey, Option<u32>)> {
        let (namespace, name) = (&label.namespace, &label.name);
        let found = self.named_peers.pod(namespace, name, self.inventory);
        let pod = found.and_then(|index| Some((index, self.inventory.pods.get(index)?)));
        if label.cluster.is_some() && !is_stand_in(address) {
            // Another cluster of the mesh may have a pod of that name; its addresses are others
            // (rule: other-cluster-is-outside).
            let is_here = pod.is_some_and(|(_, pod)| pod.addresses.contains(&address))
                || self.inventory.in_cluster_range(address);
            if !is_here {
                let name = match &label.cluster {
                    Some(cluster) => format!("{cluster}/{namespace}/{name}"),
                    None => format!("{namespace}/{name}"),
                };
                let stand_in = stand_in_address(&name);
                let key = self.named(stand_in, name, UnattributedReason::OtherCluster);
                return Some((key, None));
            }
        }
        if let Some((index, pod)) = pod {
            let (_, node) = *self.pods.get(index)?;
            // A name with `*` means pods on several nodes.
            let exact = name == &pod.name && !pod.host_network;
            return Some((self.pod(index), node.filter(|_| exact)));
        }
        // Another pod of the same ReplicaSet or the like.
        let sibling = departed::without_random(name)
            .filter(|_| label.owner.is_none())
            .and_then(|base| {
                self.named_peers
                    .pod(namespace, &format!("{base}-*"), self.inventory)
            });
        if let Some(index) = sibling {
            return Some((self.pod(index), None));
        }
        if let Some(workload) = departed::workload(label, self.inventory) {
            let place = self.workloads.binary_search(&workload.id).ok()?;
            return self.workload_key(u32::try_from(place).ok()?);
        }
        // A name that ends in `*` may be that of several workloads; any other is not the name of the address's pod.
        let may_be = |pod: &Pod| {
            let prefix = name.strip_suffix('*');
            pod.namespace == *namespace && prefix.is_some_and(|one| pod.name.starts_with(one))
        };
        self.departed(address, at, may_be, format!("{namespace}/{name}"))
    }

    /// No policy selects a workload on its node's network: the node's address is what counts (rule: node-by-address).
    fn workload_key(&self, place: u32) -> Option<(PeerKey, Option<u32>)> {
        let id = self.workloads.get(place as usize)?;
        let host_network = self.inventory.workloads.get(id)?.host_network;
        (!host_network).then_some((PeerKey::Workload(place), None))
    }

    /// A peer that the source names and nothing explains. The address decides only where its owner is certain and may be whom
    /// the source names: a node, or a pod that is known to have been there already.
    fn departed(
        &self,
        address: IpAddr,
        at: Timestamp,
        may_be: impl Fn(&Pod) -> bool,
        name: String,
    ) -> Option<(PeerKey, Option<u32>)> {
        let is_certain = match self.inventory.resolve(address, at) {
            Owner::Pod(index) => {
                let pod = self.inventory.pods.get(index);
                pod.is_some_and(|pod| pod.owned.from.is_some() && may_be(pod))
            }
            Owner::Node(_) | Owner::Service(_) => true,
            Owner::Uncertain(_) | Owner::Unknown | Owner::Outside => false,
        };
        if is_certain {
            return None;
        }
        let stand_in = stand_in_address(&name);
        let key = self.named(stand_in, name, UnattributedReason::DepartedPod);
        Some((key, None))
    }

    /// The workloads of pods that a source names at addresses that the inventory gives to nobody for certain at that
    /// time (rule: named-once-is-perhaps).
    pub(in super::super) fn named_without_owner(
        &self,
        record: &FlowRecord,
    ) -> Vec<(IpAddr, WorkloadId)> {
        let Some(labels) = record.labels.as_deref() else {
            return Vec::new();
        };
        let ends = [
            (labels.client.as_ref(), record.client),
            (labels.server.as_ref(), record.server),
        ];
        let named = ends.into_iter().filter_map(|(label, address)| {
            if is_stand_in(address)
                || !matches!(
                    self.client(address, record.first),
                    PeerKey::Unattributed(..)
                )
            {
                return None;
            }
            match self.labelled(label?, address, record.first)? {
                (PeerKey::Workload(place), _) => {
                    Some((address, self.workloads.get(place as usize)?.clone()))
                }
                _ => None,
            }
        });
        named.collect()
    }

    /// The Service that was called by the source's label, where the address does not show it: everything
    /// behind it counts (rule: all-ready-endpoints). Of its ports, the one whose endpoints listen where the connection
    /// arrived.
    pub(super) fn labelled_service(&self, record: &FlowRecord) -> Option<ServiceAccess<'a>> {
        let name = record.labels.as_ref()?.service.as_ref()?;
        let service = &self.inventory.services[*self.named_peers.services.get(name)?];
        let port = service.ports.iter().find(|port| {
            port.protocol == record.protocol
                && port.endpoints.iter().any(|endpoint| {
                    endpoint.port == record.port && endpoint.address == record.server
                })
        })?;
        Some(ServiceAccess {
            service,
            port,
            by_node_port: false,
            from_outside: false,
        })
    }
}
