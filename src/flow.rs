//! Room 1a: from frames to flow records. Decoding, connections, who opened them, what counts once.
//!
//! This room knows nothing of Kubernetes: what it needs of the inventory comes in as plain data
//! ([`Listeners`], [`AddressEpochs`]), so that the same code runs on a capture file and on a node.

mod packet;
mod popularity;
mod record;
mod windows;

pub use packet::{IcmpUnreachable, Packet, SctpChunk, TcpFlags, Transport};
pub use popularity::decide_all;
pub use record::{AddressEpochs, FlowRecord, Listeners, NoListeners, Opening, Verdict};
pub use windows::Windows;
