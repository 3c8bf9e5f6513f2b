//! The policies that Cilium's own documentation shows (`examples/policies` of cilium v1.20.2), read from the module that
//! tests/go/cilium-policy is built with, each in random clusters whose labels, namespaces, ports and addresses are those
//! of the policy.

use super::case::{Case, Probe};
use super::cilium::judge;
use super::cluster::{PORTS, Shape, cluster, often, one};
use super::compare::{Plan, compare_cases};
use super::ours::Ours;
use fastrand::Rng;
use ipnet::IpNet;
use nanoseg::net::Protocol;
use nanoseg::policy_kinds::{OtherKind, OtherKindPolicy};
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Clusters in which one policy is tried.
const CLUSTERS: u64 = 6;

#[test]
fn cilium_and_the_evaluator_say_the_same_of_the_policies_of_its_documentation() {
    let Some(folder) = module() else { return };
    let policies = policies(&folder.join("examples/policies"));
    let (judged, others): (Vec<_>, Vec<_>) =
        policies.into_iter().partition(|(_, one)| is_judged(one));
    // The others have requests, names, groups or node selectors.
    assert!(
        judged.len() >= 25,
        "{} and {} others",
        judged.len(),
        others.len()
    );
    let cases = judged.iter().flat_map(|(_, policy)| {
        (0..CLUSTERS).map(move |seed| case(&mut Rng::with_seed(seed), policy))
    });
    compare_cases(
        &Plan {
            oracle: "cilium-policy",
            make: &|_| unreachable!("the cases are given"),
            judge: &judge,
            explain: &|case, pair, probe| Ours::on_cilium(case).explain(pair.0, pair.1, probe),
        },
        cases,
    );
}

/// The folder of Cilium's module. Without Go or the module the other tests say what they need.
fn module() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/go/cilium-policy");
    let mut list = Command::new("go");
    list.args(["list", "-m", "-f", "{{.Dir}}", "github.com/cilium/cilium"]);
    let output = list.current_dir(folder).output().ok()?;
    let path = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    path.join("examples/policies").is_dir().then_some(path)
}

/// All policies of Cilium's kinds in a folder, with their file.
fn policies(folder: &Path) -> Vec<(PathBuf, Value)> {
    let mut found = Vec::new();
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|one| one.unwrap().path())
        .collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            found.extend(policies(&path));
        } else if path.extension().is_some_and(|end| end == "yaml") {
            let policies = documents(&path).into_iter();
            let policies = policies.filter(|one| one["apiVersion"] == "cilium.io/v2");
            found.extend(policies.map(|policy| (path.clone(), policy)));
        }
    }
    found
}

/// The documents of a YAML file; none if there is no such file.
pub fn documents(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let documents = serde_yaml::Deserializer::from_str(&text);
    documents
        .filter_map(|one| Value::deserialize(one).ok())
        .collect()
}

/// Whether it is a policy of Cilium's, all of which nanoseg judges.
pub fn is_judged(policy: &Value) -> bool {
    let Some(kind) = policy["kind"]
        .as_str()
        .and_then(|kind| OtherKind::of(kind, "cilium.io"))
    else {
        return false;
    };
    let selects_nodes = policy.to_string().contains("odeSelector");
    match OtherKindPolicy::read(kind, policy) {
        Ok(read) => read.unknown.is_empty() && read.policy.limits().is_empty() && !selects_nodes,
        Err(_) => false,
    }
}

/// What a policy speaks of.
#[derive(Default)]
pub struct Words {
    labels: BTreeSet<(String, String)>,
    namespace_labels: BTreeSet<(String, String)>,
    namespaces: BTreeSet<String>,
    pub ports: BTreeSet<u16>,
    pub blocks: BTreeSet<IpNet>,
}

