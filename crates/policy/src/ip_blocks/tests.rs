use super::*;
use crate::testing::add_node;
use nanoseg_inventory::Inventory;
use proptest::prelude::*;

fn set(addresses: &[&str]) -> BTreeSet<IpAddr> {
    addresses.iter().map(|a| a.parse().unwrap()).collect()
}

fn nets(blocks: &[Block]) -> Vec<String> {
    blocks.iter().map(|b| b.net.to_string()).collect()
}

/// Pods in 10.244.0.0/16, Services in 10.96.0.0/16, one node.
fn cluster() -> ExcludedRanges {
    let mut inventory = Inventory {
        pod_ranges: vec!["10.244.0.0/16".parse().unwrap()],
        service_ranges: vec!["10.96.0.0/16".parse().unwrap()],
        ..Inventory::default()
    };
    add_node(&mut inventory, "n1", &["10.0.0.5", "2001:db8::5"]);
    ExcludedRanges::build(&inventory)
}

#[test]
fn few_addresses_stay_single() {
    let blocks = summarise(&set(&["192.0.2.1", "2001:db8::1"]), 2, &cluster());
    assert_eq!(nets(&blocks), ["192.0.2.1/32", "2001:db8::1/128"]);
}

#[test]
fn the_joins_that_add_the_fewest_addresses_come_first() {
    let addresses = set(&[
        "192.0.2.0",
        "192.0.2.1",
        "192.0.2.64",
        "192.0.2.66",
        "198.51.100.1",
    ]);
    let blocks = summarise(&addresses, 3, &cluster());
    assert_eq!(
        nets(&blocks),
        ["192.0.2.0/31", "192.0.2.64/30", "198.51.100.1/32"]
    );
    assert_eq!(
        blocks.iter().map(|b| b.added).collect::<Vec<_>>(),
        [0, 2, 0]
    );
}

#[test]
fn a_block_around_the_cluster_excludes_the_cluster() {
    let blocks = summarise(&set(&["10.0.0.1", "10.255.0.1"]), 1, &cluster());
    assert_eq!(nets(&blocks), ["10.0.0.0/8"]);
    let except: Vec<String> = blocks[0].except.iter().map(ToString::to_string).collect();
    assert_eq!(except, ["10.0.0.5/32", "10.96.0.0/16", "10.244.0.0/16"]);
    assert_eq!(blocks[0].added, (1 << 24) - 2 * (1 << 16) - 1 - 2);
}

#[test]
fn a_public_block_excludes_private_and_special_ranges() {
    let blocks = summarise(&set(&["8.8.8.8", "11.0.0.1"]), 1, &cluster());
    assert_eq!(nets(&blocks), ["8.0.0.0/6"]);
    assert_eq!(blocks[0].except, ["10.0.0.0/8".parse().unwrap()]);
}

#[test]
fn private_and_public_and_both_families_never_share_a_block() {
    let addresses = set(&[
        "192.0.2.1",
        "192.0.2.9",
        "10.1.0.1",
        "10.1.0.2",
        "2001:db8::1",
        "2001:db8::2",
    ]);
    let blocks = summarise(&addresses, 1, &cluster());
    assert_eq!(
        nets(&blocks),
        ["10.1.0.0/30", "192.0.2.0/28", "2001:db8::/126"]
    );
}

#[test]
fn an_address_inside_a_cluster_range_is_never_part_of_a_block() {
    let blocks = summarise(
        &set(&["10.95.255.255", "10.96.0.9", "10.97.0.0"]),
        2,
        &cluster(),
    );
    assert_eq!(nets(&blocks), ["10.64.0.0/10", "10.96.0.9/32"]);
    assert_eq!(blocks[0].except, ["10.96.0.0/16".parse().unwrap()]);
}

#[test]
fn the_whole_of_ipv6_does_not_overflow() {
    let blocks = summarise(&set(&["1000::1", "f000::1"]), 1, &ExcludedRanges::default());
    assert_eq!(nets(&blocks), ["::/0"]);
    assert_eq!(blocks[0].added, u128::MAX - 2);
}

#[test]
fn many_addresses_are_summarised_quickly() {
    let addresses: BTreeSet<IpAddr> = (0..50_000u32)
        .map(|i| IpAddr::V4(i.wrapping_mul(2_654_435_761).into()))
        .collect();
    assert!(summarise(&addresses, 16, &cluster()).len() <= 40);
}

fn address() -> impl Strategy<Value = IpAddr> {
    let near = prop::sample::select(vec![
        0x0a00_0000u32,
        0x0af4_0000,
        0x0a60_0000,
        0xc000_0200,
        0x0808_0000,
        0x0b00_0000,
    ]);
    prop_oneof![
        4 => (near, 0..512u32).prop_map(|(base, low)| IpAddr::V4((base + low).into())),
        1 => any::<u32>().prop_map(|a| IpAddr::V4(a.into())),
        1 => (0..64u128).prop_map(|low| IpAddr::V6(((0x2001_0db8 << 96) + low).into())),
    ]
}

proptest! {
    #[test]
    fn every_observed_address_is_allowed_and_nothing_of_the_cluster(
        addresses in prop::collection::btree_set(address(), 1..60),
        max in 1..20usize,
    ) {
        let closed = cluster();
        let blocks = summarise(&addresses, max, &closed);
        for address in &addresses {
            prop_assert!(blocks.iter().any(|b| b.allows(*address)), "{}", address);
        }
        for closed in ["10.0.0.5", "10.96.0.1", "10.96.255.255", "10.244.1.1", "2001:db8::5", "169.254.169.254"] {
            let closed: IpAddr = closed.parse().unwrap();
            let allowed = blocks.iter().any(|b| b.allows(closed));
            prop_assert_eq!(allowed, addresses.contains(&closed), "{}", closed);
        }
        let members: usize = blocks.iter().map(|b| b.members.len()).sum();
        prop_assert_eq!(members, addresses.len());
        for (a, b) in blocks.iter().zip(blocks.iter().skip(1)) {
            prop_assert!(a.net < b.net);
        }
        for block in &blocks {
            for except in &block.except {
                prop_assert!(block.net.contains(except) && block.net != *except);
            }
        }
        let pinned = addresses.iter().filter(|a| closed.contains(**a)).count();
        let zones: BTreeSet<_> = addresses.iter().map(|a| (a.is_ipv4(), excluded_ranges::zone(*a))).collect();
        prop_assert!(blocks.len() <= max.max(pinned + zones.len()));
    }
}
