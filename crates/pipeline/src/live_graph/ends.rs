//! An index of the records between addresses, and of the records that may be the other side of a translation.

use nanoseg_flow::{FlowRecord, Observer};
use rustc_hash::FxHashMap;
use std::collections::BTreeSet;
use std::net::IpAddr;

type AddressPair = (IpAddr, IpAddr);

/// Which observers have records of which client and server.
#[derive(Debug, Clone, Default)]
pub struct EndsIndex {
    observers: FxHashMap<AddressPair, BTreeSet<Observer>>,
    /// Client and called address → the servers where the connection arrived.
    translated: FxHashMap<AddressPair, BTreeSet<IpAddr>>,
    /// The client address that the server saw, and the server → the real clients.
    shown_as: FxHashMap<AddressPair, BTreeSet<IpAddr>>,
}

impl EndsIndex {
    pub fn note(&mut self, observer: &Observer, record: &FlowRecord) {
        let (client, server) = (record.client, record.server);
        let observers = self.observers.entry((client, server)).or_default();
        if !observers.contains(observer) {
            observers.insert(observer.clone());
        }
        if let Some(via) = record.via {
            let servers = self.translated.entry((client, via.ip())).or_default();
            servers.insert(server);
        }
        if let Some(seen_as) = record.seen_as {
            let clients = self.shown_as.entry((seen_as, server)).or_default();
            clients.insert(client);
        }
    }

    /// These ends, and those of records that may be the other side of the same translated connection, each with its
    /// observers.
    pub fn with_explanations(
        &self,
        ends: &BTreeSet<AddressPair>,
    ) -> impl Iterator<Item = (IpAddr, IpAddr, &Observer)> {
        let mut all: BTreeSet<AddressPair> = BTreeSet::new();
        for (client, server) in ends {
            // A record without a handshake may have client and server swapped.
            for (client, server) in [(*client, *server), (*server, *client)] {
                all.insert((client, server));
                all.extend(self.arrivals(client, server));
                for shown in self.shown_as.get(&(client, server)).into_iter().flatten() {
                    all.insert((*shown, server));
                    all.extend(self.arrivals(*shown, server));
                }
            }
        }
        all.into_iter().flat_map(|ends| {
            let observers = self.observers.get(&ends).into_iter().flatten();
            observers.map(move |observer| (ends.0, ends.1, observer))
        })
    }

    fn arrivals(&self, client: IpAddr, called: IpAddr) -> impl Iterator<Item = AddressPair> + '_ {
        let servers = self.translated.get(&(client, called)).into_iter().flatten();
        servers.map(move |server| (client, *server))
    }
}
