//! Parses `traffic.txt` to a [`Script`].

use super::{DnsExchange, Event, LinkChange, Script, Sighting, Tap, Tunnel, TunnelKind, Verb};
use crate::support::capture::Format;
use crate::support::frames::{FIN, Link, RST};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

const START: i64 = 1_772_445_600; // 2026-03-02T10:00:00Z

pub fn script(text: &str) -> Result<Script, String> {
    let mut script = Script {
        start: START * 1_000_000_000,
        format: Format::Pcap,
        cut: 0,
        taps: Vec::new(),
        events: Vec::new(),
        links: Vec::new(),
    };
    for (number, line) in text.lines().enumerate() {
        let words: Vec<&str> = line
            .split('#')
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        if !words.is_empty() {
            read_line(&mut script, Words { words, next: 0 })
                .map_err(|error| format!("line {}: {error}: {line}", number + 1))?;
        }
    }
    if script.taps.is_empty() {
        script.taps.push(tap(Words {
            words: vec!["main"],
            next: 0,
        })?);
    }
    Ok(script)
}

struct Words<'a> {
    words: Vec<&'a str>,
    next: usize,
}

impl<'a> Words<'a> {
    fn take(&mut self) -> Option<&'a str> {
        let word = self.words.get(self.next).copied();
        self.next += 1;
        word
    }

    fn need<T: std::str::FromStr>(&mut self, what: &str) -> Result<T, String> {
        let word = self.take().ok_or_else(|| format!("{what} is missing"))?;
        word.parse().map_err(|_| format!("{word} is no {what}"))
    }

    /// Returns the next word if it parses as `T`.
    fn try_take<T: std::str::FromStr>(&mut self) -> Option<T> {
        let value = self.words.get(self.next)?.parse().ok()?;
        self.next += 1;
        Some(value)
    }

    fn seconds(&mut self) -> Result<i64, String> {
        let secs: f64 = self.need("number of seconds")?;
        Ok((secs * 1e9).round() as i64)
    }
}

fn read_line(script: &mut Script, mut words: Words<'_>) -> Result<(), String> {
    match words.words[0] {
        "start" => {
            words.take();
            let time: nanoseg_time::Time = words.need("time")?;
            script.start = time.0;
        }
        "format" => {
            script.format = match words.words.get(1).copied() {
                Some("pcap") => Format::Pcap,
                Some("pcap-nano-big") => Format::PcapNanoBig,
                Some("pcapng") => Format::PcapNg,
                _ => return Err("no such format".into()),
            };
        }
        "cut" => {
            words.take();
            script.cut = words.need("number of bytes")?;
        }
        "tap" => {
            words.take();
            script.taps.push(tap(words)?);
        }
        _ if words.words.get(1) == Some(&"link") => script.links.push(link(words)?),
        _ => {
            let event = event(script, words)?;
            script.events.push(event);
        }
    }
    Ok(())
}

/// Parses RFC 3339 times, in nanoseconds, with the project's own type.
mod nanoseg_time {
    pub struct Time(pub i64);

    impl std::str::FromStr for Time {
        type Err = ();

        fn from_str(text: &str) -> Result<Time, ()> {
            let time: nanoseg::net::Timestamp =
                serde_json::from_value(text.into()).map_err(|_| ())?;
            Ok(Time(time.nanos()))
        }
    }
}

fn tap(mut words: Words<'_>) -> Result<Tap, String> {
    let mut tap = Tap {
        name: words.need("name")?,
        link: Link::Ethernet,
        vlans: Vec::new(),
        tunnel: None,
        snap: usize::MAX,
        clock: 0,
    };
    while let Some(word) = words.take() {
        if let Some(link) = Link::parse(word) {
            tap.link = link;
            continue;
        }
        let kind = match word {
            "vlan" => {
                tap.vlans.push(words.need("VLAN")?);
                continue;
            }
            "clock" => {
                tap.clock = words.seconds()?;
                continue;
            }
            "snap" => {
                tap.snap = words.need("length")?;
                continue;
            }
            "vxlan" => TunnelKind::Vxlan(words.need("port")?),
            "geneve" => TunnelKind::Geneve,
            "ipip" => TunnelKind::IpIp,
            "gre" => TunnelKind::Gre,
            _ => return Err(format!("{word} is nothing that a tap has")),
        };
        let client = words.need("outer address")?;
        let server = words.need("outer address")?;
        tap.tunnel = Some(Tunnel {
            kind,
            client,
            server,
        });
    }
    Ok(tap)
}

/// Parses `TIME link ADDRESS MAC INTERFACE`.
fn link(mut words: Words<'_>) -> Result<LinkChange, String> {
    let at = words.seconds()?;
    words.take();
    let address = words.need("address")?;
    let text: String = words.need("MAC address")?;
    let bytes: Vec<u8> = text
        .split(':')
        .filter_map(|byte| u8::from_str_radix(byte, 16).ok())
        .collect();
    Ok(LinkChange {
        at,
        address,
        mac: bytes
            .try_into()
            .map_err(|_| format!("{text} is no MAC address"))?,
        interface: words.need("interface index")?,
    })
}

