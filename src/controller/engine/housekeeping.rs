//! Keeps deleted pods across restarts.

use crate::cluster::live::{Departure, Watches};
use crate::net::Timestamp;
use crate::store::{Commit, DepartedPod, ReviewStore, ReviewStoreError};
use std::time::Duration;

/// What was done already.
pub struct Housekeeping {
    retention: i64,
    /// The hour in which pods were last forgotten.
    forgot: Option<i64>,
    /// The number of the last deleted pod that the store has.
    departures: u64,
}

impl Housekeeping {
    /// `retention`: how long deleted pods are kept, in whole seconds.
    pub fn new(retention: Duration) -> Housekeeping {
        Housekeeping {
            retention: i64::try_from(retention.as_secs()).unwrap_or(i64::MAX),
            forgot: None,
            departures: 0,
        }
    }

    /// Returns true if an hour has begun in which nothing was forgotten yet.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.forgot != Some(now.hour())
    }

    /// Stores deleted pods, and forgets those of long ago once an hour. What fails is tried again with the next call: nothing of it is needed at once.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn run(
        &mut self,
        watches: &Watches,
        store: &mut ReviewStore,
        now: Timestamp,
    ) -> Result<(), ReviewStoreError> {
        let departed = watches.departures_since(self.departures);
        if departed.is_empty() && !self.is_due(now) {
            return Ok(());
        }
        self.keep_departed(store, &departed, now)?;
        self.forgot = Some(now.hour());
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
