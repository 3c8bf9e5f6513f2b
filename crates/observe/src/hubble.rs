//! Cilium's Hubble: flow events, as lines of JSON or by the Relay API, put together to connections.
//!
//! Hubble reports single packets as they pass a point of a node, so one connection gives many events with
//! little information each. [`table`] combines the events of a connection.

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
mod receiver;
#[cfg(feature = "relay")]
mod relay;
#[cfg(feature = "relay")]
mod resume;
mod table;

pub use flow::{HubbleFlow, Layer4, ReplyFlag};
pub use json::{HubbleLine, HubbleLineError, parse_line};
pub use line_source::HubbleLines;
pub use receiver::HubbleCounters;
#[cfg(feature = "relay")]
pub use relay::{HubbleRelay, HubbleRelaySettings, HubbleTls};
pub use table::{HubbleLimits, HubbleTable};
