//! The controller from start to end. Every replica watches the cluster and waits for the Lease. The one that gets it
//! opens the store, accepts agents and works until it is stopped or the Lease is lost. A leader never becomes a follower
//! again; its process ends, so that nothing half-done outlives it.

use super::authenticator::{Check, TokenAuthenticator, warn_of_unbound};
use super::break_glass::BreakGlass;
use super::enforcer::Enforcer;
use super::engine::{
    Engine, EngineState, Observation, Parts, StateError, keep_proven, resume_break_glass,
};
use super::exporter::Exporter;
use super::folder::Folder;
use super::graph_publisher::GraphPublisher;
use super::intake::{Intake, IntakeError, IntakeSettings};
use super::metrics::Metrics;
use super::record_publisher::RecordPublisher;
use super::room::IntakeRoom;
use super::take_over::{Answer, TakeOver, TakeOverError};
use super::tasks::{Tasks, keep_running};
use super::token_review::ReviewCheck;
use super::writer::StoreHealth;
use crate::cluster::ConnectSettings;
use crate::cluster::live::{
    ConnectError, Connection, Election, ElectionSettings, Events, Fence, Refused, ReviewSettings,
    TokenReviewer, WatchSettings, Watches, Writer, connect,
};
use crate::flow::HOT_HOURS;
use crate::graph::ServiceEnforcement;
use crate::listen::ServerTls;
use crate::net::Timestamp;
use crate::pipeline::LiveGraph;
use crate::review::Ceilings;
use crate::risk::Approved;
use crate::store::{
    FlowStore, FlowStoreError, ReviewStore, ReviewStoreError, StateLock, StateLockError,
};
use crate::wire::{
    Health, HealthError, HealthServer, NatsHealth, NatsSettings, TokenCheck, TokenRules,
};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::{mpsc, watch};

