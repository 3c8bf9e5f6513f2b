//! What is missing before a workload is known well enough for a proposal (rule: learning-estimate): which samples the
//! estimate still waits for, and about how long.

use super::Estimate;
use super::learning::FEW_WINDOWS;
use nanoseg_net::{SECOND, Timestamp};

/// What is asked for before a proposal.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Asked {
    /// The least estimated share of edges seen, 0–1.
    pub coverage: f64,
    /// So many seconds of the minimum duration are left.
    pub secs_left: i64,
}

/// One thing that is missing. Times are in seconds, and estimates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// Nobody had a conversation with it.
    Traffic,
    /// The namespace was not observed for its minimum duration.
    Duration { secs: i64 },
    /// An estimate compares time windows, and too few have passed.
    Windows {
        passed: u32,
        wanted: u32,
        window_secs: u64,
        secs: i64,
    },
    /// Edges were seen in one time window and of one client only.
    SecondSight {
        once: usize,
        of: usize,
        window_secs: u64,
        /// When the next window begins, if all of these edges are in use; else it is not known when they are used again.
        secs: Option<i64>,
    },
    /// Too many edges may still be unseen.
    Coverage {
        /// The share that was seen, in whole percent, and what is asked for.
        percent: u8,
        wanted: u8,
        /// Records that agents lost count as not seen, in whole percent.
        lost: u8,
    },
}

/// What is known of a workload so far, and what is missing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Progress {
    pub edges: usize,
    pub connections: u64,
    /// Clients by address; see [`Estimate::clients`].
    pub clients: usize,
    /// From its first connection to the end of the observation, in seconds.
    pub secs: i64,
    /// The estimated share of its edges that were seen, 0–1; `None` while there is too little for an estimate.
    pub coverage: Option<f64>,
    /// In the order in which they can be fulfilled; nothing if it is learned.
    pub missing: Vec<Missing>,
}

impl Progress {
    /// Compares what was seen with what is asked for. `estimate` is `None` if nothing was learned of the workload.
    pub fn of(estimate: Option<&Estimate>, asked: Asked) -> Progress {
        let mut missing = Vec::new();
        let known = estimate.filter(|estimate| estimate.edges_seen > 0);
        if known.is_none() {
            missing.push(Missing::Traffic);
        }
        if asked.secs_left > 0 {
            let secs = asked.secs_left;
            missing.push(Missing::Duration { secs });
        }
        let Some(estimate) = known else {
            return Progress {
                missing,
                ..Progress::default()
            };
        };
        let coverage = estimate.is_meaningful().then_some(estimate.coverage);
        if coverage.unwrap_or(0.0) < asked.coverage {
            missing.extend(missing_samples(estimate, asked.coverage));
        }
        let first = estimate.first.unwrap_or(estimate.end);
        Progress {
            edges: estimate.edges_seen,
            connections: estimate.connections,
            clients: estimate.clients,
            secs: estimate.end.since(first).max(0) / SECOND,
            coverage,
            missing,
        }
    }
}

/// Which samples would raise the estimate.
fn missing_samples(estimate: &Estimate, wanted: f64) -> Vec<Missing> {
    let mut missing = Vec::new();
    let window_secs = estimate.window_secs;
    if estimate.windows < FEW_WINDOWS {
        let more = i64::from(FEW_WINDOWS - estimate.windows);
        let secs = more.saturating_mul(i64::try_from(window_secs).unwrap_or(i64::MAX));
        missing.push(Missing::Windows {
            passed: estimate.windows,
            wanted: FEW_WINDOWS,
            window_secs,
            secs,
        });
    }
    if estimate.seen_once > 0 {
        let in_use = estimate.once_in_use == estimate.seen_once;
        missing.push(Missing::SecondSight {
            once: estimate.seen_once,
            of: estimate.edges_seen,
            window_secs,
            secs: in_use.then(|| until_next_window(estimate.end, window_secs)),
        });
    }
    if missing.is_empty() {
        missing.push(Missing::Coverage {
            percent: percent(estimate.coverage),
            wanted: percent(wanted),
            lost: percent(estimate.lost),
        });
    }
    missing
}

fn until_next_window(at: Timestamp, window_secs: u64) -> i64 {
    let window = i64::try_from(window_secs).unwrap_or(i64::MAX).max(1);
    let passed = at.nanos().div_euclid(SECOND).rem_euclid(window);
    window - passed
}

/// Rounded down, so that nothing is overstated.
fn percent(share: f64) -> u8 {
    (share.clamp(0.0, 1.0) * 100.0) as u8
}
