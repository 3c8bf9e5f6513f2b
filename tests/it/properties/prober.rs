//! A naive evaluator of NetworkPolicies, one connection at a time, that shares no code with nanoseg.

use super::world::{OUTSIDE, PORTS, Plan, Required, Who};
use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use nanoseg::net::Protocol;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// One end of a probe: a pod by its index, or an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum At {
    Pod(usize),
    Address(IpAddr),
}

pub type Probe = (At, At, Protocol, u16);

/// The data of pods that policies use.
struct Pod<'a> {
    workload: usize,
    namespace: &'a str,
    labels: &'a BTreeMap<String, String>,
}

pub struct Prober<'a> {
    pods: Vec<Pod<'a>>,
}

impl<'a> Prober<'a> {
    pub fn new(plan: &'a Plan) -> Self {
        let pod = |(workload, _)| Pod {
            workload,
            namespace: plan.namespace(workload),
            labels: &plan.workloads[workload].labels,
        };
        Prober {
            pods: plan.pods().into_iter().map(pod).collect(),
        }
    }

    /// All probes: pods and addresses with each other, on observed and other ports.
    pub fn probes(&self) -> Vec<Probe> {
        let addresses = OUTSIDE
            .iter()
            .map(|text| At::Address(text.parse().expect("an address")));
        let ends: Vec<At> = (0..self.pods.len()).map(At::Pod).chain(addresses).collect();
        let mut ports = PORTS.to_vec();
        ports.extend([1, 79, 81, 20_000]);
        let mut probes = Vec::new();
        for (client, server) in ends.iter().flat_map(|c| ends.iter().map(move |s| (*c, *s))) {
            let between_addresses = matches!((client, server), (At::Address(_), At::Address(_)));
            // A pod always reaches itself.
            if client == server || between_addresses {
                continue;
            }
            for protocol in Protocol::ALL {
                probes.extend(ports.iter().map(|port| (client, server, protocol, *port)));
            }
        }
        probes
    }

    /// Returns the probes that are allowed.
    pub fn allowed(&self, policies: &[NetworkPolicy]) -> BTreeSet<Probe> {
        let mut probes = self.probes();
        probes.retain(|probe| self.allows(policies, probe));
        probes.into_iter().collect()
    }

    /// Returns the probes that represent connections of `required`.
    pub fn wanted(&self, required: &BTreeSet<Required>) -> BTreeSet<Probe> {
        let mut probes = self.probes();
        probes.retain(|(client, server, protocol, port)| {
            required.contains(&(self.who(*client), self.who(*server), *protocol, *port))
        });
        probes.into_iter().collect()
    }

    fn who(&self, end: At) -> Who {
        match end {
            At::Pod(pod) => Who::Workload(self.pods[pod].workload),
            At::Address(address) => Who::Address(address),
        }
    }

    fn allows(&self, policies: &[NetworkPolicy], probe: &Probe) -> bool {
        let (client, server, protocol, port) = *probe;
        self.side(policies, "Egress", client, server, protocol, port)
            && self.side(policies, "Ingress", server, client, protocol, port)
    }

    /// Returns true if the policies of `own` allow a connection with `far`. No policy applies to an address.
    fn side(
        &self,
        policies: &[NetworkPolicy],
        direction: &str,
        own: At,
        far: At,
        protocol: Protocol,
        port: u16,
    ) -> bool {
        let At::Pod(own) = own else { return true };
        let own = &self.pods[own];
        let mut isolated = false;
        for policy in policies {
            let spec = policy.spec.as_ref().expect("a spec");
            let types = spec
                .policy_types
                .as_deref()
                .expect("policyTypes are written out");
            let selected = policy.metadata.namespace.as_deref() == Some(own.namespace)
                && spec
                    .pod_selector
                    .as_ref()
                    .is_none_or(|s| matches(s, own.labels));
            if !selected || !types.iter().any(|t| t == direction) {
                continue;
            }
            isolated = true;
            let namespace = own.namespace;
            let through = |peers: Option<&Vec<NetworkPolicyPeer>>,
                           ports: Option<&Vec<NetworkPolicyPort>>| {
                let peer_fits = peers
                    .is_none_or(|p| p.is_empty() || p.iter().any(|p| self.peer(p, namespace, far)));
                let port_fits = ports
                    .is_none_or(|p| p.is_empty() || p.iter().any(|p| port_fits(p, protocol, port)));
                peer_fits && port_fits
            };
            let allowed = if direction == "Egress" {
                spec.egress
                    .iter()
                    .flatten()
                    .any(|r| through(r.to.as_ref(), r.ports.as_ref()))
            } else {
                spec.ingress
                    .iter()
                    .flatten()
                    .any(|r| through(r.from.as_ref(), r.ports.as_ref()))
            };
            if allowed {
                return true;
            }
        }
        !isolated
    }

    fn peer(&self, peer: &NetworkPolicyPeer, namespace: &str, far: At) -> bool {
        match far {
            At::Address(address) => peer.ip_block.as_ref().is_some_and(|block| {
                let inside = |net: &str| {
                    net.parse::<ipnet::IpNet>()
                        .expect("a CIDR")
                        .contains(&address)
                };
                inside(&block.cidr) && !block.except.iter().flatten().any(|net| inside(net))
            }),
            At::Pod(pod) => {
                let pod = &self.pods[pod];
                let name = BTreeMap::from([(
                    "kubernetes.io/metadata.name".to_owned(),
                    pod.namespace.to_owned(),
                )]);
                let there = match &peer.namespace_selector {
                    Some(selector) => matches(selector, &name),
                    None => pod.namespace == namespace,
                };
                peer.ip_block.is_none()
                    && there
                    && peer
                        .pod_selector
                        .as_ref()
                        .is_none_or(|s| matches(s, pod.labels))
            }
        }
    }
}

fn port_fits(written: &NetworkPolicyPort, protocol: Protocol, port: u16) -> bool {
    let same = written.protocol.as_deref().unwrap_or("TCP") == protocol.as_str();
    let number = match &written.port {
        None => return same,
        Some(IntOrString::Int(number)) => *number,
        Some(IntOrString::String(name)) => panic!("port name {name} in a generated policy"),
    };
    same && (number..=written.end_port.unwrap_or(number)).contains(&i32::from(port))
}

fn matches(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    let equal = selector
        .match_labels
        .iter()
        .flatten()
        .all(|(k, v)| labels.get(k) == Some(v));
    let expressions = selector.match_expressions.iter().flatten().all(|e| {
        let value = labels.get(&e.key);
        let listed = value.is_some_and(|v| e.values.iter().flatten().any(|l| l == v));
        match e.operator.as_str() {
            "In" => listed,
            "NotIn" => !listed,
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            other => panic!("operator {other}"),
        }
    });
    equal && expressions
}
