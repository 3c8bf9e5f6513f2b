//! ServiceAccount tokens and the keys that verify them, in the format of an API server.

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};

/// The ServiceAccount that may send by default.
pub const AGENT: &str = "system:serviceaccount:nanoseg-agents:nanoseg-agent";

/// The issuer of tokens.
pub const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// An API server's ES256 key.
pub struct TokenKey {
    id: String,
    pair: EcdsaKeyPair,
    random: SystemRandom,
}

impl TokenKey {
    pub fn new(id: &str) -> TokenKey {
        let random = SystemRandom::new();
        let kind = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let document = EcdsaKeyPair::generate_pkcs8(kind, &random).expect("a key");
        let pair = EcdsaKeyPair::from_pkcs8(kind, document.as_ref(), &random).expect("a key");
        TokenKey {
            id: id.to_owned(),
            pair,
            random,
        }
    }

    /// Returns the keys in the format of `kubectl get --raw /openid/v1/jwks`.
    pub fn jwks(&self) -> String {
        let point = self.pair.public_key().as_ref();
        let (x, y) = (base64url(&point[1..33]), base64url(&point[33..]));
        let key = json!({"use": "sig", "kty": "EC", "kid": self.id, "crv": "P-256", "alg": "ES256", "x": x, "y": y});
        json!({"keys": [key]}).to_string()
    }

    pub fn sign(&self, content: &Value) -> String {
        let head = json!({"alg": "ES256", "kid": self.id});
        let message = unsigned(&head, content);
        let signature = self
            .pair
            .sign(&self.random, message.as_bytes())
            .expect("a signature");
        format!("{message}.{}", base64url(signature.as_ref()))
    }
}

/// The header and claims of a token.
pub fn unsigned(head: &Value, content: &Value) -> String {
    let part = |value: &Value| base64url(value.to_string().as_bytes());
    format!("{}.{}", part(head), part(content))
}

/// Returns the claims of a valid token of an agent on `node`. It is valid for an hour from `now`.
pub fn content(now: u64, node: &str) -> Value {
    json!({
        "aud": ["nanoseg"],
        "exp": now + 3600,
        "iat": now,
        "nbf": now,
        "iss": ISSUER,
        "sub": AGENT,
        "kubernetes.io": {
            "namespace": "nanoseg",
            "node": {"name": node, "uid": "1"},
            "serviceaccount": {"name": "nanoseg-agent", "uid": "2"},
        },
    })
}

pub fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.expect("after 1970").as_secs()
}

pub fn base64url(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk
            .iter()
            .fold(0u32, |word, byte| word << 8 | u32::from(*byte));
        let word = word << (8 * (3 - chunk.len()));
        for digit in 0..=chunk.len() {
            text.push(char::from(DIGITS[(word >> (18 - 6 * digit)) as usize & 63]));
        }
    }
    text
}
