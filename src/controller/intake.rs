//! Batches on their way into the store: gRPC and NATS, one writer, and a channel for those who need to see what was stored.

use super::hubble::HubbleIntake;
use super::receiver_metrics::ReceiverMetrics;
use super::room::IntakeRoom;
use super::writer::{self, NewBatches, StoreHealth, Writer};
use crate::flow::Admission;
use crate::listen::{ConnectionMetrics, ServerTls};
use crate::net::{Outage, Timestamp};
use crate::observe::hubble::HubbleSource;
use crate::store::{FlowStore, FlowStoreError};
use crate::wire::{
    Authenticator, Incoming, NatsError, NatsHealth, NatsIntake, NatsSettings, Server, ServerError,
    ServerSettings,
};
use std::net::SocketAddr;
use std::sync::Arc;
use thiserror::Error;
use tokio::sync::{mpsc, watch};

/// Where batches come from.
pub struct IntakeSettings {
    /// Where agents connect.
    pub listen: SocketAddr,
    /// `None`: without TLS.
    pub tls: Option<ServerTls>,
    pub authenticator: Arc<dyn Authenticator>,
    /// Takes batches from NATS JetStream too.
    pub nats: Option<NatsSettings>,
    pub nats_health: NatsHealth,
    /// Follows Hubble Relay too.
    pub hubble: Option<HubbleSource>,
    /// Receives each batch that was new, after it is stored.
    pub heard: Option<NewBatches>,
    /// The clock by which agents are judged.
    pub now: fn() -> Timestamp,
    pub connections: ConnectionMetrics,
}

/// Why batches cannot be received.
#[derive(Debug, Error)]
pub enum IntakeError {
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error(transparent)]
    Nats(#[from] NatsError),
    #[error(transparent)]
    Store(#[from] FlowStoreError),
    #[error("failed to start the thread that writes to the store: {0}")]
    Thread(std::io::Error),
    #[error("failed to go on receiving: {0} ended; see the log before this")]
    Ended(&'static str),
}

/// Listens, and receives no batch yet.
pub struct Intake {
    server: Server,
    nats: Option<NatsIntake>,
    hubble: Option<(HubbleSource, mpsc::Sender<Incoming>)>,
    queue: mpsc::Receiver<Incoming>,
    heard: Option<NewBatches>,
    now: fn() -> Timestamp,
}

impl Intake {
    /// # Errors
    /// If an address cannot be listened on, TLS cannot be set up or NATS cannot be used.
    pub async fn bind(settings: IntakeSettings) -> Result<Intake, IntakeError> {
        let (out, queue) = mpsc::channel(writer::QUEUE);
        let authenticator = settings.authenticator;
        let nats = match settings.nats {
            Some(nats) => {
                let health = settings.nats_health;
                Some(NatsIntake::start(nats, authenticator.clone(), out.clone(), health).await?)
            }
            None => None,
        };
        let hubble = settings.hubble.map(|source| (source, out.clone()));
        let server = Server::bind(ServerSettings {
            listen: settings.listen,
            tls: settings.tls,
            authenticator,
            out,
            connections: settings.connections,
        })?;
        Ok(Intake {
            server,
            nats,
            hubble,
            queue,
            heard: settings.heard,
            now: settings.now,
        })
    }

    /// Returns the address where agents connect, with the real port if port 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// Receives batches until `stop` turns true. Then it accepts no more, and returns when all that were received
    /// are stored and acknowledged.
    ///
    /// # Errors
    /// If the store cannot be read, or a part of it ends before. (rule: no-task-ends-unseen)
    pub async fn run(
        self,
        store: FlowStore,
        room: IntakeRoom,
        metrics: Arc<ReceiverMetrics>,
        health: StoreHealth,
        stop: watch::Receiver<bool>,
    ) -> Result<(), IntakeError> {
        let queue = self.queue;
        let hubble = self.hubble.map(|(source, out)| HubbleIntake {
            source,
            out,
            metrics: metrics.clone(),
            now: self.now,
        });
        let writer = Writer {
            admission: Admission::new(&store.views()?),
            room,
            store,
            metrics,
            health,
            heard: self.heard,
            now: self.now,
            outage: Outage::default(),
        };
        let (written, mut all_written) = tokio::sync::oneshot::channel::<()>();
        std::thread::Builder::new()
            .name("store".into())
            .spawn(move || {
                writer::run(writer, queue);
                drop(written);
            })
            .map_err(IntakeError::Thread)?;
        let served = until_stop("the port for agents", self.server.run(stop.clone()), &stop);
        let taken = async {
            match self.nats {
                Some(nats) => until_stop("NATS", nats.run(stop.clone()), &stop).await,
                None => Ok(()),
            }
        };
        let followed = async {
            match hubble {
                Some(hubble) => until_stop("Hubble", hubble.run(stop.clone()), &stop).await,
                None => Ok(()),
            }
        };
        let work = async { tokio::try_join!(served, taken, followed) };
        tokio::select! {
            biased;
            done = work => done?,
            _ = &mut all_written => return Err(IntakeError::Ended("the thread that writes to the store")),
        };
        // Server, NATS and Hubble have ended, so the queue has no sender any more and the writer ends.
        let _ = all_written.await;
        Ok(())
    }
}

/// Waits for a part of the work, which may not end before `stop` turns true or its sender is dropped.
async fn until_stop(
    name: &'static str,
    work: impl Future<Output = ()>,
    stop: &watch::Receiver<bool>,
) -> Result<(), IntakeError> {
    work.await;
    let is_stopped = *stop.borrow() || stop.has_changed().is_err();
    is_stopped.then_some(()).ok_or(IntakeError::Ended(name))
}
