//! The admission policies of deploy/ against attackers: whoever has the controller's token, an operator's rights, or the
//! right to edit a namespace.

use crate::install::{create, user};
use crate::story::install::Installation;
use crate::support::kubernetes::{Cluster, PATIENCE, until};
use serde_json::{Value, json};
use std::path::Path;

/// Runs kubectl as somebody. Returns `Err` with what it said if that was refused.
fn kubectl(cluster: &Cluster, who: &Path, words: &[&str]) -> Result<(), String> {
    let output = cluster.kubectl_of(who, words);
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}

fn refused(said: Result<(), String>, why: &str) {
    assert!(
        said.as_ref().is_err_and(|said| said.contains(why)),
        "{why}: {said:?}"
    );
}

/// Waits until a request is refused: the API server takes a moment to compile the policies.
fn until_refused(
    cluster: &'static Cluster,
    what: &str,
    mut ask: impl FnMut() -> Result<(), String>,
) -> String {
    cluster.run(until(PATIENCE, what, async || match ask() {
        Ok(()) => Err("it was let through".to_owned()),
        Err(refusal) => Ok(refusal),
    }))
}

fn policy(namespace: &str, name: &str, is_ours: bool) -> Value {
    let labels = if is_ours {
        json!({
            "app.kubernetes.io/managed-by": "nanoseg",
            "nanoseg.dev/written-by": "controller",
        })
    } else {
        json!({})
    };
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"namespace": namespace, "name": name, "labels": labels},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
    })
}

fn segmentation(namespace: &str, by: &str, mut spec: Value) -> Value {
    spec["changedBy"] = by.into();
    json!({
        "apiVersion": "nanoseg.dev/v1alpha1",
        "kind": "Segmentation",
        "metadata": {"namespace": namespace, "name": "default"},
        "spec": spec,
    })
}

#[test]
fn the_controllers_token_changes_only_its_own_policies_and_only_where_they_are_enforced() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let _installed = Installation::make(cluster);
    let stolen = cluster.service_account_kubeconfig("nanoseg", "nanoseg-controller");
    let admin = cluster.kubeconfig();
    let enforced = cluster.namespace("enforced");
    let watched = cluster.namespace("watched");
    let untouched = cluster.namespace("untouched");
    for (namespace, mode) in [(&enforced, "Enforce"), (&watched, "Propose")] {
        let object = segmentation(namespace, "admin", json!({"mode": mode}));
        create(cluster, admin, &object).expect("it is segmented");
    }
    for namespace in [&enforced, &untouched] {
        create(cluster, admin, &policy(namespace, "theirs", false)).expect("a policy of others");
    }
    let theirs = |verb: &str| -> Vec<String> {
        [verb, "networkpolicy", "theirs", "-n", &untouched]
            .map(str::to_owned)
            .to_vec()
    };
    let run = |words: Vec<String>| {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        kubectl(cluster, &stolen, &words)
    };
    let mut number = 0;
    let said = until_refused(cluster, "a policy without the label is refused", || {
        number += 1;
        create(
            cluster,
            &stolen,
            &policy(&enforced, &format!("mine-{number}"), false),
        )
        .map(drop)
    });
    let label = "app.kubernetes.io/managed-by=nanoseg";
    let written = "nanoseg.dev/written-by=controller";
    assert!(said.contains(label) || said.contains(written), "{said}");
    until_refused(
        cluster,
        "a namespace that is not enforced is refused",
        || {
            number += 1;
            create(
                cluster,
                &stolen,
                &policy(&untouched, &format!("ours-{number}"), true),
            )
            .map(drop)
        },
    );

    // Its own, where the Segmentation enforces them: what it is there for.
    let own = cluster.run(until(PATIENCE, "its own is accepted", async || {
        create(cluster, &stolen, &policy(&enforced, "own", true))
    }));
    assert!(own.contains("created"), "{own}");
    // Nowhere else: not where it only proposes, and not where nobody segments, such as kube-system.
    for namespace in [&watched, &untouched, &"kube-system".to_owned()] {
        let said = create(cluster, &stolen, &policy(namespace, "own", true)).map(drop);
        assert!(said.is_err(), "{namespace}: {said:?}");
    }
    let mut unnamed = policy(&untouched, "unnamed", true);
    unnamed["metadata"]["labels"] = json!({"app.kubernetes.io/managed-by": "nanoseg"});
    refused(create(cluster, &stolen, &unnamed).map(drop), written);
    // People apply generated policies wherever they may.
    create(cluster, admin, &unnamed).expect("policies of nanoseg generate");
    // Others' policies are neither deleted nor changed nor taken over by the label.
    refused(run(theirs("delete")), label);
    let patch = |namespace: &str, name: &str, what: Value| {
        let what = what.to_string();
        let place = [
            "patch",
            "networkpolicy",
            name,
            "-n",
            namespace,
            "--type=merge",
        ];
        kubectl(cluster, &stolen, &[&place[..], &["-p", &what]].concat())
    };
    let spec = json!({"spec": {"ingress": [{}]}});
    refused(patch(&enforced, "theirs", spec.clone()), label);
    let taken = json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": "nanoseg"}}});
    refused(patch(&enforced, "theirs", taken), label);
    // The label cannot be laid down either: then the policy would stay for good.
    let laid_down = json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": null}}});
    refused(patch(&enforced, "own", laid_down), label);
    assert_eq!(patch(&enforced, "own", spec), Ok(()));
    // Everybody else goes on as before, and break-glass needs no Segmentation.
    let delete = |who: &Path, name: &str| {
        kubectl(
            cluster,
            who,
            &["delete", "networkpolicy", name, "-n", &enforced],
        )
    };
    assert_eq!(delete(admin, "theirs"), Ok(()));
    let gone = ["delete", "segmentation", "default", "-n", &enforced];
    assert_eq!(kubectl(cluster, admin, &gone), Ok(()));
    assert_eq!(delete(&stolen, "own"), Ok(()));
    // Other rights that it does not have.
    let all = ["delete", "networkpolicies", "--all", "-n", &untouched];
    assert!(kubectl(cluster, &stolen, &all).is_err());
    for words in [
        ["auth", "can-i", "deletecollection", "networkpolicies"],
        ["auth", "can-i", "update", "networkpolicies"],
        ["auth", "can-i", "delete", "configmaps/nanoseg-record"],
        ["auth", "can-i", "delete", "segmentations"],
    ] {
        assert!(kubectl(cluster, &stolen, &words).is_err(), "{words:?}");
    }
}

