//! Room 4: sources of observation. Capture files become frames in the order of their time; live sources
//! (the kernel's connection tracking, packet sockets, Hubble) and flow logs become flow records. What
//! packets mean is decided in [`nanoseg_flow`].
//!
//! The name of a file never decides anything: formats and compressions are recognised by their magic
//! numbers. Damage never ends a run: what comes before it is used, and a finding reports it.

mod address_changes;
mod address_pairs;
mod capture_alignment;
mod capture_clocks;
mod capture_files;
mod capture_format;
mod capture_interface;
mod capture_merge;
mod capture_pipeline;
mod capture_set;
mod capture_summary;
mod clock;
mod conntrack;
mod decompression;
mod error;
pub mod flow_log;
pub mod hubble;
mod live_source;
mod node_addresses;
mod packet_socket;
mod pcap;
mod pcapng;
mod read_buffer;
mod rtnetlink;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod undecodable_tests;

pub use address_changes::AddressChanges;
pub use address_pairs::{AddressPair, AddressPairs};
pub use capture_interface::{CaptureLoss, InterfaceRead};
pub use capture_pipeline::CaptureNotes;
pub use capture_set::{CaptureSet, Frame, read_capture_bytes};
pub use capture_summary::{
    CaptureRead, CaptureSummary, Progress, SkippedFile, Trouble, TroubleKind,
};
pub use clock::Clock;
pub use conntrack::{
    Conntrack, ConntrackCounters, ConntrackCounts, ConntrackOptions, replay_conntrack,
};
pub use error::ObserveError;
pub use live_source::{LiveError, LiveSource, Pace, Stop, Urgency, run};
pub use node_addresses::read_node_addresses;
pub use packet_socket::{CaptureCounters, CaptureSettings, Interfaces, PacketSocket};
