//! DNS questions that were seen and may still be answered: an answer to anything else names nothing
//! (rule: dns-names-outside-addresses).

use nanoseg_net::Timestamp;
use rustc_hash::FxHashSet;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;

/// How long a question waits for its answer, in seconds. Resolvers of hosts give up after 5 (resolv.conf(5), `timeout`),
/// and try twice.
const WAIT: i64 = 30;
/// Questions of [`WAIT`] seconds that are remembered, 8 bytes each, twice. More make the older ones forgotten.
const MAX_QUESTIONS: usize = 1 << 16;

/// Who asked whom for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Question<'a> {
    pub client: SocketAddr,
    pub resolver: SocketAddr,
    pub over_tcp: bool,
    /// The id of the message (RFC 1035 section 4.1.1).
    pub id: u16,
    /// The name as [`crate::learn_answers`] writes it.
    pub name: &'a str,
}

/// The questions of the last moments, by hashes with secrets of this process.
#[derive(Debug, Default)]
pub struct Questions {
    recent: FxHashSet<u64>,
    older: FxHashSet<u64>,
    /// When `recent` began.
    since: Option<Timestamp>,
    secrets: RandomState,
    forgotten: u64,
}

impl Questions {
    /// Notes a question.
    pub fn ask(&mut self, question: &Question<'_>, at: Timestamp) {
        let since = *self.since.get_or_insert(at);
        let full = self.recent.len() >= MAX_QUESTIONS;
        if full || at.secs_since(since) > WAIT {
            if full {
                self.forgotten += self.older.len() as u64;
            }
            self.older = std::mem::take(&mut self.recent);
            self.since = Some(at);
        }
        self.recent.insert(self.secrets.hash_one(question));
    }

    /// Returns true if it was asked. It stays: the answer may be seen at several places.
    pub fn is_asked(&self, question: &Question<'_>) -> bool {
        let hash = self.secrets.hash_one(question);
        self.recent.contains(&hash) || self.older.contains(&hash)
    }

    /// The number of questions that were forgotten early, for lack of room.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(name: &str) -> Question<'_> {
        Question {
            client: "10.0.0.1:40000".parse().unwrap(),
            resolver: "10.96.0.10:53".parse().unwrap(),
            over_tcp: false,
            id: 7,
            name,
        }
    }

    #[test]
    fn a_question_is_known_by_all_that_an_answer_repeats_and_for_a_while() {
        let mut questions = Questions::default();
        let asked = question("bank.example");
        questions.ask(&asked, Timestamp::from_secs(100));
        assert!(questions.is_asked(&asked));
        let others = [
            Question { id: 8, ..asked },
            Question {
                name: "other.example",
                ..asked
            },
            Question {
                over_tcp: true,
                ..asked
            },
            Question {
                client: "10.0.0.1:40001".parse().unwrap(),
                ..asked
            },
            Question {
                client: "10.0.0.2:40000".parse().unwrap(),
                ..asked
            },
            Question {
                resolver: "10.0.0.9:53".parse().unwrap(),
                ..asked
            },
        ];
        assert!(others.iter().all(|other| !questions.is_asked(other)));
        for later in [131, 162] {
            questions.ask(&question("later.example"), Timestamp::from_secs(later));
        }
        assert!(!questions.is_asked(&asked));
    }

    #[test]
    fn a_flood_of_questions_takes_no_more_than_its_room_and_is_counted() {
        let mut questions = Questions::default();
        for number in 0..3 * MAX_QUESTIONS + 1 {
            let name = format!("n{number}");
            questions.ask(&question(&name), Timestamp::from_secs(100));
            assert!(questions.recent.len() + questions.older.len() <= 2 * MAX_QUESTIONS);
        }
        assert_eq!(questions.forgotten(), 2 * MAX_QUESTIONS as u64);
    }
}
