//! Ports as a policy writes them: single numbers, and ranges where every port was observed.

use k8s_openapi::api::networking::v1::NetworkPolicyPort;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use nanoseg_net::Protocol;
use std::collections::BTreeMap;

/// The smallest number of observed ports in a run that is written as a range.
const RANGE_FROM: usize = 3;

/// The entries for `ports`, by number, then protocol. A run of at least three ports becomes one
/// `endPort` range; inside a run, up to `gap` neighbouring ports may be unobserved (rule: port-range-is-observed), 0
/// unless the operator sets another gap. `None`: the network plugin honours no ranges, so each port is written.
pub(super) fn build_ports(ports: &[(u16, Protocol)], gap: Option<u16>) -> Vec<NetworkPolicyPort> {
    let mut by_protocol: BTreeMap<Protocol, Vec<u16>> = BTreeMap::new();
    for (port, protocol) in ports {
        by_protocol.entry(*protocol).or_default().push(*port);
    }
    let mut entries = Vec::new();
    for (protocol, mut numbers) in by_protocol {
        numbers.sort_unstable();
        numbers.dedup();
        let near = |a: &u16, b: &u16| {
            gap.is_some_and(|gap| u32::from(*b) <= u32::from(*a) + 1 + u32::from(gap))
        };
        for run in numbers.chunk_by(near) {
            match run {
                [first, .., last] if run.len() >= RANGE_FROM => {
                    entries.push((*first, protocol, Some(*last)));
                }
                _ => entries.extend(run.iter().map(|port| (*port, protocol, None))),
            }
        }
    }
    entries.sort_unstable();
    entries
        .into_iter()
        .map(|(first, protocol, last)| NetworkPolicyPort {
            port: Some(IntOrString::Int(i32::from(first))),
            end_port: last.map(i32::from),
            protocol: Some(protocol.as_str().to_string()),
        })
        .collect()
}

/// Returns `443/TCP` or `8000-8100/TCP`.
pub(super) fn port_text(port: &NetworkPolicyPort) -> String {
    let number = match &port.port {
        Some(IntOrString::Int(number)) => number.to_string(),
        Some(IntOrString::String(name)) => name.clone(),
        None => "any".to_string(),
    };
    let protocol = port.protocol.as_deref().unwrap_or("TCP");
    match port.end_port {
        Some(last) => format!("{number}-{last}/{protocol}"),
        None => format!("{number}/{protocol}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(ports: &[u16], gap: u16) -> Vec<(i32, Option<i32>)> {
        let ports: Vec<_> = ports.iter().map(|p| (*p, Protocol::Tcp)).collect();
        build_ports(&ports, Some(gap))
            .into_iter()
            .map(|p| match p.port {
                Some(IntOrString::Int(first)) => (first, p.end_port),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn only_ports_that_were_all_observed_become_a_range() {
        assert_eq!(
            written(&[9, 80, 81, 8000, 8001, 8002, 65535], 0),
            [
                (9, None),
                (80, None),
                (81, None),
                (8000, Some(8002)),
                (65535, None)
            ]
        );
        assert_eq!(written(&[1, 3, 5], 0), [(1, None), (3, None), (5, None)]);
    }

    #[test]
    fn where_the_plugin_honours_no_ranges_every_port_is_written() {
        let ports: Vec<_> = (8000..8004).map(|port| (port, Protocol::Tcp)).collect();
        let entries = build_ports(&ports, None);
        assert_eq!(entries.len(), 4);
        assert!(entries.iter().all(|entry| entry.end_port.is_none()));
    }

    #[test]
    fn gaps_are_included_only_up_to_the_threshold_of_the_operator() {
        assert_eq!(written(&[1, 3, 5, 9], 1), [(1, Some(5)), (9, None)]);
        assert_eq!(written(&[1, 3], 1), [(1, None), (3, None)]);
        assert_eq!(written(&[1, 30000, 65535], u16::MAX), [(1, Some(65535))]);
    }

    #[test]
    fn protocols_never_share_a_range_and_ports_are_ordered_by_number() {
        let ports = [
            (54, Protocol::Udp),
            (53, Protocol::Udp),
            (53, Protocol::Tcp),
            (55, Protocol::Tcp),
        ];
        let entries: Vec<_> = build_ports(&ports, Some(0))
            .into_iter()
            .map(|p| (p.port, p.protocol.unwrap(), p.end_port))
            .collect();
        let port = |n, protocol: &str| (Some(IntOrString::Int(n)), protocol.to_string(), None);
        assert_eq!(
            entries,
            [
                port(53, "TCP"),
                port(53, "UDP"),
                port(54, "UDP"),
                port(55, "TCP")
            ]
        );
    }
}
