//! Resolves SRC and DST to pods and addresses.

use super::Port;
use crate::evaluate::{Evaluation, PeerRef};
use crate::graph::EnforcedPorts;
use crate::inventory::{Inventory, ServicePort, WorkloadId};
use crate::net::{Protocol, parse_address};
use anyhow::{Context, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// One end of the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    Workload(WorkloadId),
    /// An index into [`Inventory::pods`].
    Pod(usize),
    /// An index into [`Inventory::services`].
    Service(usize),
    Address(IpAddr),
}

impl End {
    /// Returns true if it stands for any of several pods.
    pub fn is_several(&self) -> bool {
        matches!(self, End::Workload(_) | End::Service(_))
    }

    pub fn name(&self, inventory: &Inventory) -> String {
        match self {
            End::Workload(id) => id.to_string(),
            End::Pod(pod) => name(PeerRef::Pod(*pod), inventory),
            End::Address(address) => name(PeerRef::Address(*address), inventory),
            End::Service(service) => match inventory.services.get(*service) {
                Some(service) => format!("Service {}/{}", service.namespace, service.name),
                None => String::new(),
            },
        }
    }
}

/// The name of a pod or an address for people.
pub fn name(end: PeerRef, inventory: &Inventory) -> String {
    match end {
        PeerRef::Address(address) => {
            let mut nodes = inventory.nodes.iter();
            match nodes.find(|node| node.addresses.contains(&address)) {
                Some(node) => format!("{address} (node {})", node.name),
                None => address.to_string(),
            }
        }
        PeerRef::Pod(pod) => match inventory.pods.get(pod) {
            Some(pod) if pod.template => format!("a pod of {}", pod.workload),
            Some(pod) => format!("{}/{}", pod.namespace, pod.name),
            None => String::new(),
        },
    }
}

/// Finds what `text` names: an address, `name`, `namespace/name` or `namespace/kind/name`.
pub fn resolve_end(text: &str, namespace: &str, inventory: &Inventory) -> anyhow::Result<End> {
    if let Some(address) = parse_address(text) {
        return Ok(resolve_address(address, inventory));
    }
    let parts: Vec<&str> = text.split('/').collect();
    let (namespace, kind, name) = match parts.as_slice() {
        [name] => (namespace, None, *name),
        [namespace, name] => (*namespace, None, *name),
        [namespace, kind, name] => (*namespace, Some(*kind), *name),
        _ => bail!(
            "{text:?} is not a valid end: write name, namespace/name, namespace/kind/name or an address"
        ),
    };
    let is_kind = |other: &str| kind.is_none_or(|kind| kind.eq_ignore_ascii_case(other));
    let workloads: Vec<&WorkloadId> = inventory
        .workloads
        .keys()
        .filter(|id| id.namespace == namespace && id.name == name && is_kind(&id.kind))
        .collect();
    match workloads.as_slice() {
        [] => {}
        [one] => return Ok(End::Workload((*one).clone())),
        several => bail!(
            "{text} can be {}; write the kind too",
            join(
                several
                    .iter()
                    .map(|id| format!("{namespace}/{}/{name}", id.kind))
            )
        ),
    }
    let mut pods = inventory.pods.iter().enumerate().rev();
    let pod = pods.find(|(_, pod)| {
        pod.namespace == namespace && pod.name == name && !pod.template && is_kind("pod")
    });
    if let Some((index, _)) = pod {
        return Ok(End::Pod(index));
    }
    let mut services = inventory.services.iter();
    let service = services
        .position(|one| one.namespace == namespace && one.name == name && is_kind("service"));
    service
        .map(End::Service)
        .with_context(|| unknown(text, namespace, inventory))
}

