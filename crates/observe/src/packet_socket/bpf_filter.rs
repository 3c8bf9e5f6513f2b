//! The filter in the kernel: it lets through only packets that teach, so that a node's bulk traffic costs next to
//! nothing.
//!
//! - TCP: what opens, closes or refuses; of the rest one segment in 128, so that connections from
//!   before the start are found.
//! - UDP: all of it as long as it is not too much, but for overlays, whose inner packets are seen at the
//!   pods' interfaces. DNS always, questions and answers whole.
//! - SCTP as TCP. ICMP "unreachable" messages.
//! - What no policy can express (rule: inexpressible-is-reported), other ICMP and other protocols: all of it as long
//!   as it is not too much.
//!
//! Which IPv4 segments are in the sample depends on the identification: all interfaces, before and after
//! address translation, then sample the same ones, and the legs of a connection find each other.

use super::bpf_assembler::{Assembler, Instruction, Label, Test, To, Width};

/// Bytes taken of a packet: headers with all options, and enough of a datagram to know it again.
const SNAP: u32 = 128;
/// Bytes taken of a DNS message: what fits into a frame.
pub(super) const SNAP_DNS: u32 = 1600;

/// One in 128, by identification or at random.
const TCP_SAMPLE: u32 = 127;
/// Which identifications are in the sample. Not 0, which many packets have.
const SAMPLED_ID: u32 = 77;

/// UDP ports of overlays: VXLAN (RFC 7348, and Linux' own from before), Geneve (RFC 8926).
const CARRIERS: [u32; 3] = [4789, 8472, 6081];

const IPV4: u32 = 0x0800;
const IPV6: u32 = 0x86dd;
const TAGS: [u32; 2] = [0x8100, 0x88a8];

const ICMP: u32 = 1;
const TCP: u32 = 6;
const UDP: u32 = 17;
const ICMPV6: u32 = 58;
const SCTP: u32 = 132;
/// Not looked at: IP in IP, twice, which are carriers too, and IGMP, by which hosts talk to their router.
const UNSEEN: [u32; 3] = [4, 41, 2];
/// GRE, EtherIP, MPLS, Ethernet: what they carry is decoded, so they are sampled as TCP is.
const DECODED_CARRIERS: [u32; 4] = [47, 97, 137, 143];
/// Hop-by-hop, routing, AH, destination options, mobility, HIP, shim6: too rare to walk them here.
const EXTENSIONS: [u32; 7] = [0, 43, 51, 60, 135, 139, 140];
const FRAGMENT: u32 = 44;

/// What depends on settings and load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FilterSettings {
    pub interfaces: InterfaceFilter,
    /// Ports whose datagrams are read as DNS; at most 32 are checked.
    pub dns_ports: Vec<u16>,
    /// One UDP datagram in 2^this is taken.
    pub udp_shift: u32,
    /// One packet in 2^this is taken of what no policy can express.
    pub other_shift: u32,
}

/// Packets of which interfaces, by index, are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum InterfaceFilter {
    Except(Vec<u32>),
    Only(Vec<u32>),
}

/// The program for these settings. `None` if it would get too long, which interfaces alone cannot do
/// before the kernel's limit of 4096 instructions.
pub(super) fn build_filter(settings: &FilterSettings) -> Option<Vec<Instruction>> {
    let mut a = Assembler::new();
    interfaces(&mut a, &settings.interfaces);
    let (v4, v6, tagged, tagged_v4, tagged_v6) =
        (a.label(), a.label(), a.label(), a.label(), a.label());
    a.load_ancillary(libc::SKF_AD_PROTOCOL);
    far(&mut a, IPV4, v4);
    far(&mut a, IPV6, v6);
    for tag in TAGS {
        far(&mut a, tag, tagged);
    }
    a.give(0);
    // One more tag: two bytes of it, then the EtherType.
    a.place(tagged);
    a.load(Width::Half, 2);
    far(&mut a, IPV4, tagged_v4);
    far(&mut a, IPV6, tagged_v6);
    a.give(0);
    for (label, base) in [(v4, 0), (tagged_v4, 4)] {
        a.place(label);
        ipv4(&mut a, base, settings);
    }
    for (label, base) in [(v6, 0), (tagged_v6, 4)] {
        a.place(label);
        ipv6(&mut a, base, settings);
    }
    a.finish()
}

