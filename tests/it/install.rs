//! deploy/ on a real API server: the manifests are accepted, the controller works with the rights that they give, and
//! RBAC and the admission policies control decisions.

mod helm;

use crate::story::install::Installation;
use crate::support::kubernetes::{Cluster, PATIENCE, until};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

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

/// (rule: break-glass-role-does-nothing-else)
#[test]
fn who_may_break_the_glass_may_do_nothing_else_with_a_namespace() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let _installed = Installation::make(cluster);
    let namespace = cluster.namespace("glass");
    let other = cluster.namespace("other");
    let called = user(cluster, &namespace, "carla", "nanoseg-break-glass");
    let carla = format!("nanoseg.dev/break-glass-by=carla-{namespace}");
    let run = |words: &[&str]| -> Result<(), String> {
        let output = cluster.kubectl_of(&called, words);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        output.status.success().then_some(()).ok_or(said)
    };
    // Policies need some time to be in force.
    let mut number = 0;
    let refused = cluster.run(until(PATIENCE, "a label is refused", async || {
        number += 1;
        let label = format!("pod-security.kubernetes.io/warn-version=v1.{number}");
        match run(&["label", "--overwrite", "namespace", &namespace, &label]) {
            Err(refusal) => Ok(refusal),
            Ok(()) => Err("it was let through".to_owned()),
        }
    }));
    assert!(
        refused.contains("nothing of a namespace but its break-glass annotations"),
        "{refused}"
    );
    let annotate = ["annotate", "--overwrite", "namespace", &namespace];
    let glass = |words: &[&str]| run(&[&annotate[..], words].concat());
    glass(&["nanoseg.dev/break-glass=checkout is down", &carla]).expect("the glass breaks");
    glass(&["nanoseg.dev/break-glass-", &carla]).expect("and is mended");
    let forged = glass(&[
        "nanoseg.dev/break-glass=x",
        "nanoseg.dev/break-glass-by=olga",
    ]);
    assert!(forged.is_err_and(|said| said.contains("say who you are")));
    for wrong in [
        &["team=x"][..],
        &["nanoseg.dev/break-glass=x", &carla, "team=x"],
    ] {
        let said = glass(wrong).expect_err("another annotation");
        assert!(said.contains("changes no annotation but"), "{said}");
    }
    let finalizer = r#"{"metadata": {"finalizers": ["example.com/x"]}}"#;
    let said = run(&[
        "patch",
        "namespace",
        &namespace,
        "--type=merge",
        "-p",
        finalizer,
    ]);
    assert!(said.is_err_and(|said| said.contains("changes nothing of a namespace")));
    for wrong in [
        &["annotate", "namespace", &other, "nanoseg.dev/break-glass=x"][..],
        &["delete", "namespace", &namespace],
        &["get", "namespaces"],
        &["get", "pods", "-n", &namespace],
        &["delete", "networkpolicies", "--all", "-n", &namespace],
        &["get", "segmentations", "-n", &namespace],
    ] {
        let said = run(wrong).expect_err("no right");
        assert!(
            said.contains("forbidden") || said.contains("Forbidden"),
            "{wrong:?}: {said}"
        );
    }
    // An administrator is not looked at.
    let admin = cluster.kubectl(&["label", "namespace", &namespace, "team=shop"]);
    assert!(admin.status.success(), "{admin:?}");
}
