//! All metrics of a controller or a receiver, in one registry each. docs/metrics.md lists them.

use super::controller_metrics::ControllerMetrics;
use super::receiver_metrics::ReceiverMetrics;
use super::store_metrics::StoreMetrics;
use crate::cluster::live::{Outcome, WriteCounts};
use crate::flow::{Applied, FlowBatch, Instance, IntakeUse, Loss, Observations, OutOfBounds};
use crate::listen::ConnectionMetrics;
use crate::net::Timestamp;
use crate::store::{Forgotten, StoreSize};
use crate::wire::{register_build_info, register_process};
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The metrics of a process. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    pub controller: Arc<ControllerMetrics>,
    pub receiver: Arc<ReceiverMetrics>,
    pub store: Arc<StoreMetrics>,
    pub ports: ConnectionMetrics,
}

impl Metrics {
    /// What a receiver gives out.
    pub fn of_receiver(&self) -> Registry {
        let mut registry = Registry::default();
        register_build_info(&mut registry);
        register_process(&mut registry);
        self.receiver.register(&mut registry);
        self.store.register(&mut registry);
        self.ports
            .register(registry.sub_registry_with_prefix("nanoseg_port"));
        registry
    }

    /// What a controller gives out: the same, and its own.
    pub fn of_controller(&self, writes: Arc<WriteCounts>) -> Registry {
        let mut registry = self.of_receiver();
        self.controller.register(&mut registry, writes);
        registry
    }

    /// Counts everything once, so that no metric is left out for want of a label.
    fn count_everything(&self, writes: &WriteCounts) {
        let node: Arc<str> = "node-1".into();
        let told = OutOfBounds::default();
        self.controller
            .set_out_of_bounds(&BTreeMap::from([(node.clone(), told)]));
        self.controller.cycle(Duration::from_millis(1));
        let restarts = self.controller.task_restarts();
        drop(restarts.get_or_create_owned(&vec![("task", "folder")]));
        writes.add("NetworkPolicy", Outcome::Changed);
        self.receiver.refused("unauthenticated");
        self.receiver.set_aside("malformed", true);
        let mut seen = Observations::default();
        seen.lose(Loss::ALL[0], 1);
        let now = Timestamp::default();
        let batch = FlowBatch {
            node,
            instance: Instance([0; 16]),
            sequence: (1, 1),
            span: (now, now),
            seen,
        };
        self.receiver.applied(&batch, Applied::New);
        self.store.set_use(IntakeUse::default());
        self.store.set_size(StoreSize::default());
        self.store.forgot(Forgotten::default());
        self.ports.begin("agents");
    }
}

/// The metrics of a receiver, as OpenMetrics text, after each thing that they count: for the documentation, and for
/// tests of names.
///
/// # Errors
/// None is known.
pub fn example_receiver_metrics() -> Result<String, std::fmt::Error> {
    let metrics = Metrics::default();
    metrics.count_everything(&WriteCounts::default());
    text(&metrics.of_receiver())
}

/// The same of a controller.
///
/// # Errors
/// None is known.
pub fn example_controller_metrics() -> Result<String, std::fmt::Error> {
    let (metrics, writes) = (Metrics::default(), Arc::<WriteCounts>::default());
    metrics.count_everything(&writes);
    text(&metrics.of_controller(writes))
}

fn text(registry: &Registry) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, registry)?;
    Ok(text)
}
