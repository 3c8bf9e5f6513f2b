//! Short builders for Deployments and Services. The controller manager creates their pods and EndpointSlices.

use super::wait::until;
use super::{Cluster, PATIENCE, Pod, SCHEDULER};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Api;
use kube::api::ListParams;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

/// A server for every given `PORT/tcp` (sends hello and waits for the end) and `PORT/udp` (echoes).
const SERVER: &str = include_str!("serve.py");

/// A Deployment to be created.
#[derive(Debug, Clone)]
pub struct Deployment {
    name: String,
    labels: BTreeMap<String, String>,
    replicas: u32,
    /// Port and protocol, as `8080/tcp`.
    ports: Vec<String>,
    node: Option<String>,
    command: Vec<String>,
}

impl Deployment {
    /// Returns a Deployment of one pod with label `app: NAME` that does nothing.
    pub fn new(name: &str) -> Deployment {
        Deployment {
            name: name.to_owned(),
            labels: BTreeMap::from([("app".to_owned(), name.to_owned())]),
            replicas: 1,
            ports: Vec::new(),
            node: None,
            command: Vec::new(),
        }
    }

    /// Adds a served TCP port, named `p<PORT>`.
    pub fn serves(mut self, port: u16) -> Deployment {
        self.ports.push(format!("{port}/tcp"));
        self
    }

    /// Adds a served UDP port, named `u<PORT>`, which echoes.
    pub fn serves_udp(mut self, port: u16) -> Deployment {
        self.ports.push(format!("{port}/udp"));
        self
    }

    pub fn replicas(mut self, replicas: u32) -> Deployment {
        self.replicas = replicas;
        self
    }

    /// Sets the node of all its pods.
    pub fn on(mut self, node: &str) -> Deployment {
        self.node = Some(node.to_owned());
        self
    }

    pub fn label(mut self, key: &str, value: &str) -> Deployment {
        self.labels.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Sets another command, which must open the ports itself.
    pub fn runs(mut self, command: &[&str]) -> Deployment {
        self.command = command.iter().map(ToString::to_string).collect();
        self
    }

    fn manifest(&self) -> Value {
        let port = |text: &String| {
            let (number, protocol) = text.split_once('/').expect("PORT/PROTOCOL");
            let number: u16 = number.parse().expect("a port");
            let letter = if protocol == "tcp" { 'p' } else { 'u' };
            json!({"name": format!("{letter}{number}"), "containerPort": number, "protocol": protocol.to_uppercase()})
        };
        let mut command = self.command.clone();
        if command.is_empty() && !self.ports.is_empty() {
            command = ["/usr/bin/python3", "-c", SERVER].map(str::to_owned).into();
            command.extend(self.ports.iter().cloned());
        }
        let container = json!({
            "name": "main",
            "image": "test",
            "command": command,
            "ports": self.ports.iter().map(port).collect::<Vec<_>>(),
        });
        let node = self.node.as_ref();
        let node = node.map(|node| json!({"kubernetes.io/hostname": node}));
        let spec = json!({
            "schedulerName": SCHEDULER,
            "nodeSelector": node,
            "terminationGracePeriodSeconds": 0,
            "containers": [container],
        });
        json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": self.name, "labels": self.labels},
            "spec": {
                "replicas": self.replicas,
                "selector": {"matchLabels": self.labels},
                "template": {"metadata": {"labels": self.labels}, "spec": spec},
            },
        })
    }
}

impl Cluster {
    /// Runs `kubectl apply` for a manifest, YAML or JSON, in a namespace.
    pub fn apply(&self, namespace: &str, manifest: &str) {
        let mut child = Command::new(self.control.program("kubectl"))
            .env("KUBECONFIG", self.kubeconfig())
            .env("KUBECACHEDIR", self.path("kubectl-cache"))
            .args(["apply", "--server-side", "-n", namespace, "-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("kubectl starts");
        let mut stdin = child.stdin.take().expect("its stdin");
        stdin.write_all(manifest.as_bytes()).expect("kubectl reads");
        drop(stdin);
        assert!(child.wait().expect("kubectl ends").success(), "{manifest}");
    }

    /// Applies a Deployment and waits until its pods are ready.
    pub fn deploy(&'static self, namespace: &str, deployment: &Deployment) -> Vec<Pod> {
        self.apply(namespace, &deployment.manifest().to_string());
        let labels = deployment.labels.iter();
        let selector: Vec<String> = labels
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        let selector = selector.join(",");
        let what = format!("the pods of {namespace}/{}", deployment.name);
        self.run(until(PATIENCE, &what, async || {
            let pods = self.running(namespace, &selector).await;
            if pods.len() == deployment.replicas as usize {
                Ok(pods)
            } else {
                Err(format!("{} of {}", pods.len(), deployment.replicas))
            }
        }))
    }

    /// Creates a Service of `port` for the pods with label `app: NAME`, waits for its endpoints, and returns its ClusterIP.
    pub fn expose(&self, namespace: &str, name: &str, port: u16, target: u16) -> String {
        let service = json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name},
            "spec": {"selector": {"app": name}, "ports": [{"port": port, "targetPort": target}]},
        });
        self.apply(namespace, &service.to_string());
        let get = [
            "get",
            "service",
            "-n",
            namespace,
            name,
            "-o",
            "jsonpath={.spec.clusterIP}",
        ];
        let address = String::from_utf8(self.kubectl(&get).stdout).expect("text");
        let slices: Api<EndpointSlice> = Api::namespaced(self.client(), namespace);
        let selector = format!("kubernetes.io/service-name={name}");
        let params = ListParams::default().labels(&selector);
        self.run(until(PATIENCE, "endpoints", async || {
            let slices = slices.list(&params).await.map_err(|e| e.to_string())?;
            let mut endpoints = slices.items.iter().flat_map(|slice| slice.endpoints.iter());
            match endpoints.next() {
                Some(_) => Ok(()),
                None => Err(format!("none of {namespace}/{name}")),
            }
        }));
        address
    }
}