/// Goes to a label that may be further off than a branch reaches.
fn far(a: &mut Assembler, value: u32, label: Label) {
    let not = a.label();
    a.jump_unless(Test::Equal(value), not);
    a.jump(label);
    a.place(not);
}

fn interfaces(a: &mut Assembler, filter: &InterfaceFilter) {
    let (list, listed_pass) = match filter {
        InterfaceFilter::Except(list) if list.is_empty() => return,
        InterfaceFilter::Except(list) => (list, false),
        InterfaceFilter::Only(list) => (list, true),
    };
    let mut list = list.clone();
    list.sort_unstable();
    list.dedup();
    let pass = a.label();
    a.load_ancillary(libc::SKF_AD_IFINDEX);
    search(a, &list, listed_pass, pass);
    a.place(pass);
}

/// A binary search for the accumulator.
fn search(a: &mut Assembler, list: &[u32], listed_pass: bool, pass: Label) {
    let verdict = |a: &mut Assembler, passes: bool| {
        if passes { a.jump(pass) } else { a.give(0) }
    };
    if let [low, high @ ..] = list
        && high.is_empty()
    {
        let other = a.label();
        a.jump_unless(Test::Equal(*low), other);
        verdict(a, listed_pass);
        a.place(other);
        verdict(a, !listed_pass);
    } else if let (low, [first, ..]) = list.split_at(list.len() / 2) {
        let (lower, higher) = (a.label(), a.label());
        a.jump_unless(Test::Greater(first.saturating_sub(1)), lower);
        a.jump(higher);
        a.place(lower);
        search(a, low, listed_pass, pass);
        a.place(higher);
        search(a, &list[list.len() / 2..], listed_pass, pass);
    } else {
        verdict(a, !listed_pass);
    }
}

/// Where each kind of packet ends.
#[derive(Clone, Copy)]
struct Exits {
    drop: Label,
    accept: Label,
    accept_dns: Label,
}

impl Exits {
    fn new(a: &mut Assembler) -> Self {
        Exits {
            drop: a.label(),
            accept: a.label(),
            accept_dns: a.label(),
        }
    }

    fn place(self, a: &mut Assembler) {
        a.place(self.drop);
        a.give(0);
        a.place(self.accept);
        a.give(SNAP);
        a.place(self.accept_dns);
        a.give(SNAP_DNS);
    }
}

fn ipv4(a: &mut Assembler, base: u32, settings: &FilterSettings) {
    let exits = Exits::new(a);
    // Fragments after the first have no ports.
    a.load(Width::Half, base + 6);
    a.jump_if(Test::AnyBit(0x1fff), exits.drop);
    a.header_length_to_x(base);
    a.load(Width::Byte, base + 9);
    let sample = |a: &mut Assembler, exits| sample_by_id(a, base + 4, exits);
    transport(a, base, settings, ICMP, exits, sample);
    exits.place(a);
}

fn ipv6(a: &mut Assembler, base: u32, settings: &FilterSettings) {
    let exits = Exits::new(a);
    a.set_x(40);
    a.load(Width::Byte, base + 6);
    for number in EXTENSIONS {
        a.jump_if(Test::Equal(number), exits.accept);
    }
    let whole = a.label();
    a.jump_unless(Test::Equal(FRAGMENT), whole);
    a.load(Width::Half, base + 42);
    a.branch(
        Test::AnyBit(0xfff8),
        To::Label(exits.drop),
        To::Label(exits.accept),
    );
    a.place(whole);
    let sample = |a: &mut Assembler, exits| sample_at_random(a, TCP_SAMPLE, exits);
    transport(a, base, settings, ICMPV6, exits, sample);
    exits.place(a);
}

