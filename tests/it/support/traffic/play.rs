//! From one event to its frames, on each leg and at each tap.

use super::steps::{Step, What, steps};
use super::{Event, Script, Sighting, Tap, Tunnel, TunnelKind};
use crate::support::capture::Captured;
use crate::support::frames::{self, Ip, TcpSegment};
use std::net::{IpAddr, SocketAddr};

const MILLI: i64 = 1_000_000;
const MICRO: i64 = 1_000;

/// The addresses of one leg.
#[derive(Clone, Copy)]
struct Leg {
    client: SocketAddr,
    server: SocketAddr,
    before: bool,
}

/// Returns all frames of an event; the first value is the tap.
pub fn frames(script: &Script, number: usize, event: &Event) -> Vec<(usize, Captured)> {
    let mut all = Vec::new();
    for (repeat, target) in
        (0..event.times.0).flat_map(|r| event.servers.iter().enumerate().map(move |t| (r, t)))
    {
        let place = (repeat * event.servers.len() + target.0) as u32;
        let mut once = event.clone();
        once.at += repeat as i64 * event.times.1 + target.0 as i64 * 10 * MILLI;
        once.client.set_port(
            event
                .client
                .port()
                .wrapping_add((place % 20_000) as u16)
                .max(u16::from(event.client.port() > 0)),
        );
        if let Some(snat) = &mut once.snat {
            snat.set_port(snat.port().wrapping_add((place % 20_000) as u16));
        }
        once.servers = vec![*target.1];
        connection(script, number as u32 * 100_000 + place, &once, &mut all);
    }
    all
}

fn connection(script: &Script, serial: u32, event: &Event, all: &mut Vec<(usize, Captured)>) {
    let called = event.servers[0];
    let mut legs = vec![Leg {
        client: event.client,
        server: called,
        before: true,
    }];
    if event.dnat.is_some() || event.snat.is_some() {
        legs.push(Leg {
            client: event.snat.unwrap_or(event.client),
            server: event.dnat.unwrap_or(called),
            before: false,
        });
    }
    let views = views(event, legs.len() > 1);
    let hops = views.iter().map(|(_, _, ttl)| 64 - ttl).max().unwrap_or(0);
    let steps = steps(serial, event);
    for (order, step) in steps.iter().enumerate() {
        for (place, (tap, before, ttl)) in views.iter().enumerate() {
            let Some(leg) = legs.iter().find(|leg| leg.before == *before) else {
                continue;
            };
            let delay = if step.from_client {
                place
            } else {
                views.len() - 1 - place
            };
            let ttl = if step.from_client {
                *ttl
            } else {
                64 - (hops - (64 - ttl))
            };
            let numbered = serial.wrapping_mul(7919).wrapping_add(order as u32 + 1);
            let id = if event.no_id { 0 } else { numbered as u16 };
            let packet = packet(step, &steps[0], *leg, ttl, id, serial);
            let tap_of = &script.taps[*tap];
            let mut frame = on_tap(tap_of, step, &packet, id);
            if ttl == 64 && tap_of.tunnel.is_none() {
                let source = if step.from_client {
                    leg.client
                } else {
                    leg.server
                };
                set_link(
                    script,
                    tap_of,
                    source.ip(),
                    event.at + step.after,
                    &mut frame,
                );
            }
            all.push((
                *tap,
                Captured {
                    nanos: script.start
                        + event.at
                        + step.after
                        + delay as i64 * 10 * MICRO
                        + tap_of.clock,
                    original: frame.len(),
                    data: frame[..frame.len().min(tap_of.snap)].to_vec(),
                },
            ));
        }
    }
}

/// Writes the MAC address and the interface that the sender has at that time.
fn set_link(script: &Script, tap: &Tap, sender: IpAddr, at: i64, frame: &mut [u8]) {
    let its_own = script.links.iter().rev();
    let mut its_own = its_own.filter(|link| link.address == sender && link.at <= at);
    if let Some(link) = its_own.next() {
        frames::set_sender(tap.link, frame, link.mac, link.interface);
    }
}

