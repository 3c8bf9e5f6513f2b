//! Port scans: one client that tries many targets and gets next to no answers (rule: scan-teaches-nothing).

use super::attribute::{Attribution, PeerKey};
use super::build::Edges;
use super::edge::{Edge, Evidence, Lesson};
use super::history::{FoldedScan, History};
use super::peer::Peer;
use nanoseg_finding::{Code, Finding};
use nanoseg_flow::{FlowRecord, Observers, ScanSummary, Verdict};
use nanoseg_net::Timestamp;
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

/// From this many failed targets (address and port) on, a client may be a scanner.
const MIN_FAILED_TARGETS: usize = 15;
/// ...and it is one if at least this share of all its targets failed.
const MIN_FAILED_SHARE: f64 = 0.6;

/// Targets beyond this many per client no longer matter for the decision, and are not kept.
const MAX_TARGETS: usize = 100_000;

#[derive(Debug, Clone, Default)]
struct Attempts {
    failed: FxHashSet<(IpAddr, u16)>,
    answered: FxHashSet<(IpAddr, u16)>,
    /// Attempts that the flow room counted without their targets.
    uncounted: u64,
    last: Option<Timestamp>,
    /// It was a scanner before, and its attempts then are no edges any more.
    known: bool,
}

impl Attempts {
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
}

/// The attempts of every client by its compact key, while records are still coming.
#[derive(Default)]
pub(super) struct AttemptsByKey {
    by_client: FxHashMap<PeerKey, Attempts>,
    /// Failed attempts of clients beyond those that are counted apart.
    of_others: u64,
}

impl AttemptsByKey {
    pub fn note(&mut self, client: PeerKey, record: &FlowRecord) {
        // The address and port that the client called: a scanner iterates over these.
        let called = record.via.map(|via| (via.ip(), via.port()));
        let called = called.unwrap_or((record.server, record.port));
        let attempts = self.by_client.entry(client).or_default();
        attempts.note(record.verdict, called, record.last);
    }

