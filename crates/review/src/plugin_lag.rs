//! How long the cluster's network plugin needs until a policy or a new pod is as it should be, as traffic shows it
//! (rule: plugin-lag-is-measured).

use nanoseg_flow::{FlowRecord, Verdict};
use nanoseg_inventory::{Inventory, Pod, WorkloadId};
use nanoseg_net::{Protocol, Timestamp};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::IpAddr;

/// What fails for longer than so many seconds and works then is not the plugin's doing.
const LONGEST: i64 = 60;
/// So many measurements of each kind are kept.
const MOST: usize = 200;

/// After what the plugin has to catch up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LagCause {
    /// A pod started, and is allowed to call somebody.
    PodStart,
    /// A policy was applied that allows what it did not allow before.
    PolicyChange,
}

impl LagCause {
    pub const ALL: [LagCause; 2] = [LagCause::PodStart, LagCause::PolicyChange];

    /// The name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            LagCause::PodStart => "pod-start",
            LagCause::PolicyChange => "policy-change",
        }
    }
}

/// What was measured lately.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PluginLag {
    /// Of each pod or change the longest time in milliseconds, the oldest first.
    measured: BTreeMap<LagCause, VecDeque<(LagKey, i64)>>,
}

/// One pod, or one change of a workload's policy.
type LagKey = (String, Timestamp);

/// The connections between two addresses, as far as they show a lag.
#[derive(Default)]
struct Pair {
    /// The last attempt that failed, as far as it is known.
    failed: Option<Timestamp>,
    /// The first connection that was answered.
    answered: Option<Timestamp>,
}

impl Pair {
    fn note(&mut self, record: &FlowRecord) {
        match record.verdict {
            Verdict::Established => {
                let first = self
                    .answered
                    .map_or(record.first, |at| at.min(record.first));
                self.answered = Some(first);
            }
            Verdict::Unanswered | Verdict::Refused | Verdict::Dropped => {
                self.failed = self.failed.max(Some(record.last));
            }
            Verdict::OneWay => {}
        }
    }

    /// For how long after `since` it failed before it worked, in milliseconds: the plugin needed at least so long.
    /// `None` if it did not work soon, or failed again.
    fn lag(&self, since: Timestamp) -> Option<i64> {
        let answered = self.answered.filter(|at| *at >= since)?;
        let millis = |at: Timestamp| at.nanos().saturating_sub(since.nanos()) / 1_000_000;
        if answered.secs_since(since) > LONGEST {
            return None;
        }
        match self.failed {
            None => Some(0),
            Some(failed) if failed > answered => None,
            Some(failed) => Some(millis(failed).max(0)),
        }
    }
}

impl PluginLag {
    /// Measures by the records of the last minutes: of pods whose network came up in this time, and of policies that
    /// were applied in it. `applied`: the workloads with a policy of ours, and when it was applied.
    pub fn measure<'r>(
        &mut self,
        records: impl Iterator<Item = &'r FlowRecord>,
        inventory: &Inventory,
        applied: &BTreeMap<WorkloadId, Timestamp>,
        since: Timestamp,
    ) {
        let mut pairs: BTreeMap<(IpAddr, IpAddr, Protocol, u16), Pair> = BTreeMap::new();
        for record in records {
            let key = (record.client, record.server, record.protocol, record.port);
            pairs.entry(key).or_default().note(record);
        }
        let owners = owners(inventory);
        for ((client, server, ..), pair) in &pairs {
            let Some(from) = owners.get(client) else {
                continue;
            };
            let to = owners.get(server);
            let workloads = [Some(&from.workload), to.map(|pod| &pod.workload)];
            let workloads = workloads.into_iter().flatten();
            let changes: Vec<(&WorkloadId, &Timestamp)> = workloads
                .filter_map(|id| applied.get_key_value(id))
                .collect();
            match from.network_up.filter(|up| *up >= since) {
                // It waits for its own rules, if it does not wait for the server to come up.
                Some(up) => {
                    let is_up = to.is_none_or(|to| to.network_up.is_some_and(|at| was_up(at, up)));
                    if is_up && !changes.is_empty() {
                        let name = format!("{}/{}", from.namespace, from.name);
                        self.note(LagCause::PodStart, (name, up), pair.lag(up));
                    }
                }
                None => {
                    for (id, at) in changes.into_iter().filter(|(_, at)| **at >= since) {
                        let opened = pair.failed.is_some_and(|failed| failed >= *at);
                        let lag = pair.lag(*at).filter(|_| opened);
                        self.note(LagCause::PolicyChange, (id.to_string(), *at), lag);
                    }
                }
            }
        }
    }

    fn note(&mut self, cause: LagCause, key: LagKey, lag: Option<i64>) {
        let Some(lag) = lag else { return };
        let all = self.measured.entry(cause).or_default();
        match all.iter_mut().find(|(known, _)| *known == key) {
            Some((_, known)) => *known = lag.max(*known),
            None => {
                all.push_back((key, lag));
                if all.len() > MOST {
                    all.pop_front();
                }
            }
        }
    }

    /// The longest time that was measured, in milliseconds; `None` if nothing was.
    pub fn longest(&self, cause: LagCause) -> Option<i64> {
        let measured = self.measured.get(&cause)?.iter();
        measured.map(|(_, lag)| *lag).max()
    }

    /// The number of pods or changes that were measured.
    pub fn count(&self, cause: LagCause) -> usize {
        self.measured.get(&cause).map_or(0, VecDeque::len)
    }

    /// The longest time, in whole seconds rounded up, at least `least`.
    pub fn seconds(&self, cause: LagCause, least: i64) -> i64 {
        let longest = self.longest(cause).unwrap_or_default();
        least.max(longest.saturating_add(999) / 1000)
    }
}

