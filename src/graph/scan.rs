//! Port scans: one client that tries many targets and gets next to no answers (DESIGN §4.2).

use super::attribute::client_peer;
use super::build::Drafts;
use super::edge::Lesson;
use super::peer::Peer;
use crate::finding::{Code, Finding};
use crate::flow::{FlowRecord, ScanSummary, Verdict};
use crate::inventory::Inventory;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// From this many failed targets (address and port) on, a client is looked at as a scanner.
const MIN_FAILED_TARGETS: usize = 15;
/// ...and it is one if at least this share of all its targets failed.
const MIN_FAILED_SHARE: f64 = 0.6;

/// Targets beyond this many per client no longer matter for the decision, and are not kept.
const MAX_TARGETS: usize = 100_000;

#[derive(Default)]
struct Attempts {
    failed: BTreeSet<(IpAddr, u16)>,
    answered: BTreeSet<(IpAddr, u16)>,
    /// Attempts that the flow room only counted.
    uncounted: u64,
}

/// What every client tried, and how it went.
#[derive(Default)]
pub(super) struct Scans {
    by_client: BTreeMap<Peer, Attempts>,
    /// Failed attempts of clients that were too many to tell apart.
    of_others: u64,
}

impl Scans {
    pub fn note(&mut self, client: &Peer, record: &FlowRecord) {
        if !self.by_client.contains_key(client) {
            self.by_client.insert(client.clone(), Attempts::default());
        }
        let Some(attempts) = self.by_client.get_mut(client) else {
            return;
        };
        let targets = match record.verdict {
            Verdict::Established | Verdict::OneWay => &mut attempts.answered,
            Verdict::Unanswered | Verdict::Refused | Verdict::Dropped => &mut attempts.failed,
        };
        if targets.len() < MAX_TARGETS {
            // What the client called: that is what a scanner walks through.
            let called = record.via.map(|via| (via.ip(), via.port()));
            targets.insert(called.unwrap_or((record.server, record.port)));
        }
    }

    /// Takes in the attempts of clients that failed too often to keep each.
    pub fn note_summaries(&mut self, summaries: &[ScanSummary], inventory: &Inventory) {
        for summary in summaries {
            match summary.client {
                Some(client) => {
                    let client = client_peer(client, summary.first, inventory);
                    self.by_client.entry(client).or_default().uncounted += summary.connections;
                }
                None => self.of_others += summary.connections,
            }
        }
    }

    /// Reports the scanners, and takes the edges that only their scan made out of the drafts: a
    /// scan of a thousand addresses is one finding, not a thousand edges.
    pub fn take(mut self, drafts: &mut Drafts) -> Vec<Finding> {
        self.by_client.retain(|_, attempts| is_scan(attempts));
        drafts.retain(|(client, _, _, _), draft| {
            !(self.by_client.contains_key(client)
                && matches!(draft.edge.lesson, Lesson::Ignored(_)))
        });
        let findings = self
            .by_client
            .iter()
            .map(|(client, attempts)| finding(client, attempts));
        let mut findings: Vec<Finding> = findings.collect();
        if self.of_others > 0 {
            let message = format!(
                "made {} failed attempts that were only counted",
                self.of_others
            );
            findings.push(Finding::new(Code::PortScan, "many clients", message));
        }
        findings
    }
}

fn is_scan(attempts: &Attempts) -> bool {
    let failed = attempts.failed.difference(&attempts.answered).count();
    let all = attempts.failed.union(&attempts.answered).count();
    failed >= MIN_FAILED_TARGETS && failed as f64 >= MIN_FAILED_SHARE * all as f64
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
    let samples = attempts
        .failed
        .iter()
        .take(5)
        .map(|(a, p)| std::net::SocketAddr::new(*a, *p).to_string());
    Finding::new(Code::PortScan, client.to_string(), message).with_samples(samples)
}