/// With the protocol's number in A and the header's length in X.
fn transport(
    a: &mut Assembler,
    base: u32,
    settings: &FilterSettings,
    icmp: u32,
    exits: Exits,
    sample: impl Fn(&mut Assembler, Exits),
) {
    let (not_tcp, not_udp, not_icmp, not_sctp) = (a.label(), a.label(), a.label(), a.label());
    a.jump_unless(Test::Equal(TCP), not_tcp);
    a.load_behind_x(Width::Byte, base + 13);
    a.jump_if(Test::AnyBit(0x07), exits.accept);
    // Answers and questions of DNS over TCP.
    for port in [base, base + 2] {
        a.load_behind_x(Width::Half, port);
        a.jump_if(Test::Equal(53), exits.accept_dns);
    }
    sample(a, exits);
    a.place(not_tcp);
    a.jump_unless(Test::Equal(UDP), not_udp);
    udp(a, base, settings, exits);
    a.place(not_udp);
    a.jump_unless(Test::Equal(icmp), not_icmp);
    self::icmp(a, base, icmp, settings.other_shift, exits);
    a.place(not_icmp);
    a.jump_unless(Test::Equal(SCTP), not_sctp);
    a.load_behind_x(Width::Byte, base + 12);
    // INIT, INIT ACK, ABORT, SHUTDOWN, SHUTDOWN ACK, COOKIE ECHO, SHUTDOWN COMPLETE (RFC 9260 section 3.2).
    for chunk in [1, 2, 6, 7, 8, 10, 14] {
        a.jump_if(Test::Equal(chunk), exits.accept);
    }
    sample(a, exits);
    a.place(not_sctp);
    for number in UNSEEN {
        a.jump_if(Test::Equal(number), exits.drop);
    }
    let carrier = a.label();
    for number in DECODED_CARRIERS {
        a.jump_if(Test::Equal(number), carrier);
    }
    sample_by_load(a, settings.other_shift, exits);
    a.place(carrier);
    sample_at_random(a, TCP_SAMPLE, exits);
}

fn udp(a: &mut Assembler, base: u32, settings: &FilterSettings, exits: Exits) {
    // An answer counts only with its question, whose name may be longer than the usual part of a packet.
    for end in [base, base + 2] {
        a.load_behind_x(Width::Half, end);
        for port in settings.dns_ports.iter().take(32) {
            a.jump_if(Test::Equal((*port).into()), exits.accept_dns);
        }
    }
    for port in CARRIERS {
        a.jump_if(Test::Equal(port), exits.drop);
    }
    sample_by_load(a, settings.udp_shift, exits);
}

fn icmp(a: &mut Assembler, base: u32, version: u32, shift: u32, exits: Exits) {
    a.load_behind_x(Width::Byte, base);
    if version == ICMP {
        a.jump_if(Test::Equal(3), exits.accept);
    } else {
        a.jump_if(Test::Equal(1), exits.accept);
        // Neighbours and groups are no traffic of pods (RFC 4861, RFC 3810): 130 to 137, and 143.
        let other = a.label();
        a.jump_if(Test::Equal(143), exits.drop);
        a.jump_if(Test::Greater(137), other);
        a.jump_if(Test::Greater(129), exits.drop);
        a.place(other);
    }
    sample_by_load(a, shift, exits);
}

/// One packet in 2^`shift`.
fn sample_by_load(a: &mut Assembler, shift: u32, exits: Exits) {
    if shift == 0 {
        a.give(SNAP);
    } else {
        sample_at_random(a, (1 << shift.min(31)) - 1, exits);
    }
}

fn sample_by_id(a: &mut Assembler, id: u32, exits: Exits) {
    let random = a.label();
    a.load(Width::Half, id);
    a.jump_if(Test::Equal(0), random);
    a.and(TCP_SAMPLE);
    a.branch(
        Test::Equal(SAMPLED_ID),
        To::Label(exits.accept),
        To::Label(exits.drop),
    );
    a.place(random);
    sample_at_random(a, TCP_SAMPLE, exits);
}

fn sample_at_random(a: &mut Assembler, mask: u32, exits: Exits) {
    a.load_ancillary(libc::SKF_AD_RANDOM);
    a.branch(
        Test::AnyBit(mask),
        To::Label(exits.drop),
        To::Label(exits.accept),
    );
}

#[cfg(test)]
mod interpreter;
#[cfg(test)]
mod tests;
