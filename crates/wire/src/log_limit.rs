//! Log lines that others can cause: one of each kind in a while, with the number of those left out.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long after a line the next one of its kind is left out.
const EVERY: Duration = Duration::from_secs(10);

/// Limits the log lines of each kind. Kinds are the program's own words, so there are few.
#[derive(Debug, Default)]
pub struct LogLimit(Mutex<BTreeMap<&'static str, Kind>>);

#[derive(Debug)]
struct Kind {
    last: Instant,
    left_out: u64,
}

impl LogLimit {
    /// Returns how many lines of this kind were left out since the last one; `None`: leave out this one too.
    pub fn admit(&self, kind: &'static str, now: Instant) -> Option<u64> {
        let mut kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(known) = kinds.get_mut(kind) else {
            kinds.insert(
                kind,
                Kind {
                    last: now,
                    left_out: 0,
                },
            );
            return Some(0);
        };
        if now.saturating_duration_since(known.last) < EVERY {
            known.left_out = known.left_out.saturating_add(1);
            return None;
        }
        known.last = now;
        Some(std::mem::take(&mut known.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_one_kind_is_a_line_in_ten_seconds_and_silences_no_other_kind() {
        let (limit, start) = (LogLimit::default(), Instant::now());
        assert_eq!(limit.admit("bad-token", start), Some(0));
        for n in 0..1000 {
            assert_eq!(
                limit.admit("bad-token", start + Duration::from_millis(n)),
                None
            );
        }
        assert_eq!(limit.admit("expired", start), Some(0));
        assert_eq!(limit.admit("bad-token", start + EVERY), Some(1000));
        assert_eq!(limit.admit("bad-token", start + 2 * EVERY), Some(0));
    }
}
