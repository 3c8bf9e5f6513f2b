//! Digests: names for contents.

use serde::{Deserialize, Serialize};
use std::fmt;

/// `sha256:` and 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

const PREFIX: &str = "sha256:";

/// A text that is no digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("failed to read digest {0:?}: it is not sha256: and 64 lower-case hexadecimal digits")]
pub struct NotADigest(String);

impl Digest {
    /// SHA-256 of `bytes`.
    pub fn of_bytes(bytes: &[u8]) -> Digest {
        Digest(format!("{PREFIX}{}", nanoseg_net::sha256_hex(bytes)))
    }

    /// Reads the text form.
    ///
    /// # Errors
    /// Anything else than `sha256:` and 64 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Result<Digest, NotADigest> {
        Digest::try_from(text.to_owned())
    }

    /// The digest before the first line of a record. Nothing that was ever hashed has it.
    pub(crate) fn zero() -> Digest {
        Digest(format!("{PREFIX}{}", "0".repeat(64)))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Digest {
    type Error = NotADigest;

    fn try_from(text: String) -> Result<Digest, NotADigest> {
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        match text.strip_prefix(PREFIX) {
            Some(rest) if rest.len() == 64 && rest.bytes().all(is_hex) => Ok(Digest(text)),
            _ => Err(NotADigest(text)),
        }
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_of_bytes_is_sha_256() {
        // FIPS 180-2, appendix B.1.
        assert_eq!(
            Digest::of_bytes(b"abc").to_string(),
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn only_the_written_form_is_read_back() {
        let digest = Digest::of_bytes(b"x");
        assert_eq!(Digest::parse(digest.as_str()), Ok(digest.clone()));
        for bad in [
            "",
            "sha256:",
            &digest.as_str().to_uppercase(),
            &digest.as_str()[1..],
            &format!("{digest}0"),
        ] {
            assert!(Digest::parse(bad).is_err(), "{bad}");
        }
    }
}
