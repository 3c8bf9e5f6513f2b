//! The operator's commands on a real API server, with the rights and the admission policies of deploy/.

pub mod shop;

use crate::story::people::{Said, nanoseg};
use crate::support::kubernetes::{Cluster, PATIENCE, until};
use ::nanoseg::review::resources::{PolicyProposal, ProposalDecision, Verb};
use serde_json::{Value, json};
use shop::{Shop, proposal};
use std::path::Path;
use std::process::Command;

fn json_of(said: &Said) -> Value {
    assert_eq!(said.code, 0, "{}", said.stderr);
    serde_json::from_str(&said.stdout).unwrap_or_else(|e| panic!("{e}: {}", said.stdout))
}

/// Returns the cells of a table's lines.
fn cells(table: &str) -> Vec<Vec<&str>> {
    let lines = table.lines();
    lines
        .map(|line| line.split_whitespace().collect())
        .collect()
}

#[test]
fn status_shows_the_state_of_a_namespace_and_what_needs_attention() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let shop = Shop::make(cluster);
    let status = |who: &Path, more: &[&str]| {
        nanoseg(who, &[&["status", "-n", &shop.namespace], more].concat())
    };
    let before = status(&shop.vera, &[]);
    assert_eq!((before.code, before.stdout.as_str()), (0, ""));
    assert!(
        before.stderr.contains("no Segmentation in namespace"),
        "{}",
        before.stderr
    );
    shop.segment();
    let said = status(&shop.vera, &[]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let lines = cells(&said.stdout);
    assert_eq!(
        lines[1],
        [
            &shop.namespace,
            "Enforce",
            "97",
            "%",
            "4",
            "2",
            "2",
            "1",
            "0",
            "1"
        ]
    );
    assert!(
        said.stdout
            .ends_with("  Degraded=True: shop/web was rolled back\n"),
        "{}",
        said.stdout
    );
    assert!(!said.stdout.contains('\x1b'), "{:?}", said.stdout);

    // Break-glass is shown first to users who may read namespaces.
    let annotate = [
        "nanoseg.dev/break-glass=checkout is down",
        "nanoseg.dev/break-glass-by=admin",
    ];
    let place = ["annotate", "namespace", &shop.namespace];
    let done = cluster.kubectl(&[&place[..], &annotate].concat());
    assert!(done.status.success(), "{done:?}");
    let rows = json_of(&status(cluster.kubeconfig(), &["-o", "json"]));
    assert_eq!(rows[0]["mode"], "Enforce");
    assert_eq!(
        rows[0]["attention"],
        json!([
            "break-glass: checkout is down",
            "Degraded=True: shop/web was rolled back"
        ])
    );

    let nobody = nanoseg(&cluster.kubeconfig_as("nobody", &[]), &["status", "-A"]);
    assert_eq!((nobody.code, nobody.stdout.as_str()), (2, ""));
    assert!(
        nobody.stderr.contains("not permitted") && nobody.stderr.contains("nanoseg-viewer"),
        "{}",
        nobody.stderr
    );
}

#[test]
fn proposals_and_reviews_show_what_a_decision_needs() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let shop = Shop::make(cluster);
    shop.propose("web-1", &proposal("low", "1"), json!({"phase": "Pending"}));
    shop.propose("web-2", &proposal("high", "2"), json!({"phase": "Pending"}));
    shop.propose("web-3", &proposal("low", "3"), json!({"phase": "Rejected"}));
    let vera =
        |command: &[&str]| nanoseg(&shop.vera, &[command, &["-n", &shop.namespace]].concat());
    let shown = vera(&["proposals"]).stdout;
    let (table, legend) = shown.split_once("\n\n").expect("a legend");
    assert!(legend.contains("OPENS, CLOSES  connections"), "{legend}");
    let lines = cells(table);
    assert_eq!(lines.len(), 3, "{table}");
    assert_eq!(
        lines[1][..8],
        [
            "web-2",
            "deployment/web",
            "Pending",
            "high",
            "1",
            "0",
            "1",
            "97"
        ]
    );
    assert_eq!(lines[2][0], "web-1", "the riskiest first");
    let all = json_of(&vera(&["proposals", "--phase", "all", "-o", "json"]));
    assert_eq!(all.as_array().map(Vec::len), Some(3));
    assert_eq!(all[0]["revision"], format!("sha256:{}", "2".repeat(64)));

    let review = vera(&["review", "web-2"]);
    assert_eq!(review.code, 0, "{}", review.stderr);
    assert_eq!(
        review.stdout,
        REVIEW.replace("NAMESPACE", &shop.namespace),
        "{}",
        review.stdout
    );
    let object = json_of(&vera(&["review", "web-2", "-o", "json"]));
    assert_eq!(object["spec"]["review"]["gained"][0]["client"], "shop/api");
    assert_eq!(object["metadata"]["managedFields"], Value::Null);
    let missing = vera(&["review", "web-9"]);
    assert_eq!((missing.code, missing.stdout.as_str()), (2, ""));
    assert!(missing.stderr.contains("web-9"), "{}", missing.stderr);

    let Some(shown) = on_a_terminal(&shop, &["review", "web-2"]) else {
        return;
    };
    assert!(
        shown.contains("page:") && shown.contains("\x1b[32m  + shop/api → shop/web on TCP 8080"),
        "{shown:?}"
    );
    let plain = on_a_terminal(&shop, &["review", "web-2", "--no-pager"]);
    assert!(plain.is_some_and(|shown| !shown.contains("page:")));
}

