//! The controller from start to end. Every replica watches the cluster and waits for the Lease. The one that gets it
//! opens the store, accepts agents and works until it is stopped or the Lease is lost. A leader never becomes a follower
//! again; its process ends, so that nothing half-done outlives it.

use super::authenticator::{Check, TokenAuthenticator};
use super::break_glass::BreakGlass;
use super::controller_metrics::ControllerMetrics;
use super::enforcer::Enforcer;
use super::engine::{Engine, EngineState, Observation, Parts, StateError, resume_break_glass};
use super::exporter::Exporter;
use super::graph_publisher::GraphPublisher;
use super::intake::{Intake, IntakeError, IntakeSettings};
use super::receiver_metrics::ReceiverMetrics;
use super::record_publisher::RecordPublisher;
use super::writer::StoreHealth;
use crate::cluster::ConnectSettings;
use crate::cluster::live::{
    ConnectError, Connection, Election, ElectionSettings, Events, Fence, Refused, ReviewSettings,
    TokenReviewer, WatchSettings, Watches, Writer, connect,
};
use crate::graph::ServiceEnforcement;
use crate::net::Timestamp;
use crate::pipeline::LiveGraph;
use crate::risk::Approved;
use crate::store::{
    FlowStore, FlowStoreError, ReviewStore, ReviewStoreError, StateLock, StateLockError,
};
use crate::wire::{Health, HealthError, HealthServer, NatsSettings, ServerTls};
use prometheus_client::registry::Registry;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::{mpsc, watch};

/// How many batches may wait for the engine; more wait in the store's thread.
const HEARD: usize = 64;
/// How long all tasks together may take to end.
const GRACE: Duration = Duration::from_secs(15);
/// How long of that publishing the end of the record may take.
const LAST_WORD: Duration = Duration::from_secs(5);
/// How long a leader waits for the one before it to release the store.
const PATIENCE: Duration = Duration::from_secs(20);

/// The settings of a controller.
#[derive(Debug, Clone)]
pub struct ControllerSettings {
    pub connect: ConnectSettings,
    /// The SQLite file.
    pub store: PathBuf,
    /// Where agents connect.
    pub listen: SocketAddr,
    /// `None`: without TLS.
    pub tls: Option<ServerTls>,
    /// The users whose tokens are accepted: `system:serviceaccount:NAMESPACE:NAME`.
    pub agents: BTreeSet<String>,
    pub token_audience: String,
    /// Takes batches from NATS JetStream too.
    pub nats: Option<NatsSettings>,
    pub metrics_listen: SocketAddr,
    pub lease_namespace: String,
    pub lease_name: String,
    /// The name of this replica.
    pub identity: String,
    /// How long deleted pods are remembered.
    pub retention: Duration,
    /// GitOps: approved policies are written there, and not into the cluster.
    pub output: Option<PathBuf>,
    /// Images that may run in every namespace.
    pub approved: Approved,
    /// Where the network plugin checks connections through Services, in namespaces whose Segmentation does not
    /// set it.
    pub service_enforcement: ServiceEnforcement,
}

