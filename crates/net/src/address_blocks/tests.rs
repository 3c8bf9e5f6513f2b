use super::*;
use proptest::prelude::*;

const SMALL: BlockLimits = BlockLimits {
    addresses: 4,
    narrow: 3,
    wide: 2,
};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn counted(addresses: &[IpAddr], limits: BlockLimits) -> AddressBlocks<u64> {
    let mut blocks = AddressBlocks::new(limits);
    for address in addresses {
        blocks.add(*address, 1);
    }
    blocks
}

/// Few enough /24 and /16 that some addresses share them.
fn addresses() -> impl Strategy<Value = Vec<IpAddr>> {
    let v4 = (0u32..4, 0u32..4, 0u32..4, 0u32..6).prop_map(|(a, b, c, d)| {
        let first = [203u32, 10, 100, 172].get(a as usize).copied().unwrap();
        IpAddr::V4(Ipv4Addr::from(first << 24 | (64 + b) << 16 | c << 8 | d))
    });
    let v6 = (0u128..3, 0u128..3, 0u128..5).prop_map(|(a, b, c)| {
        let first = [0x2001_0db8_u128, 0xfd00_0000]
            .get((a % 2) as usize)
            .copied()
            .unwrap();
        IpAddr::V6(Ipv6Addr::from(first << 96 | a << 80 | b << 64 | c))
    });
    prop::collection::vec(prop_oneof![v4, v6], 0..80)
}

proptest! {
    #[test]
    fn order_and_grouping_do_not_matter(list in addresses(), mut other in addresses(), cut in any::<prop::sample::Index>()) {
        let whole = [list.clone(), other.clone()].concat();
        let expected = counted(&whole, SMALL);
        other.reverse();
        let mut merged = counted(&other, SMALL);
        let cut = if list.is_empty() { 0 } else { cut.index(list.len()) };
        merged.merge(counted(&list[cut..], SMALL));
        merged.merge(counted(&list[..cut], SMALL));
        prop_assert_eq!(&merged, &expected);
        prop_assert!(merged.len() <= SMALL.total());
    }

    #[test]
    fn counts_are_exact_and_each_block_counts_what_lies_in_it(list in addresses()) {
        let blocks = counted(&list, SMALL);
        prop_assert_eq!(blocks.iter().map(|(_, count)| count).sum::<u64>(), list.len() as u64);
        let mut by_place: BTreeMap<IpNet, u64> = BTreeMap::new();
        for address in &list {
            let place = blocks.place_of(*address);
            prop_assert!(place.contains(address), "{place} without {address}");
            *by_place.entry(place).or_default() += 1;
        }
        let kept: BTreeMap<IpNet, u64> = blocks.iter().map(|(block, count)| (block, *count)).collect();
        prop_assert_eq!(kept, by_place);
    }
}

#[test]
fn three_hundred_thousand_addresses_take_the_room_of_the_limits() {
    let limits = BlockLimits {
        addresses: 1000,
        narrow: 200,
        wide: 50,
    };
    let spread = |i: u32| {
        IpAddr::V4(Ipv4Addr::from(
            0x0b00_0000 + i.wrapping_mul(2_654_435_761) % 0x7000_0000,
        ))
    };
    let list: Vec<IpAddr> = (0..300_000).map(spread).collect();
    let blocks = counted(&list, limits);
    assert_eq!(
        blocks
            .iter()
            .filter(|(block, _)| block.prefix_len() == 32)
            .count(),
        1000
    );
    assert!(blocks.len() <= limits.total(), "{}", blocks.len());
    assert_eq!(blocks.iter().map(|(_, count)| count).sum::<u64>(), 300_000);
    let distinct = blocks.distinct();
    assert!((270_000..330_000).contains(&distinct), "{distinct}");
}

#[test]
fn blocks_are_24_then_16_then_the_private_range_or_the_internet() {
    let narrow = |text| widened(IpNet::from(ip(text)), 1).to_string();
    let wide = |text| widened(IpNet::from(ip(text)), 2).to_string();
    let last = |text| widened(IpNet::from(ip(text)), 3).to_string();
    assert_eq!(narrow("203.0.113.7"), "203.0.113.0/24");
    assert_eq!(narrow("2001:db8:1:2:3::4"), "2001:db8:1:2::/64");
    assert_eq!(wide("203.0.113.7"), "203.0.0.0/16");
    assert_eq!(wide("2001:db8:1:2:3::4"), "2001:db8:1::/48");
    assert_eq!(last("203.0.113.7"), "0.0.0.0/0");
    assert_eq!(last("2001:db8::1"), "::/0");
    assert_eq!(
        last("172.31.0.1"),
        "172.16.0.0/12",
        "no block mixes private and public addresses"
    );
    assert_eq!(last("100.127.0.1"), "100.64.0.0/10");
    assert_eq!(last("192.168.9.1"), "192.168.0.0/16");
    assert_eq!(last("fd12::1"), "fc00::/7");
}

#[test]
fn without_room_for_single_addresses_all_are_in_blocks() {
    let none = BlockLimits {
        addresses: 0,
        narrow: 0,
        wide: 0,
    };
    let blocks = counted(
        &[ip("203.0.113.7"), ip("198.51.100.1"), ip("10.1.1.1")],
        none,
    );
    let kept: Vec<String> = blocks
        .iter()
        .map(|(block, count)| format!("{block} {count}"))
        .collect();
    assert_eq!(kept, ["0.0.0.0/0 2", "10.0.0.0/8 1"]);
    assert!(!blocks.is_exact());
}
