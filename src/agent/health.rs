//! `/metrics`, `/healthz` and `/readyz` over plain HTTP.

use super::AgentError;
use super::metrics::Metrics;
use axum::Router;
use axum::http::{StatusCode, header};
use axum::routing::get;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Ends with this value.
pub struct Server(JoinHandle<()>);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Serves until the result is dropped.
///
/// # Errors
/// If the address cannot be listened at.
pub async fn serve(address: SocketAddr, metrics: Arc<Metrics>) -> Result<Server, AgentError> {
    let failed = |source| AgentError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    if let Ok(address) = listener.local_addr() {
        tracing::info!("metrics at http://{address}/metrics");
    }
    let router = router(metrics);
    Ok(Server(tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!("failed to serve metrics: {error}");
        }
    })))
}

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

fn router(metrics: Arc<Metrics>) -> Router {
    let (alive, ready) = (Arc::clone(&metrics), Arc::clone(&metrics));
    let text = move || async move { ([(header::CONTENT_TYPE, OPEN_METRICS)], metrics.text()) };
    let alive = move || async move {
        if alive.is_alive() {
            (StatusCode::OK, "ok\n")
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, "the main loop hangs\n")
        }
    };
    let ready = move || async move {
        match ready.is_ready() {
            Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
            Err(why) => (StatusCode::SERVICE_UNAVAILABLE, why),
        }
    };
    Router::new()
        .route("/metrics", get(text))
        .route("/healthz", get(alive))
        .route("/readyz", get(ready))
}
