//! Who may send to the receiver, and the account of who was refused.

use super::metrics::Metrics;
use crate::wire::{Gate, Peer, Refusal, TokenCheck};
use std::sync::Arc;

/// Lets in who has a good token; without a check, everybody.
pub struct TokenGate {
    pub check: Option<TokenCheck>,
    pub metrics: Arc<Metrics>,
}

impl Gate for TokenGate {
    fn admit(&self, token: Option<&str>) -> Result<Peer, Refusal> {
        match &self.check {
            Some(check) => check.check(token),
            None => Ok(Peer::default()),
        }
    }

    fn refused(&self, refusal: &Refusal) {
        self.metrics.refused(refusal.kind);
        tracing::warn!(kind = refusal.kind, "{}", refusal.reason);
    }
}
