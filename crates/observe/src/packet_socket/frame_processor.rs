//! From the ring's frames to flow records: decoding, the table of connections, the collector, and what
//! is counted on the way.

use super::super::Clock;
use super::super::live_source::Urgency;
use super::CaptureSettings;
use super::load_sampling::LoadSampling;
use super::ring_frames::RingFrame;
use nanoseg_flow::{
    AddressEpochs, Collector, ConnectionSink, ConnectionTable, LinkType, Loss, NoListeners,
    Observations, Skip, Source, Transport, decode,
};
use nanoseg_net::Timestamp;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What happens in the capture, for metrics. All but the last two only grow.
#[derive(Debug, Default)]
pub struct CaptureCounters {
    /// Packets that the filter let through and that were decoded.
    pub packets: AtomicU64,
    /// Packets for which the ring had no room.
    pub kernel_drops: AtomicU64,
    pub undecoded: AtomicU64,
    /// UDP datagrams, and packets that no policy can express, left out of the sample, by estimate.
    pub sampled_away: AtomicU64,
    /// One UDP datagram in this many is captured now.
    pub udp_divisor: AtomicU64,
    /// Connections in the table.
    pub connections: AtomicU64,
}

/// Packets per second of what no policy can express, beyond which only a part is decoded: enough that the first
/// packet of each sender is seen, and that a flood of pings costs next to nothing.
const OTHER_BUDGET: u64 = 500;

/// Bytes that stand before a packet in a Linux cooked capture (LINKTYPE_LINUX_SLL).
const COOKED: usize = 16;

/// Everything behind the ring.
pub(super) struct FrameProcessor {
    clock: Clock,
    table: ConnectionTable<NoListeners>,
    collector: Collector,
    udp: LoadSampling,
    /// Of what no policy can express.
    other: LoadSampling,
    dns_ports: Vec<u16>,
    /// The latest packet's time by `clock`.
    last: Timestamp,
    /// A packet with a cooked header, made where it has to be.
    cooked: Vec<u8>,
    /// How many address changes the collector knows of.
    address_changes: u32,
    evicted: u64,
    undecoded: u64,
    sampled_away: u64,
    packets: u64,
    counters: Arc<CaptureCounters>,
}

impl FrameProcessor {
    pub fn new(settings: CaptureSettings, clock: Clock, address_changes: u32) -> Self {
        FrameProcessor {
            last: clock.now(),
            clock,
            dns_ports: settings.flow.dns_ports.clone(),
            table: ConnectionTable::new(NoListeners, AddressEpochs::default(), settings.flow),
            collector: Collector::new(settings.collector),
            udp: LoadSampling::new(settings.udp_budget),
            other: LoadSampling::new(OTHER_BUDGET),
            cooked: Vec::new(),
            address_changes,
            evicted: 0,
            undecoded: 0,
            sampled_away: 0,
            packets: 0,
            counters: Arc::default(),
        }
    }

    pub fn counters(&self) -> Arc<CaptureCounters> {
        Arc::clone(&self.counters)
    }

    pub fn dns_ports(&self) -> &[u16] {
        &self.dns_ports
    }

    /// One UDP datagram in 2^shift is captured.
    pub fn udp_shift(&self) -> u32 {
        self.udp.shift()
    }

    /// One packet in 2^shift of what no policy can express is captured.
    pub fn other_shift(&self) -> u32 {
        self.other.shift()
    }

    pub fn lose(&mut self, loss: Loss, count: u64) {
        self.collector.lose(loss, count);
    }

    /// Counts packets for which the ring had no room.
    pub fn kernel_dropped(&mut self, count: u64) {
        self.lose(Loss::CaptureDropped, count);
        self.counters
            .kernel_drops
            .fetch_add(count, Ordering::Relaxed);
    }

    /// Decodes a frame and adds it to the table.
    pub fn take_frame(&mut self, frame: &RingFrame<'_>) {
        self.last = self.clock.from_wall(frame.time, self.last);
        self.packets += 1;
        let plain = !matches!(frame.kind, libc::PACKET_BROADCAST | libc::PACKET_MULTICAST);
        let decoded = match frame.protocol {
            0x0800 if plain => decode(LinkType::IPV4, frame.data, frame.length, self.last),
            0x86dd if plain => decode(LinkType::IPV6, frame.data, frame.length, self.last),
            _ => {
                // With a tag left in it, or to all of a network: the cooked header shows it.
                self.cooked.clear();
                self.cooked.extend([0, frame.kind]);
                self.cooked.resize(COOKED - 2, 0);
                self.cooked.extend(frame.protocol.to_be_bytes());
                self.cooked.extend(frame.data);
                let length = frame.length.saturating_add(COOKED as u32);
                decode(LinkType::LINUX_SLL, &self.cooked, length, self.last)
            }
        };
        match decoded {
            Ok(mut decoded) => {
                decoded.packet.place = place(frame.interface);
                self.table.ingest(&decoded);
                let transport = decoded.packet.transport;
                self.sampled_away += self.note(transport);
            }
            Err(skip) if is_loss(skip) => self.undecoded += 1,
            Err(_) => {}
        }
    }

