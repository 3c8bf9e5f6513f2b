//! Fewer records of the same connections: those of one minute, and later of one hour, become one.
//!
//! A record counts where it began (rule: owner-at-that-time), so records are merged only while both addresses stay in the
//! same hands, as far as that is known some minutes later. Counts, bytes, windows and the last time stay exact; that
//! several records began at different times is lost.

use super::budget::{FINE_MINUTES, SEPARATE_MINUTES};
use super::{AddressEpochs, Aggregate, FlowRecord, Observed, Observer, RecordIdentity};
use nanoseg_net::{SECOND, Timestamp};
use std::collections::BTreeMap;

/// Which records are merged: an observer's with the same identity but for the time, in the same slot and hands.
type Group = (Observer, RecordIdentity, i64, [u32; 2]);

/// The records of an hour or minute as one each.
#[derive(Debug, Default)]
pub struct Condensed {
    groups: BTreeMap<Group, Vec<FlowRecord>>,
}

impl Condensed {
    /// Adds a record as of the time `now`.
    pub fn add(&mut self, observed: Observed, epochs: &AddressEpochs, now: Timestamp) {
        let Observed { observer, record } = observed;
        let mut identity = record.identity();
        let slot = slot_of(record.first, now);
        identity.began = 0;
        let hands = [record.client, record.server].map(|a| epochs.epoch(a, record.first));
        let group = (observer, identity, slot, hands);
        self.groups.entry(group).or_default().push(record);
    }

    /// The records that become one, where these are several.
    pub fn into_groups(self) -> impl Iterator<Item = Vec<Observed>> {
        let several = self.groups.into_iter().filter(|(_, group)| group.len() > 1);
        several.map(|((observer, ..), records)| {
            let observed = |record| Observed {
                observer: observer.clone(),
                record,
            };
            records.into_iter().map(observed).collect()
        })
    }

    /// All records, merged.
    pub fn into_records(self) -> impl Iterator<Item = Observed> {
        let groups = self.groups.into_iter();
        groups.filter_map(|((observer, ..), records)| {
            let record = records.into_iter().reduce(|mut one, other| {
                one.absorb(&other);
                one
            })?;
            Some(Observed { observer, record })
        })
    }
}

impl Aggregate {
    /// Merges records that are some minutes old (see [`FINE_MINUTES`]).
    pub fn condense(&mut self, epochs: &AddressEpochs, now: Timestamp) {
        let mut condensed = Condensed::default();
        for observed in self.take_records() {
            condensed.add(observed, epochs, now);
        }
        for observed in condensed.into_records() {
            self.add_record(observed);
        }
    }
}

/// The seconds that a record shares with those that it is merged with, as a number that no other slot has.
fn slot_of(first: Timestamp, now: Timestamp) -> i64 {
    let seconds = first.nanos().div_euclid(SECOND);
    let age = now.nanos().div_euclid(SECOND).saturating_sub(seconds);
    // Apart from each other: nanoseconds, seconds of minutes, seconds of hours.
    if age < FINE_MINUTES * 60 {
        first.nanos()
    } else if age < SEPARATE_MINUTES * 60 {
        seconds.div_euclid(60)
    } else {
        -1 - seconds.div_euclid(3600)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ActivityWindows, FlowRecord, Opening, Source, Verdict};
    use nanoseg_net::Protocol;
    use std::sync::Arc;

    fn record(at: i64) -> FlowRecord {
        let at = Timestamp::from_secs(at);
        FlowRecord {
            client: [10, 0, 0, 1].into(),
            server: [10, 0, 0, 2].into(),
            port: 80,
            protocol: Protocol::Tcp,
            via: None,
            seen_as: None,
            client_port: None,
            verdict: Verdict::Established,
            opening: Opening::Handshake,
            labels: None,
            observers: Default::default(),
            told: None,
            connections: 1,
            datagrams: 0,
            bytes_to_server: 10,
            bytes_to_client: 20,
            first: at,
            last: at.plus_secs(1),
            windows: ActivityWindows::at(at),
        }
    }

    fn aggregate(times: impl IntoIterator<Item = i64>) -> Aggregate {
        let mut all = Aggregate::default();
        for at in times {
            let observer = Observer {
                node: Arc::from("n1"),
                source: Source::Conntrack,
            };
            all.add_record(Observed {
                observer,
                record: record(at),
            });
        }
        all
    }

    const NOW: Timestamp = Timestamp::from_secs(7200);

    #[test]
    fn an_hour_of_probes_is_few_records_with_the_same_counts() {
        let mut all = aggregate((0..7200).step_by(10));
        let connections = |all: &Aggregate| all.records().map(|(_, r)| r.connections).sum::<u64>();
        let before = connections(&all);
        all.condense(&AddressEpochs::default(), NOW);
        assert_eq!(connections(&all), before);
        let count = all.records().count();
        // Two hours, 17 minutes, and each of the last three minutes for itself.
        assert!((2 + 17..=2 + 17 + 19).contains(&count), "{count}");
        let once = all.clone();
        all.condense(&AddressEpochs::default(), NOW);
        assert_eq!(all, once, "condensing again changes nothing");
    }

    #[test]
    fn records_are_not_merged_across_a_change_of_hands() {
        let mut epochs = AddressEpochs::default();
        epochs.add([10, 0, 0, 2].into(), Timestamp::from_secs(1800));
        let mut all = aggregate([1700, 1799, 1801, 1900]);
        all.condense(&epochs, NOW);
        let firsts: Vec<i64> = all
            .records()
            .map(|(_, r)| r.first.nanos() / SECOND)
            .collect();
        assert_eq!(firsts, [1700, 1801]);
    }

    #[test]
    fn records_of_the_last_minutes_stay_as_they_are() {
        let times = [7190, 7191, 7195];
        let mut all = aggregate(times);
        let before = all.clone();
        all.condense(&AddressEpochs::default(), NOW);
        assert_eq!(all, before);
    }
}
