//! deploy/ on a real API server: the manifests are accepted, the controller works with the rights that they give, and
//! RBAC and the admission policies control decisions.

use crate::story::install::Installation;
use crate::support::kubernetes::{Cluster, PATIENCE, until};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

fn folder(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join(name).to_str().expect("a path").to_owned()
}

/// Applies an object with kubectl as a user. Returns `Err` with the message if it is refused.
pub fn create(cluster: &Cluster, kubeconfig: &Path, object: &Value) -> Result<String, String> {
    let file = cluster.path(&format!("{}.json", cluster.name("object")));
    std::fs::write(&file, object.to_string()).expect("a file");
    let output = cluster.kubectl_of(
        kubeconfig,
        &["create", "-f", file.to_str().expect("a path")],
    );
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(text(&output.stderr))
    }
}

/// A user with a ClusterRole in one namespace.
pub fn user(cluster: &Cluster, namespace: &str, name: &str, role: &str) -> PathBuf {
    let name = format!("{name}-{namespace}");
    let bound = cluster.kubectl(&[
        "create",
        "rolebinding",
        &name,
        "-n",
        namespace,
        "--clusterrole",
        role,
        "--user",
        &name,
    ]);
    assert!(bound.status.success(), "{bound:?}");
    cluster.kubeconfig_as(&name, &[])
}

fn decision(namespace: &str, name: &str, by: &str) -> Value {
    json!({
        "apiVersion": "nanoseg.dev/v1alpha1",
        "kind": "ProposalDecision",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {
            "proposal": "web-1",
            "proposalUid": "00000000-0000-0000-0000-000000000000",
            "revision": format!("sha256:{}", "0".repeat(64)),
            "decision": "Approve",
            "reason": "a test",
            "decidedBy": by,
        },
    })
}

/// Waits until the admission policies are active, some seconds after their creation.
fn until_refused(cluster: &'static Cluster, kubeconfig: &Path, object: &Value) -> String {
    let mut number = 0;
    cluster.run(until(PATIENCE, "it is refused", async || {
        let mut object = object.clone();
        number += 1;
        let name = format!(
            "{}-{number}",
            object["metadata"]["name"].as_str().expect("a name")
        );
        object["metadata"]["name"] = name.into();
        match create(cluster, kubeconfig, &object) {
            Ok(says) => Err(says),
            Err(refusal) => Ok(refusal),
        }
    }))
}

#[test]
fn rbac_controls_who_decides_and_nobody_can_use_another_name() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let _installed = Installation::make(cluster);
    let namespace = cluster.namespace("decide");
    let operator = user(cluster, &namespace, "olga", "nanoseg-operator");
    let viewer = user(cluster, &namespace, "victor", "view");
    let olga = format!("olga-{namespace}");

    let forged = until_refused(
        cluster,
        &operator,
        &decision(&namespace, "forged", "somebody-else"),
    );
    assert!(
        forged.contains("sign decisions with your own name"),
        "{forged}"
    );
    let refused = create(
        cluster,
        &viewer,
        &decision(&namespace, "viewer", &format!("victor-{namespace}")),
    );
    assert!(
        refused.as_ref().is_err_and(|e| e.contains("forbidden")),
        "{refused:?}"
    );
    let made = create(cluster, &operator, &decision(&namespace, "good", &olga));
    assert!(made.is_ok(), "{made:?}");

    // A decision cannot be changed, and no operator writes its outcome.
    let patch = |what: &str, subresource: &[&str]| {
        let mut arguments = vec![
            "patch",
            "proposaldecision",
            "good",
            "-n",
            &namespace,
            "--type=merge",
            "-p",
            what,
        ];
        arguments.extend(subresource);
        cluster.kubectl(&arguments)
    };
    let changed = patch(r#"{"spec": {"decision": "Reject"}}"#, &[]);
    assert!(!changed.status.success(), "{changed:?}");
    let status = patch(
        r#"{"status": {"outcome": "Accepted"}}"#,
        &["--subresource=status"],
    );
    assert!(
        String::from_utf8_lossy(&status.stderr).contains("only the nanoseg controller"),
        "{status:?}"
    );
}

