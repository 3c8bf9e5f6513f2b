//! Connections between the pods of a cluster, as packets in the order of time.
//!
//! A connection is nine packets: SYN, SYN-ACK, ACK, request, response, ACK, FIN, FIN-ACK, ACK. Many
//! are open at the same time, as in a real cluster, so their packets are interleaved.

use super::cluster::{Cluster, skewed};
use super::frame::{self, ACK, FIN, PSH, SYN, Segment};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, Write};
use std::net::SocketAddrV4;

/// The amount of traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrafficSize {
    /// Packets of all connections. Packets beyond the fewest that they need become further data packets. With `both_legs`
    /// the second legs are added to this number.
    pub packets: u64,
    pub connections: u64,
    /// The time from the first connection to the last, in seconds.
    pub seconds: u64,
    /// The percentage of connections to a Service's cluster IP.
    pub through_services: u64,
    /// Write connections through a cluster IP twice, before and after translation, as a capture of all interfaces of a
    /// node does.
    pub both_legs: bool,
    /// The percentage of connections that become idle after the response and are never closed.
    pub idle: u64,
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Written {
    pub packets: u64,
    pub bytes: u64,
    pub connections: u64,
    /// Workload → workload on a port, each counted once: the expected edges of the graph.
    pub edges: u64,
    /// The most connections that were open at the same time, from the SYN to the last packet.
    pub most_open: u64,
}

/// 2025-01-15 12:00:00 UTC, in microseconds.
pub const START: u64 = 1_736_942_400_000_000;
/// Packets of a connection that is closed, and of one that is not.
const CLOSED: u64 = 9;
const UNCLOSED: u64 = 6;
const FIRST_EPHEMERAL: u32 = 32_768;
const EPHEMERAL: u32 = 28_232;

impl TrafficSize {
    /// Returns true if connection `number` is never closed.
    fn is_idle(&self, number: u64) -> bool {
        number * self.idle / 100 != (number + 1) * self.idle / 100
    }

    /// Returns the fewest packets that these connections need.
    pub fn fewest_packets(&self) -> u64 {
        let idle = self.connections * self.idle / 100;
        (self.connections - idle) * CLOSED + idle * UNCLOSED
    }
}

/// The sequence numbers and the clock of one end.
#[derive(Debug, Clone, Copy)]
struct Side {
    sequence: u32,
    ip_id: u16,
    clock: u32,
}

#[derive(Debug, Clone)]
struct Connection {
    client: SocketAddrV4,
    /// The address and port that the client called.
    called: SocketAddrV4,
    /// The address and port after translation, if that leg is written too.
    arrived: Option<SocketAddrV4>,
    sides: [Side; 2],
    /// The index of the next packet, and the number of packets of each part.
    step: u64,
    data: u64,
    idle: bool,
}

/// The sender and the kind of a connection's next packet.
#[derive(Debug, Clone, Copy)]
struct Step {
    by_client: bool,
    flags: u8,
    payload: usize,
}

impl Connection {
    fn last_step(&self) -> u64 {
        3 + self.data + if self.idle { 0 } else { 3 }
    }

    fn current(&self, random: &mut fastrand::Rng) -> Step {
        let plain = |by_client, flags| Step {
            by_client,
            flags,
            payload: 0,
        };
        match self.step {
            0 => plain(true, SYN),
            1 => plain(false, SYN | ACK),
            2 => plain(true, ACK),
            step if step < 3 + self.data => {
                let by_client = step % 2 == 1;
                let payload = if by_client {
                    random.usize(24..56)
                } else {
                    random.usize(40..120)
                };
                Step {
                    by_client,
                    flags: PSH | ACK,
                    payload,
                }
            }
            step => match step - self.data {
                // The receiver of the last data acknowledges it.
                3 => plain(self.data.is_multiple_of(2), ACK),
                4 => plain(true, FIN | ACK),
                5 => plain(false, FIN | ACK),
                _ => plain(true, ACK),
            },
        }
    }

    /// Returns the microseconds from the packet before to the current one: the round trip of a network, the processing
    /// time of a server, or a client that keeps its connection for some seconds.
    fn pause(&self, random: &mut fastrand::Rng) -> u64 {
        match self.step {
            step if step < 4 => random.u64(20..400),
            step if step < 3 + self.data => random.u64(300..20_000),
            step if step == 4 + self.data => random.u64(1_000..6_000_000),
            _ => random.u64(20..400),
        }
    }

    fn segment(&mut self, time: u64, step: Step) -> Segment {
        let (mine, other) = (usize::from(!step.by_client), usize::from(step.by_client));
        let acknowledgment = if step.flags & ACK != 0 {
            self.sides[other].sequence
        } else {
            0
        };
        let echo = if step.flags & ACK != 0 {
            self.sides[other].clock
        } else {
            0
        };
        let since = ((time - START) / 1_000) as u32;
        let side = &mut self.sides[mine];
        let (source, destination) = if step.by_client {
            (self.client, self.called)
        } else {
            (self.called, self.client)
        };
        let segment = Segment {
            time,
            source,
            destination,
            ip_id: side.ip_id,
            time_to_live: 64,
            flags: step.flags,
            sequence: side.sequence,
            acknowledgment,
            payload: step.payload,
            timestamps: [side.clock.wrapping_add(since), echo.wrapping_add(since)],
        };
        let counted = step.payload as u32 + u32::from(step.flags & (SYN | FIN) != 0);
        side.sequence = side.sequence.wrapping_add(counted);
        side.ip_id = side.ip_id.wrapping_add(1);
        segment
    }
}

