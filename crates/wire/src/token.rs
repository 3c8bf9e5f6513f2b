//! Authenticates agents by their ServiceAccount tokens: what a token must say, and whose signature it must have
//! (RFC 7519; KEP-1205 bound tokens, KEP-4193 for the node's name). Never logs or returns a token.
//!
//! (rule: agent-speaks-for-its-node)

mod claims;
mod keys;
#[cfg(test)]
mod tests;
mod verify;

use super::{AgentIdentity, Refusal};
use claims::Claims;
use keys::{KeyFile, Keys};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How far the clocks of the API server and this machine may be apart, in seconds.
const LEEWAY: u64 = 60;
/// The longest token that is accepted, in bytes; a ServiceAccount's has about 1 KiB.
const MAX_TOKEN: usize = 16 << 10;

/// What a token must say of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRules {
    /// The issuers that count; empty: any whose key is known.
    pub issuers: BTreeSet<String>,
    /// One audience that the token must be for.
    pub audience: String,
    /// Who may send: `system:serviceaccount:NAMESPACE:NAME`.
    pub subjects: BTreeSet<String>,
    /// Accepts tokens that name no node, for every node. For tests: who has one such token reports for the whole
    /// cluster.
    pub allow_unbound: bool,
}

/// Where the keys are, and the claims that tokens must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenSettings {
    /// The file of the API server's keys, as `kubectl get --raw /openid/v1/jwks` prints them. Read again
    /// when it changes.
    pub jwks: PathBuf,
    pub rules: TokenRules,
}

/// Verifies tokens.
#[derive(Debug)]
pub struct TokenCheck {
    rules: TokenRules,
    source: KeySource,
}

#[derive(Debug)]
enum KeySource {
    File(KeyFile),
    /// Set by [`TokenCheck::learn`].
    Learned(Mutex<Learned>),
}

/// What the API server says of its own tokens.
#[derive(Debug, Clone, Default)]
struct Learned {
    issuer: Option<String>,
    keys: Option<Arc<Keys>>,
}

impl TokenCheck {
    /// Reads the keys.
    ///
    /// # Errors
    /// Why the file of keys cannot be used, and what helps.
    pub fn new(settings: TokenSettings) -> Result<TokenCheck, String> {
        verify::install();
        Ok(TokenCheck {
            rules: settings.rules,
            source: KeySource::File(KeyFile::open(settings.jwks)?),
        })
    }

    /// Knows no keys until [`TokenCheck::learn`]. Until then only [`TokenCheck::precheck`] is of use.
    pub fn without_keys(rules: TokenRules) -> TokenCheck {
        verify::install();
        TokenCheck {
            rules,
            source: KeySource::Learned(Mutex::default()),
        }
    }

    /// Takes the API server's keys, in place of those before, and its issuer, which counts if the rules name none.
    ///
    /// # Errors
    /// If the text holds no keys; those known before stay in use.
    pub fn learn(&self, jwks: &str, issuer: Option<String>) -> Result<(), String> {
        if let KeySource::Learned(learned) = &self.source {
            let keys = Some(Arc::new(keys::parse(jwks)?));
            *lock(learned) = Learned { issuer, keys };
        }
        Ok(())
    }

    /// Returns true if signatures can be verified.
    pub fn has_keys(&self) -> bool {
        match &self.source {
            KeySource::File(_) => true,
            KeySource::Learned(learned) => lock(learned).keys.is_some(),
        }
    }

    /// Returns the identity that the token proves now.
    ///
    /// # Errors
    /// Why the token is refused.
    pub fn check(&self, token: Option<&str>) -> Result<AgentIdentity, Refusal> {
        self.check_at(token, SystemTime::now())
    }

    /// Returns the identity that the token proved at a time: that at which a queue took the message that it came with.
    ///
    /// # Errors
    /// Why the token is refused. Of kind `no-keys`: nothing is known against it.
    pub fn check_at(&self, token: Option<&str>, at: SystemTime) -> Result<AgentIdentity, Refusal> {
        // What the token says costs less to read than a signature to verify.
        let identity = self.precheck(token, at)?;
        let Some(keys) = self.keys() else {
            return refuse("no-keys", "the API server's keys are not known yet");
        };
        keys.verify(token.unwrap_or_default())?;
        Ok(identity)
    }

    /// Returns the identity that the token claims, without a look at its signature: enough to refuse it, and not to
    /// accept it. Costs no request.
    ///
    /// # Errors
    /// Why the token is refused whoever signed it.
    pub fn precheck(&self, token: Option<&str>, at: SystemTime) -> Result<AgentIdentity, Refusal> {
        let Some(token) = token.filter(|token| !token.is_empty()) else {
            return refuse("no-token", "none came with the batches");
        };
        if token.len() > MAX_TOKEN {
            return refuse("bad-token", "it is too long to be one");
        }
        let claims = Claims::read(token)?;
        let at = at.duration_since(UNIX_EPOCH).map_or(0, |s| s.as_secs());
        claims.judge(&self.rules, self.learned_issuer().as_deref(), at)
    }

    fn keys(&self) -> Option<Arc<Keys>> {
        match &self.source {
            KeySource::File(file) => Some(file.current()),
            KeySource::Learned(learned) => lock(learned).keys.clone(),
        }
    }

    fn learned_issuer(&self) -> Option<String> {
        match &self.source {
            KeySource::File(_) => None,
            KeySource::Learned(learned) => lock(learned).issuer.clone(),
        }
    }
}

fn lock(learned: &Mutex<Learned>) -> std::sync::MutexGuard<'_, Learned> {
    learned.lock().unwrap_or_else(PoisonError::into_inner)
}

fn refusal(kind: &'static str, reason: impl Into<String>) -> Refusal {
    Refusal {
        kind,
        reason: format!("failed to accept the token: {}", reason.into()),
    }
}

fn refuse<T>(kind: &'static str, reason: impl Into<String>) -> Result<T, Refusal> {
    Err(refusal(kind, reason))
}

/// Returns how long a token that expires at `exp` is valid after `at`, both in seconds since the Unix epoch.
fn left(exp: u64, at: u64) -> Duration {
    Duration::from_secs(exp.saturating_add(LEEWAY).saturating_sub(at))
}
