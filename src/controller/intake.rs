//! Batches on their way into the store: gRPC and NATS, one writer, and a channel for those who need to see what was stored.

use super::receiver_metrics::ReceiverMetrics;
use super::writer::{self, NewBatches, StoreHealth};
use crate::store::FlowStore;
use crate::wire::{
    Authenticator, Incoming, NatsError, NatsHealth, NatsIntake, NatsSettings, Server, ServerError,
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
    pub nats_health: NatsHealth,
    /// Receives each batch that was new, after it is stored.
    pub heard: Option<NewBatches>,
}

/// Why batches cannot be received.
#[derive(Debug, Error)]
pub enum IntakeError {
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error(transparent)]
    Nats(#[from] NatsError),
    #[error("failed to start the thread that writes to the store: {0}")]
    Thread(std::io::Error),
}

/// Listens, and receives no batch yet.
pub struct Intake {
    server: Server,
    nats: Option<NatsIntake>,
    queue: mpsc::Receiver<Incoming>,
    heard: Option<NewBatches>,
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
    /// If the listener fails.
    pub async fn run(
        self,
        store: FlowStore,
        metrics: Arc<ReceiverMetrics>,
        health: StoreHealth,
        stop: watch::Receiver<bool>,
    ) -> Result<(), IntakeError> {
        let (queue, heard) = (self.queue, self.heard);
        let (written, all_written) = tokio::sync::oneshot::channel::<()>();
        std::thread::Builder::new()
            .name("store".into())
            .spawn(move || {
                writer::run(store, queue, &metrics, &health, heard.as_ref());
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
