//! Room 0: protocols, directions, time, addresses, ports and the exact sets over them; the hash that
//! identifies contents; what a file is by its first bytes. Pure values: nothing here knows Kubernetes, packets or policies.

#![cfg_attr(
    test,
    allow(
        clippy::disallowed_macros,
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "tests may read files and print"
    )
)]

mod address_blocks;
mod addresses;
mod canonical;
mod connections;
mod direction;
mod file_kind;
mod intervals;
mod outage;
mod ports;
mod protocol;
mod sha256;
mod time;
mod time_spans;

pub use address_blocks::{Absorb, AddressBlocks, BlockLimits, is_private_address};
pub use addresses::{AddressRange, AddressSet};
pub use canonical::{
    canonical_address, canonical_range, canonical_socket, deserialize_address, deserialize_socket,
    is_loopback, parse_address, parse_range,
};
pub use connections::ConnectionSet;
pub use direction::Direction;
pub use file_kind::{FILE_KIND_BYTES, FileKind};
pub use outage::{Outage, Outages, Recovery};
pub use ports::PortSet;
pub use protocol::Protocol;
pub use sha256::{sha256_hex, sha256_hex_of};
pub use time::{SECOND, Timestamp};
pub use time_spans::TimeSpans;
