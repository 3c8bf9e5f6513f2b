//! What one try heard, and what it tells.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// What the kernel of the client's pod said of one try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Outcome {
    /// The handshake was completed.
    Connected,
    /// A datagram came back.
    Answered,
    /// A TCP reset, or ICMP "port unreachable": `connect` does not tell which. Either the server does not listen, or
    /// somebody on the way rejects.
    Refused,
    /// ICMP for a datagram, and who sent it if the kernel told.
    Rejected { by: Option<IpAddr> },
    /// ICMP "host unreachable", "prohibited" or the like.
    Unreachable,
    /// Nothing came back in time.
    Silent,
    /// The try itself failed in the client's pod: the error number of the system.
    Failed { errno: i32 },
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Connected => f.write_str("connected"),
            Outcome::Answered => f.write_str("answered"),
            Outcome::Refused => f.write_str("refused"),
            Outcome::Rejected { by: None } => f.write_str("rejected"),
            Outcome::Rejected { by: Some(by) } => write!(f, "rejected-by={by}"),
            Outcome::Unreachable => f.write_str("unreachable"),
            Outcome::Silent => f.write_str("silent"),
            Outcome::Failed { errno } => write!(f, "failed={errno}"),
        }
    }
}

impl FromStr for Outcome {
    type Err = String;

    fn from_str(text: &str) -> Result<Outcome, String> {
        let wrong = || format!("{text:?} is no outcome of a try");
        let (word, value) = text.split_once('=').unwrap_or((text, ""));
        Ok(match (word, value) {
            ("connected", "") => Outcome::Connected,
            ("answered", "") => Outcome::Answered,
            ("refused", "") => Outcome::Refused,
            ("rejected", "") => Outcome::Rejected { by: None },
            ("unreachable", "") => Outcome::Unreachable,
            ("silent", "") => Outcome::Silent,
            ("rejected-by", by) => Outcome::Rejected {
                by: Some(by.parse().map_err(|_| wrong())?),
            },
            ("failed", errno) => Outcome::Failed {
                errno: errno.parse().map_err(|_| wrong())?,
            },
            _ => return Err(wrong()),
        })
    }
}

impl From<Outcome> for String {
    fn from(outcome: Outcome) -> String {
        outcome.to_string()
    }
}

impl TryFrom<String> for Outcome {
    type Error = String;

    fn try_from(text: String) -> Result<Outcome, String> {
        text.parse()
    }
}

impl Outcome {
    /// Returns true if the server itself was heard.
    pub fn is_heard(self) -> bool {
        matches!(self, Outcome::Connected | Outcome::Answered)
    }
}

/// Why a try tells nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Untold {
    /// The server is not shown to listen: nobody reached it in this run, not even its own pod.
    NotListening,
    /// A datagram without an answer: it was dropped, or taken in silence.
    SilentDatagram,
    /// ICMP came, and who sent it is not known: the server, or somebody on the way.
    UnknownSender,
    /// Pods or policies changed while it was tried.
    Changed,
    /// The try itself failed in the client's pod.
    Failed,
    /// No container could try it.
    NotTried,
}

impl Untold {
    pub fn words(self) -> &'static str {
        match self {
            Untold::NotListening => "nobody reached the server, so it may not listen",
            Untold::SilentDatagram => "no answer to a datagram: dropped, or taken in silence",
            Untold::UnknownSender => "rejected, and who rejected it is not known",
            Untold::Changed => "pods or policies changed meanwhile",
            Untold::Failed => "the try failed in the pod itself",
            Untold::NotTried => "it could not be tried",
        }
    }
}

/// What a try tells about the policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "is", content = "why")]
pub enum Verdict {
    AsExpected,
    /// As expected at the second try only, some seconds later.
    Late,
    /// Allowed, and it does not get through.
    Blocked,
    /// Denied, and it gets through.
    NotBlocked,
    /// The model left it open: it gets through.
    Passes,
    /// The model left it open: it does not get through.
    IsStopped,
    NotTold(Untold),
}

impl Verdict {
    /// Returns true if what was tried contradicts what was evaluated.
    pub fn differs(self) -> bool {
        matches!(self, Verdict::Blocked | Verdict::NotBlocked)
    }

    pub fn words(self) -> &'static str {
        match self {
            Verdict::AsExpected => "as expected",
            Verdict::Late => "as expected, at the second try",
            Verdict::Blocked => "BLOCKED, though allowed",
            Verdict::NotBlocked => "NOT BLOCKED, though denied",
            Verdict::Passes => "gets through (the model leaves it open)",
            Verdict::IsStopped => "is stopped (the model leaves it open)",
            Verdict::NotTold(_) => "not told",
        }
    }
}
