//! The peers of a rule as NetworkPolicy has them.

use super::address;
use super::{Rule, RulePeer};
use crate::selector::Selector;
use k8s_openapi::api::networking::v1::NetworkPolicyPeer;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use std::collections::BTreeMap;

/// The label that every namespace has had since Kubernetes 1.22 (KEP-2161).
pub(in super::super) const NAMESPACE_LABEL: &str = "kubernetes.io/metadata.name";

/// The peers of a rule of a policy in `namespace`. Names and entities have no place in a NetworkPolicy, and no
/// requirement of one becomes one.
pub(in super::super) fn peers(rule: &Rule, namespace: &str) -> Vec<NetworkPolicyPeer> {
    let peer = |peer: &RulePeer| match peer {
        RulePeer::Pods(home, selector) => Some(pods(home, selector, namespace)),
        RulePeer::Block(block) => Some(address::peer(block)),
        RulePeer::Entity(_) | RulePeer::Name(_) | RulePeer::NamesBelow(_) => None,
    };
    rule.peers.iter().filter_map(peer).collect()
}

/// Pods of the policy's own namespace need no namespaceSelector.
fn pods(home: &str, selector: &Selector, namespace: &str) -> NetworkPolicyPeer {
    let namespace_selector = (home != namespace).then(|| LabelSelector {
        match_labels: Some(BTreeMap::from([(
            NAMESPACE_LABEL.to_string(),
            home.to_string(),
        )])),
        match_expressions: None,
    });
    NetworkPolicyPeer {
        namespace_selector,
        pod_selector: Some(selector.to_api()),
        ip_block: None,
    }
}
