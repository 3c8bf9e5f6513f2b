//! The controller from start to end. Every replica watches the cluster and waits for the Lease. The one that gets it
//! opens the store, accepts agents and works until it is stopped or the Lease is lost. A leader never becomes a follower
//! again; its process ends, so that nothing half-done outlives it.

use super::lead::lead;
use super::metrics::Metrics;
use super::replica::Replica;
use super::settings::{ControllerError, ControllerSettings};
use super::stand_by::stand_by;
use super::writer::StoreHealth;
use crate::cluster::live::{
    Connection, Election, ElectionSettings, Events, Fence, Refused, WatchSettings, Watches, Writer,
    connect,
};
use crate::wire::NatsHealth;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How long all tasks together may take to end.
const GRACE: Duration = Duration::from_secs(15);

/// Runs until `stop` turns true.
///
/// # Errors
/// Why it cannot start or continue. The process is meant to be started again then.
pub async fn run(
    settings: ControllerSettings,
    stop: watch::Receiver<bool>,
) -> Result<(), ControllerError> {
    let Connection { client, .. } = connect(&settings.connect).await?;
    let watch_settings = WatchSettings {
        retention: settings.retention,
        ..WatchSettings::default()
    };
    let watches = Arc::new(Watches::start(client.clone(), watch_settings));
    let election = Election::start(
        client.clone(),
        ElectionSettings::new(
            &settings.lease_namespace,
            &settings.lease_name,
            &settings.identity,
        ),
    );
    let fence = fence(&election, &watches);
    let replica = Replica {
        writer: Writer::new(client.clone(), fence.clone()),
        events: Events::new(client.clone(), &settings.identity, fence),
        metrics: Metrics::default(),
        store_health: StoreHealth::default(),
        nats_health: NatsHealth::default(),
        client,
        watches,
        settings,
    };
    let health = replica.health_server()?;
    // Serves as long as the process runs, also while the last batches are written.
    let (quiet, silent) = watch::channel(false);
    let mut health = tokio::spawn(health.run(silent));
    let outcome = tokio::select! {
        outcome = wait_and_lead(&replica, &election, stop) => outcome,
        _ = &mut health => return Err(ControllerError::Ended("port for metrics")),
    };
    // After any other error a task may still be running: then the Lease is left to expire.
    if matches!(outcome, Ok(()) | Err(ControllerError::LeaseLost(_))) {
        election.release().await;
    }
    let _ = quiet.send(true);
    let _ = health.await;
    outcome
}

/// Returns the check before every write: the Lease is held, and the inventory is not out of date.
fn fence(election: &Election, watches: &Arc<Watches>) -> Fence {
    let (held, watches) = (election.held_fn(), watches.clone());
    Arc::new(move || {
        if !held() {
            return Err(Refused::NoLease);
        }
        Ok(watches.check()?)
    })
}

/// Stands by until this replica has the Lease, and leads until `stop` turns true or the Lease is lost.
async fn wait_and_lead(
    replica: &Replica,
    election: &Election,
    mut stop: watch::Receiver<bool>,
) -> Result<(), ControllerError> {
    let mut leading = election.leading();
    tokio::select! {
        _ = stop.wait_for(|stop| *stop) => return Ok(()),
        led = stand_by(election) => led?,
    }
    replica.metrics.controller.leading(true);
    let (halt, halted) = watch::channel(false);
    let work = lead(replica, halted);
    tokio::pin!(work);
    let lost = tokio::select! {
        outcome = &mut work => return outcome,
        _ = stop.wait_for(|stop| *stop) => false,
        _ = leading.wait_for(|leads| !*leads) => true,
    };
    let _ = halt.send(true);
    let outcome = tokio::time::timeout(GRACE, work).await;
    let outcome = outcome.unwrap_or(Err(ControllerError::Ended("all, in time")));
    if !lost {
        return outcome;
    }
    let settings = &replica.settings;
    let lease = format!("{}/{}", settings.lease_namespace, settings.lease_name);
    outcome.and(Err(ControllerError::LeaseLost(lease)))
}
