//! The digest of a policy. A policy has the same one before and after it went through the API server, so the
//! wanted policy and the one in the cluster can be compared by it.

use k8s_openapi::api::networking::v1::{NetworkPolicyPort, NetworkPolicySpec};
use nanoseg_record::Digest;
use serde_json::Value;

/// The digest of the meaning of a policy. What the API server fills in or leaves out when it stores
/// an object (`k8s.io/kubernetes/pkg/apis/networking/v1/defaults.go`, `omitempty`) makes no
/// difference: `protocol`, `policyTypes`, `podSelector`, absent, null and empty lists. Neither
/// does the order of `policyTypes`. An empty selector and an absent one differ, as they do there.
pub fn policy_digest(spec: &NetworkPolicySpec) -> Digest {
    let mut value = serde_json::to_value(with_defaults(spec)).unwrap_or_default();
    drop_empty(&mut value);
    value.sort_all_objects();
    Digest::of_bytes(value.to_string().as_bytes())
}

/// The spec as the API server stores it.
fn with_defaults(spec: &NetworkPolicySpec) -> NetworkPolicySpec {
    let mut spec = spec.clone();
    spec.pod_selector.get_or_insert_default();
    let types = spec.policy_types.get_or_insert_default();
    if types.is_empty() {
        types.push("Ingress".into());
        if spec.egress.as_ref().is_some_and(|rules| !rules.is_empty()) {
            types.push("Egress".into());
        }
    }
    types.sort();
    types.dedup();
    let ingress = spec.ingress.iter_mut().flatten();
    let egress = spec.egress.iter_mut().flatten();
    let ports = ingress
        .filter_map(|rule| rule.ports.as_mut())
        .chain(egress.filter_map(|rule| rule.ports.as_mut()));
    ports.flatten().for_each(|port: &mut NetworkPolicyPort| {
        port.protocol.get_or_insert_with(|| "TCP".into());
    });
    spec
}

/// Takes out what `omitempty` leaves out: null, empty lists, and empty `matchLabels`. Other empty
/// objects mean something: a rule `{}` allows everything, a selector `{}` matches everything.
fn drop_empty(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.values_mut().for_each(drop_empty);
            map.retain(|key, value| match value {
                Value::Null => false,
                Value::Array(items) => !items.is_empty(),
                Value::Object(fields) => key != "matchLabels" || !fields.is_empty(),
                _ => true,
            });
        }
        Value::Array(items) => items.iter_mut().for_each(drop_empty),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(yaml: &str) -> Digest {
        policy_digest(&serde_yaml::from_str(yaml).expect("a spec"))
    }

    #[test]
    fn what_the_api_server_fills_in_makes_no_difference() {
        let written = of(
            "{podSelector: {matchLabels: {app: a}}, egress: [{to: [{podSelector: {}}], ports: [{port: 80}]}]}",
        );
        let stored = of(
            "{podSelector: {matchLabels: {app: a}}, policyTypes: [Ingress, Egress], \
             egress: [{to: [{podSelector: {}}], ports: [{port: 80, protocol: TCP}]}]}",
        );
        assert_eq!(written, stored);
    }

    #[test]
    fn absent_null_and_empty_lists_are_the_same() {
        let absent =
            of("{podSelector: {}, policyTypes: [Ingress], ingress: [{ports: [{port: 1}]}]}");
        for other in [
            "{policyTypes: [Ingress], egress: [], ingress: [{from: [], ports: [{port: 1}]}]}",
            "{podSelector: {matchLabels: {}, matchExpressions: []}, egress: null, ingress: [{from: null, ports: [{port: 1}]}]}",
        ] {
            assert_eq!(of(other), absent, "{other}");
        }
        let deny = of("{policyTypes: [Ingress, Egress], ingress: [], egress: []}");
        assert_eq!(deny, of("{policyTypes: [Egress, Ingress]}"));
    }

    #[test]
    fn what_means_something_else_has_another_digest() {
        let all = [
            "{}",
            "{policyTypes: [Egress]}",
            "{policyTypes: [Ingress, Egress]}",
            "{ingress: [{}]}",
            "{ingress: [{from: [{podSelector: {}}]}]}",
            "{ingress: [{from: [{podSelector: {}, namespaceSelector: {}}]}]}",
            "{ingress: [{from: [{podSelector: {matchLabels: {app: a}}}]}]}",
            "{ingress: [{ports: [{port: 80}]}]}",
            "{ingress: [{ports: [{port: '80'}]}]}",
            "{ingress: [{ports: [{port: 80, protocol: UDP}]}]}",
            "{ingress: [{ports: [{port: 80, endPort: 81}]}]}",
            "{podSelector: {matchLabels: {app: a}}}",
        ];
        let digests: std::collections::BTreeSet<Digest> = all.iter().map(|yaml| of(yaml)).collect();
        assert_eq!(digests.len(), all.len());
    }
}
