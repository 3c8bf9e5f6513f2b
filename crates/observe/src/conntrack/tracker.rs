//! From events to connection reports. The tracker knows of each open connection only when it began and
//! what was reported of it ([`Table`]); time is an argument.

use super::event::{Counter, Event, Kind, tcp};
use super::table::{Slot, Table};
use super::timeouts::Timeouts;
use super::unanswered::{Unanswered, UnansweredQueue};
use super::verdict::{self, Beginning, Subject};
use nanoseg_flow::{
    ActivityWindows, Collector, ConnectionReport, ConnectionSink, Loss, Observations, Opening,
    OtherKind, OtherTally, Source, Verdict,
};
use nanoseg_net::{Protocol, SECOND, Timestamp};
use rustc_hash::{FxHashMap, FxHashSet};
use std::hash::{BuildHasher, RandomState};

/// Units per second of the times in the table: 2 years in 32 bits.
const UNITS: i64 = 64;
const UNIT: i64 = SECOND / UNITS;
/// An entry that so many dumps in a row did not list has ended unseen. One dump alone may miss an entry,
/// when the kernel resizes its table meanwhile.
const DUMPS_MISSED: u8 = 2;
/// Entries older than the agent are reported if they were in use so long ago at most, in seconds: so what came
/// and went while an agent was being replaced is not lost.
const RECENT: i64 = 600;
/// Connections whose counters were reported before their end, about 50 bytes each; those of others are
/// reported at the end.
const MAX_REPORTED_COUNTERS: usize = 1 << 16;

/// The bits of [`Slot::marks`].
mod mark {
    /// Reported as established.
    pub const ESTABLISHED: u8 = 1;
    /// Reported as unanswered or one-way.
    pub const FAILED: u8 = 2;
    /// Older than the agent.
    pub const OLDER: u8 = 4;
    /// [`super::Beginning::PickedUp`].
    pub const PICKED_UP: u8 = 8;
    /// Older than the agent and not in use since: nothing may be reported of it ([`super::Timeouts`]).
    pub const DORMANT: u8 = 16;
}

/// Why the table is dumped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum DumpReason {
    /// To have the byte counters of those that live long.
    Refresh,
    /// Events were lost.
    Overrun,
    /// The agent has just started.
    Start,
}

/// The current time by both clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    /// By the source's clock, which never jumps.
    pub now: Timestamp,
    /// By the node's clock.
    pub wall: Timestamp,
}

/// Events processed, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Tally {
    pub new: u64,
    pub updates: u64,
    pub destroyed: u64,
    pub dumped: u64,
    pub strays: u64,
}

/// A dump in progress.
#[derive(Debug)]
struct Dumping {
    reason: DumpReason,
    began: Timestamp,
    /// Connections that ended meanwhile: what the dump lists of them is from before.
    ended: FxHashSet<u64>,
}

/// Turns events into reports.
#[derive(Debug)]
pub(super) struct Tracker<H = RandomState> {
    table: Table,
    hasher: H,
    unanswered: UnansweredQueue,
    reported_counters: FxHashMap<u64, [Counter; 2]>,
    other: OtherTally,
    pub collector: Collector,
    pub tally: Tally,
    start: Timestamp,
    timeouts: Timeouts,
    generation: u8,
    dumping: Option<Dumping>,
    /// When the last whole dump began, by the source's clock: what was alive since was alive all the time.
    listed: Timestamp,
    /// Events were lost, or connections forgotten: what is not known may be the agent's own.
    has_gaps: bool,
}

impl Tracker {
    /// A tracker that begins at `start`, for up to `max_connections` live ones.
    pub fn new(
        max_connections: usize,
        collector: Collector,
        start: Timestamp,
        timeouts: Timeouts,
    ) -> Self {
        let hasher = RandomState::new();
        Tracker::with_hasher(max_connections, collector, start, timeouts, hasher)
    }
}

impl<H: BuildHasher> Tracker<H> {
    /// As [`Tracker::new`]. The hash decides only places; it has a secret so that nobody can make places
    /// collide.
    pub fn with_hasher(
        max: usize,
        collector: Collector,
        start: Timestamp,
        timeouts: Timeouts,
        hasher: H,
    ) -> Self {
        Tracker {
            table: Table::new(max),
            hasher,
            unanswered: UnansweredQueue::default(),
            reported_counters: FxHashMap::default(),
            other: OtherTally::default(),
            collector,
            tally: Tally::default(),
            start,
            timeouts,
            generation: 0,
            dumping: None,
            listed: start,
            has_gaps: false,
        }
    }

