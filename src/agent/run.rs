//! The whole agent: starts everything, waits for the signal to end, and ends in order.

use super::AgentError;
use super::batcher::Batcher;
use super::keeper::{Event, Keeper};
use super::link::{DeliveryOutcome, Link};
use super::metrics::Metrics;
use super::node::NodeName;
use super::own_addresses::OwnAddresses;
use super::sender::{Patience, Sender};
use super::sources::{SourceSpec, Sources};
use crate::flow::{Instance, ObservationLimits};
use crate::observe::{Clock, Pace, Stop};
use crate::store::{BatchCodec, Spool, SpoolLimits};
use crate::wire::{Health, HealthServer};
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

/// The settings of an agent.
#[derive(Debug, Clone)]
pub struct Settings {
    pub node: NodeName,
    pub pace: Pace,
    /// Where batches wait on the disk; only in memory without it.
    pub spool: Option<PathBuf>,
    pub limits: SpoolLimits,
    /// Where `/metrics`, `/healthz` and `/readyz` are served.
    pub listen: Option<SocketAddr>,
    pub patience: Patience,
}

/// How many observations of sources may wait for the main loop. If it is busy for longer, sources wait, and the kernel
/// counts what it drops.
const EVENTS: usize = 4;
/// How long delivering the rest may take after the signal to end. What is not delivered stays in the spool.
const LAST_WORDS: Duration = Duration::from_secs(5);
const STACK: usize = 1024 * 1024;

/// Runs the agent until `end` comes.
///
/// # Errors
/// If starting fails for good: the spool cannot be used, the port for metrics is taken, or no source has the permissions
/// that it needs.
pub async fn run<L: Link, C: BatchCodec + Send + 'static>(
    settings: Settings,
    wanted: Vec<SourceSpec>,
    link: L,
    codec: C,
    end: impl Future<Output = ()>,
) -> Result<(), AgentError> {
    let kinds: Vec<_> = wanted.iter().map(|wanted| wanted.source).collect();
    let metrics = Arc::new(Metrics::new(settings.pace.window, &kinds));
    let figures = wanted
        .iter()
        .map(|wanted| (wanted.source, Arc::clone(&wanted.figures)))
        .collect();
    let spool = match &settings.spool {
        Some(path) => Spool::open(path, codec, settings.limits)?,
        None => Spool::in_memory(codec, settings.limits),
    };
    let (quiet, silent) = watch::channel(false);
    let health = settings
        .listen
        .map(|address| serve_health(address, &metrics, silent));
    let mut health = health.transpose()?;
    let (events, happened) = sync_channel(EVENTS);
    let (offers, batches) = mpsc::channel(settings.limits.out_batches.max(1));
    let (outcome_in, outcomes) = std::sync::mpsc::channel();
    let clock = Clock::start();
    let keeper = Keeper {
        batcher: Batcher::new(
            settings.node.as_arc(),
            random_instance()?,
            settings.limits.batch,
            clock.to_wall(clock.now()),
        ),
        spool,
        metrics: Arc::clone(&metrics),
        clock,
        figures,
        offers,
        outcomes,
        addresses: OwnAddresses::of_this_node(),
    };
    let (ended, keeper_ended) = oneshot::channel();
    let keeper = thread::Builder::new()
        .name("keeper".into())
        .stack_size(STACK)
        .spawn(move || {
            keeper.run(&happened);
            let _ = ended.send(());
        })
        .map_err(AgentError::Thread)?;
    let stop = Stop::default();
    let sources = Sources::start(wanted, settings.pace, &stop, &events, &metrics)
        .map_err(AgentError::Thread)?;
    let report = report_outcomes(outcome_in, events.clone());
    let sender = Sender::new(link, settings.patience, Arc::clone(&metrics));
    let work = serve_until(sources, stop, events, end, keeper_ended);
    let sending = sender.run(batches, report);
    let outcome = tokio::select! {
        outcome = until_kept(work, sending) => outcome,
        // (rule: no-task-ends-unseen)
        () = task_ended(&mut health) => Err(AgentError::HealthEnded),
    };
    // It has the event to end, and handles it within a few seconds.
    let _ = tokio::task::spawn_blocking(move || keeper.join()).await;
    drop(quiet);
    outcome
}

