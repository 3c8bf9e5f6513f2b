//! Pods of the snapshots → [`Pod`]: addresses, declared ports, and from when to when they were theirs.

use super::host_ports::{host_ports, lasting_containers};
use super::owners::{OwnerIndex, OwnerObject, OwnerRule, TopOwner, namespace_of};
use super::{ContainerPort, OwnResolvers, Owned, Pod, WorkloadId};
use crate::kubernetes::{self as core, PodSpec};
use nanoseg_net::{Protocol, Timestamp, parse_address};
use std::net::IpAddr;

/// Kubernetes times are cut to the second, so something that ended "at 5" ended before 6.
const ROUNDED: i64 = 1;

/// Reads one pod. The second value is what owns it.
pub(super) fn read_pod<'a>(
    pod: &'a core::Pod,
    owners: &OwnerIndex<'a>,
    rule: OwnerRule,
) -> (Pod, TopOwner) {
    let is_there = ended(pod).is_none() && !is_over(pod);
    let top = owners.resolve_top(&pod.metadata, is_there, rule);
    let spec = pod.spec.as_ref();
    let pod = Pod {
        namespace: namespace_of(&pod.metadata),
        name: pod.metadata.name.clone().unwrap_or_default(),
        labels: pod.metadata.labels.clone().unwrap_or_default(),
        workload: top.id.clone(),
        claimed_owner: top.claimed.clone(),
        node: spec.and_then(|s| s.node_name.clone()),
        host_network: host_network(spec),
        addresses: addresses(pod),
        ports: spec.map(declared_ports).unwrap_or_default(),
        host_ports: spec.map(host_ports).unwrap_or_default(),
        own_resolvers: spec.map(own_resolvers).unwrap_or_default(),
        owned: read_owned(pod),
        network_up: network_up(pod),
        template: false,
    };
    (pod, top)
}

/// The pod that a workload without pods would make.
pub(super) fn template_pod(id: &WorkloadId, owner: &OwnerObject<'_>) -> Option<Pod> {
    let template = owner.template?;
    let labels = template
        .metadata
        .as_ref()
        .and_then(|m| m.labels.clone())
        .unwrap_or_default();
    Some(Pod {
        namespace: id.namespace.clone(),
        name: id.name.clone(),
        labels,
        workload: id.clone(),
        claimed_owner: None,
        node: None,
        host_network: host_network(template.spec.as_ref()),
        addresses: Vec::new(),
        ports: template
            .spec
            .as_ref()
            .map(declared_ports)
            .unwrap_or_default(),
        host_ports: Vec::new(),
        own_resolvers: OwnResolvers::default(),
        owned: Owned::default(),
        network_up: None,
        template: true,
    })
}

/// A pod on the host network asks the node's resolver, unless its policy is `ClusterFirstWithHostNet`.
fn own_resolvers(spec: &PodSpec) -> OwnResolvers {
    let named = spec
        .dns_config
        .iter()
        .flat_map(|config| &config.nameservers);
    let policy = spec.dns_policy.as_deref().unwrap_or("ClusterFirst");
    let of_node = policy == "Default" || (policy == "ClusterFirst" && host_network(Some(spec)));
    OwnResolvers {
        addresses: named
            .flatten()
            .filter_map(|text| parse_address(text))
            .collect(),
        of_node,
        without_cluster: of_node || policy == "None",
    }
}

fn host_network(spec: Option<&PodSpec>) -> bool {
    spec.and_then(|s| s.host_network).unwrap_or(false)
}

/// `status.podIPs` and `status.podIP`, in order.
pub(super) fn addresses(pod: &core::Pod) -> Vec<IpAddr> {
    let Some(status) = &pod.status else {
        return Vec::new();
    };
    let listed = status.pod_ips.iter().flatten().map(|ip| ip.ip.as_str());
    let mut addresses: Vec<IpAddr> = listed
        .chain(status.pod_ip.as_deref())
        .filter_map(parse_address)
        .collect();
    addresses.sort();
    addresses.dedup();
    addresses
}

