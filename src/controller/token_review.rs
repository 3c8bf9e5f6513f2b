//! The controller's check of tokens: what costs the API server nothing comes first.
//!
//! 1. What the token says of itself: issuer, audience, subject, node, times.
//! 2. Its signature, with the keys that the API server publishes. They are fetched when they are needed, and again
//!    when a token names a key that is not among them, but not often.
//! 3. The TokenReview, which alone shows that the pod, the Node or the ServiceAccount is gone.

use crate::cluster::live::{TokenReviewer, signing_keys};
use crate::wire::{AgentIdentity, LogLimit, Refusal, TokenCheck};
use kube::Client;
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::Mutex;

/// How long after the keys were asked for they are not asked for again, whatever tokens come.
const FETCH_AGAIN: Duration = Duration::from_secs(10);
/// How long keys are used without a look whether one was withdrawn.
const KEYS_AGE: Duration = Duration::from_secs(3600);

/// Checks tokens with the API server's help.
pub struct ReviewCheck {
    client: Client,
    claims: TokenCheck,
    reviewer: TokenReviewer,
    /// When the keys were last asked for.
    fetched: Mutex<Option<Instant>>,
    log: LogLimit,
}

impl ReviewCheck {
    /// `claims`: without keys yet.
    pub fn new(client: Client, claims: TokenCheck, reviewer: TokenReviewer) -> ReviewCheck {
        ReviewCheck {
            client,
            claims,
            reviewer,
            fetched: Mutex::default(),
            log: LogLimit::default(),
        }
    }

    /// Checks the token of a stream.
    pub async fn check(&self, token: Option<&str>) -> Result<AgentIdentity, Refusal> {
        match self.verify(token, SystemTime::now()).await {
            // Without keys the API server has to verify the signature.
            Err(refusal) if refusal.kind == "no-keys" => {}
            Err(refusal) => return Err(refusal),
            Ok(_) => {}
        }
        match self.reviewer.check(token).await {
            Ok(agent) => Ok(AgentIdentity {
                node: agent.node,
                good_for: Some(agent.good_for),
            }),
            Err(refusal) => {
                if let Some(cause) = &refusal.cause
                    && let Some(left_out) = self.log.admit("no-review", Instant::now())
                {
                    tracing::warn!(
                        left_out,
                        "failed to have a token reviewed: {cause}; agents wait until it can be"
                    );
                }
                Err(Refusal {
                    kind: refusal.kind,
                    reason: refusal.to_string(),
                })
            }
        }
    }

    /// Checks the token of a message that was queued at that time. Its pod may be gone by now, so the API server
    /// is not asked about it.
    pub async fn check_queued(
        &self,
        token: Option<&str>,
        queued: SystemTime,
    ) -> Result<AgentIdentity, Refusal> {
        self.verify(token, queued).await
    }

    async fn verify(&self, token: Option<&str>, at: SystemTime) -> Result<AgentIdentity, Refusal> {
        // Junk is refused before anything is fetched for it. Another issuer may be the API server's new one.
        match self.claims.precheck(token, at) {
            Err(refusal) if refusal.kind == "other-issuer" => self.refresh(true).await,
            Err(refusal) => return Err(refusal),
            Ok(_) => self.refresh(!self.claims.has_keys()).await,
        }
        match self.claims.check_at(token, at) {
            Err(refusal) if refusal.kind == "unknown-key" => {
                self.refresh(true).await;
                self.claims.check_at(token, at)
            }
            other => other,
        }
    }

    /// Fetches the keys if they are needed or old, and were not asked for a moment ago.
    async fn refresh(&self, is_needed: bool) {
        let mut fetched = self.fetched.lock().await;
        let age = fetched.map_or(Duration::MAX, |at| at.elapsed());
        let due = if is_needed { FETCH_AGAIN } else { KEYS_AGE };
        if age < due {
            return;
        }
        *fetched = Some(Instant::now());
        let learned = match signing_keys(&self.client).await {
            Ok(keys) => self.claims.learn(&keys.jwks, keys.issuer),
            Err(reason) => Err(reason),
        };
        if let Err(reason) = learned
            && let Some(left_out) = self.log.admit("no-keys", Instant::now())
        {
            tracing::warn!(
                left_out,
                "failed to learn the API server's keys: {reason}; bind the ClusterRole \
                 system:service-account-issuer-discovery to the controller's ServiceAccount (batches over NATS wait \
                 until then; those over gRPC cost a TokenReview each)"
            );
        }
    }
}

#[cfg(test)]
mod tests;
