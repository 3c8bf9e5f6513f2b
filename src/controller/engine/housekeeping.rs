//! Periodic work: folds old flow records, and keeps deleted pods across restarts.

use super::observation::Observation;
use crate::cluster::live::{Departure, Watches};
use crate::graph::History;
use crate::net::Timestamp;
use crate::store::{Commit, DepartedPod, ReviewStore, ReviewStoreError};
use std::time::Duration;

/// For how many hours flow records stay as they are; older ones become edges of their hour.
const HOT_HOURS: i64 = 6;
/// For how many hours the edges of each hour are kept: thirteen months, as auditors ask for a year.
const KEPT_HOURS: i64 = 24 * 396;

/// What was done already.
pub struct Housekeeping {
    retention: i64,
    /// The last hour that was folded.
    folded: Option<i64>,
    /// The number of the last deleted pod that the store has.
    departures: u64,
}

impl Housekeeping {
    /// `retention`: how long deleted pods are kept, in whole seconds.
    pub fn new(retention: Duration) -> Housekeeping {
        Housekeeping {
            retention: i64::try_from(retention.as_secs()).unwrap_or(i64::MAX),
            folded: None,
            departures: 0,
        }
    }

    /// Returns true if an hour is over that was not folded yet.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.folded != Some(last_cold_hour(now))
    }

    /// Stores deleted pods, and folds the hour that is over. What fails is tried again with the next call:
    /// nothing of it is needed at once.
    ///
    /// # Errors
    /// If the store cannot be read or written.
    pub fn run(
        &mut self,
        watches: &Watches,
        store: &mut ReviewStore,
        observation: &mut Observation,
        now: Timestamp,
    ) -> Result<(), ReviewStoreError> {
        let departed = watches.departures_since(self.departures);
        let hour = last_cold_hour(now);
        let is_new_hour = self.folded != Some(hour);
        if departed.is_empty() && !is_new_hour {
            return Ok(());
        }
        self.keep_departed(store, &departed, now)?;
        if is_new_hour {
            fold(store, observation, hour)?;
            self.folded = Some(hour);
        }
        Ok(())
    }

    fn keep_departed(
        &mut self,
        store: &mut ReviewStore,
        departed: &[Departure],
        now: Timestamp,
    ) -> Result<(), ReviewStoreError> {
        let pods = departed.iter().filter_map(|departure| {
            Some(DepartedPod {
                uid: departure.pod.metadata.uid.clone()?,
                gone_at: now,
                body: serde_json::to_string(departure.pod.as_ref()).ok()?,
            })
        });
        store.commit(&Commit {
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

fn fold(
    store: &mut ReviewStore,
    observation: &mut Observation,
    hour: i64,
) -> Result<(), ReviewStoreError> {
    let before = Timestamp::from_hour(hour);
    let inventory = observation.inventory.clone();
    store.fold(before, |records| History::fold(records, &inventory))?;
    observation.fold(before);
    store.forget_hours(Timestamp::from_hour(hour - KEPT_HOURS))
}

/// The hour before which everything is folded.
fn last_cold_hour(now: Timestamp) -> i64 {
    now.hour() - HOT_HOURS
}
