//! The receiver's listener: TLS, and a stream per agent.

use super::super::MAX_BATCH_BYTES;
use super::super::proto::Acknowledgement;
use super::codec::FrameCodec;
use super::message_time::MessageTime;
use super::stream::{Authenticator, Hall, Incoming};
use super::{SEND, stream};
use axum::Router;
use futures_util::future::BoxFuture;
use nanoseg_listen::{
    CertificateError, ConnectionHandle, ConnectionMetrics, Listener, Port, ServerTls,
};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::server::StreamingService;
use tonic::{Request, Response, Status, Streaming};

/// How many acknowledgements of one stream may wait to be sent.
const ANSWERS: usize = 16;
/// The protocol inside of TLS: HTTP/2 (RFC 9113, 3.2).
const ALPN: &[u8] = b"h2";

/// Where a [`Server`] listens, whom it accepts and where it puts batches.
pub struct ServerSettings {
    pub listen: SocketAddr,
    /// `None`: without TLS.
    pub tls: Option<ServerTls>,
    pub authenticator: Arc<dyn Authenticator>,
    pub out: mpsc::Sender<Incoming>,
    pub connections: ConnectionMetrics,
}

/// Why the receiver cannot listen.
#[derive(Debug, Error)]
pub enum ServerError {
    #[error("failed to listen on {listen}: {source}; choose another --listen")]
    Listen {
        listen: SocketAddr,
        source: std::io::Error,
    },
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

/// A receiver that listens.
pub struct Server {
    listener: Listener,
    settings: ServerSettings,
}

impl Server {
    /// Listens. Must be called inside of a tokio runtime.
    ///
    /// # Errors
    /// If the address is taken, or the certificate or its key cannot be used.
    pub fn bind(settings: ServerSettings) -> Result<Server, ServerError> {
        let listen = settings.listen;
        let listener = Listener::bind(listen, Port::Agents, settings.connections.clone());
        let mut listener = listener.map_err(|source| ServerError::Listen { listen, source })?;
        if let Some(tls) = settings.tls.clone() {
            listener = listener.with_tls(tls, ALPN)?;
        }
        Ok(Server { listener, settings })
    }

    /// Returns the address that it listens on, with the real port if port 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.listener.local_addr()
    }

    /// Serves until `stop` turns true. Then it accepts no more, and returns when all received batches are answered.
    pub async fn run(self, stop: watch::Receiver<bool>) {
        let service = Receiver(Hall {
            authenticator: self.settings.authenticator,
            out: self.settings.out,
            stop: stop.clone(),
        });
        let router = Router::new().fallback_service(service);
        self.listener.serve(router, stop).await;
    }
}

/// The gRPC service.
#[derive(Clone)]
struct Receiver(Hall);

impl Service<http::Request<axum::body::Body>> for Receiver {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future =
        Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + std::marker::Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<axum::body::Body>) -> Self::Future {
        if request.uri().path() != SEND {
            if let Some(connection) = request.extensions().get::<ConnectionHandle>() {
                connection.refused();
            }
            let status = Status::unimplemented("the receiver knows Send only");
            return Box::pin(async move { Ok(status.into_http()) });
        }
        let hall = self.0.clone();
        Box::pin(async move {
            let mut grpc = tonic::server::Grpc::new(FrameCodec::<Acknowledgement, Vec<u8>>::new())
                .max_decoding_message_size(MAX_BATCH_BYTES);
            Ok(grpc.streaming(Send(hall), MessageTime::wrap(request)).await)
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
    let (metadata, extensions, batches) = request.into_parts();
    let token = metadata
        .get("authorization")
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    let connection = extensions.get::<ConnectionHandle>();
    let agent = hall.authenticator.authenticate(token).await;
    let agent = agent.map_err(|refusal| {
        hall.authenticator.refused(&refusal);
        if let Some(connection) = connection {
            connection.refused();
        }
        match refusal.kind {
            // Nothing is wrong with the token: it is worth another try.
            "no-review" | "no-keys" => Status::unavailable(refusal.reason),
            _ => Status::unauthenticated(refusal.reason),
        }
    })?;
    let place = connection.map(|connection| connection.authenticate(agent.node.as_deref()));
    let place = place.transpose();
    let place = place.map_err(|full| Status::resource_exhausted(full.to_string()))?;
    let (answers, answered) = mpsc::channel(ANSWERS);
    tokio::spawn(async move {
        // Its connection keeps its place as long as the stream runs.
        let _place = place;
        stream::run(hall, agent, batches, answers).await;
    });
    Ok(Response::new(ReceiverStream::new(answered)))
}
