//! The listener: accepts as long as there is a place for a socket, and gives each connection its limits.

use super::admission::Stage;
use super::certificate::{Certificate, CertificateError, Refreshed, ServerTls};
use super::connections::{ConnectionHandle, Connections, Ticket, stopped};
use super::descriptors::descriptor_limit;
use super::http::{self, Stream};
use super::limits::{Port, PortLimits};
use super::metrics::{ConnectionMetrics, Reason};
use super::stall::StallLimit;
use axum::Router;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tokio_rustls::TlsAcceptor;

/// How many connections the kernel keeps that are not accepted yet.
const BACKLOG: u32 = 1024;
/// How long a write may make no progress.
const STALL: Duration = Duration::from_secs(20);
/// The pause after the system could not give a connection, such as for lack of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);
/// How often the files of the certificate are looked at.
const LOOK_AT_FILES: Duration = Duration::from_secs(5);

/// A port that is listened on.
pub struct Listener {
    tcp: TcpListener,
    address: SocketAddr,
    connections: Arc<Connections>,
    certificate: Option<Certificate>,
}

impl Listener {
    /// Listens. Must be called inside of a tokio runtime. The limits follow from how many files the process may have
    /// open.
    ///
    /// # Errors
    /// If the address cannot be listened on.
    pub fn bind(
        address: SocketAddr,
        port: Port,
        metrics: ConnectionMetrics,
    ) -> io::Result<Listener> {
        Listener::with_limits(address, port, port.limits(descriptor_limit()), metrics)
    }

    /// The same with other limits.
    pub(super) fn with_limits(
        address: SocketAddr,
        port: Port,
        limits: PortLimits,
        metrics: ConnectionMetrics,
    ) -> io::Result<Listener> {
        let tcp = listen(address)?;
        Ok(Listener {
            address: tcp.local_addr()?,
            tcp,
            connections: Connections::new(port, limits, metrics),
            certificate: None,
        })
    }

    /// Adds TLS. `alpn` is the protocol inside of it.
    ///
    /// # Errors
    /// If the certificate and its key cannot be used.
    pub fn with_tls(
        self,
        files: ServerTls,
        alpn: &'static [u8],
    ) -> Result<Listener, CertificateError> {
        Ok(Listener {
            certificate: Some(Certificate::read(files, alpn)?),
            ..self
        })
    }

