//! Which directions of which workloads must stay open (rule: isolated-only-if-in-view, unattributed-is-kept): a policy
//! that isolates on the word of what was not seen, or cannot be named, cuts off traffic.

use super::{Graph, Peer, PublicEntry, UnattributedReason, UnseenPod, Vantage, is_private};
use ipnet::IpNet;
use nanoseg_finding::{Code, Finding};
use nanoseg_flow::Verdict;
use nanoseg_inventory::{Inventory, WorkloadId};
use nanoseg_net::{Direction, Protocol, Timestamp};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

mod not_honoured;
mod perhaps;

pub use not_honoured::{NotHonoured, NotHonouredNeed, WhyNotHonoured};
use perhaps::{perhaps_own, unseen_by_name};

/// How many examples a finding carries.
const SAMPLES: usize = 5;

/// What an operator may decide against the advice of nanoseg.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IsolationOptions {
    /// Isolate workloads of which not all pods were in view.
    pub partial_view: bool,
    /// Isolate workloads with answered traffic that nobody can name.
    pub unattributed: bool,
}

/// Answered traffic of a workload with somebody whom nobody can name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct UnattributedTraffic {
    pub reason: UnattributedReason,
    /// Its name, or its address where it has none.
    pub peer: String,
    pub protocol: Protocol,
    pub port: u16,
    pub connections: u64,
    pub last: Option<Timestamp>,
}

impl fmt::Display for UnattributedTraffic {
    /// `10.96.0.10 53/UDP (unknown-service)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            reason,
            peer,
            protocol,
            port,
            ..
        } = self;
        write!(f, "{peer} {port}/{protocol} ({reason})")
    }
}

/// Why a direction of a workload stays open.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum OpenReason {
    /// Some of its pods were not in view.
    NotInView {
        /// How many pods it has.
        of: usize,
        unseen: Vec<UnseenPod>,
    },
    Unattributed(Vec<UnattributedTraffic>),
    /// Answered traffic of an address that one of its pods perhaps had (rule: owner-at-that-time); `peer` is the
    /// other end.
    PerhapsItsOwn(Vec<UnattributedTraffic>),
    /// A policy of it would select pods of this workload too, whose direction stays open.
    SharedWith(WorkloadId),
    /// The cluster's network plugin does not honour the rules that the workload needs.
    NotHonoured(NotHonoured),
}

impl fmt::Display for OpenReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenReason::NotInView { of, unseen } => {
                let nodes: BTreeSet<&str> = unseen
                    .iter()
                    .filter_map(|pod| pod.node.as_deref())
                    .collect();
                let nodes: Vec<&str> = nodes.into_iter().collect();
                let pods: Vec<&str> = unseen.iter().map(|pod| pod.pod.as_str()).collect();
                let were = if unseen.iter().all(|pod| pod.presumed) {
                    "may not have been"
                } else {
                    "were not"
                };
                let count = pods.len();
                write!(f, "{count} of {of} pods {were} in view: {}", few(&pods))?;
                match nodes.as_slice() {
                    [] => f.write_str("; the snapshot does not say on which node"),
                    nodes => write!(f, " on {}", few(nodes)),
                }
            }
            OpenReason::Unattributed(traffic) => {
                let all: Vec<String> = traffic.iter().map(ToString::to_string).collect();
                let all: Vec<&str> = all.iter().map(String::as_str).collect();
                write!(
                    f,
                    "answered traffic with somebody who has no name: {}",
                    few(&all)
                )
            }
            OpenReason::PerhapsItsOwn(traffic) => {
                let all: Vec<String> = traffic.iter().map(ToString::to_string).collect();
                let all: Vec<&str> = all.iter().map(String::as_str).collect();
                write!(
                    f,
                    "answered traffic of an address that perhaps was its own then: {}",
                    few(&all)
                )
            }
            OpenReason::SharedWith(other) => {
                write!(
                    f,
                    "no label tells its pods from those of {other}, which is open"
                )
            }
            OpenReason::NotHonoured(rules) => rules.fmt(f),
        }
    }
}

