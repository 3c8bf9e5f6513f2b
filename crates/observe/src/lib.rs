//! Room 4: sources of observation. Capture files become frames in the order of their time; live sources
//! (the kernel's connection tracking, packet sockets, Hubble) and flow logs become flow records. What
//! packets mean is decided in [`nanoseg_flow`].
//!
//! A capture never decides anything by its name: formats and compressions are told by their magic
//! numbers. Damage never ends a run: what comes before it is used, and a finding says so.

mod buffer;
mod captures;
mod clock;
mod conntrack;
mod cuts;
mod error;
mod files;
pub mod flow_log;
mod format;
pub mod hubble;
mod input;
mod links;
mod live;
mod merge;
mod packet_socket;
mod pcap;
mod pcapng;
mod pipeline;
mod summary;
#[cfg(test)]
mod tests;

pub use captures::{CaptureSet, Frame, read_capture_bytes};
pub use clock::Clock;
pub use conntrack::{
    Conntrack, ConntrackCounters, ConntrackCounts, ConntrackOptions, replay_conntrack,
};
pub use cuts::Cuts;
pub use error::ObserveError;
pub use live::{LiveError, LiveSource, Pace, Stop, Urgency, run};
pub use packet_socket::{CaptureCounters, CaptureSettings, Interfaces, PacketSocket};
pub use summary::{CaptureRead, CaptureSummary, Progress, SkippedFile, Trouble, TroubleKind};
