//! Takes a snapshot of a cluster: what `--cluster` reads, and nothing else. Secrets are never asked for.
//!
//! Kinds are listed one after the other, pods first, each page by page. Of each object remains what the inventory
//! reads (`reduce`), as a line of JSON, so that a large cluster fits into memory. Kinds that the user may not list are
//! [`Missing`]; only without pods there is no snapshot.

mod changes;
mod content;
mod error;
mod gap;
mod history;
mod kinds;
mod list;
mod owners;
mod read;
mod reduce;
mod take;
mod text;

pub use content::{Item, Snapshot};
pub use error::{Missing, SnapshotError};
pub use gap::Gap;
pub use history::{History, Record};
pub use kinds::other_kind_resources;
pub use list::list_page;
pub use text::{DELETED_AT, Format, TAKEN_AT, write_document, write_list};

#[cfg(test)]
mod tests;
#[cfg(test)]
pub use tests::Api;
