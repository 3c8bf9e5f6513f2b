//! Port scans: one client that tries many targets and gets next to no answers (rule: scan-teaches-nothing).

use super::attribute::{Attribution, PeerKey};
use super::edge::{Edge, Evidence, Lesson};
use super::edge_key::Edges;
use super::end_nodes::node_of;
use super::history::{FoldedScan, History};
use super::peer::Peer;
use super::sightings::MAX_OBSERVERS;
use nanoseg_finding::{Code, Finding};
use nanoseg_flow::{FlowRecord, Observers, ScanSummary, Verdict};
use nanoseg_inventory::Inventory;
use nanoseg_net::Timestamp;
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// From this many failed targets (address and port) on, a client may be a scanner.
const MIN_FAILED_TARGETS: usize = 15;
/// ...and it is one if at least this share of all its targets failed.
const MIN_FAILED_SHARE: f64 = 0.6;

/// Targets beyond this many per client no longer matter for the decision, and are not kept.
const MAX_TARGETS: usize = 100_000;

/// What some of the observers tell that a client tried.
#[derive(Debug, Clone, Default)]
struct Tries {
    failed: FxHashSet<(IpAddr, u16)>,
    answered: FxHashSet<(IpAddr, u16)>,
    /// Attempts that the flow room counted without their targets.
    uncounted: u64,
    last: Option<Timestamp>,
    /// It was a scanner before, and its attempts then are no edges any more.
    known: bool,
}

impl Tries {
    fn note(&mut self, verdict: Verdict, called: (IpAddr, u16), at: Timestamp) {
        let targets = match verdict {
            Verdict::Established | Verdict::OneWay => &mut self.answered,
            Verdict::Unanswered | Verdict::Refused | Verdict::Dropped => &mut self.failed,
        };
        if targets.len() < MAX_TARGETS {
            targets.insert(called);
        }
        self.last = self.last.max(Some(at));
    }

    fn is_scan(&self) -> bool {
        let failed = self.failed.difference(&self.answered).count();
        let all = self.failed.union(&self.answered).count();
        self.known || failed >= MIN_FAILED_TARGETS && failed as f64 >= MIN_FAILED_SHARE * all as f64
    }

    fn absorb(&mut self, other: &Tries) {
        self.failed.extend(&other.failed);
        self.answered.extend(&other.answered);
        self.uncounted = self.uncounted.saturating_add(other.uncounted);
        self.last = self.last.max(other.last);
        self.known |= other.known;
    }
}

/// Who is asked about a client (rule: scan-is-told-by-its-node).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Teller {
    /// The agent of the client's own node, or a file: what it tells counts everywhere.
    Own,
    /// The agent of another node, of a client that has no node or is on another one. It knows what it tells of its own
    /// pods, so it counts for what it alone saw.
    Node(Arc<str>),
}

/// The attempts of one client, by who tells of them.
#[derive(Debug, Clone, Default)]
struct Attempts {
    tries: BTreeMap<Teller, Tries>,
    observers: Observers,
}

impl Attempts {
    fn of(&mut self, teller: Teller) -> &mut Tries {
        self.tries.entry(teller).or_default()
    }

    fn all(&self) -> Tries {
        let mut all = Tries::default();
        self.tries.values().for_each(|tries| all.absorb(tries));
        all
    }

    /// Who shows that the client is a scanner. `None` if it is none.
    fn scanned_by(&self) -> Option<ScannedBy> {
        let by_own = self.tries.get(&Teller::Own).is_some_and(Tries::is_scan);
        if by_own || self.is_shown_by_any_but_one() {
            return Some(ScannedBy::Anyone);
        }
        let nodes = self.tries.iter().filter(|(_, tries)| tries.is_scan());
        let nodes: Observers = nodes
            .filter_map(|(teller, _)| match teller {
                Teller::Own => None,
                Teller::Node(node) => Some(node.clone()),
            })
            .collect();
        (!nodes.is_empty()).then_some(ScannedBy::Nodes(nodes))
    }

    /// Returns true if it is a scan whichever of the other nodes one does not believe.
    fn is_shown_by_any_but_one(&self) -> bool {
        let is_node = |teller: &&Teller| matches!(teller, Teller::Node(_));
        let nodes: Vec<&Teller> = self.tries.keys().filter(is_node).collect();
        if nodes.len() < 2 || !self.all().is_scan() {
            return false;
        }
        nodes.into_iter().all(|left_out| {
            let mut rest = Tries::default();
            let others = self.tries.iter().filter(|(teller, _)| *teller != left_out);
            others.for_each(|(_, tries)| rest.absorb(tries));
            rest.is_scan()
        })
    }
}

/// Who shows that a client is a scanner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ScannedBy {
    /// The client's own node, a file, or several nodes of which any may be wrong.
    Anyone,
    /// These nodes, each alone. Edges that others saw as well are not theirs to remove.
    Nodes(Observers),
}

/// The clients that are scanners.
pub(super) type Scanners = BTreeMap<Peer, ScannedBy>;

