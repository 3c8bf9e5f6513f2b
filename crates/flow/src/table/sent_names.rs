//! Names that were sent before: clients ask a resolver for the same ones every few seconds.

use crate::NameEntry;
use nanoseg_net::Timestamp;
use rustc_hash::FxHashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;

/// Names remembered, 24 bytes each; beyond that they are sent again, which does no harm.
const MAX_SENT: usize = 1 << 16;

/// Names that were sent, by a hash with secrets of this process, with the time until which they hold.
#[derive(Debug, Default)]
pub(super) struct SentNames {
    until: FxHashMap<u64, Timestamp>,
    secrets: RandomState,
}

impl SentNames {
    /// Returns true if `entry` was not sent before or no longer held, and records it as sent.
    pub fn is_new(&mut self, address: IpAddr, entry: &NameEntry) -> bool {
        let name = self
            .secrets
            .hash_one((address, entry.client, entry.by, &entry.name));
        if let Some(until) = self.until.get(&name)
            && entry.from <= *until
        {
            return false;
        }
        if self.until.len() >= MAX_SENT {
            self.until.retain(|_, until| *until >= entry.from);
            if self.until.len() >= MAX_SENT {
                self.until.clear();
            }
        }
        self.until.insert(name, entry.until);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NamedBy;

    fn entry(name: &str, from: i64, ttl: i64) -> NameEntry {
        NameEntry {
            name: name.into(),
            client: IpAddr::from([10, 0, 0, 1]),
            by: NamedBy::Source,
            from: Timestamp::from_secs(from),
            until: Timestamp::from_secs(from + ttl),
        }
    }

    #[test]
    fn a_name_is_handed_on_once_as_long_as_it_holds() {
        let mut sent = SentNames::default();
        let web = IpAddr::from([192, 0, 2, 1]);
        assert!(sent.is_new(web, &entry("a.example", 100, 30)));
        assert!(!sent.is_new(web, &entry("a.example", 120, 30)));
        assert!(sent.is_new(web, &entry("b.example", 120, 30)), "another");
        assert!(sent.is_new(web, &entry("a.example", 131, 30)), "anew");
        assert!(!sent.is_new(web, &entry("a.example", 160, 30)));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut sent = SentNames::default();
        let web = IpAddr::from([192, 0, 2, 1]);
        for number in 0..2 * MAX_SENT {
            assert!(sent.is_new(web, &entry(&format!("n{number}"), 100, 30)));
            assert!(sent.until.len() <= MAX_SENT);
        }
    }
}
