//! Whether what was planned is still so after it was tried, and what was too young to rely on.

use super::ends::{PodName, ServerKind};
use super::plan::{Plan, Probe};
use super::task::Expected;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use nanoseg_evaluate::{Evaluation, PeerRef};
use nanoseg_inventory::Inventory;
use nanoseg_net::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// Younger than this, in seconds, a network plugin may not know it yet.
const FRESH: i64 = 60;

/// The probes of which the pods or what policies say of them are not the same any more.
pub fn changed(plan: &Plan, inventory: &Inventory, evaluation: &Evaluation) -> BTreeSet<usize> {
    let present = inventory.pods.iter().enumerate();
    let present = present.filter(|(_, pod)| !pod.template && pod.owned.until.is_none());
    let by_name: BTreeMap<(&str, &str), usize> = present
        .map(|(index, pod)| ((pod.namespace.as_str(), pod.name.as_str()), index))
        .collect();
    let find = |name: &PodName| {
        by_name
            .get(&(name.namespace.as_str(), name.name.as_str()))
            .copied()
    };
    let is_same = |probe: &Probe| {
        let client = find(&probe.client.pod)?;
        let server = match (&probe.server.pod, probe.server.kind) {
            (Some(name), _) => {
                let index = find(name)?;
                let has = inventory
                    .pods
                    .get(index)?
                    .addresses
                    .contains(&probe.behind.ip());
                has.then_some(PeerRef::Pod(index))?
            }
            (None, ServerKind::ApiServer) => PeerRef::Address(probe.behind.ip()),
            (None, _) => return None,
        };
        let allowed = evaluation.allowed(PeerRef::Pod(client), server);
        let allowed = allowed.contains(probe.protocol, probe.behind.port());
        let is_same =
            probe.expected == Expected::Open || allowed == (probe.expected == Expected::Allowed);
        is_same.then_some(())
    };
    let all = plan.probes.iter().enumerate();
    all.filter(|(_, probe)| is_same(probe).is_none())
        .map(|(index, _)| index)
        .collect()
}

/// Policies (`namespace/name`) that were changed, and pods (`pod namespace/name`) that began, less than a minute before.
pub fn fresh(
    policies: &[NetworkPolicy],
    inventory: &Inventory,
    now: Timestamp,
) -> BTreeSet<String> {
    let is_fresh = |at: Timestamp| now.secs_since(at) < FRESH;
    let policies = policies.iter().filter_map(|policy| {
        let meta = &policy.metadata;
        let written = meta.managed_fields.iter().flatten();
        let written = written.filter_map(|one| one.time.as_ref());
        let last = written
            .chain(&meta.creation_timestamp)
            .map(|time| time.0)
            .max()?;
        let name = format!("{}/{}", meta.namespace.as_ref()?, meta.name.as_ref()?);
        is_fresh(last.into()).then_some(name)
    });
    let pods = inventory.pods.iter().filter_map(|pod| {
        let since = pod.network_up.or(pod.owned.from)?;
        is_fresh(since).then(|| format!("pod {}/{}", pod.namespace, pod.name))
    });
    policies.chain(pods).collect()
}
