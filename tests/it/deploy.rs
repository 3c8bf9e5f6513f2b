//! The manifests under deploy/: Kubernetes accepts them, they request no more than needed, and they use only existing
//! options of nanoseg.

mod components;
mod help;
mod monitoring;
pub mod rendered;
mod values;

use clap::ValueEnum;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::{
    Container, Namespace, PersistentVolumeClaim, PodSpec, Service, ServiceAccount,
};
use nanoseg::cli::crd::Resource;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("deploy")
        .join(name)
}

/// Reads a manifest as its type. Every field must be known.
fn read<T: DeserializeOwned + Serialize>(path: &str) -> T {
    let text = std::fs::read_to_string(folder(path)).expect(path);
    let written: Value = serde_yaml::from_str(&text).expect(path);
    let typed: T =
        serde_json::from_value(written.clone()).unwrap_or_else(|error| panic!("{path}: {error}"));
    let known = serde_json::to_value(&typed).expect(path);
    assert_known(path, &written, &known);
    typed
}

fn assert_known(place: &str, written: &Value, known: &Value) {
    match (written, known) {
        (Value::Object(written), Value::Object(known)) => {
            for (key, value) in written {
                let place = format!("{place}.{key}");
                let known = known
                    .get(key)
                    .unwrap_or_else(|| panic!("{place} is no field"));
                assert_known(&place, value, known);
            }
        }
        (Value::Array(written), Value::Array(known)) => {
            assert_eq!(written.len(), known.len(), "{place}");
            for (one, other) in written.iter().zip(known) {
                assert_known(place, one, other);
            }
        }
        _ => assert_eq!(written, known, "{place}"),
    }
}

fn agent() -> PodSpec {
    let set: DaemonSet = read("base/agent/daemon-set.yaml");
    set.spec.template.spec.expect("a pod")
}

fn controller() -> PodSpec {
    let deployment: Deployment = read("base/controller/deployment.yaml");
    let spec = deployment.spec;
    assert_eq!(spec.replicas, Some(2), "one leads, one is ready to");
    spec.template.spec.expect("a pod")
}

fn only(pod: &PodSpec) -> &Container {
    assert_eq!(pod.containers.len(), 1);
    &pod.containers[0]
}

#[test]
fn every_file_is_listed_and_every_listed_file_has_its_kind() {
    for part in ["access", "admission", "agent", "controller"] {
        let part = format!("base/{part}");
        let list: Value = read(&format!("{part}/kustomization.yaml"));
        let listed: BTreeSet<String> = list["resources"]
            .as_array()
            .expect("resources")
            .iter()
            .map(|name| name.as_str().expect("a name").to_owned())
            .collect();
        let there: BTreeSet<String> = std::fs::read_dir(folder(&part))
            .expect("a folder")
            .map(|entry| {
                entry
                    .expect("an entry")
                    .file_name()
                    .to_string_lossy()
                    .into_owned()
            })
            .filter(|name| name != "kustomization.yaml")
            .collect();
        assert_eq!(listed, there);
    }
    for (part, name) in [("agent", "nanoseg-agents"), ("controller", "nanoseg")] {
        let namespace: Namespace = read(&format!("base/{part}/namespace.yaml"));
        assert_eq!(namespace.metadata.name.as_deref(), Some(name));
        let account: ServiceAccount = read(&format!("base/{part}/service-account.yaml"));
        assert_eq!(account.automount_service_account_token, Some(false));
    }
    let claim: PersistentVolumeClaim = read("base/controller/volume-claim.yaml");
    assert!(claim.spec.is_some());
}

#[test]
fn both_pods_request_no_more_than_they_need() {
    for (pod, added, root) in [
        (agent(), vec!["NET_ADMIN", "NET_RAW"], true),
        (controller(), vec![], false),
    ] {
        // Only the controller connects to the API server.
        assert_eq!(pod.automount_service_account_token, Some(!root));
        assert!(!pod.host_pid.unwrap_or(false) && !pod.host_ipc.unwrap_or(false));
        assert_eq!(pod.host_network.unwrap_or(false), root);
        let whole = pod.security_context.as_ref().expect("a security context");
        let seccomp = whole.seccomp_profile.as_ref().expect("a seccomp profile");
        assert_eq!(seccomp.type_, "RuntimeDefault");
        let container = only(&pod);
        let own = container
            .security_context
            .as_ref()
            .expect("a security context");
        assert_eq!(own.allow_privilege_escalation, Some(false));
        assert_eq!(own.read_only_root_filesystem, Some(true));
        assert_eq!(own.privileged, Some(false));
        let capabilities = own.capabilities.as_ref().expect("capabilities");
        assert_eq!(capabilities.drop.as_deref(), Some(&["ALL".to_owned()][..]));
        assert_eq!(capabilities.add.clone().unwrap_or_default(), added);
        let user = own.run_as_user.or(whole.run_as_user);
        assert_eq!(user == Some(0), root, "{user:?}");
        if !root {
            assert_eq!(whole.run_as_non_root, Some(true));
        }
        let resources = container.resources.as_ref().expect("resources");
        let limits = resources.limits.as_ref().expect("limits");
        assert!(limits.contains_key("memory"));
        assert!(container.liveness_probe.is_some() && container.readiness_probe.is_some());
    }
}