fn event(script: &Script, mut words: Words<'_>) -> Result<Event, String> {
    let at = words.seconds()?;
    let mut protocol = words.take().unwrap_or_default().to_owned();
    if protocol == "ip" {
        protocol = words.need::<u8>("protocol number")?.to_string();
    }
    let portless = !matches!(protocol.as_str(), "tcp" | "udp" | "sctp");
    let client = words.take().unwrap_or_default();
    if words.take() != Some(">") {
        return Err("> is missing".into());
    }
    let server = words.take().unwrap_or_default();
    let mut event = Event {
        at,
        client: targets(client, portless)?[0],
        servers: targets(server, portless)?,
        protocol,
        dnat: None,
        snat: None,
        verb: Verb::Connect,
        bytes: (100, 1000),
        times: (1, 1_000_000_000),
        retransmit: false,
        open: false,
        until: None,
        late: None,
        same: false,
        no_id: false,
        sightings: Vec::new(),
    };
    while let Some(word) = words.take() {
        word_of_event(script, &mut event, word, &mut words)?;
    }
    Ok(event)
}

fn word_of_event(
    script: &Script,
    event: &mut Event,
    word: &str,
    words: &mut Words<'_>,
) -> Result<(), String> {
    match word {
        "dnat" => event.dnat = Some(words.need("address and port")?),
        "snat" => event.snat = Some(words.need("address and port")?),
        "connect" | "exchange" => event.verb = Verb::Connect,
        "synack-only" => event.verb = Verb::SynAckOnly,
        "midstream" => event.verb = Verb::Midstream,
        "reply-first" => event.verb = Verb::ReplyFirst,
        "halfopen" => event.verb = Verb::HalfOpen,
        "probed" => event.verb = Verb::Probed,
        "checked" => event.verb = Verb::Checked,
        "unanswered" | "oneway" => event.verb = Verb::Unanswered(words.try_take().unwrap_or(1)),
        "refused" => event.verb = Verb::Refused,
        "unreachable" => event.verb = Verb::Unreachable(None),
        "by" => event.verb = Verb::Unreachable(Some(words.need("address")?)),
        "stray-fin" => event.verb = Verb::Stray(FIN),
        "stray-rst" => event.verb = Verb::Stray(RST),
        "ping" => event.verb = Verb::Ping,
        "who-has" => event.verb = Verb::Arp,
        "dns" => event.verb = Verb::Dns(dns(words)?),
        "bytes" => event.bytes = (words.need("number")?, words.need("number")?),
        "x" => event.times.0 = words.need("number")?,
        "every" => event.times.1 = words.seconds()?,
        "retransmit" => event.retransmit = true,
        "open" => event.open = true,
        "same" => event.same = true,
        "no-id" => event.no_id = true,
        "until" => event.until = Some(words.seconds()?),
        "late-fin" => event.late = Some((FIN, words.seconds()?)),
        "late-rst" => event.late = Some((RST, words.seconds()?)),
        "at" => {
            while let Some(word) = words.take() {
                event.sightings.push(sighting(script, word)?);
            }
        }
        _ => return Err(format!("{word} is no word of an event")),
    }
    Ok(())
}

/// Parses `KIND NAME = [CNAME NAME] ADDRESS… ttl SECONDS`. Commas are ignored.
fn dns(words: &mut Words<'_>) -> Result<DnsExchange, String> {
    let kind = match words.take() {
        Some("A") => 1,
        Some("AAAA") => 28,
        _ => return Err("a DNS query is for A or AAAA".into()),
    };
    let mut exchange = DnsExchange {
        kind,
        name: words.need("name")?,
        answers: Vec::new(),
        ttl: 60,
    };
    if words.take() != Some("=") {
        return Err("= is missing".into());
    }
    while let Some(word) = words.take() {
        match word.trim_matches(',') {
            "ttl" => {
                exchange.ttl = words.need("number of seconds")?;
                break;
            }
            "CNAME" | "" => {}
            answer => exchange.answers.push(answer.to_owned()),
        }
    }
    Ok(exchange)
}

fn sighting(script: &Script, word: &str) -> Result<Sighting, String> {
    let mut parts = word.split('/');
    let name = parts.next().unwrap_or_default();
    let tap = script.taps.iter().position(|tap| tap.name == name);
    let mut sighting = Sighting {
        tap: tap.ok_or_else(|| format!("there is no tap {name}"))?,
        before: None,
        ttl: None,
    };
    for part in parts {
        match part {
            "before" => sighting.before = Some(true),
            "after" => sighting.before = Some(false),
            ttl => sighting.ttl = Some(ttl.parse().map_err(|_| format!("{ttl} is no TTL"))?),
        }
    }
    Ok(sighting)
}

/// Parses `A:P`, `[A]:P`, or `A` without a port; `A-B` and `P-Q` are ranges.
fn targets(text: &str, portless: bool) -> Result<Vec<SocketAddr>, String> {
    let wrong = || format!("{text} is no address and port");
    if portless {
        let address: IpAddr = text.parse().map_err(|_| wrong())?;
        return Ok(vec![SocketAddr::new(address, 0)]);
    }
    let (addresses, ports) = text.rsplit_once(':').ok_or_else(wrong)?;
    let addresses: Vec<IpAddr> = match addresses.split_once('-') {
        Some((from, to)) => {
            let read = |text: &str| text.parse::<Ipv4Addr>().map(u32::from).map_err(|_| wrong());
            (read(from)?..=read(to)?)
                .map(|n| IpAddr::V4(n.into()))
                .collect()
        }
        None => {
            let bare = addresses.trim_start_matches('[').trim_end_matches(']');
            vec![bare.parse().map_err(|_| wrong())?]
        }
    };
    let port = |text: &str| text.parse::<u16>().map_err(|_| wrong());
    let (from, to) = ports.split_once('-').unwrap_or((ports, ports));
    let ports = port(from)?..=port(to)?;
    Ok(addresses
        .iter()
        .flat_map(|address| ports.clone().map(|port| SocketAddr::new(*address, port)))
        .collect())
}
