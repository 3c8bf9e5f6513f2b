//! The page for those who watch: `/metrics` (OpenMetrics, which Prometheus reads), `/healthz` and `/livez` (it runs) and
//! `/readyz` (it does its work). Agent and receiver have the same.

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::registry::Registry;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Says why something is not ready.
pub type Readiness = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

#[derive(Debug, Error)]
#[error("failed to serve metrics on {listen}: {source}; choose another --metrics-listen")]
pub struct HealthError {
    pub listen: SocketAddr,
    pub source: io::Error,
}

/// Serves the three paths.
pub struct HealthServer {
    listener: TcpListener,
    listen: SocketAddr,
    router: Router,
}

impl HealthServer {
    /// Listens. `ready` is asked at each `/readyz`.
    ///
    /// # Errors
    /// If the address cannot be listened on.
    pub async fn bind(
        listen: SocketAddr,
        registry: Registry,
        ready: Readiness,
    ) -> Result<HealthServer, HealthError> {
        let listener = TcpListener::bind(listen).await;
        let listener = listener.map_err(|source| HealthError { listen, source })?;
        let registry = Arc::new(registry);
        let router = Router::new()
            .route(
                "/metrics",
                get(move || std::future::ready(metrics(&registry))),
            )
            .route("/healthz", get(|| std::future::ready("ok\n")))
            .route("/livez", get(|| std::future::ready("ok\n")))
            .route("/readyz", get(move || std::future::ready(readyz(&ready))));
        Ok(HealthServer {
            listen: listener.local_addr().unwrap_or(listen),
            listener,
            router,
        })
    }

    /// Where it listens: tells the port if port 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.listen
    }

    /// Serves until `stop` turns true.
    ///
    /// # Errors
    /// If the listener fails.
    pub async fn run(self, mut stop: watch::Receiver<bool>) -> Result<(), HealthError> {
        let listen = self.listen;
        let stopped = async move {
            let _ = stop.wait_for(|stop| *stop).await;
        };
        axum::serve(self.listener, self.router)
            .with_graceful_shutdown(stopped)
            .await
            .map_err(|source| HealthError { listen, source })
    }
}

fn metrics(registry: &Registry) -> Response {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, registry) {
        Ok(()) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn readyz(ready: &Readiness) -> Response {
    match ready() {
        Ok(()) => "ready\n".into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}