/// Returns the second leg of a segment through a Service: one hop further, with the server's own address.
fn other_leg(segment: &Segment, called: SocketAddrV4, arrived: SocketAddrV4) -> Segment {
    let translate = |end: SocketAddrV4| if end == called { arrived } else { end };
    Segment {
        source: translate(segment.source),
        destination: translate(segment.destination),
        time_to_live: segment.time_to_live - 1,
        ..*segment
    }
}

/// Opens connections, one after the other.
struct Opener<'a> {
    cluster: &'a Cluster,
    size: TrafficSize,
    opened: u64,
    next_ports: Vec<u32>,
    edges_used: Vec<bool>,
}

impl Opener<'_> {
    fn open(&mut self, random: &mut fastrand::Rng) -> Connection {
        let number = self.opened;
        self.opened += 1;
        let edge = skewed(self.cluster.edges.len(), random);
        self.edges_used[edge] = true;
        let (client, server) = self.cluster.edges[edge];
        let server = &self.cluster.workloads[server];
        let client_pod = random.usize(self.cluster.workloads[client].pods.clone());
        let server_pod = random.usize(server.pods.clone());
        let pod = SocketAddrV4::new(self.cluster.pods[server_pod].address, server.port);
        let service = SocketAddrV4::new(server.cluster_ip, server.service_port);
        let through = random.u64(..100) < self.size.through_services;
        let port = &mut self.next_ports[client_pod];
        *port = (*port + 1) % EPHEMERAL;
        let spare = self.size.packets - self.size.fewest_packets();
        let connections = self.size.connections;
        let side = |random: &mut fastrand::Rng| Side {
            sequence: random.u32(..),
            ip_id: random.u16(..),
            clock: random.u32(..),
        };
        Connection {
            client: SocketAddrV4::new(
                self.cluster.pods[client_pod].address,
                (FIRST_EPHEMERAL + *port) as u16,
            ),
            called: if through { service } else { pod },
            arrived: (through && self.size.both_legs).then_some(pod),
            sides: [side(random), side(random)],
            step: 0,
            data: 2 + spare / connections + u64::from(number < spare % connections),
            idle: self.size.is_idle(number),
        }
    }
}

/// Writes the capture. Requires `size.packets >= size.fewest_packets()` and at least one connection.
pub fn write_capture(
    out: &mut impl Write,
    cluster: &Cluster,
    size: TrafficSize,
    random: &mut fastrand::Rng,
) -> io::Result<Written> {
    let mut opener = Opener {
        cluster,
        size,
        opened: 0,
        next_ports: cluster
            .pods
            .iter()
            .map(|_| random.u32(..EPHEMERAL))
            .collect(),
        edges_used: vec![false; cluster.edges.len()],
    };
    let gap = (size.seconds * 1_000_000 / size.connections).max(1);
    let mut written = Written {
        connections: size.connections,
        ..Written::default()
    };
    let mut open: Vec<Connection> = Vec::new();
    let mut free: Vec<usize> = Vec::new();
    let mut due: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
    let mut next_arrival = START;
    let mut out = Counting { out, bytes: 0 };
    frame::write_header(&mut out)?;
    loop {
        let next_due = due.peek().map(|Reverse((time, _))| *time);
        if opener.opened < size.connections && next_due.is_none_or(|time| next_arrival <= time) {
            let connection = opener.open(random);
            let slot = free.pop().unwrap_or(open.len());
            if slot == open.len() {
                open.push(connection);
            } else {
                open[slot] = connection;
            }
            due.push(Reverse((next_arrival, slot)));
            written.most_open = written.most_open.max(due.len() as u64);
            next_arrival += random.u64(0..=2 * gap);
            continue;
        }
        let Some(Reverse((time, slot))) = due.pop() else {
            break;
        };
        let connection = &mut open[slot];
        let step = connection.current(random);
        let segment = connection.segment(time, step);
        written.packets += write_legs(&mut out, connection, &segment, step)?;
        if connection.step == connection.last_step() {
            free.push(slot);
        } else {
            connection.step += 1;
            due.push(Reverse((time + connection.pause(random), slot)));
        }
    }
    written.bytes = out.bytes;
    written.edges = opener.edges_used.iter().filter(|used| **used).count() as u64;
    Ok(written)
}

/// Writes a segment once per captured interface, in the order in which it passed them.
fn write_legs(
    out: &mut impl Write,
    connection: &Connection,
    segment: &Segment,
    step: Step,
) -> io::Result<u64> {
    let Some(arrived) = connection.arrived else {
        frame::write_segment(out, segment)?;
        return Ok(1);
    };
    let translated = other_leg(segment, connection.called, arrived);
    let legs = if step.by_client {
        [*segment, translated]
    } else {
        [translated, *segment]
    };
    for leg in &legs {
        frame::write_segment(out, leg)?;
    }
    Ok(2)
}

/// Counts the bytes that are written.
struct Counting<'a, W> {
    out: &'a mut W,
    bytes: u64,
}

impl<W: Write> Write for Counting<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
