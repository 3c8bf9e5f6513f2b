//! What runs in a workload: its containers' images, and privileges that bypass network policy.

use super::host_ports::host_port;
use super::owners::OwnerIndex;
use super::{Pod, Workload, WorkloadId};
use crate::kubernetes::{self as core, PodSpec};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// An image reference, parsed as container runtimes do (github.com/distribution/reference).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Image {
    /// `docker.io` where none is written.
    pub registry: String,
    /// `library/nginx`, `team/app`.
    pub repository: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// `sha256:…`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

impl Image {
    /// Parses a reference. Any text gives an image: it is the kubelet's task to refuse a bad one.
    pub fn parse(text: &str) -> Image {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.to_owned())),
            None => (text, None),
        };
        // The first part names a registry if it looks like a host.
        let (registry, rest) = match rest.split_once('/') {
            Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => (host, rest),
            _ => ("docker.io", rest),
        };
        // Docker Hub answers to several names.
        let registry = match registry {
            "index.docker.io" | "registry-1.docker.io" => "docker.io",
            other => other,
        };
        let last = rest.rfind('/').map_or(0, |at| at + 1);
        let (name, tag) = match rest[last..].find(':') {
            Some(at) => (&rest[..last + at], Some(rest[last + at + 1..].to_owned())),
            None => (rest, None),
        };
        let repository = if registry == "docker.io" && !name.contains('/') {
            format!("library/{name}")
        } else {
            name.to_owned()
        };
        Image {
            registry: registry.to_owned(),
            repository,
            tag,
            digest,
        }
    }

    /// Registry and repository, without tag and digest.
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// Returns true if the reference may name another image tomorrow: only a digest never changes.
    pub fn is_mutable(&self) -> bool {
        self.digest.is_none()
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

/// One container of a workload, as its pods describe it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Container {
    pub name: String,
    pub image: Image,
    /// The digest that really runs, as the kubelet reports it (`status.containerStatuses[].imageID`): `sha256:…`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running: Option<String>,
    pub privileged: bool,
    /// Capabilities beyond the runtime's default ones, without `CAP_`.
    pub capabilities: BTreeSet<String>,
    /// Ports of the node that lead to it from other machines: not those of a loopback address. On the host
    /// network every port does, and they are not listed.
    pub host_ports: BTreeSet<u16>,
}

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

    #[test]
    fn references_are_taken_apart_as_the_runtime_does() {
        for (text, name, tag, digest) in [
            ("nginx", "docker.io/library/nginx", None, None),
            ("nginx:1.27", "docker.io/library/nginx", Some("1.27"), None),
            (
                "index.docker.io/library/nginx",
                "docker.io/library/nginx",
                None,
                None,
            ),
            ("team/app:2", "docker.io/team/app", Some("2"), None),
            ("localhost/app", "localhost/app", None, None),
            (
                "r.example:5000/a/b:c",
                "r.example:5000/a/b",
                Some("c"),
                None,
            ),
            (
                "ghcr.io/a/b:v1@sha256:ab",
                "ghcr.io/a/b",
                Some("v1"),
                Some("sha256:ab"),
            ),
            ("", "docker.io/library/", None, None),
        ] {
            let image = Image::parse(text);
            assert_eq!(image.name(), name, "{text}");
            assert_eq!(image.tag.as_deref(), tag, "{text}");
            assert_eq!(image.digest.as_deref(), digest, "{text}");
            assert_eq!(image.is_mutable(), digest.is_none(), "{text}");
        }
    }

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
