//! The connections that a policy opens and closes at the workload's own end.

use super::{ImpactInputs, MOST_LINES, PolicyStates, number};
use crate::resources::{ChangeLine, ClosedGroup};
use nanoseg_evaluate::{ConnectionChange, EvaluateError, HostNetwork, Span, difference};
use nanoseg_inventory::WorkloadId;
use std::collections::{BTreeMap, BTreeSet};

/// All of them as text.
pub struct ConnectionChanges {
    pub gained: Vec<ChangeLine>,
    pub lost: Vec<ChangeLine>,
    /// The lost ones in short.
    pub closed_groups: Vec<ClosedGroup>,
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
        closed_groups: groups(inputs.workload, &found.closed),
        gained: lines(found.opened),
        lost: lines(found.closed),
    })
}

/// Groups what is closed by the namespace and kind of the other end: what is nearest comes first, the own namespace, then
/// others, then addresses.
fn groups(own: &WorkloadId, closed: &[ConnectionChange]) -> Vec<ClosedGroup> {
    let mut ends: BTreeMap<ClosedGroup, BTreeSet<String>> = BTreeMap::new();
    let mut partly: BTreeSet<ClosedGroup> = BTreeSet::new();
    for one in closed {
        let (group, end) = group_of(own, one);
        if one.connections.to_string() != ALL {
            partly.insert(group.clone());
        }
        ends.entry(group).or_default().insert(end);
    }
    let counted = |(group, ends): (ClosedGroup, BTreeSet<String>)| ClosedGroup {
        count: number(ends.len()),
        all_ports: !partly.contains(&group),
        ..group
    };
    let mut groups: Vec<ClosedGroup> = ends.into_iter().map(counted).collect();
    groups.sort_by_key(|one| {
        let namespace = one.namespace.clone();
        let is_other = namespace.as_deref() != Some(own.namespace.as_str());
        (
            one.direction.clone(),
            is_other,
            namespace.is_none(),
            namespace,
        )
    });
    groups.truncate(MOST_LINES);
    groups
}

/// How the evaluator writes all ports of all protocols.
const ALL: &str = "All Connections";

/// The group of a closed connection, and its other end.
fn group_of(own: &WorkloadId, one: &ConnectionChange) -> (ClosedGroup, String) {
    let is_own = |span: &Span| matches!(span, Span::Workload(id) if id == own);
    let is_called = is_own(&one.server) && !is_own(&one.client);
    let (direction, other) = if is_called {
        ("in", &one.client)
    } else {
        ("out", &one.server)
    };
    let (namespace, kind) = match other {
        Span::Workload(id) => (Some(id.namespace.clone()), id.kind.as_str()),
        Span::Addresses(_) => (None, "addresses"),
        Span::Anything => (None, "anything"),
    };
    let group = ClosedGroup {
        direction: direction.to_owned(),
        namespace,
        kind: kind.to_owned(),
        ..ClosedGroup::default()
    };
    (group, other.to_string())
}

fn line(found: ConnectionChange) -> ChangeLine {
    ChangeLine {
        client: found.client.to_string(),
        server: found.server.to_string(),
        ports: found.connections.to_string(),
    }
}
