//! What runs in a workload: its containers' images, and privileges that bypass network policy.

use super::host_ports::host_port;
use super::owners::OwnerIndex;
use super::{Container, Image, Pod, Workload, WorkloadId};
use crate::kubernetes::{self as core, PodSpec};
use std::collections::{BTreeMap, BTreeSet};

/// Records for each workload what runs in it: by its pods that have not ended, else by those that have,
/// else by its template. During a rollout there are several versions, and each is there.
pub(super) fn note_containers(
    workloads: &mut BTreeMap<WorkloadId, Workload>,
    pods: &[Pod],
    core_pods: &[&core::Pod],
    owners: &OwnerIndex<'_>,
) {
    for workload in workloads.values_mut() {
        let indices = workload.pods.iter().copied();
        let own: Vec<(&Pod, &core::Pod)> = indices
            .filter_map(|index| Some((pods.get(index)?, *core_pods.get(index)?)))
            .collect();
        let of = |keep: &dyn Fn(&Pod) -> bool| -> BTreeSet<Container> {
            let kept = own.iter().filter(|(pod, _)| keep(pod));
            kept.flat_map(|(_, core)| of_pod(core)).collect()
        };
        let mut found = of(&|pod| pod.owned.until.is_none());
        if found.is_empty() {
            found = of(&|_| true);
        }
        if found.is_empty() {
            let template = owners.get(&workload.id).and_then(|owner| owner.template);
            let spec = template.and_then(|template| template.spec.as_ref());
            found = spec.map(|spec| of_spec(spec, None)).unwrap_or_default();
        }
        workload.containers = found.into_iter().collect();
    }
}

fn of_pod(pod: &core::Pod) -> BTreeSet<Container> {
    let spec = pod.spec.as_ref();
    spec.map(|spec| of_spec(spec, Some(pod)))
        .unwrap_or_default()
}

fn of_spec(spec: &PodSpec, pod: Option<&core::Pod>) -> BTreeSet<Container> {
    let on_host = spec.host_network == Some(true);
    let all = spec
        .init_containers
        .iter()
        .flatten()
        .chain(&spec.containers);
    all.map(|one| {
        let context = one.security_context.as_ref();
        let added = context.and_then(|context| context.capabilities.as_ref()?.add.as_ref());
        // The API server fills in the host ports of pods on the host network.
        let ports = one.ports.iter().flatten().filter(|_| !on_host);
        Container {
            name: one.name.clone(),
            image: Image::parse(one.image.as_deref().unwrap_or_default()),
            running: pod.and_then(|pod| running(pod, &one.name)),
            privileged: context.and_then(|context| context.privileged) == Some(true),
            capabilities: added
                .into_iter()
                .flatten()
                .map(|one| capability(one))
                .collect(),
            host_ports: ports
                .filter_map(host_port)
                .filter(|port| !port.address.is_some_and(|address| address.is_loopback()))
                .map(|port| port.number)
                .collect(),
        }
    })
    .collect()
}

/// Some runtimes write the kernel's prefix, the API's examples do not.
fn capability(written: &str) -> String {
    let upper = written.to_uppercase();
    upper.strip_prefix("CAP_").unwrap_or(&upper).to_owned()
}

/// The digest that the kubelet reports for the container: `NAME@DIGEST`, or a bare digest where the image was
/// never pulled from a registry.
fn running(pod: &core::Pod, name: &str) -> Option<String> {
    let status = pod.status.as_ref()?;
    let lists = [&status.init_container_statuses, &status.container_statuses];
    let mut all = lists.into_iter().flatten().flatten();
    let id = &all.find(|one| one.name == name)?.image_id;
    let digest = id
        .rsplit_once('@')
        .map_or(id.as_str(), |(_, digest)| digest);
    digest.contains(':').then(|| digest.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::{Inventory, Objects, OwnerRule};
    use super::*;

    fn of_workload(pods: &[&str]) -> Vec<Container> {
        let pods = pods.iter().map(|text| {
            let pod: core::Pod = serde_yaml::from_str(text).expect("a pod");
            pod
        });
        let objects = Objects {
            pods: pods.collect(),
            ..Objects::default()
        };
        let (inventory, _) = Inventory::build(&objects, OwnerRule::Infer);
        let workload = inventory.workloads.into_values().next();
        workload.expect("a workload").containers
    }

    const OWNER: &str = "ownerReferences: [{kind: StatefulSet, name: db, controller: true, apiVersion: apps/v1, uid: u}]";

    #[test]
    fn what_runs_and_what_it_may_is_read_of_the_pod() {
        let found = of_workload(&[&format!(
            "metadata: {{name: db-0, namespace: shop, uid: a, {OWNER}}}\n\
             spec:\n  initContainers: [{{name: prepare, image: busybox}}]\n  containers:\n  - name: db\n    image: 'r.example/db:1'\n    \
             securityContext: {{privileged: true, capabilities: {{add: [CAP_NET_ADMIN, chown]}}}}\n    \
             ports: [{{containerPort: 5432, hostPort: 5432}}, {{containerPort: 80}}]\n\
             status: {{phase: Running, containerStatuses: [{{name: db, image: x, imageID: 'r.example/db@sha256:ab', ready: true, restartCount: 0}}]}}"
        )]);
        let names: Vec<&str> = found.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["db", "prepare"]);
        let db = &found[0];
        assert_eq!(db.image.to_string(), "r.example/db:1");
        assert_eq!(db.running.as_deref(), Some("sha256:ab"));
        assert!(db.privileged);
        assert_eq!(
            db.capabilities,
            BTreeSet::from(["NET_ADMIN".into(), "CHOWN".into()])
        );
        assert_eq!(db.host_ports, BTreeSet::from([5432]));
        assert_eq!(found[1].image.name(), "docker.io/library/busybox");
        assert_eq!(found[1].running, None);
    }

    #[test]
    fn pods_that_have_ended_count_only_where_none_runs() {
        let pod = |name: &str, image: &str, phase: &str| {
            format!(
                "metadata: {{name: {name}, namespace: shop, uid: {name}, {OWNER}}}\n\
                 spec: {{containers: [{{name: db, image: '{image}'}}]}}\nstatus: {{phase: {phase}}}"
            )
        };
        // One that is over needs an end: its deletion.
        let ended = pod("old", "db:1", "Failed").replace(
            "namespace: shop",
            "namespace: shop, deletionTimestamp: '2026-03-01T00:00:00Z'",
        );
        let images = |pods: &[&str]| -> Vec<String> {
            let all = of_workload(pods);
            all.iter().map(|one| one.image.to_string()).collect()
        };
        let running = pod("new", "db:2", "Running");
        assert_eq!(images(&[&ended, &running]), ["docker.io/library/db:2"]);
        assert_eq!(images(&[&ended]), ["docker.io/library/db:1"]);
        let other = pod("newer", "db:3", "Running");
        assert_eq!(
            images(&[&running, &other]),
            ["docker.io/library/db:2", "docker.io/library/db:3"]
        );
    }

    #[test]
    fn a_pod_on_the_host_network_has_no_host_ports_of_its_own() {
        let found = of_workload(&["metadata: {name: a, namespace: kube-system}\n\
             spec: {hostNetwork: true, containers: [{name: a, image: a, ports: [{containerPort: 9100, hostPort: 9100}]}]}"]);
        assert!(found[0].host_ports.is_empty());
    }
}
