//! The server: which page answers which path, decisions, and word of changes.

use super::decide::Decide;
use super::guard::Guard;
use super::html::{Frame, Place};
use super::view::View;
use super::{decide, edge, map, proposals, record, risks, what_if, workload};
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use percent_encoding::percent_decode_str;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::WatchStream;

/// The largest form that is taken: a few hundred policies.
const MOST_BYTES: usize = 4 << 20;

#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error("failed to listen on 127.0.0.1:{port}: {source}; choose another --port")]
    Listen { port: u16, source: io::Error },
    #[error("failed to make a token: {0}")]
    Random(getrandom::Error),
    #[error("failed to serve: {0}")]
    Serve(io::Error),
}

/// What is shown until there is something newer.
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
    listener: TcpListener,
    address: SocketAddr,
    guard: Guard,
}

struct Shared {
    guard: Guard,
    views: watch::Receiver<Shown>,
    desk: Option<Arc<dyn Decide>>,
}

impl Server {
    /// Listens on loopback; port 0 takes a free one. Makes a new secret token.
    ///
    /// # Errors
    /// The port is taken, or the system gives no randomness.
    pub async fn bind(port: u16) -> Result<Server, ServerError> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
        let listener = listener.map_err(|source| ServerError::Listen { port, source })?;
        let address = listener.local_addr().map_err(ServerError::Serve)?;
        let mut bytes = [0u8; 16];
        getrandom::fill(&mut bytes).map_err(ServerError::Random)?;
        let mut token = String::with_capacity(bytes.len() * 2);
        for byte in bytes {
            let _ = write!(token, "{byte:02x}");
        }
        Ok(Server {
            listener,
            address,
            guard: Guard::new(token, address),
        })
    }

    /// Where the pages are, with the token.
    pub fn url(&self) -> String {
        format!("http://{}{}", self.address, self.guard.root())
    }

    /// Serves until it is dropped. `views` has one state after the other; `desk` decides, where there is one.
    ///
    /// # Errors
    /// The listener breaks.
    pub async fn serve(
        self,
        views: watch::Receiver<Shown>,
        desk: Option<Arc<dyn Decide>>,
    ) -> Result<(), ServerError> {
        let shared = Arc::new(Shared {
            guard: self.guard,
            views,
            desk,
        });
        let router = Router::new().fallback(answer).with_state(shared);
        axum::serve(self.listener, router)
            .await
            .map_err(ServerError::Serve)
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let path = match shared
        .guard
        .admit(&parts.method, parts.uri.path(), &parts.headers)
    {
        Ok(path) => path.to_owned(),
        Err(status) => return dressed((status, "not here\n").into_response()),
    };
    let query = fields(parts.uri.query().unwrap_or_default().as_bytes());
    let response = match parts.method {
        Method::GET | Method::HEAD => get(&shared, &path, &query),
        Method::POST => post(&shared, &path, body).await,
        _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
    };
    dressed(response)
}

fn dressed(mut response: Response) -> Response {
    Guard::dress(response.headers_mut());
    response
}

type Fields = BTreeMap<String, String>;

/// The fields of a form or a query; of one that is there several times the last.
fn fields(bytes: &[u8]) -> Fields {
    form_urlencoded::parse(bytes).into_owned().collect()
}

impl Shared {
    fn now(&self) -> (Frame, Arc<View>) {
        let Shown {
            version,
            view,
            problem,
        } = self.views.borrow().clone();
        let frame = Frame {
            root: self.guard.root(),
            subject: view.given.subject.clone(),
            version,
            problem,
        };
        (frame, view)
    }
}

fn typed(kind: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    let kind = HeaderValue::from_static(kind);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

fn html(page: String) -> Response {
    typed("text/html; charset=utf-8", page)
}

fn get(shared: &Shared, path: &str, query: &Fields) -> Response {
    match path {
        "style.css" => return typed("text/css; charset=utf-8", include_str!("assets/style.css")),
        "script.js" => {
            return typed(
                "text/javascript; charset=utf-8",
                include_str!("assets/script.js"),
            );
        }
        "changes" => return changes(shared),
        _ => {}
    }
    let (frame, view) = shared.now();
    let decode = |part| percent_decode_str(part).decode_utf8();
    let parts: Result<Vec<_>, _> = path.split('/').map(decode).collect();
    let parts = parts.unwrap_or_default();
    let parts: Vec<&str> = parts.iter().map(AsRef::as_ref).collect();
    let page = match parts.as_slice() {
        [""] => Some(map::page(&frame, &view, query)),
        ["edge"] => edge::page(&frame, &view, query),
        ["proposals"] => Some(proposals::list(&frame, &view, query)),
        ["proposal", namespace, name] => proposals::one(&frame, &view, namespace, name),
        ["workloads"] => Some(workload::list(&frame, &view)),
        ["workload", namespace, kind, name] => view
            .workload(namespace, kind, name)
            .map(|id| workload::one(&frame, &view, &id, query)),
        ["risks"] => Some(risks::page(&frame, &view)),
        ["what-if"] => Some(what_if::page(&frame, &view, &Fields::new())),
        ["record"] => Some(record::page(&frame, &view, query)),
        _ => None,
    };
    match page {
        Some(page) => html(page),
        None => {
            let body = "<p>There is no such page, or what it was about is gone.</p>\n";
            let page = frame.page(Place::Map, "Not found", body);
            (StatusCode::NOT_FOUND, html(page)).into_response()
        }
    }
}

/// Tells the number of each new state; the script then takes the page anew.
fn changes(shared: &Shared) -> Response {
    let versions = WatchStream::new(shared.views.clone())
        .map(|shown| Ok::<_, Infallible>(Event::default().data(shown.version.to_string())));
    Sse::new(versions)
        .keep_alive(KeepAlive::default())
        .into_response()
}

async fn post(shared: &Shared, path: &str, body: Body) -> Response {
    let bytes: Bytes = match to_bytes(body, MOST_BYTES).await {
        Ok(bytes) => bytes,
        Err(_) => return StatusCode::PAYLOAD_TOO_LARGE.into_response(),
    };
    match path {
        "what-if" => {
            let (frame, view) = shared.now();
            let asked = fields(&bytes);
            // Computing takes a while on a large cluster; other pages go on meanwhile.
            let page = tokio::task::spawn_blocking(move || what_if::page(&frame, &view, &asked));
            match page.await {
                Ok(page) => html(page),
                Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
            }
        }
        "decide" => decide(shared, &bytes).await,
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn decide(shared: &Shared, bytes: &[u8]) -> Response {
    let (frame, view) = shared.now();
    let form: Vec<(String, String)> = form_urlencoded::parse(bytes).into_owned().collect();
    let decision_requests = match decide::decision_requests(&view, &form) {
        Ok(decision_requests) => decision_requests,
        Err(problems) => {
            let page = html(decide::refusal(&frame, &problems));
            return (StatusCode::BAD_REQUEST, page).into_response();
        }
    };
    let mut all = Vec::new();
    for request in decision_requests {
        let outcome = match &shared.desk {
            Some(desk) => desk.decide(request.clone()).await,
            None => Err("not decided: this is a look at a folder, not at a cluster".into()),
        };
        all.push((request, outcome));
    }
    html(decide::outcome(&frame, &all))
}
