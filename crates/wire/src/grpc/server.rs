//! The receiver's listener: TLS, and a stream per agent.

use super::super::MAX_BATCH_BYTES;
use super::super::proto::Acknowledgement;
use super::codec::FrameCodec;
use super::stream::{Authenticator, Hall, Incoming};
use super::{SEND, SERVICE, stream};
use futures_util::future::BoxFuture;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::server::{NamedService, StreamingService};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Identity, ServerTlsConfig};
use tonic::{Request, Response, Status, Streaming};

/// How often a silent agent is pinged, and how long its answer may take (HTTP/2 PING).
const ASK_ALIVE: Duration = Duration::from_secs(10);
/// How many acknowledgements of one stream may wait to be sent.
const ANSWERS: usize = 16;
/// How many streams a connection may have; an agent has one.
const STREAMS: u32 = 4;

/// The files of the receiver's certificate, in PEM. Read once, at the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTls {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// Where a [`Server`] listens, whom it accepts and where it puts batches.
pub struct ServerSettings {
    pub listen: SocketAddr,
    /// `None`: without TLS.
    pub tls: Option<ServerTls>,
    pub authenticator: Arc<dyn Authenticator>,
    pub out: mpsc::Sender<Incoming>,
}

/// Why the receiver cannot listen.
#[derive(Debug, Error)]
pub enum ServerError {
    #[error("failed to listen on {listen}: {source}; choose another --listen")]
    Listen {
        listen: SocketAddr,
        source: std::io::Error,
    },
    #[error(
        "failed to read {path}: {source}; give the PEM files of the receiver's certificate and key"
    )]
    File {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("failed to use the certificate and key: {0}; give the PEM files that belong together")]
    Tls(String),
    #[error("failed to serve: {0}")]
    Serve(String),
}

/// A receiver that listens.
pub struct Server {
    incoming: TcpIncoming,
    server: tonic::transport::Server,
    settings: ServerSettings,
}

impl Server {
    /// Listens. Must be called inside of a tokio runtime.
    ///
    /// # Errors
    /// If the address is taken, or the certificate or its key cannot be used.
    pub fn bind(settings: ServerSettings) -> Result<Server, ServerError> {
        let listen = settings.listen;
        let mut server = tonic::transport::Server::builder()
            .http2_keepalive_interval(Some(ASK_ALIVE))
            .http2_keepalive_timeout(Some(ASK_ALIVE))
            .max_concurrent_streams(STREAMS)
            .tcp_nodelay(true);
        if let Some(tls) = &settings.tls {
            let read = |path: &PathBuf| {
                std::fs::read(path).map_err(|source| ServerError::File {
                    path: path.clone(),
                    source,
                })
            };
            let identity = Identity::from_pem(read(&tls.certificate)?, read(&tls.key)?);
            let config = ServerTlsConfig::new().identity(identity);
            server = server
                .tls_config(config)
                .map_err(|e| ServerError::Tls(describe(&e)))?;
        }
        let incoming =
            TcpIncoming::bind(listen).map_err(|source| ServerError::Listen { listen, source })?;
        Ok(Server {
            incoming: incoming.with_nodelay(Some(true)),
            server,
            settings,
        })
    }

    /// Returns the address that it listens on, with the real port if port 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.incoming.local_addr().unwrap_or(self.settings.listen)
    }

    /// Serves until `stop` turns true. Then it accepts no more, and returns when all received batches are answered.
    ///
    /// # Errors
    /// If the listener fails.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) -> Result<(), ServerError> {
        let service = Receiver(Hall {
            authenticator: self.settings.authenticator,
            out: self.settings.out,
            stop: stop.clone(),
        });
        let stopped = async move {
            // A dropped sender is a stop too.
            let _ = stop.wait_for(|stop| *stop).await;
        };
        self.server
            .add_service(service)
            .serve_with_incoming_shutdown(self.incoming, stopped)
            .await
            .map_err(|e| ServerError::Serve(describe(&e)))
    }
}

fn describe(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// The gRPC service.
#[derive(Clone)]
struct Receiver(Hall);

impl NamedService for Receiver {
    const NAME: &'static str = SERVICE;
}

impl Service<http::Request<Body>> for Receiver {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future =
        Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + std::marker::Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        if request.uri().path() != SEND {
            let status = Status::unimplemented("the receiver knows Send only");
            return Box::pin(async move { Ok(status.into_http()) });
        }
        let hall = self.0.clone();
        Box::pin(async move {
            let mut grpc = tonic::server::Grpc::new(FrameCodec::<Acknowledgement, Vec<u8>>::new())
                .max_decoding_message_size(MAX_BATCH_BYTES);
            Ok(grpc.streaming(Send(hall), request).await)
        })
    }
}

/// The method `Send`.
struct Send(Hall);

type Answers = ReceiverStream<Result<Acknowledgement, Status>>;

impl StreamingService<Vec<u8>> for Send {
    type Response = Acknowledgement;
    type ResponseStream = Answers;
    type Future = BoxFuture<'static, Result<Response<Answers>, Status>>;

    fn call(&mut self, request: Request<Streaming<Vec<u8>>>) -> Self::Future {
        Box::pin(start(self.0.clone(), request))
    }
}

async fn start(
    hall: Hall,
    request: Request<Streaming<Vec<u8>>>,
) -> Result<Response<Answers>, Status> {
    let (metadata, _, batches) = request.into_parts();
    let token = metadata
        .get("authorization")
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    let agent = hall
        .authenticator
        .authenticate(token)
        .await
        .map_err(|refusal| {
            hall.authenticator.refused(&refusal);
            match refusal.kind {
                // Nothing is wrong with the token: it is worth another try.
                "no-review" | "no-keys" => Status::unavailable(refusal.reason),
                _ => Status::unauthenticated(refusal.reason),
            }
        })?;
    let (answers, answered) = mpsc::channel(ANSWERS);
    tokio::spawn(stream::run(hall, agent, batches, answers));
    Ok(Response::new(ReceiverStream::new(answered)))
}
