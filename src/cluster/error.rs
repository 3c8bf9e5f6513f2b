//! The errors of reading a snapshot.

use crate::net::FileKind;
use std::io;

/// A snapshot or manifest cannot be read. Each message names the file and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    #[error("failed to read {file}; check the path and its permissions")]
    Io {
        file: String,
        #[source]
        problem: io::Error,
    },
    #[error("failed to unpack {file}: {problem}; pack it again, or pass it unpacked")]
    Unpack { file: String, problem: String },
    #[error("failed to read {file}: {kind}; a snapshot is YAML or JSON, as kubectl prints it")]
    WrongKind { file: String, kind: FileKind },
    #[error("failed to read {file}: it is damaged {encoding}; save it as UTF-8")]
    Encoding {
        file: String,
        encoding: &'static str,
    },
    #[error(
        "failed to read {file}: more than {} MiB; split it, for example by namespace",
        super::MAX_BYTES >> 20
    )]
    TooLarge { file: String },
    #[error(
        "failed to read document {document} of {file}: {problem}; is it a whole file as kubectl printed it?"
    )]
    Syntax {
        file: String,
        document: usize,
        problem: String,
    },
    #[error(
        "failed to read document {document} of {file}: its aliases or nesting blow it up ({problem}); write the values out"
    )]
    Hostile {
        file: String,
        document: usize,
        problem: String,
    },
    #[error(
        "failed to read document {document} of {file}: it is not a Kubernetes object (no kind), or was cut off before its kind; pass only what kubectl prints, whole, or a folder, where such files are left out"
    )]
    NoKind { file: String, document: usize },
    #[error("failed to read {object} in document {document} of {at}: {problem}")]
    Object {
        /// The file and, if it is known, the line.
        at: String,
        document: usize,
        object: String,
        problem: String,
    },
    #[error(
        "failed to read {file}: there is nothing in it; was the kubectl that wrote it interrupted?"
    )]
    Empty { file: String },
    #[error(
        "failed to read {folder}: no *.yaml, *.yml or *.json file (plain, .gz or .zst) with Kubernetes objects in it"
    )]
    EmptyFolder { folder: String },
}
