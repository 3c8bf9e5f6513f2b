//! Runs each source in a thread of its own, and starts it again whenever it ends. A source that cannot run does not stop
//! the others.

use super::keeper::Event;
use super::metrics::Metrics;
use crate::flow::Source;
use crate::net::{Outage, Timestamp};
use crate::observe::{LiveError, LiveSource, Pace, Stop, run};
use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Opens a source.
pub type Opener = Box<dyn FnMut() -> Result<Box<dyn LiveSource>, LiveError> + Send>;

/// Returns the counters of a source, by name; empty while it does not run.
pub type Figures = Arc<dyn Fn() -> Vec<(&'static str, u64)> + Send + Sync>;

/// A source that the agent is to run.
pub struct SourceSpec {
    pub source: Source,
    pub open: Opener,
    pub figures: Figures,
}

/// Running sources.
pub struct Sources {
    threads: Vec<JoinHandle<()>>,
    first: Receiver<(Source, Result<(), LiveError>)>,
}

/// Sources keep little on the stack; the default of 2 MiB is only address space, but limits count it.
const STACK: usize = 512 * 1024;
/// Waits between attempts, doubled up to the longest.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// A source that ran for at least this long is started again after [`FIRST_WAIT`].
const RAN_WELL: Duration = Duration::from_secs(60);
/// How often a waiting thread checks whether to stop.
const LOOK: Duration = Duration::from_millis(100);

impl Sources {
    /// Starts a thread for each source.
    ///
    /// # Errors
    /// If the system gives no more threads.
    pub fn start(
        wanted: Vec<SourceSpec>,
        pace: Pace,
        stop: &Stop,
        events: &SyncSender<Event>,
        metrics: &Arc<Metrics>,
    ) -> io::Result<Self> {
        let (report, first) = channel();
        let mut threads = Vec::new();
        for wanted in wanted {
            let mut one = One {
                wanted,
                pace,
                stop: stop.clone(),
                events: events.clone(),
                metrics: Arc::clone(metrics),
                first: Some(report.clone()),
                outage: Outage::default(),
                said_again: false,
            };
            let name = one.wanted.source.name().to_owned();
            let builder = thread::Builder::new().name(name).stack_size(STACK);
            threads.push(builder.spawn(move || one.keep_running())?);
        }
        Ok(Sources { threads, first })
    }

    /// Waits until each source has started or failed to. Returns `Err` if all failed for lack of permission: then
    /// waiting does not help.
    ///
    /// # Errors
    /// The first of those failures.
    pub fn wait_for_first(&self) -> Result<(), LiveError> {
        let mut refused = None;
        let mut all_refused = true;
        for (_, outcome) in self.first.iter().take(self.threads.len()) {
            match outcome {
                Err(error) if error.source.kind() == io::ErrorKind::PermissionDenied => {
                    refused = refused.or(Some(error));
                }
                _ => all_refused = false,
            }
        }
        match refused {
            Some(error) if all_refused => Err(error),
            _ => Ok(()),
        }
    }

    /// Waits until all threads have ended, after [`Stop::stop`].
    pub fn join(self) {
        for thread in self.threads {
            // The thread catches and reports panics itself.
            let _ = thread.join();
        }
    }
}

/// One source's thread.
struct One {
    wanted: SourceSpec,
    pace: Pace,
    stop: Stop,
    events: SyncSender<Event>,
    metrics: Arc<Metrics>,
    first: Option<Sender<(Source, Result<(), LiveError>)>>,
    /// Since it last ran well.
    outage: Outage,
    /// It was logged that it runs again, in this outage.
    said_again: bool,
}

impl One {
    fn keep_running(&mut self) {
        let source = self.wanted.source;
        let mut wait = FIRST_WAIT;
        while !self.stop.is_stopped() {
            let began = Instant::now();
            let why = self.run_once();
            if self.stop.is_stopped() {
                break;
            }
            if began.elapsed() >= RAN_WELL {
                wait = FIRST_WAIT;
                (self.outage, self.said_again) = (Outage::default(), false);
            }
            self.metrics.source_failed(source, &why);
            // (rule: logs-tell-changes)
            if self.outage.failed(&why, now()) {
                tracing::error!("{source}: {why}; it is tried again");
            } else {
                tracing::debug!("{source}: {why}; trying again in {wait:?}");
            }
            self.sleep(wait);
            wait = (wait * 2).min(LONGEST_WAIT);
        }
        self.metrics.source_stopped(source, "it was stopped");
    }

    /// Runs the source until it ends, and returns why it did.
    fn run_once(&mut self) -> String {
        let source = self.wanted.source;
        let outcome = catch_unwind(AssertUnwindSafe(|| (self.wanted.open)()));
        let mut opened = match outcome {
            Ok(Ok(opened)) => opened,
            Ok(Err(error)) => {
                let why = chain(&error);
                self.report_first(Err(error));
                return why;
            }
            Err(panic) => {
                self.report_first(Ok(()));
                return panicked(&panic);
            }
        };
        self.metrics.source_runs(source);
        self.log_start();
        self.report_first(Ok(()));
        let running = AssertUnwindSafe(|| run(&mut *opened, self.pace, &self.stop, &self.events));
        match catch_unwind(running) {
            Ok(Ok(())) => "it ended".to_owned(),
            Ok(Err(error)) => chain(&error),
            Err(panic) => panicked(&panic),
        }
    }

    fn log_start(&mut self) {
        let source = self.wanted.source;
        match self.outage.so_far(now()) {
            None => tracing::info!("{source} runs"),
            // It may end again at once, and start again, for long.
            Some(over) if !std::mem::replace(&mut self.said_again, true) => {
                tracing::info!("{source} runs again {over}");
            }
            Some(_) => tracing::debug!("{source} runs again"),
        }
    }

    fn report_first(&mut self, outcome: Result<(), LiveError>) {
        if let Some(first) = self.first.take() {
            // The receiver is gone if nobody waits any more.
            let _ = first.send((self.wanted.source, outcome));
        }
    }

    fn sleep(&self, wait: Duration) {
        let until = Instant::now() + wait;
        while !self.stop.is_stopped() && Instant::now() < until {
            thread::sleep(LOOK);
        }
    }
}

/// The node's clock: for logs alone.
fn now() -> Timestamp {
    jiff::Timestamp::now().into()
}

/// Returns an error with its causes in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(&format!(": {inner}"));
        cause = inner.source();
    }
    text
}

