//! For how long a listed entry has been silent. The kernel resets an entry's timeout with each packet, so
//! the rest of it shows when the last one came.
//!
//! An entry may outlive its pods by days (`nf_conntrack_tcp_timeout_established`), and
//! the address may be another pod's by then. So an entry from before the agent is reported at the time at
//! which it was last in use, and not at all before it is in use again, if that is too long ago.

use super::event::{Event, tcp};
use super::prerequisites::setting;
use nanoseg_net::Protocol;

/// How long entries are kept after a packet, in seconds, by the node's sysctls
/// (`net.netfilter.nf_conntrack_*_timeout*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Timeouts {
    /// By the state of TCP; the first is of no state.
    tcp: [i64; 9],
    /// TCP with data that waits for its acknowledgment, whatever the state.
    tcp_unacknowledged: i64,
    udp: i64,
    udp_stream: i64,
}

impl Default for Timeouts {
    /// The kernel's (nf_conntrack_proto_tcp.c `tcp_timeouts`, nf_conntrack_proto_udp.c `udp_timeouts`).
    fn default() -> Self {
        Timeouts {
            tcp: [120, 120, 60, 432_000, 120, 60, 30, 120, 10],
            tcp_unacknowledged: 300,
            udp: 30,
            udp_stream: 120,
        }
    }
}

impl Timeouts {
    /// The node's; what cannot be read is as the kernel has it by default.
    pub fn read() -> Self {
        let mut timeouts = Timeouts::default();
        let names = [
            "syn_sent",
            "syn_recv",
            "established",
            "fin_wait",
            "close_wait",
            "last_ack",
            "time_wait",
            "close",
        ];
        let set = |name: &str, timeout: &mut i64| {
            if let Some(seconds) = setting(name).and_then(|seconds| i64::try_from(seconds).ok()) {
                *timeout = seconds;
            }
        };
        for (name, timeout) in names.iter().zip(timeouts.tcp.iter_mut().skip(1)) {
            set(&format!("nf_conntrack_tcp_timeout_{name}"), timeout);
        }
        set(
            "nf_conntrack_tcp_timeout_unacknowledged",
            &mut timeouts.tcp_unacknowledged,
        );
        set("nf_conntrack_udp_timeout", &mut timeouts.udp);
        set("nf_conntrack_udp_timeout_stream", &mut timeouts.udp_stream);
        timeouts
    }

    /// Seconds since the entry's last packet; 0 where that is not known.
    pub fn silence(&self, event: &Event, protocol: Protocol) -> i64 {
        let Some(left) = event.timeout.map(i64::from) else {
            return 0;
        };
        let whole = match (protocol, event.state) {
            (Protocol::Tcp, Some(tcp::ESTABLISHED)) if left <= self.tcp_unacknowledged => {
                self.tcp_unacknowledged
            }
            (Protocol::Tcp, Some(state)) => {
                self.tcp.get(usize::from(state)).copied().unwrap_or(left)
            }
            (Protocol::Udp, _) if event.status.assured() => self.udp_stream,
            (Protocol::Udp, _) => self.udp,
            _ => left,
        };
        // The kernel reports whole seconds, rounded down. The latest time that is possible: an earlier one might
        // be before the pod had its address.
        (whole - left - 1).max(0)
    }
}
