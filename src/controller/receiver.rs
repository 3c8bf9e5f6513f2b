//! Takes what agents send, by gRPC and from NATS, into one store.

use super::gate::TokenGate;
use super::metrics::Metrics;
use super::writer::{self, StoreHealth};
use crate::store::{FlowStore, FlowStoreError};
use crate::wire::{
    Gate, HealthError, HealthServer, Incoming, NatsError, NatsIntake, NatsSettings, Server,
    ServerError, ServerSettings, ServerTls, TokenCheck, TokenSettings,
};
use prometheus_client::registry::Registry;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use thiserror::Error;
use tokio::sync::{mpsc, watch};

/// What a receiver is told.
#[derive(Debug, Clone)]
pub struct ReceiverSettings {
    /// Where agents connect.
    pub listen: SocketAddr,
    /// `None`: without TLS.
    pub tls: Option<ServerTls>,
    /// `None`: anybody may send.
    pub tokens: Option<TokenSettings>,
    /// Takes batches from NATS JetStream too.
    pub nats: Option<NatsSettings>,
    pub metrics_listen: SocketAddr,
    /// The SQLite file.
    pub store: PathBuf,
}

/// Why the receiver cannot start, or go on.
#[derive(Debug, Error)]
pub enum ReceiverError {
    #[error(transparent)]
    Store(#[from] FlowStoreError),
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error(transparent)]
    Health(#[from] HealthError),
    #[error(transparent)]
    Nats(#[from] NatsError),
    #[error("{0}")]
    Tokens(String),
    #[error("failed to start the thread that writes to the store: {0}")]
    Thread(std::io::Error),
}

/// A receiver that listens and does not take anything yet.
pub struct Receiver {
    server: Server,
    intake: Option<NatsIntake>,
    health_server: HealthServer,
    store: FlowStore,
    queue: mpsc::Receiver<Incoming>,
    metrics: Arc<Metrics>,
    store_health: StoreHealth,
}

impl Receiver {
    /// Opens the store and listens.
    ///
    /// # Errors
    /// Why something of it is not possible.
    pub async fn start(settings: ReceiverSettings) -> Result<Receiver, ReceiverError> {
        let store = FlowStore::open(&settings.store)?;
        let check = settings.tokens.map(TokenCheck::new).transpose();
        let metrics = Arc::new(Metrics::default());
        let gate: Arc<dyn Gate> = Arc::new(TokenGate {
            check: check.map_err(ReceiverError::Tokens)?,
            metrics: metrics.clone(),
        });
        let (out, queue) = mpsc::channel(writer::QUEUE);
        let intake = match settings.nats {
            Some(nats) => Some(NatsIntake::start(nats, gate.clone(), out.clone()).await?),
            None => None,
        };
        let server = Server::bind(ServerSettings {
            listen: settings.listen,
            tls: settings.tls,
            gate,
            out,
        })?;
        let mut registry = Registry::default();
        metrics.register(&mut registry);
        let store_health = StoreHealth::default();
        let asked = store_health.clone();
        let ready = Arc::new(move || asked.check());
        let health_server = HealthServer::bind(settings.metrics_listen, registry, ready).await?;
        Ok(Receiver {
            server,
            intake,
            health_server,
            store,
            queue,
            metrics,
            store_health,
        })
    }

    /// Where agents connect: tells the port if port 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// Where the metrics are.
    pub fn metrics_addr(&self) -> SocketAddr {
        self.health_server.local_addr()
    }

    /// Takes batches until `stop` turns true; then lets none in any more, and returns when all that came
    /// is stored and acknowledged.
    ///
    /// # Errors
    /// If a listener fails.
    pub async fn run(self, stop: watch::Receiver<bool>) -> Result<(), ReceiverError> {
        let (store, queue, metrics, health) =
            (self.store, self.queue, self.metrics, self.store_health);
        let (written, all_written) = tokio::sync::oneshot::channel::<()>();
        std::thread::Builder::new()
            .name("store".into())
            .spawn(move || {
                writer::run(store, queue, &metrics, &health);
                drop(written);
            })
            .map_err(ReceiverError::Thread)?;
        let taken = async {
            if let Some(intake) = self.intake {
                intake.run(stop.clone()).await;
            }
        };
        let (served, (), watched) = tokio::join!(
            self.server.run(stop.clone()),
            taken,
            self.health_server.run(stop.clone())
        );
        // Server and intake are gone, and with them the last sender into the queue: the writer ends.
        let _ = all_written.await;
        served?;
        watched?;
        Ok(())
    }
}