    /// Connections remembered.
    pub fn held(&self) -> usize {
        self.table.len()
    }

    /// From `now` on dumped entries may come.
    pub fn begin_dump(&mut self, reason: DumpReason, now: Timestamp) {
        self.generation = self.generation.wrapping_add(1);
        self.has_gaps |= reason == DumpReason::Overrun;
        self.dumping = Some(Dumping {
            reason,
            began: now,
            ended: FxHashSet::default(),
        });
    }

    /// The dump is over. What was not listed by the last dumps is forgotten, if this one is `complete`.
    pub fn end_dump(&mut self, complete: bool) {
        let ended = self.dumping.take();
        if !complete {
            // It listed only some: it must not count as one that missed the others.
            self.generation = self.generation.wrapping_sub(1);
            return;
        }
        self.listed = ended.map_or(self.listed, |dump| dump.began);
        let generation = self.generation;
        let gone = self
            .table
            .retain(|slot| generation.wrapping_sub(slot.generation) < DUMPS_MISSED);
        for key in gone {
            self.reported_counters.remove(&key);
        }
    }

    /// Processes an event.
    pub fn ingest(&mut self, event: &Event, at: Moment) {
        match event.kind {
            Kind::New => self.tally.new += 1,
            Kind::Update => self.tally.updates += 1,
            Kind::Destroy => self.tally.destroyed += 1,
            Kind::Dumped => self.tally.dumped += 1,
        }
        let protocol = match verdict::subject(event) {
            Subject::Connection(protocol) => protocol,
            Subject::Other(kind) => return self.count_other(event, kind),
            Subject::Loopback => return,
        };
        let key = self.key(event);
        match event.kind {
            Kind::New => self.open(key, event, protocol, at),
            Kind::Update => self.update(key, event, protocol, at),
            Kind::Dumped => self.list(key, event, protocol, at),
            Kind::Destroy => self.end(key, event, protocol, at),
        }
    }

    /// Reports the connections that were not answered for long enough.
    pub fn report_unanswered(&mut self, at: Moment) {
        while let Some(due) = self
            .unanswered
            .next(at.now, |key| is_open(self.table.get(key)))
        {
            let Unanswered {
                key,
                event,
                protocol,
            } = due;
            let Some(slot) = self.table.get_mut(key) else {
                continue;
            };
            let beginning = beginning_of(slot.marks);
            if let Some(verdict) = verdict::waiting_verdict(protocol, beginning) {
                slot.marks |= mark::FAILED;
                let slot = *slot;
                // UDP: what it sent so far is reported at its end.
                self.report(&event, protocol, &slot, verdict, false, [0; 3], at.wall, at);
            }
        }
    }

    /// Removes and returns what was collected since the last call, in times of the node's clock.
    pub fn take(&mut self, to_wall: impl Fn(Timestamp) -> Timestamp) -> Observations {
        let (other, overflow) = std::mem::take(&mut self.other).finish();
        self.collector.lose(Loss::OtherDropped, overflow);
        let (mut records, mut scans, losses) = self.collector.take();
        for record in &mut records {
            record.first = to_wall(record.first);
            record.last = to_wall(record.last);
        }
        for scan in &mut scans {
            scan.first = to_wall(scan.first);
            scan.last = to_wall(scan.last);
        }
        Observations {
            records: records
                .into_iter()
                .map(|record| (Source::Conntrack, record))
                .collect(),
            scans,
            other,
            losses,
            ..Observations::default()
        }
    }

    fn key(&self, event: &Event) -> u64 {
        let what = (event.original, event.protocol, event.zone, event.id);
        self.hasher.hash_one(what)
    }

    /// A new entry; one with the same tuple before has ended unseen.
    fn open(&mut self, key: u64, event: &Event, protocol: Protocol, at: Moment) {
        self.reported_counters.remove(&key);
        let slot = self.slot(event, protocol, self.units(at.now));
        if self.remember(key, slot) {
            self.progress(key, event, protocol, at);
        }
    }

