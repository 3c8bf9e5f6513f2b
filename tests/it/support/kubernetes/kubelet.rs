//! A minimal scheduler and kubelet: binds pods to nodes, runs their programs in separate namespaces, reports their
//! status, and deletes them. It handles only pods with `schedulerName: nanoseg`, so that thousands of objects of a bench
//! cost nothing.

use super::nodes::Node;
use super::sandbox::Sandbox;
use super::{Cluster, SCHEDULER};
use futures_util::StreamExt;
use k8s_openapi::api::core::v1::Pod as PodObject;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::runtime::watcher::{Config, Event, watcher};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The interval of checking processes.
const LOOK: Duration = Duration::from_millis(50);

/// The running pods, by UID.
#[derive(Default)]
pub struct Kubelet {
    pods: Mutex<HashMap<String, Arc<Running>>>,
    /// A counter: nodes get pods in turn.
    turn: AtomicUsize,
}

/// A pod that the kubelet handles.
#[derive(Default)]
pub struct Running {
    /// Is set if the pod is to be deleted.
    ending: AtomicBool,
    sandbox: Mutex<Option<Arc<Sandbox>>>,
}

impl Running {
    pub fn sandbox(&self) -> Option<Arc<Sandbox>> {
        self.sandbox.lock().expect("a sandbox").clone()
    }
}

impl Kubelet {
    /// A pod by its UID.
    pub fn pod(&self, uid: &str) -> Option<Arc<Running>> {
        self.pods.lock().expect("pods").get(uid).cloned()
    }

    /// Watches the API server for ever.
    pub async fn run(cluster: &'static Cluster) {
        let kubelet = &cluster.kubelet;
        let pods: Api<PodObject> = Api::all(cluster.client());
        let config = Config::default().fields(&format!("spec.schedulerName={SCHEDULER}"));
        let mut events = std::pin::pin!(watcher(pods, config));
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Apply(pod) | Event::InitApply(pod)) => kubelet.see(cluster, pod),
                Ok(Event::Delete(pod)) => kubelet.end(&pod),
                Ok(Event::Init | Event::InitDone) => {}
                Err(error) => eprintln!("kubelet: {error}"),
            }
        }
    }

    fn see(&self, cluster: &'static Cluster, pod: PodObject) {
        let uid = pod.uid().expect("a UID");
        if pod.metadata.deletion_timestamp.is_some() && self.pod(&uid).is_some() {
            return self.end(&pod);
        }
        let mut pods = self.pods.lock().expect("pods");
        if pods.contains_key(&uid) {
            return;
        }
        let running = Arc::new(Running::default());
        pods.insert(uid, Arc::clone(&running));
        tokio::spawn(live(cluster, pod, running));
    }

    fn end(&self, pod: &PodObject) {
        if let Some(running) = pod.uid().and_then(|uid| self.pod(&uid)) {
            running.ending.store(true, Ordering::Relaxed);
        }
    }

    /// Returns the node that a pod requests, or the next one in turn.
    fn node(&self, nodes: &'static [Node], pod: &PodObject) -> &'static Node {
        let spec = pod.spec.as_ref().expect("a spec");
        let selector = spec.node_selector.as_ref();
        let wanted = spec
            .node_name
            .as_ref()
            .or(selector.and_then(|selector| selector.get("kubernetes.io/hostname")));
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % nodes.len();
        let named = wanted.and_then(|name| nodes.iter().find(|node| node.name == *name));
        named.unwrap_or(&nodes[turn])
    }
}

