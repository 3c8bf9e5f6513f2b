//! Digests: names for contents. A policy has the same one before and after it went through the API
//! server, so what is wanted and what is there can be compared by it.

use k8s_openapi::api::networking::v1::{NetworkPolicyPort, NetworkPolicySpec};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;

/// `sha256:` and 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

const PREFIX: &str = "sha256:";

/// A text that is no digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("failed to read digest {0:?}: it is not sha256: and 64 lower-case hexadecimal digits")]
pub struct NotADigest(String);

impl Digest {
    /// SHA-256 of `bytes`.
    pub fn of_bytes(bytes: &[u8]) -> Digest {
        Digest(format!("{PREFIX}{}", crate::net::sha256_hex(bytes)))
    }

    /// The digest of what a policy says. What the API server fills in or leaves out when it stores
    /// an object (`k8s.io/kubernetes/pkg/apis/networking/v1/defaults.go`, `omitempty`) makes no
    /// difference: `protocol`, `policyTypes`, `podSelector`, absent, null and empty lists. Neither
    /// does the order of `policyTypes`. An empty selector and an absent one differ, as they do there.
    pub fn of_policy(spec: &NetworkPolicySpec) -> Digest {
        let mut value = serde_json::to_value(with_defaults(spec)).unwrap_or_default();
        drop_empty(&mut value);
        value.sort_all_objects();
        Digest::of_bytes(value.to_string().as_bytes())
    }

    /// Reads the text form.
    ///
    /// # Errors
    /// Anything else than `sha256:` and 64 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Result<Digest, NotADigest> {
        Digest::try_from(text.to_owned())
    }

    /// What stands before the first entry of a record: the digest of nothing that was ever hashed.
    pub(super) fn zero() -> Digest {
        Digest(format!("{PREFIX}{}", "0".repeat(64)))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Digest {
    type Error = NotADigest;

    fn try_from(text: String) -> Result<Digest, NotADigest> {
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        match text.strip_prefix(PREFIX) {
            Some(rest) if rest.len() == 64 && rest.bytes().all(is_hex) => Ok(Digest(text)),
            _ => Err(NotADigest(text)),
        }
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
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
        Digest::of_policy(&serde_yaml::from_str(yaml).expect("a spec"))
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

    #[test]
    fn the_digest_of_bytes_is_sha_256() {
        // FIPS 180-2, appendix B.1.
        assert_eq!(
            Digest::of_bytes(b"abc").to_string(),
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn only_the_written_form_is_read_back() {
        let digest = Digest::of_bytes(b"x");
        assert_eq!(Digest::parse(digest.as_str()), Ok(digest.clone()));
        for bad in [
            "",
            "sha256:",
            &digest.as_str().to_uppercase(),
            &digest.as_str()[1..],
            &format!("{digest}0"),
        ] {
            assert!(Digest::parse(bad).is_err(), "{bad}");
        }
    }
}
