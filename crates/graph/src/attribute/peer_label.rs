//! A source's label of an end (Hubble, Calico) goes before the address, where the inventory knows the object
//! that it names. Where it does not, the address at that time decides, as it does without a label.

use super::{Attribution, PeerKey, ServiceAccess};
use nanoseg_flow::{FlowRecord, PeerLabel};
use nanoseg_inventory::{Inventory, WorkloadId};
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
        match found.iter().find(|(_, known)| known == kind) {
            Some((place, _)) => Some(*place),
            // Hubble reports a CronJob's pods as a Job's and the like; the one of that name is meant.
            None if found.len() == 1 => found.first().map(|(place, _)| *place),
            None => None,
        }
    }
}

impl<'a> Attribution<'a> {
    /// The peer that a label names for `address`, and its node where it is a pod. `None`: the address decides.
    pub(super) fn labelled(
        &self,
        label: &PeerLabel,
        address: IpAddr,
    ) -> Option<(PeerKey, Option<u32>)> {
        match label {
            PeerLabel::Pod { namespace, name } => {
                let index = self.named_peers.pod(namespace, name, self.inventory)?;
                let (_, node) = *self.pods.get(index)?;
                let pod = self.inventory.pods.get(index)?;
                // A name with `*` means pods on several nodes.
                let exact = name == &pod.name && !pod.host_network;
                Some((self.pod(index), node.filter(|_| exact)))
            }
            PeerLabel::Workload {
                namespace,
                kind,
                name,
            } => {
                let place = self.named_peers.workload(namespace, name, kind)?;
                let id = self.workloads.get(place as usize)?;
                let host_network = self.inventory.workloads.get(id)?.host_network;
                // No policy selects it: its node's address is what counts (rule: node-by-address).
                (!host_network).then_some((PeerKey::Workload(place), None))
            }
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
