//! The live half of the room: all code that uses an API server. Watches, departed pods, writes, Events, the
//! Lease, and TokenReviews.
//!
//! This code decides *how* objects are read and written, and whether what was read is still true. It does not
//! decide *what* ought to exist: proposals, decisions and their order belong to the controller. Every write
//! passes a [`Fence`], which is asked immediately before the write.

mod connect;
mod departed;
mod events;
mod lease;
mod other_kinds;
mod probe;
mod snapshot;
mod tokens;
mod watches;
mod writes;

pub use connect::{ConnectError, Connection, connect};
pub use departed::{Departed, Departure};
pub use events::{Events, Severity};
pub use lease::{Election, ElectionSettings, LeaseState};
pub use other_kinds::list_other_kinds;
pub use probe::{Prober, Trial};
pub use snapshot::{
    DELETED_AT, Format, Gap, History, Item, Missing, Record, Snapshot, SnapshotError, TAKEN_AT,
    list_page, write_document, write_list,
};
pub use tokens::{Agent, ReviewSettings, SigningKeys, TokenRefusal, TokenReviewer, signing_keys};
pub use watches::{
    INVENTORY, Kind, Malformed, Stale, WatchSettings, Watches, plugin_config_maps, typed_parts,
};
pub use writes::{
    ConfigMapData, Fence, Outcome, Refused, WriteCounts, WriteError, Writer, Written,
};
