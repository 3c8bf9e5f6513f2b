//! Which pods are one workload, and what owners and Services tell of labels.

use super::{DEPLOYMENT, REPLICA_POD, REPLICA_SET, only_workload};
use crate::OwnerRule;
use crate::testing::{inventory, pod};
use nanoseg_finding::Code;

/// A pod below a custom owner, `owner` as `group/version Kind name`.
fn owned(name: &str, address: &str, owner: &str, labels: &str) -> String {
    let parts: Vec<&str> = owner.split(' ').collect();
    let [version, kind, owner] = parts.as_slice() else {
        panic!("{owner}")
    };
    pod("a", name, address, "n1", labels).replace(
        &format!("name: {name}, labels"),
        &format!(
            "name: {name}, ownerReferences: [{{apiVersion: {version}, kind: {kind}, name: {owner}, uid: u, \
             controller: true}}], labels"
        ),
    )
}

fn workload_names(documents: &[String]) -> Vec<String> {
    let (inventory, _) = inventory(&documents.join("\n---\n"));
    let names = inventory.workloads.keys();
    names.map(|id| format!("{} {}", id.kind, id.name)).collect()
}

#[test]
fn releases_and_runs_of_one_custom_owner_are_one_workload() {
    let revision = "serving.knative.dev/v1 Revision";
    let labels = |n: &str| {
        format!(
            "serving.knative.dev/service: hello, serving.knative.dev/revision: {n}, pod-template-hash: q"
        )
    };
    let pods = |names: [&str; 2]| {
        let pod = |(i, name): (usize, &str)| {
            let address = format!("10.244.1.{}", i + 7);
            owned(
                &format!("{name}-x"),
                &address,
                &format!("{revision} {name}"),
                &labels(name),
            )
        };
        names.into_iter().enumerate().map(pod).collect::<Vec<_>>()
    };
    assert_eq!(
        workload_names(&pods(["hello-00001", "hello-00002"])),
        ["Revision hello"]
    );
    assert_eq!(
        workload_names(&pods(["hello-blue", "hello-green"])),
        ["Revision hello"]
    );
    // The name does not depend on how many there are.
    assert_eq!(
        workload_names(&pods(["hello-00001", "hello-00002"])[..1]),
        ["Revision hello"]
    );
    // Two applications of one kind that a release tells apart stay two.
    let flink = "flink.apache.org/v1beta1 FlinkDeployment";
    let apps = ["etl-main", "etl-feed"].map(|name| {
        let labels = "argocd.argoproj.io/instance: etl, image-tag: 1.4.2";
        owned(
            &format!("{name}-0"),
            "10.244.1.9",
            &format!("{flink} {name}"),
            labels,
        )
    });
    assert_eq!(
        workload_names(&apps),
        ["FlinkDeployment etl-feed", "FlinkDeployment etl-main"]
    );
    // Runners with a generated name and nothing that says what they are stay alone.
    let runner = |labels: &str| {
        owned(
            "r-x7k2p",
            "10.244.1.9",
            "actions.github.com/v1 EphemeralRunner r-x7k2p",
            labels,
        )
    };
    assert_eq!(
        workload_names(&[runner("run-id: '7'")]),
        ["EphemeralRunner r-x7k2p"]
    );
    assert_eq!(
        workload_names(&[runner("scale-set: r")]),
        ["EphemeralRunner r"]
    );
}

