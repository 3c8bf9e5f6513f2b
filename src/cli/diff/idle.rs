//! Notes about rules for pods that do not exist yet.

use crate::evaluate::Comparison;
use crate::report::escape;
use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicySpec};
use std::collections::BTreeMap;

/// Prints a note for each such rule in a policy that is new or changed.
pub fn note(comparison: &Comparison, before: &[NetworkPolicy], after: &[NetworkPolicy]) {
    let (old, new) = (by_name(before), by_name(after));
    let idle = comparison.rules_without_pods();
    let changed = idle
        .iter()
        .filter(|rule| old.get(&rule.policy) != new.get(&rule.policy));
    for rule in changed {
        let line = format!(
            "note: {rule} is for pods or namespaces that do not exist now: what it opens for them is not counted"
        );
        eprintln!("{}", escape::terminal(&line));
    }
}

/// The spec of each policy, by `namespace/name`.
fn by_name(policies: &[NetworkPolicy]) -> BTreeMap<String, Option<&NetworkPolicySpec>> {
    let named = policies.iter().map(|policy| {
        let meta = &policy.metadata;
        let namespace = meta.namespace.as_deref().unwrap_or("default");
        let name = meta.name.as_deref().unwrap_or_default();
        (format!("{namespace}/{name}"), policy.spec.as_ref())
    });
    named.collect()
}
