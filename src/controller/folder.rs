//! Folds the records of earlier hours into edges and keeps the store within its bounds, beside the engine and with a
//! connection of its own: no decision and no batch waits for it (rule: folding-holds-up-nobody).

use super::store_metrics::StoreMetrics;
use crate::flow::HOT_HOURS;
use crate::graph::{History, address_epochs};
use crate::inventory::Inventory;
use crate::net::{Outage, Timestamp};
use crate::store::{ReviewStore, ReviewStoreError, StoreLimits};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// For how many hours edges are kept: thirteen months, as auditors ask for a year.
pub const KEPT_HOURS: i64 = 24 * 396;

/// How often records are merged, and how often it is looked whether an hour is over.
const EVERY: Duration = Duration::from_secs(60);
/// So many edges are added in one transaction: some tens of milliseconds.
const STEP_EDGES: usize = 500;
/// The pause after each transaction, in which others write.
const BREATH: Duration = Duration::from_millis(10);

/// What the engine must know of it.
#[derive(Debug)]
pub enum FoldNews {
    /// The records of these hours are these edges now.
    Hours(BTreeMap<i64, History>),
    /// All records of hours before this one are folded.
    Until(i64),
}

/// The task and what it needs.
#[derive(Clone)]
pub struct Folder {
    pub path: PathBuf,
    /// `None`: not known yet.
    pub inventory: watch::Receiver<Option<Arc<Inventory>>>,
    pub news: mpsc::Sender<FoldNews>,
    pub metrics: Arc<StoreMetrics>,
    pub now: fn() -> Timestamp,
}

impl Folder {
    /// Runs until `stop` turns true.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        // Nobody can be told apart before the cluster is known.
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            known = self.inventory.wait_for(Option::is_some) => if known.is_err() { return },
        }
        let (mut folded, mut outage) = (None, Outage::default());
        loop {
            let (folder, halted) = (self.clone(), stop.clone());
            let round = tokio::task::spawn_blocking(move || folder.round(folded, &halted));
            match round.await {
                Ok(Ok(hour)) => {
                    folded = Some(hour);
                    if let Some(over) = outage.worked((self.now)()) {
                        tracing::info!("records are folded and merged again {over}");
                    }
                }
                Ok(Err(error)) => {
                    // (rule: logs-tell-changes)
                    if outage.failed(&error.to_string(), (self.now)()) {
                        tracing::error!("{error}; it is tried again every {EVERY:?}");
                    }
                    self.metrics.failed();
                }
                Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
            }
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    /// Merges the records of the last hours, and folds if an hour is over that was not folded. Returns the hour before
    /// which everything is folded. Blocks.
    fn round(
        &self,
        folded: Option<i64>,
        stop: &watch::Receiver<bool>,
    ) -> Result<i64, ReviewStoreError> {
        let mut store = ReviewStore::open(&self.path)?;
        let now = (self.now)();
        let end = now.hour() - HOT_HOURS;
        if folded != Some(end) {
            self.fold(&mut store, end, stop)?;
            store.forget_hours(Timestamp::from_hour(now.hour() - KEPT_HOURS))?;
            self.metrics.forgot(store.bound(StoreLimits::default())?);
            let _ = self.news.blocking_send(FoldNews::Until(end));
        }
        self.condense(&mut store, now)?;
        self.metrics.set_size(store.size()?);
        Ok(end)
    }

    fn fold(
        &self,
        store: &mut ReviewStore,
        end: i64,
        stop: &watch::Receiver<bool>,
    ) -> Result<(), ReviewStoreError> {
        let before = Timestamp::from_hour(end);
        // What an earlier process left.
        self.add_backlog(store, stop)?;
        while !*stop.borrow() {
            let inventory = self.inventory();
            let step = store.fold_step(before, |records| History::fold(records, &inventory))?;
            let Some(step) = step else { break };
            self.metrics.folded(&step);
            // The engine may have ended.
            let _ = self.news.blocking_send(FoldNews::Hours(step.hours));
            self.add_backlog(store, stop)?;
        }
        Ok(())
    }

    fn add_backlog(
        &self,
        store: &mut ReviewStore,
        stop: &watch::Receiver<bool>,
    ) -> Result<(), ReviewStoreError> {
        while !*stop.borrow() && store.add_backlog(STEP_EDGES)? > 0 {
            std::thread::sleep(BREATH);
        }
        Ok(())
    }

    /// Merges records of the open hours, a few minutes at a time where most of them are.
    fn condense(&self, store: &mut ReviewStore, now: Timestamp) -> Result<(), ReviewStoreError> {
        let epochs = address_epochs(&self.inventory());
        for hour in now.hour() - HOT_HOURS..=now.hour() {
            let seconds = hour * 3600..(hour + 1) * 3600;
            store.condense(seconds, &epochs, now)?;
            std::thread::sleep(BREATH);
        }
        Ok(())
    }

    fn inventory(&self) -> Arc<Inventory> {
        self.inventory.borrow().clone().unwrap_or_default()
    }
}
