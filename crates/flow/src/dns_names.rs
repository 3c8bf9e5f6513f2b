//! Names under which addresses were looked up, with the client that asked and the time until which the answer held.

use nanoseg_net::Timestamp;
use rustc_hash::FxHashMap;
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// Bounds of a [`NameTable`]; what does not fit is counted.
const MAX_NAMES: usize = 100_000;
const MAX_NAMES_PER_ADDRESS: usize = 256;

/// Who says that an address has a name. Whether he is a resolver, only the inventory knows
/// (rule: dns-names-outside-addresses).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum NamedBy {
    /// Not known, as in batches of older agents.
    #[default]
    Unknown,
    /// The source itself, from the answers that its own DNS proxy let pass (Cilium's Hubble).
    Source,
    /// Who answered the question.
    Resolver(IpAddr),
}

impl fmt::Display for NamedBy {
    /// `unknown`, `source`, or the resolver's address.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NamedBy::Unknown => f.write_str("unknown"),
            NamedBy::Source => f.write_str("source"),
            NamedBy::Resolver(address) => address.fmt(f),
        }
    }
}

impl FromStr for NamedBy {
    type Err = std::net::AddrParseError;

    fn from_str(text: &str) -> Result<NamedBy, Self::Err> {
        match text {
            "unknown" => Ok(NamedBy::Unknown),
            "source" => Ok(NamedBy::Source),
            address => Ok(NamedBy::Resolver(address.parse()?)),
        }
    }
}

impl Serialize for NamedBy {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Who may be told a name of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NameTrust {
    /// Nobody: it is not a name.
    None,
    /// The client that asked: it chose its resolver itself.
    Asker,
    /// Everybody: a resolver of the cluster said so.
    All,
}

/// One answer: `client` asked for `name` and received an address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct NameEntry {
    pub name: Box<str>,
    pub client: IpAddr,
    /// Who answered.
    #[serde(rename = "resolver")]
    pub by: NamedBy,
    pub from: Timestamp,
    /// When the last answer's TTL ends.
    pub until: Timestamp,
}

/// DNS answers seen in the traffic, by address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NameTable {
    entries: FxHashMap<IpAddr, Vec<NameEntry>>,
    names: usize,
    overflow: u64,
}

impl NameTable {
    /// Records that `asked.0` received at `at` the answer of `asked.1` that `name` has `address`, valid for `ttl` seconds.
    pub fn learn(
        &mut self,
        address: IpAddr,
        name: &str,
        asked: (IpAddr, NamedBy),
        at: Timestamp,
        ttl: u32,
    ) {
        self.note(address, name, asked, (at, at.plus_secs(ttl.into())));
    }

    /// Adds an entry of another table.
    pub fn add(&mut self, address: IpAddr, entry: NameEntry) {
        let held = (entry.from, entry.until);
        self.note(address, &entry.name, (entry.client, entry.by), held);
    }

    fn note(
        &mut self,
        address: IpAddr,
        name: &str,
        (client, by): (IpAddr, NamedBy),
        (from, until): (Timestamp, Timestamp),
    ) {
        let entries = self.entries.entry(address).or_default();
        let place = entries.binary_search_by(|entry| {
            (&*entry.name, entry.client, entry.by).cmp(&(name, client, by))
        });
        match place {
            Ok(place) => {
                if let Some(known) = entries.get_mut(place) {
                    known.from = known.from.min(from);
                    known.until = known.until.max(until);
                }
            }
            Err(place) if self.names < MAX_NAMES && entries.len() < MAX_NAMES_PER_ADDRESS => {
                self.names += 1;
                entries.insert(
                    place,
                    NameEntry {
                        name: name.into(),
                        client,
                        by,
                        from,
                        until,
                    },
                );
            }
            Err(_) => self.overflow += 1,
        }
    }

    /// Forgets names that no answer has held since `before`: else those of clients that are gone would fill the room of
    /// those that are there (rule: bounded-memory).
    pub fn forget(&mut self, before: Timestamp) {
        self.entries.retain(|_, entries| {
            entries.retain(|entry| entry.until >= before);
            !entries.is_empty()
        });
        self.names = self.entries.values().map(Vec::len).sum();
    }

    /// Removes all entries and returns them in order.
    pub fn drain(&mut self) -> Vec<(IpAddr, NameEntry)> {
        let mut list: Vec<_> = std::mem::take(&mut self.entries)
            .into_iter()
            .flat_map(|(address, entries)| entries.into_iter().map(move |entry| (address, entry)))
            .collect();
        list.sort();
        self.names = 0;
        list
    }

    /// Names that `client` had for `address` at `at`. Programs keep answers beyond their TTL, so an
    /// older answer to that client counts if no current one is known; and the answers to other clients
    /// count if that client's own question was not seen. `trust` tells which entries are believed.
    pub fn resolve(
        &self,
        address: IpAddr,
        client: IpAddr,
        at: Timestamp,
        trust: impl Fn(&NameEntry) -> NameTrust,
    ) -> BTreeSet<&str> {
        let Some(entries) = self.entries.get(&address) else {
            return BTreeSet::new();
        };
        let pick = |wanted: &dyn Fn(&NameEntry) -> bool| -> BTreeSet<&str> {
            entries
                .iter()
                .filter(|entry| wanted(entry))
                .map(|entry| &*entry.name)
                .collect()
        };
        let own = |entry: &NameEntry| entry.client == client && trust(entry) != NameTrust::None;
        let choices: [&dyn Fn(&NameEntry) -> bool; 3] = [
            &|entry| own(entry) && (entry.from..=entry.until).contains(&at),
            &|entry| own(entry) && entry.from <= at,
            &|entry| trust(entry) == NameTrust::All,
        ];
        choices
            .iter()
            .map(|wanted| pick(wanted))
            .find(|names| !names.is_empty())
            .unwrap_or_default()
    }