    /// Remembers a connection, if there is room.
    fn remember(&mut self, key: u64, slot: Slot) -> bool {
        let found_room = self.table.insert(key, slot).is_ok();
        if !found_room {
            self.has_gaps = true;
            self.collector.lose(Loss::ConntrackForgotten, 1);
        }
        found_room
    }

    fn slot(&self, event: &Event, protocol: Protocol, began: u32) -> Slot {
        let marks = match verdict::beginning(event, protocol) {
            Beginning::Seen => 0,
            Beginning::PickedUp => mark::PICKED_UP,
        };
        Slot::new(began, marks, self.generation)
    }

    /// One whose beginning was not seen. If no event was ever lost, it is older than the agent, even if
    /// the first dump did not list it: the kernel leaves out what has expired, but ends it much later.
    fn unknown(&self, event: &Event, protocol: Protocol, at: Moment) -> Slot {
        let used = self.last_use(event, protocol, at);
        let began = self.units(used).min(self.began(event, at));
        let mut slot = self.slot(event, protocol, began);
        if self.has_gaps {
            return slot;
        }
        slot.marks |= mark::OLDER;
        let expired = event.kind == Kind::Destroy;
        if expired || used < self.start.plus_secs(-RECENT) {
            slot.marks |= mark::DORMANT;
        }
        slot
    }

    /// When an entry had its last packet.
    fn last_use(&self, event: &Event, protocol: Protocol, at: Moment) -> Timestamp {
        let silence = match event.kind {
            Kind::New | Kind::Update => 0,
            Kind::Dumped => self.timeouts.silence(event, protocol),
            Kind::Destroy => verdict::silence_before_end(event, protocol),
        };
        at.now.plus_secs(-silence)
    }

    fn update(&mut self, key: u64, event: &Event, protocol: Protocol, at: Moment) {
        if self.table.get(key).is_some() {
            self.progress(key, event, protocol, at);
            return;
        }
        let slot = self.unknown(event, protocol, at);
        if self.remember(key, slot) {
            self.progress(key, event, protocol, at);
        } else {
            self.report_established(&slot, event, protocol, at);
        }
    }

    /// Reports the connection if it is established, else queues it to wait for an answer.
    fn progress(&mut self, key: u64, event: &Event, protocol: Protocol, at: Moment) {
        let used = self.last_use(event, protocol, at);
        let Some(slot) = self.table.get_mut(key) else {
            return;
        };
        if slot.marks & mark::ESTABLISHED != 0 {
            return;
        }
        if slot.marks & mark::DORMANT != 0 {
            if event.kind == Kind::Dumped && used <= self.start {
                return;
            }
            slot.marks &= !mark::DORMANT;
            slot.began = units(self.start, used);
        }
        if verdict::is_established(event, protocol, beginning_of(slot.marks)) {
            slot.marks |= mark::ESTABLISHED;
            let slot = *slot;
            self.report_established(&slot, event, protocol, at);
        } else if slot.marks & mark::FAILED == 0 && event.kind != Kind::Update {
            let waiting = Unanswered {
                key,
                event: *event,
                protocol,
            };
            self.unanswered
                .push(waiting, at.now, |key| is_open(self.table.get(key)));
        }
    }

    fn report_established(&mut self, slot: &Slot, event: &Event, protocol: Protocol, at: Moment) {
        if verdict::is_established(event, protocol, beginning_of(slot.marks)) {
            let verdict = Verdict::Established;
            let used = self.last_use(event, protocol, at);
            let last = at.wall.plus_nanos(used.since(at.now));
            self.report(event, protocol, slot, verdict, false, [0; 3], last, at);
        }
    }

    /// An entry that a dump lists.
    fn list(&mut self, key: u64, event: &Event, protocol: Protocol, at: Moment) {
        let Some(dumping) = &self.dumping else { return };
        let reason = dumping.reason;
        if dumping.ended.contains(&key) {
            return;
        }
        let (generation, full) = (self.generation, self.table.is_full());
        match self.table.get_mut(key) {
            Some(slot) => slot.generation = generation,
            // Without room, each dump would find it again: it is reported at its end.
            None if full && reason == DumpReason::Refresh => return,
            None => {
                let slot = self.unknown(event, protocol, at);
                if !self.remember(key, slot) {
                    return self.report_established(&slot, event, protocol, at);
                }
            }
        }
        self.progress(key, event, protocol, at);
        self.refresh(key, event, protocol, at);
    }

