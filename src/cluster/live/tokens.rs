//! Asks the API server which ServiceAccount a token belongs to (TokenReview). The review also shows what the
//! signature alone does not: that the pod, its node or the ServiceAccount no longer exists.
//!
//! A token is never kept. Results are kept for a short time under the token's SHA-256. Few reviews are under way at a
//! time and few more wait: whoever sends tokens must not be able to keep the API server busy.

mod memory;
mod signing_keys;

pub use signing_keys::{SigningKeys, signing_keys};

use super::connect::describe;
use k8s_openapi::api::authentication::v1::{
    TokenReview, TokenReviewSpec, TokenReviewStatus, UserInfo,
};
use kube::Client;
use kube::api::{Api, PostParams};
use memory::BoundedCache;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use thiserror::Error;
use tokio::sync::Semaphore;

/// How long an accepted token stays accepted without a new review, and so the longest time that a revoked token
/// is accepted.
const BELIEVED: Duration = Duration::from_secs(60);
/// How long a refusal is kept, so that a refused client cannot overload the API server.
const REMEMBERED: Duration = Duration::from_secs(10);
/// How many results are kept: 5 000 nodes, each with one token, and a reserve. About 1 MiB.
const ANSWERS: usize = 8192;
/// The longest token that is accepted; a ServiceAccount's token has about 1 KiB.
const MAX_TOKEN: usize = 16 << 10;
const LIMIT: Duration = Duration::from_secs(5);
/// How many reviews may be under way at a time. A review takes a few milliseconds.
const REVIEWS: usize = 8;
/// How many more may wait for their turn: as many agents as connect again at once after a fail-over.
const WAITING: usize = 1024;
/// The key under which the API server returns the node of the token's pod (KEP-4193).
const NODE_NAME: &str = "authentication.kubernetes.io/node-name";

/// The conditions that a token must meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReviewSettings {
    /// The audience that the token must be for.
    pub audience: String,
    /// The ServiceAccounts that are accepted: `system:serviceaccount:NAMESPACE:NAME`.
    pub subjects: BTreeSet<String>,
    /// Accepts tokens that name no node.
    pub allow_unbound: bool,
}

/// The holder of an accepted token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// `system:serviceaccount:NAMESPACE:NAME`.
    pub subject: String,
    /// The node of the token's pod; `None` if the token names none and that is allowed.
    pub node: Option<String>,
    /// The time after which the token must be reviewed again.
    pub good_for: Duration,
}

/// The reason why a token is refused. It never contains the token.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("failed to accept the token: {reason}")]
pub struct TokenRefusal {
    /// A stable word for metrics: one of `wire::TokenCheck`, or `no-review`.
    pub kind: &'static str,
    pub reason: String,
    /// What went wrong between us and the API server; for our own log, and not for the sender.
    pub cause: Option<String>,
}

/// Reviews tokens with the API server. It needs the right to create `tokenreviews`.
pub struct TokenReviewer {
    api: Api<TokenReview>,
    settings: ReviewSettings,
    memory: Mutex<BoundedCache<Result<Agent, TokenRefusal>>>,
    places: Semaphore,
    waiting: AtomicUsize,
}

impl TokenReviewer {
    pub fn new(client: Client, settings: ReviewSettings) -> TokenReviewer {
        TokenReviewer {
            api: Api::all(client),
            settings,
            memory: Mutex::new(BoundedCache::new(ANSWERS)),
            places: Semaphore::new(REVIEWS),
            waiting: AtomicUsize::new(0),
        }
    }

