//! Live capture: packets of the node's interfaces, filtered in the kernel to those that teach, become
//! flow records. It sees what connection tracking cannot: DNS names, connections without an answer,
//! and clusters whose datapath goes past it.
//!
//! This module knows sockets, interfaces and the filter; what packets mean is decided in [`nanoseg_flow`].

mod bpf_assembler;
mod bpf_filter;
mod frame_processor;
mod interfaces;
mod load_sampling;
mod ring;
mod ring_frames;

pub use frame_processor::CaptureCounters;
pub use interfaces::Interfaces;

use super::live_source::{LiveError, LiveSource, Urgency};
use super::rtnetlink::LinkTable;
use super::{AddressChanges, Clock};
use bpf_filter::{FilterSettings, build_filter};
use frame_processor::FrameProcessor;
use nanoseg_flow::{CollectorLimits, FlowConfig, Loss, Observations, Source};
use ring::PacketRing;
use ring_frames::Frames;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What an operator may choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaptureSettings {
    pub interfaces: Interfaces,
    /// Bytes of the ring that the kernel fills.
    pub ring_bytes: usize,
    /// UDP datagrams per second beyond which only a part is decoded (DNS always is).
    pub udp_budget: u64,
    pub flow: FlowConfig,
    pub collector: CollectorLimits,
}

impl Default for CaptureSettings {
    /// About 4 MiB for the ring, 13 MiB for a full table.
    fn default() -> Self {
        CaptureSettings {
            interfaces: Interfaces::Auto,
            ring_bytes: 4 << 20,
            udp_budget: 2000,
            flow: FlowConfig {
                max_connections: 1 << 16,
                sampled: true,
                ..FlowConfig::default()
            },
            collector: CollectorLimits::default(),
        }
    }
}

/// How often the table's time moves, load is checked and loss is counted.
const TURN: Duration = Duration::from_millis(500);

/// Blocks read at a time before anything else is done.
const BLOCKS_AT_ONCE: usize = 64;

/// A packet socket on the interfaces of the network namespace in which it was opened.
pub struct PacketSocket {
    ring: PacketRing,
    links: LinkTable,
    interfaces: Interfaces,
    processor: FrameProcessor,
    address_changes: AddressChanges,
    turned: Instant,
}

impl PacketSocket {
    /// Starts to capture. Interfaces that appear or vanish are recorded in `address_changes`.
    ///
    /// # Errors
    /// Without CAP_NET_RAW, in a kernel without packet sockets, or when a named interface is not there.
    pub fn open(
        settings: CaptureSettings,
        address_changes: AddressChanges,
    ) -> Result<PacketSocket, LiveError> {
        let ring = PacketRing::open(settings.ring_bytes).map_err(cannot_open)?;
        let links = LinkTable::open()?;
        if let [name, ..] = settings.interfaces.missing(links.all()).as_slice() {
            return Err(no_such_interface(name, &links));
        }
        let interfaces = settings.interfaces.clone();
        let processor = FrameProcessor::new(settings, Clock::start(), address_changes.count());
        let socket = PacketSocket {
            ring,
            links,
            interfaces,
            processor,
            address_changes,
            turned: Instant::now(),
        };
        socket.set_filter()?;
        socket.ring.bind().map_err(cannot_open)?;
        tracing::debug!(interfaces = %socket.interfaces, "capturing packets");
        Ok(socket)
    }

    /// Counters that go on while the source runs on another thread.
    pub fn counters(&self) -> Arc<CaptureCounters> {
        self.processor.counters()
    }

    fn set_filter(&self) -> Result<(), LiveError> {
        let settings = FilterSettings {
            interfaces: self.interfaces.filter(self.links.all()),
            dns_ports: self.processor.dns_ports().to_vec(),
            udp_shift: self.processor.udp_shift(),
            other_shift: self.processor.other_shift(),
        };
        let too_long = || io::Error::from(io::ErrorKind::InvalidInput);
        build_filter(&settings)
            .ok_or_else(too_long)
            .and_then(|program| self.ring.filter(&program))
            .map_err(|source| LiveError {
                action: "set the filter of the packet socket".to_owned(),
                remedy: Some("choose interfaces by fewer names, or `auto`".to_owned()),
                source,
            })
    }

