//! An API server that answers lists, watches and discovery from a table.

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use kube::{Client, Config};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

#[derive(Default)]
pub struct Api {
    lists: BTreeMap<String, Vec<Value>>,
    objects: BTreeMap<String, Value>,
    forbidden: BTreeSet<String>,
    unwatchable: BTreeSet<String>,
    /// The events of the first watch of a path.
    watches: BTreeMap<String, Vec<Value>>,
    /// Group, version, plural, kind, whether it is namespaced.
    kinds: Vec<(String, String, String, String, bool)>,
    /// How many requests for a second page are answered with 410.
    pub expire_pages: usize,
}

type Shared = Arc<Mutex<Api>>;

impl Api {
    pub fn add(&mut self, path: &str, object: Value) {
        self.lists.entry(path.into()).or_default().push(object);
    }

    pub fn remove(&mut self, path: &str, name: &str) {
        let list = self.lists.entry(path.into()).or_default();
        list.retain(|object| object["metadata"]["name"] != name);
    }

    pub fn object(&mut self, path: &str, object: Value) {
        self.objects.insert(path.into(), object);
    }

    pub fn forbid(&mut self, path: &str) {
        self.forbidden.insert(path.into());
    }

    pub fn forbid_watch(&mut self, path: &str) {
        self.unwatchable.insert(path.into());
    }

    pub fn watch(&mut self, path: &str, events: Vec<Value>) {
        self.watches.insert(path.into(), events);
    }

    pub fn kind(
        &mut self,
        group: &str,
        version: &str,
        plural: &str,
        kind: &str,
        is_namespaced: bool,
    ) {
        let own = (
            group.into(),
            version.into(),
            plural.into(),
            kind.into(),
            is_namespaced,
        );
        self.kinds.push(own);
    }

    pub async fn start(self) -> Client {
        self.start_with_state().await.0
    }

    pub async fn start_with_state(self) -> (Client, Shared) {
        let state = Arc::new(Mutex::new(self));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(answer).with_state(state.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let config = Config::new(format!("http://{address}").parse().unwrap());
        (Client::try_from(config).unwrap(), state)
    }

    fn discovery(&self) -> Value {
        let mut groups: BTreeMap<&str, BTreeMap<&str, Vec<Value>>> = BTreeMap::new();
        for (group, version, plural, kind, is_namespaced) in &self.kinds {
            groups
                .entry(group)
                .or_default()
                .entry(version)
                .or_default()
                .push(json!({
                    "resource": plural,
                    "responseKind": {"group": group, "version": version, "kind": kind},
                    "scope": if *is_namespaced { "Namespaced" } else { "Cluster" },
                    "singularResource": kind.to_lowercase(),
                    "verbs": ["list", "watch", "get"]
                }));
        }
        let items: Vec<Value> = groups
            .into_iter()
            .map(|(group, versions)| {
                let versions: Vec<Value> = versions
                    .into_iter()
                    .map(|(version, resources)| json!({"version": version, "resources": resources, "freshness": "Current"}))
                    .collect();
                json!({"metadata": {"name": group}, "versions": versions})
            })
            .collect();
        json!({"apiVersion": "apidiscovery.k8s.io/v2", "kind": "APIGroupDiscoveryList", "metadata": {}, "items": items})
    }

    fn page(&mut self, path: &str, query: &HashMap<String, String>) -> Response {
        let all = self.lists.get(path).cloned().unwrap_or_default();
        let from: usize = query
            .get("continue")
            .map_or(0, |token| token.parse().unwrap());
        if from > 0 && self.expire_pages > 0 {
            self.expire_pages -= 1;
            return status(410, "the continue token is too old");
        }
        let limit: usize = query
            .get("limit")
            .map_or(usize::MAX, |limit| limit.parse().unwrap());
        let end = from.saturating_add(limit).min(all.len());
        let token = if end < all.len() {
            end.to_string()
        } else {
            String::new()
        };
        json_of(&json!({
            "kind": "List", "apiVersion": "v1", "items": &all[from..end],
            "metadata": {"resourceVersion": "10", "continue": token}
        }))
    }
}

fn json_of(value: &Value) -> Response {
    ([("content-type", "application/json")], value.to_string()).into_response()
}

fn status(code: u16, message: &str) -> Response {
    let reason = if code == 404 { "NotFound" } else { "Failed" };
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message,
        "reason": reason, "code": code
    });
    (StatusCode::from_u16(code).unwrap(), body.to_string()).into_response()
}

async fn answer(State(state): State<Shared>, uri: Uri) -> Response {
    let path = uri.path();
    let query = uri.query().unwrap_or_default().as_bytes();
    let query: HashMap<String, String> = form_urlencoded::parse(query).into_owned().collect();
    if query.contains_key("watch") {
        let events = {
            let mut api = state.lock().unwrap();
            if api.unwatchable.contains(path) {
                return status(403, "no watch");
            }
            api.watches.remove(path)
        };
        let Some(events) = events else {
            // As a quiet watch.
            tokio::time::sleep(std::time::Duration::from_secs(3600)).await;
            return status(500, "the end");
        };
        let lines: String = events.iter().map(|event| format!("{event}\n")).collect();
        return ([("content-type", "application/json")], lines).into_response();
    }
    let mut api = state.lock().unwrap();
    if api.forbidden.contains(path) {
        return status(403, &format!("no list of {path}"));
    }
    match path {
        "/apis" => json_of(&api.discovery()),
        "/api" => json_of(
            &json!({"apiVersion": "apidiscovery.k8s.io/v2", "kind": "APIGroupDiscoveryList", "metadata": {}, "items": []}),
        ),
        path if api.objects.contains_key(path) => json_of(&api.objects[path]),
        // A name below a plural: there is no such object.
        path if matches!(path.matches('/').count(), 4 | 6)
            && path.starts_with("/api/v1/namespaces/") =>
        {
            status(404, "not found")
        }
        path => api.page(path, &query),
    }
}
