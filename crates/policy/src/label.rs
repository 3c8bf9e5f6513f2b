//! Facts about label keys: which keys change per pod or per rollout and so never select a workload, which are
//! used only as a last resort, and which are preferred.

use nanoseg_inventory::{Pod, WorkloadId};

/// The labels that a Job sets on its pods and that are constant for this Job.
const JOB_NAMES: [&str; 2] = ["batch.kubernetes.io/job-name", "job-name"];

/// Keys whose value differs per pod or per rollout (rule: volatile-labels-never-select), by who sets them.
const VOLATILE: [&str; 27] = [
    // Deployments, Argo Rollouts, DaemonSets and StatefulSets
    "pod-template-hash",
    "rollouts-pod-template-hash",
    "controller-revision-hash",
    "pod-template-generation",
    "statefulset.kubernetes.io/pod-name",
    "apps.kubernetes.io/pod-index",
    // Jobs (batch.kubernetes.io/* is handled as a whole)
    "controller-uid",
    "job-completion-index",
    // KEP-4742: the node's topology labels are copied to its pods
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
    "kubernetes.io/hostname",
    // widely used operators
    "leaderworkerset.sigs.k8s.io/worker-index",
    "leaderworkerset.sigs.k8s.io/group-index",
    "leaderworkerset.sigs.k8s.io/group-key",
    "leaderworkerset.sigs.k8s.io/template-revision-hash",
    "jobset.sigs.k8s.io/job-index",
    "jobset.sigs.k8s.io/job-global-index",
    "jobset.sigs.k8s.io/job-key",
    "jobset.sigs.k8s.io/restart-attempt",
    "cnpg.io/instanceName",
    "cnpg.io/instanceRole",
    "cnpg.io/podRole",
    "strimzi.io/pod-name",
    "spilo-role",
    "spark-exec-id",
    "spark-app-selector",
    "workflows.argoproj.io/workflow",
];

/// Keys that are equal for all pods but change with the next release, or that do not identify a workload. They are
/// used only if nothing else distinguishes two workloads, and never alone.
const WEAK: [&str; 15] = [
    "app.kubernetes.io/version",
    "app.kubernetes.io/managed-by",
    "helm.sh/chart",
    "helm.sh/revision",
    "chart",
    "heritage",
    "version",
    "revision",
    "commit",
    "build",
    "deployment",
    "istio.io/rev",
    "security.istio.io/tlsMode",
    "service.istio.io/canonical-revision",
    "linkerd.io/control-plane-ns",
];

/// Keys that a person would choose, best first.
const PREFERRED: [&str; 10] = [
    "app.kubernetes.io/name",
    "app.kubernetes.io/instance",
    "app.kubernetes.io/component",
    "app",
    "k8s-app",
    "name",
    "run",
    "component",
    "role",
    "tier",
];

/// Returns true if `key` differs per pod or per rollout for every workload, so that no selector of any
/// workload may use it.
pub(super) fn is_volatile(key: &str) -> bool {
    VOLATILE.contains(&key)
        || (key.starts_with("batch.kubernetes.io/") && !JOB_NAMES.contains(&key))
}

/// Returns true if a selector of `workload` may use `key` with `value`. A Job's name is stable for this Job, but not
/// for the CronJob that owns it.
pub(super) fn may_select(workload: &WorkloadId, key: &str, value: &str) -> bool {
    if JOB_NAMES.contains(&key) {
        return workload.kind == "Job" && workload.name == value;
    }
    !is_volatile(key)
}

/// Returns true if a selector may require that `key` is absent or has another value.
pub(super) fn may_exclude(key: &str) -> bool {
    !is_volatile(key) && !JOB_NAMES.contains(&key)
}

/// Returns true if the value shows that the label is generated per pod or per rollout, whatever its key: the value
/// is the pod's own name, or ends with the rollout's hash.
pub(super) fn is_generated_value(pod: &Pod, value: &str) -> bool {
    if value == pod.name && pod.workload.kind != "Pod" && !pod.template {
        return true;
    }
    pod.labels.get("pod-template-hash").is_some_and(|hash| {
        !hash.is_empty()
            && value
                .strip_suffix(hash.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('-'))
    })
}

/// Returns true if `key` is one of the [`WEAK`] keys.
pub(super) fn is_weak(key: &str) -> bool {
    WEAK.contains(&key)
}

/// Returns the rank of a key in the order of preference; smaller is better. Equal ranks are ordered by key.
pub(super) fn rank(key: &str) -> usize {
    const OTHER: usize = PREFERRED.len();
    if let Some(place) = PREFERRED.iter().position(|k| *k == key) {
        return place;
    }
    if JOB_NAMES.contains(&key) {
        return OTHER;
    }
    match key {
        "app.kubernetes.io/part-of" | "release" => OTHER + 2,
        _ if is_weak(key) => OTHER + 3,
        _ => OTHER + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(kind: &str) -> WorkloadId {
        WorkloadId {
            namespace: "shop".into(),
            name: "import".into(),
            kind: kind.into(),
        }
    }

    #[test]
    fn a_job_name_selects_its_own_job_but_no_cron_job() {
        for key in JOB_NAMES {
            assert!(may_select(&id("Job"), key, "import"));
            assert!(!may_select(&id("Job"), key, "other"));
            assert!(!may_select(&id("CronJob"), key, "import"));
        }
        assert!(!may_select(
            &id("Job"),
            "batch.kubernetes.io/controller-uid",
            "x"
        ));
    }

    #[test]
    fn recommended_labels_come_before_plain_ones_and_versions_come_last() {
        assert!(rank("app.kubernetes.io/name") < rank("app"));
        assert!(rank("app") < rank("team"));
        assert!(rank("team") < rank("app.kubernetes.io/version"));
    }
}