#[test]
fn the_agent_runs_on_every_node_with_a_token_for_the_controller_only() {
    let pod = agent();
    assert_eq!(pod.dns_policy.as_deref(), Some("ClusterFirstWithHostNet"));
    let tolerations = pod.tolerations.clone().unwrap_or_default();
    assert!(
        tolerations
            .iter()
            .any(|t| t.key.is_none() && t.operator.as_deref() == Some("Exists"))
    );
    let volumes = pod.volumes.clone().unwrap_or_default();
    let tokens: Vec<_> = volumes
        .iter()
        .filter_map(|volume| volume.projected.as_ref()?.sources.as_ref())
        .flatten()
        .filter_map(|source| source.service_account_token.as_ref())
        .collect();
    assert_eq!(tokens.len(), 1);
    assert_eq!(tokens[0].audience.as_deref(), Some("nanoseg"));
}

/// A node may have addresses that the internet reaches. (rule: connections-are-bounded)
#[test]
fn the_agents_metrics_are_on_the_nodes_address_in_the_cluster_only() {
    let pod = agent();
    let container = only(&pod);
    let mut arguments = container.args.iter().flatten();
    let listen = arguments.find_map(|argument| argument.strip_prefix("--metrics-listen="));
    assert_eq!(listen, Some("$(NODE_ADDRESS):9465"));
    let mut variables = container.env.iter().flatten();
    let address = variables.find(|variable| variable.name == "NODE_ADDRESS");
    let source = address.and_then(|variable| variable.value_from.as_ref()?.field_ref.as_ref());
    assert_eq!(source.expect("a field").field_path, "status.hostIP");
    // Probes go to the pod's address, which is the node's.
    assert_eq!(pod.host_network, Some(true));
    for probe in [&container.liveness_probe, &container.readiness_probe] {
        let get = probe.as_ref().and_then(|probe| probe.http_get.as_ref());
        assert_eq!(get.expect("a request").host, None);
    }
    let chart = folder("helm/nanoseg/templates/agent").join("daemon-set.yaml");
    let chart = std::fs::read_to_string(chart).expect("the chart");
    assert!(chart.contains("--metrics-listen=$(NODE_ADDRESS):9465"));
}

/// Every mounted volume exists, and every file in an argument is in a mounted volume.
#[test]
fn arguments_use_only_mounted_files() {
    for pod in [agent(), controller()] {
        let volumes = pod.volumes.clone().unwrap_or_default();
        let container = only(&pod);
        let mounts = container.volume_mounts.clone().unwrap_or_default();
        for mount in &mounts {
            assert!(
                volumes.iter().any(|volume| volume.name == mount.name),
                "{}",
                mount.name
            );
        }
        for argument in container.args.iter().flatten() {
            let Some((_, path)) = argument.split_once("=/") else {
                continue;
            };
            let path = format!("/{path}");
            assert!(
                mounts.iter().any(|m| path.starts_with(&m.mount_path)),
                "{path}"
            );
        }
    }
}

#[test]
fn arguments_are_existing_options() {
    for (pod, from_environment) in [(agent(), &["--node", "node-1"][..]), (controller(), &[])] {
        let arguments = only(&pod).args.iter().flatten();
        // The kubelet puts the value of the variable there.
        let arguments: Vec<String> = arguments
            .map(|argument| argument.replace("$(NODE_ADDRESS)", "fd00::1"))
            .collect();
        let all = arguments
            .iter()
            .map(String::as_str)
            .chain(from_environment.iter().copied());
        if let Err(why) = nanoseg::cli::check(all) {
            panic!("{arguments:?}: {why}");
        }
    }
    assert!(nanoseg::cli::check(["agent", "--node=n", "--no-such-option"]).is_err());
}

