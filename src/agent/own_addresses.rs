//! The addresses of the node itself, read again from time to time and told with every batch (rule: node-by-address).

use crate::net::{Outage, Timestamp};
use crate::observe::{LiveError, read_node_addresses};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// How often they are read: a plugin gives the node its gateway when the first pod comes.
const EVERY: Duration = Duration::from_secs(10);

/// Reads them.
pub type AddressReader = Box<dyn FnMut() -> Result<BTreeSet<IpAddr>, LiveError> + Send>;

/// The addresses as they were last read.
pub struct OwnAddresses {
    read: AddressReader,
    due: Instant,
    known: BTreeSet<IpAddr>,
    outage: Outage,
}

impl OwnAddresses {
    /// Those of the network namespace that this process runs in.
    pub fn of_this_node() -> OwnAddresses {
        OwnAddresses::read_by(Box::new(read_node_addresses))
    }

    /// Those that a function reads.
    pub fn read_by(read: AddressReader) -> OwnAddresses {
        OwnAddresses {
            read,
            due: Instant::now(),
            known: BTreeSet::new(),
            outage: Outage::default(),
        }
    }

    /// Reads them if it is time to. If that fails they are what they were; it is logged once.
    pub fn current(&mut self, now: Timestamp) -> &BTreeSet<IpAddr> {
        if self.due <= Instant::now() {
            self.due = Instant::now() + EVERY;
            match (self.read)() {
                Ok(addresses) => {
                    self.known = addresses;
                    if let Some(over) = self.outage.worked(now) {
                        tracing::info!("the node's addresses can be read again {over}");
                    }
                }
                Err(error) => {
                    let why = super::chain(&error);
                    if self.outage.failed(&why, now) {
                        tracing::warn!(
                            "{why}; the receiver may not know the gateway of the node's pods"
                        );
                    }
                }
            }
        }
        &self.known
    }
}
