//! The HTTP server for monitoring: `/metrics` (the Prometheus text format, or OpenMetrics for who asks for it, as
//! Prometheus does), `/healthz` and `/livez` (the process does not hang) and `/readyz` (it does its work). Agent,
//! receiver and controller have the same.

use super::exposition::{OPEN_METRICS, PROMETHEUS, to_prometheus, wants_open_metrics};
use axum::Router;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use nanoseg_listen::{ConnectionMetrics, Listener, Port};
use prometheus_client::registry::Registry;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use thiserror::Error;
use tokio::sync::watch;

/// Returns why something is not well.
pub type HealthCheck = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// Returns what an operator should know although all is well enough.
pub type HealthNote = Arc<dyn Fn() -> Option<String> + Send + Sync>;

/// Returns all metrics as OpenMetrics text.
pub type MetricsText = Arc<dyn Fn() -> Result<String, std::fmt::Error> + Send + Sync>;

/// What a [`HealthServer`] answers with. Each is called once for each request.
#[derive(Clone)]
pub struct Health {
    pub metrics: MetricsText,
    /// For `/healthz` and `/livez`.
    pub alive: HealthCheck,
    /// For `/readyz`.
    pub ready: HealthCheck,
    /// Is added to what `/readyz` answers when it is ready.
    pub note: HealthNote,
}

impl Health {
    /// The health of a process that cannot hang while it answers: alive at all times, with the metrics of
    /// `registry`.
    pub fn of_registry(registry: Registry, ready: HealthCheck) -> Health {
        Health {
            metrics: Arc::new(move || {
                let mut text = String::new();
                prometheus_client::encoding::text::encode(&mut text, &registry)?;
                Ok(text)
            }),
            alive: Arc::new(|| Ok(())),
            ready,
            note: Arc::new(|| None),
        }
    }
}

/// The address cannot be listened on.
#[derive(Debug, Error)]
#[error("failed to serve metrics on {listen}: {source}; choose another --metrics-listen")]
pub struct HealthError {
    pub listen: SocketAddr,
    pub source: io::Error,
}

/// Serves the four paths.
pub struct HealthServer {
    listener: Listener,
    router: Router,
}

impl HealthServer {
    /// Listens. Must be called inside of a tokio runtime.
    ///
    /// # Errors
    /// If the address cannot be listened on.
    pub fn bind(
        listen: SocketAddr,
        health: Health,
        connections: ConnectionMetrics,
    ) -> Result<HealthServer, HealthError> {
        let listener = Listener::bind(listen, Port::Monitoring, connections);
        let listener = listener.map_err(|source| HealthError { listen, source })?;
        let alive = |check: HealthCheck| get(move || std::future::ready(answer(&check, "ok\n")));
        let ready = health.ready;
        let router = Router::new()
            .route(
                "/metrics",
                get(move |headers: HeaderMap| {
                    std::future::ready(metrics(&health.metrics, &headers))
                }),
            )
            .route("/healthz", alive(health.alive.clone()))
            .route("/livez", alive(health.alive))
            .route(
                "/readyz",
                get(move || std::future::ready(answer_ready(&ready, &health.note))),
            );
        Ok(HealthServer { listener, router })
    }

    /// Returns the address that it listens on, with the real port if port 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.listener.local_addr()
    }

    /// Serves until `stop` turns true or its sender is dropped.
    pub async fn run(self, stop: watch::Receiver<bool>) {
        self.listener.serve(self.router, stop).await;
    }
}

fn metrics(text: &MetricsText, headers: &HeaderMap) -> Response {
    let Ok(text) = text() else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let mut accepted = headers.get_all(header::ACCEPT).iter();
    let (kind, text) = if accepted.any(|one| one.to_str().is_ok_and(wants_open_metrics)) {
        (OPEN_METRICS, text)
    } else {
        (PROMETHEUS, to_prometheus(&text))
    };
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

fn answer_ready(ready: &HealthCheck, note: &HealthNote) -> Response {
    let answer = answer(ready, "ready\n");
    match note() {
        Some(note) if answer.status().is_success() => {
            format!("ready\n{}\n", note.trim_end()).into_response()
        }
        _ => answer,
    }
}

fn answer(check: &HealthCheck, well: &'static str) -> Response {
    match check() {
        Ok(()) => well.into_response(),
        Err(reason) => {
            let body = format!("{}\n", reason.trim_end());
            (StatusCode::SERVICE_UNAVAILABLE, body).into_response()
        }
    }
}
