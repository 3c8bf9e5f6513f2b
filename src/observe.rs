//! Room 4: reading captures. Bytes of files, folders and streams become frames in the order of
//! their time; what they mean is decided in [`crate::flow`].
//!
//! A capture never decides anything by its name: formats and compressions are told by their magic
//! numbers. Damage never ends a run: what comes before it is used, and a finding says so.

mod buffer;
mod captures;
mod error;
mod files;
mod format;
mod input;
mod merge;
mod pcap;
mod pcapng;
mod pipeline;
mod summary;
#[cfg(test)]
mod tests;

pub use captures::{CaptureSet, Frame, read_capture_bytes};
pub use error::ObserveError;
pub use summary::{CaptureRead, CaptureSummary, Progress, SkippedFile, Trouble, TroubleKind};
