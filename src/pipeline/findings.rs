//! The results of the proof as findings.

use crate::evaluate::{Excess, Proof};
use crate::finding::{Code, Finding};
use crate::report::words::{large, saturated};
use std::collections::BTreeMap;

/// How many connections a finding shows; the report has all of them.
const SAMPLES: usize = 5;

/// Excess of the generated policies, and existing policies that allow more than was observed.
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