/// The component replaces all arguments of the agent: they must stay those of the base but for the way of batches.
#[test]
fn through_nats_an_agent_has_the_same_arguments_but_for_its_delivery() {
    let arguments = |pod: &Value| -> Vec<String> {
        let container = &pod["spec"]["template"]["spec"]["containers"][0];
        let all = container["args"].as_array().expect("arguments").iter();
        all.map(|one| one.as_str().expect("text").to_owned())
            .collect()
    };
    let text = std::fs::read_to_string(folder("components/nats/daemon-set.yaml")).expect("a file");
    let patch: Value = serde_yaml::from_str(&text).expect("YAML");
    let patched = arguments(&patch);
    let is_own = |one: &&String| !one.starts_with("--nats");
    let delivers = |one: &&String| {
        ["--receiver=", "--ca=", "--metrics-listen="]
            .iter()
            .any(|way| one.starts_with(way))
    };
    let base = only(&agent()).args.clone().unwrap_or_default();
    let base: Vec<_> = base.iter().filter(|one| !delivers(one)).collect();
    let own: Vec<_> = patched
        .iter()
        .filter(|one| is_own(one) && !delivers(one))
        .collect();
    assert_eq!(own, base);
    let patched: Vec<String> = patched
        .iter()
        .map(|one| one.replace("$(NODE_ADDRESS)", "10.0.0.1"))
        .collect();
    let all = patched.iter().map(String::as_str);
    if let Err(why) = nanoseg::cli::check(all.chain(["--node", "node-1"])) {
        panic!("{patched:?}: {why}");
    }
}

#[test]
fn agents_connect_to_the_controllers_service() {
    let service: Service = read("base/controller/service.yaml");
    let port = &service
        .spec
        .as_ref()
        .expect("a spec")
        .ports
        .as_ref()
        .expect("ports")[0];
    let name = service.metadata.name.as_deref().expect("a name");
    let namespace = service.metadata.namespace.as_deref().expect("a namespace");
    let wanted = format!("--receiver=https://{name}.{namespace}.svc:{}", port.port);
    let pod = agent();
    assert!(
        only(&pod)
            .args
            .as_ref()
            .expect("arguments")
            .contains(&wanted),
        "{wanted}"
    );
}

/// A cluster gets the definitions from deploy/, so they must be those of the program.
#[test]
fn the_custom_resource_definitions_are_those_that_nanoseg_prints() {
    let mut wanted = BTreeSet::from(["kustomization.yaml".to_owned()]);
    for resource in Resource::value_variants() {
        let file = format!("{}.yaml", resource.plural());
        let path = folder("crds").join(&file);
        let made = resource.yaml().expect("a definition");
        if std::env::var_os("NANOSEG_UPDATE").is_some() {
            std::fs::create_dir_all(folder("crds")).expect("deploy/crds");
            std::fs::write(&path, &made).expect("the file is written");
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(
            written, made,
            "deploy/crds/{file} is not what nanoseg prints; run: NANOSEG_UPDATE=1 cargo test deploy"
        );
        wanted.insert(file);
    }
    let there: BTreeSet<String> = std::fs::read_dir(folder("crds"))
        .expect("deploy/crds")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    assert_eq!(there, wanted);
    let list: Value = read("crds/kustomization.yaml");
    let listed: BTreeSet<&str> = list["resources"]
        .as_array()
        .expect("resources")
        .iter()
        .map(|name| name.as_str().expect("a name"))
        .collect();
    wanted.remove("kustomization.yaml");
    assert_eq!(listed, wanted.iter().map(String::as_str).collect());
}

/// What the image is built from is pinned by its digest, and is the compiler that CI uses.
#[test]
fn the_base_of_the_image_is_pinned_by_digest_and_has_the_compiler_of_ci() {
    let read = |path: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        std::fs::read_to_string(path).expect("can be read")
    };
    let (container, toolchain) = (read("deploy/Containerfile"), read("rust-toolchain.toml"));
    let channel = toolchain
        .lines()
        .find_map(|line| line.strip_prefix("channel = "))
        .expect("a channel")
        .trim_matches('"');
    for base in container
        .lines()
        .filter_map(|line| line.strip_prefix("FROM "))
    {
        if base == "scratch" {
            continue;
        }
        let (image, digest) = base.split_once("@sha256:").expect("a digest");
        let digest = digest.split(' ').next().expect("a digest");
        assert_eq!(digest.len(), 64, "{base}");
        assert!(
            image.contains(&format!("rust:{channel}-")),
            "{base}: not {channel}"
        );
    }
    let version = format!("ARG VERSION={}\n", env!("CARGO_PKG_VERSION"));
    assert!(
        container.contains(&version),
        "the label's version is not {version}"
    );
}
