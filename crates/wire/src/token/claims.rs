//! What a token says, and whether that is what it must say.

use super::super::{AgentIdentity, Refusal};
use super::{LEEWAY, TokenRules, left, refusal, refuse};
use serde::Deserialize;

/// The claims of a token that are used. Times are seconds since the Unix epoch.
#[derive(Debug, Deserialize)]
pub struct Claims {
    iss: Option<String>,
    sub: Option<String>,
    aud: Option<Audience>,
    exp: Option<u64>,
    nbf: Option<u64>,
    #[serde(default, rename = "kubernetes.io")]
    kubernetes: Kubernetes,
}

/// RFC 7519, section 4.1.3: one or several.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

#[derive(Debug, Default, Deserialize)]
struct Kubernetes {
    node: Option<Named>,
}

#[derive(Debug, Deserialize)]
struct Named {
    name: String,
}

impl Audience {
    fn holds(&self, name: &str) -> bool {
        match self {
            Audience::One(one) => one == name,
            Audience::Many(many) => many.iter().any(|one| one == name),
        }
    }
}

impl Claims {
    /// Reads the claims, and verifies nothing.
    pub fn read(token: &str) -> Result<Claims, Refusal> {
        jsonwebtoken::decode_header(token)
            .map_err(|_| refusal("bad-token", "it is no signed token of RFC 7519"))?;
        jsonwebtoken::dangerous::insecure_decode_claims(token)
            .map_err(|_| refusal("bad-token", "it cannot be read"))
    }

    /// Returns the identity that the claims give. `learned`: the issuer that counts if the rules name none.
    pub fn judge(
        self,
        rules: &TokenRules,
        learned: Option<&str>,
        at: u64,
    ) -> Result<AgentIdentity, Refusal> {
        let missing = |claim: &str| refusal("bad-token", format!("it has no claim {claim}"));
        let exp = self.exp.ok_or_else(|| missing("exp"))?;
        let sub = self.sub.ok_or_else(|| missing("sub"))?;
        let aud = self.aud.ok_or_else(|| missing("aud"))?;
        let demands_issuer = !rules.issuers.is_empty() || learned.is_some();
        if demands_issuer {
            let iss = self.iss.ok_or_else(|| missing("iss"))?;
            let is_ours = rules.issuers.contains(&iss)
                || (rules.issuers.is_empty() && learned == Some(&*iss));
            if !is_ours {
                return refuse("other-issuer", "it is of another issuer");
            }
        }
        if !aud.holds(&rules.audience) {
            return refuse(
                "other-audience",
                format!("it is not for audience {}", rules.audience),
            );
        }
        if exp.saturating_add(LEEWAY) < at {
            return refuse("expired", "it has expired");
        }
        if self.nbf.is_some_and(|nbf| nbf > at.saturating_add(LEEWAY)) {
            return refuse("not-yet-valid", "it is not valid yet: compare the clocks");
        }
        if !rules.subjects.contains(&sub) {
            return refuse("other-subject", format!("{sub:.200} may not send flows"));
        }
        let node = self.kubernetes.node.map(|node| node.name);
        let node = node.filter(|name| !name.is_empty());
        if node.is_none() && !rules.allow_unbound {
            return refuse(
                "no-node",
                "it names no node; an agent needs the projected token of its pod (Kubernetes 1.30 or later), \
                 or one that is bound to its Node",
            );
        }
        Ok(AgentIdentity {
            node,
            good_for: Some(left(exp, at)),
        })
    }
}