fn panicked(panic: &Box<dyn Any + Send>) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!(
        "it panicked ({}); please report this as a bug of nanoseg",
        text.unwrap_or("without a word")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Observations;
    use crate::observe::Urgency;
    use std::sync::mpsc::sync_channel;

    /// Ends at once, or panics.
    struct Short(bool);

    impl LiveSource for Short {
        fn source(&self) -> Source {
            Source::Capture
        }
        fn poll(&mut self, _: Duration) -> Result<bool, LiveError> {
            assert!(!self.0, "on purpose");
            Ok(false)
        }
        fn urgency(&self) -> Urgency {
            Urgency::None
        }
        fn take(&mut self) -> Observations {
            let mut slice = Observations::default();
            slice.lose(crate::flow::Loss::InterfaceLost, 1);
            slice
        }
    }

    fn refusal(kind: io::ErrorKind) -> LiveError {
        LiveError {
            action: "open a socket".into(),
            remedy: Some("run it with CAP_NET_ADMIN".into()),
            source: kind.into(),
        }
    }

    fn start(wanted: Vec<SourceSpec>) -> (Sources, Receiver<Event>, Stop, Arc<Metrics>) {
        let kinds: Vec<_> = wanted.iter().map(|w| w.source).collect();
        let metrics = Arc::new(Metrics::new(Duration::from_secs(10), &kinds));
        let (events, seen) = sync_channel(100);
        let stop = Stop::default();
        let sources = Sources::start(wanted, Pace::default(), &stop, &events, &metrics);
        (sources.expect("threads"), seen, stop, metrics)
    }

    #[test]
    fn a_source_that_cannot_run_does_not_stop_the_others() {
        let mut calls = 0;
        let wanted = vec![
            SourceSpec {
                source: Source::Conntrack,
                open: Box::new(|| Err(refusal(io::ErrorKind::PermissionDenied))),
                figures: Arc::new(Vec::new),
            },
            SourceSpec {
                source: Source::Capture,
                open: Box::new(move || {
                    calls += 1;
                    Ok(Box::new(Short(calls == 1)))
                }),
                figures: Arc::new(Vec::new),
            },
        ];
        let (sources, seen, stop, metrics) = start(wanted);
        assert!(sources.wait_for_first().is_ok());
        // The first run panics, the second one hands on what it has and ends, the third as well.
        for _ in 0..2 {
            let event = seen.recv_timeout(Duration::from_secs(20)).expect("a slice");
            assert!(matches!(event, Event::Seen(_)));
        }
        stop.stop();
        sources.join();
        let text = metrics.text();
        let failures = "nanoseg_agent_source_failures_total{source=\"capture\"}";
        let line = text
            .lines()
            .find(|l| l.starts_with(failures))
            .expect("the line");
        let count: u32 = line[failures.len() + 1..].parse().expect("a number");
        assert!(count >= 2, "{text}");
    }

    #[test]
    fn starting_fails_if_no_source_has_the_permission() {
        let refused = |source| SourceSpec {
            source,
            open: Box::new(|| Err(refusal(io::ErrorKind::PermissionDenied))),
            figures: Arc::new(Vec::new),
        };
        let (sources, _seen, stop, _) =
            start(vec![refused(Source::Conntrack), refused(Source::Capture)]);
        let error = sources.wait_for_first().expect_err("refused");
        assert!(chain(&error).contains("run it with CAP_NET_ADMIN"));
        stop.stop();
        sources.join();
        let absent = SourceSpec {
            source: Source::Capture,
            open: Box::new(|| Err(refusal(io::ErrorKind::NotFound))),
            figures: Arc::new(Vec::new),
        };
        let (sources, _seen, stop, _) = start(vec![refused(Source::Conntrack), absent]);
        assert!(sources.wait_for_first().is_ok(), "an interface may come");
        stop.stop();
        sources.join();
    }
}
