//! Connections that a policy opens and closes at the workload's own end.

use super::{Question, Sides};
use crate::evaluate::{Change as Found, EvaluateError, HostNetwork, difference};
use crate::review::resources::Change;

/// All of them, in words.
pub struct Changes {
    pub gained: Vec<Change>,
    pub lost: Vec<Change>,
}

/// Compares the policies before and after.
///
/// # Errors
/// A policy that the API server would refuse.
pub fn compare(question: &Question<'_>, sides: &Sides) -> Result<Changes, EvaluateError> {
    let found = difference(
        question.inventory,
        &sides.before,
        &sides.after,
        HostNetwork::Exact,
    )?;
    let words = |list: Vec<Found>| list.into_iter().map(change).collect();
    Ok(Changes {
        gained: words(found.opened),
        lost: words(found.closed),
    })
}

fn change(found: Found) -> Change {
    Change {
        client: found.client.to_string(),
        server: found.server.to_string(),
        ports: found.connections.to_string(),
    }
}
