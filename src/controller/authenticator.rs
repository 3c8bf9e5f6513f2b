//! Decides who may send to the receiver, and counts who was refused.
//!
//! (rule: agent-speaks-for-its-node)

use super::receiver_metrics::ReceiverMetrics;
use super::token_review::ReviewCheck;
use crate::wire::{AgentIdentity, Authenticator, LogLimit, Refusal, TokenCheck};
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

/// How tokens are checked.
pub enum Check {
    /// Not at all: everybody may send.
    None,
    /// By their signature, with the API server's keys.
    Keys(TokenCheck),
    /// By the API server itself (TokenReview).
    Review(Box<ReviewCheck>),
}

/// Accepts agents with a valid ServiceAccount token.
pub struct TokenAuthenticator {
    check: Check,
    metrics: Arc<ReceiverMetrics>,
    log: LogLimit,
}

impl TokenAuthenticator {
    pub fn new(check: Check, metrics: Arc<ReceiverMetrics>) -> TokenAuthenticator {
        TokenAuthenticator {
            check,
            metrics,
            log: LogLimit::default(),
        }
    }
}

/// Says in the log what `--allow-unbound-agents` gives away.
pub fn warn_of_unbound() {
    tracing::warn!(
        "--allow-unbound-agents: a token that names no node is accepted for every node, so whoever holds one such \
         token can report traffic for the whole cluster, and what is learned from it will be allowed; use it for \
         tests only"
    );
}

impl Authenticator for TokenAuthenticator {
    fn authenticate<'a>(
        &'a self,
        token: Option<&'a str>,
    ) -> BoxFuture<'a, Result<AgentIdentity, Refusal>> {
        Box::pin(async move {
            match &self.check {
                Check::None => Ok(AgentIdentity::default()),
                Check::Keys(check) => check.check(token),
                Check::Review(check) => check.check(token).await,
            }
        })
    }

    fn authenticate_queued<'a>(
        &'a self,
        token: Option<&'a str>,
        queued: SystemTime,
    ) -> BoxFuture<'a, Result<AgentIdentity, Refusal>> {
        Box::pin(async move {
            match &self.check {
                Check::None => Ok(AgentIdentity::default()),
                Check::Keys(check) => check.check_at(token, queued),
                Check::Review(check) => check.check_queued(token, queued).await,
            }
        })
    }

    fn refused(&self, refusal: &Refusal) {
        self.metrics.refused(refusal.kind);
        let Some(left_out) = self.log.admit(refusal.kind, Instant::now()) else {
            return;
        };
        tracing::warn!(kind = refusal.kind, left_out, "{}", refusal.reason);
    }

    fn set_aside(&self, kind: &'static str, is_kept: bool) {
        self.metrics.set_aside(kind, is_kept);
    }
}
