//! Room 1a: from frames to flow records. Decoding, connections, who opened them, what counts once.
//!
//! This room knows nothing of Kubernetes: what it needs of the inventory comes in as plain data
//! ([`Listeners`], [`AddressEpochs`]), so that the same code runs on a capture file and on a node.

mod aggregate;
mod batch;
mod batch_id;
mod bytes;
mod collect;
mod collector;
mod decode;
mod dedup;
mod direction;
mod dns;
mod identity;
mod link;
mod merged;
mod names;
mod observed;
mod other;
mod packet;
mod peer_label;
mod popularity;
mod record;
mod records;
mod report;
mod skip;
mod table;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod windows;

pub use aggregate::{Aggregate, Applied, SequenceSet};
pub use batch::PacketBatch;
pub use batch_id::BatchId;
pub use collect::{FlowResult, FlowTable};
pub use collector::{Collector, CollectorLimits};
pub use decode::{Decoded, decode};
pub use dedup::decided;
pub use direction::{infer_server, server_by_listener};
pub use dns::{NotDns, learn_answers};
pub use identity::RecordIdentity;
pub use link::LinkType;
pub use merged::{MergedObservations, ObservationLimits};
pub use names::{NameEntry, NameTable};
pub use observed::{FlowBatch, Instance, Loss, Observations, Observed, Observer, Source};
pub use other::{OtherKind, OtherTally, OtherTraffic};
pub use packet::{IcmpUnreachable, Packet, SctpChunk, TcpFlags, Transport};
pub use peer_label::{PeerLabel, PeerLabels};
pub use popularity::Popularity;
pub use record::{AddressEpochs, FlowRecord, Listeners, NoListeners, Opening, Verdict};
pub use records::{Records, ScanSummary};
pub use report::{ConnectionReport, ConnectionSink};
pub use skip::{Skip, SkipCounters};
pub use table::{ConnectionTable, FlowConfig, FlowCounters};
pub use windows::Windows;