impl fmt::Display for PluginLag {
    /// `the network plugin needed up to 1.2 s for a new pod (of 14), and up to 0.3 s for a changed policy (of 3)`; empty if
    /// nothing was measured.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |cause: LagCause, what: &str| {
            let longest = self.longest(cause)?;
            let (seconds, tenths) = (longest / 1000, longest % 1000 / 100);
            let count = self.count(cause);
            Some(format!(
                "up to {seconds}.{tenths} s for {what} (of {count})"
            ))
        };
        let parts = [
            part(LagCause::PodStart, "a new pod"),
            part(LagCause::PolicyChange, "a changed policy"),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        if parts.is_empty() {
            return Ok(());
        }
        write!(f, "the network plugin needed {}", parts.join(", and "))
    }
}

/// Returns true if a server was up long before a client.
fn was_up(server: Timestamp, client: Timestamp) -> bool {
    server.plus_secs(LONGEST) <= client
}

/// The one pod that has each address now.
fn owners(inventory: &Inventory) -> BTreeMap<IpAddr, &Pod> {
    let there = inventory.pods.iter();
    let there = there.filter(|pod| !pod.template && !pod.host_network && pod.owned.until.is_none());
    let all = there.flat_map(|pod| pod.addresses.iter().map(move |address| (*address, pod)));
    all.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::*;
    use nanoseg_graph::testing::record;

    /// `shop/web` came up at 100, `shop/db` long before; web calls db.
    fn measured(seen: &[(Verdict, i64, i64)], applied: i64) -> PluginLag {
        let mut inventory = cluster();
        for pod in &mut inventory.pods {
            pod.network_up = Some(at(if pod.name == "web" { 100 } else { 0 }));
        }
        let records: Vec<FlowRecord> = seen
            .iter()
            .map(|(verdict, first, last)| FlowRecord {
                first: at(*first),
                last: at(*last),
                ..record("10.244.1.5", "10.244.1.7:5432", *verdict)
            })
            .collect();
        let mut lag = PluginLag::default();
        let applied = BTreeMap::from([(id("shop/db"), at(applied))]);
        lag.measure(records.iter(), &inventory, &applied, at(90));
        lag
    }

    use Verdict::{Established, Refused};

    #[test]
    fn a_new_pods_first_attempts_that_fail_before_they_work_show_what_the_plugin_needed() {
        let lag = measured(&[(Refused, 101, 103), (Established, 104, 200)], 50);
        assert_eq!(lag.longest(LagCause::PodStart), Some(3000));
        assert_eq!(lag.seconds(LagCause::PodStart, 30), 30);
        assert_eq!(
            lag.to_string(),
            "the network plugin needed up to 3.0 s for a new pod (of 1)"
        );
        let none = measured(&[(Established, 101, 200)], 50);
        assert_eq!(none.longest(LagCause::PodStart), Some(0));
    }

    #[test]
    fn what_fails_for_long_or_again_or_where_nothing_is_enforced_is_no_lag() {
        let never = measured(&[(Refused, 101, 103)], 50);
        let late = measured(&[(Refused, 101, 180), (Established, 181, 200)], 50);
        let again = measured(&[(Established, 101, 200), (Refused, 150, 150)], 50);
        for lag in [never, late, again] {
            assert_eq!(lag.longest(LagCause::PodStart), None);
            assert_eq!(lag.to_string(), "");
        }
    }
}
