//! The connections that a policy opens and closes at the workload's own end.

use super::{ImpactInputs, PolicyStates};
use crate::resources::ChangeLine;
use nanoseg_evaluate::{ConnectionChange, EvaluateError, HostNetwork, difference};

/// All of them as text.
pub struct ConnectionChanges {
    pub gained: Vec<ChangeLine>,
    pub lost: Vec<ChangeLine>,
}

/// Compares the policies before and after.
///
/// # Errors
/// Returns an error if the API server would refuse a policy.
pub fn compare(
    inputs: &ImpactInputs<'_>,
    sides: &PolicyStates,
) -> Result<ConnectionChanges, EvaluateError> {
    let found = difference(
        inputs.inventory,
        &sides.before,
        &sides.after,
        HostNetwork::Exact,
    )?;
    let lines = |list: Vec<ConnectionChange>| list.into_iter().map(line).collect();
    Ok(ConnectionChanges {
        gained: lines(found.opened),
        lost: lines(found.closed),
    })
}

fn line(found: ConnectionChange) -> ChangeLine {
    ChangeLine {
        client: found.client.to_string(),
        server: found.server.to_string(),
        ports: found.connections.to_string(),
    }
}
