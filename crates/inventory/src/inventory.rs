//! The inventory itself: the indices over everything a snapshot held.

use super::{
    AddressBook, Namespace, Node, OtherKinds, Pod, Service, ToldAddresses, Workload, WorkloadId,
};
use nanoseg_plugin::{ClusterPlugin, Profile};
use nanoseg_policy_kinds::OtherKindPolicy;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;

/// The range of node ports where nothing says another one (`--service-node-port-range`).
const NODE_PORTS: RangeInclusive<u16> = 30_000..=32_767;

/// Everything known about the cluster, over time. Built by [`Inventory::build`].
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    /// Current and past pods, and one template pod for each workload without pods.
    pub pods: Vec<Pod>,
    pub workloads: BTreeMap<WorkloadId, Workload>,
    /// Owners that are one release, run or user of several, with the workload that all of them are
    /// (rule: releases-and-users-are-one-workload).
    pub families: BTreeMap<WorkloadId, WorkloadId>,
    pub services: Vec<Service>,
    pub nodes: Vec<Node>,
    pub namespaces: BTreeMap<String, Namespace>,
    /// The endpoints of `default/kubernetes` (rule: api-server-endpoints).
    pub api_server: BTreeSet<SocketAddr>,
    /// Ranges that pods get their addresses from: the nodes' podCIDRs, else what covers the pods seen.
    pub pod_ranges: Vec<ipnet::IpNet>,
    /// Ranges that Services get their addresses from, as far as the Services seen show them.
    pub service_ranges: Vec<ipnet::IpNet>,
    /// The snapshot shows neither `default/kubernetes` nor the range of Service addresses, so it lacks Services, or it
    /// lacks Nodes, whose podCIDRs are the pods' ranges: a private address that nothing explains may be a Service's
    /// or a pod's (rule: unexplained-address).
    pub partial: bool,
    /// The range of node ports where the API server's arguments say it.
    pub node_ports: Option<RangeInclusive<u16>>,
    /// Which network plugin enforces policies (rule: plugin-is-part-of-the-model).
    pub network_plugin: ClusterPlugin,
    /// What agents told of their nodes' own addresses.
    pub told_addresses: ToldAddresses,
    /// Who owns an address at a time.
    pub addresses: AddressBook,
    /// The policies of other kinds that are in force.
    pub other_kinds: Arc<OtherKinds>,
}

impl Inventory {
    /// Takes another network plugin than the one that the objects show, if an operator says one.
    pub fn take_network_plugin(&mut self, said: Option<Profile>) {
        if let Some(profile) = said {
            self.network_plugin = ClusterPlugin::said(profile);
        }
    }

    /// The workloads of one namespace, in order.
    pub fn workloads_of(&self, namespace: &str) -> impl Iterator<Item = &Workload> {
        let first = WorkloadId {
            namespace: namespace.to_owned(),
            name: String::new(),
            kind: String::new(),
        };
        let from = self.workloads.range(first..);
        from.map(|(_, workload)| workload)
            .take_while(move |workload| workload.id.namespace == namespace)
    }

    /// Puts policies of other kinds in force; what names were seen to be is kept.
    pub fn set_other_kinds(&mut self, policies: &[OtherKindPolicy]) {
        let names = self.other_kinds.names.clone();
        self.other_kinds = Arc::new(OtherKinds {
            names,
            ..OtherKinds::of(policies)
        });
    }

    /// The inventory with what names were seen to be, for the policies of other kinds that name names; itself, if there
    /// are none.
    pub fn with_names<'i>(
        &'i self,
        names: &BTreeMap<IpAddr, BTreeSet<String>>,
    ) -> Cow<'i, Inventory> {
        if self.other_kinds.policies.is_empty() || names.is_empty() {
            return Cow::Borrowed(self);
        }
        let mut by_name: BTreeMap<String, BTreeSet<IpAddr>> = BTreeMap::new();
        for (address, names) in names {
            for name in names {
                let name = name.trim_end_matches('.').to_ascii_lowercase();
                by_name.entry(name).or_default().insert(*address);
            }
        }
        let mut named = self.clone();
        named.other_kinds = Arc::new(OtherKinds {
            policies: self.other_kinds.policies.clone(),
            names: by_name,
        });
        Cow::Owned(named)
    }

    /// Every address of every node, as a plugin may see traffic from "some node" (rule: node-port-from-any-node).
    pub fn node_addresses(&self) -> BTreeSet<IpAddr> {
        self.nodes
            .iter()
            .flat_map(|node| node.addresses.iter().copied())
            .collect()
    }

    /// Returns true if Services get their node ports from a range with this port.
    pub fn is_node_port(&self, port: u16) -> bool {
        self.node_ports
            .as_ref()
            .unwrap_or(&NODE_PORTS)
            .contains(&port)
    }

    /// Returns true if `address` lies in a range that Services get their addresses from.
    pub fn in_service_range(&self, address: IpAddr) -> bool {
        self.service_ranges
            .iter()
            .any(|range| range.contains(&address))
    }

    /// The names of all nodes, also of those that only pods mention.
    pub fn node_names(&self) -> BTreeSet<String> {
        let of_pods = self.pods.iter().filter_map(|pod| pod.node.clone());
        let nodes = self.nodes.iter().map(|node| node.name.clone());
        nodes.chain(of_pods).collect()
    }

    /// The workloads of the pods that a Service selects, whether they are ready, gone or not there yet.
    pub fn selected_by<'i>(&'i self, service: &Service) -> BTreeSet<&'i WorkloadId> {
        let selector = &service.selector;
        let pods = self.pods.iter().filter(|pod| {
            !selector.is_empty()
                && pod.namespace == service.namespace
                && selector.iter().all(|(k, v)| pod.labels.get(k) == Some(v))
        });
        pods.map(|pod| &pod.workload).collect()
    }

    /// The workload for which a pod wants to be taken that names this owner: the one that the owner's own pods are of, else
    /// the one that the owner's name begins with.
    pub fn claimed_workload<'i>(&'i self, owner: &'i WorkloadId) -> &'i WorkloadId {
        let of = |id: &&WorkloadId| {
            let rest = owner.name.strip_prefix(id.name.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        };
        let workloads = self.workloads_of(&owner.namespace).map(|one| &one.id);
        let longest = workloads.filter(|id| id.kind != "Pod").filter(of);
        longest.max_by_key(|id| id.name.len()).unwrap_or(owner)
    }

    /// The Service that has this address, if one has.
    pub fn service_with(&self, address: IpAddr) -> Option<&Service> {
        let with = |of: fn(&Service) -> &Vec<IpAddr>| {
            let mut services = self.services.iter();
            services.find(move |service| of(service).contains(&address))
        };
        with(|one| &one.cluster_ips).or_else(|| with(|one| &one.external_ips))
    }

    /// Returns true if `address` lies in a range that pods or Services get their addresses from.
    pub fn in_cluster_range(&self, address: IpAddr) -> bool {
        self.pod_ranges
            .iter()
            .chain(&self.service_ranges)
            .any(|range| range.contains(&address))
    }
}
