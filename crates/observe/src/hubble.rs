//! Cilium's Hubble: flow events, as lines of JSON or by the Relay API, put together to connections.
//!
//! Hubble tells of single packets as some point of some node saw them, so a connection comes as many
//! events, each of which says little. What all of them together say is decided in [`table`].

mod flow;
mod peer_labels;
#[rustfmt::skip]
#[allow(missing_docs, dead_code, clippy::all, clippy::pedantic, rustdoc::all)]
mod generated;
mod api_message;
mod json;
mod line_source;
mod receiver;
mod relay;
mod resume;
mod table;

pub use flow::{HubbleFlow, Layer4, ReplyFlag};
pub use json::{HubbleLine, HubbleLineError, parse_line};
pub use line_source::HubbleLines;
pub use receiver::HubbleCounters;
pub use relay::{HubbleRelay, HubbleRelaySettings, HubbleTls};
pub use table::{HubbleLimits, HubbleTable};