#[test]
fn pods_of_users_are_one_workload() {
    let user = |name: &str, address: &str| {
        let labels = format!(
            "app: jupyterhub, component: singleuser-server, hub.jupyter.org/username: {name}"
        );
        pod("a", &format!("jupyter-{name}"), address, "n1", &labels)
    };
    let pods = [user("alice", "10.244.1.7"), user("bob", "10.244.1.8")];
    assert_eq!(workload_names(&pods), ["Pod jupyter"]);
    assert_eq!(workload_names(&pods[..1]), ["Pod jupyter"]);
    // A Deployment for each user, with the user in its name.
    let lab = |user: &str| {
        let labels = format!("app: lab, user: {user}");
        REPLICA_POD
            .replace("app: web", &labels)
            .replace("name: web", &format!("name: lab-{user}"))
    };
    assert_eq!(
        workload_names(&[lab("alice"), lab("bob")]),
        ["Deployment lab"]
    );
    // Runs of a task, each with an identifier.
    let run = |name: &str, address: &str| {
        pod(
            "a",
            name,
            address,
            "n1",
            &format!("task: load, run-id: {name}"),
        )
    };
    let runs = [
        run("load-x7k2p", "10.244.1.7"),
        run("load-m4q9z", "10.244.1.8"),
    ];
    assert_eq!(workload_names(&runs), ["Pod load"]);
    // A user label on a pod of a Deployment says who deployed it, not for whom it runs.
    let replica = REPLICA_POD.replace("app: web,", "app: web, created-by: alice,");
    assert_eq!(
        only_workload(&replica, OwnerRule::Infer).0,
        "Deployment shop/web"
    );
}

#[test]
fn an_owner_of_another_group_is_another_kind() {
    let pods = [
        owned("a", "10.244.1.7", "batch/v1 Job train", "app: a"),
        owned(
            "b",
            "10.244.1.8",
            "batch.volcano.sh/v1alpha1 Job train",
            "app: b",
        ),
        owned("c", "10.244.1.9", "one.example/v1 Cluster db", "app: c"),
        owned("d", "10.244.1.10", "two.example/v1 Cluster db", "app: d"),
        owned("e", "10.244.1.11", "longhorn.io/v1 Node n1", "app: e"),
        owned("f", "10.244.1.12", "v1 Node n1", "app: f"),
    ];
    assert_eq!(
        workload_names(&pods),
        [
            "Cluster.one.example db",
            "Cluster.two.example db",
            "Pod f",
            "Node.longhorn.io n1",
            "Job train",
            "Job.batch.volcano.sh train",
        ]
    );
    let (_, findings) = inventory(&pods.join("\n---\n"));
    let missing: Vec<_> = findings
        .iter()
        .filter(|f| f.code == Code::MissingOwners)
        .collect();
    assert_eq!(missing.len(), 1);
    assert_eq!(missing[0].samples, ["Job a/train"]);
    assert!(
        missing[0]
            .message
            .ends_with("the kinds to add: cronjobs,jobs"),
        "{missing:?}"
    );
}

#[test]
fn what_a_replica_set_below_a_custom_owner_selects_is_the_owners_choice() {
    let rollout = "argoproj.io/v1alpha1, kind: Rollout, name: cart";
    let set = REPLICA_SET
        .replace("apps/v1, kind: Deployment, name: web", rollout)
        .replace(
            "pod-template-hash: 6d7868d689}}}",
            "rollouts-pod-template-hash: 6d7868d689}}}",
        );
    let (inventory, _) = inventory(&[REPLICA_POD.to_owned(), set].join("\n---\n"));
    let workload = inventory.workloads.values().next().expect("one");
    assert_eq!(workload.id.kind, "Rollout");
    assert_eq!(
        workload.match_labels,
        [("app".to_owned(), "web".to_owned())].into()
    );
}

#[test]
fn keys_that_changed_between_releases_and_keys_of_services_are_noted() {
    let old = REPLICA_SET.replace("web-6d7868d689", "web-5").replace(
        "spec: {",
        "spec: {template: {metadata: {labels: {app: web, channel: old}}, spec: {containers: []}}, ",
    );
    let now = REPLICA_POD.replace("app: web,", "app: web, channel: new,");
    let service = "apiVersion: v1\nkind: Service\nmetadata: {namespace: shop, name: web}\n\
                   spec: {clusterIP: 10.96.0.1, selector: {app: web}, ports: [{port: 80}]}";
    let all = [
        now,
        REPLICA_SET.to_owned(),
        old,
        DEPLOYMENT.to_owned(),
        service.to_owned(),
    ];
    let (inventory, _) = inventory(&all.join("\n---\n"));
    let workload = inventory.workloads.values().next().expect("one");
    assert_eq!(workload.changing_keys, ["channel".to_owned()].into());
    assert_eq!(workload.service_keys, ["app".to_owned()].into());
}

