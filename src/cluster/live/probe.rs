//! The containers of `nanoseg probe`: adds ephemeral containers to pods with the rights of whoever runs it, waits until
//! they end, and reads their termination messages (rule: tried-not-only-evaluated).
//!
//! Nothing else of a pod is changed: the subresource `ephemeralcontainers` lets nothing else through. An ephemeral
//! container cannot be removed from a pod's object; it ends by itself, is not started again, and goes with the pod.

use crate::cluster::live::connect::describe;
use crate::probe::{
    CONTAINER_PREFIX, Fault, MOST_WORDS, PodName, Subject, Task, Timing, Told, parse_message, patch,
};
use kube::Client;
use kube::api::{GetParams, ListParams, Patch, PatchParams, PostParams};
use kube::core::Request;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How often a pod is read until its container has ended.
const POLL: Duration = Duration::from_millis(500);
/// Pods per page: an API server holds a whole page in memory.
const PAGE: u32 = 500;
/// How long a reason to wait for an image may stand before it counts: a kubelet tries again by itself.
const IMAGE_PATIENCE: Duration = Duration::from_secs(10);
const CONTAINER_STATUSES: &str = "/status/ephemeralContainerStatuses";

/// What one pod is to try.
#[derive(Debug, Clone)]
pub struct Trial {
    pub subject: Subject,
    pub tasks: Vec<Task>,
}

/// Adds containers and reads their results.
pub struct Prober {
    pub client: Client,
    pub image: String,
    pub timing: Timing,
    /// How long a container may take from its creation to its end.
    pub wait: Duration,
}

impl Prober {
    /// All pods of the cluster, as the API server has them.
    ///
    /// # Errors
    /// As of the API server.
    pub async fn pods(client: &Client) -> kube::Result<Vec<Value>> {
        let mut all = Vec::new();
        let mut params = ListParams::default().limit(PAGE);
        loop {
            let request = Request::new("/api/v1/pods").list(&params);
            let mut page: Value = client.request(built(request)?).await?;
            if let Some(items) = page.get_mut("items").and_then(Value::as_array_mut) {
                all.append(items);
            }
            match page.pointer("/metadata/continue").and_then(Value::as_str) {
                Some(token) if !token.is_empty() => params = params.continue_token(token),
                _ => return Ok(all),
            }
        }
    }

    /// The image of the controller in `namespace`, the same that the cluster runs already.
    ///
    /// # Errors
    /// As of the API server.
    pub async fn image_of_controller(
        client: &Client,
        namespace: &str,
    ) -> kube::Result<Option<String>> {
        let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments");
        let ours = ListParams::default().labels("app.kubernetes.io/name=nanoseg-controller");
        let list: Value = client
            .request(built(Request::new(path).list(&ours))?)
            .await?;
        let image = list.pointer("/items/0/spec/template/spec/containers/0/image");
        Ok(image.and_then(Value::as_str).map(str::to_owned))
    }

