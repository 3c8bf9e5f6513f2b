//! The ids by which the stream finds a message that was sent twice.
//!
//! Whoever may publish can publish under any id, and the stream drops what comes later under the same one. So an id
//! must be one that nobody else can know: the digest of the batch with a secret of this process.

use nanoseg_flow::BatchId;
use std::collections::BTreeMap;

/// How many batches are remembered; a spool has far fewer under way.
const REMEMBERED: usize = 4096;

/// Makes ids.
pub struct MessageIds {
    secret: ring::hmac::Key,
    attempts: BTreeMap<BatchId, Attempt>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Attempt {
    /// How many ids were given up.
    round: u64,
    /// It was sent under the present id.
    was_sent: bool,
}

/// An id, and whether the batch was sent under it before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageId {
    pub text: String,
    pub was_sent: bool,
}

impl MessageIds {
    /// Takes a new secret from the operating system.
    ///
    /// # Errors
    /// If it gives none.
    pub fn new() -> Result<MessageIds, String> {
        let random = ring::rand::SystemRandom::new();
        let secret = ring::hmac::Key::generate(ring::hmac::HMAC_SHA256, &random);
        Ok(MessageIds {
            secret: secret.map_err(|_| "failed to get random numbers".to_owned())?,
            attempts: BTreeMap::new(),
        })
    }

    /// Returns the id to send a batch under.
    pub fn next(&mut self, batch: BatchId) -> MessageId {
        if self.attempts.len() >= REMEMBERED && !self.attempts.contains_key(&batch) {
            self.attempts.pop_first();
        }
        let attempt = self.attempts.entry(batch).or_default();
        let was_sent = std::mem::replace(&mut attempt.was_sent, true);
        let round = attempt.round;
        let digest = ring::hmac::sign(&self.secret, format!("{batch} {round}").as_bytes());
        let text = digest.as_ref().iter().map(|byte| format!("{byte:02x}"));
        MessageId {
            text: text.collect(),
            was_sent,
        }
    }

    /// Gives up the id of a batch: somebody else has used it.
    pub fn renew(&mut self, batch: BatchId) {
        let attempt = self.attempts.entry(batch).or_default();
        *attempt = Attempt {
            round: attempt.round.saturating_add(1),
            was_sent: false,
        };
    }

    /// Forgets a batch that is stored.
    pub fn forget(&mut self, batch: BatchId) {
        self.attempts.remove(&batch);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nanoseg_flow::Instance;

    fn batch(number: u64) -> BatchId {
        BatchId {
            instance: Instance([1; 16]),
            sequence: (number, number),
        }
    }

    #[test]
    fn an_id_is_the_same_until_it_is_given_up_and_another_in_each_run() {
        let mut ids = MessageIds::new().unwrap();
        let first = ids.next(batch(1));
        assert!(!first.was_sent);
        let again = ids.next(batch(1));
        assert_eq!(
            (again.text.clone(), again.was_sent),
            (first.text.clone(), true)
        );
        assert_ne!(ids.next(batch(2)).text, first.text);
        ids.renew(batch(1));
        let renewed = ids.next(batch(1));
        assert!(renewed.text != first.text && !renewed.was_sent);
        let other = MessageIds::new().unwrap().next(batch(1));
        assert_ne!(other.text, first.text, "nobody can know it");
        assert!(!first.text.contains(&batch(1).instance.to_string()));
    }

    #[test]
    fn few_batches_are_remembered() {
        let mut ids = MessageIds::new().unwrap();
        for number in 0..2 * REMEMBERED as u64 {
            ids.next(batch(number));
        }
        assert_eq!(ids.attempts.len(), REMEMBERED);
    }
}
