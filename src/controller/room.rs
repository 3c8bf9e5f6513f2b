//! How much of a batch there is room for (rule: bounded-memory), and what a controller takes in all:
//!
//! | what | MiB, at most |
//! |---|---|
//! | records, names and the budget's memory of them ([`IntakeLimits`]) | 125 |
//! | edges, scans, names of folded hours ([`crate::store::StoreLimits`]) | 114 |
//! | a full build beside them: 166 000 records × 2 × 330 bytes | 104 |
//! | batches: 2 that wait for the store, 2 for the engine | 64 + 20 |
//! | page caches: 3 connections × 8 | 24 |
//! | the watched objects of a cluster with 5000 pods | 50 |
//! | where Hubble Relay is followed: connections of all nodes (64), records of a window (16), 4096 events | 83 |
//! | | **584** |

use super::store_metrics::StoreMetrics;
use crate::flow::{Aggregate, FlowBatch, IntakeBudget, IntakeLimits};
use crate::net::{Outages, Timestamp};
use std::sync::Arc;
use tokio::sync::oneshot;

/// The answer to the agent: it is stored, or why it is not.
type Done = oneshot::Sender<Result<(), String>>;

/// The budget of what agents send, and its metrics.
pub struct IntakeRoom {
    budget: IntakeBudget,
    metrics: Arc<StoreMetrics>,
    refused: Outages,
}

impl IntakeRoom {
    /// With what was stored in the open hours.
    pub fn after(stored: &Aggregate, metrics: Arc<StoreMetrics>, now: Timestamp) -> IntakeRoom {
        let mut budget = IntakeBudget::new(IntakeLimits::default());
        budget.note(stored, now);
        metrics.set_use(budget.usage(now));
        IntakeRoom {
            budget,
            metrics,
            refused: Outages::default(),
        }
    }

    /// Cuts a batch down to what there is room for. If nothing of it is taken, the agent is answered.
    pub fn admit(
        &mut self,
        mut batch: FlowBatch,
        done: Done,
        now: Timestamp,
    ) -> Option<(FlowBatch, Done)> {
        let admitted = self.budget.admit(&mut batch, now);
        self.metrics.set_use(self.budget.usage(now));
        match admitted {
            Ok(()) => {
                if let Some(over) = self.refused.worked(&batch.node, now) {
                    tracing::info!(node = &*batch.node, "batches are taken again {over}");
                }
                Some((batch, done))
            }
            Err(reason) => {
                // (rule: logs-tell-changes)
                if self.refused.failed(&batch.node, &reason.to_string(), now) {
                    tracing::warn!(node = &*batch.node, "batches are not taken: {reason}");
                }
                // The agent may be gone.
                let _ = done.send(Err(reason.to_string()));
                None
            }
        }
    }
}
