//! Room 4: what nanoseg keeps on disk: the output folder of `generate`, and the agents' spool.

mod folder;
pub mod spool;

pub use folder::{FolderError, OutputFolder, WriteSummary};
pub use spool::{BatchCodec, BatchKey, Spool, SpoolError, SpoolLimits, SpoolState};
