//! The rules that decide who is the server where no packet shows it (rule: direction-inferred): known
//! listeners, use of the ports, the lower port.

use super::{Listeners, Opening};
use nanoseg_net::{Protocol, Timestamp};
use std::net::SocketAddr;

/// The index of the endpoint that is known to listen; `None` if neither or both are.
pub fn server_by_listener(
    listeners: &impl Listeners,
    protocol: Protocol,
    ends: [SocketAddr; 2],
    at: Timestamp,
) -> Option<usize> {
    let listens = ends.map(|end| listeners.listens(end.ip(), protocol, end.port(), at));
    match listens {
        [true, false] => Some(0),
        [false, true] => Some(1),
        _ => None,
    }
}

/// The lowest port that Linux gives clients (net.ipv4.ip_local_port_range). RFC 6335 section 6 begins
/// at 49152.
const FIRST_EPHEMERAL_PORT: u16 = 32768;

/// Returns true if a UDP packet looks like an answer: it goes from a port that services have to a port
/// that clients are given. Only those who know the listeners can decide whether it is one.
pub fn is_probable_answer(source: SocketAddr, destination: SocketAddr) -> bool {
    source.port() < FIRST_EPHEMERAL_PORT && destination.port() >= FIRST_EPHEMERAL_PORT
}

/// The index of the endpoint with the lower port; 0 if the ports are equal.
pub(crate) fn lower_port(ends: [SocketAddr; 2]) -> usize {
    usize::from(ends[1].port() < ends[0].port())
}

/// The index of the server by use: the endpoint whose port more peers talk to, else the one with the
/// lower port, else the first.
///
/// `peers` is for each endpoint the number of different peers that talk to its address and port.
pub fn infer_server(ends: [SocketAddr; 2], peers: [usize; 2]) -> usize {
    match peers[0].cmp(&peers[1]) {
        std::cmp::Ordering::Greater => 0,
        std::cmp::Ordering::Less => 1,
        std::cmp::Ordering::Equal => lower_port(ends),
    }
}

impl Opening {
    /// Returns true if the traffic itself or a known listener shows who the server is.
    pub fn is_certain(self) -> bool {
        !matches!(self, Opening::Undecided)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_more_peers_talk_to_is_the_server_s_then_the_lower_one() {
        let ends = [
            "10.0.0.1:9000".parse().unwrap(),
            "10.0.0.2:8000".parse().unwrap(),
        ];
        assert_eq!(infer_server(ends, [3, 1]), 0, "a listener on a high port");
        assert_eq!(infer_server(ends, [1, 3]), 1);
        assert_eq!(infer_server(ends, [1, 1]), 1);
        assert_eq!(infer_server([ends[1], ends[0]], [1, 1]), 0);
    }
}
