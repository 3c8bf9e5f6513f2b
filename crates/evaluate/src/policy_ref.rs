//! A policy of any kind, as it is given to an evaluation.

use k8s_openapi::api::networking::v1::NetworkPolicy;
use nanoseg_policy_kinds::OtherKindPolicy;

/// One policy.
#[derive(Debug, Clone, Copy)]
pub enum PolicyRef<'a> {
    Network(&'a NetworkPolicy),
    Other(&'a OtherKindPolicy),
}

impl<'a> From<&'a NetworkPolicy> for PolicyRef<'a> {
    fn from(policy: &'a NetworkPolicy) -> Self {
        PolicyRef::Network(policy)
    }
}

impl<'a> From<&'a OtherKindPolicy> for PolicyRef<'a> {
    fn from(policy: &'a OtherKindPolicy) -> Self {
        PolicyRef::Other(policy)
    }
}

/// On which side of a comparison a policy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ComparedSide {
    Before,
    After,
    Both,
}

impl ComparedSide {
    /// Returns true if a policy of this side is in force together with an object of the other one.
    pub fn sees(self, other: ComparedSide) -> bool {
        self == other || self == ComparedSide::Both || other == ComparedSide::Both
    }
}