/// The error for a name that does not exist, with the names that the namespace has.
fn unknown(text: &str, namespace: &str, inventory: &Inventory) -> String {
    let ids = inventory.workloads.keys();
    let names: BTreeSet<&str> = ids
        .filter(|id| id.namespace == namespace)
        .map(|id| id.name.as_str())
        .collect();
    if names.is_empty() {
        let namespaces: BTreeSet<&str> = inventory
            .workloads
            .keys()
            .map(|id| id.namespace.as_str())
            .collect();
        return format!(
            "no workload, pod or Service {text}: namespace {namespace} has none; namespaces with workloads are {}",
            join(namespaces)
        );
    }
    format!(
        "no workload, pod or Service {text}; the workloads of namespace {namespace} are {}",
        join(names)
    )
}

fn join<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> String {
    let names: Vec<String> = names
        .into_iter()
        .map(|name| name.as_ref().to_owned())
        .collect();
    names.join(", ")
}

/// The current owner of an address: a pod with an address of its own, a Service, else the address itself.
fn resolve_address(address: IpAddr, inventory: &Inventory) -> End {
    let mut pods = inventory.pods.iter().enumerate().rev();
    let pod = pods.find(|(_, pod)| {
        !pod.host_network && pod.owned.until.is_none() && pod.addresses.contains(&address)
    });
    if let Some((index, _)) = pod {
        return End::Pod(index);
    }
    let mut services = inventory.services.iter();
    let service = services.position(|service| {
        service.cluster_ips.contains(&address) || service.external_ips.contains(&address)
    });
    service.map_or(End::Address(address), End::Service)
}

/// The Service that a node's address stands for at a node port; else the end itself.
pub fn behind_node_port(end: End, port: Port, inventory: &Inventory) -> End {
    let End::Address(address) = end else {
        return end;
    };
    let is_node = inventory
        .nodes
        .iter()
        .any(|node| node.addresses.contains(&address));
    let mut services = inventory.services.iter();
    let service = services.position(|service| {
        let mut ports = service.ports.iter();
        ports.any(|one| one.node_port == Some(port.number) && one.protocol == port.protocol)
    });
    service.filter(|_| is_node).map_or(end, End::Service)
}

/// The nodes as which a client is seen.
pub struct ThroughNodes {
    pub from: Vec<Target>,
    /// The Services through which it comes, `namespace/name:port`.
    pub services: String,
}

/// Returns the nodes as which an address outside may be seen, if a Service lets it in through them and masquerades it
/// (rule: node-port-from-any-node).
pub fn through_nodes(
    client: &End,
    server: &End,
    to: &[Target],
    protocol: Protocol,
    inventory: &Inventory,
) -> Option<ThroughNodes> {
    let End::Address(client) = client else {
        return None;
    };
    let nodes = inventory.node_addresses();
    let mut services = Vec::new();
    for (index, service) in inventory.services.iter().enumerate() {
        let is_asked = !matches!(server, End::Service(only) if *only != index);
        let has_way =
            |port: &ServicePort| port.node_port.is_some() || !service.external_ips.is_empty();
        let leads_there = |port: &ServicePort| {
            let mut endpoints = port.endpoints.iter().filter(|endpoint| endpoint.own);
            endpoints.any(|endpoint| {
                let pod = endpoint.pod.map(PeerRef::Pod);
                to.iter()
                    .any(|target| Some(target.end) == pod && target.port == endpoint.port)
            })
        };
        let ways = service.ports.iter().filter(|port| {
            is_asked
                && !service.external_local
                && port.protocol == protocol
                && has_way(port)
                && leads_there(port)
        });
        services.extend(
            ways.map(|port| format!("{}/{}:{}", service.namespace, service.name, port.port)),
        );
    }
    if services.is_empty() || nodes.contains(client) {
        return None;
    }
    let same = nodes
        .into_iter()
        .filter(|node| node.is_ipv4() == client.is_ipv4());
    let from: Vec<Target> = same
        .map(|node| Target {
            end: PeerRef::Address(node),
            port: 0,
        })
        .collect();
    (!from.is_empty()).then(|| ThroughNodes {
        from,
        services: services.join(", "),
    })
}

/// A pod or address, and the port there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    pub end: PeerRef,
    pub port: u16,
}