/// Returns what Vera sees on a terminal, where pages begin with `page:`. Returns `None` without util-linux's `script`.
fn on_a_terminal(shop: &Shop, arguments: &[&str]) -> Option<String> {
    let arguments = arguments.join(" ");
    let line = format!(
        "stty rows 20; {} {arguments} -n {}",
        env!("CARGO_BIN_EXE_nanoseg"),
        shop.namespace
    );
    let run = Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        .env("KUBECONFIG", &shop.vera)
        .env("PAGER", "sed s/^/page:/")
        .env_remove("NO_COLOR")
        .stdin(std::process::Stdio::null())
        .output();
    match run {
        Ok(output) => Some(String::from_utf8_lossy(&output.stdout).into_owned()),
        Err(_) => {
            eprintln!("skipped: needs script (util-linux)");
            None
        }
    }
}

/// Returns what Vera sees of web-2 without a terminal.
const REVIEW: &str = include_str!("operator/review.txt");

/// Checks that `decision` is about the present revision of `proposal`, and made by rosa.
fn assert_decides(
    decision: &ProposalDecision,
    proposal: &PolicyProposal,
    verb: Verb,
    reason: &str,
) {
    let spec = &decision.spec;
    assert_eq!(Some(&spec.proposal_uid), proposal.metadata.uid.as_ref());
    assert_eq!(spec.revision, proposal.spec.review.revision);
    assert_eq!(
        (
            spec.decision,
            spec.reason.as_str(),
            spec.decided_by.as_str()
        ),
        (verb, reason, "rosa")
    );
}

#[test]
fn a_decision_names_exactly_the_present_revision() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let shop = Shop::make(cluster);
    shop.segment();
    let first = shop.propose("web-1", &proposal("low", "1"), json!({"phase": "Pending"}));
    let second = shop.propose("web-2", &proposal("high", "2"), json!({"phase": "Pending"}));
    let decide = |who: &Path, command: &[&str]| {
        let more = ["-n", &shop.namespace, "--yes", "--wait", "0s"];
        nanoseg(who, &[command, &more].concat())
    };
    let vera = decide(&shop.vera, &["approve", "web-1", "--reason", "mine"]);
    assert_eq!(vera.code, 2, "{vera:?}");
    assert!(
        vera.stderr.contains("as vera: not permitted") && vera.stderr.contains("nanoseg-operator"),
        "{}",
        vera.stderr
    );
    let pin = [
        "approve",
        "web-1",
        "--reason",
        "r",
        "--revision",
        "sha256:99999999",
    ];
    let other = decide(&shop.rosa, &pin);
    assert_eq!(other.code, 1, "{other:?}");
    assert!(other.stderr.contains("review it again"), "{}", other.stderr);
    assert!(shop.decisions("web-1").is_empty());

    let approved = decide(
        &shop.rosa,
        &[
            "approve",
            "--all",
            "--risk",
            "low",
            "--reason",
            "weekly round",
        ],
    );
    assert_eq!(approved.code, 0, "{}", approved.stderr);
    assert!(
        approved
            .stdout
            .contains("  + shop/api → shop/web on TCP 8080\n"),
        "{}",
        approved.stdout
    );
    let made = shop.decisions("web-1");
    assert_eq!(made.len(), 1);
    assert_decides(&made[0], &first, Verb::Approve, "weekly round");
    assert!(shop.decisions("web-2").is_empty(), "its risk is high");

    let rejected = decide(&shop.rosa, &["reject", "web-2", "--reason", "no"]);
    assert_eq!(rejected.code, 0, "{}", rejected.stderr);
    let made = shop.decisions("web-2");
    assert_eq!(made.len(), 1);
    assert_decides(&made[0], &second, Verb::Reject, "no");
}

