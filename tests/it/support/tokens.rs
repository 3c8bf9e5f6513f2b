//! The token maker that integration tests share with unit tests.

#[path = "../../support/tokens.rs"]
mod tokens;
pub use tokens::*;