    /// Returns the holder of the token.
    ///
    /// # Errors
    /// Returns the reason why the token is refused, or that no review was possible.
    pub async fn check(&self, token: Option<&str>) -> Result<Agent, TokenRefusal> {
        let Some(token) = token.filter(|token| !token.is_empty()) else {
            return refuse("no-token", "no bearer token came with the request");
        };
        if token.len() > MAX_TOKEN {
            return refuse("bad-token", "it is too long to be one");
        }
        let digest = memory::digest(token);
        if let Some(answer) = self.known(&digest) {
            return answer;
        }
        let _place = self.place().await?;
        // The same token may have been reviewed meanwhile.
        if let Some(answer) = self.known(&digest) {
            return answer;
        }
        let asked = Instant::now();
        // A failed review is not kept.
        let status = self.ask(token).await?;
        let answer = self.judge(status);
        let keep = match &answer {
            Ok(_) => BELIEVED,
            Err(_) => REMEMBERED,
        };
        self.memory()
            .put(digest, answer.clone(), asked + keep, asked);
        answer
    }

    fn known(&self, digest: &memory::Digest) -> Option<Result<Agent, TokenRefusal>> {
        self.memory().get(digest, Instant::now()).cloned()
    }

    /// Waits for its turn to ask.
    async fn place(&self) -> Result<tokio::sync::SemaphorePermit<'_>, TokenRefusal> {
        let waiting = Waiting::new(&self.waiting);
        if waiting.count > WAITING {
            return no_review(format!("{WAITING} tokens wait to be reviewed already"));
        }
        match tokio::time::timeout(LIMIT, self.places.acquire()).await {
            Ok(Ok(place)) => Ok(place),
            _ => no_review(format!(
                "no turn to review a token in {} s",
                LIMIT.as_secs()
            )),
        }
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, BoundedCache<Result<Agent, TokenRefusal>>> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask(&self, token: &str) -> Result<TokenReviewStatus, TokenRefusal> {
        let review = TokenReview {
            spec: TokenReviewSpec {
                audiences: Some(vec![self.settings.audience.clone()]),
                token: token.to_owned(),
            },
            ..TokenReview::default()
        };
        let params = PostParams::default();
        let asked = tokio::time::timeout(LIMIT, self.api.create(&params, &review)).await;
        let why = match asked {
            Ok(Ok(review)) => return Ok(review.status.unwrap_or_default()),
            Ok(Err(error)) => describe(&error),
            Err(_) => format!("no answer in {} s", LIMIT.as_secs()),
        };
        no_review(why)
    }

    fn judge(&self, status: TokenReviewStatus) -> Result<Agent, TokenRefusal> {
        let audience = &self.settings.audience;
        if status.authenticated != Some(true) {
            return refuse(
                "bad-token",
                format!(
                    "the API server does not know it, it has expired, or it is not for audience {audience}"
                ),
            );
        }
        // An authenticator that does not support audiences returns none: it did not check them.
        if !status.audiences.iter().flatten().any(|a| a == audience) {
            return refuse(
                "other-audience",
                format!("it is not for audience {audience}"),
            );
        }
        let user = status.user.unwrap_or_default();
        let subject = user.username.clone().unwrap_or_default();
        if !self.settings.subjects.contains(&subject) {
            return refuse(
                "other-subject",
                format!("{subject:.200} may not send flows"),
            );
        }
        let node = node(&user);
        if node.is_none() && !self.settings.allow_unbound {
            return refuse(
                "no-node",
                "the API server names no node for it; an agent needs the projected token of its pod (Kubernetes \
                 1.30 or later), or one that is bound to its Node",
            );
        }
        Ok(Agent {
            subject,
            node,
            good_for: BELIEVED * 10,
        })
    }
}

/// The name of the node, if exactly one is given.
fn node(user: &UserInfo) -> Option<String> {
    match user.extra.as_ref()?.get(NODE_NAME)?.as_slice() {
        [name] if !name.is_empty() => Some(name.clone()),
        _ => None,
    }
}

fn refuse<T>(kind: &'static str, reason: impl Into<String>) -> Result<T, TokenRefusal> {
    Err(TokenRefusal {
        kind,
        reason: reason.into(),
        cause: None,
    })
}

