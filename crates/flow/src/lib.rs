//! Room 1a: from frames to flow records. Decoding, connections, their direction, deduplication.
//!
//! This room knows nothing of Kubernetes: what it needs of the inventory comes in as plain data
//! ([`Listeners`], [`AddressEpochs`]), so that the same code runs on a capture file and on a node.

#![cfg_attr(
    test,
    allow(
        clippy::disallowed_macros,
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "tests may read files and print"
    )
)]

mod activity_windows;
mod address_bound;
mod admission;
mod aggregate;
mod batch_id;
mod big_endian;
mod bounds;
mod budget;
mod collector;
mod condense;
mod connection_report;
mod decode;
mod dedup;
mod direction;
mod dns;
mod dns_names;
mod dns_questions;
mod endpoints;
mod flow_table;
mod link_type;
mod link_watch;
mod listeners;
mod merged_observations;
mod node_addresses;
mod not_expressible;
mod observations;
mod observers;
mod packet;
mod packet_batch;
mod peer_label;
mod popularity;
mod record;
mod record_builder;
mod record_identity;
mod silence;
mod skip;
mod table;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod told;

pub use activity_windows::ActivityWindows;
pub use address_bound::{AddressBound, UNBOUNDED_RECORDS};
pub use admission::{Admission, Progress, Progresses, Teller};
pub use aggregate::{Aggregate, Applied, SequenceSet};
pub use batch_id::BatchId;
pub use bounds::{OutOfBounds, Standing, standing};
pub use budget::{HOT_HOURS, IntakeBudget, IntakeLimits, IntakeUse, NodeLosses, Untaken};
pub use collector::{Collector, CollectorLimits};
pub use condense::Condensed;
pub use connection_report::{ConnectionReport, ConnectionSink};
pub use decode::{Decoded, arp_addresses, decode};
pub use dedup::decide_by_listeners;
pub use direction::{infer_server, is_probable_answer, server_by_listener};
pub use dns::{DnsMessage, Heard, NotDns, learn_answers};
pub use dns_names::{NameEntry, NameTable, NameTrust, NamedBy};
pub use dns_questions::{Question, Questions};
pub use endpoints::Endpoints;
pub use flow_table::{FlowResult, FlowTable};
pub use link_type::LinkType;
pub use link_watch::{LinkSeen, LinkSigns, LinkWatch, SenderLink, sender_link};
pub use listeners::{AddressKind, Listeners, NoListeners, Translation};
pub use merged_observations::{MergedObservations, ObservationLimits};
pub use node_addresses::{MAX_NODE_ADDRESSES, NodeAddresses, is_of_node};
pub use not_expressible::{OtherKind, OtherTally, OtherTraffic};
pub use observations::{
    FlowBatch, Instance, Loss, Observations, Observed, Observer, SPOOL_REACH, Source,
};
pub use observers::Observers;
pub use packet::{IcmpUnreachable, Packet, SctpChunk, TcpFlags, Transport};
pub use packet_batch::PacketBatch;
pub use peer_label::{PeerLabel, PeerLabels, PodLabel, is_stand_in, stand_in_address};
pub use popularity::Popularity;
pub use record::{AddressEpochs, FlowRecord, Opening, Verdict};
pub use record_builder::{RecordBuilder, ScanSummary};
pub use record_identity::RecordIdentity;
pub use silence::{Silence, Views, silence_of};
pub use skip::{Skip, SkipCounters};
pub use table::{ConnectionTable, FlowConfig, FlowCounters};
pub use told::Told;