#[test]
fn a_decision_without_an_answer_of_the_controller_is_reported() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let shop = Shop::make(cluster);
    shop.segment();
    shop.propose("web-1", &proposal("low", "1"), json!({"phase": "Pending"}));
    let said = nanoseg(
        &shop.rosa,
        &[
            "approve",
            "web-1",
            "--reason",
            "r",
            "-n",
            &shop.namespace,
            "--yes",
            "--wait",
            "1s",
        ],
    );
    assert_eq!(said.code, 1, "{said:?}");
    assert!(
        said.stderr.contains("no controller answered it within 1 s"),
        "{}",
        said.stderr
    );
    assert_eq!(shop.decisions("web-1").len(), 1);
}

#[test]
fn rollback_undoes_the_approval_after_the_wanted_revision() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let shop = Shop::make(cluster);
    let applied = |phase: &str, revision: u32| json!({"phase": phase, "appliedRevision": revision});
    let first = shop.propose("web-1", &proposal("low", "1"), applied("Superseded", 1));
    let second = shop.propose("web-2", &proposal("low", "2"), applied("Applied", 2));
    let rollback = |who: &Path, more: &[&str]| {
        let fixed = ["rollback", "-n", &shop.namespace, "--yes", "--wait", "0s"];
        nanoseg(
            who,
            &[&fixed[..], &["--reason", "checkout fails"], more].concat(),
        )
    };
    let vera = rollback(&shop.vera, &["web"]);
    assert_eq!(vera.code, 2, "{vera:?}");
    assert!(vera.stderr.contains("not permitted"), "{}", vera.stderr);
    let unknown = rollback(&shop.rosa, &["web", "--to", "7"]);
    assert_eq!(unknown.code, 2, "{unknown:?}");
    assert!(
        unknown.stderr.contains("web has no revision 7"),
        "{}",
        unknown.stderr
    );
    let last = rollback(&shop.rosa, &["web"]);
    assert_eq!(last.code, 0, "{}", last.stderr);
    let made = shop.decisions("web-2");
    assert_eq!(made.len(), 1);
    assert_decides(&made[0], &second, Verb::Rollback, "checkout fails");
    let all = rollback(&shop.rosa, &["deployment/web", "--to", "none"]);
    assert_eq!(all.code, 0, "{}", all.stderr);
    let made = shop.decisions("web-1");
    assert_eq!(made.len(), 1);
    assert_decides(&made[0], &first, Verb::Rollback, "checkout fails");
    let whole = ["--namespace-wide", "--to-time", "2020-01-01T00:00:00Z"];
    let whole = rollback(&shop.rosa, &whole);
    assert_eq!(whole.code, 0, "{}", whole.stderr);
    assert_eq!(
        (shop.decisions("web-1").len(), shop.decisions("web-2").len()),
        (2, 1),
        "the earliest approval after that time is undone, and with it the later"
    );
}

const WORKLOADS: &str = "
apiVersion: v1
kind: List
items:
  - apiVersion: apps/v1
    kind: Deployment
    metadata: {name: web}
    spec:
      selector: {matchLabels: {app: web}}
      template:
        metadata: {labels: {app: web}}
        spec: {containers: [{name: web, image: example.org/web:1}]}
  - apiVersion: apps/v1
    kind: Deployment
    metadata: {name: db}
    spec:
      selector: {matchLabels: {app: db}}
      template:
        metadata: {labels: {app: db}}
        spec: {containers: [{name: db, image: example.org/db:1}]}
";

