//! The receiver: stores what agents send by gRPC and over NATS.

use super::authenticator::{Check, TokenAuthenticator, warn_of_unbound};
use super::intake::{Intake, IntakeError, IntakeSettings};
use super::metrics::Metrics;
use super::room::IntakeRoom;
use super::writer::StoreHealth;
use crate::flow::HOT_HOURS;
use crate::listen::ServerTls;
use crate::net::Timestamp;
use crate::observe::hubble::HubbleSource;
use crate::store::{FlowStore, FlowStoreError};
use crate::wire::{
    Authenticator, Health, HealthError, HealthServer, NatsHealth, NatsSettings, TokenCheck,
    TokenSettings,
};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use thiserror::Error;
use tokio::sync::watch;

/// The settings of a receiver.
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
    /// Follows Hubble Relay too.
    pub hubble: Option<HubbleSource>,
    pub metrics_listen: SocketAddr,
    /// The SQLite file.
    pub store: PathBuf,
}

/// Why the receiver cannot start or continue.
#[derive(Debug, Error)]
pub enum ReceiverError {
    #[error(transparent)]
    Store(#[from] FlowStoreError),
    #[error(transparent)]
    Intake(#[from] IntakeError),
    #[error(transparent)]
    Health(#[from] HealthError),
    #[error("{0}")]
    Tokens(String),
}

/// A receiver that listens and receives no batch yet.
pub struct Receiver {
    intake: Intake,
    health_server: HealthServer,
    store: FlowStore,
    metrics: Metrics,
    store_health: StoreHealth,
}

impl Receiver {
    /// Opens the store and listens.
    ///
    /// # Errors
    /// If the store cannot be opened, an address cannot be listened on, or keys or certificates cannot be used.
    pub async fn start(settings: ReceiverSettings) -> Result<Receiver, ReceiverError> {
        let store = FlowStore::open(&settings.store)?;
        if let Some(tokens) = &settings.tokens
            && tokens.rules.allow_unbound
        {
            warn_of_unbound();
        }
        let check = settings.tokens.map(TokenCheck::new).transpose();
        let metrics = Metrics::default();
        let check = check
            .map_err(ReceiverError::Tokens)?
            .map_or(Check::None, Check::Keys);
        let authenticator: Arc<dyn Authenticator> =
            Arc::new(TokenAuthenticator::new(check, metrics.receiver.clone()));
        let nats_health = NatsHealth::default();
        let intake = Intake::bind(IntakeSettings {
            listen: settings.listen,
            tls: settings.tls,
            authenticator,
            nats: settings.nats,
            nats_health: nats_health.clone(),
            hubble: settings.hubble,
            heard: None,
            now: || jiff::Timestamp::now().into(),
            connections: metrics.ports.clone(),
        })
        .await?;
        let store_health = StoreHealth::default();
        let asked = store_health.clone();
        let ready = Arc::new(move || {
            asked.check()?;
            nats_health.check()
        });
        let notes = metrics.receiver.clone();
        let health = Health {
            note: Arc::new(move || notes.note()),
            ..Health::of_registry(metrics.of_receiver(), ready)
        };
        let health_server =
            HealthServer::bind(settings.metrics_listen, health, metrics.ports.clone())?;
        Ok(Receiver {
            intake,
            health_server,
            store,
            metrics,
            store_health,
        })
    }

    /// Returns the address where agents connect, with the real port if port 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.intake.local_addr()
    }

    /// Returns the address of the metrics.
    pub fn metrics_addr(&self) -> SocketAddr {
        self.health_server.local_addr()
    }

    /// Receives batches until `stop` turns true. Then it accepts no more, and returns when all that were received
    /// are stored and acknowledged.
    ///
    /// # Errors
    /// If a part of it ends before.
    pub async fn run(self, stop: watch::Receiver<bool>) -> Result<(), ReceiverError> {
        let now: Timestamp = jiff::Timestamp::now().into();
        let stored = self.store.load_since(now.hour() - HOT_HOURS)?;
        let room = IntakeRoom::after(&stored, self.metrics.store, now);
        drop(stored);
        let (metrics, health) = (self.metrics.receiver, self.store_health);
        let taken = self.intake.run(self.store, room, metrics, health, stop);
        // Serves also while the last batches are written.
        let (quiet, silent) = watch::channel(false);
        let watched = self.health_server.run(silent);
        tokio::pin!(watched);
        tokio::select! {
            taken = taken => taken?,
            () = &mut watched => return Err(IntakeError::Ended("the port for metrics").into()),
        }
        let _ = quiet.send(true);
        watched.await;
        Ok(())
    }
}
