//! The API server's public keys, from a file that may change (keys rotate).

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey};
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

/// A public key.
pub struct Key {
    pub id: Option<String>,
    pub algorithm: Algorithm,
    pub key: DecodingKey,
}

/// The file of keys, with the keys that it had when it was last read.
pub struct KeyFile {
    path: PathBuf,
    read: Mutex<Read>,
}

struct Read {
    stamp: Option<Stamp>,
    keys: Arc<Vec<Key>>,
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
        };
        keys.read_again()?;
        Ok(keys)
    }

    /// Returns the keys that the file has now. If it cannot be read any more, those that it had before.
    pub fn current(&self) -> Arc<Vec<Key>> {
        if let Err(reason) = self.read_again() {
            tracing::warn!("{reason}; the keys read before stay in use");
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
        let set: JwkSet = serde_json::from_str(&text).map_err(|e| failed(&e))?;
        let keys: Vec<Key> = set.keys.iter().filter_map(build_key).collect();
        if keys.is_empty() {
            return Err(failed(&"it holds no RS256 or ES256 key"));
        }
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
