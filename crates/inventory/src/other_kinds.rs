//! Policies of other kinds than NetworkPolicy that are in force, and what they refer to
//! (rule: other-kinds-are-judged).

use nanoseg_finding::{Code, Finding};
use nanoseg_policy_kinds::OtherKindPolicy;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// How many policies a finding names.
const SHOWN: usize = 5;

/// One finding for each kind of policies that are in force and judged (rule: other-kinds-are-judged).
pub fn judged_policy_findings(policies: &[OtherKindPolicy]) -> Vec<Finding> {
    let mut by_kind: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for one in policies {
        by_kind
            .entry(one.kind().shown())
            .or_default()
            .insert(one.name());
    }
    let finding = |(kind, names): (&str, BTreeSet<String>)| {
        let shown: Vec<&str> = names.iter().take(SHOWN).map(String::as_str).collect();
        let more = match names.len().saturating_sub(SHOWN) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let message = format!(
            "{} in force ({}{more}): part of every verdict",
            names.len(),
            shown.join(", ")
        );
        Finding::new(Code::JudgedPolicy, kind, message)
    };
    by_kind.into_iter().map(finding).collect()
}

/// What is in force beside the NetworkPolicies. It is part of every evaluation.
#[derive(Debug, Clone, Default)]
pub struct OtherKinds {
    /// The policies, and the objects that they refer to, each once.
    pub policies: Vec<OtherKindPolicy>,
    /// The addresses that names were seen to have, for the rules that name names. Lower case, without the last dot.
    pub names: BTreeMap<String, BTreeSet<IpAddr>>,
}

impl OtherKinds {
    /// Takes the policies of a snapshot; if it has several versions of one, the last counts.
    pub fn of(policies: &[OtherKindPolicy]) -> OtherKinds {
        let named = policies.iter().map(|one| (one.to_string(), one));
        let latest: BTreeMap<String, &OtherKindPolicy> = named.collect();
        OtherKinds {
            policies: latest.into_values().cloned().collect(),
            names: BTreeMap::new(),
        }
    }
}
