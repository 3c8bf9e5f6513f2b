//! From one event to the packets of client and server, without their addresses.

use super::{DnsExchange, Event, Verb};
use crate::support::frames::{self, ACK, DnsAnswer, FIN, PSH, RST, SYN};
use std::net::IpAddr;

const MILLI: i64 = 1_000_000;

/// A packet of a connection, without the addresses of a leg.
pub struct Step {
    /// Nanoseconds after the event began.
    pub after: i64,
    pub from_client: bool,
    pub what: What,
}

pub enum What {
    Tcp {
        flags: u8,
        sequence: u32,
        acknowledgment: u32,
        payload: Vec<u8>,
    },
    Udp(Vec<u8>),
    Sctp {
        tag: u32,
        kind: u8,
        flags: u8,
        body: Vec<u8>,
    },
    Icmp(u8, Vec<u8>),
    Other(u8, Vec<u8>),
    /// An ICMP error about the first packet, from the server or a router.
    Unreachable(Option<IpAddr>),
    Arp,
}

pub fn steps(serial: u32, event: &Event) -> Vec<Step> {
    match event.protocol.as_str() {
        "tcp" => tcp(serial, event),
        "udp" => udp(serial, event),
        "sctp" => sctp(serial, event),
        "arp" => vec![step(0, true, What::Arp)],
        "icmp" => {
            let v6 = event.client.is_ipv6();
            let (ask, reply) = if v6 { (128, 129) } else { (8, 0) };
            let mut steps = vec![step(0, true, What::Icmp(ask, vec![0; 48]))];
            if matches!(event.verb, Verb::Ping) {
                steps.push(step(MILLI, false, What::Icmp(reply, vec![0; 48])));
            }
            steps
        }
        number => {
            let protocol = number.parse().expect("an IP protocol number");
            vec![step(0, true, What::Other(protocol, vec![0; 40]))]
        }
    }
}

fn step(after: i64, from_client: bool, what: What) -> Step {
    Step {
        after,
        from_client,
        what,
    }
}

/// Returns bytes that differ between events, so that no two datagrams look like copies.
fn filler(serial: u32, salt: u32, length: usize) -> Vec<u8> {
    let text = format!("nanoseg {serial} {salt} ");
    text.bytes().cycle().take(length).collect()
}

/// Builds TCP steps with correct sequence numbers.
struct TcpTalk {
    steps: Vec<Step>,
    after: i64,
    /// The next sequence numbers of client and server.
    next: [u32; 2],
}

impl TcpTalk {
    fn say(&mut self, from_client: bool, flags: u8, payload: Vec<u8>) {
        let (own, other) = if from_client { (0, 1) } else { (1, 0) };
        let taken = payload.len() as u32 + u32::from(flags & (SYN | FIN) != 0);
        let what = What::Tcp {
            flags,
            sequence: self.next[own],
            acknowledgment: if flags & ACK != 0 {
                self.next[other]
            } else {
                0
            },
            payload,
        };
        self.steps.push(step(self.after, from_client, what));
        self.next[own] = self.next[own].wrapping_add(taken);
        self.after += MILLI / 5;
    }

    /// Repeats the last packet of one side unchanged.
    fn repeat(&mut self) {
        if let Some(Step {
            from_client,
            what:
                What::Tcp {
                    flags,
                    sequence,
                    acknowledgment,
                    payload,
                },
            ..
        }) = self.steps.last()
        {
            let (flags, sequence, acknowledgment) = (*flags, *sequence, *acknowledgment);
            let what = What::Tcp {
                flags,
                sequence,
                acknowledgment,
                payload: payload.clone(),
            };
            let from_client = *from_client;
            self.after += 200 * MILLI;
            self.steps.push(step(self.after, from_client, what));
        }
    }

    fn data(&mut self, request: Vec<u8>, reply: Vec<u8>, retransmit: bool) {
        self.say(true, PSH | ACK, request);
        if retransmit {
            self.repeat();
        }
        self.say(false, ACK, Vec::new());
        self.say(false, PSH | ACK, reply);
        self.say(true, ACK, Vec::new());
    }

