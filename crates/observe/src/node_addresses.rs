//! The addresses of the node's own interfaces (rtnetlink(7), RTM_GETADDR): where a network plugin gives out addresses
//! itself, the gateway of the node's pods is written nowhere else (rule: node-by-address).

use super::live_source::LiveError;
use super::rtnetlink::{Link, LinkTable, attributes, dump_request, parse_message};
use nanoseg_flow::{MAX_NODE_ADDRESSES, is_of_node};
use netlink_sys::{Socket, protocols::NETLINK_ROUTE};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// `struct ifaddrmsg`.
const INFO: usize = 8;
/// Interfaces that hold addresses without having traffic of their own: IPVS gives one the addresses of all Services, and
/// a DNS cache of the node its own.
const HOLDERS: [&str; 1] = ["dummy"];

/// An address of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Assigned {
    interface: u32,
    address: IpAddr,
}

/// Returns the addresses by which this network namespace may be somebody's peer, [`MAX_NODE_ADDRESSES`] at most.
///
/// # Errors
/// When the kernel gives no list of interfaces or addresses.
pub fn read_node_addresses() -> Result<BTreeSet<IpAddr>, LiveError> {
    let links = LinkTable::open()?;
    let fail = |source| LiveError {
        action: "list the node's addresses".to_owned(),
        remedy: None,
        source,
    };
    let assigned = read_assigned().map_err(fail)?;
    Ok(choose(links.all(), assigned))
}

fn read_assigned() -> io::Result<BTreeSet<Assigned>> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.send(&dump_request::<{ 16 + INFO }>(libc::RTM_GETADDR), 0)?;
    let mut assigned = BTreeSet::new();
    loop {
        let (bytes, _) = socket.recv_from_full()?;
        match parse_addresses(&bytes, &mut assigned) {
            Part::More => {}
            Part::Last => return Ok(assigned),
            Part::Failed(errno) => return Err(io::Error::from_raw_os_error(errno)),
        }
    }
}

/// What a datagram is of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    More,
    Last,
    /// The kernel refuses, with this errno.
    Failed(i32),
}

/// Adds the addresses in a datagram of the route socket. Ends early where it contradicts itself.
fn parse_addresses(mut bytes: &[u8], assigned: &mut BTreeSet<Assigned>) -> Part {
    while let Some((kind, body, rest)) = parse_message(bytes) {
        bytes = rest;
        match i32::from(kind) {
            libc::NLMSG_DONE => return Part::Last,
            libc::NLMSG_ERROR => {
                let errno = body
                    .first_chunk()
                    .map_or(0, |word| i32::from_ne_bytes(*word));
                return Part::Failed(errno.saturating_neg());
            }
            _ if kind == libc::RTM_NEWADDR => assigned.extend(parse_address(body)),
            _ => {}
        }
    }
    Part::More
}

fn parse_address(body: &[u8]) -> Option<Assigned> {
    let scope = *body.get(3)?;
    if scope == libc::RT_SCOPE_HOST || scope == libc::RT_SCOPE_LINK {
        return None;
    }
    let interface = u32::from_ne_bytes(*body.get(4..)?.first_chunk()?);
    let (mut local, mut other) = (None, None);
    for (kind, value) in attributes(body.get(INFO..)?) {
        // Of a point-to-point link IFA_ADDRESS is the other end.
        match kind {
            libc::IFA_LOCAL => local = ip(value),
            libc::IFA_ADDRESS => other = ip(value),
            _ => {}
        }
    }
    let address = local.or(other)?;
    Some(Assigned { interface, address })
}

fn ip(value: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(value).map(|bytes| Ipv4Addr::from(bytes).into());
    let v6 = <[u8; 16]>::try_from(value).map(|bytes| Ipv6Addr::from(bytes).into());
    v4.or(v6).ok()
}

fn choose(links: &BTreeMap<u32, Link>, assigned: BTreeSet<Assigned>) -> BTreeSet<IpAddr> {
    let has_traffic = |one: &Assigned| {
        // An interface that came between the two lists counts with the next reading.
        let link = links.get(&one.interface);
        link.is_some_and(|link| !link.loopback && !HOLDERS.contains(&link.kind.as_str()))
    };
    let chosen = assigned.into_iter().filter(has_traffic);
    chosen
        .map(|one| one.address)
        .filter(is_of_node)
        .take(MAX_NODE_ADDRESSES)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::rtnetlink::bytes::{attribute, message};
    use super::*;
    use proptest::prelude::*;

    fn assigned(interface: u32, scope: u8, attributes: &[(u16, &str)]) -> Vec<u8> {
        let mut body = vec![libc::AF_INET as u8, 24, 0, scope];
        body.extend(interface.to_ne_bytes());
        for (kind, address) in attributes {
            body.extend(match address.parse().unwrap() {
                IpAddr::V4(v4) => attribute(*kind, &v4.octets()),
                IpAddr::V6(v6) => attribute(*kind, &v6.octets()),
            });
        }
        message(libc::RTM_NEWADDR, &body)
    }

    fn link(name: &str, kind: &str, loopback: bool) -> Link {
        Link {
            name: name.into(),
            kind: kind.into(),
            loopback,
        }
    }

    #[test]
    fn the_own_addresses_of_interfaces_with_traffic_are_the_nodes() {
        let bytes = [
            assigned(1, 0, &[(libc::IFA_LOCAL, "10.0.0.9")]),
            assigned(
                2,
                0,
                &[
                    (libc::IFA_ADDRESS, "192.0.2.1"),
                    (libc::IFA_LOCAL, "192.0.2.1"),
                ],
            ),
            assigned(
                3,
                0,
                &[
                    (libc::IFA_ADDRESS, "10.9.9.2"),
                    (libc::IFA_LOCAL, "10.244.1.1"),
                ],
            ),
            assigned(3, 0, &[(libc::IFA_ADDRESS, "fd00:1::1")]),
            assigned(3, libc::RT_SCOPE_LINK, &[(libc::IFA_ADDRESS, "fe80::1")]),
            assigned(4, 0, &[(libc::IFA_LOCAL, "10.96.0.10")]),
            assigned(5, 0, &[(libc::IFA_LOCAL, "10.244.1.7")]),
            message(libc::NLMSG_DONE as u16, &[0; 4]),
        ]
        .concat();
        let mut found = BTreeSet::new();
        assert_eq!(parse_addresses(&bytes, &mut found), Part::Last);
        let links = BTreeMap::from([
            (1, link("lo", "", true)),
            (2, link("eth0", "", false)),
            (3, link("cni0", "bridge", false)),
            (4, link("kube-ipvs0", "dummy", false)),
        ]);
        let chosen: Vec<String> = choose(&links, found)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(chosen, ["10.244.1.1", "192.0.2.1", "fd00:1::1"]);
    }

    #[test]
    fn there_are_never_more_than_a_receiver_takes() {
        let found = (0..1000u32).map(|n| Assigned {
            interface: 2,
            address: Ipv4Addr::from(0x0a00_0000 + n).into(),
        });
        let links = BTreeMap::from([(2, link("eth0", "", false))]);
        assert_eq!(choose(&links, found.collect()).len(), MAX_NODE_ADDRESSES);
    }

    #[test]
    fn a_refusal_is_an_error() {
        let body = (-libc::EPERM).to_ne_bytes();
        let refused = message(libc::NLMSG_ERROR as u16, &body);
        let part = parse_addresses(&refused, &mut BTreeSet::new());
        assert_eq!(part, Part::Failed(libc::EPERM));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            parse_addresses(&bytes, &mut BTreeSet::new());
        }
    }
}
