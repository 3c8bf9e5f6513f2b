//! Names one rule of one policy.

use nanoseg_net::{ConnectionSet, Direction};
use serde::Serialize;
use std::fmt;

/// One rule of one policy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct RuleRef {
    /// `namespace/name`.
    pub policy: String,
    pub direction: Direction,
    /// Its index in `spec.ingress` or `spec.egress`, from 0.
    pub index: usize,
    /// Its path where it stands elsewhere in the policy: `spec.ingressDeny[0]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}

impl RuleRef {
    /// Returns the namespace of the policy; empty for a policy of all namespaces.
    pub fn namespace(&self) -> &str {
        policy_namespace(&self.policy)
    }
}

/// Returns the namespace of a policy by its name in results: `shop/web`, `CiliumNetworkPolicy shop/web`. Empty for a
/// policy of all namespaces.
pub fn policy_namespace(name: &str) -> &str {
    let name = name.rsplit(' ').next().unwrap_or_default();
    name.split_once('/').map_or("", |(namespace, _)| namespace)
}

impl fmt::Display for RuleRef {
    /// `shop/nanoseg-cart, spec.ingress[0]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.field {
            Some(field) => write!(f, "{}, {field}", self.policy),
            None => write!(
                f,
                "{}, spec.{}[{}]",
                self.policy, self.direction, self.index
            ),
        }
    }
}

/// A rule that matches the other end, and the connections that it allows with it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct NearMiss {
    pub rule: RuleRef,
    pub connections: ConnectionSet,
}
