//! The server: listens on loopback, and serves the routes behind the guard.

use super::decide::Decide;
use super::guard::{Guard, protect};
use super::routes::{Shared, routes};
use super::view::View;
use crate::listen::{ConnectionMetrics, Listener, Port};
use axum::Router;
use axum::middleware::from_fn_with_state;
use std::fmt::Write as _;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio::sync::watch;

#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error("failed to listen on 127.0.0.1:{port}: {source}; choose another --port")]
    Listen { port: u16, source: io::Error },
    #[error("failed to make a token: {0}")]
    Random(getrandom::Error),
}

/// The state that the pages show.
#[derive(Debug, Clone)]
pub struct Shown {
    /// Grows with every change.
    pub version: u64,
    pub view: Arc<View>,
    /// Why it may be older than it looks.
    pub problem: Option<String>,
}

/// A page server on loopback.
pub struct Server {
    listener: Listener,
    guard: Guard,
}

impl Server {
    /// Listens on loopback; port 0 takes a free one. Makes a new secret token. Must be called inside of a tokio runtime.
    ///
    /// # Errors
    /// The port is in use, or the system has no randomness.
    pub fn bind(port: u16) -> Result<Server, ServerError> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let listener = Listener::bind(address, Port::Page, ConnectionMetrics::default());
        let listener = listener.map_err(|source| ServerError::Listen { port, source })?;
        let mut bytes = [0u8; 16];
        getrandom::fill(&mut bytes).map_err(ServerError::Random)?;
        let mut token = String::with_capacity(bytes.len() * 2);
        for byte in bytes {
            let _ = write!(token, "{byte:02x}");
        }
        let guard = Guard::new(token, listener.local_addr());
        Ok(Server { listener, guard })
    }

    /// The URL of the pages, with the token.
    pub fn url(&self) -> String {
        format!("http://{}{}", self.listener.local_addr(), self.guard.root())
    }

    /// Serves; it never ends. `views` has one state after the other; `desk` carries out decisions, if they
    /// can be made.
    pub async fn serve(self, views: watch::Receiver<Shown>, desk: Option<Arc<dyn Decide>>) {
        let root = self.guard.root();
        let pages = routes().with_state(Arc::new(Shared { root, views, desk }));
        // The guard takes the token off the path, so it has to run before the routes are matched.
        let guarded = from_fn_with_state(Arc::new(self.guard), protect);
        let router = Router::new().fallback_service(pages).layer(guarded);
        let (_never, stop) = watch::channel(false);
        self.listener.serve(router, stop).await;
    }
}
