//! What a replica has whether or not it leads.

use super::authenticator::{Check, TokenAuthenticator, warn_of_unbound};
use super::metrics::Metrics;
use super::settings::ControllerSettings;
use super::take_over::TakeOver;
use super::token_review::ReviewCheck;
use super::writer::StoreHealth;
use crate::cluster::live::{Events, ReviewSettings, TokenReviewer, Watches, Writer};
use crate::wire::{Health, HealthError, HealthServer, NatsHealth, TokenCheck, TokenRules};
use std::sync::Arc;

/// What a replica has whether or not it leads.
pub struct Replica {
    pub settings: ControllerSettings,
    pub client: kube::Client,
    pub watches: Arc<Watches>,
    pub writer: Writer,
    pub events: Events,
    pub metrics: Metrics,
    pub store_health: StoreHealth,
    pub nats_health: NatsHealth,
}

impl Replica {
    /// The port for monitoring.
    ///
    /// # Errors
    /// If it cannot be listened on.
    pub fn health_server(&self) -> Result<HealthServer, HealthError> {
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

    /// The question whether the state in the store may be acted on.
    pub fn take_over(&self) -> TakeOver<'_> {
        TakeOver {
            client: self.client.clone(),
            writer: &self.writer,
            metrics: &self.metrics.controller,
            path: &self.settings.store,
            namespace: &self.settings.lease_namespace,
            accept: self.settings.accept_new_state,
        }
    }

    /// Who may send batches.
    pub fn authenticator(&self) -> TokenAuthenticator {
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
}
