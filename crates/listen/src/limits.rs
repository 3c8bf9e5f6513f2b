//! How many connections each port may have, and how long. All ports of a process together leave at least three eighths
//! of its open files for the rest: the API server, the store, logs.

use std::time::Duration;

/// What a port serves, and so what its clients can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Port {
    /// Batches by gRPC (HTTP/2). A client shows a ServiceAccount token, and belongs to a node then.
    Agents,
    /// Metrics and health (HTTP/1). No client has anything to show: one connection is one request.
    Monitoring,
    /// The review page (HTTP/1, loopback). A client shows the secret in the URL.
    Page,
}

impl Port {
    /// The name in metrics and logs; stable.
    pub fn name(self) -> &'static str {
        match self {
            Port::Agents => "agents",
            Port::Monitoring => "monitoring",
            Port::Page => "page",
        }
    }

    /// The limits in a process that may have `descriptors` files open.
    pub fn limits(self, descriptors: u64) -> PortLimits {
        let share = |eighths: u64, most: u64| {
            let share = (descriptors.saturating_mul(eighths) / 8).clamp(4, most);
            usize::try_from(share).unwrap_or(usize::MAX)
        };
        let (unauthenticated, authenticated) = match self {
            // An unauthenticated connection may hold 64 KiB of what it sent, so a thousand hold 64 MiB. The largest
            // cluster that Kubernetes supports has 5000 nodes.
            Port::Agents => (share(1, 1024), share(3, 16_384)),
            Port::Monitoring => (share(1, 128), 0),
            Port::Page => (share(1, 64), share(1, 256)),
        };
        let per_owner = match self {
            // One, and some that the network has not yet reported as broken.
            Port::Agents => 4,
            // The operator's browser is the only owner.
            Port::Monitoring | Port::Page => authenticated,
        };
        PortLimits {
            unauthenticated,
            // The larger, the longer one that shows a right has time to, beside a flood from its own address. Clients
            // at other addresses have a way in anyhow: whoever has most yields first.
            per_address: unauthenticated * 3 / 4,
            authenticated,
            per_owner,
            handshake: Duration::from_secs(5),
            unauthenticated_for: match self {
                // Two round trips, and a token review of at most 5 s.
                Port::Agents => Duration::from_secs(15),
                Port::Monitoring | Port::Page => Duration::from_secs(10),
            },
        }
    }
}

/// The limits of one port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortLimits {
    /// How many connections may be open that have shown no right.
    pub unauthenticated: usize,
    /// How many of them one [`super::ClientAddress`] may have.
    pub per_address: usize,
    /// How many connections may be open that have shown a right.
    pub authenticated: usize,
    /// How many of them one owner may have, such as a node.
    pub per_owner: usize,
    /// How long a TLS handshake may take.
    pub handshake: Duration,
    /// How long a connection may be open, handshake included, until it has shown a right.
    pub unauthenticated_for: Duration,
}

impl PortLimits {
    /// Sockets that are being closed, and the one that is being accepted.
    const CLOSING: usize = 4;

    /// How many sockets the port has open at most.
    pub fn sockets(&self) -> usize {
        self.unauthenticated + self.authenticated + Self::CLOSING
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_ports_of_a_process_leave_files_for_the_api_server_and_the_store() {
        for descriptors in [256, 1024, 4096, 20_000, 1 << 20, 1 << 30] {
            let sockets: usize = [Port::Agents, Port::Monitoring]
                .map(|port| port.limits(descriptors).sockets())
                .iter()
                .sum();
            let rest = usize::try_from(descriptors).unwrap() - sockets;
            assert!(rest >= 88, "{descriptors}: {rest}");
            let page = Port::Page.limits(descriptors).sockets();
            assert!(page < usize::try_from(descriptors).unwrap() / 2);
        }
    }

    #[test]
    fn one_address_never_has_all_connections_of_a_port() {
        for port in [Port::Agents, Port::Monitoring, Port::Page] {
            for descriptors in [0, 64, 256, 1024, 1 << 20] {
                let limits = port.limits(descriptors);
                assert!(limits.per_address < limits.unauthenticated, "{limits:?}");
            }
        }
    }
}