/// A ReplicaSet `web-1` of Deployment `web`, both with a uid.
const OWNERS: [&str; 2] = [
    "apiVersion: apps/v1\nkind: Deployment\n\
     metadata: {namespace: a, name: web, uid: d, creationTimestamp: '2026-01-01T00:00:00Z'}\n\
     spec: {selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}, spec: {containers: [{name: c, image: i}]}}}",
    "apiVersion: apps/v1\nkind: ReplicaSet\n\
     metadata: {namespace: a, name: web-1, uid: r, creationTimestamp: '2026-01-01T00:00:00Z', \
     ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: web, uid: d, controller: true}]}\n\
     spec: {selector: {matchLabels: {app: web, pod-template-hash: '1'}}}",
];

/// What a pod belongs to that names a ReplicaSet as its owner, and whether that is a finding.
fn belongs_to(set: &str, uid: &str, labels: &str, created: &str, status: &str) -> (String, bool) {
    let meta = format!(
        "name: p, creationTimestamp: '{created}', ownerReferences: [{{apiVersion: apps/v1, kind: ReplicaSet, \
         name: {set}, uid: {uid}, controller: true}}], labels"
    );
    let pod = pod("a", "p", "10.244.1.9", "n1", labels)
        .replace("name: p, labels", &meta)
        .replace("phase: Running", status);
    let documents = [OWNERS[0], OWNERS[1], &pod].join("\n---\n");
    let (inventory, findings) = inventory(&documents);
    let pod = inventory.pods.iter().find(|pod| pod.name == "p");
    let id = &pod.expect("the pod").workload;
    let found = findings.iter().find(|one| one.code == Code::FalseOwner);
    if let Some(found) = found {
        assert_eq!(found.subject, "a/web");
    }
    (format!("{} {}", id.kind, id.name), found.is_some())
}

#[test]
fn a_pod_belongs_to_an_owner_only_if_the_owner_has_it() {
    let (labels, late, early) = (
        "app: web, pod-template-hash: '1'",
        "2026-01-02T00:00:00Z",
        "2025-12-31T00:00:00Z",
    );
    let own = ("Deployment web".to_owned(), false);
    let alone = ("Pod p".to_owned(), true);
    assert_eq!(
        belongs_to("web-1", "r", labels, late, "phase: Running"),
        own
    );
    assert_eq!(
        belongs_to("web-1", "forged", labels, late, "phase: Running"),
        alone
    );
    assert_eq!(
        belongs_to("web-1", "before", labels, early, "phase: Running"),
        own,
        "of an owner of before"
    );
    assert_eq!(
        belongs_to("web-1", "r", "app: other", late, "phase: Running"),
        alone,
        "not selected"
    );
    let ghost = "app: web, pod-template-hash: ghost";
    assert_eq!(
        belongs_to("web-ghost", "g", ghost, late, "phase: Running"),
        alone,
        "no such owner"
    );
    let ended = "phase: Succeeded, containerStatuses: [{name: c, image: i, imageID: i, ready: false, restartCount: 0, \
         state: {terminated: {exitCode: 0, finishedAt: '2026-01-02T00:00:01Z'}}}]";
    assert_eq!(
        belongs_to("web-ghost", "g", ghost, late, ended),
        own,
        "its owner may be gone by now"
    );
}

#[test]
fn runs_of_workflows_are_one_workload_whatever_the_api_server_added_to_their_names() {
    // The Workflow objects are gone; their pods still name them.
    let pods = ["etl-x7k2p", "etl-bcdfg"].map(|run| {
        let labels = format!("app: etl, workflows.argoproj.io/workflow: {run}");
        let owner = format!("argoproj.io/v1alpha1 Workflow {run}");
        let address = if run.ends_with('p') {
            "10.244.1.7"
        } else {
            "10.244.1.8"
        };
        owned(&format!("{run}-step-17"), address, &owner, &labels)
    });
    assert_eq!(workload_names(&pods), ["Workflow etl"]);
    assert_eq!(workload_names(&pods[1..]), ["Workflow etl"], "by one alone");
}