/// The attempts of every client by its compact key, while records are still coming.
#[derive(Default)]
pub(super) struct AttemptsByKey {
    by_client: FxHashMap<PeerKey, Attempts>,
    /// Failed attempts of clients beyond those that are counted apart, by who tells of them.
    of_others: BTreeMap<Observers, u64>,
}

impl AttemptsByKey {
    pub fn note(&mut self, client: PeerKey, record: &FlowRecord, inventory: &Inventory) {
        // The address and port that the client called: a scanner iterates over these.
        let called = record.via.map(|via| (via.ip(), via.port()));
        let called = called.unwrap_or((record.server, record.port));
        let attempts = self.by_client.entry(client).or_default();
        attempts
            .observers
            .extend_up_to(&record.observers, MAX_OBSERVERS);
        let node = || node_of(record.client, record.first, inventory);
        for teller in tellers(&record.observers, node) {
            let tries = attempts.of(teller);
            tries.note(record.verdict, called, record.last);
        }
    }

    /// Adds the attempts of clients that failed too often to keep each.
    pub fn note_summaries(
        &mut self,
        summaries: &[(Observers, ScanSummary)],
        attribution: &Attribution<'_>,
    ) {
        for (observers, summary) in summaries {
            let Some(address) = summary.client else {
                let of_others = self.of_others.entry(observers.clone()).or_default();
                *of_others = of_others.saturating_add(summary.connections);
                continue;
            };
            let client = attribution.client(address, summary.first);
            let attempts = self.by_client.entry(client).or_default();
            attempts.observers.extend_up_to(observers, MAX_OBSERVERS);
            let node = || node_of(address, summary.first, attribution.inventory);
            for teller in tellers(observers, node) {
                let tries = attempts.of(teller);
                tries.uncounted = tries.uncounted.saturating_add(summary.connections);
                tries.last = tries.last.max(Some(summary.last));
            }
        }
    }

    /// The same by the clients' names.
    pub fn named(self, attribution: &Attribution<'_>) -> AttemptsByPeer {
        let attempts = self.by_client.into_iter();
        AttemptsByPeer {
            by_client: attempts
                .map(|(client, attempts)| (attribution.peer(client), attempts))
                .collect(),
            of_others: self.of_others,
        }
    }
}

/// Who tells of attempts that these observers saw. `node` is the client's own.
fn tellers<'a>(observers: &Observers, node: impl FnOnce() -> Option<&'a str>) -> Vec<Teller> {
    if observers.is_empty() {
        return vec![Teller::Own];
    }
    match node() {
        Some(node) if observers.contains(node) => vec![Teller::Own],
        _ => observers.iter().cloned().map(Teller::Node).collect(),
    }
}

/// The attempts of every client, with their outcome.
#[derive(Default)]
pub(super) struct AttemptsByPeer {
    by_client: BTreeMap<Peer, Attempts>,
    of_others: BTreeMap<Observers, u64>,
}

impl AttemptsByPeer {
    /// Adds earlier attempts: scans, and the samples behind edges, since a slow scan takes hours.
    pub fn note_history(&mut self, history: &History) {
        for (client, scan) in history.scans() {
            let attempts = self.by_client.entry(client.clone()).or_default();
            attempts
                .observers
                .extend_up_to(&scan.told_by, MAX_OBSERVERS);
            for teller in tellers(&scan.told_by, || None) {
                let tries = attempts.of(teller);
                tries.known = true;
                let failed = scan
                    .failed
                    .iter()
                    .map(|called| (called.ip(), called.port()));
                tries.failed.extend(failed);
                tries.uncounted = tries.uncounted.saturating_add(scan.more);
                tries.last = tries.last.max(Some(scan.last));
            }
        }
        let is_failure = |evidence: &&Evidence| {
            !matches!(evidence.verdict, Verdict::Established | Verdict::OneWay)
        };
        let mut add = |client: &Peer, edge: &Edge, evidence: &Evidence, only_known: bool| {
            let called = evidence.via.map(|via| (via.ip(), via.port()));
            let called = called.unwrap_or((evidence.server, evidence.port));
            if only_known {
                let has_failed = |tries: &Tries| !tries.failed.is_empty();
                let is_known = |attempts: &Attempts| attempts.tries.values().any(has_failed);
                if !self.by_client.get(client).is_some_and(is_known) {
                    return;
                }
            }
            let attempts = self.by_client.entry(client.clone()).or_default();
            for teller in edge.tellers() {
                attempts
                    .of(teller)
                    .note(evidence.verdict, called, evidence.last);
            }
        };
        for ((client, ..), edge) in history.edges() {
            let failures = edge.evidence.iter().filter(is_failure);
            failures.for_each(|evidence| add(client, edge, evidence, false));
        }
        // Answered attempts matter only for clients with failed ones.
        for ((client, ..), edge) in history.edges() {
            let answered = edge.evidence.iter().filter(|e| !is_failure(e));
            answered.for_each(|evidence| add(client, edge, evidence, true));
        }
    }

