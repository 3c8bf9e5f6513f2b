//! The report of a connection: who is its client and who its server, by which evidence, and what it
//! carried.

use super::key::Side;
use super::ongoing::subtract;
use super::{ConnectionTable, Listeners};
use crate::direction::{is_probable_answer, server_by_listener};
use crate::{ConnectionReport, Endpoints, Opening, Verdict};
use nanoseg_net::{Protocol, Timestamp};

/// UDP servers remembered, beyond which a server that sends first may be taken for a client.
const MAX_UDP_SERVERS: usize = 1 << 16;

impl<L: Listeners> ConnectionTable<L> {
    /// Reports a connection that leaves the table: all of it, or what was not reported before.
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

    /// The connection as it is so far, and its client's side. `None`: stray packets only.
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
                    mid_stream |= self.config.sampled && self.is_probable_answer(slot, client);
                    (client, Opening::FirstPacket)
                }
                (None, None) => self.undecided(slot),
            },
        };
        let ends = self.endpoints(slot, client);
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

    /// Returns true if the first UDP packet that was seen looks like an answer.
    fn is_probable_answer(&self, slot: u32, sender: Side) -> bool {
        let key = &self.slab[slot as usize].key;
        is_probable_answer(key.endpoint(sender), key.endpoint(1 - sender))
    }

    /// The client's side where nothing decides it; see [`Endpoints::is_turned_if_undecided`].
    fn undecided(&self, slot: u32) -> (Side, Opening) {
        let turned = self.endpoints(slot, 0).is_turned_if_undecided();
        (usize::from(turned), Opening::Undecided)
    }

    /// Both ends with `client` as the client's side. Each end's own address is the one in the leg
    /// that is nearest to it; the other end saw it under the address in the leg nearest to that.
    fn endpoints(&self, slot: u32, client: Side) -> Endpoints {
        let connection = &self.slab[slot as usize];
        let server = 1 - client;
        let [at_client, at_server] = match connection.extra.as_ref().and_then(|extra| extra.legs) {
            Some(legs) => [legs.nearest[client], legs.nearest[server]],
            None => [[connection.key.endpoint(0), connection.key.endpoint(1)]; 2],
        };
        Endpoints::new(
            [at_client[client], at_server[client]],
            [at_server[server], at_client[server]],
        )
    }

    /// The only side on which something is known to listen, before or after translation.
    fn listening_side(&self, slot: u32, at: Timestamp) -> Option<Side> {
        let protocol = self.slab[slot as usize].key.protocol();
        let ends = self.endpoints(slot, 0);
        let after = server_by_listener(&self.listeners, protocol, [ends.client, ends.server], at);
        let called = ends.via.unwrap_or(ends.server);
        after.or_else(|| server_by_listener(&self.listeners, protocol, [ends.client, called], at))
    }
}