/// A CronJob `report` with the label `app: report` whose container runs `shop/report`.
const CRON_JOB: &str = "apiVersion: batch/v1\nkind: CronJob\nmetadata: {namespace: a, name: report, uid: c}\n\
    spec: {jobTemplate: {spec: {template: {metadata: {labels: {app: report}}, \
    spec: {containers: [{name: main, image: 'shop/report:2'}]}}}}}";

/// A Job with this name, and with more metadata.
fn job(name: &str, more: &str, app: &str) -> String {
    format!(
        "apiVersion: batch/v1\nkind: Job\nmetadata: {{namespace: a, name: {name}, uid: j-{name}{more}}}\n\
         spec: {{template: {{metadata: {{labels: {{app: {app}}}}}, \
         spec: {{containers: [{{name: main, image: 'shop/{app}:1'}}]}}}}}}"
    )
}

/// A finished pod of that Job, with the labels that the Job controller adds.
fn job_pod(job: &str, app: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{namespace: a, name: {job}-x7k2p, labels: {{app: {app}, job-name: {job}, \
         controller-uid: u-{job}}}, ownerReferences: [{{apiVersion: batch/v1, kind: Job, name: {job}, uid: j-{job}, \
         controller: true}}]}}\n\
         spec: {{nodeName: n1, containers: [{{name: main, image: 'shop/{app}:1'}}]}}\n\
         status: {{phase: Succeeded, startTime: '2026-01-01T00:00:00Z'}}"
    )
}

#[test]
fn a_job_made_by_hand_from_a_cron_job_is_the_cron_job_s() {
    let cron = CRON_JOB.to_owned();
    let manual = ", annotations: {cronjob.kubernetes.io/instantiate: manual}";
    let owned = format!(
        "{manual}, ownerReferences: [{{apiVersion: batch/v1, kind: CronJob, name: report, uid: c, controller: true}}]"
    );
    for more in ["", manual, &owned] {
        let documents = [
            cron.clone(),
            job("by-hand", more, "report"),
            job_pod("by-hand", "report"),
        ];
        assert_eq!(workload_names(&documents), ["CronJob report"], "{more:?}");
    }
    // Its object is gone, and its name says nothing.
    let gone = [cron.clone(), job_pod("by-hand", "report")];
    assert_eq!(workload_names(&gone), ["CronJob report"]);
    // Its object is gone, and its name looks like that of a run of another CronJob, which is not there.
    let timed = [cron.clone(), job_pod("by-hand-1795999563", "report")];
    assert_eq!(workload_names(&timed), ["CronJob report"]);
    let unknown = [cron.clone(), job_pod("nightly-29933328", "other")];
    assert_eq!(
        workload_names(&unknown),
        ["CronJob nightly", "CronJob report"]
    );
    // Another program.
    let other = [cron, job_pod("by-hand", "other")];
    assert_eq!(workload_names(&other), ["Job by-hand", "CronJob report"]);
}

#[test]
fn jobs_of_one_template_are_one_workload_whether_their_objects_are_there_or_gone() {
    let runs = ["migrate-1", "migrate-2", "migrate-x7k2p"];
    let pods = runs.map(|run| job_pod(run, "migrate"));
    assert_eq!(workload_names(&pods), ["Job migrate"]);
    assert_eq!(workload_names(&pods[..1]), ["Job migrate"], "by one alone");
    let with_object = [pods[0].clone(), job("migrate-9", "", "migrate")];
    assert_eq!(workload_names(&with_object), ["Job migrate"]);
    // Names without a counter, and names that share nothing.
    let named = ["load-spring", "load-autumn"].map(|run| job_pod(run, "load"));
    assert_eq!(workload_names(&named), ["Job load"]);
    let strange = ["spring", "autumn"].map(|run| job_pod(run, "load"));
    assert_eq!(workload_names(&strange), ["Job autumn"]);
    // Two programs stay two, also if their names differ by a counter only.
    let two = [job_pod("step-1", "fetch"), job_pod("step-2", "store")];
    assert_eq!(workload_names(&two).len(), 2);
    // One that is there once, under its own name.
    assert_eq!(workload_names(&[job_pod("seed", "seed")]), ["Job seed"]);
}
