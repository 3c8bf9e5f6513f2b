//! The two netlink sockets: one for events, one for dumps. The only place that calls the kernel.

#![allow(
    unsafe_code,
    reason = "poll(2), recvmmsg(2) and socket options have no safe wrapper here"
)]

use super::filter;
use super::netlink::{CT_GET, FAMILY_HEADER, HEADER};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

/// Multicast groups (`enum nfnetlink_groups`).
const GROUPS: [u32; 3] = [1, 2, 3];
/// Events read with one call.
const BATCH: usize = 64;
/// The longest event; most have about 250 bytes.
const EVENT_SIZE: usize = 2048;
/// The kernel makes dump messages of up to this size (`netlink_dump`).
const DUMP_SIZE: usize = 32 << 10;

/// Where events come in.
pub(super) struct EventSocket {
    socket: Socket,
    buffers: Vec<[u8; EVENT_SIZE]>,
    /// Whether the kernel leaves out updates that do not matter.
    pub filtered: bool,
}

/// What reading events led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Received {
    /// So many, and there may be more.
    Some(usize),
    /// None are left.
    Nothing,
    /// The kernel had no room for some since events were last read.
    Overrun,
}

impl EventSocket {
    /// Subscribes to all events of the network namespace that the calling thread is in.
    ///
    /// # Errors
    /// The kernel's error: EPERM without CAP_NET_ADMIN there.
    pub fn open(receive_buffer: usize) -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_NETFILTER)?;
        socket.bind_auto()?;
        let size = libc::c_int::try_from(receive_buffer).unwrap_or(libc::c_int::MAX);
        if set_option(socket.as_raw_fd(), libc::SO_RCVBUFFORCE, &size).is_err() {
            // As much as the node's limit (net.core.rmem_max) allows.
            socket.set_rx_buf_sz(size)?;
        }
        let filtered = match filter::attach(&socket) {
            Ok(()) => true,
            Err(error) => {
                tracing::info!(%error, "conntrack events cannot be filtered in the kernel");
                false
            }
        };
        for group in GROUPS {
            socket.add_membership(group)?;
        }
        socket.set_non_blocking(true)?;
        Ok(EventSocket {
            socket,
            buffers: vec![[0; EVENT_SIZE]; BATCH],
            filtered,
        })
    }

    /// Reads the available datagrams, up to a batch, and passes on each; `None` for one that was longer
    /// than any event.
    ///
    /// # Errors
    /// When the socket cannot be read any more.
    pub fn receive(&mut self, mut take: impl FnMut(Option<&[u8]>)) -> io::Result<Received> {
        let lengths = match receive_many(self.socket.as_raw_fd(), &mut self.buffers) {
            Ok(lengths) => lengths,
            Err(error) => {
                return match error.raw_os_error() {
                    Some(libc::ENOBUFS) => Ok(Received::Overrun),
                    Some(libc::EAGAIN | libc::EINTR) => Ok(Received::Nothing),
                    _ => Err(error),
                };
            }
        };
        let count = lengths.iter().take_while(|l| l.is_some()).count();
        for (buffer, length) in self.buffers.iter().zip(lengths).take(count) {
            take(length.and_then(|length| buffer.get(..length)));
        }
        Ok(Received::Some(count))
    }
}

impl AsRawFd for EventSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// Where the table can be asked for.
pub(super) struct DumpSocket {
    socket: Socket,
    buffer: Vec<u8>,
}

