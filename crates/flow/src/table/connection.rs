//! One connection in the table: what was seen of it, and how long it may be silent.

use super::key::{Key, Side};
use super::legs::Legs;
use super::recent::{Recent, Repeats, Seen};
use super::wheel::Ticket;
use crate::{ActivityWindows, Packet, SctpChunk, TcpFlags};
use nanoseg_net::{Protocol, SECOND, Timestamp};

/// How long a closed connection is remembered for late segments, in seconds: several retransmission
/// time-outs (RFC 6298 section 2.4 has one second as the least). It is the shortest patience; the fewer closed
/// connections are kept, the more of the live ones stay in the cache.
pub(super) const CLOSED_PATIENCE: i64 = 2;

/// What a side has sent, as bits. SCTP's INIT, INIT ACK, SHUTDOWN and ABORT count as SYN, SYN-ACK,
/// FIN and RST.
pub(super) mod sent {
    pub const SYN: u16 = 1;
    pub const SYN_ACK: u16 = 2;
    pub const DATA: u16 = 4;
    pub const ACK: u16 = 8;
    pub const FIN: u16 = 16;
    pub const RST: u16 = 32;
    /// Its acknowledgment number moved: the other side really sends, seen or not.
    pub const MOVED: u16 = 64;
    /// The highest sequence number is known.
    pub const SEQUENCE: u16 = 128;
    /// It reset the connection with the segment that would have completed the handshake. SCTP: it sent ABORT.
    pub const HANDSHAKE_RESET: u16 = 256;
    /// Everything but a reset is taking part.
    pub const LIVE: u16 = SYN | SYN_ACK | DATA | ACK | FIN;
}

/// A jump of the sequence number beyond this is no lost segment but damage or an injection.
const LARGEST_GAP: i32 = 16 << 20;

/// A SYN whose sequence number is this little before the data's came late, and opens nothing new.
const REORDERED: u32 = 1 << 20;

/// Sequence state, by side.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Streams {
    /// The sequence number after the highest payload byte seen.
    next: [u32; 2],
    /// The SYN's or SYN-ACK's sequence number.
    initial: [u32; 2],
    acknowledged: [u32; 2],
}

#[derive(Debug, Clone, Copy)]
pub(super) enum State {
    Streams(Streams),
    Datagrams(Recent),
}

/// State that few connections need, kept apart so that the others stay small.
#[derive(Debug, Default)]
pub(super) struct Extra {
    /// Activity between the first and the last packet's windows.
    pub windows: ActivityWindows,
    pub legs: Option<Legs>,
    pub repeats: Repeats,
    /// What was reported of it while it is ongoing.
    pub reported: Option<Box<Reported>>,
}

/// What earlier reports of an ongoing connection contained.
#[derive(Debug, Default, Clone)]
pub(super) struct Reported {
    /// When the latest was made, in nanoseconds since the epoch.
    pub at: i64,
    /// The connection's last packet then.
    pub last: i64,
    /// The verdicts under which it has been counted, as bits.
    pub verdicts: u8,
    /// Payload bytes and datagrams reported, by sending side.
    pub bytes: [u64; 2],
    pub datagrams: [u32; 2],
}

#[derive(Debug)]
pub(super) struct Connection {
    pub key: Key,
    /// Nanoseconds since the epoch.
    pub first: i64,
    pub last: i64,
    /// When one of its addresses changes its owner; a UDP conversation ends there (rule: owner-at-that-time).
    pub epoch_end: i64,
    /// Payload bytes by sending side.
    pub bytes: [u64; 2],
    pub datagrams: [u32; 2],
    pub seen: [u16; 2],
    /// What other legs saw, by this connection's sides.
    pub sent_on_legs: [u16; 2],
    pub state: State,
    pub extra: Option<Box<Extra>>,
    /// The connection of which this is only another leg.
    pub parent: Option<Ticket>,
    /// A leg's side 0 is the parent's side 1.
    pub flipped: bool,
    /// A leg's distance from its parent, away from the parent's side 0.
    pub hops: i16,
    pub hash: u32,
    /// Counts the uses of this slot.
    pub generation: u32,
    pub live: bool,
    /// Which side sent the first packet.
    pub opener: u8,
    /// How many more packets may show that this is a leg of another connection.
    pub probes: u8,
    pub closed: bool,
    pub refused: bool,
    /// The wheel has checked it once, so the next check may be far ahead.
    pub settled: bool,
    /// Only a sample of its packets is seen, besides those that open and close it.
    pub sampled: bool,
}

