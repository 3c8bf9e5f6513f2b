//! The kernel's connection tracking as a source of flow records, over netlink (ctnetlink): events of
//! new, changed and ended entries, and dumps of the whole table at the start, after events were lost, and
//! once a minute for the byte counters of connections that live long.
//!
//! One entry has the client, the Service address that it called and the backend that was chosen, without
//! a packet being copied. What the entries mean is decided in the pure part: [`parse`] reads bytes,
//! [`verdict`] gives verdicts, [`tracker`] makes reports. This module does not infer who listens where: what
//! was picked up in the middle stays [`nanoseg_flow::Opening::Undecided`].

mod counters;
mod event;
mod filter;
mod netlink;
mod parse;
mod prerequisites;
mod socket;
mod table;
#[cfg(test)]
mod tests;
mod timeouts;
mod tracker;
mod unanswered;
mod verdict;

pub use counters::{ConntrackCounters, ConntrackCounts};

use super::rtnetlink::LinkTable;
use super::{AddressChanges, Clock, LiveError, LiveSource, Urgency};
use nanoseg_flow::{Collector, CollectorLimits, Loss, Observations, Source};
use nanoseg_net::{SECOND, Timestamp};
use netlink::{Messages, NLMSG_DONE, NLMSG_ERROR, native_u32};
use parse::parse_event;
use socket::{DumpSocket, EventSocket, Received};
use std::io;
use std::os::fd::AsRawFd;
use std::time::Duration;
use timeouts::Timeouts;
use tracker::{DumpReason, Moment, Tracker};

/// How the source works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConntrackOptions {
    /// Bytes of events that the kernel keeps while they are not read, of which it counts about 1 KiB for
    /// each: at 10 000 connections a second and three events each, 16 MiB last half a second.
    pub receive_buffer: usize,
    /// Live connections remembered, 16 bytes each (see `table.rs`).
    pub max_connections: usize,
    /// How often the table is dumped for byte counters.
    pub refresh: Duration,
    pub collector: CollectorLimits,
}

impl Default for ConntrackOptions {
    fn default() -> Self {
        ConntrackOptions {
            receive_buffer: 16 << 20,
            max_connections: 1 << 18,
            refresh: Duration::from_secs(60),
            collector: CollectorLimits::default(),
        }
    }
}

/// How long events gather, so that many are read at a time.
const GATHER: Duration = Duration::from_millis(10);
/// Dumps after overruns are so far apart: while there is too much to read, dumps only make it more.
const OVERRUN_DUMPS_APART: i64 = 2 * SECOND;
/// Batches of events read before anything else is done.
const BATCHES: usize = 256;

/// The running source.
pub struct Conntrack {
    events: EventSocket,
    dumps: DumpSocket,
    /// An address changes its owner only together with an interface.
    links: LinkTable,
    tracker: Tracker,
    clock: Clock,
    address_changes: AddressChanges,
    address_changes_seen: u32,
    options: ConntrackOptions,
    /// The dump in progress.
    dumping: Option<DumpReason>,
    /// The dump to begin as soon as possible.
    wanted: Option<DumpReason>,
    /// When the last one began.
    last_dump: Timestamp,
    counts: ConntrackCounts,
    counters: ConntrackCounters,
}

impl Conntrack {
    /// Subscribes to the events of the network namespace that the calling thread is in, and asks for
    /// the table.
    ///
    /// # Errors
    /// Without CAP_NET_ADMIN there, or if the kernel has no ctnetlink.
    pub fn open(
        options: ConntrackOptions,
        address_changes: AddressChanges,
    ) -> Result<Self, LiveError> {
        let events = EventSocket::open(options.receive_buffer)
            .map_err(|error| prerequisites::live_error("subscribe to conntrack events", error))?;
        let dumps = DumpSocket::open().map_err(|error| {
            prerequisites::live_error("open a socket for conntrack dumps", error)
        })?;
        let links = LinkTable::open()?;
        prerequisites::warn_of_settings();
        let clock = Clock::start();
        let start = clock.now();
        let mut source = Conntrack {
            events,
            dumps,
            links,
            tracker: Tracker::new(
                options.max_connections,
                Collector::new(options.collector),
                start,
                Timeouts::read(),
            ),
            clock,
            address_changes_seen: address_changes.count(),
            address_changes,
            options,
            dumping: None,
            wanted: Some(DumpReason::Start),
            last_dump: start,
            counts: ConntrackCounts::default(),
            counters: ConntrackCounters::default(),
        };
        source.start_dump()?;
        // The kernel answers at once: whether it has ctnetlink and whether we may use it.
        source.read_dump()?;
        Ok(source)
    }