impl OpenReason {
    fn finding(&self, id: &WorkloadId, message: String) -> Finding {
        let (code, samples): (Code, Vec<String>) = match self {
            OpenReason::NotInView { .. } => (Code::NotInView, Vec::new()),
            OpenReason::Unattributed(traffic) | OpenReason::PerhapsItsOwn(traffic) => {
                let samples = traffic
                    .iter()
                    .take(SAMPLES)
                    .map(|one| format!("{one}: {}", one.reason.meaning()));
                (Code::UnattributedTraffic, samples.collect())
            }
            OpenReason::SharedWith(_) => (Code::SharedOpenDirection, Vec::new()),
            OpenReason::NotHonoured(rules) => {
                let samples = rules.needs.iter().take(SAMPLES);
                (rules.why.code(), samples.map(ToString::to_string).collect())
            }
        };
        Finding::new(code, id.to_string(), message).with_samples(samples)
    }
}

pub(super) fn few(items: &[&str]) -> String {
    let shown = items.iter().take(SAMPLES).copied().collect::<Vec<_>>();
    match items.len() - shown.len() {
        0 => shown.join(", "),
        rest => format!("{} and {rest} more", shown.join(", ")),
    }
}

/// The directions of workloads that must stay open, with the reasons.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OpenDirections {
    open: BTreeMap<(WorkloadId, Direction), BTreeSet<OpenReason>>,
    /// Directions that are isolated though only presumed to be in view, with the nodes.
    presumed: BTreeMap<(WorkloadId, Direction), BTreeSet<String>>,
    /// Directions that would stay open, but that policies of others isolate already.
    isolated_already: BTreeMap<(WorkloadId, Direction), IsolatedAlready>,
}

/// What would leave a direction open, and the policies (`namespace/name`) that isolate it all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
struct IsolatedAlready {
    reasons: BTreeSet<OpenReason>,
    by: BTreeSet<String>,
}

