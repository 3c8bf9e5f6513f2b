//! Sends batches to the receiver in order, and again until each is answered.

use super::link::{DeliveryOutcome, Link, LinkError};
use super::metrics::Metrics;
use crate::flow::BatchId;
use crate::net::{Outage, Timestamp};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::Receiver;

/// A batch to be sent.
#[derive(Debug, Clone)]
pub struct Outgoing {
    pub which: BatchId,
    pub content: Vec<u8>,
}

/// How long to wait before trying again.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// After the first failure. It doubles with each further one, and a random part of up to half is left out, so that
    /// not all agents connect again at the same moment.
    pub first: Duration,
    pub longest: Duration,
    /// After the answer that the receiver is too old: somebody has to upgrade it first.
    pub too_old: Duration,
    /// After this long without an answer the connection counts as dead.
    pub answer: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Patience {
            first: Duration::from_millis(500),
            // After a fail-over the new leader needs soon what was observed meanwhile.
            longest: Duration::from_secs(10),
            too_old: Duration::from_secs(60),
            answer: Duration::from_secs(30),
        }
    }
}

/// Sends the batches that come from the spool.
pub struct Sender<L> {
    link: L,
    patience: Patience,
    metrics: Arc<Metrics>,
    /// Batches that were sent or are about to be sent, in order. The spool bounds how many there are.
    out: VecDeque<Outgoing>,
    /// Failures since the last answer.
    failures: u32,
    outage: Outage,
    /// A batch was acknowledged in this run.
    connected: bool,
}

impl<L: Link> Sender<L> {
    pub fn new(link: L, patience: Patience, metrics: Arc<Metrics>) -> Self {
        Sender {
            link,
            patience,
            metrics,
            out: VecDeque::new(),
            failures: 0,
            outage: Outage::default(),
            connected: false,
        }
    }

    /// Runs until no more batches come and all are answered. Calls `report` with each outcome.
    pub async fn run(mut self, mut batches: Receiver<Outgoing>, report: impl Fn(DeliveryOutcome)) {
        let mut open = true;
        while let Err(error) = self.converse(&mut batches, &mut open, &report).await {
            if let LinkError::Malformed(which, why) = error {
                tracing::error!(
                    "the receiver refused a batch for good ({why}); the spool keeps it as *.refused: \
                     please report it as a bug of nanoseg"
                );
                self.settle(which);
                report(DeliveryOutcome::Malformed(which, why));
                continue;
            }
            self.metrics.disconnected();
            let wait = self.wait_after(&error);
            self.log_failure(&error, wait);
            tokio::time::sleep(wait).await;
        }
    }

    /// Sends unanswered batches again, and continues until something fails. Returns `Ok` when no more batches come
    /// and all are answered.
    async fn converse(
        &mut self,
        batches: &mut Receiver<Outgoing>,
        open: &mut bool,
        report: &impl Fn(DeliveryOutcome),
    ) -> Result<(), LinkError> {
        for batch in &self.out {
            self.link.send(batch.which, &batch.content).await?;
            self.metrics.connected();
            self.metrics.resent();
        }
        while *open || !self.out.is_empty() {
            let overdue = tokio::time::sleep(self.patience.answer);
            tokio::select! {
                which = self.link.acknowledged() => {
                    let which = which?;
                    self.settle(which);
                    self.log_success();
                    report(DeliveryOutcome::Acknowledged(which));
                }
                batch = batches.recv(), if *open => match batch {
                    Some(batch) => {
                        self.out.push_back(batch);
                        if let Some(batch) = self.out.back() {
                            self.link.send(batch.which, &batch.content).await?;
                            self.metrics.connected();
                        }
                    }
                    None => *open = false,
                },
                () = overdue, if !self.out.is_empty() => {
                    let seconds = self.patience.answer.as_secs();
                    let text = format!("the receiver took batches and did not answer for {seconds} s");
                    return Err(LinkError::Away(text));
                }
            }
        }
        Ok(())
    }

    /// Logs what is new about a failure (rule: logs-tell-changes).
    fn log_failure(&mut self, error: &LinkError, wait: Duration) {
        let is_news = self.outage.failed(&error.to_string(), now());
        match error {
            _ if !is_news => tracing::debug!("{error}; next attempt in {wait:?}"),
            LinkError::Denied(_) | LinkError::TooOld(_) => {
                tracing::error!("{error}; batches are kept, and sent when it works again");
            }
            _ => tracing::warn!("{error}; batches are kept, and sent when it works again"),
        }
    }

    /// Logs the first answer, and the first one after failures.
    fn log_success(&mut self) {
        match self.outage.worked(now()) {
            Some(over) if self.connected => {
                tracing::info!("connected again {over}: the receiver stores batches");
            }
            Some(over) => tracing::info!("connected {over}: the receiver stores batches"),
            None if !self.connected => tracing::info!("connected: the receiver stores batches"),
            None => {}
        }
        self.connected = true;
    }

    fn settle(&mut self, which: BatchId) {
        self.failures = 0;
        self.out.retain(|batch| batch.which != which);
    }

    fn wait_after(&mut self, error: &LinkError) -> Duration {
        self.failures = self.failures.saturating_add(1);
        if let LinkError::TooOld(_) = error {
            return self.patience.too_old;
        }
        let doubled = 2u32.saturating_pow(self.failures.min(16) - 1);
        let most = self.patience.first.saturating_mul(doubled);
        let half = most.min(self.patience.longest) / 2;
        half + half.mul_f64(random_share())
    }
}

/// The node's clock: for logs alone.
fn now() -> Timestamp {
    jiff::Timestamp::now().into()
}

/// Between 0 and 1.
fn random_share() -> f64 {
    getrandom::u32().map_or(1.0, |bits| f64::from(bits) / f64::from(u32::MAX))
}