fn proposal(namespace: &str, is_ours: bool) -> Value {
    let labels = if is_ours {
        json!({"app.kubernetes.io/managed-by": "nanoseg"})
    } else {
        json!({})
    };
    json!({
        "apiVersion": "nanoseg.dev/v1alpha1",
        "kind": "PolicyProposal",
        "metadata": {"namespace": namespace, "name": "web-1", "labels": labels},
        "spec": {
            "workload": {"kind": "Deployment", "name": "web"},
            "policyName": "nanoseg-web",
            "policy": {"podSelector": {}, "policyTypes": ["Ingress"]},
            "review": {"revision": "sha256:0", "risk": "high"},
        },
    })
}

#[test]
fn nobody_else_holds_up_or_removes_a_proposal_or_a_decision_that_waits() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let _installed = Installation::make(cluster);
    let namespace = cluster.namespace("held");
    let controller = cluster.service_account_kubeconfig("nanoseg", "nanoseg-controller");
    let admin = cluster.kubeconfig();
    let mut number = 0;
    until_refused(cluster, "a proposal by hand", || {
        let mut forged = proposal(&namespace, true);
        number += 1;
        forged["metadata"]["name"] = format!("forged-{number}").into();
        create(cluster, admin, &forged).map(drop)
    });
    let unlabelled = create(cluster, &controller, &proposal(&namespace, false)).map(drop);
    refused(unlabelled, "app.kubernetes.io/managed-by=nanoseg");
    create(cluster, &controller, &proposal(&namespace, true)).expect("its own");
    let patch = |what: Value| {
        let what = what.to_string();
        let place = [
            "patch",
            "proposals",
            "web-1",
            "-n",
            &namespace,
            "--type=merge",
        ];
        kubectl(cluster, admin, &[&place[..], &["-p", &what]].concat())
    };
    let finalizer = json!({"metadata": {"finalizers": ["example.org/mine"]}});
    refused(patch(finalizer), "finalizers of a proposal");
    // The garbage collector deletes what belongs to something that is gone.
    let owner = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "0"});
    let owned = json!({"metadata": {"ownerReferences": [owner]}});
    refused(patch(owned), "owners and the managed-by label");
    let unlabelled = json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": null}}});
    refused(patch(unlabelled), "owners and the managed-by label");
    assert_eq!(
        patch(json!({"metadata": {"labels": {"team": "shop"}}})),
        Ok(())
    );
    let delete = |what: &[&str]| {
        kubectl(
            cluster,
            admin,
            &[&["delete", "-n", &*namespace], what].concat(),
        )
    };
    refused(
        delete(&["proposals", "web-1"]),
        "only the nanoseg controller deletes proposals",
    );
    refused(
        delete(&["proposals", "--all"]),
        "only the nanoseg controller deletes proposals",
    );

    decisions_that_wait_are_kept(cluster, &namespace);
    // The end of the namespace is the end of all of it.
    let gone = ["delete", "namespace", &namespace, "--timeout=60s"];
    assert_eq!(kubectl(cluster, admin, &gone), Ok(()));
}

