//! Why the store of flow records cannot be used, and what helps.

use rusqlite::ErrorCode;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum FlowStoreError {
    #[error("failed to {action} flow store {path}: {source}{}", remedy(.source))]
    Sqlite {
        action: &'static str,
        path: PathBuf,
        source: rusqlite::Error,
    },
    #[error(
        "failed to open flow store {path}: it is a database of something else; choose another file"
    )]
    Stranger { path: PathBuf },
    #[error(
        "failed to open flow store {path}: it has version {found}, this program knows {known}; upgrade nanoseg"
    )]
    Newer {
        path: PathBuf,
        found: i64,
        known: i64,
    },
    #[error("failed to read flow store {path}: {what}; it was altered, restore it from a backup")]
    Content { path: PathBuf, what: String },
}

impl FlowStoreError {
    pub(crate) fn of(action: &'static str, path: &Path, source: rusqlite::Error) -> Self {
        FlowStoreError::Sqlite {
            action,
            path: path.to_owned(),
            source,
        }
    }
}

fn remedy(error: &rusqlite::Error) -> &'static str {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => "; the disk is full: make room, nothing is lost meanwhile",
        Some(ErrorCode::ReadOnly) => "; make the file and its folder writable",
        Some(ErrorCode::CannotOpen) => "; check that the folder is there, and the permissions",
        Some(ErrorCode::PermissionDenied) => "; check the permissions",
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "; another program holds it: let one receiver only write to a store"
        }
        Some(ErrorCode::NotADatabase) => "; it is no SQLite file: choose another one",
        Some(ErrorCode::DatabaseCorrupt) => "; restore it from a backup",
        _ => "",
    }
}
