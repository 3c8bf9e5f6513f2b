//! What unit tests of several rooms share: the frame builder (the integration tests have it too), and batches
//! of all kinds.

pub mod batches;
#[path = "../../../tests/support/frames.rs"]
pub mod frames;
