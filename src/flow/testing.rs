//! The frame builder that unit tests share with the integration tests.

#[path = "../../tests/support/frames.rs"]
pub mod frames;
