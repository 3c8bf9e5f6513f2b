//! Why Cilium dropped a packet: only some of its reasons are policies (rule: cilium-says-what-it-did).
//!
//! The names and numbers are those of DropReason in Cilium's api/v1/flow/flow.proto (v1.20.2), which are those of
//! bpf/lib/common.h. The list grows with each version, so a reason that is not here is none of a policy.

use super::raw::EnumValue;

/// No rule allows it, in a direction in which policies isolate the endpoint.
const POLICY_DENIED: i64 = 133;
/// A rule that denies matches.
const POLICY_DENY: i64 = 181;

/// The number of a reason that is given by its name or number. `None` if none is given; 0 for a name that is not of a
/// policy.
pub(super) fn number(reason: &EnumValue) -> Option<i64> {
    match reason {
        EnumValue::None => None,
        EnumValue::Number(number) => Some(*number).filter(|number| *number != 0),
        EnumValue::Text(name) => match name.as_str() {
            "DROP_REASON_UNKNOWN" | "" => None,
            "POLICY_DENIED" => Some(POLICY_DENIED),
            "POLICY_DENY" => Some(POLICY_DENY),
            other => Some(other.parse().unwrap_or_default()),
        },
    }
}

/// Returns true if a policy decided. A connection that waits for mutual authentication (`AUTH_REQUIRED`), a Service's
/// `loadBalancerSourceRanges` and an endpoint that is not ready are no policies that say no.
pub(super) fn is_of_policy(reason: i64) -> bool {
    matches!(reason, POLICY_DENIED | POLICY_DENY)
}