    fn close(&mut self) {
        self.say(true, FIN | ACK, Vec::new());
        self.say(false, FIN | ACK, Vec::new());
        self.say(true, ACK, Vec::new());
    }
}

fn tcp(serial: u32, event: &Event) -> Vec<Step> {
    let isn = serial.wrapping_mul(1_000_003).wrapping_add(17);
    let mut talk = TcpTalk {
        steps: Vec::new(),
        after: 0,
        next: [isn, isn.rotate_left(13).wrapping_add(5)],
    };
    let payload = |salt, length| filler(serial, salt, length);
    if tcp_without_conversation(&mut talk, event) {
        return talk.steps;
    }
    talk.say(true, SYN, Vec::new());
    if event.retransmit {
        talk.repeat();
    }
    talk.say(false, SYN | ACK, Vec::new());
    talk.say(true, ACK, Vec::new());
    match &event.verb {
        Verb::SynAckOnly => drop(talk.steps.remove(0)),
        Verb::Midstream | Verb::ReplyFirst => talk.steps.clear(),
        _ => {}
    }
    let (request, reply) = match &event.verb {
        Verb::Dns(exchange) => {
            let framed = |message: Vec<u8>| {
                let mut bytes = (message.len() as u16).to_be_bytes().to_vec();
                bytes.extend(message);
                bytes
            };
            let (query, response) = dns(serial, exchange);
            (framed(query), framed(response))
        }
        _ => (payload(1, event.bytes.0), payload(2, event.bytes.1)),
    };
    if matches!(event.verb, Verb::ReplyFirst) {
        talk.say(false, PSH | ACK, payload(3, 300));
    }
    talk.data(request, reply, event.retransmit);
    if let Some(until) = event.until {
        talk.after = until - event.at;
        talk.data(payload(4, event.bytes.0), payload(5, event.bytes.1), false);
    }
    if !event.open && !matches!(event.verb, Verb::Midstream | Verb::ReplyFirst) {
        talk.close();
    }
    if let Some((flags, later)) = event.late {
        talk.after += later;
        talk.say(false, flags | ACK, Vec::new());
    }
    talk.steps
}

/// Builds the packets of a failing connection. Returns false for all others.
fn tcp_without_conversation(talk: &mut TcpTalk, event: &Event) -> bool {
    let first = talk.next[0];
    match &event.verb {
        Verb::Unanswered(attempts) => {
            talk.say(true, SYN, Vec::new());
            for attempt in 1..*attempts {
                talk.after = ((1i64 << attempt) - 1) * 1000 * MILLI;
                talk.next[0] = first;
                talk.say(true, SYN, Vec::new());
            }
        }
        Verb::Refused => {
            talk.say(true, SYN, Vec::new());
            talk.next[1] = 0;
            talk.say(false, RST | ACK, Vec::new());
        }
        Verb::Unreachable(router) => {
            talk.say(true, SYN, Vec::new());
            talk.steps
                .push(step(MILLI, false, What::Unreachable(*router)));
        }
        Verb::Stray(flags) => {
            talk.say(false, flags | ACK, Vec::new());
        }
        Verb::HalfOpen => {
            talk.say(true, SYN, Vec::new());
            talk.say(false, SYN | ACK, Vec::new());
        }
        Verb::Probed => {
            talk.say(true, SYN, Vec::new());
            talk.say(false, SYN | ACK, Vec::new());
            talk.say(true, RST, Vec::new());
        }
        Verb::Checked => {
            talk.say(true, SYN, Vec::new());
            talk.say(false, SYN | ACK, Vec::new());
            talk.say(true, ACK, Vec::new());
            talk.say(true, RST | ACK, Vec::new());
        }
        _ => return false,
    }
    true
}

