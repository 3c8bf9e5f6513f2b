//! Publishes the newest part of the record and the volume by the hour in a ConfigMap beside the controller. Nothing
//! listens in the cluster, so the page and auditors read it from the API server. The publisher reads what is on the disk
//! already, and nothing waits for it: a failure is logged and tried again.

use super::volume::VolumeReader;
use crate::cluster::live::{ConfigMapData, Watches, WriteError, Writer};
use crate::inventory::{Inventory, OwnerRule};
use crate::net::{Outage, Timestamp};
use crate::record::{LineError, PUBLISHED, Tail};
use crate::risk::VOLUME;
use crate::store::{ReviewStore, ReviewStoreError};
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::Instant;

/// How many bytes of lines are published: half of what a ConfigMap can hold (1 MiB, `MaxSecretSize` in
/// `k8s.io/kubernetes/pkg/apis/core/types.go`), a thousand lines and more.
const MOST: usize = 512 << 10;
/// The shortest pause between two writes.
const REST: Duration = Duration::from_secs(1);
/// How many bytes per second are written at most, since every write is a whole new version in etcd: while much happens,
/// the full ConfigMap is written every eight seconds.
const BYTES_PER_SECOND: usize = 64 << 10;
/// How often volume is read: it is by the hour, and reading it takes a while.
const VOLUME_EVERY: Duration = Duration::from_secs(600);
/// How many top talkers, and how many changes, are published: some tens of kilobytes.
const VOLUME_MOST: usize = 100;
/// How long to wait after failures: doubled each time.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(60);

/// The publisher and what it needs.
pub struct RecordPublisher {
    pub writer: Writer,
    /// A connection of its own, so that it never delays the engine.
    pub store: ReviewStore,
    /// The controller's own namespace.
    pub namespace: String,
    /// The sequence number of the record's last line on the disk.
    pub newest: watch::Receiver<u64>,
    pub watches: Arc<Watches>,
}

#[derive(Debug, Error)]
enum RecordPublisherError {
    #[error(transparent)]
    Store(#[from] ReviewStoreError),
    #[error("{0}; find out more with nanoseg record verify")]
    Line(#[from] LineError),
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// The clock: for logs alone.
fn now() -> Timestamp {
    jiff::Timestamp::now().into()
}

impl RecordPublisher {
    /// Runs until `stop` turns true, and then publishes what the engine recorded last.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        // The sequence number of the last published line. It is not known at the start: the leader before may have
        // ended between writing to the disk and publishing.
        let (mut published, mut retry) = (None, FIRST_RETRY);
        let mut outage = Outage::default();
        let (mut reader, mut volume) = (VolumeReader::default(), None);
        let mut volume_due = Instant::now();
        loop {
            // The engine has ended: what is read now is complete.
            let is_last = self.newest.has_changed().is_err();
            let newest = *self.newest.borrow_and_update();
            if Instant::now() >= volume_due && !is_last {
                // Before all pods are known, traffic cannot be attributed.
                let is_known = self.watches.check().is_ok();
                if is_known {
                    // What others changed or deleted there meanwhile comes back, too.
                    (volume, published) = (self.volume(&mut reader), None);
                }
                volume_due = Instant::now() + if is_known { VOLUME_EVERY } else { REST };
            }
            let mut rest = Duration::ZERO;
            if published < Some(newest) {
                match self.publish(volume.as_deref()).await {
                    Ok((last, bytes)) => {
                        published = Some(last.max(newest));
                        retry = FIRST_RETRY;
                        rest = pace(bytes);
                        if let Some(over) = outage.worked(now()) {
                            tracing::info!("published the record again {over}");
                        }
                    }
                    Err(error) => {
                        // (rule: logs-tell-changes)
                        if outage.failed(&error.to_string(), now()) {
                            tracing::warn!(
                                "failed to publish the record: {error}; it is tried again"
                            );
                        }
                        rest = retry;
                        retry = (retry * 2).min(LAST_RETRY);
                    }
                }
            }
            if is_last {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(rest) => {}
                _ = stop.wait_for(|stop| *stop) => {}
            }
            if published >= Some(newest) || *stop.borrow() {
                tokio::select! {
                    // An error means that the engine has ended; the next turn publishes what it left.
                    _ = self.newest.changed() => {}
                    () = tokio::time::sleep_until(volume_due) => {}
                }
            }
        }
    }

    /// Returns the volume report as JSON; `None` if nothing was seen yet, or if it cannot be read.
    fn volume(&self, reader: &mut VolumeReader) -> Option<String> {
        let read = tokio::task::block_in_place(|| {
            let (inventory, _) = Inventory::build(&self.watches.objects(), OwnerRule::Infer);
            reader.read(&self.store, &inventory)
        });
        match read {
            Ok(volumes) => serde_json::to_string(&volumes.report(VOLUME_MOST)?).ok(),
            Err(error) => {
                tracing::warn!("failed to read volume by the hour: {error}");
                None
            }
        }
    }

    /// Publishes the newest part. Returns the sequence number of its last line and how many bytes were written.
    async fn publish(
        &mut self,
        volume: Option<&str>,
    ) -> Result<(u64, usize), RecordPublisherError> {
        let lines = tokio::task::block_in_place(|| self.store.record_tail(MOST))?;
        let Some(tail) = Tail::of_lines(lines)? else {
            return Ok((0, 0));
        };
        let mut data = ConfigMapData {
            text: tail.to_data(),
            ..ConfigMapData::default()
        };
        let volume = volume.map(|volume| (VOLUME.to_owned(), volume.to_owned()));
        data.text.extend(volume);
        let bytes = data.text.values().map(String::len).sum();
        let written = self
            .writer
            .apply_config_map(&self.namespace, PUBLISHED, &data)
            .await?;
        Ok((tail.head.sequence, if written.changed { bytes } else { 0 }))
    }
}

/// Returns how long to pause after a write of so many bytes; 0 bytes: nothing was written.
fn pace(bytes: usize) -> Duration {
    let seconds = bytes.div_ceil(BYTES_PER_SECOND);
    REST.saturating_mul(u32::try_from(seconds).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_are_a_second_apart_and_longer_after_large_ones() {
        assert_eq!(pace(0), Duration::ZERO);
        assert_eq!(pace(1), Duration::from_secs(1));
        assert_eq!(pace(BYTES_PER_SECOND), Duration::from_secs(1));
        assert_eq!(pace(MOST), Duration::from_secs(8));
    }
}
