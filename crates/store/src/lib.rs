//! Room 4: everything that nanoseg keeps on disk: the output folder of `generate`, the agents' spool, reports for
//! auditors, and the one SQLite file of flow records, edges, reviews and the record.

#[cfg(feature = "database")]
mod backup;
#[cfg(feature = "database")]
pub mod evidence;
#[cfg(feature = "database")]
mod flows;
mod folder;
#[cfg(feature = "database")]
mod reviews;
#[cfg(feature = "database")]
pub mod spool;
#[cfg(feature = "database")]
mod state_lock;
#[cfg(feature = "database")]
mod tables;

#[cfg(feature = "database")]
pub use backup::back_up;
#[cfg(feature = "database")]
pub use flows::{FlowStore, FlowStoreError};
pub use folder::{FolderError, OutputFolder, WriteSummary};
#[cfg(feature = "database")]
pub use reviews::{
    BreakGlassEntry, BreakGlassLog, Commit, DepartedPod, EndedReview, FoldStep, FoldSummary,
    Forgotten, HourEdge, Loaded, ReviewStore, ReviewStoreError, StoreLimits, StoreSize,
    StoredDecision, StoredSegment,
};
#[cfg(feature = "database")]
pub use spool::{BatchCodec, Spool, SpoolError, SpoolLimits, SpoolState};
#[cfg(feature = "database")]
pub use state_lock::{StateLock, StateLockError};
