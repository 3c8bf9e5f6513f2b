//! Whether something is wrong with the policies of a namespace.

use super::{Circumstances, EngineState, Fact, listed};
use crate::review::{DegradedBy, WorkloadState};

/// Is a policy not what was approved, or does one block what it was approved to allow?
pub(super) fn degraded(
    engine_state: &EngineState,
    namespace: &str,
    theirs: &[&WorkloadState],
    around: &Circumstances<'_>,
) -> Fact {
    let fact = |is_true, reason, message| Fact {
        kind: "Degraded",
        is_true,
        reason,
        message,
    };
    let altered = listed(&engine_state.altered, namespace);
    if !altered.is_empty() {
        return fact(
            true,
            "StateAltered",
            format!("{altered}; what is not proven is not applied: decide on the next proposal"),
        );
    }
    let failures = listed(&around.troubles.failures, namespace);
    if !failures.is_empty() {
        return fact(true, "WriteFailed", failures);
    }
    let of = |by: DegradedBy| -> Vec<String> {
        let theirs = theirs.iter().filter_map(|s| {
            let degraded = s.degraded.as_ref().filter(|degraded| degraded.by == by)?;
            Some((&s.workload.name, &degraded.why))
        });
        let done = match by {
            DegradedBy::RolledBack => "rolled back",
            DegradedBy::Kept => "approved traffic is blocked",
        };
        theirs
            .map(|(name, why)| format!("{name}: {done}: {why}"))
            .collect()
    };
    let (kept, undone) = (of(DegradedBy::Kept), of(DegradedBy::RolledBack));
    let words = [kept.as_slice(), undone.as_slice()].concat().join("; ");
    match (kept.is_empty(), undone.is_empty()) {
        (true, true) => fact(false, "Works", String::new()),
        (true, false) => fact(true, "RolledBack", words),
        (false, _) => fact(true, "ApprovedTrafficBlocked", words),
    }
}
