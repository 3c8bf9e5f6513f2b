//! The live half of the room: everything that talks to an API server. Watches, departed pods,
//! writes, Events, the Lease, and TokenReviews.
//!
//! It owns *how* something is read and written, and whether what was read is still true. It refuses to
//! know *what* ought to be: proposals, decisions and the order of things are the controller's. Every write
//! goes through a [`Fence`], which is asked right before.

mod connect;
mod departed;
mod events;
mod lease;
mod tokens;
mod watches;
mod writes;

pub use connect::{ConnectError, ConnectSettings, Connection, connect};
pub use departed::{Departed, Departure};
pub use events::{Events, Severity};
pub use lease::{Election, ElectionSettings};
pub use tokens::{Agent, ReviewSettings, TokenRefusal, TokenReviewer};
pub use watches::{INVENTORY, Kind, Stale, WatchSettings, Watches};
pub use writes::{
    ConfigMapData, Fence, Outcome, Refused, WriteCounts, WriteError, Writer, Written,
};