#[test]
fn who_changes_a_mode_or_breaks_a_glass_gives_the_own_name() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let _installed = Installation::make(cluster);
    let namespace = cluster.namespace("signed");
    let run = |words: &[&str]| -> Result<(), String> {
        let output = cluster.kubectl(words);
        if output.status.success() {
            Ok(())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    };
    modes_are_signed(cluster, &namespace, &run);
    glasses_are_signed(cluster, &namespace, &run);
}

type Run<'r> = &'r dyn Fn(&[&str]) -> Result<(), String>;

fn modes_are_signed(cluster: &'static Cluster, namespace: &str, run: Run<'_>) {
    let segment = |by: Option<&str>| {
        let object = json!({
            "apiVersion": "nanoseg.dev/v1alpha1",
            "kind": "Segmentation",
            "metadata": {"namespace": namespace, "name": "default"},
            "spec": {"mode": "Observe", "changedBy": by},
        });
        create(cluster, cluster.kubeconfig(), &object)
    };
    let refused = cluster.run(until(
        PATIENCE,
        "another name is refused",
        async || match segment(Some("somebody-else")) {
            Err(refusal) => Ok(refusal),
            Ok(said) => {
                run(&["delete", "segmentation", "default", "-n", namespace])?;
                Err(said)
            }
        },
    ));
    assert!(refused.contains("but you are admin"), "{refused}");
    assert!(segment(None).is_err(), "without a name");
    segment(Some("admin")).expect("with the own name");
    let patch = |what: &str| {
        let place = ["patch", "segmentation", "default", "-n", namespace];
        run(&[&place[..], &["--type=merge", "-p", what]].concat())
    };
    // What is not the spec needs no name, and the name that is there does for its owner alone.
    patch(r#"{"metadata": {"labels": {"team": "shop"}}}"#).expect("a label");
    patch(r#"{"spec": {"mode": "Propose"}}"#).expect("the same user");
    let forged = patch(r#"{"spec": {"mode": "Enforce", "changedBy": "olga"}}"#);
    assert!(forged.is_err_and(|said| said.contains("sign changes")));
}

fn glasses_are_signed(cluster: &'static Cluster, namespace: &str, run: Run<'_>) {
    let annotate = |annotations: &[&str]| {
        let place = ["annotate", "--overwrite", "namespace", namespace];
        run(&[&place[..], annotations].concat())
    };
    let mut number = 0;
    let refused = cluster.run(until(PATIENCE, "another name is refused", async || {
        number += 1;
        let reason = format!("nanoseg.dev/break-glass=try {number}");
        match annotate(&[&reason, "nanoseg.dev/break-glass-by=somebody-else"]) {
            Err(refusal) => Ok(refusal),
            Ok(()) => Err("it was let through".into()),
        }
    }));
    let accepted = "nanoseg.dev/break-glass=REASON nanoseg.dev/break-glass-by=admin";
    assert!(refused.contains(accepted), "{refused}");
    let own = "nanoseg.dev/break-glass-by=admin";
    annotate(&["nanoseg.dev/break-glass=checkout is down", own]).expect("with the own name");
    // Anything else of a namespace is nobody's business here.
    annotate(&["team=shop"]).expect("another annotation");
    let other = "nanoseg.dev/break-glass-by=olga";
    let unsigned = annotate(&["nanoseg.dev/break-glass-", other]);
    assert!(unsigned.is_err_and(|said| said.contains("nanoseg.dev/break-glass- ")));
    annotate(&["nanoseg.dev/break-glass-", own]).expect("with the own name");
    annotate(&["nanoseg.dev/break-glass-by-"]).expect("the name alone");
    let bare = annotate(&["nanoseg.dev/break-glass=again"]);
    assert!(bare.is_err(), "without a name");
}

#[test]
fn people_can_edit_only_the_policy_of_a_proposal() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let _installed = Installation::make(cluster);
    let namespace = cluster.namespace("edit");
    let operator = user(cluster, &namespace, "olga", "nanoseg-operator");
    let proposal = json!({
        "apiVersion": "nanoseg.dev/v1alpha1",
        "kind": "PolicyProposal",
        "metadata": {
            "namespace": namespace, "name": "web-1",
            "labels": {"app.kubernetes.io/managed-by": "nanoseg"},
        },
        "spec": {
            "workload": {"kind": "Deployment", "name": "web"},
            "policyName": "nanoseg-web",
            "policy": {"podSelector": {}, "policyTypes": ["Ingress"]},
            "review": {"revision": "sha256:0", "risk": "high"},
        },
    });
    let by_hand = until_refused(cluster, cluster.kubeconfig(), &proposal);
    assert!(
        by_hand.contains("only the nanoseg controller makes proposals"),
        "{by_hand}"
    );
    let controller = cluster.service_account_kubeconfig("nanoseg", "nanoseg-controller");
    let made = create(cluster, &controller, &proposal);
    assert!(made.is_ok(), "{made:?}");
    let patch = |what: &str| {
        cluster.kubectl_of(
            &operator,
            &[
                "patch",
                "proposals",
                "web-1",
                "-n",
                &namespace,
                "--type=merge",
                "-p",
                what,
            ],
        )
    };
    let edited = patch(r#"{"spec": {"policy": {"policyTypes": ["Ingress", "Egress"]}}}"#);
    assert!(edited.status.success(), "{edited:?}");
    let forged = patch(r#"{"spec": {"review": {"risk": "low"}}}"#);
    let says = String::from_utf8_lossy(&forged.stderr);
    assert!(says.contains("only spec.policy"), "{says}");
}

#[test]
fn the_controller_has_the_rights_that_it_needs_and_no_more() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let _installed = Installation::make(cluster);
    let kubeconfig = cluster.service_account_kubeconfig("nanoseg", "nanoseg-controller");
    let can = |verb: &str, what: &str, namespace: &str| {
        let output =
            cluster.kubectl_of(&kubeconfig, &["auth", "can-i", verb, what, "-n", namespace]);
        output.status.success()
    };
    for what in [
        "networkpolicies.networking.k8s.io",
        "policyproposals.nanoseg.dev",
    ] {
        for verb in ["list", "watch", "create", "patch", "delete"] {
            assert!(can(verb, what, "default"), "{verb} {what}");
        }
    }
    assert!(can(
        "create",
        "tokenreviews.authentication.k8s.io",
        "default"
    ));
    assert!(can(
        "update",
        "leases.coordination.k8s.io/nanoseg-controller",
        "nanoseg"
    ));
    for verb in ["get", "create", "patch"] {
        for published in ["configmaps/nanoseg-record", "configmaps/nanoseg-graph"] {
            assert!(can(verb, published, "nanoseg"), "{verb} {published}");
        }
        assert!(!can(verb, "configmaps", "nanoseg"), "{verb}");
        assert!(!can(verb, "configmaps/other", "nanoseg"), "{verb}");
        assert!(!can(verb, "configmaps/nanoseg-record", "default"), "{verb}");
    }
    for (verb, what) in [
        ("get", "secrets"),
        ("list", "configmaps"),
        ("create", "pods"),
        ("delete", "pods"),
        ("create", "pods/exec"),
        ("patch", "namespaces"),
        ("create", "proposaldecisions.nanoseg.dev"),
        ("patch", "segmentations.nanoseg.dev"),
        ("create", "clusterrolebindings.rbac.authorization.k8s.io"),
        ("update", "leases.coordination.k8s.io/nanoseg-controller"),
    ] {
        assert!(!can(verb, what, "default"), "{verb} {what}");
    }
}

#[test]
fn only_the_controller_writes_the_published_record_and_viewers_read_it() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let installed = Installation::make(cluster);
    let record = |text: &str| {
        json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"namespace": "nanoseg", "name": "nanoseg-record"},
            "data": {"record.jsonl": text},
        })
    };
    let apply = |kubeconfig: &Path, object: &Value| {
        let file = cluster.path(&format!("{}.json", cluster.name("record")));
        std::fs::write(&file, object.to_string()).expect("a file");
        let file = file.to_str().expect("a path");
        let apply = ["apply", "--server-side", "--force-conflicts", "-f", file];
        let output = cluster.kubectl_of(kubeconfig, &apply);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        output.status.success().then_some(()).ok_or(said)
    };
    let delete = [
        "delete",
        "configmap",
        "nanoseg-record",
        "-n",
        "nanoseg",
        "--ignore-not-found",
    ];
    // Server-side apply creates a missing object with a right for its name.
    let controller = cluster.service_account_kubeconfig("nanoseg", "nanoseg-controller");
    assert_eq!(apply(&controller, &record("one")), Ok(()));
    assert_eq!(apply(&controller, &record("two")), Ok(()));
    let other = |namespace: &str, name: &str| {
        let mut object = record("x");
        object["metadata"] = json!({"namespace": namespace, "name": name});
        object
    };
    for object in [
        other("nanoseg", "other"),
        other("default", "nanoseg-record"),
    ] {
        let refused = apply(&controller, &object);
        assert!(
            refused
                .as_ref()
                .is_err_and(|said| said.contains("forbidden")),
            "{refused:?}"
        );
    }
    // Not even an administrator can write it.
    let said = cluster.run(until(PATIENCE, "it is refused", async || {
        match apply(cluster.kubeconfig(), &record("forged")) {
            Ok(()) => Err("it was written".to_owned()),
            Err(said) => Ok(said),
        }
    }));
    assert!(
        said.contains("only the nanoseg controller writes what it publishes"),
        "{said}"
    );
    let graph = apply(cluster.kubeconfig(), &other("nanoseg", "nanoseg-graph"));
    assert!(graph.is_err(), "{graph:?}");
    assert_eq!(
        apply(cluster.kubeconfig(), &other("nanoseg", "other")),
        Ok(())
    );

    let victor = user(cluster, "nanoseg", "victor", "nanoseg-viewer");
    let may = |what: &[&str]| {
        let arguments = [&["auth", "can-i"], what, &["-n", "nanoseg"]].concat();
        cluster.kubectl_of(&victor, &arguments).status.success()
    };
    assert!(
        may(&["get", "configmaps/nanoseg-record"]) && may(&["watch", "configmaps/nanoseg-record"])
    );
    assert!(may(&["get", "configmaps/nanoseg-graph"]));
    assert!(!may(&["get", "configmaps/other"]) && !may(&["patch", "configmaps/nanoseg-record"]));

    // Nobody takes it away: neither by its name, nor with all others, nor by giving it an owner that is gone.
    let refusal = |words: &[&str]| {
        let output = cluster.kubectl(words);
        assert!(!output.status.success(), "{words:?}: {output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    for words in [
        &delete[..],
        &["delete", "configmaps", "--all", "-n", "nanoseg"],
    ] {
        let said = refusal(words);
        assert!(said.contains("publishes is not deleted"), "{said}");
    }
    let all = "/api/v1/namespaces/nanoseg/configmaps";
    let said = refusal(&["delete", "--raw", all]);
    assert!(said.contains("publishes is not deleted"), "{said}");
    let owned = r#"{"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "0"}]}}"#;
    let place = [
        "patch",
        "configmap",
        "nanoseg-record",
        "-n",
        "nanoseg",
        "--type=merge",
    ];
    let said = refusal(&[&place[..], &["-p", owned]].concat());
    assert!(
        said.contains("only the nanoseg controller writes"),
        "{said}"
    );

    // After the policies it may go.
    drop(installed);
    cluster.run(until(PATIENCE, "it is deleted", async || {
        let output = cluster.kubectl(&delete);
        let is_gone = output.status.success();
        is_gone.then_some(()).ok_or_else(|| format!("{output:?}"))
    }));
}

