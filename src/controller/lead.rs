//! A leader's work: takes the store, loads the state, and runs its tasks until it is stopped.

use super::break_glass::BreakGlass;
use super::enforcer::Enforcer;
use super::engine::{
    Engine, EngineState, Observation, Parts, SaidOfPlugin, keep_proven, resume_break_glass,
};
use super::exporter::Exporter;
use super::folder::{FoldNews, Folder};
use super::graph_publisher::GraphPublisher;
use super::intake::{Intake, IntakeError, IntakeSettings};
use super::plan::{EnforcerReport, Plan};
use super::record_publisher::RecordPublisher;
use super::replica::Replica;
use super::room::IntakeRoom;
use super::settings::ControllerError;
use super::take_over::{Answer, TakenOver};
use super::tasks::{Tasks, keep_running};
use super::writer::NewBatches;
use crate::flow::HOT_HOURS;
use crate::graph::Graph;
use crate::inventory::Inventory;
use crate::net::{Outages, Timestamp};
use crate::pipeline::LiveGraph;
use crate::store::{FlowStore, ReviewStore, StateLock, StateLockError};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// How many batches may wait for the engine; more wait in the store's thread.
const HEARD: usize = 2;
/// How many folded steps may wait for the engine.
const FOLDED: usize = 2;
/// How long of the time to end publishing the end of the record may take.
const LAST_WORD: Duration = Duration::from_secs(5);
/// How long a leader waits for the one before it to release the store.
const PATIENCE: Duration = Duration::from_secs(20);

/// A store that may be acted on.
struct Held {
    store: ReviewStore,
    taken: TakenOver,
    /// Until this is dropped, no other process opens the store for its state.
    _lock: StateLock,
}

/// What the store had.
struct Loaded {
    store: ReviewStore,
    flows: FlowStore,
    engine_state: EngineState,
    live: LiveGraph,
    room: IntakeRoom,
    break_glass: BreakGlass,
}

/// Runs until `stop` turns true, and then until everything received is stored.
///
/// # Errors
/// Why it cannot start or continue.
pub async fn lead(
    replica: &Replica,
    mut stop: watch::Receiver<bool>,
) -> Result<(), ControllerError> {
    let Some(held) = hold(replica, &mut stop).await? else {
        return Ok(());
    };
    let Held {
        store,
        taken,
        _lock,
    } = held;
    let loaded = load(replica, store, taken)?;
    let (heard_in, heard) = mpsc::channel(HEARD);
    let intake = bind(replica, heard_in).await?;
    let (report_in, reports) = mpsc::unbounded_channel();
    let (plan_in, plan) = watch::channel(None);
    let (recorded, newest) = watch::channel(loaded.engine_state.record_head().sequence);
    let (graph_in, graph) = watch::channel(None);
    let (news, folded) = mpsc::channel(FOLDED);
    let (inventory, known) = watch::channel(None);
    let settings = &replica.settings;
    let said = SaidOfPlugin {
        profile: settings.network_plugin,
        ports: settings.service_enforcement,
    };
    let approved = settings.approved.clone();
    let engine = Engine::new(Parts {
        watches: replica.watches.clone(),
        writer: replica.writer.clone(),
        events: replica.events.clone(),
        store: loaded.store,
        engine_state: loaded.engine_state,
        observation: Observation::new(loaded.live, said, approved),
        plan: plan_in,
        recorded,
        graph: graph_in,
        reports,
        heard,
        folded,
        inventory,
        controller_metrics: replica.metrics.controller.clone(),
        retention: settings.retention,
        ceilings: settings.ceilings.clone(),
        now,
    });
    let mut tasks = Tasks::default();
    tasks.spawn("engine", engine.run(stop.clone()));
    let record_publisher = tokio::spawn(publish_record(replica, newest, stop.clone()));
    let publishing = publish_graph(replica, graph, stop.clone());
    tasks.spawn("graph publisher", publishing);
    tasks.spawn("folder", fold(replica, known, news, stop.clone()));
    let plan = (plan, report_in, loaded.break_glass);
    carry_out(replica, plan, stop.clone(), &mut tasks);
    let (metrics, health) = (
        replica.metrics.receiver.clone(),
        replica.store_health.clone(),
    );
    let intake = intake.run(loaded.flows, loaded.room, metrics, health, stop.clone());
    tasks.spawn_fallible("intake", async { Ok(intake.await?) });
    tasks.run(stop).await?;
    last_word(record_publisher).await;
    Ok(())
}

/// Takes the store, if what is in it may be acted on. Returns `None` when `stop` has turned true.
async fn hold(
    replica: &Replica,
    stop: &mut watch::Receiver<bool>,
) -> Result<Option<Held>, ControllerError> {
    let Some(lock) = lock(replica, stop.clone()).await? else {
        return Ok(None);
    };
    let store = ReviewStore::open(&replica.settings.store)?;
    match replica.take_over().run(&store, stop).await? {
        Answer::Acts(taken) => Ok(Some(Held {
            store,
            taken: *taken,
            _lock: lock,
        })),
        Answer::Stopped => Ok(None),
        Answer::Refuses => {
            // So that the file can be exchanged.
            drop((store, lock));
            let _ = stop.wait_for(|stop| *stop).await;
            Ok(None)
        }
    }
}

