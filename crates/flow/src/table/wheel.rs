//! A timer wheel for the next check of each connection: a ring of one-second buckets. Entries may be
//! stale; the caller checks. Nothing is touched per packet.

use nanoseg_net::SECOND;

/// Buckets of a second; longer waits take several rounds.
const BUCKETS: usize = 1024;

/// A connection's slot and the slot's generation at that time.
pub(super) type Ticket = (u32, u32);

pub(super) struct Wheel {
    buckets: Vec<Vec<Ticket>>,
    /// The second up to which all tickets were taken; `None` before the first packet.
    now: Option<i64>,
    tickets: usize,
}

impl Wheel {
    pub fn new() -> Self {
        Wheel {
            buckets: vec![Vec::new(); BUCKETS],
            now: None,
            tickets: 0,
        }
    }

    pub fn tickets(&self) -> usize {
        self.tickets
    }

    /// Schedules `ticket` for `nanos` or, if that is too far ahead, earlier.
    pub fn schedule(&mut self, nanos: i64, ticket: Ticket) {
        let now = *self.now.get_or_insert(nanos.div_euclid(SECOND));
        let wait = nanos
            .div_euclid(SECOND)
            .saturating_sub(now)
            .clamp(1, BUCKETS as i64 - 1);
        self.bucket(now + wait).push(ticket);
        self.tickets += 1;
    }

    fn bucket(&mut self, second: i64) -> &mut Vec<Ticket> {
        &mut self.buckets[second.rem_euclid(BUCKETS as i64) as usize]
    }

    /// Returns true if [`Wheel::advance`] may have tickets to take at `nanos`.
    #[inline(always)]
    pub fn is_due(&self, nanos: i64) -> bool {
        match self.now {
            Some(now) => nanos >= (now + 1).saturating_mul(SECOND),
            None => true,
        }
    }

    /// Moves one second towards `nanos` and appends its bucket to `out`. Returns false once it is there.
    pub fn advance(&mut self, nanos: i64, out: &mut Vec<Ticket>) -> bool {
        let target = nanos.div_euclid(SECOND);
        let now = *self.now.get_or_insert(target);
        if now >= target {
            return false;
        }
        // After a long silence one round over all buckets is enough.
        let next = (now + 1).max(target.saturating_sub(BUCKETS as i64 - 1));
        self.now = Some(next);
        let bucket = self.bucket(next);
        out.append(bucket);
        self.tickets -= out.len();
        true
    }

    /// Keeps only the tickets for which `keep` returns true.
    pub fn retain(&mut self, mut keep: impl FnMut(Ticket) -> bool) {
        self.tickets = 0;
        for bucket in &mut self.buckets {
            bucket.retain(|ticket| keep(*ticket));
            self.tickets += bucket.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ticket_comes_out_at_its_second_or_earlier_but_never_later() {
        let mut wheel = Wheel::new();
        wheel.schedule(100 * SECOND, (0, 0));
        let start = 100 * SECOND;
        for (slot, wait) in [1, 5, 1000, 5000].into_iter().enumerate() {
            wheel.schedule(start + wait * SECOND, (slot as u32 + 1, 0));
        }
        let mut at = |second: i64| {
            let (mut all, mut out) = (Vec::new(), Vec::new());
            while wheel.advance(start + second * SECOND, &mut out) {
                all.append(&mut out);
            }
            all.iter().map(|ticket| ticket.0).collect::<Vec<_>>()
        };
        assert_eq!(at(2), [0, 1]);
        assert_eq!(at(5), [2]);
        assert!(at(999).is_empty());
        assert_eq!(at(100_000), [3, 4]);
        assert_eq!(wheel.tickets(), 0);
    }
}