    /// Reports that an established connection is alive, and what it carried since the last report. A keepalive carries
    /// nothing, and many kernels count no bytes (`nf_conntrack_acct`); the connection was there all the same.
    fn refresh(&mut self, key: u64, event: &Event, protocol: Protocol, at: Moment) {
        let Some(slot) = self.table.get(key).copied() else {
            return;
        };
        if slot.marks & mark::ESTABLISHED == 0 {
            return;
        }
        let room = self.reported_counters.len() < MAX_REPORTED_COUNTERS
            || self.reported_counters.contains_key(&key);
        let counters = event.counters.filter(|_| room);
        let volume = match counters {
            Some(_) => self.volume(key, &slot, event, protocol),
            None => [0; 3],
        };
        let used = self.last_use(event, protocol, at);
        if volume == [0; 3] && used <= self.listed {
            return;
        }
        if volume != [0; 3] {
            self.reported_counters.extend(counters.map(|c| (key, c)));
        }
        let verdict = Verdict::Established;
        let last = at.wall.plus_nanos(used.since(at.now));
        self.report(event, protocol, &slot, verdict, true, volume, last, at);
    }

    fn end(&mut self, key: u64, event: &Event, protocol: Protocol, at: Moment) {
        if let Some(dumping) = &mut self.dumping {
            dumping.ended.insert(key);
        }
        let slot = match self.table.remove(key) {
            Some(slot) => slot,
            None => self.unknown(event, protocol, at),
        };
        let slot = match self.woken(slot, event, protocol, at) {
            Some(slot) => slot,
            None => return,
        };
        let age = at.now.since(self.time(slot.began));
        let beginning = beginning_of(slot.marks);
        let reported = slot.marks & mark::ESTABLISHED != 0;
        let verdict = if reported {
            Some(Verdict::Established)
        } else {
            verdict::final_verdict(event, protocol, beginning, age)
        };
        let volume = self.volume(key, &slot, event, protocol);
        self.reported_counters.remove(&key);
        let Some(verdict) = verdict else {
            self.tally.strays += 1;
            return;
        };
        let failed = slot.marks & mark::FAILED != 0
            && matches!(verdict, Verdict::Unanswered | Verdict::OneWay);
        let counted = reported || failed;
        if counted && volume == [0; 3] {
            return;
        }
        let silence = verdict::silence_before_end(event, protocol) * SECOND;
        let last = at.wall.plus_nanos(-silence.min(age.max(0)));
        self.report(event, protocol, &slot, verdict, counted, volume, last, at);
    }

    /// A connection that was dormant until its end, if it was in use shortly before: if it did not end by
    /// the long timeout of an established one.
    fn woken(&self, slot: Slot, event: &Event, protocol: Protocol, at: Moment) -> Option<Slot> {
        if slot.marks & mark::DORMANT == 0 {
            return Some(slot);
        }
        if protocol == Protocol::Tcp && event.state.is_none_or(|state| state == tcp::ESTABLISHED) {
            return None;
        }
        // Its beginning is known unless it was in use last before the table's times begin.
        let began = match slot.began {
            0 => self.units(self.last_use(event, protocol, at)),
            began => began,
        };
        let marks = slot.marks & !mark::DORMANT;
        Some(Slot::new(began, marks, slot.generation))
    }

    /// Datagrams to the server, payload bytes to the server and to the client, as far as not reported.
    fn volume(&self, key: u64, slot: &Slot, event: &Event, protocol: Protocol) -> [u64; 3] {
        let Some(counters) = event.counters else {
            return [0; 3];
        };
        let reported = self.reported_counters.get(&key).copied();
        let v6 = event.original.source.is_ipv6();
        let [original, reply] = [0, 1].map(|side| {
            let before = reported.map_or(Counter::default(), |counters| counters[side]);
            Counter {
                packets: counters[side].packets.saturating_sub(before.packets),
                bytes: counters[side].bytes.saturating_sub(before.bytes),
            }
        });
        // The SYN has options for 8 bytes more than later segments.
        let syn = reported.is_none() && beginning_of(slot.marks) == Beginning::Seen;
        let less = if syn && protocol == Protocol::Tcp {
            8
        } else {
            0
        };
        let bytes = [original, reply]
            .map(|counter| verdict::payload(counter, protocol, v6).saturating_sub(less));
        let (_, turned) = verdict::endpoints(event, beginning_of(slot.marks));
        let (to_server, to_client) = if turned { (1, 0) } else { (0, 1) };
        let datagrams = match protocol {
            Protocol::Tcp => 0,
            Protocol::Udp | Protocol::Sctp => [original, reply][to_server].packets,
        };
        [datagrams, bytes[to_server], bytes[to_client]]
    }

