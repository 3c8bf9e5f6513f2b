//! HTTP on a connection that was accepted: HTTP/2 for agents, HTTP/1 for all others, with limits of what a request may
//! look like before anything of it is understood.

use super::admission::Stage;
use super::connections::{ConnectionHandle, stopped};
use super::limits::Port;
use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode, header};
use axum::response::IntoResponse;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use std::convert::Infallible;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tower_service::Service;

/// How often a silent peer is pinged, and how long its answer may take (HTTP/2 PING).
const ASK_ALIVE: Duration = Duration::from_secs(10);
/// How long the header of an HTTP/1 request may take, the wait for the next request on the connection included.
const HEADER: Duration = Duration::from_secs(10);
/// How many requests a connection may have at once; an agent has one.
const STREAMS: u32 = 4;
/// The most bytes of a request's header. A ServiceAccount token has one or two thousand.
const HEADER_BYTES: u32 = 16 << 10;
/// How many bytes a peer may send that nobody has asked for yet (RFC 9113, 6.9.2). The memory of all unauthenticated
/// connections together follows from it.
const WINDOW: u32 = 64 << 10;
/// The buffer of an HTTP/1 connection, and so the longest header.
const BUFFER: usize = 64 << 10;

/// A byte stream that is a connection, in whatever it is wrapped.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Serves a connection until it ends. When `stop` turns true it ends after the requests that have begun.
pub async fn serve(
    stream: Box<dyn Stream>,
    port: Port,
    handle: ConnectionHandle,
    router: Router,
    mut stop: watch::Receiver<bool>,
) {
    let builder = builder(port);
    let service = service_fn(move |mut request: Request<Incoming>| {
        handle.reached(Stage::Asked);
        request.extensions_mut().insert(handle.clone());
        answer(router.clone(), request)
    });
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        // Whatever a peer does to its connection is no news.
        _ = connection.as_mut() => return,
        () = stopped(&mut stop) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

fn builder(port: Port) -> Builder<TokioExecutor> {
    let builder = Builder::new(TokioExecutor::new());
    match port {
        Port::Agents => {
            let mut builder = builder.http2_only();
            builder
                .http2()
                .timer(TokioTimer::new())
                .keep_alive_interval(ASK_ALIVE)
                .keep_alive_timeout(ASK_ALIVE)
                .max_concurrent_streams(STREAMS)
                .max_header_list_size(HEADER_BYTES)
                .initial_stream_window_size(WINDOW)
                .initial_connection_window_size(WINDOW);
            builder
        }
        Port::Monitoring | Port::Page => {
            let mut builder = builder.http1_only();
            builder
                .http1()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER)
                .max_buf_size(BUFFER)
                // Nobody on the port for monitoring has a right to stay.
                .keep_alive(port == Port::Page);
            builder
        }
    }
}

async fn answer(
    mut router: Router,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    // Two parties that choose different ones would see different requests (RFC 9112, 3.2: 400).
    if request.headers().get_all(header::HOST).iter().count() > 1 {
        let refused = (StatusCode::BAD_REQUEST, "more than one Host header\n");
        return Ok(refused.into_response());
    }
    // A router is always ready.
    router.call(request).await
}
