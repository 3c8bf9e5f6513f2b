//! The packet socket itself: system calls and the ring that the kernel shares with us. All `unsafe` of
//! live capture is here; what is read from the ring is plain bytes to everyone else.
//!
//! Ring and headers: Linux Documentation/networking/packet_mmap.rst, include/uapi/linux/if_packet.h.

#![allow(
    unsafe_code,
    reason = "system calls, and the ring that the kernel shares with us"
)]

use std::ffi::c_int;
use std::io;
use std::mem::{offset_of, size_of};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Bytes of a block: what the kernel hands over at a time.
const BLOCK: usize = 128 << 10;

/// After this time the kernel hands over a block that is not full.
pub(super) const BLOCK_TIMEOUT: Duration = Duration::from_millis(100);

/// A packet socket with a receive ring, of which the kernel fills one block after the other.
pub(super) struct PacketRing {
    fd: OwnedFd,
    memory: NonNull<u8>,
    blocks: usize,
    /// The block that the kernel hands over next.
    next: usize,
}

// SAFETY: the mapping belongs to this value alone and is not tied to the thread that made it.
unsafe impl Send for PacketRing {}

/// What the kernel counted since it was last asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct KernelCounts {
    /// Packets that passed the filter, lost ones included.
    pub packets: u64,
    /// Those for which the ring had no room.
    pub drops: u64,
}

impl PacketRing {
    /// A socket that sees nothing yet, with a ring of about `bytes`. Data begins at the network header
    /// (SOCK_DGRAM), so that interfaces of every kind look alike.
    pub fn open(bytes: usize) -> io::Result<PacketRing> {
        // SAFETY: no pointers; protocol 0 takes no packets until the socket is bound.
        let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was just opened and belongs to nobody else.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let blocks = (bytes / BLOCK).max(2);
        let version = libc::tpacket_versions::TPACKET_V3 as c_int;
        set_option(&fd, libc::SOL_PACKET, libc::PACKET_VERSION, &version)?;
        let request = libc::tpacket_req3 {
            tp_block_size: BLOCK as u32,
            tp_block_nr: blocks as u32,
            // The filter decides the length of frames; these two only have to fit each other.
            tp_frame_size: 2048,
            tp_frame_nr: (blocks * (BLOCK / 2048)) as u32,
            tp_retire_blk_tov: BLOCK_TIMEOUT.as_millis() as u32,
            tp_sizeof_priv: 0,
            tp_feature_req_word: 0,
        };
        set_option(&fd, libc::SOL_PACKET, libc::PACKET_RX_RING, &request)?;
        // SAFETY: a new shared mapping of the ring just made, of its whole length; the kernel chooses
        // the place.
        let memory = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                blocks * BLOCK,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                fd.as_raw_fd(),
                0,
            )
        };
        if memory == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let memory = NonNull::new(memory.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(PacketRing {
            fd,
            memory,
            blocks,
            next: 0,
        })
    }

    /// Sets the filter, in place of the one before without a gap.
    pub fn filter(&self, program: &[libc::sock_filter]) -> io::Result<()> {
        let len = u16::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        let program = libc::sock_fprog {
            len,
            // The kernel only reads it.
            filter: program.as_ptr().cast_mut(),
        };
        set_option(&self.fd, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
    }

    /// Starts: packets of all protocols and of all interfaces, in both directions.
    pub fn bind(&self) -> io::Result<()> {
        // SAFETY: plain data, for which zeroes are valid.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
        let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        // SAFETY: the address and its length match and outlive the call.
        let outcome = unsafe {
            libc::bind(
                self.fd.as_raw_fd(),
                std::ptr::from_ref(&address).cast(),
                length,
            )
        };
        if outcome < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    pub fn counts(&self) -> io::Result<KernelCounts> {
        let mut counts = libc::tpacket_stats_v3 {
            tp_packets: 0,
            tp_drops: 0,
            tp_freeze_q_cnt: 0,
        };
        let mut length = size_of::<libc::tpacket_stats_v3>() as libc::socklen_t;
        // SAFETY: the kernel writes at most `length` bytes into `counts`.
        let outcome = unsafe {
            libc::getsockopt(
                self.fd.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                std::ptr::from_mut(&mut counts).cast(),
                &raw mut length,
            )
        };
        if outcome < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(KernelCounts {
            packets: counts.tp_packets.into(),
            drops: counts.tp_drops.into(),
        })
    }

    /// Hands the next block to `read` and then back to the kernel; false if there is none yet.
    pub fn with_block(&mut self, read: impl FnOnce(&[u8])) -> bool {
        // SAFETY: `next` < `blocks`, so this block lies inside the mapping.
        let block = unsafe { self.memory.add(self.next * BLOCK) };
        let status = offset_of!(libc::tpacket_block_desc, hdr)
            + offset_of!(libc::tpacket_hdr_v1, block_status);
        // SAFETY: the status word lies inside the block and is aligned, since blocks begin at pages;
        // the kernel and we both only ever load and store it whole.
        let status = unsafe { AtomicU32::from_ptr(block.add(status).as_ptr().cast()) };
        if status.load(Ordering::Acquire) & libc::TP_STATUS_USER == 0 {
            return false;
        }
        // SAFETY: the kernel does not touch a block that it has handed over until its status is set
        // back, which happens below, after the last use of this slice.
        read(unsafe { std::slice::from_raw_parts(block.as_ptr(), BLOCK) });
        status.store(libc::TP_STATUS_KERNEL, Ordering::Release);
        self.next = (self.next + 1) % self.blocks;
        true
    }
}

impl AsRawFd for PacketRing {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

impl Drop for PacketRing {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `open`, with its length; nothing refers to it any more. An error
        // could not be answered.
        unsafe { libc::munmap(self.memory.as_ptr().cast(), self.blocks * BLOCK) };
    }
}

/// Waits until one of the descriptors can be read, but not for longer than `patience`. A signal ends
/// the wait early.
pub(super) fn wait(fds: [RawFd; 2], patience: Duration) -> io::Result<[bool; 2]> {
    let mut polled = fds.map(|fd| libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    });
    let millis = c_int::try_from(patience.as_millis()).unwrap_or(c_int::MAX);
    // SAFETY: two valid entries, which is the number that is passed.
    let outcome = unsafe { libc::poll(polled.as_mut_ptr(), 2, millis) };
    if outcome < 0 {
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    Ok(polled.map(|entry| entry.revents != 0))
}

fn set_option<T>(fd: &OwnedFd, level: c_int, name: c_int, value: &T) -> io::Result<()> {
    let length = size_of::<T>() as libc::socklen_t;
    // SAFETY: `value` is readable for `length` bytes.
    let outcome = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            level,
            name,
            std::ptr::from_ref(value).cast(),
            length,
        )
    };
    if outcome < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