fn decisions_that_wait_are_kept(cluster: &'static Cluster, namespace: &str) {
    let olga = user(cluster, namespace, "olga", "nanoseg-operator");
    let decision = |name: &str, finalizers: Value| {
        json!({
            "apiVersion": "nanoseg.dev/v1alpha1",
            "kind": "ProposalDecision",
            "metadata": {"namespace": namespace, "name": name, "finalizers": finalizers},
            "spec": {
                "proposal": "web-1",
                "proposalUid": "00000000-0000-0000-0000-000000000000",
                "revision": format!("sha256:{}", "0".repeat(64)),
                "decision": "Reject",
                "reason": "a test",
                "decidedBy": format!("olga-{namespace}"),
            },
        })
    };
    let held = create(
        cluster,
        &olga,
        &decision("held", json!(["example.org/mine"])),
    )
    .map(drop);
    refused(held, "a decision has no finalizers");
    create(cluster, &olga, &decision("no", json!([]))).expect("a decision");
    let delete = ["delete", "proposaldecision", "no", "-n", namespace];
    let said = kubectl(cluster, cluster.kubeconfig(), &delete);
    refused(said, "only who made it takes it back");
    let all = ["delete", "proposaldecisions", "--all", "-n", namespace];
    let said = kubectl(cluster, cluster.kubeconfig(), &all);
    refused(said, "only who made it takes it back");
    // Once the controller has answered, the record has it.
    let controller = cluster.service_account_kubeconfig("nanoseg", "nanoseg-controller");
    let answer = r#"{"status": {"outcome": "Refused"}}"#;
    let place = ["patch", "proposaldecision", "no", "-n", namespace];
    let answer = ["--subresource=status", "--type=merge", "-p", answer];
    let answered = kubectl(cluster, &controller, &[&place[..], &answer].concat());
    assert_eq!(answered, Ok(()));
    assert_eq!(kubectl(cluster, cluster.kubeconfig(), &delete), Ok(()));
}

#[test]
fn a_namespace_cannot_set_automatic_approval_beyond_the_ceilings_of_the_cluster() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let _installed = Installation::make(cluster);
    let namespace = cluster.namespace("ceilings");
    let olga = user(cluster, &namespace, "olga", "nanoseg-operator");
    let by = format!("olga-{namespace}");
    let segment =
        |spec: Value| create(cluster, &olga, &segmentation(&namespace, &by, spec)).map(drop);
    let automatic = |learning: Value, rules: Value| {
        json!({
            "mode": "Enforce",
            "learning": learning,
            "approval": {"mode": "Automatic", "automatic": rules},
        })
    };
    let everything = json!({
        "allowInternetEgress": true, "allowCrossNamespace": true, "allowWouldBlock": true,
        "allowDefaultDeny": true, "maxGained": 1_000_000,
    });
    let at_once = json!({"minimumDuration": "0s", "minimumCoverage": 0});
    let delete = || {
        let words = [
            "delete",
            "segmentation",
            "default",
            "-n",
            &namespace,
            "--ignore-not-found",
        ];
        kubectl(cluster, &olga, &words)
    };
    until_refused(cluster, "everything at once is refused", || {
        delete()?;
        segment(automatic(at_once.clone(), everything.clone()))
    });
    let cases = [
        (
            json!({"minimumDuration": "23h"}),
            json!({}),
            "spec.learning.minimumDuration is at least 24h",
        ),
        (
            json!({"minimumDuration": "1439m"}),
            json!({}),
            "at least 24h",
        ),
        (
            json!({"minimumCoverage": 79}),
            json!({}),
            "minimumCoverage is at least 80",
        ),
        (
            json!({}),
            json!({"maxGained": 101}),
            "maxGained is at most 100",
        ),
        (
            json!({}),
            json!({"allowInternetEgress": true}),
            "may not have allowInternetEgress",
        ),
        (
            json!({}),
            json!({"allowCrossNamespace": true}),
            "may not have allowCrossNamespace",
        ),
        (
            json!({}),
            json!({"allowWouldBlock": true}),
            "may not have allowWouldBlock",
        ),
        (
            json!({}),
            json!({"allowDefaultDeny": true}),
            "may not have allowDefaultDeny",
        ),
    ];
    for (learning, rules, why) in cases {
        refused(segment(automatic(learning, rules)), why);
    }
    // Where a person approves, the namespace learns as it likes; it cannot turn to Automatic from there.
    let manual = json!({"mode": "Enforce", "learning": at_once});
    assert_eq!(segment(manual), Ok(()));
    let patch = |what: &str| {
        let place = [
            "patch",
            "segmentation",
            "default",
            "-n",
            &namespace,
            "--type=merge",
            "-p",
            what,
        ];
        kubectl(cluster, &olga, &place)
    };
    let turned = patch(r#"{"spec": {"approval": {"mode": "Automatic"}}}"#);
    refused(turned, "minimumDuration is at least 24h");
    let within = r#"{"spec": {"approval": {"mode": "Automatic"}, "learning": {"minimumDuration": "1d", "minimumCoverage": 80}}}"#;
    assert_eq!(patch(within), Ok(()));
}
