//! What several topics share: frames and captures made from words, and reading snapshots.

pub mod capture;
pub mod diff;
pub mod frames;
pub mod kubernetes;
pub mod namespaces;
#[path = "../support/tokens.rs"]
pub mod tokens;
pub mod traffic;
