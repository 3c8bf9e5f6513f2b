//! Room 4: everything that nanoseg keeps on disk: the output folder of `generate`, the agents' spool, reports for
//! auditors, and the one SQLite file of flow records, edges, reviews and the record.

pub mod evidence;
mod flows;
mod folder;
mod reviews;
pub mod spool;
mod state_lock;

pub use flows::{FlowStore, FlowStoreError};
pub use folder::{FolderError, OutputFolder, WriteSummary};
pub use reviews::{
    BreakGlassEntry, BreakGlassLog, Commit, DepartedPod, EndedReview, FoldSummary, HourEdge,
    Loaded, ReviewStore, ReviewStoreError, StoredDecision, StoredSegment,
};
pub use spool::{BatchCodec, Spool, SpoolError, SpoolLimits, SpoolState};
pub use state_lock::{StateLock, StateLockError};