    /// Passes the table's reports to the collector.
    pub fn collect_reports(&mut self) {
        for report in self.table.ended().drain(..) {
            self.collector.report(&report);
        }
    }

    /// Moves the table's time. Returns true if another part of the traffic is to be captured from now on.
    pub fn turn(&mut self, length: Duration, address_changes: u32) -> bool {
        if self.clock.check_step() {
            self.lose(Loss::ClockStepped, 1);
        }
        // Before the address change: what is reported here began before it.
        self.table.report_ongoing(self.clock.now());
        self.collect_reports();
        if address_changes != self.address_changes {
            self.address_changes = address_changes;
            self.collector.address_change(self.clock.now());
        }
        self.count();
        let udp = self.udp.turn(length);
        self.other.turn(length) || udp
    }

    /// Records a packet for sampling. Returns how many others it represents.
    fn note(&mut self, transport: Transport) -> u64 {
        match transport {
            Transport::Udp {
                source_port,
                destination_port,
                ..
            } if ![source_port, destination_port]
                .iter()
                .any(|port| self.dns_ports.contains(port)) =>
            {
                self.udp.note()
            }
            Transport::Other(_) => self.other.note(),
            _ => 0,
        }
    }

    fn count(&mut self) {
        let evicted = self.table.counters().evicted;
        self.lose(Loss::ConnectionEvicted, evicted - self.evicted);
        self.evicted = evicted;
        let undecoded = std::mem::take(&mut self.undecoded);
        self.lose(Loss::CaptureUndecoded, undecoded);
        let sampled = std::mem::take(&mut self.sampled_away);
        self.lose(Loss::CaptureSampled, sampled);
        let counters = &self.counters;
        counters.undecoded.fetch_add(undecoded, Ordering::Relaxed);
        counters.sampled_away.fetch_add(sampled, Ordering::Relaxed);
        counters.packets.store(self.packets, Ordering::Relaxed);
        let divisor = 1 << self.udp.shift();
        counters.udp_divisor.store(divisor, Ordering::Relaxed);
        let connections = self.table.len() as u64;
        counters.connections.store(connections, Ordering::Relaxed);
    }

    /// How soon the records should be taken.
    pub fn urgency(&self) -> Urgency {
        if self.collector.is_full() {
            Urgency::Full
        } else if self.collector.has_new_edges() {
            Urgency::NewEdge
        } else {
            Urgency::None
        }
    }

    /// Removes and returns what was seen since the last call, in times of the node's clock.
    pub fn take(&mut self) -> Observations {
        self.count();
        let (names, names_lost) = self.table.take_names();
        let (other, other_lost) = self.table.take_other();
        self.lose(Loss::NameDropped, names_lost);
        self.lose(Loss::OtherDropped, other_lost);
        let (records, scans, losses) = self.collector.take();
        let mut seen = Observations {
            records: records
                .into_iter()
                .map(|record| (Source::Capture, record))
                .collect(),
            scans,
            names,
            other,
            losses,
            ..Observations::default()
        };
        self.put_to_wall(&mut seen);
        seen
    }

    /// All times as the node's clock has them now.
    fn put_to_wall(&self, seen: &mut Observations) {
        let put = |at: &mut Timestamp| *at = self.clock.to_wall(*at);
        for (_, record) in &mut seen.records {
            put(&mut record.first);
            put(&mut record.last);
        }
        for scan in &mut seen.scans {
            put(&mut scan.first);
            put(&mut scan.last);
        }
        for (_, name) in &mut seen.names {
            put(&mut name.from);
            put(&mut name.until);
        }
    }

    /// Ends all connections in the table: they are in the next [`FrameProcessor::take`].
    pub fn finish(&mut self) {
        self.table.end_all();
        self.collect_reports();
    }
}

/// The interface as a place of capture; 0 is none.
fn place(interface: u32) -> u16 {
    (interface % u32::from(u16::MAX)) as u16 + 1
}

/// Returns true if a frame that yields no packet might have been part of a connection.
fn is_loss(skip: Skip) -> bool {
    matches!(
        skip,
        Skip::TooShort
            | Skip::BadHeader
            | Skip::TunnelDepth
            | Skip::UnsupportedEthertype
            | Skip::UnsupportedTunnel
            | Skip::UnsupportedLinkType
    )
}

#[cfg(test)]
mod tests;