    /// What it counts; stays readable while the source runs elsewhere.
    pub fn counters(&self) -> ConntrackCounters {
        self.counters.clone()
    }

    fn moment(&self) -> Moment {
        let now = self.clock.now();
        Moment {
            now,
            wall: self.clock.to_wall(now),
        }
    }

    /// Begins the dump that is wanted, unless one goes on or it is too early.
    fn start_dump(&mut self) -> Result<(), LiveError> {
        let now = self.clock.now();
        let age = now.since(self.last_dump);
        if i128::from(age) >= self.options.refresh.as_nanos() as i128 {
            self.wanted = self.wanted.max(Some(DumpReason::Refresh));
        }
        let Some(reason) = self.wanted.filter(|_| self.dumping.is_none()) else {
            return Ok(());
        };
        if reason == DumpReason::Overrun && age < OVERRUN_DUMPS_APART {
            return Ok(());
        }
        self.dumps
            .ask()
            .map_err(|error| prerequisites::live_error("ask for the conntrack table", error))?;
        self.tracker.begin_dump(reason, now);
        (self.dumping, self.wanted, self.last_dump) = (Some(reason), None, now);
        Ok(())
    }

    /// Reads events until none are left, or for a while.
    fn read_events(&mut self) -> Result<(), LiveError> {
        for _ in 0..BATCHES {
            let at = self.moment();
            let tracker = &mut self.tracker;
            let mut malformed = 0;
            let received = self
                .events
                .receive(|datagram| malformed += take_events(tracker, datagram, at))
                .map_err(|error| prerequisites::live_error("read conntrack events", error))?;
            self.lose_malformed(malformed);
            match received {
                Received::Some(count) if count > 0 => {}
                Received::Some(_) | Received::Nothing => return Ok(()),
                Received::Overrun => {
                    self.counts.overruns += 1;
                    self.tracker.collector.lose(Loss::ConntrackOverrun, 1);
                    self.wanted = self.wanted.max(Some(DumpReason::Overrun));
                }
            }
        }
        Ok(())
    }

    /// Reads the available parts of a dump. The kernel makes each part when the one before it is read: events
    /// are read in between, so that a part never contains anything newer than they do, and what has
    /// ended since is known.
    fn read_dump(&mut self) -> Result<(), LiveError> {
        while self.dumping.is_some() {
            let part = self
                .dumps
                .receive()
                .map_err(|error| prerequisites::live_error("read the conntrack table", error))?;
            let Some(part) = part.map(<[u8]>::to_vec) else {
                return Ok(());
            };
            self.read_events()?;
            let at = self.moment();
            let end = take_dump(&mut self.tracker, &part, at);
            self.lose_malformed(end.malformed);
            match end.outcome {
                None => {}
                Some(Ok(())) => self.end_dump(true),
                Some(Err(error)) if error.raw_os_error() == Some(libc::EINTR) => {
                    self.end_dump(false);
                }
                Some(Err(error)) => {
                    self.end_dump(false);
                    return Err(prerequisites::live_error("read the conntrack table", error));
                }
            }
        }
        Ok(())
    }

    fn end_dump(&mut self, complete: bool) {
        self.tracker.end_dump(complete);
        let reason = self.dumping.take();
        if !complete {
            self.wanted = self.wanted.max(reason);
            return;
        }
        self.counts.dumps += 1;
        let seen = self.tracker.tally;
        if self.counts.dumps == 2 && seen.new + seen.updates + seen.destroyed + seen.dumped == 0 {
            prerequisites::warn_of_nothing_tracked();
        }
    }

    fn lose_malformed(&mut self, count: u64) {
        self.counts.malformed += count;
        self.tracker.collector.lose(Loss::ConntrackMalformed, count);
    }

    fn publish(&mut self) {
        let tally = self.tracker.tally;
        self.counters.write(ConntrackCounts {
            new: tally.new,
            updates: tally.updates,
            destroyed: tally.destroyed,
            dumped: tally.dumped,
            strays: tally.strays,
            held: self.tracker.held() as u64,
            filtered: self.events.filtered,
            ..self.counts
        });
    }
}

