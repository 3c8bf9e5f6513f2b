//! Room 4: everything that nanoseg keeps on disk: the output folder of `generate`, the agents' spool, reports for
//! auditors, and the one SQLite file of flow records, edges, reviews and the record.

#[cfg(feature = "cluster")]
pub mod evidence;
#[cfg(feature = "cluster")]
mod flows;
mod folder;
#[cfg(feature = "cluster")]
mod reviews;
#[cfg(feature = "cluster")]
pub mod spool;
#[cfg(feature = "cluster")]
mod state_lock;

#[cfg(feature = "cluster")]
pub use flows::{FlowStore, FlowStoreError};
pub use folder::{FolderError, OutputFolder, WriteSummary};
#[cfg(feature = "cluster")]
pub use reviews::{
    BreakGlassEntry, BreakGlassLog, Commit, DepartedPod, EndedReview, FoldSummary, HourEdge,
    Loaded, ReviewStore, ReviewStoreError, StoredDecision, StoredSegment,
};
#[cfg(feature = "cluster")]
pub use spool::{BatchCodec, Spool, SpoolError, SpoolLimits, SpoolState};
#[cfg(feature = "cluster")]
pub use state_lock::{StateLock, StateLockError};