/// Locks the store; the leader before may need a moment to end. Returns `None` if `stop` turned true meanwhile.
async fn lock(
    replica: &Replica,
    mut stop: watch::Receiver<bool>,
) -> Result<Option<StateLock>, ControllerError> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        match StateLock::acquire(&replica.settings.store) {
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

/// Loads the state, and what was observed.
fn load(
    replica: &Replica,
    mut store: ReviewStore,
    taken: TakenOver,
) -> Result<Loaded, ControllerError> {
    let path = &replica.settings.store;
    let flows = FlowStore::open(path)?;
    let loaded = store.load()?;
    let restored = loaded.departed.iter();
    let restored = restored.filter_map(|pod| serde_json::from_str(&pod.body).ok());
    replica.watches.restore(restored.collect());
    // Records of hours before those are folded beside the engine.
    let hot = flows.load_since(now().hour() - HOT_HOURS)?;
    let room = IntakeRoom::after(&hot, replica.metrics.store.clone(), now());
    let live = LiveGraph::new(store.history()?, hot);
    let mut engine_state = EngineState::load(loaded, taken.head)?;
    keep_proven(&mut engine_state, &taken.rulings);
    if let Some(reset) = taken.reset {
        // Nothing may be published before this line is on the disk.
        engine_state.note(reset);
        engine_state.commit(&mut store, now())?;
    }
    resume_break_glass(&mut engine_state, store.unrecorded_break_glass()?);
    let break_glass = BreakGlass::open(path, engine_state.break_glass_reasons())?;
    Ok(Loaded {
        store,
        flows,
        engine_state,
        live,
        room,
        break_glass,
    })
}

/// Listens for agents.
async fn bind(replica: &Replica, heard: NewBatches) -> Result<Intake, IntakeError> {
    let intake = Intake::bind(IntakeSettings {
        listen: replica.settings.listen,
        tls: replica.settings.tls.clone(),
        authenticator: Arc::new(replica.authenticator()),
        nats: replica.settings.nats.clone(),
        nats_health: replica.nats_health.clone(),
        hubble: replica.settings.hubble.clone(),
        heard: Some(heard),
        now,
        connections: replica.metrics.ports.clone(),
    })
    .await?;
    tracing::info!(listen = %intake.local_addr(), "accepts agents");
    Ok(intake)
}

/// Starts the task that carries the plan out: in the cluster, or in a folder for a GitOps tool.
fn carry_out(
    replica: &Replica,
    (plan, reports, break_glass): (
        watch::Receiver<Option<Arc<Plan>>>,
        mpsc::UnboundedSender<EnforcerReport>,
        BreakGlass,
    ),
    stop: watch::Receiver<bool>,
    tasks: &mut Tasks,
) {
    let watches = replica.watches.clone();
    match &replica.settings.output {
        None => {
            let enforcer = Enforcer {
                watches,
                writer: replica.writer.clone(),
                plan,
                reports,
                break_glass,
                now,
                outages: Outages::default(),
            };
            tasks.spawn("enforcer", enforcer.run(stop));
        }
        Some(folder) => {
            let exporter = Exporter::new(watches, folder, plan, reports, break_glass, now);
            tasks.spawn("exporter", exporter.run(stop));
        }
    }
}

/// Publishes the graph until `stop` turns true.
fn publish_graph(
    replica: &Replica,
    graph: watch::Receiver<Option<Arc<Graph>>>,
    stop: watch::Receiver<bool>,
) -> impl Future<Output = ()> + use<> {
    let publisher = GraphPublisher {
        writer: replica.writer.clone(),
        namespace: replica.settings.lease_namespace.clone(),
        graph,
    };
    let halted = stop.clone();
    let start = move || publisher.clone().run(halted.clone());
    let restarts = replica.metrics.controller.task_restarts();
    keep_running("graph publisher", restarts, stop, start)
}

/// Folds earlier hours until `stop` turns true.
fn fold(
    replica: &Replica,
    inventory: watch::Receiver<Option<Arc<Inventory>>>,
    news: mpsc::Sender<FoldNews>,
    stop: watch::Receiver<bool>,
) -> impl Future<Output = ()> + use<> {
    let folder = Folder {
        path: replica.settings.store.clone(),
        inventory,
        news,
        metrics: replica.metrics.store.clone(),
        now,
    };
    let halted = stop.clone();
    let start = move || folder.clone().run(halted.clone());
    let restarts = replica.metrics.controller.task_restarts();
    keep_running("folder", restarts, stop, start)
}

/// Publishes the record until `stop` turns true, and then to its end.
fn publish_record(
    replica: &Replica,
    newest: watch::Receiver<u64>,
    stop: watch::Receiver<bool>,
) -> impl Future<Output = ()> + use<> {
    let (writer, watches) = (replica.writer.clone(), replica.watches.clone());
    let settings = &replica.settings;
    let (path, namespace) = (settings.store.clone(), settings.lease_namespace.clone());
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
    let restarts = replica.metrics.controller.task_restarts();
    keep_running("record publisher", restarts, stop, start)
}

/// Waits until the end of the record is published. Nothing depends on it: a failure is logged and is no reason to fail.
async fn last_word(record_publisher: JoinHandle<()>) {
    match tokio::time::timeout(LAST_WORD, record_publisher).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!("the record was not published to its end: {error}"),
        Err(_) => tracing::warn!("the record was not published to its end in time"),
    }
}

/// The clock.
fn now() -> Timestamp {
    jiff::Timestamp::now().into()
}