impl LiveSource for Conntrack {
    fn source(&self) -> Source {
        Source::Conntrack
    }

    fn poll(&mut self, patience: Duration) -> Result<bool, LiveError> {
        let sockets = [self.events.as_raw_fd(), self.dumps.as_raw_fd()];
        let ready = socket::wait(sockets, patience)
            .map_err(|error| prerequisites::live_error("wait for conntrack events", error))?;
        if ready && self.dumping.is_none() {
            std::thread::sleep(GATHER.min(patience));
        }
        let changes = self
            .links
            .read()
            .map_err(|error| prerequisites::live_error("follow network interfaces", error))?;
        if changes.appeared_or_vanished {
            self.address_changes.record();
        }
        let address_changes = self.address_changes.count();
        if address_changes != self.address_changes_seen {
            self.address_changes_seen = address_changes;
            self.tracker.collector.address_change(self.clock.now());
        }
        self.read_events()?;
        self.start_dump()?;
        self.read_dump()?;
        let at = self.moment();
        self.tracker.report_unanswered(at);
        self.publish();
        Ok(true)
    }

    fn urgency(&self) -> Urgency {
        let collector = &self.tracker.collector;
        if collector.is_full() {
            Urgency::Full
        } else if collector.has_new_edges() {
            Urgency::NewEdge
        } else {
            Urgency::None
        }
    }

    fn take(&mut self) -> Observations {
        if self.clock.check_step() {
            self.tracker.collector.lose(Loss::ClockStepped, 1);
        }
        self.tracker.take(|at| self.clock.to_wall(at))
    }
}

/// Reads the events of one datagram; returns how many could not be read.
fn take_events(tracker: &mut Tracker, datagram: Option<&[u8]>, at: Moment) -> u64 {
    let Some(datagram) = datagram else { return 1 };
    let mut malformed = 0;
    for message in Messages::of(datagram) {
        match message.and_then(|message| parse_event(&message, false)) {
            Ok(Some(event)) => tracker.ingest(&event, at),
            Ok(None) => {}
            Err(_) => malformed += 1,
        }
    }
    malformed
}

/// What a part of a dump led to.
struct Part {
    malformed: u64,
    /// Set if it was the last one.
    outcome: Option<io::Result<()>>,
}

fn take_dump(tracker: &mut Tracker, part: &[u8], at: Moment) -> Part {
    let mut malformed = 0;
    for message in Messages::of(part) {
        let message = match message {
            Ok(message) => message,
            Err(_) => {
                malformed += 1;
                continue;
            }
        };
        if message.kind == NLMSG_DONE || message.kind == NLMSG_ERROR {
            // Both begin with a negative errno, or 0.
            let code = native_u32(message.body, 0).map_or(0, |code| code as i32);
            let outcome = match code {
                0 => Ok(()),
                code => Err(io::Error::from_raw_os_error(code.saturating_neg())),
            };
            return Part {
                malformed,
                outcome: Some(outcome),
            };
        }
        match parse_event(&message, true) {
            Ok(Some(event)) => tracker.ingest(&event, at),
            Ok(None) => {}
            Err(_) => malformed += 1,
        }
    }
    Part {
        malformed,
        outcome: None,
    }
}

/// What the source would make of these datagrams one after the other, as events and then as a dump, a
/// second apart. For tests: it reads any bytes.
pub fn replay_conntrack(data: &[u8]) -> Observations {
    let at = |seconds| Moment {
        now: Timestamp::from_secs(seconds),
        wall: Timestamp::from_secs(seconds),
    };
    let collector = Collector::new(CollectorLimits::default());
    let mut tracker = Tracker::new(64, collector, at(0).now, Timeouts::default());
    let malformed = take_events(&mut tracker, Some(data), at(1));
    tracker.begin_dump(DumpReason::Refresh, at(2).now);
    let part = take_dump(&mut tracker, data, at(2));
    tracker.end_dump(part.outcome.is_none_or(|end| end.is_ok()));
    tracker.report_unanswered(at(9));
    let lost = malformed + part.malformed;
    tracker.collector.lose(Loss::ConntrackMalformed, lost);
    tracker.take(|time| time)
}
