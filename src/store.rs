//! Room 4: what nanoseg keeps on disk. So far the output folder of `generate`.

mod folder;

pub use folder::{FolderError, OutputFolder, WriteSummary};