    /// Returns the address that it listens on, with the real port if port 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` turns true or its sender is dropped. Then it accepts no more, and returns when all requests
    /// that have begun are answered. No error of accepting ends it.
    pub async fn serve(mut self, router: Router, mut stop: watch::Receiver<bool>) {
        let places = self.connections.limits().sockets();
        let places = u32::try_from(places).unwrap_or(u32::MAX);
        let slots = Arc::new(Semaphore::new(places as usize));
        let mut look = tokio::time::interval_at(Instant::now() + LOOK_AT_FILES, LOOK_AT_FILES);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let accepted = tokio::select! {
                biased;
                () = stopped(&mut stop) => break,
                () = tick(&mut look, self.certificate.is_some()) => {
                    self.refresh_certificate();
                    continue;
                }
                accepted = accept(&self.tcp, &slots) => accepted,
            };
            match accepted {
                Ok((socket, slot)) => self.start(socket, slot, &router, &stop),
                Err(error) if is_of_the_peer(&error) => {}
                Err(error) => {
                    let port = self.connections.port().name();
                    self.connections.metrics().accept_failed(port);
                    tracing::debug!(port, "failed to accept a connection: {error}");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        drop(self.tcp);
        // All are back when all connections have ended.
        let _ = slots.acquire_many(places).await;
    }

    fn start(
        &self,
        (socket, peer): (TcpStream, SocketAddr),
        slot: OwnedSemaphorePermit,
        router: &Router,
        stop: &watch::Receiver<bool>,
    ) {
        let connection = Connection {
            connections: self.connections.clone(),
            tls: self.certificate.as_ref().map(|tls| tls.config().into()),
            router: router.clone(),
            stop: stop.clone(),
        };
        let ticket = self.connections.enter(peer.ip());
        tokio::spawn(async move {
            connection.run(socket, ticket).await;
            // The socket is closed now.
            drop(slot);
        });
    }

    /// (rule: certificates-are-read-again)
    fn refresh_certificate(&mut self) {
        let Some(certificate) = &mut self.certificate else {
            return;
        };
        let metrics = self.connections.metrics();
        match certificate.refresh() {
            Ok(Refreshed::Unchanged) => {}
            Ok(Refreshed::Changed) => {
                metrics.certificate_reloaded();
                tracing::info!("the certificate has changed, and the new one is in use");
            }
            Err(error) => tracing::error!("{error}; the certificate before stays in use"),
        }
        metrics.certificate_unusable(!certificate.is_current());
    }
}

/// A place for a socket first, so that there is never one too many.
/// Listens on an address. An unspecified one, `0.0.0.0` or `[::]`, is every address of both families, as in Go: a pod of an
/// IPv6-only cluster has no IPv4 address, and a kernel may know no IPv6. (rule: every-address-is-of-both-families)
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    if !address.ip().is_unspecified() {
        return listen_on(address);
    }
    let (v4, v6) = (Ipv4Addr::UNSPECIFIED, Ipv6Addr::UNSPECIFIED);
    match listen_on((v6, address.port()).into()) {
        Err(error) if has_no_ipv6(&error) => listen_on((v4, address.port()).into()),
        listener => listener,
    }
}

/// `ipv6.disable=1` of the kernel, or no such module.
fn has_no_ipv6(error: &io::Error) -> bool {
    let is_refused = error.raw_os_error() == Some(libc::EAFNOSUPPORT);
    is_refused || error.kind() == io::ErrorKind::AddrNotAvailable
}

fn listen_on(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

async fn accept(
    tcp: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<((TcpStream, SocketAddr), OwnedSemaphorePermit)> {
    let slot = slots.clone().acquire_owned().await;
    let slot = slot.map_err(io::Error::other)?;
    Ok((tcp.accept().await?, slot))
}

async fn tick(interval: &mut Interval, is_wanted: bool) {
    if is_wanted {
        interval.tick().await;
    } else {
        std::future::pending().await
    }
}

/// The connection was broken before it was accepted (accept(2)): the next one may be at once.
fn is_of_the_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

/// What a connection needs.
struct Connection {
    connections: Arc<Connections>,
    tls: Option<TlsAcceptor>,
    router: Router,
    stop: watch::Receiver<bool>,
}

impl Connection {
    /// Serves the connection until it ends or is over. The socket is closed when this returns.
    async fn run(self, socket: TcpStream, mut ticket: Ticket) {
        let handle = ticket.handle();
        let connections = self.connections.clone();
        let stop = self.stop.clone();
        let served = async {
            let port = self.connections.port();
            if let Some(stream) = self.stream(socket, &handle).await {
                http::serve(stream, port, handle, self.router, self.stop).await;
            }
        };
        tokio::select! {
            biased;
            reason = ticket.over(stop.clone()) => {
                if !*stop.borrow() {
                    connections.closed(reason);
                }
            }
            () = served => {}
        }
    }

    /// The bytes inside of TLS, or of the socket without it.
    async fn stream(
        &self,
        socket: TcpStream,
        handle: &ConnectionHandle,
    ) -> Option<Box<dyn Stream>> {
        // Only a loss of speed.
        let _ = socket.set_nodelay(true);
        let socket = StallLimit::new(socket, STALL);
        let Some(tls) = &self.tls else {
            return Some(Box::new(socket));
        };
        let limit = self.connections.limits().handshake;
        match tokio::time::timeout(limit, tls.accept(socket)).await {
            Ok(Ok(stream)) => {
                handle.reached(Stage::Handshaken);
                Some(Box::new(stream))
            }
            Ok(Err(_)) => {
                self.connections.closed(Reason::HandshakeFailed);
                None
            }
            Err(_) => {
                self.connections.closed(Reason::SlowHandshake);
                None
            }
        }
    }
}
