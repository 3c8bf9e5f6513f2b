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

/// Groups what is closed by the namespace and kind of the other end, the largest group first.
fn groups(own: &WorkloadId, closed: &[ConnectionChange]) -> Vec<ClosedGroup> {
    let mut groups: BTreeMap<(&str, Option<&str>, &str), (BTreeSet<String>, bool)> =
        BTreeMap::new();
    for one in closed {
        let is_own = |span: &Span| matches!(span, Span::Workload(id) if id == own);
        let (direction, other) = match is_own(&one.server) {
            true if !is_own(&one.client) => ("in", &one.client),
            _ => ("out", &one.server),
        };
        let (namespace, kind) = match other {
            Span::Workload(id) => (Some(id.namespace.as_str()), id.kind.as_str()),
            Span::Addresses(_) => (None, "addresses"),
            Span::Anything => (None, "anything"),
        };
        let (ends, all_ports) = groups
            .entry((direction, namespace, kind))
            .or_insert_with(|| (BTreeSet::new(), true));
        ends.insert(other.to_string());
        *all_ports &= one.connections.to_string() == "All Connections";
    }
    let group = |((direction, namespace, kind), (ends, all_ports)): (
        (&str, Option<&str>, &str),
        (BTreeSet<String>, bool),
    )| ClosedGroup {
        direction: direction.to_owned(),
        namespace: namespace.map(str::to_owned),
        kind: kind.to_owned(),
        count: number(ends.len()),
        all_ports,
    };
    let mut groups: Vec<ClosedGroup> = groups.into_iter().map(group).collect();
    // What is nearest comes first: the own namespace, then others, then addresses.
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

fn line(found: ConnectionChange) -> ChangeLine {
    ChangeLine {
        client: found.client.to_string(),
        server: found.server.to_string(),
        ports: found.connections.to_string(),
    }
}
