//! Room 0: protocols, time, addresses, ports and the exact sets over them. Pure values; nothing here
//! knows Kubernetes, packets or policies.

mod addresses;
mod connections;
mod intervals;
mod ports;
mod protocol;
mod time;

pub use addresses::{AddressRange, AddressSet};
pub use connections::ConnectionSet;
pub use ports::PortSet;
pub use protocol::Protocol;
pub use time::Timestamp;
