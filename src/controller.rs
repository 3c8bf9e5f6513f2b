//! Room 5: one per cluster. So far the receiver of what agents send.

mod gate;
mod intake;
mod metrics;
mod receiver;
mod writer;

pub use receiver::{Receiver, ReceiverError, ReceiverSettings};
