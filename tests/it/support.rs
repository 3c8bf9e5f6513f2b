//! What several topics share: frames and captures made from words, and reading snapshots.

pub mod capture;
pub mod diff;
pub mod frames;
#[allow(
    dead_code,
    unused_imports,
    reason = "topics that use the rest of it are on their way"
)]
pub mod kubernetes;
pub mod namespaces;
#[path = "../support/tokens.rs"]
pub mod tokens;
pub mod traffic;