/// Waits until the task ends; for ever if there is none.
async fn task_ended(task: &mut Option<JoinHandle<()>>) {
    match task {
        Some(task) => drop(task.await),
        None => std::future::pending().await,
    }
}

/// Serves metrics and health until `stop` turns true or its sender is dropped.
///
/// # Errors
/// If the address cannot be listened on.
fn serve_health(
    address: SocketAddr,
    metrics: &Arc<Metrics>,
    stop: watch::Receiver<bool>,
) -> Result<JoinHandle<()>, AgentError> {
    let (text, alive, ready) = (metrics.clone(), metrics.clone(), metrics.clone());
    let health = Health {
        metrics: Arc::new(move || Ok(text.text())),
        alive: Arc::new(move || alive.is_alive()),
        ready: Arc::new(move || ready.is_ready()),
        note: Arc::new(|| None),
    };
    let server = HealthServer::bind(address, health, metrics.ports());
    let server = server.map_err(|error| AgentError::Listen {
        address,
        source: error.source,
    })?;
    tracing::info!("metrics at http://{}/metrics", server.local_addr());
    Ok(tokio::spawn(server.run(stop)))
}

/// Sends until the work is done.
async fn until_kept(
    work: impl Future<Output = Result<(), AgentError>>,
    sending: impl Future<Output = ()>,
) -> Result<(), AgentError> {
    tokio::pin!(work, sending);
    tokio::select! {
        outcome = &mut work => outcome,
        // Nothing more comes from the main loop: it has ended.
        () = &mut sending => work.await,
    }
}

/// Waits for the end. Then puts what sources hold into the spool, and waits a while for its delivery.
async fn serve_until(
    sources: Sources,
    stop: Stop,
    events: SyncSender<Event>,
    end: impl Future<Output = ()>,
    mut keeper_ended: oneshot::Receiver<()>,
) -> Result<(), AgentError> {
    let (sources, first) = blocking(move || {
        let first = sources.wait_for_first();
        (sources, first)
    })
    .await?;
    if first.is_ok() {
        tokio::select! {
            () = end => tracing::info!("ending: bringing what was seen to the receiver"),
            _ = &mut keeper_ended => return Err(AgentError::KeeperEnded),
        }
    }
    stop.stop();
    let ended = events.clone();
    blocking(move || {
        sources.join();
        // The main loop handles it after the events before it.
        let _ = ended.send(Event::SourcesEnded);
    })
    .await?;
    let wait = if first.is_ok() {
        LAST_WORDS
    } else {
        Duration::ZERO
    };
    if tokio::time::timeout(wait, &mut keeper_ended).await.is_err() {
        blocking(move || {
            let _ = events.send(Event::GiveUp);
        })
        .await?;
        let _ = keeper_ended.await;
    }
    first.map_err(AgentError::NoPermission)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, AgentError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| AgentError::Thread(std::io::Error::other(error)))
}

/// Hands outcomes to the main loop and wakes it. If its queue is full it is awake, and reads outcomes after each event.
fn report_outcomes(
    outcome_in: std::sync::mpsc::Sender<DeliveryOutcome>,
    events: SyncSender<Event>,
) -> impl Fn(DeliveryOutcome) {
    move |answer| {
        let _ = outcome_in.send(answer);
        let _ = events.try_send(Event::Answered);
    }
}

fn random_instance() -> Result<Instance, AgentError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| AgentError::Random(error.to_string()))?;
    Ok(Instance(bytes))
}

/// Returns the limits for batches and spool, within a spool of `disk_bytes`.
pub fn limits(disk_bytes: u64) -> SpoolLimits {
    SpoolLimits {
        disk_bytes,
        batch: ObservationLimits::default(),
        ..SpoolLimits::default()
    }
}
