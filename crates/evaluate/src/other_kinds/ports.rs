//! Ports of the other kinds.

use super::super::rules::{Ports, PortsId};
use super::resolver::Resolver;
use nanoseg_net::{ConnectionSet, PortSet, Protocol};

/// The protocols whose connections are judged.
pub(super) const PROTOCOLS: [Protocol; 3] = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];

/// A list of ports that grows.
#[derive(Debug, Default)]
pub(super) struct PortList {
    pub fixed: ConnectionSet,
    named: Vec<(Protocol, String)>,
}

impl PortList {
    pub fn all() -> PortList {
        PortList {
            fixed: ConnectionSet::all(),
            named: Vec::new(),
        }
    }

    /// Adds a range of ports; nothing if it is none.
    pub fn range(&mut self, protocol: Protocol, first: i32, last: i32) {
        if let (Ok(first), Ok(last)) = (u16::try_from(first), u16::try_from(last))
            && first <= last
        {
            let ports = ConnectionSet::of(protocol, PortSet::range(first, last));
            self.fixed = self.fixed.union(&ports);
        }
    }

    pub fn every(&mut self, protocol: Protocol) {
        let ports = ConnectionSet::of(protocol, PortSet::all());
        self.fixed = self.fixed.union(&ports);
    }

    pub fn is_named(&self) -> bool {
        !self.named.is_empty()
    }

    pub fn name(&mut self, protocol: Protocol, name: &str) {
        self.named.push((protocol, name.to_owned()));
    }
}

impl Resolver<'_> {
    pub(super) fn ports(&mut self, mut list: PortList) -> PortsId {
        list.named.sort_unstable();
        list.named.dedup();
        let fixed = self.names.pool.intern(list.fixed);
        self.names.intern_ports(Ports {
            fixed,
            named: list.named,
        })
    }
}