/// Nothing is known against the token, and its sender need not know why.
fn no_review<T>(cause: String) -> Result<T, TokenRefusal> {
    Err(TokenRefusal {
        kind: "no-review",
        reason: "the API server cannot be asked about it; try again".to_owned(),
        cause: Some(cause),
    })
}

/// Counts one who waits, until it is dropped.
struct Waiting<'a> {
    all: &'a AtomicUsize,
    /// How many wait, with this one.
    count: usize,
}

impl<'a> Waiting<'a> {
    fn new(all: &'a AtomicUsize) -> Self {
        let count = all.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        Waiting { all, count }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.all.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn judge(status: serde_json::Value) -> Result<Agent, &'static str> {
        judge_with(status, false)
    }

    fn judge_with(status: serde_json::Value, allow_unbound: bool) -> Result<Agent, &'static str> {
        let settings = ReviewSettings {
            audience: "nanoseg".into(),
            subjects: ["system:serviceaccount:nanoseg:agent".to_owned()].into(),
            allow_unbound,
        };
        let uri = "http://127.0.0.1:1".parse().unwrap();
        let client = Client::try_from(kube::Config::new(uri)).unwrap();
        let status = serde_json::from_value(status).unwrap();
        let answer = TokenReviewer::new(client, settings).judge(status);
        answer.map_err(|refusal| refusal.kind)
    }

    fn status(user: &str, audiences: &[&str], nodes: &[&str]) -> serde_json::Value {
        json!({"authenticated": true, "audiences": audiences,
               "user": {"username": user, "extra": {NODE_NAME: nodes}}})
    }

    #[tokio::test]
    async fn an_accepted_token_has_its_account_and_node() {
        let agent = "system:serviceaccount:nanoseg:agent";
        let known = judge(status(agent, &["nanoseg"], &["n1"])).unwrap();
        assert_eq!(
            (known.subject.as_str(), known.node.as_deref()),
            (agent, Some("n1"))
        );
        for nodes in [&["n1", "n2"][..], &[], &[""]] {
            let review = status(agent, &["nanoseg"], nodes);
            assert_eq!(judge(review.clone()), Err("no-node"), "{nodes:?}");
            assert_eq!(judge_with(review, true).unwrap().node, None);
        }
        let other = "system:serviceaccount:shop:default";
        assert_eq!(
            judge(status(other, &["nanoseg"], &["n1"])),
            Err("other-subject")
        );
    }

    #[tokio::test]
    async fn a_review_that_does_not_name_our_audience_refuses_the_token() {
        let agent = "system:serviceaccount:nanoseg:agent";
        assert_eq!(judge(status(agent, &[], &[])), Err("other-audience"));
        assert_eq!(judge(status(agent, &["api"], &[])), Err("other-audience"));
        assert_eq!(judge(json!({"authenticated": false})), Err("bad-token"));
        assert_eq!(judge(json!({})), Err("bad-token"));
    }

    #[tokio::test]
    async fn text_that_cannot_be_a_token_is_refused_without_a_request() {
        let uri = "http://127.0.0.1:1".parse().unwrap();
        let client = Client::try_from(kube::Config::new(uri)).unwrap();
        let settings = ReviewSettings {
            audience: "nanoseg".into(),
            subjects: BTreeSet::new(),
            allow_unbound: false,
        };
        let reviewer = TokenReviewer::new(client, settings);
        assert_eq!(reviewer.check(None).await.unwrap_err().kind, "no-token");
        assert_eq!(reviewer.check(Some("")).await.unwrap_err().kind, "no-token");
        let long = "x".repeat(MAX_TOKEN + 1);
        assert_eq!(
            reviewer.check(Some(&long)).await.unwrap_err().kind,
            "bad-token"
        );
        let unanswered = reviewer.check(Some("x")).await.unwrap_err();
        assert_eq!(unanswered.kind, "no-review");
    }
}
