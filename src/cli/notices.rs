//! Notices and progress of loading, on stderr.

use super::progress::ReadingBar;
use crate::load::{Notice, NoticeSink};
use crate::observe::Progress;
use crate::report::escape;

/// Prints notices to stderr, and shows a progress bar while captures are read.
pub struct Stderr(ReadingBar);

impl Stderr {
    pub fn new() -> Stderr {
        Stderr(ReadingBar::new())
    }
}

impl NoticeSink for Stderr {
    fn report(&self, notice: Notice) {
        // Names in manifests are anybody's to choose.
        eprintln!("note: {}", escape::terminal(&notice.to_string()));
    }

    fn progress(&self, progress: Progress) {
        self.0.update(progress);
    }

    fn progress_done(&self) {
        self.0.finish();
    }
}
