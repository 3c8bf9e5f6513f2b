//! The chain: each line follows the one before.

use crate::{Digest, Entry, RecordLine, line};
use nanoseg_net::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The end of a chain: what the next line follows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Head {
    /// 0 while nothing is recorded.
    pub sequence: u64,
    pub digest: Digest,
}

/// A text that is no head.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no head: write NUMBER:sha256:DIGEST, as nanoseg record verify prints it")]
pub struct NotAHead(String);

impl Head {
    /// Reads the text form; `sha256:` may be left out.
    ///
    /// # Errors
    /// Anything else.
    pub fn parse(text: &str) -> Result<Head, NotAHead> {
        let wrong = || NotAHead(text.to_owned());
        let (number, digest) = text.split_once(':').ok_or_else(wrong)?;
        let digest = if digest.starts_with("sha256:") {
            Digest::parse(digest)
        } else {
            Digest::parse(&format!("sha256:{digest}"))
        };
        Ok(Head {
            sequence: number.parse().map_err(|_| wrong())?,
            digest: digest.map_err(|_| wrong())?,
        })
    }
}

impl TryFrom<String> for Head {
    type Error = NotAHead;

    fn try_from(text: String) -> Result<Head, NotAHead> {
        Head::parse(&text)
    }
}

impl From<Head> for String {
    fn from(head: Head) -> String {
        head.to_string()
    }
}

/// `NUMBER:sha256:DIGEST`.
impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.sequence, self.digest)
    }
}

impl Default for Head {
    fn default() -> Self {
        Head {
            sequence: 0,
            digest: Digest::zero(),
        }
    }
}

/// Makes lines, each following the one before.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Chain {
    head: Head,
}

impl Chain {
    /// A chain that goes on after `head`.
    pub fn after(head: Head) -> Chain {
        Chain { head }
    }

    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Makes the next line. It is part of the chain from now on: a caller that fails to store it has to go back
    /// to the head before.
    pub fn append(&mut self, entry: Entry, at: Timestamp) -> RecordLine {
        let mut line = RecordLine {
            sequence: self.head.sequence.saturating_add(1),
            at,
            entry,
            previous: self.head.digest.clone(),
            digest: Digest::zero(),
            untyped: false,
        };
        line.digest = line::digest(&line);
        self.head = line.head();
        line
    }
}