/// What a leg reports to its parent.
#[derive(Debug, Clone, Copy)]
pub(super) struct LegView {
    seen: [u16; 2],
    bytes: [u64; 2],
    datagrams: [u32; 2],
    refused: bool,
    closed: bool,
    first: i64,
    last: i64,
}

impl Connection {
    pub fn new(key: Key, hash: u32, generation: u32, opener: Side, at: i64) -> Self {
        let state = match key.protocol() {
            Protocol::Tcp => State::Streams(Streams::default()),
            Protocol::Udp | Protocol::Sctp => State::Datagrams(Recent::default()),
        };
        Connection {
            key,
            first: at,
            last: at,
            epoch_end: i64::MAX,
            bytes: [0; 2],
            datagrams: [0; 2],
            seen: [0; 2],
            sent_on_legs: [0; 2],
            state,
            extra: None,
            parent: None,
            flipped: false,
            hops: 0,
            hash,
            generation,
            live: true,
            opener: opener as u8,
            probes: 0,
            closed: false,
            refused: false,
            settled: false,
            sampled: false,
        }
    }

    /// Records a packet's time. Only from the third second of activity on a set is needed.
    #[inline(always)]
    pub fn touch(&mut self, at: i64) {
        if at > self.last {
            let (now, last) = (at.div_euclid(SECOND), self.last.div_euclid(SECOND));
            if now != last && last != self.first.div_euclid(SECOND) {
                let windows = &mut self.extra.get_or_insert_default().windows;
                windows.mark(Timestamp::from_nanos(self.last));
            }
            self.last = at;
        }
    }

    /// All windows in which it was active: of an open connection of TCP those between its packets too.
    pub fn windows(&self) -> ActivityWindows {
        if matches!(self.state, State::Streams(_)) && self.takes_part_on_both_sides() {
            let [first, last] = [self.first, self.last].map(Timestamp::from_nanos);
            return ActivityWindows::span(first, last);
        }
        let mut windows = self
            .extra
            .as_ref()
            .map_or(ActivityWindows::default(), |extra| extra.windows);
        windows.mark(Timestamp::from_nanos(self.first));
        windows.mark(Timestamp::from_nanos(self.last));
        windows
    }

    /// How long it may be silent before it leaves the table.
    ///
    /// A closed connection stays for late packets only. An open one of TCP stays as long as common
    /// firewalls keep it at least; a SYN is repeated after at most 32 s (Linux tcp_syn_retries); UDP
    /// as conntrack's nf_conntrack_udp_timeout_stream has it, halved. Of a sampled one few packets are
    /// seen until its FIN or RST, which always is: it may be silent for hours.
    #[inline(always)]
    pub fn patience(&self) -> i64 {
        let seconds = match self.state {
            _ if self.closed => CLOSED_PATIENCE,
            State::Datagrams(_) if self.key.protocol() == Protocol::Udp => 60,
            _ if self.sampled => self.sampled_patience(),
            _ if self.takes_part_on_both_sides() => 600,
            _ => 40,
        };
        seconds * SECOND
    }

    #[inline(always)]
    fn takes_part_on_both_sides(&self) -> bool {
        self.sent(0) & sent::LIVE != 0 && self.sent(1) & sent::LIVE != 0
            || (self.sent(0) | self.sent(1)) & sent::MOVED != 0
    }

    /// In seconds; a single segment of a connection without a handshake waits for a second one.
    #[cold]
    fn sampled_patience(&self) -> i64 {
        let any = self.sent(0) | self.sent(1);
        if self.takes_part_on_both_sides() {
            4 * 3600
        } else if any & (sent::SYN | sent::SYN_ACK) != 0 {
            40
        } else {
            600
        }
    }

