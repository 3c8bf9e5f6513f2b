//! The last few datagrams of a connection, to tell copies of one from datagrams that were sent again
//! (rule: copies-are-proven).
//!
//! With an IPv4 identification, equal datagrams within a second are copies. Without one, the place of capture
//! decides: a place shows a datagram once, or again within a moment (a bridge behind an interface). So a
//! datagram was sent as often as the place that showed it most.

/// How long equal datagrams may be copies, with an identification and without one, in units of 2^20 ns, about
/// a millisecond. Without one and without a place, all of that time counts as a moment.
const IDENTIFIED: u32 = 1000;
const UNIDENTIFIED: u32 = 100;
/// How long one place shows copies of one datagram, in the same unit: the clock is one, and bridges are fast.
const MOMENT: u8 = 1;

const ENTRIES: usize = 3;
/// Places counted apart; more share their counters.
const PLACES: usize = 8;
/// The low bits of a time hold the place that showed a datagram first; the others wrap around after six days.
const PLACE_BITS: u32 = 3;

/// One datagram as far as it may be a copy.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    /// Of its bytes, its sender and its identification.
    pub mark: u32,
    /// Nanoseconds since the epoch.
    pub at: i64,
    pub identified: bool,
    /// Where it was captured, with its time to live; `None`: not known.
    pub place: Option<u8>,
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Recent {
    marks: [u32; ENTRIES],
    /// When each was sent last, and in the low bits where it was seen first.
    times: [u32; ENTRIES],
    cursor: u8,
}

/// Of one datagram without an identification that was seen again, how often each place showed it: apart, since few
/// connections need it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Repeats {
    mark: u32,
    /// As in [`Recent::times`].
    time: u32,
    /// Four bits for each place.
    counts: u32,
    /// When each place showed it last.
    lasts: [u8; PLACES],
}

impl Recent {
    /// Returns true if the datagram is a copy of a recent one; otherwise remembers it.
    pub fn is_copy<'r>(&mut self, seen: Seen, repeats: impl FnOnce() -> &'r mut Repeats) -> bool {
        let now = (seen.at >> 20) as u32;
        let place = seen.place.map_or(0, |place| place % PLACES as u8);
        let window = if seen.identified {
            IDENTIFIED
        } else {
            UNIDENTIFIED
        };
        let found = (0..ENTRIES).find(|i| {
            let age = now.wrapping_sub(self.times[*i] >> PLACE_BITS) << PLACE_BITS;
            self.marks[*i] == seen.mark
                && age.wrapping_add(window << PLACE_BITS) <= (2 * window) << PLACE_BITS
        });
        match found {
            Some(_) if seen.identified || seen.place.is_none() => true,
            Some(entry) => {
                let repeats = repeats();
                if (repeats.mark, repeats.time) != (seen.mark, self.times[entry]) {
                    *repeats = Repeats::after_first(seen.mark, self.times[entry]);
                }
                let again = repeats.is_sent_again(now, place);
                self.times[entry] = repeats.time;
                !again
            }
            None => {
                let entry = usize::from(self.cursor) % ENTRIES;
                self.marks[entry] = seen.mark;
                self.times[entry] = now << PLACE_BITS | u32::from(place);
                self.cursor = (self.cursor + 1) % ENTRIES as u8;
                false
            }
        }
    }
}

impl Repeats {
    /// Of a datagram that was seen once so far.
    fn after_first(mark: u32, time: u32) -> Self {
        let first = (time % PLACES as u32) as usize;
        let mut lasts = [0; PLACES];
        lasts[first] = (time >> PLACE_BITS) as u8;
        Repeats {
            mark,
            time,
            counts: 1 << (4 * first),
            lasts,
        }
    }

    fn count(&self, place: usize) -> u32 {
        self.counts >> (4 * place) & 15
    }

    /// Returns true if a place shows it more often than any place did.
    fn is_sent_again(&mut self, now: u32, place: u8) -> bool {
        let place = usize::from(place);
        let last = std::mem::replace(&mut self.lasts[place], now as u8);
        let known = self.count(place);
        if known > 0 && (now as u8).wrapping_sub(last) <= MOMENT {
            return false;
        }
        let most = (0..PLACES).map(|place| self.count(place)).max();
        if known == 15 {
            // Only the differences matter. A place that is further behind is taken to have caught up.
            self.counts = (0..PLACES).fold(0, |all, place| {
                all | self.count(place).saturating_sub(8) << (4 * place)
            });
        }
        self.counts += 1 << (4 * place);
        let again = Some(known + 1) > most;
        if again {
            self.time = (now << PLACE_BITS) | (self.time % PLACES as u32);
        }
        again
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1 << 20;

    /// How many datagrams these are: milliseconds and places, all with the same bytes.
    fn counted(identified: bool, seen: &[(i64, u8)]) -> usize {
        let (mut recent, mut repeats) = (Recent::default(), Repeats::default());
        let is_new = |(at, place): &&(i64, u8)| {
            let seen = Seen {
                mark: 7,
                at: (1 << 40) + at * MS,
                identified,
                place: (*place > 0).then_some(*place),
            };
            !recent.is_copy(seen, || &mut repeats)
        };
        seen.iter().filter(is_new).count()
    }

    #[test]
    fn one_place_shows_equal_datagrams_as_often_as_they_were_sent() {
        let sent: Vec<_> = (0..40).map(|i| (i * 10, 1)).collect();
        assert_eq!(counted(false, &sent), 40);
        let doubled: Vec<_> = sent.iter().flat_map(|one| [*one, *one]).collect();
        assert_eq!(
            counted(false, &doubled),
            40,
            "a bridge behind the interface"
        );
        assert_eq!(counted(true, &sent[..10]), 1, "one identification");
    }

    #[test]
    fn several_places_show_the_same_datagrams() {
        for delay in [0, 3, 25, 60] {
            let sent = (0..12).map(|i| i * 10);
            let mut all: Vec<_> = sent
                .flat_map(|at| [(at, 1), (at + delay, 2), (at + delay, 3)])
                .collect();
            all.sort_unstable();
            assert_eq!(counted(false, &all), 12, "{delay}");
        }
    }

    #[test]
    fn where_the_place_is_not_known_a_tenth_of_a_second_is_a_moment() {
        assert_eq!(counted(false, &[(0, 0), (50, 0), (99, 0)]), 1);
        assert_eq!(counted(false, &[(0, 0), (150, 0)]), 2);
    }

    #[test]
    fn requests_and_answers_with_equal_bytes_are_counted_apart() {
        let (mut recent, mut repeats) = (Recent::default(), Repeats::default());
        let mut new = 0;
        for step in 0..10 {
            for (mark, delay) in [(2, 0), (3, 5)] {
                for place in [1, 2] {
                    let seen = Seen {
                        mark,
                        at: (step * 10 + delay) * MS,
                        identified: false,
                        place: Some(place),
                    };
                    new += usize::from(!recent.is_copy(seen, || &mut repeats));
                }
            }
        }
        assert_eq!(new, 20);
    }
}
