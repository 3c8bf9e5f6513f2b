//! The results of the proof as findings.

use nanoseg_evaluate::{Blocked, BlockedBy, Excess, Proof};
use nanoseg_finding::{Code, Finding};
use nanoseg_report::words::{large, saturated};
use std::collections::BTreeMap;

/// How many connections a finding shows; the report has all of them.
const SAMPLES: usize = 5;

/// Excess of the generated policies, and existing policies that allow more than was observed, or less.
pub(super) fn of_proof(proof: &Proof) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !proof.excess.is_empty() {
        let message = format!(
            "allow {} connections that were not observed",
            large(saturated(proof.excess.connections))
        );
        findings.push(
            Finding::new(Code::ExcessConnections, "generated policies", message)
                .with_samples(samples(proof.excess.entries.iter())),
        );
    }
    let mut blocking: BTreeMap<&str, Vec<&Blocked>> = BTreeMap::new();
    for blocked in &proof.blocked_by_existing {
        if let BlockedBy::Ingress(names) | BlockedBy::Egress(names) = &blocked.by {
            for name in names {
                blocking.entry(name).or_default().push(blocked);
            }
        }
    }
    findings.extend(blocking.into_iter().map(|(policy, blocked)| {
        let first: Vec<String> = blocked
            .iter()
            .take(SAMPLES)
            .map(|one| format!("{} => {} {}", one.client, one.server, one.connections))
            .collect();
        let message = format!(
            "blocks traffic that was observed, as it is judged here: {}",
            first.join(", ")
        );
        Finding::new(Code::ExistingPolicyBlocks, policy, message)
    }));
    let mut by_policy: BTreeMap<&str, Vec<&Excess>> = BTreeMap::new();
    for excess in &proof.excess_by_existing.entries {
        for policy in &excess.policies {
            by_policy.entry(policy).or_default().push(excess);
        }
    }
    findings.extend(by_policy.into_iter().map(|(policy, entries)| {
        let each = entries.iter().map(|entry| entry.count());
        let connections = each.fold(0, u128::saturating_add);
        let message = format!(
            "allows {} connections that were not observed",
            large(saturated(connections))
        );
        Finding::new(Code::ExistingPolicyTooWide, policy, message)
            .with_samples(samples(entries.into_iter()))
    }));
    findings
}

fn samples<'a>(entries: impl Iterator<Item = &'a Excess>) -> Vec<String> {
    entries
        .take(SAMPLES)
        .map(|entry| entry.to_string())
        .collect()
}
