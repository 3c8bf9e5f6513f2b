//! Room 4: what nanoseg keeps on disk. The output folder of `generate`, and the receiver's flow records.

mod flows;
mod folder;

pub use flows::{FlowStore, FlowStoreError};
pub use folder::{FolderError, OutputFolder, WriteSummary};
