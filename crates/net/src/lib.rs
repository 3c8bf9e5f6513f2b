//! Room 0: protocols, time, addresses, ports and the exact sets over them; the hash that names contents. Pure values; nothing here
//! knows Kubernetes, packets or policies.

mod addresses;
mod connections;
mod direction;
mod intervals;
mod ports;
mod protocol;
mod sha256;
mod time;

pub use addresses::{AddressRange, AddressSet};
pub use connections::ConnectionSet;
pub use direction::Direction;
pub use ports::PortSet;
pub use protocol::Protocol;
pub use sha256::{sha256_hex, sha256_hex_of};
pub use time::Timestamp;
