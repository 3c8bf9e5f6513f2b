//! What the snapshots lack, and what is less exact for it (rule: snapshot-gap-is-reported).

use super::owners::OwnerIndex;
use super::services::of_source;
use super::{EndpointSource, Namespace, Objects, Service, SnapshotGap, WorkloadId};
use nanoseg_finding::{Code, Finding};
use std::collections::{BTreeMap, BTreeSet};

/// How many examples a finding carries.
const SAMPLES: usize = 5;

/// Returns a finding for each thing that is missing.
pub(super) fn findings(
    objects: &Objects,
    owners: &OwnerIndex<'_>,
    missing_owners: &BTreeSet<WorkloadId>,
    services: &[Service],
    namespaces: &BTreeMap<String, Namespace>,
) -> Vec<Finding> {
    let mut findings = of_services(services);
    findings.extend(of_pods(objects));
    if !missing_owners.is_empty() {
        findings.push(of_owners(owners, missing_owners));
    }
    if objects.nodes.is_empty() && !objects.pods.is_empty() {
        findings.push(Finding::new(Code::MissingNodes, "snapshot", "has no Nodes"));
    }
    findings.extend(SnapshotGap::findings(&objects.gaps));
    let read: BTreeSet<&str> = objects
        .namespaces
        .iter()
        .filter_map(|n| n.metadata.name.as_deref())
        .collect();
    let unread: Vec<&String> = namespaces
        .keys()
        .filter(|name| !read.contains(name.as_str()))
        .collect();
    if !unread.is_empty() {
        let message = format!("{} namespaces of pods are missing", unread.len());
        findings.push(
            Finding::new(Code::MissingNamespaces, "snapshot", message)
                .with_samples(unread.into_iter().take(SAMPLES).cloned()),
        );
    }
    findings
}

/// Names the kinds to ask for. A kind that the namespace has was asked for: the owner was gone by then.
fn of_owners(owners: &OwnerIndex<'_>, missing: &BTreeSet<WorkloadId>) -> Finding {
    let (gone, unasked): (Vec<&WorkloadId>, Vec<&WorkloadId>) = missing
        .iter()
        .partition(|id| owners.has_kind(&id.namespace, &id.kind));
    // What is missing has an owner of its own, as a rule, and it is not known whether that one is there.
    let above = |id: &&WorkloadId| match id.kind.as_str() {
        "ReplicaSet" => Some("Deployment"),
        "Job" => Some("CronJob"),
        _ => None,
    };
    let next = unasked.iter().filter_map(|id| {
        let kind = above(id)?;
        (!owners.has_kind(&id.namespace, kind)).then_some(kind)
    });
    let kinds = unasked.iter().map(|id| id.kind.as_str()).chain(next);
    let kinds: BTreeSet<String> = kinds
        .map(|kind| format!("{}s", kind.to_ascii_lowercase()))
        .collect();
    let kinds: Vec<String> = kinds.into_iter().collect();
    let mut message = format!("{} owners of pods are missing", missing.len());
    if !kinds.is_empty() {
        message.push_str(&format!("; the kinds to add: {}", kinds.join(",")));
    }
    if !gone.is_empty() {
        let gone = gone.len();
        message.push_str(&format!(
            "; {gone} of a kind that is there were not there when it was taken"
        ));
    }
    let samples = missing
        .iter()
        .take(SAMPLES)
        .map(|id| format!("{} {id}", id.kind));
    Finding::new(Code::MissingOwners, "snapshot", message).with_samples(samples)
}

/// Endpoints that are taken from something else than slices or Endpoints. A Service of which nothing is known is
/// reported where it is called.
fn of_services(services: &[Service]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let selected = of_source(services, EndpointSource::Selector);
    if !selected.is_empty() {
        let message = format!(
            "endpoints of {} Services were taken from their selectors",
            selected.len()
        );
        findings.push(
            Finding::new(Code::MissingEndpointSlices, "snapshot", message)
                .with_samples(selected.into_iter().take(SAMPLES)),
        );
    }
    for name in of_source(services, EndpointSource::ControlPlane) {
        let service = services
            .iter()
            .find(|one| one.endpoint_source == EndpointSource::ControlPlane);
        let endpoints = service.iter().flat_map(|one| &one.ports).flat_map(|port| {
            let all = port.endpoints.iter();
            all.map(|one| std::net::SocketAddr::new(one.address, one.port).to_string())
        });
        let message = format!(
            "has no endpoints in the snapshot; the API server is taken to be at {}, by the pods or nodes of the control plane",
            endpoints.collect::<Vec<_>>().join(", ")
        );
        findings.push(Finding::new(Code::AssumedApiServer, name, message));
    }
    findings
}

/// Pods that run have addresses. Where none of them has one, something removed the status.
fn of_pods(objects: &Objects) -> Option<Finding> {
    let with_address = objects.pods.iter().any(|pod| {
        let status = pod.status.as_ref();
        status.is_some_and(|status| {
            status.pod_ip.is_some() || status.pod_ips.as_ref().is_some_and(|all| !all.is_empty())
        })
    });
    if with_address || objects.pods.is_empty() {
        return None;
    }
    let without_status = objects.pods.iter().all(|pod| {
        let status = pod.status.as_ref();
        status.is_none_or(|status| *status == Default::default())
    });
    let message = if without_status {
        format!(
            "none of the {} pods has an address: their status was removed",
            objects.pods.len()
        )
    } else {
        format!("none of the {} pods has an address", objects.pods.len())
    };
    Some(Finding::new(
        Code::PodsWithoutAddresses,
        "snapshot",
        message,
    ))
}
