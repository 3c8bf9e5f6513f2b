//! A pod on this machine: its network namespace, the veth to its node, and its programs.

use super::Cluster;
use super::kubelet::Look;
use super::nodes::Node;
use super::process::{Program, bind_files};
use crate::support::namespaces::Namespace;
use k8s_openapi::api::core::v1::{Container, EnvVar, Pod as PodObject};
use kube::ResourceExt;
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

/// The address of cluster DNS.
pub const DNS: &str = "10.96.0.10";

pub struct Sandbox {
    pub namespace: Arc<Namespace>,
    pub address: String,
    pub node: &'static Node,
    /// The node's end of the veth pair; none for hostNetwork.
    veth: Option<String>,
    folder: PathBuf,
    pod: PodObject,
    containers: Mutex<Containers>,
}

struct Containers {
    programs: Vec<Program>,
    restarts: u32,
    ready: bool,
}

impl Sandbox {
    /// Creates the pod and starts its programs.
    pub fn make(cluster: &Cluster, node: &'static Node, pod: &PodObject) -> Sandbox {
        let uid = pod.uid().unwrap_or_default();
        let folder = cluster.path("pods").join(&uid);
        fs::create_dir_all(&folder).expect("a folder");
        let spec = pod.spec.as_ref().expect("a spec");
        let host = spec.host_network.unwrap_or_default();
        let (namespace, address) = if host {
            (Arc::clone(&node.namespace), node.address.clone())
        } else {
            (Arc::new(Namespace::new()), node.next_address())
        };
        let sandbox = Sandbox {
            veth: (!host).then(|| format!("veth{}", &uid[..8])),
            namespace,
            address,
            node,
            folder,
            pod: pod.clone(),
            containers: Mutex::new(Containers {
                programs: Vec::new(),
                restarts: 0,
                ready: false,
            }),
        };
        sandbox.wire();
        sandbox.write_files();
        let programs = spec.containers.iter();
        let programs = programs.map(|container| sandbox.start(container)).collect();
        sandbox.containers.lock().expect("containers").programs = programs;
        sandbox
    }

    fn wire(&self) {
        let Some(veth) = &self.veth else {
            return;
        };
        let (node, pod) = (&self.node.namespace, &self.namespace);
        let Node { gateway, .. } = self.node;
        for path in ["all", "default"] {
            pod.sysctl(&format!("net/ipv6/conf/{path}/disable_ipv6"), "1");
        }
        let address = &self.address;
        let path = pod.path();
        node.ip(&format!(
            "link add {veth} type veth peer name eth0 netns {path}"
        ));
        node.ip(&format!("addr add {gateway}/32 dev {veth}"));
        node.ip(&format!("link set {veth} up"));
        node.ip(&format!(
            "route add {address}/32 dev {veth} scope link src {gateway}"
        ));
        pod.ip(&format!("addr add {address}/32 dev eth0"));
        pod.ip("link set eth0 up");
        pod.ip(&format!("route add {gateway} dev eth0 scope link"));
        pod.ip(&format!("route add default via {gateway}"));
    }

    /// Returns the files that a kubelet mounts over those of an image.
    fn write_files(&self) {
        let namespace = self.pod.namespace().unwrap_or_default();
        let (address, name) = (&self.address, self.pod.name_any());
        let resolv = format!(
            "search {namespace}.svc.cluster.local svc.cluster.local cluster.local\nnameserver {DNS}\noptions ndots:5\n"
        );
        let hosts = format!("127.0.0.1 localhost\n{address} {name}\n");
        for (name, text) in [("resolv.conf", resolv), ("hosts", hosts)] {
            fs::write(self.folder.join(name), text).expect("a file");
        }
    }

    fn start(&self, container: &Container) -> Program {
        let words = container.command.iter().chain(&container.args).flatten();
        let words: Vec<String> = words.map(|word| self.expand(container, word)).collect();
        let idle = ["/bin/sleep".to_owned(), "infinity".to_owned()];
        let words = if words.is_empty() { &idle[..] } else { &words };
        let mut command: Command = self.namespace.command(&words[0]);
        command.args(&words[1..]).current_dir(&self.folder);
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        for variable in container.env.iter().flatten() {
            command.env(&variable.name, self.value(variable));
        }
        command.env("KUBERNETES_SERVICE_HOST", "10.96.0.1");
        command.env("KUBERNETES_SERVICE_PORT", "443");
        let over = |name: &str| (self.folder.join(name), Path::new("/etc").join(name));
        bind_files(&mut command, &[over("resolv.conf"), over("hosts")]);
        Program::start(command, &self.log_file(&container.name))
    }

