//! Room 5: one per node. Runs the sources, makes batches of what they observe, and delivers these: in order, once, and
//! after any interruption.
//!
//! ```text
//! sources (a thread each) ─ slices ─▶ keeper (a thread): batcher ─▶ spool ─ batches ─▶ sender ─▶ link
//!                                                                     ▲───── answers ─────┘
//! ```
//!
//! Every queue is bounded: 4 slices, 8 batches out, the spool's own bounds. docs/observe.md lists what is counted, and
//! what can be lost where.

mod batcher;
mod codec;
mod keeper;
mod link;
mod memory;
mod metrics;
mod node;
mod own_addresses;
mod run;
mod sender;
mod sources;
#[cfg(test)]
mod tests;

pub use codec::WireCodec;
pub use link::{DeliveryOutcome, Link, LinkError};
pub use memory::keep_small;
pub use metrics::Metrics;
pub use node::{NodeName, NotANode};
pub use run::{Settings, limits, run};
pub use sender::Patience;
pub use sources::{Figures, Opener, SourceSpec, chain};

use crate::observe::LiveError;
use crate::store::SpoolError;
use std::io;
use std::net::SocketAddr;
use thiserror::Error;

/// Why an agent cannot run.
#[derive(Debug, Error)]
pub enum AgentError {
    #[error(transparent)]
    Spool(#[from] SpoolError),
    #[error("failed to listen at {address} for metrics; choose another --metrics-listen")]
    Listen {
        address: SocketAddr,
        source: io::Error,
    },
    /// No source has the permissions that it needs.
    #[error(transparent)]
    NoPermission(LiveError),
    #[error("failed to start a thread; raise the limit of processes")]
    Thread(#[source] io::Error),
    #[error("failed to get random numbers from the kernel: {0}")]
    Random(String),
    #[error("failed to go on: the main loop has ended; please report this as a bug of nanoseg")]
    KeeperEnded,
    #[error(
        "failed to go on: the server of metrics has ended; please report this as a bug of nanoseg"
    )]
    HealthEnded,
}
