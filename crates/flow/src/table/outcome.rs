//! The outcome of a connection: who its client is, and how it went (rule: only-conversations-teach).

use super::connection::{Connection, sent};
use super::key::Side;
use crate::Verdict;
use nanoseg_net::Protocol;

/// The outcome of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outcome {
    /// The side that a handshake (or, for UDP, the first packet) names as the client.
    pub client: Option<Side>,
    /// `None`: stray packets only, no connection.
    pub verdict: Option<Verdict>,
}

impl Connection {
    /// The client's side and the verdict.
    pub fn outcome(&self) -> Outcome {
        match self.key.protocol() {
            Protocol::Udp => {
                let both = self.sent(0) & self.sent(1) & sent::DATA != 0;
                let verdict = match (both, self.refused) {
                    (true, _) => Verdict::Established,
                    (false, true) => Verdict::Refused,
                    (false, false) => Verdict::OneWay,
                };
                Outcome {
                    client: Some(self.opener.into()),
                    verdict: Some(verdict),
                }
            }
            Protocol::Tcp | Protocol::Sctp => match self.opening_side() {
                Some(client) => Outcome {
                    client: Some(client),
                    verdict: Some(self.opened_verdict(client)),
                },
                None => Outcome {
                    client: None,
                    verdict: self.mid_stream_verdict(),
                },
            },
        }
    }

    fn opening_side(&self) -> Option<Side> {
        let sent = |what: u16| [self.sent(0) & what != 0, self.sent(1) & what != 0];
        match sent(sent::SYN) {
            // Both (simultaneous open, RFC 9293 section 3.5): the first one.
            [true, true] => return Some(self.opener.into()),
            [true, false] => return Some(0),
            [false, true] => return Some(1),
            [false, false] => {}
        }
        match sent(sent::SYN_ACK) {
            [true, _] => Some(1),
            [false, true] => Some(0),
            [false, false] => None,
        }
    }

    fn opened_verdict(&self, client: Side) -> Verdict {
        let (ours, theirs) = (self.sent(client), self.sent(1 - client));
        let moved = (ours | theirs) & sent::MOVED != 0;
        let probed = ours & sent::HANDSHAKE_RESET != 0
            && ours & (sent::ACK | sent::DATA | sent::FIN) == 0
            && theirs & (sent::DATA | sent::FIN) == 0;
        if probed && !moved {
            // (rule: reset-handshake-teaches-nothing)
            return match self.key.protocol() {
                Protocol::Tcp | Protocol::Udp => Verdict::Unanswered,
                // Connection tracking cannot tell whose ABORT it was.
                Protocol::Sctp => Verdict::Refused,
            };
        }
        // A lone SYN-ACK is what a spoofed SYN makes: the client has to have taken part.
        if moved || theirs & sent::LIVE != 0 && ours & sent::LIVE != 0 {
            Verdict::Established
        } else if theirs & sent::RST != 0 || self.refused {
            Verdict::Refused
        } else {
            Verdict::Unanswered
        }
    }

    /// Without a handshake: data and an answer, or acknowledgments both ways that are not just the
    /// end of a connection.
    fn mid_stream_verdict(&self) -> Option<Verdict> {
        let any = self.sent(0) | self.sent(1);
        let both = self.sent(0) & sent::LIVE != 0 && self.sent(1) & sent::LIVE != 0;
        let data = any & sent::DATA != 0;
        if both && (data || any & sent::FIN == 0) || data && any & sent::MOVED != 0 {
            Some(Verdict::Established)
        } else if self.sampled {
            // Only few packets are seen, so a missing answer proves nothing.
            None
        } else if self.key.protocol() == Protocol::Sctp && data {
            let refused = self.refused || any & sent::RST != 0;
            Some(if refused {
                Verdict::Refused
            } else {
                Verdict::OneWay
            })
        } else if data && (any & sent::RST != 0 || self.refused) {
            Some(Verdict::Refused)
        } else if data {
            Some(Verdict::Unanswered)
        } else {
            None
        }
    }
}
