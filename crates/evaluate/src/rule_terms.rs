//! The words of rules: what they do, which nodes they match, and when they are asked.

/// What a rule does with the connections that it matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Allow,
    Deny,
    /// Leaves them to the next tier.
    Pass,
}

/// The nodes that a rule matches, seen from the pod that its policy selects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct NearNodes {
    /// The node that the pod runs on.
    pub own: bool,
    pub others: bool,
}

/// When a policy is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// The index of its tier.
    pub tier: u32,
    /// Its rank in the tier.
    pub rank: u32,
}