/// Why a controller cannot start or continue.
#[derive(Debug, Error)]
pub enum ControllerError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Health(#[from] HealthError),
    #[error(transparent)]
    Flows(#[from] FlowStoreError),
    #[error(transparent)]
    Reviews(#[from] ReviewStoreError),
    #[error(transparent)]
    EngineState(#[from] StateError),
    #[error(transparent)]
    Lock(#[from] StateLockError),
    #[error(transparent)]
    Intake(#[from] IntakeError),
    #[error(
        "failed to go on leading: the Lease {0} was lost; the process ends, so that another leads alone"
    )]
    LeaseLost(String),
    #[error("failed to go on: the task {0} ended; see the log before this")]
    Ended(&'static str),
}

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
        controller_metrics: Arc::default(),
        receiver_metrics: Arc::default(),
        store_health: StoreHealth::default(),
        client,
        watches,
        settings,
    };
    let health = replica.health_server().await?;
    // Serves as long as the process runs, also while the last batches are written.
    let (quiet, silent) = watch::channel(false);
    let health = tokio::spawn(health.run(silent));
    let outcome = replica.wait_and_lead(&election, stop).await;
    // After any other error a task may still be running: then the Lease is left to expire.
    if matches!(outcome, Ok(()) | Err(ControllerError::LeaseLost(_))) {
        election.release().await;
    }
    let _ = quiet.send(true);
    if let Ok(Err(error)) = health.await {
        tracing::warn!("{error}");
    }
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

/// What a replica has whether or not it leads.
struct Replica {
    settings: ControllerSettings,
    client: kube::Client,
    watches: Arc<Watches>,
    writer: Writer,
    events: Events,
    controller_metrics: Arc<ControllerMetrics>,
    receiver_metrics: Arc<ReceiverMetrics>,
    store_health: StoreHealth,
}

impl Replica {
    async fn health_server(&self) -> Result<HealthServer, HealthError> {
        let mut registry = Registry::default();
        self.receiver_metrics.register(&mut registry);
        self.controller_metrics
            .register(&mut registry, self.writer.clone());
        let (watches, controller_metrics) = (self.watches.clone(), self.controller_metrics.clone());
        let store_health = self.store_health.clone();
        let ready = Arc::new(move || {
            watches.check().map_err(|stale| stale.to_string())?;
            store_health.check()?;
            controller_metrics.check()
        });
        let health = Health::of_registry(registry, ready);
        HealthServer::bind(self.settings.metrics_listen, health).await
    }

    async fn wait_and_lead(
        &self,
        election: &Election,
        mut stop: watch::Receiver<bool>,
    ) -> Result<(), ControllerError> {
        let mut leading = election.leading();
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
            led = leading.wait_for(|leads| *leads) => {
                if led.is_err() {
                    return Err(ControllerError::Ended("election"));
                }
            }
        }
        tracing::info!(identity = election.identity(), "leads");
        self.controller_metrics.leading(true);
        let (halt, halted) = watch::channel(false);
        let work = self.lead(halted);
        tokio::pin!(work);
        let lease = format!(
            "{}/{}",
            self.settings.lease_namespace, self.settings.lease_name
        );
        let lost = tokio::select! {
            outcome = &mut work => return outcome,
            _ = stop.wait_for(|stop| *stop) => false,
            _ = leading.wait_for(|leads| !*leads) => true,
        };
        let _ = halt.send(true);
        let outcome = tokio::time::timeout(GRACE, work).await;
        let outcome = outcome.unwrap_or(Err(ControllerError::Ended("all, in time")));
        if lost {
            outcome.and(Err(ControllerError::LeaseLost(lease)))
        } else {
            outcome
        }
    }

    /// Runs until `stop` turns true, and then until everything received is stored.
    async fn lead(&self, stop: watch::Receiver<bool>) -> Result<(), ControllerError> {
        let Some(_lock) = self.lock(stop.clone()).await? else {
            return Ok(());
        };
        let settings = &self.settings;
        let flows = FlowStore::open(&settings.store)?;
        let store = ReviewStore::open(&settings.store)?;
        let loaded = store.load()?;
        let restored = loaded.departed.iter();
        let restored = restored.filter_map(|pod| serde_json::from_str(&pod.body).ok());
        self.watches.restore(restored.collect());
        let live = LiveGraph::new(store.history()?, flows.load()?);
        let (heard_in, heard) = mpsc::channel(HEARD);
        let (report_in, reports) = mpsc::unbounded_channel();
        let (plan_in, plan) = watch::channel(None);
        let (recorded, newest) =
            watch::channel(loaded.record_head.as_ref().map_or(0, |head| head.0));
        let record_publisher = self.record_publisher(newest)?;
        let (graph_in, graph) = watch::channel(None);
        let graph_publisher = GraphPublisher {
            writer: self.writer.clone(),
            namespace: settings.lease_namespace.clone(),
            graph,
        };
        let intake = Intake::bind(IntakeSettings {
            listen: settings.listen,
            tls: settings.tls.clone(),
            authenticator: Arc::new(self.authenticator()),
            nats: settings.nats.clone(),
            heard: Some(heard_in),
            now,
        })
        .await?;
        tracing::info!(listen = %intake.local_addr(), "accepts agents");
        let mut engine_state = EngineState::load(loaded)?;
        resume_break_glass(&mut engine_state, store.unrecorded_break_glass()?);
        let break_glass = BreakGlass::open(&settings.store, engine_state.break_glass_reasons())?;
        let engine = Engine::new(Parts {
            watches: self.watches.clone(),
            writer: self.writer.clone(),
            events: self.events.clone(),
            store,
            engine_state,
            observation: Observation::new(
                live,
                settings.service_enforcement,
                settings.approved.clone(),
            ),
            plan: plan_in,
            recorded,
            graph: graph_in,
            reports,
            heard,
            controller_metrics: self.controller_metrics.clone(),
            retention: settings.retention,
            now,
        });
        let engine = tokio::spawn(engine.run(stop.clone()));
        let record_publisher = tokio::spawn(record_publisher.run(stop.clone()));
        tokio::spawn(graph_publisher.run(stop.clone()));
        let enforcer = match &settings.output {
            None => tokio::spawn(
                Enforcer {
                    watches: self.watches.clone(),
                    writer: self.writer.clone(),
                    plan,
                    reports: report_in,
                    break_glass,
                    now,
                }
                .run(stop.clone()),
            ),
            Some(folder) => tokio::spawn(
                Exporter::new(
                    self.watches.clone(),
                    folder,
                    plan,
                    report_in,
                    break_glass,
                    now,
                )
                .run(stop.clone()),
            ),
        };
        let (metrics, health) = (self.receiver_metrics.clone(), self.store_health.clone());
        let intake = tokio::spawn(intake.run(flows, metrics, health, stop.clone()));
        self.supervise(engine, enforcer, intake, stop).await?;
        // Nothing depends on it: a failure is logged and is no reason to fail.
        match tokio::time::timeout(LAST_WORD, record_publisher).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!("the record was not published to its end: {error}"),
            Err(_) => tracing::warn!("the record was not published to its end in time"),
        }
        Ok(())
    }

    fn record_publisher(
        &self,
        newest: watch::Receiver<u64>,
    ) -> Result<RecordPublisher, ControllerError> {
        Ok(RecordPublisher {
            writer: self.writer.clone(),
            store: ReviewStore::open_read_only(&self.settings.store)?,
            namespace: self.settings.lease_namespace.clone(),
            newest,
            watches: self.watches.clone(),
        })
    }

    /// Waits for all three. It is an error if one of them ends before `stop`.
    async fn supervise(
        &self,
        mut engine: tokio::task::JoinHandle<()>,
        mut enforcer: tokio::task::JoinHandle<()>,
        mut intake: tokio::task::JoinHandle<Result<(), IntakeError>>,
        mut stop: watch::Receiver<bool>,
    ) -> Result<(), ControllerError> {
        tokio::select! {
            // In this order: the others end when the engine does.
            biased;
            _ = stop.wait_for(|stop| *stop) => {}
            _ = &mut engine => return Err(ControllerError::Ended("engine")),
            _ = &mut enforcer => return Err(ControllerError::Ended("enforcer")),
            outcome = &mut intake => {
                if let Ok(Err(error)) = outcome {
                    return Err(error.into());
                }
                return Err(ControllerError::Ended("intake"));
            }
        }
        let (engine, enforcer, intake) = tokio::join!(engine, enforcer, intake);
        engine.map_err(|_| ControllerError::Ended("engine"))?;
        enforcer.map_err(|_| ControllerError::Ended("enforcer"))?;
        intake.map_err(|_| ControllerError::Ended("intake"))??;
        Ok(())
    }

    fn authenticator(&self) -> TokenAuthenticator {
        let reviewer = TokenReviewer::new(
            self.client.clone(),
            ReviewSettings {
                audience: self.settings.token_audience.clone(),
                subjects: self.settings.agents.clone(),
            },
        );
        TokenAuthenticator {
            check: Check::Review(reviewer),
            metrics: self.receiver_metrics.clone(),
        }
    }

    /// Locks the store; the leader before may need a moment to end. Returns `None` if `stop` turned true meanwhile.
    async fn lock(
        &self,
        mut stop: watch::Receiver<bool>,
    ) -> Result<Option<StateLock>, ControllerError> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            match StateLock::acquire(&self.settings.store) {
                Ok(lock) => return Ok(Some(lock)),
                Err(StateLockError::Held { .. }) if tokio::time::Instant::now() < deadline => {}
                Err(error) => return Err(error.into()),
            }
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return Ok(None),
                () = tokio::time::sleep(Duration::from_millis(100)) => {}
            }
        }
    }
}

/// The clock.
fn now() -> Timestamp {
    jiff::Timestamp::now().into()
}