impl OpenDirections {
    /// Finds them among `workloads`, from what was observed between `begin` and `end`.
    pub fn find<'w>(
        graph: &Graph,
        inventory: &Inventory,
        vantage: &Vantage,
        (begin, end): (Timestamp, Timestamp),
        workloads: impl IntoIterator<Item = &'w WorkloadId>,
        options: IsolationOptions,
    ) -> OpenDirections {
        let mut found = OpenDirections::default();
        let mut perhaps = perhaps_own(graph, inventory);
        for id in workloads {
            let Some(workload) = inventory.workloads.get(id).filter(|w| !w.host_network) else {
                continue;
            };
            let traffic = Traffic::of(graph, id);
            let in_view = vantage.of(workload, inventory, (begin, end));
            let by_name = unseen_by_name(id, graph, inventory, vantage);
            for direction in [Direction::Ingress, Direction::Egress] {
                let seen = traffic.taught.contains(&direction);
                // Where either of two nodes was captured, traffic of the direction itself shows that it was in view.
                let unseen = in_view.not_certain.iter().chain(&by_name);
                let unseen: Vec<UnseenPod> = unseen
                    .filter(|pod| !(pod.presumed && seen))
                    .cloned()
                    .collect();
                if !unseen.is_empty() && !options.partial_view {
                    let of = in_view.pods + by_name.len();
                    found.add(id, direction, OpenReason::NotInView { of, unseen });
                }
                let presumed = in_view
                    .not_certain
                    .iter()
                    .chain(&by_name)
                    .filter(|pod| pod.presumed && seen);
                let presumed: BTreeSet<String> =
                    presumed.filter_map(|pod| pod.node.clone()).collect();
                if !presumed.is_empty() && !options.partial_view {
                    found.presumed.insert((id.clone(), direction), presumed);
                }
                let unattributed = traffic.unattributed.get(&direction);
                if let Some(unattributed) = unattributed.filter(|_| !options.unattributed) {
                    let reason = OpenReason::Unattributed(unattributed.clone());
                    found.add(id, direction, reason);
                }
                let perhaps = perhaps.remove(&(id.clone(), direction));
                if let Some(perhaps) = perhaps.filter(|_| !options.unattributed) {
                    found.add(id, direction, OpenReason::PerhapsItsOwn(perhaps));
                }
            }
        }
        found
    }

    /// Leaves a direction open for one more reason.
    pub fn add(&mut self, id: &WorkloadId, direction: Direction, reason: OpenReason) {
        let reasons = self.open.entry((id.clone(), direction)).or_default();
        reasons.insert(reason);
    }

    /// Notes that policies of others (`by`, as `namespace/name`) isolate all pods of an open direction: a policy that
    /// allows what was seen isolates nothing more there (rule: existing-policies-add-up).
    pub fn note_isolated_already(
        &mut self,
        id: &WorkloadId,
        direction: Direction,
        by: BTreeSet<String>,
    ) {
        if let Some(reasons) = self.open.remove(&(id.clone(), direction)) {
            let already = IsolatedAlready { reasons, by };
            self.isolated_already
                .insert((id.clone(), direction), already);
        }
    }

    /// Adds the open directions of another part of the workloads.
    pub fn merge(&mut self, other: OpenDirections) {
        for (direction, reasons) in other.open {
            self.open.entry(direction).or_default().extend(reasons);
        }
        self.presumed.extend(other.presumed);
        self.isolated_already.extend(other.isolated_already);
    }

    /// Returns true if the direction must stay open.
    pub fn contains(&self, id: &WorkloadId, direction: Direction) -> bool {
        self.open.contains_key(&(id.clone(), direction))
    }

    /// Why the direction must stay open; nothing if it need not.
    pub fn reasons(&self, id: &WorkloadId, direction: Direction) -> Vec<&OpenReason> {
        let reasons = self.open.get(&(id.clone(), direction));
        reasons.into_iter().flatten().collect()
    }

    /// All open directions, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&WorkloadId, Direction, &BTreeSet<OpenReason>)> {
        let open = self.open.iter();
        open.map(|((id, direction), reasons)| (id, *direction, reasons))
    }

    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Forgets unattributed traffic that was last seen before `at`.
    pub fn forget_traffic_before(&mut self, at: Timestamp) {
        for reasons in self.open.values_mut() {
            let kept = std::mem::take(reasons)
                .into_iter()
                .filter_map(|reason| match reason {
                    OpenReason::Unattributed(mut traffic) => {
                        traffic.retain(|one| one.last.is_none_or(|last| last >= at));
                        (!traffic.is_empty()).then_some(OpenReason::Unattributed(traffic))
                    }
                    OpenReason::PerhapsItsOwn(mut traffic) => {
                        traffic.retain(|one| one.last.is_none_or(|last| last >= at));
                        (!traffic.is_empty()).then_some(OpenReason::PerhapsItsOwn(traffic))
                    }
                    other => Some(other),
                });
            *reasons = kept.collect();
        }
        self.open.retain(|_, reasons| !reasons.is_empty());
    }

    /// Forgets blocks of public clients of these ports: everybody is let in there
    /// (rule: public-entry-is-a-decision, outside-addresses-are-bounded).
    pub fn let_in_anywhere(&mut self, entries: &[PublicEntry]) {
        for entry in entries {
            let key = (entry.workload.clone(), Direction::Ingress);
            let Some(reasons) = self.open.get_mut(&key) else {
                continue;
            };
            let is_let_in = |one: &UnattributedTraffic| {
                one.reason == UnattributedReason::OutsideBlock
                    && (one.protocol, one.port) == (entry.protocol, entry.port)
                    && one
                        .peer
                        .parse()
                        .is_ok_and(|block: IpNet| !is_private(block.network()))
            };
            let kept = std::mem::take(reasons).into_iter().filter_map(|reason| {
                let OpenReason::Unattributed(mut traffic) = reason else {
                    return Some(reason);
                };
                traffic.retain(|one| !is_let_in(one));
                (!traffic.is_empty()).then_some(OpenReason::Unattributed(traffic))
            });
            *reasons = kept.collect();
        }
        self.open.retain(|_, reasons| !reasons.is_empty());
    }

    /// Keeps only the directions for which `keep` returns true.
    pub fn retain(&mut self, mut keep: impl FnMut(&WorkloadId, Direction) -> bool) {
        self.open.retain(|(id, direction), _| keep(id, *direction));
        self.presumed
            .retain(|(id, direction), _| keep(id, *direction));
        self.isolated_already
            .retain(|(id, direction), _| keep(id, *direction));
    }

    /// One finding for each workload and reason.
    pub fn findings(&self) -> Vec<Finding> {
        let mut ways: BTreeMap<(&WorkloadId, &OpenReason), Vec<Direction>> = BTreeMap::new();
        for (id, direction, reasons) in self.iter() {
            for reason in reasons {
                ways.entry((id, reason)).or_default().push(direction);
            }
        }
        let finding = |((id, reason), ways): ((&WorkloadId, &OpenReason), Vec<Direction>)| {
            let stay = if ways.len() == 1 { "stays" } else { "stay" };
            let ways: Vec<String> = ways.iter().map(ToString::to_string).collect();
            let ways = ways.join(" and ");
            reason.finding(id, format!("{ways} {stay} open: {reason}"))
        };
        let already = self.isolated_already.iter();
        let already = already.flat_map(|((id, direction), already)| {
            let by: Vec<&str> = already.by.iter().map(String::as_str).collect();
            let by = few(&by);
            already.reasons.iter().map(move |reason| {
                let message = format!(
                    "{direction} would stay open, but {by} isolates it already, and what was seen is allowed too: {reason}"
                );
                reason.finding(id, message)
            })
        });
        let presumed = self.presumed.iter();
        let presumed = presumed.filter(|(which, _)| !self.open.contains_key(which));
        let presumed = presumed.map(|((id, direction), nodes)| {
            let nodes: Vec<&str> = nodes.iter().map(String::as_str).collect();
            let message = format!(
                "{direction} is isolated by what was seen, but nothing shows that {} was captured",
                few(&nodes)
            );
            Finding::new(Code::PresumedView, id.to_string(), message)
        });
        let found = ways.into_iter().map(finding);
        found.chain(already).chain(presumed).collect()
    }
}

/// What the graph shows of one workload, by direction.
#[derive(Default)]
struct Traffic {
    /// Directions in which something taught.
    taught: BTreeSet<Direction>,
    unattributed: BTreeMap<Direction, Vec<UnattributedTraffic>>,
}

impl Traffic {
    fn of(graph: &Graph, id: &WorkloadId) -> Traffic {
        let own = Peer::Workload(id.clone());
        let mut traffic = Traffic::default();
        for (client, server, edge) in graph.edges_of(&own) {
            for (near, far, direction) in [
                (client, server, Direction::Egress),
                (server, client, Direction::Ingress),
            ] {
                if *near != own {
                    continue;
                }
                if edge.lesson.teaches() {
                    traffic.taught.insert(direction);
                }
                let answered = edge.verdicts.get(&Verdict::Established).copied();
                if let (Peer::Unattributed(who), Some(connections)) = (far, answered) {
                    let list = traffic.unattributed.entry(direction).or_default();
                    list.push(UnattributedTraffic {
                        reason: who.reason,
                        peer: who.label(),
                        protocol: edge.protocol,
                        port: edge.port,
                        connections,
                        last: edge.last,
                    });
                }
            }
        }
        traffic
    }
}

#[cfg(test)]
mod tests;