    /// Adds the attempts of clients that failed too often to keep each.
    pub fn note_summaries(
        &mut self,
        summaries: &[(Observers, ScanSummary)],
        attribution: &Attribution<'_>,
    ) {
        for (_, summary) in summaries {
            match summary.client {
                Some(client) => {
                    let client = attribution.client(client, summary.first);
                    let attempts = self.by_client.entry(client).or_default();
                    attempts.uncounted = attempts.uncounted.saturating_add(summary.connections);
                    attempts.last = attempts.last.max(Some(summary.last));
                }
                None => self.of_others = self.of_others.saturating_add(summary.connections),
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

/// The attempts of every client, with their outcome.
#[derive(Default)]
pub(super) struct AttemptsByPeer {
    by_client: BTreeMap<Peer, Attempts>,
    of_others: u64,
}

impl AttemptsByPeer {
    /// Adds earlier attempts: scans, and the samples behind edges, since a slow scan takes hours.
    pub fn note_history(&mut self, history: &History) {
        for (client, scan) in history.scans() {
            let attempts = self.by_client.entry(client.clone()).or_default();
            attempts.known = true;
            let failed = scan
                .failed
                .iter()
                .map(|called| (called.ip(), called.port()));
            attempts.failed.extend(failed);
            attempts.uncounted = attempts.uncounted.saturating_add(scan.more);
            attempts.last = attempts.last.max(Some(scan.last));
        }
        let is_failure = |evidence: &&Evidence| {
            !matches!(evidence.verdict, Verdict::Established | Verdict::OneWay)
        };
        let mut add = |client: &Peer, evidence: &Evidence, only_known: bool| {
            let called = evidence.via.map(|via| (via.ip(), via.port()));
            let called = called.unwrap_or((evidence.server, evidence.port));
            if !only_known {
                let attempts = self.by_client.entry(client.clone()).or_default();
                attempts.note(evidence.verdict, called, evidence.last);
            } else if let Some(attempts) = self.by_client.get_mut(client)
                && !attempts.failed.is_empty()
            {
                attempts.note(evidence.verdict, called, evidence.last);
            }
        };
        for ((client, ..), edge) in history.edges() {
            let failures = edge.evidence.iter().filter(is_failure);
            failures.for_each(|evidence| add(client, evidence, false));
        }
        // Answered attempts matter only for clients with failed ones.
        for ((client, ..), edge) in history.edges() {
            let answered = edge.evidence.iter().filter(|e| !is_failure(e));
            answered.for_each(|evidence| add(client, evidence, true));
        }
    }

    /// Adds the attempts of some clients, which may be known already. Returns the scanners among them.
    pub fn widen(&mut self, other: AttemptsByPeer) -> BTreeSet<Peer> {
        let mut scanners = BTreeSet::new();
        for (client, tried) in other.by_client {
            let attempts = self.by_client.entry(client.clone()).or_default();
            attempts.failed.extend(tried.failed);
            attempts.answered.extend(tried.answered);
            attempts.last = attempts.last.max(tried.last);
            if attempts.is_scan() {
                scanners.insert(client);
            }
        }
        scanners
    }

    /// The clients that are scanners.
    pub fn scanners(&self) -> BTreeSet<Peer> {
        let scans = self.by_client.iter().filter(|(_, a)| a.is_scan());
        scans.map(|(client, _)| client.clone()).collect()
    }

    /// Reports the scanners.
    pub fn findings(&self, scanners: &BTreeSet<Peer>) -> Vec<Finding> {
        let scans = self.by_client.iter();
        let scans = scans.filter(|(client, _)| scanners.contains(*client));
        let mut findings: Vec<Finding> = scans.map(|(client, a)| finding(client, a)).collect();
        if self.of_others > 0 {
            let message = format!(
                "made {} failed attempts that were only counted",
                self.of_others
            );
            findings.push(Finding::new(Code::PortScan, "many clients", message));
        }
        findings
    }

    /// The attempts of the scanners, to be kept without an edge for each.
    pub fn fold(self, scanners: &BTreeSet<Peer>) -> BTreeMap<Peer, FoldedScan> {
        let scans = self.by_client.into_iter();
        scans
            .filter(|(client, _)| scanners.contains(client))
            .map(|(client, attempts)| {
                let failed = attempts.failed.into_iter().map(SocketAddr::from);
                let scan = FoldedScan {
                    failed: failed.collect(),
                    more: attempts.uncounted,
                    last: attempts.last.unwrap_or(Timestamp::MIN),
                };
                (client, scan.bounded())
            })
            .collect()
    }
}

/// Removes the edges that only a scan made: a scan of a thousand addresses is one finding, not a thousand
/// edges.
pub(super) fn remove_edges(scanners: &BTreeSet<Peer>, edges: &mut Edges) {
    let ignored = |edge: &Edge| matches!(edge.lesson, Lesson::Ignored(_));
    if !scanners.is_empty() {
        edges.retain(|(client, ..), edge| !(ignored(edge) && scanners.contains(client)));
    }
}

fn finding(client: &Peer, attempts: &Attempts) -> Finding {
    let addresses: BTreeSet<IpAddr> = attempts
        .failed
        .iter()
        .map(|(address, _)| *address)
        .collect();
    let ports: BTreeSet<u16> = attempts.failed.iter().map(|(_, port)| *port).collect();
    let plural =
        |n: usize, one: &str, many: &str| format!("{n} {}", if n == 1 { one } else { many });
    let more = match attempts.uncounted {
        0 => String::new(),
        more => format!(", and made {more} more attempts"),
    };
    let message = format!(
        "tried {} on {} without an answer{more}; nothing of it was learned",
        plural(addresses.len(), "address", "addresses"),
        plural(ports.len(), "port", "ports"),
    );
    let failed: BTreeSet<&(IpAddr, u16)> = attempts.failed.iter().collect();
    let samples = failed
        .into_iter()
        .take(5)
        .map(|(a, p)| SocketAddr::new(*a, *p).to_string());
    Finding::new(Code::PortScan, client.to_string(), message).with_samples(samples)
}
