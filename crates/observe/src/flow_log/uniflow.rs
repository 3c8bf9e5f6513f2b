//! One direction of a connection, as exporters report it (RFC 5103 calls it a uniflow), and the TCP flags that were
//! seen in it.

use nanoseg_flow::{Opening, PeerLabel, is_probable_answer};
use nanoseg_net::{Protocol, Timestamp};
use std::net::SocketAddr;
use std::sync::Arc;

/// One direction, or a part of one: exporters cut flows by time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Uniflow {
    pub source: SocketAddr,
    pub destination: SocketAddr,
    pub protocol: Protocol,
    /// Agent, interface and direction: the same packets are seen at several of them.
    pub point: Arc<str>,
    pub flags: FlagsSeen,
    /// A rule or policy dropped it.
    pub blocked: bool,
    pub packets: u64,
    pub bytes: u64,
    pub first: Timestamp,
    pub last: Timestamp,
    /// `first` is the time of a packet, to the millisecond, and not that of a window.
    pub exact: bool,
    /// What stands at source and destination.
    pub labels: [Option<PeerLabel>; 2],
}

/// Returns true if listeners may know better who opened a connection: then its client's port is kept. A first packet in a log
/// may be an answer, unless its ports say that it is none.
pub(super) fn is_open_to_doubt(opening: Opening, [client, server]: [SocketAddr; 2]) -> bool {
    match opening {
        Opening::Handshake | Opening::Listener => false,
        Opening::FirstPacket => !is_probable_answer(server, client),
        Opening::Undecided => true,
    }
}

/// TCP flags of all packets of one direction together. Each field is what is known for certain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct FlagsSeen {
    /// The format reports flags.
    pub known: bool,
    /// A SYN without ACK: it opened the connection.
    pub opens: bool,
    /// A SYN with ACK: it answered.
    pub accepts: bool,
    /// A SYN of one of both kinds.
    pub syn: bool,
    /// A segment beyond the handshake: data, an end, or an acknowledgement without SYN and RST.
    pub beyond: bool,
    pub reset: bool,
    /// What this side can only have sent to a side that answers: a SYN-ACK, or an acknowledgement beside a SYN, data or an end.
    pub acknowledges: bool,
    /// The format would report a segment beyond the handshake if there was one.
    pub tells_beyond: bool,
}

/// Bits of the TCP header.
mod bit {
    pub const FIN: u16 = 0x01;
    pub const SYN: u16 = 0x02;
    pub const RST: u16 = 0x04;
    pub const PSH: u16 = 0x08;
    pub const ACK: u16 = 0x10;
}

impl FlagsSeen {
    /// Flags of the header, those of all packets OR-ed (NetFlow, IPFIX `tcpControlBits`): SYN together with ACK is a
    /// client's or a server's.
    pub fn combined(bits: u16) -> Self {
        let has = |mask| bits & mask != 0;
        FlagsSeen {
            known: true,
            opens: has(bit::SYN) && !has(bit::ACK),
            accepts: false,
            syn: has(bit::SYN),
            // An ACK alone may be that of a SYN-ACK or of a RST.
            beyond: has(bit::PSH | bit::FIN) || has(bit::ACK) && !has(bit::SYN | bit::RST),
            reset: has(bit::RST),
            // An ACK alone is a scan's, too, and one beside a RST may be the RST's.
            acknowledges: has(bit::ACK) && has(bit::SYN | bit::PSH | bit::FIN) && !has(bit::RST),
            tells_beyond: true,
        }
    }

    /// As AWS reports them: SYN is 2 and SYN-ACK 18; an ACK without SYN is not reported.
    pub fn of_vpc(bits: u16) -> Self {
        let accepts = bits & (bit::SYN | bit::ACK) == bit::SYN | bit::ACK;
        FlagsSeen {
            known: true,
            opens: bits & bit::SYN != 0 && !accepts,
            accepts,
            syn: bits & bit::SYN != 0,
            beyond: bits & bit::FIN != 0,
            reset: bits & bit::RST != 0,
            acknowledges: accepts && bits & bit::RST == 0,
            tells_beyond: false,
        }
    }

    /// As NetObserv's agent reports them: SYN, ACK, FIN and RST of segments with that flag alone, and of those with ACK
    /// beside it in bits of their own (0x100 SYN-ACK, 0x200 FIN-ACK, 0x400 RST-ACK).
    pub fn of_netobserv(bits: u16) -> Self {
        let has = |mask| bits & mask != 0;
        FlagsSeen {
            known: true,
            opens: has(bit::SYN),
            accepts: has(0x100),
            syn: has(bit::SYN | 0x100),
            beyond: has(bit::ACK | bit::PSH | bit::FIN | 0x200),
            reset: has(bit::RST | 0x400),
            acknowledges: (has(0x100 | 0x200)
                || has(bit::ACK) && has(bit::SYN | bit::PSH | bit::FIN))
                && !has(bit::RST | 0x400),
            tells_beyond: true,
        }
    }

    /// The bits of `...AP.SF`, as nfdump writes them; digits are the bits themselves.
    pub fn parse_letters(text: &str) -> Option<u16> {
        let text = text.trim();
        if let Some(hex) = text.strip_prefix("0x") {
            return u16::from_str_radix(hex, 16).ok();
        }
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            return text.parse().ok();
        }
        let one = |letter| match letter {
            'F' => Some(bit::FIN),
            'S' => Some(bit::SYN),
            'R' => Some(bit::RST),
            'P' => Some(bit::PSH),
            'A' => Some(bit::ACK),
            'U' | 'E' | 'C' | 'W' | 'N' | 'X' | '.' => Some(0),
            _ => None,
        };
        text.chars()
            .try_fold(0, |bits, letter| Some(bits | one(letter)?))
    }

    /// Adds those of another part of the same direction.
    pub fn merge(&mut self, other: FlagsSeen) {
        // A part without flags leaves the whole unknown only where nothing is known.
        self.known |= other.known;
        self.opens |= other.opens;
        self.accepts |= other.accepts;
        self.syn |= other.syn;
        self.beyond |= other.beyond;
        self.reset |= other.reset;
        self.acknowledges |= other.acknowledges;
        self.tells_beyond |= other.tells_beyond;
    }

    /// Nothing but resets.
    pub fn is_lone_reset(self) -> bool {
        self.known && self.reset && !self.syn && !self.beyond
    }
}