/// Runs a pod from its binding to its deletion.
async fn live(cluster: &'static Cluster, pod: PodObject, running: Arc<Running>) {
    let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
    let pods: Api<PodObject> = Api::namespaced(cluster.client(), &namespace);
    let node = cluster.kubelet.node(cluster.nodes(), &pod);
    let bound = pod
        .spec
        .as_ref()
        .is_some_and(|spec| spec.node_name.is_some());
    if !bound && bind(&pods, &name, node).await.is_err() {
        // The pod was deleted before it was bound; the API server deletes such a pod itself.
        return;
    }
    let made = tokio::task::spawn_blocking({
        let pod = pod.clone();
        move || Sandbox::make(cluster, node, &pod)
    });
    let sandbox = Arc::new(made.await.expect("a sandbox"));
    *running.sandbox.lock().expect("a sandbox") = Some(Arc::clone(&sandbox));
    let (mut said, started) = (String::new(), now());
    while !running.ending.load(Ordering::Relaxed) {
        let status = status(&pod, node, &sandbox.look());
        // The status is compared without its times.
        let now = status.to_string();
        if now != said {
            let stamped = stamp(status, &started);
            let params = PatchParams::default();
            match pods
                .patch_status(&name, &params, &Patch::Merge(&stamped))
                .await
            {
                Ok(_) => said = now,
                Err(kube::Error::Api(error)) if error.code == 404 => break,
                Err(error) => eprintln!("kubelet: {namespace}/{name}: {error}"),
            }
        }
        tokio::time::sleep(LOOK).await;
    }
    let ended = tokio::task::spawn_blocking(move || sandbox.end(node));
    ended.await.expect("its end");
    running.sandbox.lock().expect("a sandbox").take();
    let at_once = DeleteParams::default().grace_period(0);
    let uid = pod.uid();
    let params = at_once.preconditions(kube::api::Preconditions {
        uid,
        resource_version: None,
    });
    let _ = pods.delete(&name, &params).await;
}

async fn bind(pods: &Api<PodObject>, name: &str, node: &Node) -> kube::Result<()> {
    let binding = json!({
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": name},
        "target": {"apiVersion": "v1", "kind": "Node", "name": node.name},
    });
    let params = PostParams::default();
    let answer = pods.create_subresource::<_, Value>("binding", name, &params, &binding);
    answer.await.map(drop)
}

/// The state of a pod's containers: one state for all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Is true if all declared ports are open.
    pub ready: bool,
    /// The number of restarts.
    pub restarts: u32,
    /// The exit code of the last one, if none is restarted.
    pub ended: Option<i32>,
}

/// Returns a pod's status without times.
fn status(pod: &PodObject, node: &Node, (address, look): &(String, Look)) -> Value {
    let spec = pod.spec.as_ref().expect("a spec");
    let (phase, state) = match look.ended {
        None => ("Running", json!({"running": {}})),
        Some(code) => (
            if code == 0 { "Succeeded" } else { "Failed" },
            json!({"terminated": {"exitCode": code}}),
        ),
    };
    let ready = look.ready && look.ended.is_none();
    let said = |holds: bool| if holds { "True" } else { "False" };
    let condition = |kind: &str, holds| json!({"type": kind, "status": said(holds)});
    let containers: Vec<Value> = spec
        .containers
        .iter()
        .map(|container| {
            json!({"name": container.name, "image": container.image, "imageID": "", "ready": ready,
                   "started": look.ended.is_none(), "restartCount": look.restarts, "state": state})
        })
        .collect();
    json!({"status": {
        "phase": phase,
        "hostIP": node.address,
        "hostIPs": [{"ip": node.address}],
        "podIP": address,
        "podIPs": [{"ip": address}],
        "conditions": [
            condition("PodScheduled", true),
            condition("PodReadyToStartContainers", look.ended.is_none()),
            condition("Initialized", true),
            condition("ContainersReady", ready),
            condition("Ready", ready),
        ],
        "containerStatuses": containers,
    }})
}

fn now() -> String {
    let now = jiff::Timestamp::now().round(jiff::Unit::Second);
    now.expect("a time").to_string()
}

/// Returns the status with times. The pod and its containers started at the same time.
fn stamp(mut status: Value, started: &str) -> Value {
    let now = now();
    for condition in status["status"]["conditions"]
        .as_array_mut()
        .into_iter()
        .flatten()
    {
        condition["lastTransitionTime"] = json!(now);
    }
    for container in status["status"]["containerStatuses"]
        .as_array_mut()
        .into_iter()
        .flatten()
    {
        if let Some(running) = container["state"].get_mut("running") {
            running["startedAt"] = json!(started);
        }
        if let Some(terminated) = container["state"].get_mut("terminated") {
            terminated["startedAt"] = json!(started);
            terminated["finishedAt"] = json!(now);
        }
    }
    status["status"]["startTime"] = json!(started);
    status
}