    /// Updates the list of interfaces.
    fn follow_links(&mut self) -> Result<(), LiveError> {
        let missing = |socket: &Self| -> Vec<String> {
            let names = socket.interfaces.missing(socket.links.all());
            names.into_iter().map(str::to_owned).collect()
        };
        let before = missing(self);
        let changes = self.links.read().map_err(|source| LiveError {
            action: "follow network interfaces".to_owned(),
            remedy: None,
            source,
        })?;
        if changes.appeared_or_vanished {
            self.address_changes.record();
        }
        if !changes.any {
            return Ok(());
        }
        for name in missing(self).iter().filter(|name| !before.contains(name)) {
            tracing::warn!(interface = %name, "an interface vanished, its packets are no longer seen");
            self.processor.lose(Loss::InterfaceLost, 1);
        }
        if self.interfaces.nothing_left(self.links.all()) {
            return Err(LiveError {
                action: format!("capture on {}", self.interfaces),
                remedy: Some(there_are(&self.links)),
                source: io::Error::new(io::ErrorKind::NotFound, "no interface is left"),
            });
        }
        self.set_filter()
    }

    fn read_blocks(&mut self) {
        let PacketSocket {
            ring, processor, ..
        } = self;
        for _ in 0..BLOCKS_AT_ONCE {
            let more = ring.with_block(|block| {
                for frame in Frames::new(block) {
                    processor.take_frame(&frame);
                }
            });
            if !more {
                break;
            }
        }
        processor.collect_reports();
    }

    fn turn(&mut self) -> Result<(), LiveError> {
        let length = self.turned.elapsed();
        self.turned = Instant::now();
        let kernel = self.ring.counts().map_err(|source| LiveError {
            action: "read the packet socket's counters".to_owned(),
            remedy: None,
            source,
        })?;
        self.processor.kernel_dropped(kernel.drops);
        if self.processor.turn(length, self.address_changes.count()) {
            self.set_filter()?;
        }
        Ok(())
    }
}

impl LiveSource for PacketSocket {
    fn source(&self) -> Source {
        Source::Capture
    }

    fn poll(&mut self, patience: Duration) -> Result<bool, LiveError> {
        let left = TURN.saturating_sub(self.turned.elapsed());
        let fds = [self.ring.as_raw_fd(), self.links.as_raw_fd()];
        // Rounded up: a wait of less than a millisecond would be none.
        let wait = patience.min(left) + Duration::from_millis(1);
        let [_, links] = ring::wait(fds, wait).map_err(|source| LiveError {
            action: "wait for packets".to_owned(),
            remedy: None,
            source,
        })?;
        let followed = if links { self.follow_links() } else { Ok(()) };
        self.read_blocks();
        if self.turned.elapsed() >= TURN {
            self.turn()?;
        }
        followed.map(|()| true)
    }

    fn urgency(&self) -> Urgency {
        self.processor.urgency()
    }

    fn take(&mut self) -> Observations {
        self.processor.take()
    }

    fn finish(&mut self) {
        // The last packets may be in a block that the kernel hands over when its timeout ends.
        let until = Instant::now() + 2 * ring::BLOCK_TIMEOUT;
        loop {
            self.read_blocks();
            let left = until.saturating_duration_since(Instant::now());
            // Only the ring: interfaces no longer matter.
            let fds = [self.ring.as_raw_fd(), -1];
            if left.is_zero() || ring::wait(fds, left + Duration::from_millis(1)).is_err() {
                break;
            }
        }
        if let Ok(counts) = self.ring.counts() {
            self.processor.kernel_dropped(counts.drops);
        }
        self.processor.finish();
    }
}

fn cannot_open(source: io::Error) -> LiveError {
    let remedy = match source.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => Some("it needs the capability CAP_NET_RAW"),
        Some(libc::EAFNOSUPPORT) => {
            Some("the kernel has no packet sockets; load the module af_packet")
        }
        Some(libc::ENOMEM) => Some("there is not enough memory for the ring; choose a smaller one"),
        _ => None,
    };
    LiveError {
        action: "open a packet socket".to_owned(),
        remedy: remedy.map(str::to_owned),
        source,
    }
}

fn no_such_interface(name: &str, links: &LinkTable) -> LiveError {
    LiveError {
        action: format!("capture on {name}"),
        remedy: Some(there_are(links)),
        source: io::Error::from_raw_os_error(libc::ENODEV),
    }
}

fn there_are(links: &LinkTable) -> String {
    let names: Vec<&str> = links.all().values().map(|link| &*link.name).collect();
    format!("there are {}", names.join(", "))
}
