//! The routes below the token: which page answers which path, decisions, and the stream of changes.

use super::decide::Decide;
use super::html::{Frame, NavEntry};
use super::server::Shown;
use super::view::View;
use super::{decide, edge, map, proposals, record, risks, what_if, workload};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use maud::html;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::watch;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::WatchStream;

/// The largest form, in bytes: a few hundred policies.
const MOST_BYTES: usize = 4 << 20;

/// What all handlers share.
pub struct Shared {
    /// The path that all pages are under, with the token.
    pub root: String,
    pub views: watch::Receiver<Shown>,
    pub desk: Option<Arc<dyn Decide>>,
}

type App = Arc<Shared>;
type Fields = BTreeMap<String, String>;

/// The routes, without the token.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/", get(map_page))
        .route("/style.css", get(style))
        .route("/script.js", get(script))
        .route("/changes", get(changes))
        .route("/edge", get(edge_page))
        .route("/proposals", get(proposals_page))
        .route("/proposal/{namespace}/{name}", get(proposal_page))
        .route("/workloads", get(workloads_page))
        .route("/workload/{namespace}/{kind}/{name}", get(workload_page))
        .route("/risks", get(risks_page))
        .route("/what-if", get(what_if_page).post(what_if_answer))
        .route("/record", get(record_page))
        .route("/decide", post(decisions))
        .fallback(not_found)
        .layer(DefaultBodyLimit::max(MOST_BYTES))
}

/// What a page is made from: the newest state, and the fields of the query.
struct Asked {
    frame: Frame,
    view: Arc<View>,
    query: Fields,
}

impl FromRequestParts<App> for Asked {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, shared: &App) -> Result<Asked, Infallible> {
        let Shown {
            version,
            view,
            problem,
        } = shared.views.borrow().clone();
        let frame = Frame {
            root: shared.root.clone(),
            subject: view.given.subject.clone(),
            version,
            problem,
        };
        let query = fields(parts.uri.query().unwrap_or_default().as_bytes());
        Ok(Asked { frame, view, query })
    }
}

impl Asked {
    /// The page, or "not found" with status 404.
    fn found(&self, page: Option<String>) -> Response {
        match page {
            Some(page) => Html(page).into_response(),
            None => {
                let body = html! {
                    p { "There is no such page, or its subject is gone." } "\n"
                };
                let page = self.frame.page(NavEntry::Map, "Not found", &body);
                (StatusCode::NOT_FOUND, Html(page)).into_response()
            }
        }
    }
}

/// The fields of a form or a query; of a repeated field the last value.
fn fields(bytes: &[u8]) -> Fields {
    form_urlencoded::parse(bytes).into_owned().collect()
}

async fn style() -> impl IntoResponse {
    let kind = [(header::CONTENT_TYPE, "text/css; charset=utf-8")];
    (kind, include_str!("assets/style.css"))
}

async fn script() -> impl IntoResponse {
    let kind = [(header::CONTENT_TYPE, "text/javascript; charset=utf-8")];
    (kind, include_str!("assets/script.js"))
}

/// Sends the number of each new state; the script then fetches the page again.
async fn changes(State(shared): State<App>) -> impl IntoResponse {
    let versions = WatchStream::new(shared.views.clone())
        .map(|shown| Ok::<_, Infallible>(Event::default().data(shown.version.to_string())));
    Sse::new(versions).keep_alive(KeepAlive::default())
}

async fn map_page(asked: Asked) -> Html<String> {
    Html(map::page(&asked.frame, &asked.view, &asked.query))
}

async fn edge_page(asked: Asked) -> Response {
    asked.found(edge::page(&asked.frame, &asked.view, &asked.query))
}

async fn proposals_page(asked: Asked) -> Html<String> {
    Html(proposals::list(&asked.frame, &asked.view, &asked.query))
}

async fn proposal_page(Path((namespace, name)): Path<(String, String)>, asked: Asked) -> Response {
    asked.found(proposals::one(&asked.frame, &asked.view, &namespace, &name))
}

async fn workloads_page(asked: Asked) -> Html<String> {
    Html(workload::list(&asked.frame, &asked.view))
}

async fn workload_page(
    Path((namespace, kind, name)): Path<(String, String, String)>,
    asked: Asked,
) -> Response {
    let id = asked.view.workload(&namespace, &kind, &name);
    asked.found(id.map(|id| workload::one(&asked.frame, &asked.view, &id, &asked.query)))
}

async fn risks_page(asked: Asked) -> Html<String> {
    Html(risks::page(&asked.frame, &asked.view))
}

async fn what_if_page(asked: Asked) -> Html<String> {
    Html(what_if::page(&asked.frame, &asked.view, &Fields::new()))
}

async fn record_page(asked: Asked) -> Html<String> {
    Html(record::page(&asked.frame, &asked.view, &asked.query))
}

async fn not_found(asked: Asked) -> Response {
    asked.found(None)
}

async fn what_if_answer(asked: Asked, form: Bytes) -> Response {
    let question = fields(&form);
    // On a large cluster this takes a while; other pages are served meanwhile.
    let page =
        tokio::task::spawn_blocking(move || what_if::page(&asked.frame, &asked.view, &question));
    match page.await {
        Ok(page) => Html(page).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn decisions(State(shared): State<App>, asked: Asked, form: Bytes) -> Response {
    let form: Vec<(String, String)> = form_urlencoded::parse(&form).into_owned().collect();
    let requests = match decide::requests(&asked.view, &form) {
        Ok(requests) => requests,
        Err(problems) => {
            let page = Html(decide::refusal(&asked.frame, &problems));
            return (StatusCode::BAD_REQUEST, page).into_response();
        }
    };
    let mut all = Vec::new();
    for request in requests {
        let outcome = match &shared.desk {
            Some(desk) => desk.decide(request.clone()).await,
            None => Err("not decided: this is a view of a folder, not of a cluster".into()),
        };
        all.push((request, outcome));
    }
    Html(decide::outcome(&asked.frame, &all)).into_response()
}
