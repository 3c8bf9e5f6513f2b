//! Whether a container for tries may be added to a pod, from the object as the API server has it.

use super::container::CONTAINER_PREFIX;
use super::ends::PodName;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

/// A pod that can get one more container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    pub pod: PodName,
    /// Tells it from a later pod of the same name.
    pub uid: String,
    pub addresses: Vec<IpAddr>,
    /// How many containers for tries it has had. They cannot be removed from a pod.
    pub used: usize,
    /// The number of the next one, which no container of the pod has.
    pub next: usize,
}

/// Why a pod gets no container for tries.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unfit {
    /// It does not run, or has no address, or is being deleted.
    NotRunning,
    /// Policies do not hold for it.
    HostNetwork,
    Windows,
    /// The kubelet made it from a file: its object is only a picture.
    Static,
    /// A proxy in the pod takes its connections, so every handshake succeeds at once.
    Mesh(String),
    /// It has had as many containers for tries as a pod may get.
    Full,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unfit::NotRunning => f.write_str("does not run, or is being deleted"),
            Unfit::HostNetwork => {
                f.write_str("uses its node's network, where policies do not hold")
            }
            Unfit::Windows => f.write_str("runs on Windows; the image is for Linux"),
            Unfit::Static => f.write_str("is a static pod, which nothing can be added to"),
            Unfit::Mesh(proxy) => write!(
                f,
                "has the proxy {proxy}, which answers every handshake itself; the peers behind it cannot be tried from here"
            ),
            Unfit::Full => f.write_str(
                "has had as many containers for tries as a pod may get; they go with the pod: restart it",
            ),
        }
    }
}

/// Proxies that take the connections of the other containers of a pod, by the name of their container.
const PROXIES: [&str; 4] = [
    "istio-proxy",
    "linkerd-proxy",
    "kuma-sidecar",
    "consul-dataplane",
];

/// Reads a pod. `most` is how many containers for tries it may have had.
///
/// # Errors
/// Why it gets none.
pub fn subject(pod: &Value, most: usize) -> Result<Subject, Unfit> {
    let text = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str);
    if text("/status/phase") != Some("Running")
        || pod.pointer("/metadata/deletionTimestamp").is_some()
    {
        return Err(Unfit::NotRunning);
    }
    if pod.pointer("/spec/hostNetwork") == Some(&Value::Bool(true)) {
        return Err(Unfit::HostNetwork);
    }
    let windows = [
        text("/spec/os/name"),
        text("/spec/nodeSelector/kubernetes.io~1os"),
    ];
    if windows.contains(&Some("windows")) {
        return Err(Unfit::Windows);
    }
    if pod
        .pointer("/metadata/annotations/kubernetes.io~1config.mirror")
        .is_some()
    {
        return Err(Unfit::Static);
    }
    if let Some(proxy) = proxy(pod) {
        return Err(Unfit::Mesh(proxy));
    }
    let addresses = addresses(pod);
    if addresses.is_empty() {
        return Err(Unfit::NotRunning);
    }
    let numbers = numbers(pod);
    // A run adds one that tries, and one that asks whether it listens.
    if numbers.len() + 2 > most {
        return Err(Unfit::Full);
    }
    Ok(Subject {
        pod: PodName {
            namespace: text("/metadata/namespace").unwrap_or_default().to_owned(),
            name: text("/metadata/name").unwrap_or_default().to_owned(),
        },
        uid: text("/metadata/uid").unwrap_or_default().to_owned(),
        addresses,
        used: numbers.len(),
        next: numbers
            .keys()
            .next_back()
            .map_or(1, |last| last.saturating_add(1)),
    })
}

fn proxy(pod: &Value) -> Option<String> {
    let lists = ["/spec/containers", "/spec/initContainers"];
    let lists = lists.iter().filter_map(|at| pod.pointer(at)?.as_array());
    let mut names = lists.flatten().filter_map(|one| one["name"].as_str());
    let sidecar = names.find(|name| PROXIES.contains(name)).map(str::to_owned);
    // Istio's ambient mode takes them on the node (ztunnel) and notes it on the pod.
    let ambient = pod.pointer("/metadata/annotations/ambient.istio.io~1redirection");
    let ambient = ambient.and_then(Value::as_str) == Some("enabled");
    sidecar.or_else(|| ambient.then(|| "ztunnel".to_owned()))
}

fn addresses(pod: &Value) -> Vec<IpAddr> {
    let several = pod.pointer("/status/podIPs").and_then(Value::as_array);
    let several = several
        .into_iter()
        .flatten()
        .filter_map(|one| one["ip"].as_str());
    let mut all: Vec<&str> = several.collect();
    if all.is_empty() {
        all.extend(pod.pointer("/status/podIP").and_then(Value::as_str));
    }
    all.iter()
        .filter_map(|text| nanoseg_net::parse_address(text))
        .collect()
}

/// The containers for tries that a pod has, by number.
fn numbers(pod: &Value) -> BTreeMap<usize, ()> {
    let all = pod
        .pointer("/spec/ephemeralContainers")
        .and_then(Value::as_array);
    let names = all
        .into_iter()
        .flatten()
        .filter_map(|one| one["name"].as_str());
    let numbers = names.filter_map(|name| name.strip_prefix(CONTAINER_PREFIX)?.parse().ok());
    numbers.map(|number| (number, ())).collect()
}
