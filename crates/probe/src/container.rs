//! The container that makes the tries: an ephemeral container, which no restart and no traffic of the pod depends on.

use super::task::Task;
use serde_json::{Value, json};

/// The names of the containers for tries begin so; a number follows.
pub const CONTAINER_PREFIX: &str = "nanoseg-probe-";

/// How long a try may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// The longest wait for an answer, in milliseconds.
    pub timeout_ms: u32,
    /// From a try that was not as expected to the second one, in milliseconds.
    pub again_after_ms: u32,
}

/// The strategic merge patch of `pods/ephemeralcontainers` that adds a container for `tasks`. It conforms to the Pod
/// Security level "restricted", and gets no token, no volume and no capability.
pub fn patch(number: usize, image: &str, tasks: &[Task], timing: Timing) -> Value {
    let mut args = vec![
        "probe-connect".to_owned(),
        format!("--timeout-ms={}", timing.timeout_ms),
        format!("--again-after-ms={}", timing.again_after_ms),
    ];
    args.extend(tasks.iter().map(Task::to_string));
    json!({"spec": {"ephemeralContainers": [{
        "name": format!("{CONTAINER_PREFIX}{number}"),
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": args,
        "terminationMessagePolicy": "File",
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "capabilities": {"drop": ["ALL"]},
            "privileged": false,
            "readOnlyRootFilesystem": true,
            "runAsGroup": 65532,
            "runAsNonRoot": true,
            "runAsUser": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }]}})
}