/// Returns tap, leg and TTL of each capture of a packet, in the order in which the client's packets pass.
fn views(event: &Event, translated: bool) -> Vec<(usize, bool, u8)> {
    let anywhere = [Sighting {
        tap: 0,
        before: None,
        ttl: None,
    }];
    let sightings = if event.sightings.is_empty() {
        &anywhere[..]
    } else {
        &event.sightings
    };
    let mut views = Vec::new();
    for sighting in sightings {
        let legs: &[bool] = match sighting.before {
            Some(true) => &[true],
            Some(false) => &[false],
            None if translated => &[true, false],
            None => &[true],
        };
        for before in legs {
            let routed = if *before { 64 } else { 63 };
            views.push((sighting.tap, *before, sighting.ttl.unwrap_or(routed)));
        }
    }
    views
}

fn packet(step: &Step, first: &Step, leg: Leg, ttl: u8, id: u16, serial: u32) -> Vec<u8> {
    let (from, to) = if step.from_client {
        (leg.client, leg.server)
    } else {
        (leg.server, leg.client)
    };
    let header = Ip {
        source: from.ip(),
        destination: to.ip(),
        ttl,
        id,
    };
    let ports = (from.port(), to.port());
    match &step.what {
        What::Tcp {
            flags,
            sequence,
            acknowledgment,
            payload,
        } => {
            let side = if step.from_client { 0 } else { 0x4000_0000 };
            let segment = TcpSegment {
                ports,
                flags: *flags,
                sequence: *sequence,
                acknowledgment: *acknowledgment,
                timestamp: serial.wrapping_mul(31) + side + (step.after / MILLI) as u32 + 1,
                payload,
            };
            frames::tcp(header, segment)
        }
        What::Udp(payload) => frames::udp(header, ports, payload),
        What::Sctp {
            tag,
            kind,
            flags,
            body,
        } => frames::sctp(header, ports, *tag, (*kind, *flags, body)),
        What::Icmp(kind, body) => frames::icmp(header, *kind, 0, body),
        What::Other(protocol, payload) => frames::ip(header, *protocol, payload),
        What::Unreachable(router) => {
            let original = packet(first, first, leg, ttl, id, serial);
            let source = router.unwrap_or(header.source);
            frames::unreachable(Ip { source, ..header }, &original)
        }
        What::Arp => match (from.ip(), to.ip()) {
            (IpAddr::V4(asker), IpAddr::V4(wanted)) => frames::arp(asker, wanted),
            _ => panic!("ARP is for IPv4"),
        },
    }
}

fn on_tap(tap: &Tap, step: &Step, packet: &[u8], id: u16) -> Vec<u8> {
    if matches!(step.what, What::Arp) {
        return frames::frame(tap.link, &tap.vlans, 0x0806, packet);
    }
    let ether_type = frames::ether_type(packet);
    let Some(tunnel) = &tap.tunnel else {
        return frames::frame(tap.link, &tap.vlans, ether_type, packet);
    };
    let outer = wrap(tunnel, step.from_client, ether_type, packet, id);
    frames::frame(tap.link, &tap.vlans, frames::ether_type(&outer), &outer)
}

fn wrap(tunnel: &Tunnel, forward: bool, ether_type: u16, packet: &[u8], id: u16) -> Vec<u8> {
    let (source, destination) = if forward {
        (tunnel.client, tunnel.server)
    } else {
        (tunnel.server, tunnel.client)
    };
    let header = Ip {
        source,
        destination,
        ttl: 64,
        id: id ^ 0x5555,
    };
    let inner = frames::frame(frames::Link::Ethernet, &[], ether_type, packet);
    let entropy = 49152 + (id & 0x3ff);
    match tunnel.kind {
        TunnelKind::Vxlan(port) => {
            let mut payload = vec![8, 0, 0, 0, 0, 0, 7, 0];
            payload.extend(inner);
            frames::udp(header, (entropy, port), &payload)
        }
        TunnelKind::Geneve => {
            let mut payload = vec![0, 0, 0x65, 0x58, 0, 0, 7, 0];
            payload.extend(inner);
            frames::udp(header, (entropy, 6081), &payload)
        }
        TunnelKind::IpIp => frames::ip(header, if ether_type == 0x86dd { 41 } else { 4 }, packet),
        TunnelKind::Gre => {
            let mut payload = vec![0, 0];
            payload.extend(ether_type.to_be_bytes());
            payload.extend(packet);
            frames::ip(header, 47, &payload)
        }
    }
}