    /// `last` is by the node's clock.
    #[allow(clippy::too_many_arguments)]
    fn report(
        &mut self,
        event: &Event,
        protocol: Protocol,
        slot: &Slot,
        verdict: Verdict,
        counted: bool,
        [datagrams, bytes_to_server, bytes_to_client]: [u64; 3],
        last: Timestamp,
        at: Moment,
    ) {
        let beginning = beginning_of(slot.marks);
        let (ends, _) = verdict::endpoints(event, beginning);
        let first = self.time(slot.began);
        let opening = match (protocol, beginning) {
            (_, Beginning::PickedUp) => Opening::Undecided,
            (Protocol::Udp, _) => Opening::FirstPacket,
            _ => Opening::Handshake,
        };
        let mid_stream = slot.marks & (mark::OLDER | mark::PICKED_UP) != 0
            || verdict::is_probable_udp_answer(event, protocol);
        // It was there since the dump before, in every window.
        let alive = at.wall.plus_nanos(first.max(self.listed).since(at.now));
        self.collector.report(&ConnectionReport {
            client: ends.client,
            server: ends.server,
            protocol,
            vlan: 0,
            via: ends.via,
            seen_as: ends.seen_as,
            verdict,
            opening,
            counted,
            labels: None,
            mid_stream,
            datagrams,
            bytes_to_server,
            bytes_to_client,
            first,
            last: first.max(at.now.plus_nanos(last.since(at.wall))),
            windows: ActivityWindows::span(alive, last),
            epochs: [0; 2],
        });
    }

    /// New entries count as one packet, their end as the others. Answers are not counted.
    fn count_other(&mut self, event: &Event, kind: OtherKind) {
        let starting = |dumping: &Dumping| dumping.reason == DumpReason::Start;
        let packets = match (event.kind, event.counters) {
            (Kind::New, _) => 1,
            (Kind::Dumped, _) => u64::from(self.dumping.as_ref().is_some_and(starting)),
            (Kind::Destroy, Some([original, _])) => original.packets.saturating_sub(1),
            _ => 0,
        };
        if packets > 0 {
            let (source, destination) = (event.original.source, event.original.destination);
            self.other.add(source.ip(), destination.ip(), kind, packets);
        }
    }

    /// When an entry began that was not known: the kernel may report it. Not before the agent, since
    /// the agent does not know who had the address then.
    fn began(&self, event: &Event, at: Moment) -> u32 {
        let ago = event
            .started
            .and_then(|start| i64::try_from(start).ok())
            .map_or(0, |start| at.wall.since(Timestamp::from_nanos(start)));
        self.units(at.now.plus_nanos(-ago.max(0)).max(self.start))
    }

    fn units(&self, at: Timestamp) -> u32 {
        units(self.start, at)
    }

    fn time(&self, units: u32) -> Timestamp {
        self.start
            .plus_secs(-RECENT)
            .plus_nanos(i64::from(units) * UNIT)
    }
}

/// A time in the table's units, which count from [`RECENT`] before the start.
fn units(start: Timestamp, at: Timestamp) -> u32 {
    let units = at.since(start.plus_secs(-RECENT)).max(0) / UNIT;
    u32::try_from(units).unwrap_or(u32::MAX)
}

fn beginning_of(marks: u8) -> Beginning {
    if marks & mark::PICKED_UP != 0 {
        Beginning::PickedUp
    } else {
        Beginning::Seen
    }
}

/// Returns true if nothing was reported of it yet.
fn is_open(slot: Option<&Slot>) -> bool {
    slot.is_some_and(|slot| slot.marks & (mark::ESTABLISHED | mark::FAILED) == 0)
}