    /// Adds the attempts of some clients, which may be known already. Returns the scanners among them.
    pub fn widen(&mut self, other: AttemptsByPeer) -> Scanners {
        let mut scanners = Scanners::new();
        for (client, tried) in other.by_client {
            let attempts = self.by_client.entry(client.clone()).or_default();
            attempts
                .observers
                .extend_up_to(&tried.observers, MAX_OBSERVERS);
            for (teller, tried) in tried.tries {
                let tries = attempts.of(teller);
                tries.failed.extend(tried.failed);
                tries.answered.extend(tried.answered);
                tries.last = tries.last.max(tried.last);
            }
            if let Some(by) = attempts.scanned_by() {
                scanners.insert(client, by);
            }
        }
        scanners
    }

    /// The clients that are scanners.
    pub fn scanners(&self) -> Scanners {
        let scans = self.by_client.iter();
        scans
            .filter_map(|(client, attempts)| Some((client.clone(), attempts.scanned_by()?)))
            .collect()
    }

    /// Reports the scanners.
    pub fn findings(&self, scanners: &Scanners) -> Vec<Finding> {
        let scans = self.by_client.iter();
        let scans = scans.filter_map(|(client, a)| Some((client, a, scanners.get(client)?)));
        let mut findings: Vec<Finding> = scans
            .map(|(client, attempts, by)| finding(client, attempts, by))
            .collect();
        for (observers, count) in &self.of_others {
            let message = format!("made {count} failed attempts that were only counted");
            let mut subject = "many clients".to_owned();
            if !observers.is_empty() {
                subject.push_str(&format!(" (told by {observers})"));
            }
            findings.push(Finding::new(Code::PortScan, subject, message));
        }
        findings
    }

    /// The attempts of the scanners, to be kept without an edge for each.
    pub fn fold(self, scanners: &Scanners) -> BTreeMap<Peer, FoldedScan> {
        let scans = self.by_client.into_iter();
        scans
            .filter_map(|(client, attempts)| {
                let told_by = match scanners.get(&client)? {
                    ScannedBy::Anyone => Observers::default(),
                    ScannedBy::Nodes(nodes) => nodes.clone(),
                };
                let all = attempts.all();
                let failed = all.failed.into_iter().map(SocketAddr::from);
                let scan = FoldedScan {
                    failed: failed.collect(),
                    more: all.uncounted,
                    last: all.last.unwrap_or(Timestamp::MIN),
                    told_by,
                };
                Some((client, scan.bounded()))
            })
            .collect()
    }
}

impl Edge {
    /// Who tells of the edge's failed attempts.
    fn tellers(&self) -> Vec<Teller> {
        if self.observers.is_empty() || self.sightings.is_seen_at_client() {
            return vec![Teller::Own];
        }
        self.observers.iter().cloned().map(Teller::Node).collect()
    }
}

/// Returns true if only a scan made the edge, by those who show that its client is a scanner: a scan of a thousand
/// addresses is one finding, not a thousand edges.
pub(super) fn is_of_scan(scanners: &Scanners, client: &Peer, edge: &Edge) -> bool {
    let is_theirs = |by: &ScannedBy| match by {
        ScannedBy::Anyone => true,
        ScannedBy::Nodes(nodes) => edge.observers.is_subset(nodes),
    };
    matches!(edge.lesson, Lesson::Ignored(_)) && scanners.get(client).is_some_and(is_theirs)
}

/// Removes the edges that only a scan made.
pub(super) fn remove_edges(scanners: &Scanners, edges: &mut Edges) {
    if !scanners.is_empty() {
        edges.retain(|(client, ..), edge| !is_of_scan(scanners, client, edge));
    }
}

fn finding(client: &Peer, attempts: &Attempts, by: &ScannedBy) -> Finding {
    let all = attempts.all();
    let addresses: BTreeSet<IpAddr> = all.failed.iter().map(|(address, _)| *address).collect();
    let ports: BTreeSet<u16> = all.failed.iter().map(|(_, port)| *port).collect();
    let plural =
        |n: usize, one: &str, many: &str| format!("{n} {}", if n == 1 { one } else { many });
    let more = match all.uncounted {
        0 => String::new(),
        more => format!(", and made {more} more attempts"),
    };
    let mut message = format!(
        "tried {} on {} without an answer{more}; nothing of it was learned",
        plural(addresses.len(), "address", "addresses"),
        plural(ports.len(), "port", "ports"),
    );
    if !attempts.observers.is_empty() {
        message.push_str(&format!("; told by {}", attempts.observers));
    }
    let failed: BTreeSet<&(IpAddr, u16)> = all.failed.iter().collect();
    let samples = failed
        .into_iter()
        .take(5)
        .map(|(a, p)| SocketAddr::new(*a, *p).to_string());
    // What another node tells of a workload is no finding about the workload: it must not stop its proposals.
    let subject = match (client, by) {
        (Peer::Workload(_) | Peer::Node(_), ScannedBy::Nodes(nodes)) => {
            format!("{client} (told by {nodes} only)")
        }
        _ => client.to_string(),
    };
    Finding::new(Code::PortScan, subject, message).with_samples(samples)
}