/// Returns the pods and addresses behind an end. Where the network plugin checks before translation, a Service
/// stands for its pods on their own ports and on the Service's port.
///
/// # Errors
/// A Service without that port, or with no ready endpoint behind it.
pub fn targets(
    end: &End,
    port: Port,
    inventory: &Inventory,
    enforcement: EnforcedPorts,
) -> anyhow::Result<Vec<Target>> {
    let at = |end| Target {
        end,
        port: port.number,
    };
    Ok(match end {
        End::Address(address) => vec![at(PeerRef::Address(*address))],
        End::Pod(pod) => vec![at(PeerRef::Pod(*pod))],
        End::Workload(id) => {
            let all = inventory.workloads.get(id).map(|workload| &workload.pods);
            let is = |index: &usize, wanted: fn(&crate::inventory::Pod) -> bool| {
                inventory.pods.get(*index).is_some_and(wanted)
            };
            let all: Vec<usize> = all.into_iter().flatten().copied().collect();
            // The pods that exist now; else the template of new ones; else former ones.
            let now = |pod: &crate::inventory::Pod| !pod.template && pod.owned.until.is_none();
            let mut pods: Vec<usize> = all.iter().copied().filter(|i| is(i, now)).collect();
            if pods.is_empty() {
                pods = all
                    .iter()
                    .copied()
                    .filter(|i| is(i, |pod| pod.template))
                    .collect();
            }
            if pods.is_empty() {
                pods = all;
            }
            pods.into_iter().map(|pod| at(PeerRef::Pod(pod))).collect()
        }
        End::Service(service) => {
            let mut all = behind(*service, port, inventory)?;
            if enforcement == EnforcedPorts::Either {
                let translated: Vec<PeerRef> = all.iter().map(|target| target.end).collect();
                all.extend(translated.into_iter().map(at));
            }
            all
        }
    })
}

fn behind(service: usize, port: Port, inventory: &Inventory) -> anyhow::Result<Vec<Target>> {
    let service = inventory.services.get(service).context("no such Service")?;
    let name = format!("{}/{}", service.namespace, service.name);
    let mut ports = service.ports.iter();
    let is_of = |one: &&ServicePort| one.protocol == port.protocol;
    let wanted = ports
        .clone()
        .filter(is_of)
        .find(|one| one.port == port.number);
    let wanted =
        wanted.or_else(|| ports.find(|one| is_of(one) && one.node_port == Some(port.number)));
    let wanted = wanted.with_context(|| {
        let all = service.ports.iter();
        let all = join(all.map(|one| format!("{}/{}", one.port, one.protocol)));
        format!(
            "Service {name} has no port {}/{}; it has {all}",
            port.number, port.protocol
        )
    })?;
    anyhow::ensure!(
        !wanted.endpoints.is_empty(),
        "port {} of Service {name} has no ready endpoint",
        port.number
    );
    let target = |one: &crate::inventory::ServiceEndpoint| Target {
        end: one.pod.map_or(PeerRef::Address(one.address), PeerRef::Pod),
        port: one.port,
    };
    Ok(wanted.endpoints.iter().map(target).collect())
}

/// Classes of pods that no policy distinguishes.
pub struct PodClasses(BTreeMap<usize, usize>);

impl PodClasses {
    pub fn of(evaluation: &Evaluation) -> PodClasses {
        let mut first = BTreeMap::new();
        // Pods that use their node's network are distinguished by the node's addresses.
        for (_, class) in evaluation
            .classes()
            .filter(|(_, class)| !class.host_network)
        {
            for pod in &class.pods {
                first.insert(*pod, class.pods.first().copied().unwrap_or(*pod));
            }
        }
        PodClasses(first)
    }

    /// One target of each class, the first in `targets`.
    pub fn representatives<'a>(&self, targets: &'a [Target]) -> Vec<&'a Target> {
        let mut seen = BTreeSet::new();
        let is_new = |target: &&Target| {
            let key = match target.end {
                PeerRef::Pod(pod) => (self.0.get(&pod).copied().unwrap_or(pod), None),
                PeerRef::Address(address) => (usize::MAX, Some(address)),
            };
            seen.insert((key, target.port))
        };
        targets.iter().filter(is_new).collect()
    }
}
