//! Facts about label keys: which keys change per pod or per rollout and so never select a workload, which do not last
//! and are used only as a last resort, and which are preferred.

use nanoseg_inventory::{LabelNature, Pod, Workload, WorkloadId, label_nature, names_a_release};

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

/// Keys that last and do not identify a workload. They are used only if nothing else that lasts distinguishes two
/// workloads, and never alone.
const WEAK: [&str; 8] = [
    "app.kubernetes.io/managed-by",
    "app.kubernetes.io/created-by",
    "heritage",
    "deployment",
    "istio.io/rev",
    "security.istio.io/tlsMode",
    "linkerd.io/control-plane-ns",
    "owner",
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

/// The last words of keys that name what runs.
const NAMING: [&str; 7] = [
    "app",
    "application",
    "cluster",
    "component",
    "instance",
    "name",
    "service",
];

/// Returns true if `key` differs per pod or per rollout for every workload, so that no selector of any
/// workload may use it.
pub(super) fn is_volatile(key: &str) -> bool {
    VOLATILE.contains(&key)
        || (key.starts_with("batch.kubernetes.io/") && !JOB_NAMES.contains(&key))
}

/// Returns true for keys that are no part of a pod's identity in Cilium, unless an operator says otherwise: a selector with
/// one of them selects nothing there (rule: cilium-selects-the-same-pods). Source: `defaultLabelPrefixCfg` in
/// `pkg/labelsfilter/filter.go` of Cilium 1.19, and "Limiting Identity-Relevant Labels" in its documentation. What changes
/// per rollout is volatile anyway.
pub(super) fn is_unknown_to_cilium(key: &str) -> bool {
    const BEGINNINGS: [&str; 6] = [
        "io.kubernetes",
        "kubernetes.io",
        "k8s.io",
        "io.cilium.k8s",
        "annotation",
        "etcd_node",
    ];
    BEGINNINGS.iter().any(|begin| key.starts_with(begin)) || key.contains("beta.kubernetes.io")
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

/// Returns the nature of a label of a workload (rule: lasting-labels-select). The owner's own selector cannot change as
/// long as the owner exists, so only a value that names a release by its shape counts there: such an owner is replaced
/// by each release.
pub(super) fn nature(workload: Option<&Workload>, key: &str, value: &str) -> LabelNature {
    // It is the Job's own name, see `may_select`.
    if JOB_NAMES.contains(&key) {
        return LabelNature::Lasting;
    }
    let Some(workload) = workload else {
        return label_nature(key, value);
    };
    let of_owner = workload
        .match_labels
        .get(key)
        .is_some_and(|own| own == value);
    if of_owner && !names_a_release(value) {
        return LabelNature::Lasting;
    }
    match label_nature(key, value) {
        LabelNature::Lasting if workload.changing_keys.contains(key) => LabelNature::Release,
        nature => nature,
    }
}

/// Returns true if the value shows that the label is generated per pod or per rollout, whatever its key: the value
/// is the pod's own name, or ends with the rollout's hash.
pub(super) fn is_generated_value(pod: &Pod, value: &str) -> bool {
    // A pod without an owner may be named by hand, unless it is one of several that a program names.
    let is_alone = pod.workload.kind == "Pod" && pod.workload.name == pod.name;
    if value == pod.name && !is_alone && !pod.template {
        return true;
    }
    let hashes = ["pod-template-hash", "rollouts-pod-template-hash"];
    let mut hashes = hashes.iter().filter_map(|key| pod.labels.get(*key));
    hashes.any(|hash| {
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

/// Returns true if a label is used only where nothing else distinguishes: it is weak, or says by itself that it does
/// not last.
pub(super) fn is_last_resort(key: &str, value: &str) -> bool {
    is_weak(key) || label_nature(key, value) != LabelNature::Lasting
}

/// Returns true if `key` is one of the [`PREFERRED`] keys.
pub(super) fn is_preferred(key: &str) -> bool {
    PREFERRED.contains(&key)
}

/// The rank of a key by which Services select, if it has no better one.
pub(super) const SERVED: usize = PREFERRED.len();

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
        "app.kubernetes.io/part-of" | "release" => OTHER + 3,
        _ if is_last_resort(key, "") => OTHER + 4,
        _ if is_naming(key) => OTHER + 1,
        _ => OTHER + 2,
    }
}

/// Returns true if an operator's key names what runs, as `serving.knative.dev/service` and `cnpg.io/cluster` do.
fn is_naming(key: &str) -> bool {
    let name = key.rsplit('/').next().unwrap_or(key);
    let last = name.rsplit(['-', '_', '.']).next().unwrap_or(name);
    NAMING.contains(&last)
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
