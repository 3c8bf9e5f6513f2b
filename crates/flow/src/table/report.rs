//! What a connection that leaves the table is handed on as.

use super::key::Side;
use super::ongoing::subtract;
use super::{ConnectionTable, Listeners};
use crate::direction::server_by_listener;
use crate::{ConnectionReport, Opening, Verdict};
use nanoseg_net::{Protocol, Timestamp};
use std::net::SocketAddr;

/// UDP servers remembered, beyond which a server that speaks first may be taken for a client.
const MAX_UDP_SERVERS: usize = 1 << 16;

/// The lowest port that Linux gives clients.
const EPHEMERAL: u16 = 32768;

/// A connection's ends, seen with one side as the client.
struct Ends {
    client: SocketAddr,
    server: SocketAddr,
    via: Option<SocketAddr>,
    seen_as: Option<SocketAddr>,
}

impl<L: Listeners> ConnectionTable<L> {
    /// Reports a connection that leaves the table: all of it, or what is left to tell.
    pub(super) fn emit(&mut self, slot: u32) {
        let Some((mut report, client)) = self.describe(slot) else {
            self.counters.stray_segments += 1;
            return;
        };
        let extra = self.slab[slot as usize].extra.as_mut();
        let reported = extra.and_then(|extra| extra.reported.as_deref_mut());
        if let Some(reported) = reported {
            if subtract(reported, &mut report, client) {
                self.ended.push(report);
            }
            return;
        }
        self.learn_udp_server(&report);
        self.counters.connections += 1;
        self.ended.push(report);
    }

    /// The connection as it has gone so far, and its client's side. `None`: stray packets only.
    #[inline(always)]
    pub(super) fn describe(&self, slot: u32) -> Option<(ConnectionReport, Side)> {
        let connection = &self.slab[slot as usize];
        let outcome = connection.outcome();
        let verdict = outcome.verdict?;
        let protocol = connection.key.protocol();
        let first = Timestamp::from_nanos(connection.first);
        let mut mid_stream = protocol != Protocol::Udp && outcome.client.is_none();
        let (client, opening) = match outcome.client {
            Some(client) if protocol != Protocol::Udp => (client, Opening::Handshake),
            first_sender => match (self.listening_side(slot, first), first_sender) {
                (Some(server), Some(client)) if server != client => (client, Opening::FirstPacket),
                (Some(server), _) => (1 - server, Opening::Listener),
                (None, Some(client)) => {
                    mid_stream |= self.config.sampled && self.may_be_an_answer(slot, client);
                    (client, Opening::FirstPacket)
                }
                (None, None) => self.undecided(slot),
            },
        };
        let ends = self.ends(slot, client);
        let (bytes, datagrams) = connection.volume();
        let report = ConnectionReport {
            client: ends.client,
            server: ends.server,
            protocol,
            vlan: connection.key.vlan(),
            via: ends.via,
            seen_as: ends.seen_as,
            verdict,
            opening,
            mid_stream,
            counted: false,
            labels: None,
            datagrams: if protocol == Protocol::Tcp {
                0
            } else {
                datagrams[client].into()
            },
            bytes_to_server: bytes[client],
            bytes_to_client: bytes[1 - client],
            first,
            last: Timestamp::from_nanos(connection.last),
            windows: connection.windows(),
            epochs: [ends.client, ends.server].map(|end| self.epochs.epoch(end.ip(), first)),
        };
        Some((report, client))
    }

    pub(super) fn learn_udp_server(&mut self, report: &ConnectionReport) {
        if report.protocol == Protocol::Udp
            && report.verdict == Verdict::Established
            && self.udp_servers.len() < MAX_UDP_SERVERS
        {
            self.udp_servers.insert(report.server);
            self.udp_servers.extend(report.via);
        }
    }

    /// Whether the first UDP packet seen looks like an answer: from a port as services have them to
    /// one as clients are given (Linux net.ipv4.ip_local_port_range). Whoever knows listeners decides.
    fn may_be_an_answer(&self, slot: u32, sender: Side) -> bool {
        let key = &self.slab[slot as usize].key;
        key.endpoint(sender).port() < EPHEMERAL && key.endpoint(1 - sender).port() >= EPHEMERAL
    }

    /// In the order of addresses. Translation cannot be told again from the other end's view, so a
    /// translated one is put with the lower port as the server, which is what inference would say.
    fn undecided(&self, slot: u32) -> (Side, Opening) {
        let ends = self.ends(slot, 0);
        let (low, high) = (ends.client, ends.server);
        let translated = ends.via.is_some() || ends.seen_as.is_some();
        let client = if translated {
            usize::from(low.port() < high.port())
        } else {
            0
        };
        (client, Opening::Undecided)
    }

    /// Both ends with `client` as the client's side. Each end's own address is the one in the leg
    /// that is nearest to it; the other end saw it under the address in the leg nearest to that.
    fn ends(&self, slot: u32, client: Side) -> Ends {
        let connection = &self.slab[slot as usize];
        let server = 1 - client;
        let Some(legs) = connection.extra.as_ref().and_then(|extra| extra.legs) else {
            let (client, server) = (
                connection.key.endpoint(client),
                connection.key.endpoint(server),
            );
            return Ends {
                client,
                server,
                via: None,
                seen_as: None,
            };
        };
        let own = legs.nearest[client][client];
        let arrived = legs.nearest[server][server];
        let called = legs.nearest[client][server];
        let shown = legs.nearest[server][client];
        Ends {
            client: own,
            server: arrived,
            via: (called != arrived).then_some(called),
            seen_as: (shown.ip() != own.ip()).then_some(shown),
        }
    }

    /// The only side on which something is known to listen, before or after translation.
    fn listening_side(&self, slot: u32, at: Timestamp) -> Option<Side> {
        let protocol = self.slab[slot as usize].key.protocol();
        let ends = self.ends(slot, 0);
        let after = server_by_listener(&self.listeners, protocol, [ends.client, ends.server], at);
        let called = ends.via.unwrap_or(ends.server);
        after.or_else(|| server_by_listener(&self.listeners, protocol, [ends.client, called], at))
    }
}
