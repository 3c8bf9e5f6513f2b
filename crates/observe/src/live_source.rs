//! The interface of all live sources: each is polled on its own thread and sends, window by window, what
//! it saw.

use nanoseg_flow::{Observations, Source};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};
use thiserror::Error;

/// Why a live source cannot go on, or not even start.
#[derive(Debug, Error)]
#[error("failed to {action}{}", hint(.remedy))]
pub struct LiveError {
    /// "read conntrack events", "open a packet socket on eth0".
    pub action: String,
    /// What the operator can do, where that is known: a sysctl, a module, a capability.
    pub remedy: Option<String>,
    #[source]
    pub source: std::io::Error,
}

fn hint(remedy: &Option<String>) -> String {
    remedy
        .as_ref()
        .map_or(String::new(), |what| format!(" ({what})"))
}

/// A running source of flow records.
pub trait LiveSource: Send {
    fn source(&self) -> Source;

    /// Waits for at most `patience` for packets or events, and processes them. Returns false if nothing
    /// more will come.
    ///
    /// # Errors
    /// When the source cannot go on. What it saw so far can still be taken.
    fn poll(&mut self, patience: Duration) -> Result<bool, LiveError>;

    /// Returns true if something was seen that should not wait for the end of the window, for lack of room or
    /// because it is new.
    fn urgency(&self) -> Urgency;

    /// Removes and returns what was seen since the last call, in times of the node's clock.
    fn take(&mut self) -> Observations;

    /// Ends the source: what was held back, to report it more exactly later, is in the next
    /// [`LiveSource::take`].
    fn finish(&mut self) {}
}

/// How soon what a source holds should be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// At the end of the window.
    None,
    /// After [`Pace::new_edges_after`]: an edge that was not known.
    NewEdge,
    /// At once: it is nearly full.
    Full,
}

/// When records are taken from a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// The length of a window.
    pub window: Duration,
    /// How long an edge waits that was not known before.
    pub new_edges_after: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Pace {
            window: Duration::from_secs(10),
            new_edges_after: Duration::from_secs(1),
        }
    }
}

/// Asks running sources to stop.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Asks the sources to stop.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Returns true if the sources were asked to stop.
    pub fn is_stopped(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The longest time between two checks whether to stop.
const LONGEST_POLL: Duration = Duration::from_millis(250);

/// Runs a source until it ends or is stopped, and sends what it sees; empty observations are left out. What
/// it saw last is sent in any case.
///
/// # Errors
/// As [`LiveSource::poll`].
pub fn run<T: From<Observations>>(
    source: &mut dyn LiveSource,
    pace: Pace,
    stop: &Stop,
    out: &SyncSender<T>,
) -> Result<(), LiveError> {
    let mut taken = Instant::now();
    let mut outcome = Ok(true);
    while matches!(outcome, Ok(true)) && !stop.is_stopped() {
        let wait = match source.urgency() {
            Urgency::None => pace.window,
            Urgency::NewEdge => pace.new_edges_after,
            Urgency::Full => Duration::ZERO,
        };
        let left = wait.saturating_sub(taken.elapsed());
        if left.is_zero() {
            taken = Instant::now();
            // The receiver is gone: there is no use in observing on.
            if send_observations(source, out).is_err() {
                return Ok(());
            }
        } else {
            outcome = source.poll(left.min(LONGEST_POLL));
        }
    }
    source.finish();
    let _ = send_observations(source, out);
    outcome.map(|_| ())
}

fn send_observations<T: From<Observations>>(
    source: &mut dyn LiveSource,
    out: &SyncSender<T>,
) -> Result<(), ()> {
    let seen = source.take();
    if seen.is_empty() {
        return Ok(());
    }
    out.send(seen.into()).map_err(|_| ())
}
