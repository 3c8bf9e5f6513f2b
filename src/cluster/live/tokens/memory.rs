//! Keeps results by the digest of a token, each until its time, and at most a given number of them.

use std::collections::BTreeMap;
use std::time::Instant;

/// A token's SHA-256.
pub type Digest = [u8; 32];

pub fn digest(token: &str) -> Digest {
    let digest = ring::digest::digest(&ring::digest::SHA256, token.as_bytes());
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest.as_ref());
    bytes
}

/// The kept results.
#[derive(Debug)]
pub struct BoundedCache<T> {
    most: usize,
    answers: BTreeMap<Digest, (Instant, T)>,
}

impl<T> BoundedCache<T> {
    pub fn new(most: usize) -> BoundedCache<T> {
        BoundedCache {
            most,
            answers: BTreeMap::new(),
        }
    }

    pub fn get(&self, digest: &Digest, now: Instant) -> Option<&T> {
        let (until, answer) = self.answers.get(digest)?;
        (now < *until).then_some(answer)
    }

    /// Keeps a result until then. If there are too many, the expired ones are dropped, and if there is none,
    /// the one that expires first.
    pub fn put(&mut self, digest: Digest, answer: T, until: Instant, now: Instant) {
        if self.answers.len() >= self.most && !self.answers.contains_key(&digest) {
            self.answers.retain(|_, (until, _)| now < *until);
            let next = self.answers.iter().min_by_key(|(_, (until, _))| *until);
            if let Some((first, _)) = next
                && self.answers.len() >= self.most
            {
                let first = *first;
                self.answers.remove(&first);
            }
        }
        self.answers.insert(digest, (until, answer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn an_answer_is_good_for_its_time_and_no_longer() {
        let now = Instant::now();
        let mut memory = BoundedCache::new(2);
        memory.put(digest("a"), 1, now + Duration::from_secs(60), now);
        assert_eq!(
            memory.get(&digest("a"), now + Duration::from_secs(59)),
            Some(&1)
        );
        assert_eq!(
            memory.get(&digest("a"), now + Duration::from_secs(60)),
            None
        );
        assert_eq!(memory.get(&digest("b"), now), None);
    }

    #[test]
    fn if_there_are_too_many_the_one_that_ends_first_is_dropped() {
        let now = Instant::now();
        let in_seconds = |seconds| now + Duration::from_secs(seconds);
        let mut memory = BoundedCache::new(2);
        memory.put(digest("a"), 1, in_seconds(60), now);
        memory.put(digest("b"), 2, in_seconds(10), now);
        memory.put(digest("c"), 3, in_seconds(30), now);
        assert_eq!(memory.get(&digest("b"), now), None);
        assert_eq!(memory.get(&digest("a"), now), Some(&1));
        // "c" has expired by now. "a" is kept, and there is room.
        memory.put(digest("d"), 4, in_seconds(90), in_seconds(31));
        assert_eq!(memory.get(&digest("a"), in_seconds(31)), Some(&1));
        assert_eq!(memory.get(&digest("d"), in_seconds(31)), Some(&4));
    }
}
