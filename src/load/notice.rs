//! What loading reports beside its result.

#[cfg(feature = "cluster")]
use crate::cluster::live::Missing;
use crate::inventory::{ObjectRemark, OtherPolicy, PodBlocks};
use crate::net::Timestamp;
use crate::observe::Progress;
use std::fmt;
use std::path::PathBuf;

/// Receives notices and progress while something is loaded.
pub trait NoticeSink: Send + Sync {
    /// Something that is no error, and that an operator should know.
    fn report(&self, notice: Notice);

    /// How far reading captures has come.
    fn progress(&self, _progress: Progress) {}

    /// All captures are read.
    fn progress_done(&self) {}
}

/// What was left out, or counts differently than one might expect.
#[derive(Debug, Clone)]
pub enum Notice {
    /// A file of a folder that is not a manifest.
    SkippedFile { file: PathBuf, reason: String },
    /// A folder of policies that has no manifest.
    NoManifests(PathBuf),
    /// A policy of a kind that no verdict includes.
    NotJudged(OtherPolicy),
    /// How many more of these there are.
    MoreNotJudged(usize),
    /// Policies exist that are not judged, or not wholly.
    SomeNotJudged,
    /// Something odd about an object that was read all the same.
    Remark(ObjectRemark),
    /// A policy with ipBlocks that cover pods.
    PodBlocks(PodBlocks),
    /// Objects of the cluster that the user may not list, by their plural, with the API server's message.
    MayNotList { plural: String, message: String },
    /// A kind that a snapshot lacks.
    #[cfg(feature = "cluster")]
    Missing(Missing),
    /// Folded hours of a controller's store that were read. Each counts as a whole.
    FoldedHours {
        store: PathBuf,
        from: Timestamp,
        to: Timestamp,
    },
    /// Folded hours of a controller's store that were not read.
    FoldedHoursLeftOut { store: PathBuf, to: Timestamp },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Notice::SkippedFile { file, reason } => {
                write!(f, "left out {}: {reason}", file.display())
            }
            Notice::NoManifests(path) => write!(
                f,
                "no policies in {}: it has no *.yaml, *.yml or *.json file",
                path.display()
            ),
            Notice::NotJudged(policy) => {
                let fields = policy.fields_text();
                let how = if policy.is_known_at_layer4 {
                    "judged in part"
                } else {
                    "not judged"
                };
                write!(f, "{how}: {policy} in {}{fields}", policy.file)
            }
            Notice::MoreNotJudged(more) => write!(f, "not judged: {more} more policies"),
            Notice::SomeNotJudged => {
                f.write_str("what is not judged of policies may allow and deny more")
            }
            Notice::Remark(remark) => remark.fmt(f),
            Notice::PodBlocks(blocks) => write!(f, "{} {blocks}", blocks.policy),
            Notice::MayNotList { plural, message } => write!(f, "left out {plural}: {message}"),
            #[cfg(feature = "cluster")]
            Notice::Missing(missing) => write!(f, "without {missing}"),
            Notice::FoldedHours { store, from, to } => write!(
                f,
                "the hours from {from} to {to} in {} are folded, and each counts as a whole",
                store.display()
            ),
            Notice::FoldedHoursLeftOut { store, to } => write!(
                f,
                "{} is a controller's state: its hours up to {to} are folded and left out here; nanoseg verify and \
                 report --state count them",
                store.display()
            ),
        }
    }
}
