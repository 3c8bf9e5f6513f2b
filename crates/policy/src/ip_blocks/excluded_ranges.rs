//! The ranges that a summarised CIDR must never allow: the cluster itself, and special-purpose ranges (private,
//! link-local with the metadata service, multicast, …) that lie inside a public CIDR.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use nanoseg_inventory::Inventory;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Special-purpose IPv4 ranges (RFC 6890 and its registry; RFC 1918; RFC 6598; RFC 1112).
const SPECIAL_V4: [Ipv4Net; 11] = [
    v4([0, 0, 0, 0], 8),
    v4([10, 0, 0, 0], 8),
    v4([100, 64, 0, 0], 10),
    v4([127, 0, 0, 0], 8),
    v4([169, 254, 0, 0], 16),
    v4([172, 16, 0, 0], 12),
    v4([192, 0, 0, 0], 24),
    v4([192, 168, 0, 0], 16),
    v4([198, 18, 0, 0], 15),
    v4([224, 0, 0, 0], 4),
    v4([240, 0, 0, 0], 4),
];

/// Special-purpose IPv6 ranges: ::/8 (loopback, unspecified, mapped IPv4), NAT64's local-use
/// prefix, unique local, link-local, multicast (RFC 4291, 8215, 4193).
const SPECIAL_V6: [Ipv6Net; 5] = [
    v6(0, 0, 8),
    v6(0x0064_ff9b_0001, 3, 48),
    v6(0xfc00, 0, 7),
    v6(0xfe80, 0, 10),
    v6(0xff00, 0, 8),
];

const fn v4(octets: [u8; 4], prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(
        Ipv4Addr::new(octets[0], octets[1], octets[2], octets[3]),
        prefix,
    )
}

/// Returns the range whose first 16 bits, or first 48 bits if `words` is 3, are `head`.
const fn v6(head: u128, words: u8, prefix: u8) -> Ipv6Net {
    let shift = if words == 3 { 80 } else { 112 };
    Ipv6Net::new_assert(Ipv6Addr::from_bits(head << shift), prefix)
}

/// The ranges of the cluster (pods, Services, nodes, the API server) and the special-purpose ranges.
#[derive(Debug, Clone, Default)]
pub(crate) struct ExcludedRanges {
    /// The ranges of the cluster, disjoint and ascending.
    cluster: Vec<IpNet>,
    /// `cluster` and the special-purpose ranges, disjoint and ascending.
    all: Vec<IpNet>,
}

impl ExcludedRanges {
    pub fn build(inventory: &Inventory) -> Self {
        let mut ranges: Vec<IpNet> = inventory.pod_ranges.clone();
        ranges.extend(&inventory.service_ranges);
        ranges.extend(inventory.nodes.iter().flat_map(|n| &n.pod_cidrs));
        let pods = inventory.pods.iter().flat_map(|pod| &pod.addresses);
        let api_server = inventory.api_server.iter().map(|socket| socket.ip());
        let single = inventory.node_addresses().into_iter().chain(api_server);
        ranges.extend(single.chain(pods.copied()).map(IpNet::from));
        let ranges: Vec<IpNet> = ranges.iter().map(IpNet::trunc).collect();
        let cluster = IpNet::aggregate(&ranges);
        let mut all = cluster.clone();
        all.extend(SPECIAL_V4.map(IpNet::V4));
        all.extend(SPECIAL_V6.map(IpNet::V6));
        ExcludedRanges {
            all: IpNet::aggregate(&all),
            cluster,
        }
    }

    /// Returns true if the cluster itself uses the address. Such an address is never part of a summary.
    pub fn contains(&self, address: IpAddr) -> bool {
        within(&self.cluster, address)
    }

    /// Returns the ranges that must be excluded from `net` (`except` of the ipBlock). From a block inside a
    /// special-purpose range (an on-premises network) only the cluster is excluded.
    pub fn inside(&self, net: &IpNet) -> Vec<IpNet> {
        let ranges = match zone(net.network()) {
            Some(special) if special.contains(net) => &self.cluster,
            _ => &self.all,
        };
        let from = ranges.partition_point(|range| range.broadcast() < net.network());
        ranges
            .iter()
            .skip(from)
            .take_while(|range| range.network() <= net.broadcast())
            .filter(|range| net.contains(*range) && *range != net)
            .copied()
            .collect()
    }
}

/// Returns the special-purpose range that contains an address. Addresses of different zones never share a block.
pub(super) fn zone(address: IpAddr) -> Option<IpNet> {
    let v4 = SPECIAL_V4.iter().copied().map(IpNet::V4);
    let v6 = SPECIAL_V6.iter().copied().map(IpNet::V6);
    v4.chain(v6).find(|range| range.contains(&address))
}

/// Returns true if one of `ranges` contains `address`. They are disjoint and ascending, so only the last range that
/// does not start after the address can contain it.
fn within(ranges: &[IpNet], address: IpAddr) -> bool {
    let after = ranges.partition_point(|range| range.network() <= address);
    after
        .checked_sub(1)
        .and_then(|place| ranges.get(place))
        .is_some_and(|range| range.contains(&address))
}