impl DumpSocket {
    /// # Errors
    /// The kernel's error.
    pub fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_NETFILTER)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        socket.set_non_blocking(true)?;
        Ok(DumpSocket {
            socket,
            buffer: vec![0; DUMP_SIZE],
        })
    }

    /// Asks for all entries, of IPv4 and IPv6.
    ///
    /// # Errors
    /// The kernel's error; EBUSY while the last dump is in progress.
    pub fn ask(&self) -> io::Result<()> {
        // NLM_F_REQUEST and NLM_F_DUMP (ROOT and MATCH); family AF_UNSPEC is both.
        const FLAGS: u16 = 0x001 | 0x100 | 0x200;
        let length = HEADER + FAMILY_HEADER;
        let mut request = Vec::with_capacity(length);
        request.extend_from_slice(&(length as u32).to_ne_bytes());
        request.extend_from_slice(&CT_GET.to_ne_bytes());
        request.extend_from_slice(&FLAGS.to_ne_bytes());
        request.resize(length, 0);
        self.socket.send(&request, 0).map(|_| ())
    }

    /// The next part of the table, if it is there already.
    ///
    /// # Errors
    /// When the socket cannot be read any more.
    pub fn receive(&mut self) -> io::Result<Option<&[u8]>> {
        match self.socket.recv(&mut &mut self.buffer[..], 0) {
            Ok(length) => Ok(self.buffer.get(..length)),
            Err(error) => match error.raw_os_error() {
                Some(libc::EAGAIN | libc::EINTR) => Ok(None),
                _ => Err(error),
            },
        }
    }
}

impl AsRawFd for DumpSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// Waits until one of the sockets can be read, or for `patience`.
///
/// # Errors
/// The error of poll(2).
pub(super) fn wait(sockets: [RawFd; 2], patience: Duration) -> io::Result<bool> {
    let mut polled = sockets.map(|fd| libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    });
    let millis = libc::c_int::try_from(patience.as_millis()).unwrap_or(libc::c_int::MAX);
    // SAFETY: `polled` is an array of that many pollfd and outlives the call.
    let count = unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, millis) };
    if count >= 0 {
        return Ok(count > 0);
    }
    match io::Error::last_os_error() {
        error if error.kind() == io::ErrorKind::Interrupted => Ok(false),
        error => Err(error),
    }
}

/// setsockopt(2) at SOL_SOCKET.
pub(super) fn set_option<T>(fd: RawFd, option: libc::c_int, value: &T) -> io::Result<()> {
    let length = size_of::<T>() as libc::socklen_t;
    // SAFETY: the pointer is to a live value of the length given.
    let result = unsafe {
        libc::setsockopt(
            fd,
            libc::SOL_SOCKET,
            option,
            std::ptr::from_ref(value).cast(),
            length,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Fills buffers with datagrams without waiting (recvmmsg(2)) and returns their lengths; of a datagram
/// that did not fit, `Some(usize::MAX)`; `None` for those that were not needed.
fn receive_many(fd: RawFd, buffers: &mut [[u8; EVENT_SIZE]]) -> io::Result<[Option<usize>; BATCH]> {
    let mut vectors = [libc::iovec {
        iov_base: std::ptr::null_mut(),
        iov_len: 0,
    }; BATCH];
    // SAFETY: all-zero is a valid mmsghdr: null pointers with lengths of 0.
    let mut headers: [libc::mmsghdr; BATCH] = unsafe { std::mem::zeroed() };
    let count = buffers.len().min(BATCH);
    for ((buffer, vector), header) in buffers.iter_mut().zip(&mut vectors).zip(&mut headers) {
        vector.iov_base = buffer.as_mut_ptr().cast();
        vector.iov_len = buffer.len();
        header.msg_hdr.msg_iov = vector;
        header.msg_hdr.msg_iovlen = 1;
    }
    // SAFETY: the first `count` headers point to one vector each, and each vector to a buffer of its
    // own with its length; all of them outlive the call.
    let received = unsafe {
        libc::recvmmsg(
            fd,
            headers.as_mut_ptr(),
            count as libc::c_uint,
            libc::MSG_DONTWAIT as _,
            std::ptr::null_mut(),
        )
    };
    if received < 0 {
        return Err(io::Error::last_os_error());
    }
    let mut lengths = [None; BATCH];
    for (length, header) in lengths.iter_mut().zip(&headers).take(received as usize) {
        let truncated = header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0;
        *length = Some(if truncated {
            usize::MAX
        } else {
            header.msg_len as usize
        });
    }
    Ok(lengths)
}
