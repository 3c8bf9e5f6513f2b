//! The API server's public keys, also from a file that may change (keys rotate), and what they verify.

use super::super::{LogLimit, Refusal};
use super::refusal;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

/// A public key.
struct Key {
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

/// All keys that an API server may sign with.
#[derive(Default)]
pub struct Keys(Vec<Key>);

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Keys").field(&self.0.len()).finish()
    }
}

impl Keys {
    /// Verifies the signature of a token, and nothing else.
    ///
    /// # Errors
    /// Why it is not that of one of the keys.
    pub fn verify(&self, token: &str) -> Result<(), Refusal> {
        let header = jsonwebtoken::decode_header(token)
            .map_err(|_| refusal("bad-token", "it is no signed token of RFC 7519"))?;
        let candidates = self.0.iter().filter(|key| {
            key.algorithm == header.alg
                && (header.kid.is_none() || key.id.is_none() || key.id == header.kid)
        });
        let mut last = refusal(
            "unknown-key",
            "it is signed with a key that is not among the API server's; if the keys are from a file, fetch them again",
        );
        for key in candidates {
            let mut rules = Validation::new(key.algorithm);
            rules.validate_exp = false;
            rules.validate_nbf = false;
            rules.validate_aud = false;
            rules.required_spec_claims.clear();
            match jsonwebtoken::decode::<serde::de::IgnoredAny>(token, &key.key, &rules) {
                Ok(_) => return Ok(()),
                Err(_) => last = refusal("bad-signature", "its signature is wrong"),
            }
        }
        Err(last)
    }
}

/// Reads keys in the form of `kubectl get --raw /openid/v1/jwks`.
///
/// # Errors
/// Why it holds none.
pub fn parse(jwks: &str) -> Result<Keys, String> {
    let set: JwkSet = serde_json::from_str(jwks).map_err(|e| e.to_string())?;
    let keys: Vec<Key> = set.keys.iter().filter_map(build_key).collect();
    if keys.is_empty() {
        return Err("it holds no RS256 or ES256 key".to_owned());
    }
    Ok(Keys(keys))
}

/// The file of keys, with the keys that it had when it was last read.
pub struct KeyFile {
    path: PathBuf,
    read: Mutex<Read>,
    log: LogLimit,
}

struct Read {
    stamp: Option<Stamp>,
    keys: Arc<Keys>,
}

/// Shows whether a file has changed. A mounted ConfigMap changes by a new symbolic link, so the inode counts too.
type Stamp = (SystemTime, u64, u64);

impl std::fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyFile").field("path", &self.path).finish()
    }
}

impl KeyFile {
    pub fn open(path: PathBuf) -> Result<KeyFile, String> {
        let keys = KeyFile {
            path,
            read: Mutex::new(Read {
                stamp: None,
                keys: Arc::default(),
            }),
            log: LogLimit::default(),
        };
        keys.read_again()?;
        Ok(keys)
    }

    /// Returns the keys that the file has now. If it cannot be read any more, those that it had before.
    pub fn current(&self) -> Arc<Keys> {
        // Each token that comes would be a line.
        if let Err(reason) = self.read_again()
            && let Some(left_out) = self.log.admit("keys", Instant::now())
        {
            tracing::warn!(left_out, "{reason}; the keys read before stay in use");
        }
        self.lock().keys.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Read> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read_again(&self) -> Result<(), String> {
        let failed = |why: &dyn std::fmt::Display| {
            format!(
                "failed to read the keys of tokens in {}: {why}; write there what `kubectl get --raw /openid/v1/jwks` prints",
                self.path.display()
            )
        };
        let stamp = self.stamp().map_err(|e| failed(&e))?;
        if self.lock().stamp == Some(stamp) {
            return Ok(());
        }
        let text = fs::read_to_string(&self.path).map_err(|e| failed(&e))?;
        let keys = parse(&text).map_err(|e| failed(&e))?;
        let mut read = self.lock();
        read.stamp = Some(stamp);
        read.keys = Arc::new(keys);
        Ok(())
    }

    fn stamp(&self) -> std::io::Result<Stamp> {
        use std::os::unix::fs::MetadataExt;
        let data = fs::metadata(&self.path)?;
        Ok((data.modified()?, data.ino(), data.len()))
    }
}

/// Returns the key if it is of a kind that API servers sign with.
fn build_key(jwk: &jsonwebtoken::jwk::Jwk) -> Option<Key> {
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => {
            Algorithm::ES256
        }
        _ => return None,
    };
    Some(Key {
        id: jwk.common.key_id.clone(),
        algorithm,
        key: DecodingKey::from_jwk(jwk).ok()?,
    })
}
