//! Both ends of one connection, with what address translation made of them. Every source of
//! connections (packets, connection tracking) describes the ends in this form.

use crate::direction::lower_port;
use std::net::SocketAddr;

/// The ends of a connection after the decision who is the client. A translated connection has one
/// address at its end and another one where the other end sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoints {
    /// The client's own address, before any SNAT.
    pub client: SocketAddr,
    /// Where the connection arrived, after any DNAT.
    pub server: SocketAddr,
    /// What the client called, if that was translated.
    pub via: Option<SocketAddr>,
    /// The client as the server saw it, if its address was translated. A changed port alone is no
    /// reason: no policy selects by the client's port.
    pub seen_as: Option<SocketAddr>,
}

impl Endpoints {
    /// From each end's own address and from the address under which the other end saw it.
    pub fn new([client, seen_as]: [SocketAddr; 2], [server, called]: [SocketAddr; 2]) -> Self {
        Endpoints {
            client,
            server,
            via: (called != server).then_some(called),
            seen_as: (seen_as.ip() != client.ip()).then_some(seen_as),
        }
    }

    /// Returns true if an address was translated on the way.
    pub fn is_translated(&self) -> bool {
        self.via.is_some() || self.seen_as.is_some()
    }

    /// Returns true if client and server have to be exchanged where nothing shows who opened the
    /// connection. Untranslated ends are put in the order of their addresses, so that every observer
    /// reports the same record. A translated connection cannot be described from its other end, so it
    /// gets the direction that inference gives last: the lower port is the server's.
    pub fn is_turned_if_undecided(&self) -> bool {
        if self.is_translated() {
            lower_port([self.server, self.client]) == 1
        } else {
            self.server < self.client
        }
    }
}
