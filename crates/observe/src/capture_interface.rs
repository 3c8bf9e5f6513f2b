//! What is known of each interface of a capture: how many of its packets were decoded, and how many were lost.

use nanoseg_flow::{LinkType, Skip, SkipCounters};
use std::fmt;

/// More interfaces than this of one capture are counted together with the last one.
const MAX_COUNTED: usize = 1024;

/// Packets that a capture lacks, as the capture itself says (pcapng; libpcap's format has no such counts).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct CaptureLoss {
    /// Packets that the interface or the operating system dropped: the larger of the statistics' `isb_ifdrop` +
    /// `isb_osdrop` and the sum of the packets' `epb_dropcount` (draft-ietf-opsawg-pcapng sections 4.6 and 4.3).
    pub dropped: u64,
    /// Packets that passed the capture's filter (`isb_filteraccept`, else `isb_usrdeliv`), were not dropped, and are
    /// not in the file.
    pub missing: u64,
}

impl CaptureLoss {
    /// The number of all packets that the capture lacks.
    pub fn total(&self) -> u64 {
        self.dropped.saturating_add(self.missing)
    }

    pub(super) fn add(&mut self, other: CaptureLoss) {
        self.dropped = self.dropped.saturating_add(other.dropped);
        self.missing = self.missing.saturating_add(other.missing);
    }
}

/// One interface of a capture. A pcap file is one interface without a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct InterfaceRead {
    /// The option `if_name` of pcapng.
    pub name: Option<String>,
    pub link: LinkType,
    pub packets: u64,
    /// Packets whose traffic stays unknown ([`Skip::hides_traffic`]).
    pub undecodable: u64,
    /// Why most of these could not be decoded.
    pub reason: Option<Skip>,
    /// Packets that were decoded as far as their ports.
    pub decoded: u64,
    pub loss: CaptureLoss,
}

impl InterfaceRead {
    pub(super) fn new(name: Option<String>, link: LinkType) -> InterfaceRead {
        InterfaceRead {
            name,
            link,
            packets: 0,
            undecodable: 0,
            reason: None,
            decoded: 0,
            loss: CaptureLoss::default(),
        }
    }

    /// Adds what was counted while its packets were decoded.
    fn count(&mut self, tally: &Tally) {
        self.packets = tally.packets;
        let hidden = || {
            tally
                .skips
                .listing()
                .into_iter()
                .filter(|(skip, _)| skip.hides_traffic())
        };
        self.undecodable = hidden().map(|(_, count)| count).sum();
        self.reason = hidden().next().map(|(skip, _)| skip);
        self.decoded = tally.packets.saturating_sub(tally.skips.total());
    }
}

impl fmt::Display for InterfaceRead {
    /// `interface en0 (link type 258, PKTAP)`, or `link type 1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let link = self.link;
        let known = link
            .name()
            .map_or(String::new(), |name| format!(", {name}"));
        match &self.name {
            Some(name) => write!(f, "interface {name} (link type {link}{known})"),
            None => write!(f, "link type {link}{known}"),
        }
    }
}

/// The statistics of one pcapng interface. They are totals since the capture began, so the last ones count.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct InterfaceStatistics {
    pub if_drop: Option<u64>,
    pub os_drop: Option<u64>,
    pub filter_accept: Option<u64>,
    pub user_delivered: Option<u64>,
    /// The sum of the packets' drop counts.
    pub between_packets: u64,
}

impl InterfaceStatistics {
    /// What is lost of an interface of which the file holds this many packets.
    pub fn loss(&self, packets: u64) -> CaptureLoss {
        let os_drop = self.os_drop.unwrap_or_default();
        let counted = self.if_drop.unwrap_or_default().saturating_add(os_drop);
        let accepted = self
            .filter_accept
            .or(self.user_delivered)
            .unwrap_or_default();
        CaptureLoss {
            dropped: counted.max(self.between_packets),
            missing: accepted
                .saturating_sub(os_drop.max(self.between_packets))
                .saturating_sub(packets),
        }
    }
}

/// What became of one interface's packets.
#[derive(Debug, Clone, Default)]
struct Tally {
    packets: u64,
    skips: SkipCounters,
}

/// What became of the packets of all captures, by capture and interface.
#[derive(Debug, Default)]
pub(super) struct Tallies(Vec<Vec<Tally>>);

impl Tallies {
    #[inline]
    pub fn packet(&mut self, capture: u32, interface: u32) {
        self.of(capture, interface).packets += 1;
    }

