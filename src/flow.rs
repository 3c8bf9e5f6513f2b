//! Room 1a: from frames to flow records. Decoding, connections, who opened them, what counts once.
//!
//! This room knows nothing of Kubernetes: what it needs of the inventory comes in as plain data
//! ([`Listeners`], [`AddressEpochs`]), so that the same code runs on a capture file and on a node.

mod bytes;
mod decode;
mod link;
mod packet;
mod popularity;
mod record;
mod skip;
mod windows;

pub use decode::{Decoded, decode};
pub use link::LinkType;
pub use packet::{IcmpUnreachable, Packet, SctpChunk, TcpFlags, Transport};
pub use popularity::decide_all;
pub use record::{AddressEpochs, FlowRecord, Listeners, NoListeners, Opening, Verdict};
pub use skip::{Skip, SkipCounters};
pub use windows::Windows;