impl Words {
    pub fn add(&mut self, value: &Value) {
        match value {
            Value::Array(list) => list.iter().for_each(|one| self.add(one)),
            Value::Object(map) => {
                for (key, one) in map {
                    match (key.as_str(), one) {
                        ("matchLabels", Value::Object(labels)) => {
                            labels
                                .iter()
                                .for_each(|(key, value)| self.add_label(key, value));
                        }
                        ("port", Value::String(port)) => self.ports.extend(port.parse::<u16>()),
                        ("port", Value::Number(port)) => {
                            self.ports
                                .extend(port.as_u64().and_then(|port| u16::try_from(port).ok()));
                        }
                        (_, Value::String(text)) => self.blocks.extend(text.parse::<IpNet>()),
                        _ => self.add(one),
                    }
                }
                let values = map.get("values").and_then(Value::as_array);
                for value in values.into_iter().flatten() {
                    self.add_label(map["key"].as_str().unwrap_or_default(), value);
                }
            }
            Value::String(text) => self.blocks.extend(text.parse::<IpNet>()),
            _ => {}
        }
    }

    fn add_label(&mut self, key: &str, value: &Value) {
        let value = value.as_str().unwrap_or_default().to_owned();
        let key = key.split_once(':').map_or(key, |(_, key)| key);
        if key == "io.kubernetes.pod.namespace" {
            self.namespaces.insert(value);
        } else if let Some(key) = key.strip_prefix("io.cilium.k8s.namespace.labels.") {
            self.namespace_labels.insert((key.to_owned(), value));
        } else {
            self.labels.insert((key.to_owned(), value));
        }
    }
}

/// A random cluster for a policy.
fn case(rng: &mut Rng, policy: &Value) -> Case {
    let mut words = Words::default();
    words.add(policy);
    let mut policy = policy.clone();
    if policy["kind"] == "CiliumNetworkPolicy" && policy["metadata"].get("namespace").is_none() {
        policy["metadata"]["namespace"] = "default".into();
    }
    words
        .namespaces
        .extend(policy["metadata"]["namespace"].as_str().map(str::to_owned));
    let ipv6 = rng.bool();
    let mut case = cluster(
        rng,
        Shape {
            ipv6,
            host_network: true,
            own_label: true,
            every_key: false,
            one_protocol_each_name: true,
        },
    );
    rename(rng, &mut case, &words);
    for block in &words.blocks {
        let address = block.addr();
        let is_new = !case.outside.contains(&address) && !block.trunc().addr().is_unspecified();
        if is_new
            && case
                .pods
                .iter()
                .all(|pod| !pod.addresses.contains(&address))
        {
            case.outside.push(address);
        }
    }
    let ports: BTreeSet<u16> = PORTS
        .into_iter()
        .chain(words.ports)
        .filter(|port| *port > 0)
        .collect();
    let probes = Protocol::ALL.into_iter();
    let probes = probes.flat_map(|protocol| {
        ports.iter().map(move |port| Probe {
            protocol,
            port: *port,
        })
    });
    case.probes = probes.collect();
    case.pairs = case.all_pairs();
    case.policies = vec![policy];
    case
}

/// Puts the pods into the namespaces of the policy and gives them its labels.
fn rename(rng: &mut Rng, case: &mut Case, words: &Words) {
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    for (namespace, name) in case.namespaces.iter_mut().zip(&words.namespaces) {
        names.insert(namespace.name.clone(), name.clone());
        namespace.name.clone_from(name);
        namespace
            .labels
            .insert("kubernetes.io/metadata.name".into(), name.clone());
    }
    for namespace in &mut case.namespaces {
        let chosen = words.namespace_labels.iter().filter(|_| rng.bool());
        namespace.labels.extend(chosen.cloned());
    }
    for pod in &mut case.pods {
        if let Some(name) = names.get(&pod.namespace) {
            pod.namespace.clone_from(name);
        }
        if let Some(name) = words.namespaces.first().filter(|_| often(rng, 50)) {
            pod.namespace.clone_from(name);
        }
        for (key, value) in &words.labels {
            if rng.bool() {
                let other = one(rng, &["", "other"]);
                let value = if often(rng, 80) {
                    value.as_str()
                } else {
                    other
                };
                pod.labels.insert(key.clone(), value.to_owned());
            }
        }
    }
}
