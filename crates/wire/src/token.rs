//! Authenticates agents: verifies a ServiceAccount token with the keys of the API server, without asking it
//! (RFC 7519; KEP-1205 bound tokens, KEP-4193 for the node's name). Never logs or returns a token.

mod keys;
#[cfg(test)]
mod tests;
mod verify;

use super::{AgentIdentity, Refusal};
use keys::KeyFile;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How far the clocks of the API server and this machine may be apart, in seconds.
const LEEWAY: u64 = 60;
/// The longest token that is accepted, in bytes; a ServiceAccount's has about 1 KiB.
const MAX_TOKEN: usize = 16 << 10;

/// The claims that tokens must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenSettings {
    /// The file of the API server's keys, as `kubectl get --raw /openid/v1/jwks` prints them. Read again
    /// when it changes.
    pub jwks: PathBuf,
    /// The only issuer that counts; `None`: any whose key is in the file.
    pub issuer: Option<String>,
    /// One audience that the token must be for.
    pub audience: String,
    /// Who may send: `system:serviceaccount:NAMESPACE:NAME`.
    pub subjects: BTreeSet<String>,
}

/// Verifies tokens.
#[derive(Debug)]
pub struct TokenCheck {
    settings: TokenSettings,
    keys: KeyFile,
}

/// The claims of a token that are used. Times are seconds since the Unix epoch.
#[derive(Debug, Deserialize)]
struct Content {
    sub: String,
    exp: u64,
    #[serde(default, rename = "kubernetes.io")]
    kubernetes: Kubernetes,
}

#[derive(Debug, Default, Deserialize)]
struct Kubernetes {
    node: Option<Named>,
}

#[derive(Debug, Deserialize)]
struct Named {
    name: String,
}

impl TokenCheck {
    /// Reads the keys.
    ///
    /// # Errors
    /// Why the file of keys cannot be used, and what helps.
    pub fn new(settings: TokenSettings) -> Result<TokenCheck, String> {
        verify::install();
        let keys = KeyFile::open(settings.jwks.clone())?;
        Ok(TokenCheck { settings, keys })
    }

    /// Returns the identity that the token proves.
    ///
    /// # Errors
    /// Why the token is refused.
    pub fn check(&self, token: Option<&str>) -> Result<AgentIdentity, Refusal> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        self.check_at(token, now.map_or(0, |since| since.as_secs()))
    }

    fn check_at(&self, token: Option<&str>, now: u64) -> Result<AgentIdentity, Refusal> {
        let Some(token) = token else {
            return refuse("no-token", "no bearer token came with the stream");
        };
        if token.len() > MAX_TOKEN {
            return refuse("bad-token", "the token is too long to be one");
        }
        let content = self.verified(token)?;
        // jsonwebtoken has compared exp and nbf with the same clock; `now` is needed only for how long it stays valid.
        if !self.settings.subjects.contains(&content.sub) {
            return refuse(
                "other-subject",
                format!("{:.200} may not send flows", content.sub),
            );
        }
        let left = content.exp.saturating_add(LEEWAY).saturating_sub(now);
        Ok(AgentIdentity {
            node: content.kubernetes.node.map(|node| node.name),
            good_for: Some(Duration::from_secs(left)),
        })
    }

    fn verified(&self, token: &str) -> Result<Content, Refusal> {
        let header = jsonwebtoken::decode_header(token)
            .map_err(|_| refusal("bad-token", "it is no signed token of RFC 7519"))?;
        let keys = self.keys.current();
        let candidates: Vec<_> = keys
            .iter()
            .filter(|key| key.algorithm == header.alg)
            .filter(|key| header.kid.is_none() || key.id.is_none() || key.id == header.kid)
            .collect();
        let mut last = refusal(
            "unknown-key",
            "it is signed with a key that is not in --token-jwks; fetch the keys again",
        );
        for key in candidates {
            let mut rules = jsonwebtoken::Validation::new(key.algorithm);
            rules.leeway = LEEWAY;
            rules.validate_nbf = true;
            rules.set_audience(&[&self.settings.audience]);
            rules.set_required_spec_claims(&["exp", "aud", "sub"]);
            if let Some(issuer) = &self.settings.issuer {
                rules.set_issuer(&[issuer]);
                rules.set_required_spec_claims(&["exp", "aud", "sub", "iss"]);
            }
            match jsonwebtoken::decode::<Content>(token, &key.key, &rules) {
                Ok(data) => return Ok(data.claims),
                Err(error) => last = self.explain(&error),
            }
        }
        Err(last)
    }

    fn explain(&self, error: &jsonwebtoken::errors::Error) -> Refusal {
        use jsonwebtoken::errors::ErrorKind;
        match error.kind() {
            ErrorKind::ExpiredSignature => refusal("expired", "it has expired"),
            ErrorKind::ImmatureSignature => {
                refusal("not-yet-valid", "it is not valid yet: compare the clocks")
            }
            ErrorKind::InvalidAudience => refusal(
                "other-audience",
                format!("it is not for audience {}", self.settings.audience),
            ),
            ErrorKind::InvalidIssuer => refusal("other-issuer", "it is of another issuer"),
            ErrorKind::InvalidSignature => refusal("bad-signature", "its signature is wrong"),
            ErrorKind::MissingRequiredClaim(claim) => {
                refusal("bad-token", format!("it has no claim {claim}"))
            }
            _ => refusal("bad-token", "it cannot be read"),
        }
    }
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