    /// Names that `client` itself was told for `address`, before or at `at`; `trust` tells which entries are believed.
    /// Answers to others do not count: who calls an address that it never looked up has it from elsewhere.
    pub fn looked_up(
        &self,
        address: IpAddr,
        client: IpAddr,
        at: Timestamp,
        trust: impl Fn(&NameEntry) -> NameTrust,
    ) -> BTreeSet<&str> {
        let entries = self.entries.get(&address).into_iter().flatten();
        let own = entries.filter(|entry| entry.client == client && entry.from <= at);
        own.filter(|entry| trust(entry) != NameTrust::None)
            .map(|entry| &*entry.name)
            .collect()
    }

    /// The entries of these addresses only.
    pub fn only(&self, addresses: impl IntoIterator<Item = IpAddr>) -> NameTable {
        let mut some = NameTable::default();
        for address in addresses {
            if let Some(entries) = self.entries.get(&address) {
                some.names += entries.len();
                some.entries.insert(address, entries.clone());
            }
        }
        some
    }

    /// Every name of `address`, in order.
    pub fn names_of(&self, address: IpAddr) -> BTreeSet<&str> {
        self.entries
            .get(&address)
            .into_iter()
            .flatten()
            .map(|entry| &*entry.name)
            .collect()
    }

    /// All entries in order of address, name, client.
    pub fn listing(&self) -> Vec<(IpAddr, &NameEntry)> {
        let mut list: Vec<_> = self
            .entries
            .iter()
            .flat_map(|(address, entries)| entries.iter().map(move |entry| (*address, entry)))
            .collect();
        list.sort();
        list
    }

    /// Returns true if no name is known.
    pub fn is_empty(&self) -> bool {
        self.names == 0
    }

    /// Returns and resets the number of answers that found no room.
    pub(super) fn take_overflow(&mut self) -> u64 {
        std::mem::take(&mut self.overflow)
    }

    /// The number of answers that found no room.
    pub fn overflow(&self) -> u64 {
        self.overflow
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_s_own_current_answer_goes_before_older_ones_and_those_of_others() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let (web, a, b, c) = (
            ip("192.0.2.1"),
            ip("10.0.0.1"),
            ip("10.0.0.2"),
            ip("10.0.0.3"),
        );
        let mut names = NameTable::default();
        let by = NamedBy::Resolver(ip("10.96.0.10"));
        names.learn(web, "old.example", (a, by), Timestamp::from_secs(100), 10);
        names.learn(web, "new.example", (a, by), Timestamp::from_secs(200), 10);
        names.learn(web, "other.example", (b, by), Timestamp::from_secs(100), 10);
        let at = |client, secs| {
            names
                .resolve(web, client, Timestamp::from_secs(secs), |_| NameTrust::All)
                .into_iter()
                .collect::<Vec<_>>()
        };
        assert_eq!(at(a, 105), ["old.example"]);
        assert_eq!(at(a, 205), ["new.example"]);
        assert_eq!(
            at(a, 300),
            ["new.example", "old.example"],
            "held beyond the TTL"
        );
        assert_eq!(at(c, 300).len(), 3, "asked before the capture");
        let all = |_: &NameEntry| NameTrust::All;
        assert!(names.resolve(a, b, Timestamp::from_secs(0), all).is_empty());
    }

    #[test]
    fn a_name_that_is_not_believed_is_none_and_one_s_own_resolver_s_is_one_s_own() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let (web, a, b) = (ip("192.0.2.1"), ip("10.0.0.1"), ip("10.0.0.2"));
        let (cluster, own, forger) = (ip("10.96.0.10"), ip("192.0.2.53"), ip("10.0.0.66"));
        let mut names = NameTable::default();
        let mut learn = |name, by| {
            names.learn(
                web,
                name,
                (a, NamedBy::Resolver(by)),
                Timestamp::from_secs(100),
                10,
            );
        };
        learn("bank.example", forger);
        learn("own.example", own);
        let trust = |entry: &NameEntry| match entry.by {
            NamedBy::Resolver(by) if by == cluster => NameTrust::All,
            NamedBy::Resolver(by) if by == own => NameTrust::Asker,
            _ => NameTrust::None,
        };
        let at = Timestamp::from_secs(105);
        assert_eq!(
            names.resolve(web, a, at, trust),
            BTreeSet::from(["own.example"])
        );
        assert!(names.resolve(web, b, at, trust).is_empty());
        names.learn(web, "true.example", (a, NamedBy::Resolver(cluster)), at, 10);
        assert_eq!(
            names.resolve(web, b, at, trust),
            BTreeSet::from(["true.example"])
        );
    }
}
