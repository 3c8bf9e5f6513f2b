//! Policies of other kinds than NetworkPolicy that are in force, and what they refer to
//! (rule: other-kinds-are-judged).

use nanoseg_policy_kinds::OtherKindPolicy;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

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
