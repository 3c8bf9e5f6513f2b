#[path = "../../../tests/support/tokens.rs"]
mod tokens;

use super::*;
use crate::cluster::live::ReviewSettings;
use crate::wire::TokenRules;
use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokens::{AGENT, ISSUER, TokenKey, content, now, unsigned};

/// An API server that reviews tokens: as known, or not.
struct ApiServer {
    check: ReviewCheck,
    reviews: Arc<Counts>,
    fetches: Arc<AtomicUsize>,
}

#[derive(Default)]
struct Counts {
    all: AtomicUsize,
    now: AtomicUsize,
    most: AtomicUsize,
}

fn body(value: &serde_json::Value) -> impl IntoResponse + use<> {
    ([(CONTENT_TYPE, "application/json")], value.to_string())
}

async fn review(counts: Arc<Counts>, is_known: bool) -> impl IntoResponse {
    counts.all.fetch_add(1, Ordering::SeqCst);
    let now = counts.now.fetch_add(1, Ordering::SeqCst) + 1;
    counts.most.fetch_max(now, Ordering::SeqCst);
    // Long enough that others come meanwhile.
    tokio::time::sleep(Duration::from_millis(20)).await;
    counts.now.fetch_sub(1, Ordering::SeqCst);
    let extra = json!({"authentication.kubernetes.io/node-name": ["node-1"]});
    body(
        &json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {}, "metadata": {},
            "status": {"authenticated": is_known, "audiences": ["nanoseg"],
                       "user": {"username": AGENT, "extra": extra}}}),
    )
}

impl ApiServer {
    /// With the keys that it publishes; `None`: it forbids to read them.
    async fn start(keys: Option<String>, is_known: bool) -> ApiServer {
        let (reviews, fetches) = (Arc::new(Counts::default()), Arc::new(AtomicUsize::new(0)));
        let (counts, count) = (reviews.clone(), fetches.clone());
        let mut router = Router::new().route(
            "/apis/authentication.k8s.io/v1/tokenreviews",
            post(move || review(counts.clone(), is_known)),
        );
        if let Some(keys) = keys {
            let issuer = json!({"issuer": ISSUER});
            router = router
                .route(
                    "/openid/v1/jwks",
                    get(move || {
                        count.fetch_add(1, Ordering::SeqCst);
                        std::future::ready(([(CONTENT_TYPE, "application/jwk-set+json")], keys))
                    }),
                )
                .route(
                    "/.well-known/openid-configuration",
                    get(move || std::future::ready(body(&issuer))),
                );
        }
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let client = Client::try_from(kube::Config::new(uri.parse().unwrap())).unwrap();
        let settings = ReviewSettings {
            audience: "nanoseg".into(),
            subjects: [AGENT.to_owned()].into(),
            allow_unbound: false,
        };
        let claims = TokenCheck::without_keys(TokenRules {
            issuers: [].into(),
            audience: "nanoseg".into(),
            subjects: [AGENT.to_owned()].into(),
            allow_unbound: false,
        });
        let reviewer = TokenReviewer::new(client.clone(), settings);
        ApiServer {
            check: ReviewCheck::new(client, claims, reviewer),
            reviews,
            fetches,
        }
    }

    async fn kind_of(&self, token: &str) -> &'static str {
        match self.check.check(Some(token)).await {
            Ok(_) => "accepted",
            Err(refusal) => refusal.kind,
        }
    }

    fn reviewed(&self) -> usize {
        self.reviews.all.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn a_flood_of_junk_tokens_costs_the_api_server_nothing() {
    let key = TokenKey::new("first");
    let server = ApiServer::start(Some(key.jwks()), true).await;
    let good = key.sign(&content(now(), "node-1"));
    let (stranger, unknown) = (TokenKey::new("first"), TokenKey::new("other"));
    for n in 0..200 {
        let mut wrong = content(now(), "node-1");
        wrong["jti"] = json!(n);
        let forged = stranger.sign(&wrong);
        assert_eq!(server.kind_of(&forged).await, "bad-signature");
        assert_eq!(server.kind_of(&unknown.sign(&wrong)).await, "unknown-key");
        wrong["exp"] = json!(now() - 3600);
        assert_eq!(server.kind_of(&key.sign(&wrong)).await, "expired");
        assert_eq!(server.kind_of(&format!("junk{n}")).await, "bad-token");
        wrong = content(now(), "node-1");
        wrong["iss"] = json!(format!("https://elsewhere/{n}"));
        assert_eq!(server.kind_of(&key.sign(&wrong)).await, "other-issuer");
    }
    assert_eq!(server.reviewed(), 0);
    assert!(
        server.fetches.load(Ordering::SeqCst) <= 2,
        "keys are fetched now and then"
    );
    assert_eq!(server.kind_of(&good).await, "accepted");
    assert_eq!(server.kind_of(&good).await, "accepted");
    assert_eq!(server.reviewed(), 1, "and remembered");
}

#[tokio::test]
async fn a_token_that_the_api_server_no_longer_knows_is_refused_and_that_is_remembered() {
    let key = TokenKey::new("first");
    let server = ApiServer::start(Some(key.jwks()), false).await;
    let gone = key.sign(&content(now(), "node-1"));
    for _ in 0..50 {
        assert_eq!(server.kind_of(&gone).await, "bad-token");
    }
    assert_eq!(server.reviewed(), 1);
    // A message of a queue was sent while its pod existed.
    let queued = server
        .check
        .check_queued(Some(&gone), SystemTime::now())
        .await;
    assert_eq!(queued.unwrap().node.as_deref(), Some("node-1"));
}

#[tokio::test]
async fn without_the_keys_few_reviews_run_at_a_time_and_only_of_tokens_that_claim_what_they_must() {
    let key = TokenKey::new("first");
    let server = ApiServer::start(None, true).await;
    let tokens: Vec<String> = (0..60)
        .map(|n| {
            let mut one = content(now(), "node-1");
            one["jti"] = json!(n);
            key.sign(&one)
        })
        .collect();
    let kinds = tokens.iter().map(|token| server.kind_of(token));
    let kinds = futures_util::future::join_all(kinds).await;
    assert!(kinds.iter().all(|kind| *kind == "accepted"), "{kinds:?}");
    assert_eq!(server.reviewed(), 60);
    assert!(
        server.reviews.most.load(Ordering::SeqCst) <= 8,
        "a few at a time"
    );
    // The same token in many streams is reviewed once.
    let mut same = content(now(), "node-1");
    same["jti"] = json!("same");
    let same = key.sign(&same);
    let kinds = (0..60).map(|_| server.kind_of(&same));
    futures_util::future::join_all(kinds).await;
    assert!(server.reviewed() <= 60 + 8, "{}", server.reviewed());
    for wrong in [
        unsigned(&json!({"alg": "ES256"}), &json!({"sub": AGENT})),
        key.sign(&content(now() - 7200, "node-1")),
    ] {
        assert!(server.check.check(Some(&wrong)).await.is_err());
    }
    assert!(server.reviewed() <= 68);
    let queued = server
        .check
        .check_queued(Some(&same), SystemTime::now())
        .await;
    assert_eq!(
        queued.unwrap_err().kind,
        "no-keys",
        "a queue waits for the keys"
    );
}