/// The ports of its containers, sidecars included.
fn declared_ports(spec: &PodSpec) -> Vec<ContainerPort> {
    let mut ports: Vec<ContainerPort> = lasting_containers(spec)
        .flat_map(|container| container.ports.iter().flatten())
        .filter_map(|port| {
            Some(ContainerPort {
                name: port.name.clone().filter(|name| !name.is_empty()),
                protocol: Protocol::parse(port.protocol.as_deref().unwrap_or("TCP"))?,
                number: u16::try_from(port.container_port).ok()?,
            })
        })
        .collect();
    ports.sort();
    ports.dedup();
    ports
}

/// A sandbox that is made this many seconds after the pod's start is a second one: the node was rebooted, and the
/// pod's address before is not known. (Or images and volumes were waited for, without a container that could speak.)
const LATE: i64 = 300;

/// From its sandbox to the end of its containers. `startTime` comes before the sandbox and survives it.
pub(super) fn read_owned(pod: &core::Pod) -> Owned {
    let from = match (started(pod), network_up(pod)) {
        (Some(start), Some(up)) if up > start.plus_secs(LATE) => Some(up),
        (start, up) => start.or(up),
    };
    Owned {
        from,
        until: ended(pod),
    }
}

/// `status.startTime`: when a kubelet accepted the pod, before it made the sandbox.
pub(super) fn started(pod: &core::Pod) -> Option<Timestamp> {
    let started = pod
        .status
        .as_ref()
        .and_then(|status| status.start_time.as_ref());
    started
        .or(pod.metadata.creation_timestamp.as_ref())
        .map(|time| Timestamp::from(time.0))
}

/// Returns true if its containers will not run again.
fn is_over(pod: &core::Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|s| s.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// When the pod gave its addresses back: its containers have ended for good, or its deletion is due.
fn ended(pod: &core::Pod) -> Option<Timestamp> {
    let status = pod.status.as_ref()?;
    let over = is_over(pod);
    let deletion = pod
        .metadata
        .deletion_timestamp
        .as_ref()
        .map(|t| Timestamp::from(t.0));
    if !over && deletion.is_none() {
        return None;
    }
    let statuses = status.container_statuses.as_deref().unwrap_or_default();
    let finished: Option<Vec<Timestamp>> = statuses
        .iter()
        .map(|s| {
            let terminated = s.state.as_ref()?.terminated.as_ref()?;
            terminated
                .finished_at
                .as_ref()
                .map(|t| Timestamp::from(t.0))
        })
        .collect();
    let last = finished.and_then(|times| times.into_iter().max());
    // deletionTimestamp is when the grace period is over: the pod is killed then at the latest.
    // An evicted pod has no container statuses; it is over since it is not ready.
    let unready = || {
        let conditions = status.conditions.iter().flatten();
        let false_since = conditions
            .filter(|c| c.status == "False")
            .filter_map(|c| c.last_transition_time.as_ref());
        over.then(|| false_since.map(|t| Timestamp::from(t.0)).max())?
    };
    last.or(deletion)
        .or_else(unready)
        .map(|at| at.plus_secs(ROUNDED))
}

/// When its network was up: the PodReadyToStartContainers condition (KEP-3085), else the first container's start.
pub(super) fn network_up(pod: &core::Pod) -> Option<Timestamp> {
    let status = pod.status.as_ref()?;
    let condition = status
        .conditions
        .iter()
        .flatten()
        .find(|c| c.type_ == "PodReadyToStartContainers" && c.status == "True")
        .and_then(|c| c.last_transition_time.as_ref());
    let containers = status
        .init_container_statuses
        .iter()
        .flatten()
        .chain(status.container_statuses.iter().flatten())
        .filter_map(|s| {
            let state = s.state.as_ref()?;
            let running = state.running.as_ref().and_then(|r| r.started_at.as_ref());
            running.or(state
                .terminated
                .as_ref()
                .and_then(|t| t.started_at.as_ref()))
        });
    condition
        .into_iter()
        .chain(containers)
        .map(|t| Timestamp::from(t.0))
        .min()
}
