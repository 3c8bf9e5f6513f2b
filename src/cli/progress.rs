//! A progress bar on stderr, if stderr is a terminal.

use crate::observe::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;

const BAR: &str = "{bar:32} {bytes:>10} of {total_bytes} · {bytes_per_sec} · {eta} left";
const STREAM: &str = "{spinner} {bytes:>10} read · {bytes_per_sec} · {elapsed}";
/// Redraws per second.
const RATE: u8 = 10;

/// Shows the progress of reading captures.
pub struct ReadingBar(Option<ProgressBar>);

impl ReadingBar {
    pub fn new() -> Self {
        let shown = std::io::stderr().is_terminal();
        ReadingBar(
            shown.then(|| {
                ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(RATE))
            }),
        )
    }

    pub fn update(&self, progress: Progress) {
        let Some(bar) = &self.0 else { return };
        if bar.position() == 0 {
            let template = if progress.total.is_some() {
                BAR
            } else {
                STREAM
            };
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
        }
        if let Some(total) = progress.total {
            bar.set_length(total);
        }
        bar.set_position(progress.bytes);
    }

    /// Removes the bar, so that only the result is left on the terminal.
    pub fn finish(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
