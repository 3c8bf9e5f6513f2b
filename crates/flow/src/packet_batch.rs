//! Batches of decoded packets for the table: reading and decoding may then run on another thread than
//! the table, which can prefetch several packets' places at once.

use super::{Decoded, Packet, Transport};

/// Packets, and of those that may be DNS the payload too.
#[derive(Debug, Default)]
pub struct PacketBatch {
    pub(super) packets: Vec<Packet>,
    /// Which packet, and where its payload ends in `bytes`; in order.
    payloads: Vec<(usize, usize)>,
    bytes: Vec<u8>,
}

impl PacketBatch {
    /// How many packets go into a batch: they stay in the second-level cache on their way.
    pub const SIZE: usize = 2048;

    /// Adds a packet. The payload is kept if one of its ports is one of `dns_ports`.
    #[inline]
    pub fn push(&mut self, decoded: &Decoded<'_>, dns_ports: &[u16]) {
        let ports = match decoded.packet.transport {
            Transport::Udp {
                source_port,
                destination_port,
                ..
            }
            | Transport::Tcp {
                source_port,
                destination_port,
                ..
            } => [source_port, destination_port],
            _ => [0, 0],
        };
        let is_dns = ports.iter().any(|port| dns_ports.contains(port));
        if is_dns && !decoded.payload.is_empty() {
            self.bytes.extend_from_slice(decoded.payload);
            self.payloads.push((self.packets.len(), self.bytes.len()));
        }
        self.packets.push(decoded.packet);
    }

    /// Returns true if it has [`PacketBatch::SIZE`] packets.
    pub fn is_full(&self) -> bool {
        self.packets.len() >= Self::SIZE
    }

    /// Returns true if it has no packet.
    pub fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// Removes all packets and keeps the memory.
    pub fn clear(&mut self) {
        self.packets.clear();
        self.payloads.clear();
        self.bytes.clear();
    }

    /// The payloads that were kept, with the numbers of their packets.
    pub(super) fn payloads(&self) -> impl Iterator<Item = (usize, &[u8])> {
        let mut from = 0;
        self.payloads.iter().map(move |(packet, to)| {
            let bytes = self.bytes.get(from..*to).unwrap_or(&[]);
            from = *to;
            (*packet, bytes)
        })
    }
}