/// A policy that allows only web to call db on a port.
fn policy(namespace: &str, port: u16) -> String {
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "nanoseg-db", "namespace": namespace,
                     "labels": {"app.kubernetes.io/managed-by": "nanoseg"}},
        "spec": {
            "podSelector": {"matchLabels": {"app": "db"}},
            "policyTypes": ["Ingress"],
            "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "web"}}}],
                         "ports": [{"port": port, "protocol": "TCP"}]}],
        },
    })
    .to_string()
}

#[test]
fn explain_and_diff_use_the_policies_of_the_cluster() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let namespace = cluster.namespace("explain");
    cluster.apply(&namespace, WORKLOADS);
    cluster.apply(&namespace, &policy(&namespace, 5432));
    let admin = |command: &[&str]| {
        nanoseg(
            cluster.kubeconfig(),
            &[command, &["-n", &namespace]].concat(),
        )
    };
    cluster.run(until(PATIENCE, "the pods are made", async || {
        let said = admin(&["explain", "web", "db", "5432"]);
        (said.code == 0).then_some(()).ok_or(said.stderr)
    }));
    let allowed = admin(&["explain", "web", "db", "5432"]).stdout;
    let rule = format!("allowed by {namespace}/nanoseg-db, spec.ingress[0]");
    assert!(allowed.contains(&rule), "{allowed}");
    let closed = admin(&["explain", "web", "db", "80", "-o", "json"]);
    assert_eq!(closed.code, 1, "{}", closed.stderr);
    let closed: Value = serde_json::from_str(&closed.stdout).expect("JSON");
    assert_eq!(closed["allowed"], false);

    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("new.yaml");
    std::fs::write(&file, policy(&namespace, 5433)).expect("a file");
    let file = file.to_str().expect("a path");
    let diff = nanoseg(cluster.kubeconfig(), &["diff", "cluster", file]);
    assert_eq!(diff.code, 1, "{}", diff.stderr);
    // The file has no policies of other namespaces, in which other tests may have some.
    let is_ours = |line: &&str| line.matches(&format!("{namespace}/")).count() == 2;
    let ours: Vec<&str> = diff.stdout.lines().filter(is_ours).collect();
    let change = |sign, port| format!("{sign} {namespace}/web => {namespace}/db : TCP {port}");
    assert_eq!(ours, [change("+", 5433), change("-", 5432)]);

    let nobody = cluster.kubeconfig_as("nobody", &[]);
    let refused = nanoseg(&nobody, &["explain", "a/web", "a/db", "80"]);
    assert_eq!((refused.code, refused.stdout.as_str()), (2, ""));
    assert!(
        refused.stderr.contains("--cluster"),
        "says what helps: {}",
        refused.stderr
    );
}

#[test]
fn kubectl_finds_nanoseg_as_a_plugin() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let shop = Shop::make(cluster);
    shop.segment();
    shop.propose("web-1", &proposal("low", "1"), json!({"phase": "Pending"}));
    let folder = tempfile::tempdir().expect("a folder");
    let link = folder.path().join("kubectl-nanoseg");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_nanoseg"), link).expect("a link");
    let path = std::env::var("PATH").expect("PATH");
    let kubectl = |arguments: &[&str]| {
        let output = Command::new(cluster.program("kubectl"))
            .arg("nanoseg")
            .args(arguments)
            .env("PATH", format!("{}:{path}", folder.path().display()))
            .env("KUBECONFIG", &shop.rosa)
            .output()
            .expect("kubectl starts");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Said {
            code: output.status.code().unwrap_or(-1),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    };
    let status = kubectl(&["status", "-n", &shop.namespace]);
    assert_eq!(status.code, 0, "{}", status.stderr);
    assert!(status.stdout.contains("Enforce"), "{}", status.stdout);
    let review = kubectl(&["review", "web-1", "-n", &shop.namespace]);
    let next = format!("  kubectl nanoseg approve web-1 -n {}", shop.namespace);
    assert!(review.stdout.contains(&next), "{}", review.stdout);
    let help = kubectl(&["approve", "--help"]);
    assert!(
        help.stdout.contains("Usage: kubectl nanoseg approve"),
        "{}",
        help.stdout
    );
    let wrong = kubectl(&["approve"]);
    assert_ne!(wrong.code, 0);
    assert!(
        wrong.stderr.contains("Usage: kubectl nanoseg approve"),
        "{}",
        wrong.stderr
    );
}
