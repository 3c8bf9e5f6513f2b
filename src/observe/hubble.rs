//! Cilium's Hubble: flow events, as lines of JSON or by the Relay API, put together to connections.
//!
//! Hubble tells of single packets as some point of some node saw them, so a connection comes as many
//! events, each of which says little. What all of them together say is decided in [`table`].

mod claims;
mod flow;
mod json;
mod table;

pub use flow::{Direction, HubbleFlow, Layer4};
pub use json::{HubbleLine, HubbleLineError, parse_line};
pub use table::{HubbleLimits, HubbleTable};