fn udp(serial: u32, event: &Event) -> Vec<Step> {
    let payload = |salt, length| {
        let (serial, salt) = if event.same { (0, 0) } else { (serial, salt) };
        What::Udp(filler(serial, salt, length))
    };
    let ask = || step(0, true, payload(1, event.bytes.0));
    let mut steps = match &event.verb {
        Verb::Dns(exchange) => {
            let (query, response) = dns(serial, exchange);
            vec![
                step(0, true, What::Udp(query)),
                step(MILLI, false, What::Udp(response)),
            ]
        }
        Verb::Unanswered(datagrams) => (0..*datagrams)
            .map(|n| {
                step(
                    n as i64 * 1000 * MILLI,
                    true,
                    payload(n as u32, event.bytes.0),
                )
            })
            .collect(),
        Verb::Unreachable(router) => vec![ask(), step(MILLI, false, What::Unreachable(*router))],
        Verb::ReplyFirst => vec![
            step(0, false, payload(3, event.bytes.1)),
            step(MILLI, true, payload(1, event.bytes.0)),
            step(2 * MILLI, false, payload(2, event.bytes.1)),
        ],
        _ => vec![ask(), step(MILLI, false, payload(2, event.bytes.1))],
    };
    if let Some(until) = event.until {
        let after = until - event.at;
        steps.push(step(after, true, payload(4, event.bytes.0)));
        steps.push(step(after + MILLI, false, payload(5, event.bytes.1)));
    }
    steps
}

/// RFC 9260 section 5.1: INIT, INIT ACK, COOKIE ECHO, COOKIE ACK, then data and shutdown.
fn sctp(serial: u32, event: &Event) -> Vec<Step> {
    let tags = [
        serial.wrapping_mul(2_654_435_761) | 1,
        serial.wrapping_mul(40_503) | 1,
    ];
    let chunk = |after, from_client: bool, kind, body: Vec<u8>| {
        let tag = match (kind, from_client) {
            (1, _) => 0,
            (_, true) => tags[1],
            (_, false) => tags[0],
        };
        let flags = if kind == 0 { 3 } else { 0 };
        let what = What::Sctp {
            tag,
            kind,
            flags,
            body,
        };
        step(after * MILLI / 5, from_client, what)
    };
    let init = |side: usize| {
        let mut body = tags[side].to_be_bytes().to_vec();
        body.extend([0, 1, 0, 0, 0, 10, 0, 10]);
        body.extend(serial.to_be_bytes());
        body
    };
    let data = |salt, length| {
        let mut body = serial.to_be_bytes().to_vec();
        body.extend([0; 8]);
        body.extend(filler(serial, salt, length));
        body
    };
    match &event.verb {
        Verb::Unanswered(_) => vec![chunk(0, true, 1, init(0))],
        Verb::Refused => vec![chunk(0, true, 1, init(0)), chunk(1, false, 6, Vec::new())],
        Verb::Probed => vec![
            chunk(0, true, 1, init(0)),
            chunk(1, false, 2, init(1)),
            chunk(2, true, 6, Vec::new()),
        ],
        _ => vec![
            chunk(0, true, 1, init(0)),
            chunk(1, false, 2, init(1)),
            chunk(2, true, 10, vec![7; 32]),
            chunk(3, false, 11, Vec::new()),
            chunk(4, true, 0, data(1, event.bytes.0)),
            chunk(5, false, 3, vec![0; 12]),
            chunk(6, false, 0, data(2, event.bytes.1)),
            chunk(7, true, 3, vec![0; 12]),
            chunk(8, true, 7, vec![0; 4]),
            chunk(9, false, 8, Vec::new()),
            chunk(10, true, 14, Vec::new()),
        ],
    }
}

fn dns(serial: u32, exchange: &DnsExchange) -> (Vec<u8>, Vec<u8>) {
    let mut owner = exchange.name.clone();
    let mut answers = Vec::new();
    for answer in &exchange.answers {
        let (kind, data) = match answer.parse::<IpAddr>() {
            Ok(IpAddr::V4(address)) => (1, address.octets().to_vec()),
            Ok(IpAddr::V6(address)) => (28, address.octets().to_vec()),
            Err(_) => (5, frames::dns_name(answer)),
        };
        answers.push(DnsAnswer {
            name: owner.clone(),
            kind,
            ttl: exchange.ttl,
            data,
        });
        if kind == 5 {
            owner = answer.clone();
        }
    }
    let id = serial as u16 ^ 0x3a5c;
    (
        frames::dns(id, &exchange.name, exchange.kind, None),
        frames::dns(id, &exchange.name, exchange.kind, Some(&answers)),
    )
}
