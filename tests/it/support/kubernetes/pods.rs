//! Pods for tests. They open real connections.

use super::kubelet::Running;
use super::sandbox::Sandbox;
use super::wait::until;
use super::{Cluster, PATIENCE};
use k8s_openapi::api::core::v1::Pod as PodObject;
use kube::api::{DeleteParams, ListParams};
use kube::{Api, ResourceExt};
use std::ffi::OsStr;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The timeout of a connection attempt. The kernel sends its second SYN after one second.
const ANSWER: Duration = Duration::from_millis(900);

/// The result of a connection attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The handshake was completed.
    Connected,
    /// Refused by the server or by kube-router's REJECT; a client cannot distinguish them.
    Refused,
    /// There was no answer.
    Silent,
    /// There is no route.
    Unreachable,
}

/// A running pod.
#[derive(Clone)]
pub struct Pod {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    pub address: String,
    /// The name of its node.
    pub node: String,
    cluster: &'static Cluster,
    sandbox: Arc<Sandbox>,
}

impl Pod {
    /// Tries to open a TCP connection from the pod to an address, and closes it immediately.
    pub fn connect(&self, target: &str, port: u16) -> Outcome {
        let target: IpAddr = target.parse().expect("an address");
        let target = SocketAddr::new(target, port);
        let stream = self
            .sandbox
            .namespace
            .inside(|| TcpStream::connect_timeout(&target, ANSWER));
        match stream.map_err(|error| error.kind()) {
            Ok(_) => Outcome::Connected,
            Err(ErrorKind::ConnectionRefused) => Outcome::Refused,
            Err(ErrorKind::TimedOut | ErrorKind::WouldBlock) => Outcome::Silent,
            Err(_) => Outcome::Unreachable,
        }
    }

    /// Repeats attempts until one has the expected result, for at most a minute. Returns the time that this took.
    pub fn connects_until(&self, target: &str, port: u16, wanted: Outcome) -> Duration {
        let begun = Instant::now();
        loop {
            let outcome = self.connect(target, port);
            if outcome == wanted {
                return begun.elapsed();
            }
            let name = &self.name;
            assert!(
                begun.elapsed() < PATIENCE,
                "{name} -> {target}:{port} is {outcome:?}, not {wanted:?}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Returns a command in the pod's network.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        self.sandbox.namespace.command(program)
    }

    /// Runs a function on a thread in the pod's network. Its sockets stay there.
    pub fn inside<T: Send>(&self, what: impl FnOnce() -> T + Send) -> T {
        self.sandbox.namespace.inside(what)
    }

    /// Returns the output of one of its containers.
    pub fn log(&self, container: &str) -> String {
        self.sandbox.log(container)
    }

    /// Deletes the pod, and returns the pod that its controller creates instead.
    pub fn replace(&self) -> Pod {
        let before = self.cluster.pods(&self.namespace);
        let owner = |name: &str| name.rsplit_once('-').map(|(owner, _)| owner.to_owned());
        let ours = owner(&self.name);
        self.delete();
        self.cluster.run(until(PATIENCE, "a new pod", async || {
            let now = self.cluster.running(&self.namespace, "").await;
            let new = now.into_iter().find(|pod| {
                owner(&pod.name) == ours && !before.iter().any(|old| old.uid == pod.uid)
            });
            new.ok_or_else(|| format!("none in place of {}", self.name))
        }))
    }

    /// Deletes the pod, and waits until it is gone.
    pub fn delete(&self) {
        let pods: Api<PodObject> = Api::namespaced(self.cluster.client(), &self.namespace);
        self.cluster.run(async {
            let deleted = pods.delete(&self.name, &DeleteParams::default()).await;
            deleted.expect("it can be deleted");
            until(PATIENCE, "a pod to be gone", async || {
                match pods.get_opt(&self.name).await {
                    Ok(Some(pod)) if pod.uid().as_ref() == Some(&self.uid) => {
                        Err(format!("{} is there", self.name))
                    }
                    Ok(_) => Ok(()),
                    Err(error) => Err(error.to_string()),
                }
            })
            .await;
        });
    }
}

impl Cluster {
    /// Returns the ready pods of a namespace, by name.
    pub fn pods(&'static self, namespace: &str) -> Vec<Pod> {
        self.run(self.running(namespace, ""))
    }

    /// Returns the ready pods that a label selector matches, by name.
    pub async fn running(&'static self, namespace: &str, selector: &str) -> Vec<Pod> {
        let pods: Api<PodObject> = Api::namespaced(self.client(), namespace);
        let listed = pods.list(&ListParams::default().labels(selector)).await;
        let listed = listed.expect("pods are listed");
        let mut running: Vec<Pod> = listed
            .into_iter()
            .filter(is_ready)
            .filter_map(|pod| self.handle(&pod))
            .collect();
        running.sort_by(|a, b| a.name.cmp(&b.name));
        running
    }

    fn handle(&'static self, pod: &PodObject) -> Option<Pod> {
        let uid = pod.uid()?;
        let sandbox = self
            .kubelet
            .pod(&uid)
            .as_deref()
            .and_then(Running::sandbox)?;
        Some(Pod {
            namespace: pod.namespace()?,
            name: pod.name_any(),
            uid,
            address: sandbox.address.clone(),
            node: sandbox.node.name.clone(),
            cluster: self,
            sandbox,
        })
    }
}

fn is_ready(pod: &PodObject) -> bool {
    let status = pod.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_ref());
    let mut conditions = conditions.into_iter().flatten();
    pod.metadata.deletion_timestamp.is_none()
        && conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
