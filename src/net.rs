//! Room 0: protocols, time, addresses, ports and the exact sets over them. Pure values; nothing here
//! knows Kubernetes, packets or policies.

mod protocol;
mod time;

pub use protocol::Protocol;
pub use time::Timestamp;
