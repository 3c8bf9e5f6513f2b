//! What nanoseg writes, judged by Cilium: the policies of all scenarios with their clusters, as the scenarios' expected
//! output has them.

use super::case::{Case, Namespace, Node, Pod, Port, Probe};
use super::cilium::judge;
use super::cilium_examples::{Words, documents, is_judged};
use super::compare::{Plan, compare_cases};
use super::ours::Ours;
use nanoseg::net::Protocol;
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

#[test]
fn cilium_and_the_evaluator_say_the_same_of_what_every_scenario_generates() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut folders: Vec<PathBuf> = folder
        .read_dir()
        .unwrap()
        .map(|one| one.unwrap().path())
        .collect();
    folders.sort();
    let cases: Vec<Case> = folders.iter().filter_map(|folder| case(folder)).collect();
    assert!(cases.len() > 80, "{} scenarios have policies", cases.len());
    compare_cases(
        &Plan {
            oracle: "cilium-policy",
            make: &|_| unreachable!("the cases are given"),
            judge: &judge,
            explain: &|case, pair, probe| Ours::on_cilium(case).explain(pair.0, pair.1, probe),
        },
        cases.into_iter(),
    );
}

/// The cluster of a scenario with the policies that are generated for it.
fn case(folder: &Path) -> Option<Case> {
    let policies: Vec<Value> = yaml_files(&folder.join("expected/policies"))
        .iter()
        .flat_map(|path| documents(path))
        .filter(|one| one["apiVersion"] == "networking.k8s.io/v1" || is_judged(one))
        .collect();
    let mut case = Case::default();
    for object in documents(&folder.join("cluster.yaml"))
        .iter()
        .flat_map(items)
    {
        add(&mut case, object);
    }
    if policies.is_empty() || case.pods.is_empty() {
        return None;
    }
    complete(&mut case);
    let mut words = Words::default();
    policies.iter().for_each(|policy| words.add(policy));
    let owned: BTreeSet<IpAddr> = case
        .pods
        .iter()
        .flat_map(|pod| pod.addresses.iter().copied())
        .collect();
    let blocks = words.blocks.iter().map(|block| block.addr());
    let outside: BTreeSet<IpAddr> = blocks.chain(["203.0.113.99".parse().unwrap()]).collect();
    let outside = outside
        .into_iter()
        .filter(|one| !owned.contains(one) && !one.is_unspecified());
    case.outside = outside.collect();
    let ports: BTreeSet<u16> = words.ports.into_iter().chain([1, 65535]).collect();
    let probes = Protocol::ALL.into_iter();
    let probes = probes.flat_map(|protocol| {
        ports.iter().map(move |port| Probe {
            protocol,
            port: *port,
        })
    });
    case.probes = probes.collect();
    case.pairs = case.all_pairs();
    case.policies = policies;
    Some(case)
}

fn yaml_files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = folder.read_dir() else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries.map(|one| one.unwrap().path()).collect();
    paths.sort();
    let files = paths.iter().flat_map(|path| {
        if path.is_dir() {
            yaml_files(path)
        } else {
            vec![path.clone()]
        }
    });
    files
        .filter(|path| path.extension().is_some_and(|end| end == "yaml"))
        .collect()
}

fn items(document: &Value) -> Vec<&Value> {
    match document["items"].as_array() {
        Some(items) => items.iter().collect(),
        None => vec![document],
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn add(case: &mut Case, object: &Value) {
    let (name, namespace) = (
        text(&object["metadata"]["name"]),
        text(&object["metadata"]["namespace"]),
    );
    let labels = serde_json::from_value(object["metadata"]["labels"].clone()).unwrap_or_default();
    match object["kind"].as_str() {
        Some("Namespace") => case.namespaces.push(Namespace { name, labels }),
        Some("Node") => {
            let addresses = object["status"]["addresses"]
                .as_array()
                .into_iter()
                .flatten();
            let addresses = addresses.filter(|one| one["type"] == "InternalIP");
            let addresses = addresses.filter_map(|one| one["address"].as_str()?.parse().ok());
            let addresses = addresses.collect();
            case.nodes.push(Node {
                name,
                labels,
                addresses,
            });
        }
        Some("Pod") => add_pod(
            case,
            object,
            Pod {
                namespace,
                name,
                labels,
                ..Pod::default()
            },
        ),
        _ => {}
    }
}

/// Adds a pod that has an address. Of several versions, and of several owners of an address, the first one counts.
fn add_pod(case: &mut Case, object: &Value, mut pod: Pod) {
    let addresses = object["status"]["podIPs"].as_array().into_iter().flatten();
    pod.addresses = addresses
        .filter_map(|one| one["ip"].as_str()?.parse().ok())
        .collect();
    pod.host_network = object["spec"]["hostNetwork"] == true;
    pod.node = text(&object["spec"]["nodeName"]);
    let same = |other: &Pod| {
        (&other.namespace, &other.name) == (&pod.namespace, &pod.name)
            || (!pod.host_network
                && other
                    .addresses
                    .iter()
                    .any(|one| pod.addresses.contains(one)))
    };
    if pod.addresses.is_empty()
        || object["status"]["phase"] != "Running"
        || case.pods.iter().any(same)
    {
        return;
    }
    let containers = object["spec"]["containers"]
        .as_array()
        .into_iter()
        .flatten();
    for port in containers.flat_map(|one| one["ports"].as_array().into_iter().flatten()) {
        if let (Some(name), Some(number)) = (port["name"].as_str(), port["containerPort"].as_u64())
        {
            pod.ports.push(Port {
                name: name.into(),
                protocol: serde_json::from_value(port["protocol"].clone()).unwrap_or(Protocol::Tcp),
                number: number as u16,
            });
        }
    }
    // Pods with the same labels have one identity, and with it one port of a name.
    pod.labels
        .insert("own".into(), format!("{}.{}", pod.namespace, pod.name));
    case.pods.push(pod);
}

/// Every pod has a node with an address and a namespace with its name among its labels.
fn complete(case: &mut Case) {
    case.nodes.retain(|node| !node.addresses.is_empty());
    for pod in &mut case.pods {
        if !case.nodes.iter().any(|node| node.name == pod.node) {
            if pod.node.is_empty() {
                pod.node = "unknown".into();
            }
            if !case.nodes.iter().any(|node| node.name == pod.node) {
                let addresses = vec![IpAddr::from([172, 31, 255, case.nodes.len() as u8 + 1])];
                let addresses = if pod.host_network {
                    pod.addresses.clone()
                } else {
                    addresses
                };
                case.nodes.push(Node {
                    name: pod.node.clone(),
                    addresses,
                    ..Node::default()
                });
            }
        }
        if !case.namespaces.iter().any(|one| one.name == pod.namespace) {
            case.namespaces.push(Namespace {
                name: pod.namespace.clone(),
                ..Namespace::default()
            });
        }
    }
    for namespace in &mut case.namespaces {
        let name = namespace.name.clone();
        namespace
            .labels
            .insert("kubernetes.io/metadata.name".into(), name);
    }
}