    #[cold]
    pub fn skip(&mut self, capture: u32, interface: u32, reason: Skip) {
        self.of(capture, interface).skips.add(reason);
    }

    #[inline]
    fn of(&mut self, capture: u32, interface: u32) -> &mut Tally {
        let (capture, interface) = (capture as usize, (interface as usize).min(MAX_COUNTED - 1));
        if capture >= self.0.len() {
            self.0.resize_with(capture + 1, Vec::new);
        }
        let interfaces = &mut self.0[capture];
        if interface >= interfaces.len() {
            interfaces.resize_with(interface + 1, Tally::default);
        }
        &mut interfaces[interface]
    }

    /// The counts of one capture go to its interfaces.
    pub fn give_to(&self, capture: u32, interfaces: &mut [InterfaceRead]) {
        let Some(tallies) = self.0.get(capture as usize) else {
            return;
        };
        for (interface, tally) in interfaces.iter_mut().zip(tallies) {
            interface.count(tally);
        }
    }
}

/// The interfaces that one file describes, in order; the number of each is its place here.
#[derive(Debug, Default)]
pub(super) struct DescribedInterfaces(Vec<(InterfaceRead, InterfaceStatistics, u64)>);

impl DescribedInterfaces {
    /// Adds one, and returns its number.
    pub fn add(&mut self, name: Option<String>, link: LinkType) -> u32 {
        if self.0.len() < MAX_COUNTED {
            let read = InterfaceRead::new(name, link);
            self.0.push((read, InterfaceStatistics::default(), 0));
        }
        (self.0.len() - 1) as u32
    }

    #[inline(always)]
    pub fn packet(&mut self, number: u32) {
        if let Some((.., packets)) = self.0.get_mut(number as usize) {
            *packets += 1;
        }
    }

    pub fn statistics(&mut self, number: u32) -> Option<&mut InterfaceStatistics> {
        self.0
            .get_mut(number as usize)
            .map(|(_, statistics, _)| statistics)
    }

    /// All of them, with their losses.
    pub fn read(&self) -> Vec<InterfaceRead> {
        let with_loss =
            |(read, statistics, packets): &(InterfaceRead, InterfaceStatistics, u64)| {
                InterfaceRead {
                    loss: statistics.loss(*packets),
                    packets: *packets,
                    ..read.clone()
                }
            };
        self.0.iter().map(with_loss).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_larger_of_statistics_and_drop_counts_is_the_loss_and_what_the_filter_accepted_must_be_there()
     {
        let statistics = InterfaceStatistics {
            if_drop: Some(3),
            os_drop: Some(4),
            filter_accept: Some(100),
            user_delivered: Some(96),
            between_packets: 5,
        };
        let loss = statistics.loss(90);
        assert_eq!((loss.dropped, loss.missing, loss.total()), (7, 5, 12));
        assert_eq!(statistics.loss(96).missing, 0);
        let between = InterfaceStatistics {
            between_packets: 5,
            ..InterfaceStatistics::default()
        };
        assert_eq!(
            between.loss(10),
            CaptureLoss {
                dropped: 5,
                missing: 0
            }
        );
        assert_eq!(InterfaceStatistics::default().loss(10).total(), 0);
    }

    #[test]
    fn what_is_understood_without_ports_is_neither_decoded_nor_undecodable() {
        let mut tallies = Tallies::default();
        for reason in [
            Some(Skip::Arp),
            Some(Skip::BadHeader),
            Some(Skip::UnsupportedLinkType),
            None,
        ] {
            tallies.packet(0, 1);
            if let Some(reason) = reason {
                tallies.skip(0, 1, reason);
            }
        }
        let mut interfaces = vec![InterfaceRead::new(None, LinkType::ETHERNET); 2];
        tallies.give_to(0, &mut interfaces);
        let second = &interfaces[1];
        assert_eq!(
            (second.packets, second.decoded, second.undecodable),
            (4, 1, 2)
        );
        assert_eq!(interfaces[0].packets, 0);
    }

    #[test]
    fn thousands_of_interfaces_take_bounded_memory() {
        let mut described = DescribedInterfaces::default();
        let mut tallies = Tallies::default();
        for number in 0..3000 {
            let number = described.add(None, LinkType::ETHERNET).max(number);
            tallies.packet(0, number);
        }
        assert_eq!(described.read().len(), MAX_COUNTED);
        assert_eq!(tallies.0[0].len(), MAX_COUNTED);
    }
}