    /// Counts the bytes of segments that were left out of the sample: the next one's sequence number
    /// shows their number.
    pub fn fill_gap(&mut self, side: Side, flags: TcpFlags, sequence: u32) {
        let seen = &mut self.seen[side];
        if let State::Streams(streams) = &mut self.state
            && *seen & (sent::SEQUENCE | sent::FIN) == sent::SEQUENCE
            && !flags.syn()
            && !flags.rst()
        {
            let beyond = sequence.wrapping_sub(streams.next[side]) as i32;
            if beyond > 0 {
                self.bytes[side] += u64::from(beyond.unsigned_abs());
                streams.next[side] = sequence;
                *seen |= sent::DATA;
            }
        }
    }

    /// Processes a TCP segment. Returns true if this closed the connection.
    #[inline(always)]
    pub fn segment(
        &mut self,
        side: Side,
        flags: TcpFlags,
        sequence: u32,
        ack: u32,
        payload: u32,
    ) -> bool {
        let State::Streams(streams) = &mut self.state else {
            return false;
        };
        let seen = &mut self.seen[side];
        let was_closed = self.closed;
        if flags.rst() {
            *seen |= sent::RST;
            self.closed = true;
            if self.is_handshake_reset(side, flags, sequence) {
                self.seen[side] |= sent::HANDSHAKE_RESET;
            }
            return !was_closed;
        }
        if flags.ack() {
            if *seen & sent::ACK != 0 && streams.acknowledged[side] != ack {
                *seen |= sent::MOVED;
            }
            streams.acknowledged[side] = ack;
            *seen |= sent::ACK;
        }
        if flags.syn() {
            *seen |= if flags.ack() {
                sent::SYN_ACK
            } else {
                sent::SYN
            };
            streams.initial[side] = sequence;
        }
        if payload > 0 || flags.syn() {
            let end = sequence
                .wrapping_add(payload)
                .wrapping_add(flags.syn().into());
            if payload > 0 {
                *seen |= sent::DATA;
            }
            if flags.syn() || *seen & sent::SEQUENCE == 0 {
                // A repeated SYN (of TCP Fast Open: with data) comes before everything else.
                if *seen & sent::SEQUENCE == 0 {
                    self.bytes[side] += u64::from(payload);
                    streams.next[side] = end;
                }
                *seen |= sent::SEQUENCE;
            } else {
                // Only what goes beyond the highest byte counts: copies and retransmissions do not.
                let beyond = end.wrapping_sub(streams.next[side]) as i32;
                if beyond > 0 {
                    let new = if beyond < LARGEST_GAP {
                        beyond as u32
                    } else {
                        payload
                    };
                    self.bytes[side] += u64::from(new);
                    streams.next[side] = end;
                }
            }
        }
        if flags.fin() {
            *seen |= sent::FIN;
            if self.seen[1 - side] & sent::FIN != 0 {
                self.closed = true;
            }
        }
        self.closed && !was_closed
    }

    /// Returns true if a reset stands where the client's acknowledgment of the SYN-ACK would stand: its
    /// sequence number is the one after the SYN's (RFC 9293 section 3.10.7.1, of a SYN-ACK that nobody asked for).
    ///
    /// Of a sampled connection the acknowledgment itself may have been left out. There a reset of an open
    /// connection is told by its ACK flag, which the other has not.
    fn is_handshake_reset(&self, side: Side, flags: TcpFlags, sequence: u32) -> bool {
        let State::Streams(streams) = &self.state else {
            return false;
        };
        let (own, other) = (self.seen[side], self.seen[1 - side]);
        let after_syn = own & sent::SYN != 0 && sequence == streams.initial[side].wrapping_add(1);
        let as_expected = other & sent::SYN_ACK != 0 && sequence == streams.acknowledged[1 - side];
        (after_syn || as_expected) && !(self.sampled && flags.ack())
    }

