//! Who is the server when no packet says so (rule: direction-inferred).

use super::{Listeners, Opening};
use nanoseg_net::{Protocol, Timestamp};
use std::net::SocketAddr;

/// Which of two endpoints is the server by what is known to listen; `None` if neither or both do.
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

/// Which of two endpoints is the server by use: the one whose port more peers talk to, else the one
/// with the lower port, else the first.
///
/// `peers` tells for each endpoint how many different peers talk to that address and port.
pub fn infer_server(ends: [SocketAddr; 2], peers: [usize; 2]) -> usize {
    match peers[0].cmp(&peers[1]) {
        std::cmp::Ordering::Greater => 0,
        std::cmp::Ordering::Less => 1,
        std::cmp::Ordering::Equal => usize::from(ends[1].port() < ends[0].port()),
    }
}

impl Opening {
    /// True if the traffic itself or a known listener says who the server is.
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
