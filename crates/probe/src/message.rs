//! What a container writes about its tries into its termination message, from which the API server has it. A kubelet cuts a
//! message at 4096 bytes, so a message says itself where it ends.

use super::outcome::Outcome;
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use thiserror::Error;

const FIRST: &str = "nanoseg-probe/1";
const LAST: &str = "end";

/// The outcomes of one task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    pub first: Outcome,
    /// Of the second try, which follows one that was not as expected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second: Option<Outcome>,
}

impl Told {
    /// The outcome that counts.
    pub fn last(self) -> Outcome {
        self.second.unwrap_or(self.first)
    }
}

/// The message is not what `probe-connect` writes.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MessageError {
    #[error("the container wrote no results; is its image a nanoseg that knows probe-connect?")]
    Empty,
    #[error("the container wrote something else than results: {0}")]
    Other(String),
    #[error("the results are cut off after {0} tries")]
    Cut(usize),
    #[error("the container wrote {found} results for {asked} tries")]
    Count { found: usize, asked: usize },
}

/// Writes the message.
pub fn message(all: &[Told]) -> String {
    let mut text = format!("{FIRST}\n");
    for told in all {
        let _ = match told.second {
            Some(second) => writeln!(text, "{} {second}", told.first),
            None => writeln!(text, "{}", told.first),
        };
    }
    text.push_str(LAST);
    text.push('\n');
    text
}

/// Reads the message of a container that had `asked` tasks.
///
/// # Errors
/// It is empty, cut off, of another number of tries, or something else.
pub fn parse_message(text: &str, asked: usize) -> Result<Vec<Told>, MessageError> {
    let mut lines = text.lines();
    match lines.next() {
        None | Some("") => return Err(MessageError::Empty),
        Some(FIRST) => {}
        Some(other) => return Err(other_text(other)),
    }
    let mut all = Vec::new();
    loop {
        match lines.next() {
            None => return Err(MessageError::Cut(all.len())),
            Some(LAST) => break,
            Some(line) if all.len() < asked => all.push(told(line)?),
            Some(_) => {
                let found = all.len() + 1;
                return Err(MessageError::Count { found, asked });
            }
        }
    }
    let found = all.len();
    (found == asked)
        .then_some(all)
        .ok_or(MessageError::Count { found, asked })
}

fn told(line: &str) -> Result<Told, MessageError> {
    let mut words = line.split(' ');
    let outcome = |word: &str| word.parse::<Outcome>().map_err(|_| other_text(line));
    let told = Told {
        first: outcome(words.next().unwrap_or_default())?,
        second: words.next().map(outcome).transpose()?,
    };
    match words.next() {
        None => Ok(told),
        Some(_) => Err(other_text(line)),
    }
}

fn other_text(line: &str) -> MessageError {
    MessageError::Other(line.chars().take(80).collect())
}
