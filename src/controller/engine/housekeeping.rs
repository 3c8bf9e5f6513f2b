//! What is done now and then: folding old flow records, and keeping pods that are gone across restarts.

use super::Parts;
use crate::cluster::live::Departure;
use crate::graph::History;
use crate::net::Timestamp;
use crate::store::{Commit, DepartedPod};
use std::time::Duration;

/// Flow records of so many hours stay as they are; older ones become edges of their hour.
const HOT_HOURS: i64 = 6;
/// The edges of each hour are kept for so long: thirteen months, as auditors ask for a year.
const KEPT_HOURS: i64 = 24 * 396;

/// Remembers what was done.
pub struct Housekeeping {
    retention: i64,
    /// The last hour that was folded.
    folded: Option<i64>,
    /// The number of the last departure that the store has.
    departures: u64,
}

impl Housekeeping {
    /// `retention`: for how long pods that are gone are kept.
    pub fn new(retention: Duration) -> Housekeeping {
        Housekeeping {
            retention: i64::try_from(retention.as_secs()).unwrap_or(i64::MAX),
            folded: None,
            departures: 0,
        }
    }

    /// Whether an hour is over.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.folded != Some(last_cold_hour(now))
    }

    /// What fails is logged and tried again: nothing of it is needed at once.
    pub fn run(&mut self, parts: &mut Parts, now: Timestamp) {
        let departed = parts.watches.departures_since(self.departures);
        let hour = last_cold_hour(now);
        let is_new_hour = self.folded != Some(hour);
        if departed.is_empty() && !is_new_hour {
            return;
        }
        let outcome = self.keep_departed(parts, &departed, now).and_then(|()| {
            if is_new_hour {
                fold(parts, hour)?;
                self.folded = Some(hour);
            }
            Ok(())
        });
        if let Err(error) = outcome {
            tracing::error!("{error}");
            parts.controller_metrics.commit_failed(error.to_string());
        }
    }

    fn keep_departed(
        &mut self,
        parts: &mut Parts,
        departed: &[Departure],
        now: Timestamp,
    ) -> Result<(), crate::store::ReviewStoreError> {
        let pods = departed.iter().filter_map(|departure| {
            Some(DepartedPod {
                uid: departure.pod.metadata.uid.clone()?,
                gone_at: now,
                body: serde_json::to_string(departure.pod.as_ref()).ok()?,
            })
        });
        parts.store.commit(&Commit {
            departed: pods.collect(),
            forget_departed_before: Some(now.plus_secs(-self.retention)),
            ..Commit::default()
        })?;
        if let Some(last) = departed.last() {
            self.departures = last.number;
        }
        Ok(())
    }
}

fn fold(parts: &mut Parts, hour: i64) -> Result<(), crate::store::ReviewStoreError> {
    let before = Timestamp::from_hour(hour);
    let inventory = parts.observation.inventory.clone();
    parts
        .store
        .fold(before, |records| History::fold(records, &inventory))?;
    parts.observation.fold(before);
    parts
        .store
        .forget_hours(Timestamp::from_hour(hour - KEPT_HOURS))
}

/// The hour before which everything is folded.
fn last_cold_hour(now: Timestamp) -> i64 {
    now.hour() - HOT_HOURS
}
