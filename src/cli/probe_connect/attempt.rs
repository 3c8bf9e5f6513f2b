//! One connection attempt: a handshake that is reset, or one datagram, and nothing else (rule: a-try-teaches-nothing).

use super::error_queue;
use crate::probe::{Outcome, Task, Way};
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

/// The number of SCTP among the protocols of IP (IANA).
const SCTP: i32 = 132;
/// What is sent to a server of which no protocol is known: an empty line.
const EMPTY_LINE: &[u8] = b"\n";
/// A DNS query: class CHAOS, type TXT, name id.server. (RFC 4892). Recursion is not asked for, so no server asks another.
const WHO_ARE_YOU: &[u8] =
    b"\x6e\x73\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x02id\x06server\x00\x00\x10\x00\x03";

/// Tries once.
pub fn attempt(task: Task, timeout: Duration) -> Outcome {
    match task.way {
        Way::Tcp => handshake(task.to, Protocol::TCP, timeout),
        Way::Sctp => handshake(task.to, Protocol::from(SCTP), timeout),
        Way::Datagram => datagram(task.to, EMPTY_LINE, timeout),
        Way::DnsQuery => datagram(task.to, WHO_ARE_YOU, timeout),
    }
}

fn handshake(to: SocketAddr, protocol: Protocol, timeout: Duration) -> Outcome {
    let connect = || -> io::Result<()> {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(protocol))?;
        // The acknowledgment waits for data that never come, and closing resets: SYN, SYN-ACK, RST. The server's program
        // sees no connection, and who observes learns none (rule: reset-handshake-teaches-nothing).
        socket.set_linger(Some(Duration::ZERO))?;
        if protocol == Protocol::TCP {
            socket.set_tcp_quickack(false)?;
        }
        socket.connect_timeout(&to.into(), timeout)
    };
    match connect() {
        Ok(()) => Outcome::Connected,
        Err(error) if is_no_answer(&error) => Outcome::Silent,
        Err(error) if is_reset(&error) => Outcome::Refused,
        Err(error) if is_from_the_network(&error) => Outcome::Unreachable,
        Err(error) => failed(&error),
    }
}

fn datagram(to: SocketAddr, payload: &[u8], timeout: Duration) -> Outcome {
    let any: SocketAddr = match to {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let open = || -> io::Result<UdpSocket> {
        let socket = UdpSocket::bind(any)?;
        socket.connect(to)?;
        socket.set_read_timeout(Some(timeout))?;
        error_queue::enable(&socket, to.is_ipv6())?;
        Ok(socket)
    };
    let socket = match open() {
        Ok(socket) => socket,
        Err(error) => return failed(&error),
    };
    let mut answer = [0; 512];
    let heard = socket.send(payload).and_then(|_| socket.recv(&mut answer));
    match heard {
        Ok(_) => Outcome::Answered,
        Err(error) if is_no_answer(&error) => Outcome::Silent,
        Err(error) if is_reset(&error) || is_from_the_network(&error) => Outcome::Rejected {
            by: error_queue::sender_of_icmp(&socket),
        },
        Err(error) => failed(&error),
    }
}

fn is_no_answer(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock)
}

fn is_reset(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset
    )
}

/// What ICMP and ICMPv6 of the type "destination unreachable" become (Linux: `icmp_err_convert`, `icmpv6_err_convert`),
/// and what a program of a plugin at the socket answers (EPERM).
fn is_from_the_network(error: &io::Error) -> bool {
    const ALL: [i32; 8] = [
        libc::EHOSTUNREACH,
        libc::ENETUNREACH,
        libc::EHOSTDOWN,
        libc::ENONET,
        libc::ENOPROTOOPT,
        libc::EOPNOTSUPP,
        libc::EACCES,
        libc::EPERM,
    ];
    error
        .raw_os_error()
        .is_some_and(|number| ALL.contains(&number))
}

fn failed(error: &io::Error) -> Outcome {
    Outcome::Failed {
        errno: error.raw_os_error().unwrap_or_default(),
    }
}