    /// Returns true if a SYN (or, with `answer`, a SYN-ACK) belongs to another connection with the same
    /// ports: the port was used again. A repeated or late one does not.
    pub fn is_reopened(&self, side: Side, sequence: u32, answer: bool) -> bool {
        let State::Streams(streams) = &self.state else {
            return false;
        };
        let (own, other) = (self.seen[side], self.seen[1 - side]);
        if answer {
            let known = own & (sent::SYN | sent::SYN_ACK) != 0;
            return self.closed && known && sequence != streams.initial[side];
        }
        if own & (sent::SYN | sent::SYN_ACK) != 0 {
            return sequence != streams.initial[side];
        }
        let soon = |later: u32| (1..REORDERED).contains(&later.wrapping_sub(sequence));
        let simultaneous = other & sent::LIVE == sent::SYN && !self.closed;
        let late = own & sent::SEQUENCE != 0 && soon(streams.next[side])
            || other & sent::ACK != 0 && soon(streams.acknowledged[1 - side]);
        !(simultaneous || late)
    }

    /// Processes a datagram (or SCTP packet) unless it is a copy of a recent one.
    pub fn datagram(&mut self, side: Side, packet: &Packet, fingerprint: u32, payload: u32) {
        let State::Datagrams(recent) = &mut self.state else {
            return;
        };
        let id = u32::from(packet.ip_id).wrapping_mul(0x9e37_79b1);
        let seen = Seen {
            mark: (fingerprint ^ id) & !1 | side as u32,
            at: packet.time.nanos(),
            identified: packet.ip_id != 0,
            // A packet that was routed in between is a copy from elsewhere in the same capture.
            place: (packet.place != 0).then_some(
                (packet.place as u8)
                    .wrapping_mul(3)
                    .wrapping_add(packet.ttl),
            ),
        };
        let extra = &mut self.extra;
        if recent.is_copy(seen, || &mut extra.get_or_insert_default().repeats) {
            return;
        }
        self.seen[side] |= sent::DATA;
        self.datagrams[side] = self.datagrams[side].saturating_add(1);
        self.bytes[side] += u64::from(payload);
    }

    /// Records the first chunk of an SCTP packet. Returns true if this closed the association.
    pub fn chunk(&mut self, side: Side, chunk: SctpChunk) -> bool {
        let was_closed = self.closed;
        let seen = &mut self.seen[side];
        match chunk {
            SctpChunk::Init => *seen |= sent::SYN,
            SctpChunk::InitAck => *seen |= sent::SYN_ACK,
            SctpChunk::Data => *seen |= sent::DATA,
            SctpChunk::Other => *seen |= sent::ACK,
            SctpChunk::Shutdown => {
                *seen |= sent::FIN;
                self.closed |= self.seen[1 - side] & sent::FIN != 0;
            }
            SctpChunk::Abort => {
                *seen |= sent::RST | sent::HANDSHAKE_RESET;
                self.closed = true;
            }
        }
        self.closed && !was_closed
    }

    /// What this leg saw, by the parent's sides.
    pub fn as_leg(&self) -> LegView {
        let mut view = LegView {
            seen: self.seen,
            bytes: self.bytes,
            datagrams: self.datagrams,
            refused: self.refused,
            closed: self.closed,
            first: self.first,
            last: self.last,
        };
        if self.flipped {
            view.seen.reverse();
            view.bytes.reverse();
            view.datagrams.reverse();
        }
        view
    }

    /// Adds what a leg saw: replies may have been captured on one leg only. Sums are not added up,
    /// since the packets of a leg are copies.
    pub fn learn_from_leg(&mut self, leg: &LegView) {
        for side in 0..2 {
            self.sent_on_legs[side] |= leg.seen[side];
        }
        if let Some(legs) = self.extra.as_mut().and_then(|extra| extra.legs.as_mut()) {
            legs.count(leg.bytes, leg.datagrams);
        }
        self.refused |= leg.refused;
        self.closed |= leg.closed;
        self.first = self.first.min(leg.first);
        self.touch(leg.last);
    }

    /// Payload bytes and datagrams by sending side, of the leg that saw the most.
    pub fn volume(&self) -> ([u64; 2], [u32; 2]) {
        match self.extra.as_ref().and_then(|extra| extra.legs.as_ref()) {
            None => (self.bytes, self.datagrams),
            Some(legs) => {
                let mut most = *legs;
                most.count(self.bytes, self.datagrams);
                (most.bytes, most.datagrams)
            }
        }
    }

    /// What a side has sent, on whichever leg it was seen.
    #[inline(always)]
    pub fn sent(&self, side: Side) -> u16 {
        self.seen[side] | self.sent_on_legs[side]
    }
}