/// How many batches may wait for the engine; more wait in the store's thread.
const HEARD: usize = 2;
/// How many folded steps may wait for the engine.
const FOLDED: usize = 2;
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
    /// The issuers that tokens may have; empty: the one that the API server names.
    pub token_issuers: BTreeSet<String>,
    /// Accepts tokens that name no node. For tests.
    pub allow_unbound_agents: bool,
    /// Takes batches from NATS JetStream too.
    pub nats: Option<NatsSettings>,
    pub metrics_listen: SocketAddr,
    pub lease_namespace: String,
    pub lease_name: String,
    /// The name of this replica.
    pub identity: String,
    /// A person accepts a state that does not continue the published record.
    pub accept_new_state: bool,
    /// How long deleted pods are remembered.
    pub retention: Duration,
    /// GitOps: approved policies are written there, and not into the cluster.
    pub output: Option<PathBuf>,
    /// Images that may run in every namespace.
    pub approved: Approved,
    /// Where the network plugin checks connections through Services, in namespaces whose Segmentation does not
    /// set it.
    pub service_enforcement: ServiceEnforcement,
    /// What automatic approval may do at most, in any namespace.
    pub ceilings: Ceilings,
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
    TakeOver(#[from] TakeOverError),
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
        outcome = replica.wait_and_lead(&election, stop) => outcome,
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

/// What a replica has whether or not it leads.
struct Replica {
    settings: ControllerSettings,
    client: kube::Client,
    watches: Arc<Watches>,
    writer: Writer,
    events: Events,
    metrics: Metrics,
    store_health: StoreHealth,
    nats_health: NatsHealth,
}

impl Replica {
    fn health_server(&self) -> Result<HealthServer, HealthError> {
        let registry = self.metrics.of_controller(self.writer.counts().clone());
        let (watches, controller_metrics) = (self.watches.clone(), self.metrics.controller.clone());
        let (store_health, nats_health) = (self.store_health.clone(), self.nats_health.clone());
        let metrics = self.metrics.receiver.clone();
        let ready = Arc::new(move || {
            watches.check().map_err(|stale| stale.to_string())?;
            store_health.check()?;
            nats_health.check()?;
            controller_metrics.check()
        });
        let health = Health {
            note: Arc::new(move || metrics.note()),
            ..Health::of_registry(registry, ready)
        };
        let listen = self.settings.metrics_listen;
        HealthServer::bind(listen, health, self.metrics.ports.clone())
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
        self.metrics.controller.leading(true);
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
    async fn lead(&self, mut stop: watch::Receiver<bool>) -> Result<(), ControllerError> {
        let Some(lock) = self.lock(stop.clone()).await? else {
            return Ok(());
        };
        let settings = &self.settings;
        let mut store = ReviewStore::open(&settings.store)?;
        let taken = match self.take_over().run(&store, &mut stop).await? {
            Answer::Acts(taken) => taken,
            Answer::Stopped => return Ok(()),
            Answer::Refuses => {
                // So that the file can be exchanged.
                drop((store, lock));
                let _ = stop.wait_for(|stop| *stop).await;
                return Ok(());
            }
        };
        let _lock = lock;
        let flows = FlowStore::open(&settings.store)?;
        let loaded = store.load()?;
        let restored = loaded.departed.iter();
        let restored = restored.filter_map(|pod| serde_json::from_str(&pod.body).ok());
        self.watches.restore(restored.collect());
        // Records of hours before those are folded beside the engine.
        let hot = flows.load_since(now().hour() - HOT_HOURS)?;
        let room = IntakeRoom::after(&hot, self.metrics.store.clone(), now());
        let live = LiveGraph::new(store.history()?, hot);
        let (heard_in, heard) = mpsc::channel(HEARD);
        let (report_in, reports) = mpsc::unbounded_channel();
        let (plan_in, plan) = watch::channel(None);
        let mut engine_state = EngineState::load(loaded, taken.head)?;
        keep_proven(&mut engine_state, &taken.rulings);
        if let Some(reset) = taken.reset {
            // Nothing may be published before this line is on the disk.
            engine_state.note(reset);
            engine_state.commit(&mut store, now())?;
        }
        let (recorded, newest) = watch::channel(engine_state.record_head().sequence);
        let (graph_in, graph) = watch::channel(None);
        let (news, folded) = mpsc::channel(FOLDED);
        let (inventory, known) = watch::channel(None);
        let folder = Folder {
            path: settings.store.clone(),
            inventory: known,
            news,
            metrics: self.metrics.store.clone(),
            now,
        };
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
            nats_health: self.nats_health.clone(),
            heard: Some(heard_in),
            now,
            connections: self.metrics.ports.clone(),
        })
        .await?;
        tracing::info!(listen = %intake.local_addr(), "accepts agents");
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
            folded,
            inventory,
            controller_metrics: self.metrics.controller.clone(),
            retention: settings.retention,
            ceilings: settings.ceilings.clone(),
            now,
        });
        let mut tasks = Tasks::default();
        let halted = stop.clone();
        tasks.spawn("engine", engine.run(halted));
        let record_publisher = tokio::spawn(self.publish_record(newest, stop.clone()));
        let restarts = self.metrics.controller.task_restarts();
        let halted = stop.clone();
        let publish_graph = move || graph_publisher.clone().run(halted.clone());
        let publishing = keep_running("graph publisher", restarts, stop.clone(), publish_graph);
        tasks.spawn("graph publisher", publishing);
        let restarts = self.metrics.controller.task_restarts();
        let halted = stop.clone();
        let fold = move || folder.clone().run(halted.clone());
        let folding = keep_running("folder", restarts, stop.clone(), fold);
        tasks.spawn("folder", folding);
        match &settings.output {
            None => {
                let enforcer = Enforcer {
                    watches: self.watches.clone(),
                    writer: self.writer.clone(),
                    plan,
                    reports: report_in,
                    break_glass,
                    now,
                };
                let halted = stop.clone();
                tasks.spawn("enforcer", enforcer.run(halted));
            }
            Some(folder) => {
                let watches = self.watches.clone();
                let exporter = Exporter::new(watches, folder, plan, report_in, break_glass, now);
                let halted = stop.clone();
                tasks.spawn("exporter", exporter.run(halted));
            }
        }
        let (metrics, health) = (self.metrics.receiver.clone(), self.store_health.clone());
        let intake = intake.run(flows, room, metrics, health, stop.clone());
        tasks.spawn_fallible("intake", async { Ok(intake.await?) });
        tasks.run(stop).await?;
        // Nothing depends on it: a failure is logged and is no reason to fail.
        match tokio::time::timeout(LAST_WORD, record_publisher).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!("the record was not published to its end: {error}"),
            Err(_) => tracing::warn!("the record was not published to its end in time"),
        }
        Ok(())
    }

    fn take_over(&self) -> TakeOver<'_> {
        TakeOver {
            client: self.client.clone(),
            writer: &self.writer,
            metrics: &self.metrics.controller,
            path: &self.settings.store,
            namespace: &self.settings.lease_namespace,
            accept: self.settings.accept_new_state,
        }
    }

    /// Publishes the record until `stop` turns true, and then to its end.
    fn publish_record(
        &self,
        newest: watch::Receiver<u64>,
        stop: watch::Receiver<bool>,
    ) -> impl Future<Output = ()> + use<> {
        let (writer, watches) = (self.writer.clone(), self.watches.clone());
        let (path, namespace) = (
            self.settings.store.clone(),
            self.settings.lease_namespace.clone(),
        );
        let halted = stop.clone();
        let start = move || {
            let store = ReviewStore::open_read_only(&path);
            let (writer, namespace) = (writer.clone(), namespace.clone());
            let (watches, newest, halted) = (watches.clone(), newest.clone(), halted.clone());
            async move {
                let publisher = store.map(|store| RecordPublisher {
                    writer,
                    store,
                    namespace,
                    newest,
                    watches,
                });
                match publisher {
                    Ok(publisher) => publisher.run(halted).await,
                    Err(error) => tracing::warn!("failed to publish the record: {error}"),
                }
            }
        };
        let restarts = self.metrics.controller.task_restarts();
        keep_running("record publisher", restarts, stop, start)
    }

    fn authenticator(&self) -> TokenAuthenticator {
        let reviewer = TokenReviewer::new(
            self.client.clone(),
            ReviewSettings {
                audience: self.settings.token_audience.clone(),
                subjects: self.settings.agents.clone(),
                allow_unbound: self.settings.allow_unbound_agents,
            },
        );
        if self.settings.allow_unbound_agents {
            warn_of_unbound();
        }
        let claims = TokenCheck::without_keys(TokenRules {
            issuers: self.settings.token_issuers.clone(),
            audience: self.settings.token_audience.clone(),
            subjects: self.settings.agents.clone(),
            allow_unbound: self.settings.allow_unbound_agents,
        });
        let check = ReviewCheck::new(self.client.clone(), claims, reviewer);
        TokenAuthenticator::new(
            Check::Review(Box::new(check)),
            self.metrics.receiver.clone(),
        )
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
