//! Cilium's Hubble: flow events, as lines of JSON or by the Relay API, put together to connections.
//!
//! Hubble reports single packets as they pass a point of a node, so one connection gives many events with
//! little information each. [`table`] combines the events of a connection.

mod counters;
mod drop_reason;
mod events;
mod flow;
mod peer_labels;
#[cfg(feature = "relay")]
#[rustfmt::skip]
#[allow(missing_docs, dead_code, clippy::all, clippy::pedantic, rustdoc::all)]
mod generated;
#[cfg(feature = "relay")]
mod api_message;
mod json;
mod line_source;
mod raw;
mod receiver;
#[cfg(feature = "relay")]
mod relay;
#[cfg(feature = "relay")]
mod resume;
mod scope;
mod table;

pub use counters::HubbleCounters;
pub use flow::{HubbleFlow, Layer4, PacketFate, ReplyFlag};
pub use json::{HubbleLine, HubbleLineError, NodeName, parse_line};
pub use line_source::HubbleLines;
#[cfg(feature = "relay")]
pub use relay::{
    HubbleNodes, HubbleRelay, HubbleRelaySettings, HubbleSource, HubbleTls, NodeObservations,
};
pub use scope::HubbleScope;
pub use table::{HubbleLimits, HubbleTable};
