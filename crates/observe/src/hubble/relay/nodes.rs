//! Relay as the source of a whole cluster.

use super::super::counters::HubbleCounters;
use super::super::receiver::{QUEUE, SETTLE};
use super::node_events::{NodeEvents, NodeObservations};
use super::{Following, HubbleSource, cannot};
use crate::{Clock, LiveError, Urgency};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

/// After so many events it is looked whether the records have room.
const FULL_EVERY: usize = 256;

/// Follows Relay on its own thread, and reconnects without end.
#[derive(Debug)]
pub struct HubbleNodes {
    address: String,
    events: Receiver<super::Event>,
    nodes: NodeEvents,
    clock: Clock,
    settled: Instant,
    /// Ends the thread when it is dropped.
    _following: Following,
}

impl HubbleNodes {
    /// Connects. Counts on in `counters`.
    ///
    /// # Errors
    /// As [`super::HubbleRelay::open`].
    pub fn open(source: HubbleSource, counters: Arc<HubbleCounters>) -> Result<Self, LiveError> {
        let HubbleSource { relay, cluster } = source;
        let address = relay.address.clone();
        let (out, events) = sync_channel(QUEUE);
        let following = Following::start(relay, None, Arc::clone(&counters), out)?;
        Ok(HubbleNodes {
            address,
            events,
            nodes: NodeEvents::new(cluster, counters),
            clock: Clock::start(),
            settled: Instant::now(),
            _following: following,
        })
    }

    /// Waits for events, and processes what has come.
    ///
    /// # Errors
    /// If nothing more can come, or Relay tells of two clusters.
    pub fn poll(&mut self, patience: Duration) -> Result<(), LiveError> {
        let mut patience = patience;
        for number in 0..QUEUE {
            match self.events.recv_timeout(patience) {
                Ok(event) => self.nodes.ingest(event, self.clock.now())?,
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => {
                    let ended = io::Error::other("its thread ended");
                    return Err(cannot(&self.address, None, ended));
                }
            }
            patience = Duration::ZERO;
            // That goes through all nodes.
            if number % FULL_EVERY == 0 && self.nodes.is_full() {
                break;
            }
        }
        if self.settled.elapsed() >= SETTLE {
            self.settled = Instant::now();
            self.nodes.settle(self.clock.now());
        }
        Ok(())
    }

    /// How soon what was seen should be taken.
    pub fn urgency(&self) -> Urgency {
        self.nodes.urgency()
    }

    /// Removes and returns what each node saw since the last call. A node that saw nothing is left out for half a minute.
    /// `last`: nothing more is taken.
    pub fn take(&mut self, last: bool) -> Vec<NodeObservations> {
        self.clock.check_step();
        let mut taken = self.nodes.take(self.clock.now(), last);
        for one in &mut taken {
            let (from, until) = one.span;
            one.span = (self.clock.to_wall(from), self.clock.to_wall(until));
        }
        taken
    }
}
