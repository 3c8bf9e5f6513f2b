//! The packets in a block of the ring. Bytes are checked although the kernel wrote them.

use nanoseg_net::Timestamp;
use std::mem::{offset_of, size_of};

/// One packet from the ring; its data begins at the network header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RingFrame<'a> {
    /// By the node's clock.
    pub time: Timestamp,
    /// The EtherType of `data`.
    pub protocol: u16,
    /// The kind of receiver, as if_packet.h numbers it (PACKET_BROADCAST …).
    pub kind: u8,
    /// The index of the interface that shows it.
    pub interface: u32,
    /// Bytes on the wire, from the network header on.
    pub length: u32,
    /// As much of them as the filter let through.
    pub data: &'a [u8],
}

/// The frames of a block, in the order in which they came. Ends early where the block contradicts
/// itself.
pub(super) struct Frames<'a> {
    block: &'a [u8],
    at: usize,
    left: u32,
}

impl<'a> Frames<'a> {
    pub fn new(block: &'a [u8]) -> Self {
        let header = offset_of!(libc::tpacket_block_desc, hdr);
        let number = |at: usize| u32_at(block, header + at);
        let left = number(offset_of!(libc::tpacket_hdr_v1, num_pkts)).unwrap_or(0);
        let at = number(offset_of!(libc::tpacket_hdr_v1, offset_to_first_pkt)).unwrap_or(0);
        Frames {
            block,
            at: at as usize,
            left,
        }
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = RingFrame<'a>;

    #[inline]
    fn next(&mut self) -> Option<RingFrame<'a>> {
        self.left = self.left.checked_sub(1)?;
        let frame = self.block.get(self.at..)?;
        let number = |at: usize| u32_at(frame, at);
        let seconds = number(offset_of!(libc::tpacket3_hdr, tp_sec))?;
        let nanos = number(offset_of!(libc::tpacket3_hdr, tp_nsec))?;
        let captured = number(offset_of!(libc::tpacket3_hdr, tp_snaplen))?;
        let network = u16_at(frame, offset_of!(libc::tpacket3_hdr, tp_net))?;
        // The address that recvfrom would give stands behind the header, at TPACKET_ALIGN.
        let address = size_of::<libc::tpacket3_hdr>().next_multiple_of(libc::TPACKET_ALIGNMENT);
        let protocol = u16_at(frame, address + offset_of!(libc::sockaddr_ll, sll_protocol))?;
        let kind = *frame.get(address + offset_of!(libc::sockaddr_ll, sll_pkttype))?;
        let interface = u32_at(frame, address + offset_of!(libc::sockaddr_ll, sll_ifindex))?;
        let start = usize::from(network);
        let found = RingFrame {
            time: Timestamp::from_secs(seconds.into()).plus_nanos(nanos.into()),
            protocol: u16::from_be(protocol),
            kind,
            interface,
            length: number(offset_of!(libc::tpacket3_hdr, tp_len))?,
            data: frame.get(start..start.checked_add(captured as usize)?)?,
        };
        let next = number(offset_of!(libc::tpacket3_hdr, tp_next_offset))?;
        if next == 0 {
            self.left = 0;
        }
        self.at = self.at.checked_add(next as usize)?;
        Some(found)
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_ne_bytes(*word))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let word = bytes.get(at..)?.first_chunk()?;
    Some(u16::from_ne_bytes(*word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn block(frames: &[&[u8]]) -> Vec<u8> {
        let mut block = vec![0; 48];
        block[12..16].copy_from_slice(&(frames.len() as u32).to_ne_bytes());
        block[16..20].copy_from_slice(&48u32.to_ne_bytes());
        for (number, data) in frames.iter().enumerate() {
            let mut frame = vec![0u8; 80];
            let length = (80 + data.len()).next_multiple_of(16);
            let next = if number + 1 < frames.len() { length } else { 0 };
            frame[0..4].copy_from_slice(&(next as u32).to_ne_bytes());
            frame[4..8].copy_from_slice(&7u32.to_ne_bytes());
            frame[12..16].copy_from_slice(&(data.len() as u32).to_ne_bytes());
            frame[16..20].copy_from_slice(&1500u32.to_ne_bytes());
            frame[26..28].copy_from_slice(&80u16.to_ne_bytes());
            frame[50..52].copy_from_slice(&0x0800u16.to_be_bytes());
            frame[58] = 4;
            frame.extend_from_slice(data);
            frame.resize(length, 0);
            block.extend(frame);
        }
        block
    }

    #[test]
    fn frames_are_found_one_behind_the_other() {
        let block = block(&[b"one", b"and another"]);
        let frames: Vec<_> = Frames::new(&block).collect();
        assert_eq!(frames.len(), 2);
        assert_eq!(
            (frames[0].data, frames[1].data),
            (&b"one"[..], &b"and another"[..])
        );
        assert_eq!((frames[0].protocol, frames[0].kind), (0x0800, 4));
        assert_eq!(frames[1].length, 1500);
        assert_eq!(frames[0].time, Timestamp::from_secs(7));
    }

    proptest! {
        #[test]
        fn any_bytes_give_frames_or_none(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(Frames::new(&bytes).count() <= bytes.len());
        }

        #[test]
        fn a_damaged_block_ends_early(at in 0usize..300, value: u8) {
            let mut block = block(&[b"one", b"two", b"three"]);
            let place = at % block.len();
            block[place] = value;
            prop_assert!(Frames::new(&block).count() <= block.len());
        }
    }
}