    fn log_file(&self, container: &str) -> PathBuf {
        self.folder.join(format!("{container}.log"))
    }

    /// `$(NAME)` of a container's own variables.
    fn expand(&self, container: &Container, word: &str) -> String {
        let mut word = word.to_owned();
        for variable in container.env.iter().flatten() {
            let name = format!("$({})", variable.name);
            word = word.replace(&name, &self.value(variable));
        }
        word
    }

    fn value(&self, variable: &EnvVar) -> String {
        let field = variable.value_from.as_ref();
        let field = field.and_then(|from| from.field_ref.as_ref());
        match field.map(|field| field.field_path.as_str()) {
            None => variable.value.clone().unwrap_or_default(),
            Some("metadata.name") => self.pod.name_any(),
            Some("metadata.namespace") => self.pod.namespace().unwrap_or_default(),
            Some("metadata.uid") => self.pod.uid().unwrap_or_default(),
            Some("status.podIP") => self.address.clone(),
            Some("status.hostIP") => self.node.address.clone(),
            Some("spec.nodeName") => self.node.name.clone(),
            Some(other) => panic!(
                "{}: {other} is no field that this kubelet knows",
                variable.name
            ),
        }
    }

    /// Returns its address and the state of its containers. Restarts containers that ended and should run.
    pub fn look(&self) -> (String, Look) {
        let spec = self.pod.spec.as_ref().expect("a spec");
        let again = spec.restart_policy.as_deref().unwrap_or("Always");
        let mut containers = self.containers.lock().expect("containers");
        let Containers {
            programs,
            restarts,
            ready,
        } = &mut *containers;
        let mut codes = Vec::new();
        for (program, container) in programs.iter_mut().zip(&spec.containers) {
            match program.ended() {
                Some(code) if again == "Always" || (again == "OnFailure" && code != 0) => {
                    *program = self.start(container);
                    *restarts += 1;
                    *ready = false;
                }
                Some(code) => codes.push(code),
                None => {}
            }
        }
        *ready = *ready || self.listens(programs);
        let all = codes.len() == spec.containers.len();
        let worst = codes.iter().copied().find(|code| *code != 0);
        let look = Look {
            ready: *ready,
            restarts: *restarts,
            ended: all.then_some(worst.unwrap_or(0)),
        };
        (self.address.clone(), look)
    }

    /// Returns true if every declared port of a container is open. It reads the kernel's list, because a connection would
    /// be additional traffic.
    fn listens(&self, programs: &[Program]) -> bool {
        let spec = self.pod.spec.as_ref().expect("a spec");
        let ports = spec
            .containers
            .iter()
            .flat_map(|c| c.ports.iter().flatten());
        let mut wanted = ports.map(|port| {
            let udp = port.protocol.as_deref() == Some("UDP");
            (udp, u16::try_from(port.container_port).unwrap_or_default())
        });
        let open = programs.first().map(|program| open_ports(program.id()));
        let open = open.unwrap_or_default();
        wanted.all(|port| open.contains(&port))
    }

    /// Returns the output of a container.
    pub fn log(&self, container: &str) -> String {
        fs::read_to_string(self.log_file(container)).unwrap_or_default()
    }

    /// Stops its programs and deletes its veth pair.
    pub fn end(&self, node: &Node) {
        self.containers.lock().expect("containers").programs.clear();
        if let Some(veth) = &self.veth {
            node.namespace.ip(&format!("link del {veth}"));
        }
    }
}

/// Returns the listening sockets in the network of a process: whether UDP, and the port.
fn open_ports(process: u32) -> HashSet<(bool, u16)> {
    let mut open = HashSet::new();
    for (file, udp, state) in [
        ("tcp", false, "0A"),
        ("tcp6", false, "0A"),
        ("udp", true, "07"),
        ("udp6", true, "07"),
    ] {
        let text = fs::read_to_string(format!("/proc/{process}/net/{file}"));
        for line in text.unwrap_or_default().lines().skip(1) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let port = words.get(1).and_then(|local| local.rsplit(':').next());
            let port = port.and_then(|port| u16::from_str_radix(port, 16).ok());
            if let (Some(port), Some(&found)) = (port, words.get(3))
                && found == state
            {
                open.insert((udp, port));
            }
        }
    }
    open
}
