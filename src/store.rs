//! Room 4: what nanoseg keeps on disk: the output folder of `generate`, the agents' spool, and the receiver's
//! flow records.

mod flows;
mod folder;
pub mod spool;

pub use flows::{FlowStore, FlowStoreError};
pub use folder::{FolderError, OutputFolder, WriteSummary};
pub use spool::{BatchCodec, BatchKey, Spool, SpoolError, SpoolLimits, SpoolState};