    /// Why the user may not add containers to pods of this namespace; `None`: they may.
    ///
    /// # Errors
    /// As of the API server.
    pub async fn refusal(&self, namespace: &str) -> kube::Result<Option<Fault>> {
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {
                "namespace": namespace, "verb": "patch", "resource": "pods", "subresource": "ephemeralcontainers",
            }},
        });
        let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        let body = serde_json::to_vec(&review).map_err(kube::Error::SerdeError)?;
        let request = Request::new(path).create(&PostParams::default(), body);
        let answer: Value = self.client.request(built(request)?).await?;
        let is_allowed = answer.pointer("/status/allowed").and_then(Value::as_bool) == Some(true);
        let reason = answer.pointer("/status/reason").and_then(Value::as_str);
        Ok((!is_allowed).then(|| Fault::NotPermitted {
            message: match reason.filter(|reason| !reason.is_empty()) {
                Some(reason) => format!("namespace {namespace}: {}", kept(reason)),
                None => {
                    format!("you may not patch pods/ephemeralcontainers in namespace {namespace}")
                }
            },
        }))
    }

    /// Asks the API server whether it would take the container, and changes nothing: admission runs as for the real one.
    pub async fn would_be_taken(&self, trial: &Trial) -> Result<(), Fault> {
        self.add(trial, true).await.map(|_| ())
    }

    /// Adds all containers, and waits for each until it has ended. `done` is called after each.
    pub async fn run(
        &self,
        trials: &[Trial],
        mut done: impl FnMut(&PodName),
    ) -> BTreeMap<PodName, Result<Vec<Told>, Fault>> {
        let mut results = BTreeMap::new();
        let mut running = Vec::new();
        for trial in trials {
            match self.add(trial, false).await {
                Ok(container) => running.push((trial, container)),
                Err(fault) => {
                    results.insert(trial.subject.pod.clone(), Err(fault));
                }
            }
        }
        let begun = Instant::now();
        while !running.is_empty() {
            let mut left = Vec::new();
            for (trial, container) in running {
                match self.ended(trial, &container, begun.elapsed()).await {
                    Some(result) => {
                        done(&trial.subject.pod);
                        results.insert(trial.subject.pod.clone(), result);
                    }
                    None => left.push((trial, container)),
                }
            }
            running = left;
            if !running.is_empty() {
                sleep(POLL).await;
            }
        }
        results
    }

    /// Adds the container, and returns its name.
    async fn add(&self, trial: &Trial, dry_run: bool) -> Result<String, Fault> {
        let subject = &trial.subject;
        let mut body = patch(subject.next, &self.image, &trial.tasks, self.timing);
        // Another pod of the same name is not this one: the API server refuses another identity.
        body["metadata"] = json!({"uid": subject.uid});
        let params = PatchParams {
            dry_run,
            field_manager: Some("nanoseg-probe".into()),
            ..PatchParams::default()
        };
        let request = Request::new(pods_of(&subject.pod)).patch_subresource(
            "ephemeralcontainers",
            &subject.pod.name,
            &params,
            &Patch::Strategic(body),
        );
        let answer = match built(request) {
            Ok(request) => self.client.request_text(request).await,
            Err(error) => Err(error),
        };
        answer
            .map(|_| format!("{CONTAINER_PREFIX}{}", subject.next))
            .map_err(|error| fault_of(&error))
    }

    /// What the container told, if it has ended or never will.
    async fn ended(
        &self,
        trial: &Trial,
        container: &str,
        waited: Duration,
    ) -> Option<Result<Vec<Told>, Fault>> {
        let name = &trial.subject.pod;
        let request = Request::new(pods_of(name)).get(&name.name, &GetParams::default());
        let pod = match built(request) {
            Ok(request) => self.client.request::<Value>(request).await,
            Err(error) => Err(error),
        };
        let is_late = waited >= self.wait;
        let late = || {
            let seconds = self.wait.as_secs();
            is_late.then_some(Err(Fault::NoAnswer { seconds }))
        };
        match pod {
            Ok(pod) => result(&pod, trial, container, waited).or_else(late),
            Err(kube::Error::Api(status)) if status.code == 404 => Some(Err(Fault::PodGone)),
            // It is asked again until the time is over.
            Err(error) => is_late.then(|| Err(fault_of(&error))),
        }
    }
}

/// What the pod's status says of the container.
fn result(
    pod: &Value,
    trial: &Trial,
    container: &str,
    waited: Duration,
) -> Option<Result<Vec<Told>, Fault>> {
    let uid = pod.pointer("/metadata/uid").and_then(Value::as_str);
    if uid != Some(trial.subject.uid.as_str()) {
        return Some(Err(Fault::PodGone));
    }
    let all = pod.pointer(CONTAINER_STATUSES).and_then(Value::as_array);
    let mut all = all.into_iter().flatten();
    let state = &all.find(|one| one["name"] == container)?["state"];
    let text = |pointer: &str| {
        state
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    if let Some(terminated) = state.get("terminated") {
        let told = parse_message(text("/terminated/message"), trial.tasks.len());
        let told = told.map_err(|error| Fault::Nonsense {
            message: format!(
                "{error} (exit code {}, reason {})",
                terminated["exitCode"],
                kept(text("/terminated/reason"))
            ),
        });
        return Some(told);
    }
    let (reason, message) = (text("/waiting/reason"), text("/waiting/message"));
    let message = kept(&format!("{reason}: {message}"));
    match reason {
        "ErrImagePull" | "ImagePullBackOff" | "ErrImageNeverPull" | "InvalidImageName"
            if waited >= IMAGE_PATIENCE =>
        {
            Some(Err(Fault::Image { message }))
        }
        "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError"
            if waited >= IMAGE_PATIENCE =>
        {
            Some(Err(Fault::NotStarted { message }))
        }
        _ => None,
    }
}

fn pods_of(pod: &PodName) -> String {
    format!("/api/v1/namespaces/{}/pods", pod.namespace)
}

fn built<T>(request: Result<T, kube::core::request::Error>) -> kube::Result<T> {
    request.map_err(kube::Error::BuildRequest)
}

fn fault_of(error: &kube::Error) -> Fault {
    match error {
        kube::Error::Api(status) => Fault::of_refusal(status.code, &status.message),
        other => Fault::Refused {
            message: kept(&describe(other)),
        },
    }
}

fn kept(text: &str) -> String {
    text.chars().take(MOST_WORDS).collect()
}
