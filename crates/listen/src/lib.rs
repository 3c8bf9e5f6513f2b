//! Room 4: what every port of nanoseg has, whatever it serves (rule: connections-are-bounded). A [`Listener`] accepts
//! connections within limits, ends those that show no right to be there, and reads its certificate again when the files
//! change.

mod address;
mod admission;
mod certificate;
mod connections;
mod descriptors;
mod http;
mod limits;
mod listener;
#[cfg(test)]
mod listener_tests;
mod metrics;
mod stall;

pub use address::ClientAddress;
pub use certificate::{CertificateError, ServerTls, check_authorities};
pub use connections::{Authenticated, ConnectionHandle, NoRoom};
pub use descriptors::{descriptor_limit, raise_descriptor_limit};
pub use limits::{Port, PortLimits};
pub use listener::Listener;
pub use metrics::ConnectionMetrics;
