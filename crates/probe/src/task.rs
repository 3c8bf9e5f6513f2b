//! What one container is asked to try: an argument of its command line for each try.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use thiserror::Error;

/// What the evaluator says of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expected {
    Allowed,
    Denied,
    /// The model of the network plugin leaves it open, so the try tells which of the two holds.
    Open,
}

impl Expected {
    const ALL: [Expected; 3] = [Expected::Allowed, Expected::Denied, Expected::Open];

    pub fn words(self) -> &'static str {
        match self {
            Expected::Allowed => "allowed",
            Expected::Denied => "denied",
            Expected::Open => "open",
        }
    }
}

/// How a connection is tried. Nothing but this is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// SYN, SYN-ACK, and a reset in the place of the acknowledgment: the server's program sees no connection.
    Tcp,
    /// An SCTP association that is aborted; no data.
    Sctp,
    /// One UDP datagram with a line feed in it: an empty line to protocols of lines.
    Datagram,
    /// One DNS query over UDP for the server's own identity (RFC 4892), which a server answers without asking another.
    DnsQuery,
}

impl Way {
    const ALL: [Way; 4] = [Way::Tcp, Way::Sctp, Way::Datagram, Way::DnsQuery];

    pub fn words(self) -> &'static str {
        match self {
            Way::Tcp => "tcp",
            Way::Sctp => "sctp",
            Way::Datagram => "udp",
            Way::DnsQuery => "dns",
        }
    }

    /// Returns true if a server that is reached answers, so that its silence means something.
    pub fn is_answered(self) -> bool {
        !matches!(self, Way::Datagram)
    }
}

/// One try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Task {
    pub expected: Expected,
    pub way: Way,
    pub to: SocketAddr,
}

/// The text is no task.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{0:?} is not a try: write EXPECTED/WAY/ADDRESS:PORT, such as allowed/tcp/10.244.1.5:8080; EXPECTED is allowed, denied or open, WAY is tcp, sctp, udp or dns"
)]
pub struct TaskError(String);

impl fmt::Display for Task {
    /// `denied/tcp/10.244.1.5:8080`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (expected, way) = (self.expected.words(), self.way.words());
        write!(f, "{expected}/{way}/{}", self.to)
    }
}

impl FromStr for Task {
    type Err = TaskError;

    fn from_str(text: &str) -> Result<Task, TaskError> {
        let mut parts = text.splitn(3, '/');
        let mut part = || parts.next().unwrap_or_default();
        let (expected, way, to) = (part(), part(), part());
        let find = || {
            Some(Task {
                expected: Expected::ALL
                    .into_iter()
                    .find(|one| one.words() == expected)?,
                way: Way::ALL.into_iter().find(|one| one.words() == way)?,
                to: to.parse().ok().filter(|to: &SocketAddr| to.port() > 0)?,
            })
        };
        find().ok_or_else(|| TaskError(text.to_owned()))
    }
}