/// Objects by kind, namespace and name.
type Objects = BTreeMap<(String, String, String), Value>;

fn objects(yaml: &[u8]) -> Objects {
    use serde::Deserialize;
    let text = std::str::from_utf8(yaml).expect("text");
    let documents = serde_yaml::Deserializer::from_str(text);
    let all = documents.filter_map(|d| Option::<Value>::deserialize(d).expect("an object"));
    let key = |object: &Value| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let meta = &object["metadata"];
        (
            text(&object["kind"]),
            text(&meta["namespace"]),
            text(&meta["name"]),
        )
    };
    all.map(|object| (key(&object), object)).collect()
}

fn output_of(command: &mut Command) -> Vec<u8> {
    let output = command.output().expect("it starts");
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

#[test]
fn the_helm_chart_gives_the_same_objects_as_kustomize() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let chart = folder("deploy/helm/nanoseg");
    let helm = || Command::new(cluster.program("helm"));
    output_of(helm().args(["lint", "--strict", &chart]));
    let template = |arguments: &[&str]| {
        let mut command = helm();
        command.args([
            "template",
            "nanoseg",
            &chart,
            "--kube-version",
            "1.35.0",
            "-n",
            "nanoseg",
            "--include-crds",
        ]);
        objects(&output_of(command.args(arguments)))
    };
    let mut chart_gives = template(&[]);
    let kubectl = cluster.program("kubectl");
    let mut kustomize_gives = objects(&output_of(
        Command::new(kubectl).args(["kustomize", &folder("deploy")]),
    ));

    // Helm creates the namespace itself, and keeps the store when the release is removed.
    let namespace = ("Namespace".to_owned(), String::new(), "nanoseg".to_owned());
    assert!(kustomize_gives.remove(&namespace).is_some());
    let claim = (
        "PersistentVolumeClaim".to_owned(),
        "nanoseg".to_owned(),
        "nanoseg-store".to_owned(),
    );
    let claim = chart_gives.get_mut(&claim).expect("the claim");
    let kept = claim["metadata"]
        .as_object_mut()
        .expect("metadata")
        .remove("annotations");
    assert_eq!(kept, Some(json!({"helm.sh/resource-policy": "keep"})));
    assert_eq!(
        chart_gives.keys().collect::<Vec<_>>(),
        kustomize_gives.keys().collect::<Vec<_>>()
    );
    for (key, object) in &chart_gives {
        assert_eq!(object, &kustomize_gives[key], "{key:?}");
    }

    // Every value gives objects that the API server accepts.
    let _installed = Installation::make(cluster);
    let choices: [&[&str]; 3] = [
        &["--set", "tls.mode=generated"],
        &[
            "--set",
            "gitops.enabled=true,controller.spread=true,controller.retention=48h,controller.serviceEnforcement=before-translation",
        ],
        &[
            "--set",
            "storage.existingClaim=mine,image.digest=sha256:0000000000000000000000000000000000000000000000000000000000000000",
        ],
    ];
    for choice in choices {
        let all: Vec<Value> = template(choice).into_values().collect();
        let list = json!({"apiVersion": "v1", "kind": "List", "items": all});
        let file = cluster.path(&format!("{}.json", cluster.name("chart")));
        std::fs::write(&file, list.to_string()).expect("a file");
        let file = file.to_str().expect("a path");
        let applied = cluster.kubectl(&[
            "apply",
            "--server-side",
            "--force-conflicts",
            "--dry-run=server",
            "-f",
            file,
        ]);
        assert!(applied.status.success(), "{choice:?}: {applied:?}");
    }
    let wrong = helm()
        .args(["template", "nanoseg", &chart, "--set", "tls.mode=none"])
        .output();
    assert!(!wrong.expect("it starts").status.success());
}
