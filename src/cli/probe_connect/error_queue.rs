//! Who sent an ICMP error for a datagram: Linux keeps it in the socket's error queue (ip(7), IP_RECVERR).

use std::io;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::fd::AsRawFd;

/// Room for the control messages of one error: a header, `sock_extended_err` (16 bytes) and an address (28 bytes).
const CONTROL: usize = 256;

/// Makes the kernel keep errors for the socket.
///
/// # Errors
/// The kernel does not know the option.
pub fn enable(socket: &UdpSocket, is_ipv6: bool) -> io::Result<()> {
    let (level, option) = if is_ipv6 {
        (libc::IPPROTO_IPV6, libc::IPV6_RECVERR)
    } else {
        (libc::IPPROTO_IP, libc::IP_RECVERR)
    };
    let on: libc::c_int = 1;
    // SAFETY: `on` lives during the call, and its size is given.
    #[expect(unsafe_code, reason = "std has no IP_RECVERR")]
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const on).cast(),
            mem::size_of_val(&on) as libc::socklen_t,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// The sender of the ICMP error that the socket got; `None` if the kernel kept none.
pub fn sender_of_icmp(socket: &UdpSocket) -> Option<IpAddr> {
    let mut control = [0_u64; CONTROL / 8];
    // SAFETY: all zeros is a valid `msghdr`: no name, no data, no control messages.
    #[expect(unsafe_code, reason = "a structure of the system's")]
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = mem::size_of_val(&control) as _;
    let flags = libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT;
    // SAFETY: the header names only `control`, which lives during the call, with its size.
    #[expect(unsafe_code, reason = "std has no recvmsg")]
    let size = unsafe { libc::recvmsg(socket.as_raw_fd(), &mut header, flags) };
    (size >= 0).then(|| offender(&header)).flatten()
}

/// The first control message that is an extended error with an address.
fn offender(header: &libc::msghdr) -> Option<IpAddr> {
    // SAFETY: `recvmsg` filled the header; the macros keep within `msg_controllen`, and each structure is read only where
    // the message's length has room for it.
    #[expect(unsafe_code, reason = "control messages are walked by pointers")]
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(header);
        while let Some(one) = message.as_ref() {
            let is_error = matches!(
                (one.cmsg_level, one.cmsg_type),
                (libc::IPPROTO_IP, libc::IP_RECVERR) | (libc::IPPROTO_IPV6, libc::IPV6_RECVERR)
            );
            let needs =
                mem::size_of::<libc::sock_extended_err>() + mem::size_of::<libc::sockaddr_in>();
            #[allow(clippy::unnecessary_cast, reason = "with musl it is 32 bits wide")]
            let length = one.cmsg_len as usize;
            let has_room = length >= libc::CMSG_LEN(needs as u32) as usize;
            if is_error && has_room {
                let error = libc::CMSG_DATA(message).cast::<libc::sock_extended_err>();
                let address = libc::SO_EE_OFFENDER(error);
                return address_of(address, length);
            }
            message = libc::CMSG_NXTHDR(header, message);
        }
    }
    None
}

/// # Safety
/// `address` points to at least `sockaddr_in` bytes, and to `sockaddr_in6` bytes if `length`, the length of its control
/// message, says so.
#[expect(unsafe_code, reason = "the kernel's structure is read by its family")]
unsafe fn address_of(address: *const libc::sockaddr, length: usize) -> Option<IpAddr> {
    // SAFETY: as the caller promises; reads need no alignment.
    unsafe {
        match i32::from((*address).sa_family) {
            libc::AF_INET => {
                let v4 = address.cast::<libc::sockaddr_in>().read_unaligned();
                Some(Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr)).into())
            }
            libc::AF_INET6 => {
                let needs = mem::size_of::<libc::sock_extended_err>()
                    + mem::size_of::<libc::sockaddr_in6>();
                (length >= libc::CMSG_LEN(needs as u32) as usize).then(|| {
                    let v6 = address.cast::<libc::sockaddr_in6>().read_unaligned();
                    nanoseg_net::canonical_address(Ipv6Addr::from(v6.sin6_addr.s6_addr).into())
                })
            }
            _ => None,
        }
    }
}
