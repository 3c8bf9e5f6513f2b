//! Decides who may send to the receiver, and counts who was refused.

use super::receiver_metrics::ReceiverMetrics;
use crate::cluster::live::TokenReviewer;
use crate::wire::{AgentIdentity, Authenticator, Refusal, TokenCheck};
use futures_util::future::BoxFuture;
use std::sync::Arc;

/// How tokens are checked.
pub enum Check {
    /// Not at all: everybody may send.
    None,
    /// By their signature, with the API server's keys.
    Keys(TokenCheck),
    /// By the API server itself (TokenReview).
    Review(TokenReviewer),
}

/// Accepts agents with a valid ServiceAccount token.
pub struct TokenAuthenticator {
    pub check: Check,
    pub metrics: Arc<ReceiverMetrics>,
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
                Check::Review(reviewer) => match reviewer.check(token).await {
                    Ok(agent) => Ok(AgentIdentity {
                        node: agent.node,
                        good_for: Some(agent.good_for),
                    }),
                    Err(refusal) => Err(Refusal {
                        kind: refusal.kind,
                        reason: refusal.to_string(),
                    }),
                },
            }
        })
    }

    fn refused(&self, refusal: &Refusal) {
        self.metrics.refused(refusal.kind);
        tracing::warn!(kind = refusal.kind, "{}", refusal.reason);
    }
}
