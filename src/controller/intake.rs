//! Batches on their way into the store: gRPC and NATS, one writer, and a channel for those who need to see what was stored.

use super::receiver_metrics::ReceiverMetrics;
use super::writer::{self, NewBatches, StoreHealth, Writer};
use crate::flow::Admission;
use crate::net::Timestamp;
use crate::store::{FlowStore, FlowStoreError};
use crate::wire::{
    Authenticator, Incoming, NatsError, NatsIntake, NatsSettings, Server, ServerError,
    ServerSettings, ServerTls,
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
    /// Receives each batch that was new, after it is stored.
    pub heard: Option<NewBatches>,
    /// The clock by which agents are judged.
    pub now: fn() -> Timestamp,
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
}

/// Listens, and receives no batch yet.
pub struct Intake {
    server: Server,
    nats: Option<NatsIntake>,
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
            Some(nats) => Some(NatsIntake::start(nats, authenticator.clone(), out.clone()).await?),
            None => None,
        };
        let server = Server::bind(ServerSettings {
            listen: settings.listen,
            tls: settings.tls,
            authenticator,
            out,
        })?;
        Ok(Intake {
            server,
            nats,
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
    /// If the listener fails, or the store cannot be read.
    pub async fn run(
        self,
        store: FlowStore,
        metrics: Arc<ReceiverMetrics>,
        health: StoreHealth,
        stop: watch::Receiver<bool>,
    ) -> Result<(), IntakeError> {
        let queue = self.queue;
        let writer = Writer {
            admission: Admission::new(&store.views()?),
            store,
            metrics,
            health,
            heard: self.heard,
            now: self.now,
        };
        let (written, all_written) = tokio::sync::oneshot::channel::<()>();
        std::thread::Builder::new()
            .name("store".into())
            .spawn(move || {
                writer::run(writer, queue);
                drop(written);
            })
            .map_err(IntakeError::Thread)?;
        let taken = async {
            if let Some(nats) = self.nats {
                nats.run(stop.clone()).await;
            }
        };
        let (served, ()) = tokio::join!(self.server.run(stop.clone()), taken);
        // Server and NATS intake have ended, so the queue has no sender any more and the writer ends.
        let _ = all_written.await;
        served?;
        Ok(())
    }
}
