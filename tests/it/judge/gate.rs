//! `diff` as a gate for pull requests: a policy that it cannot evaluate does not pass silently.

use super::{NARROW, files, run};
use std::fs;

/// A policy of which a field is not judged.
const CILIUM: &str = "
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: all, namespace: shop}
spec: {endpointSelector: {matchLabels: {app: none}}, ingress: [{fromGroups: [{aws: {region: world}}]}]}
";

/// One policy of each other known kind, of which nothing can be judged.
const OTHERS: &str = "
apiVersion: cilium.io/v2
kind: CiliumClusterwideNetworkPolicy
metadata: {name: a}
specs: [{endpointSelector: {}, phase: new}]
---
apiVersion: policy.networking.k8s.io/v1alpha1
kind: AdminNetworkPolicy
metadata: {name: b}
---
apiVersion: policy.networking.k8s.io/v1alpha1
kind: BaselineAdminNetworkPolicy
metadata: {name: default}
---
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: c}
---
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec: {selector: 'app = db'}
---
apiVersion: crd.antrea.io/v1beta1
kind: NetworkPolicy
metadata: {name: d, namespace: shop}
spec: {priority: 5}
";

/// Web calls db on 5432 only, by a policy of Cilium; nobody may call web, by one of an administrator.
const JUDGED: &str = "
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: web, namespace: shop}
spec: {endpointSelector: {matchLabels: {app: web}}, egress: [{toEndpoints: [{matchLabels: {app: db}}],
  toPorts: [{ports: [{port: '5432', protocol: TCP}]}]}]}
---
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: guard}
spec: {tier: Admin, priority: 1, subject: {pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: web}}}},
  ingress: [{action: Deny, from: [{namespaces: {}}]}]}
";

/// The files of all tests in this file, and these policies of other kinds.
fn gate() -> tempfile::TempDir {
    let files = files();
    let write =
        |name: &str, text: String| fs::write(files.path().join(name), text).expect("a file");
    write("cilium.yaml", format!("{NARROW}---{CILIUM}"));
    write(
        "other.yaml",
        format!("{NARROW}---{}", CILIUM.replace("world", "cluster")),
    );
    write("all.yaml", format!("{NARROW}---{CILIUM}---{OTHERS}"));
    files
}

#[test]
fn a_changed_policy_of_another_kind_is_not_evaluated_and_does_not_pass() {
    let files = gate();
    let diff = |a: &str, b: &str, more: &[&str]| {
        let sets = ["diff", a, b, "--cluster", "pods.yaml"];
        run(files.path(), &[&sets, more].concat())
    };
    let added = diff("narrow.yaml", "cilium.yaml", &[]);
    assert_eq!(
        added.stdout,
        "? CiliumNetworkPolicy shop/all is added: not judged (spec.ingress[0].fromGroups is not judged)\n"
    );
    assert_eq!(added.code, Some(1), "{}", added.stderr);
    assert!(
        added
            .stderr
            .contains("note: not judged: CiliumNetworkPolicy shop/all in cilium.yaml"),
        "{}",
        added.stderr
    );
    assert!(
        added.stderr.contains("0 opened, 0 closed, 1 not judged"),
        "{}",
        added.stderr
    );
    for (fails, code) in [("any", 1), ("closed", 1), ("never", 0)] {
        let more = ["--fail-on", fails];
        let run = diff("narrow.yaml", "cilium.yaml", &more);
        assert_eq!(run.code, Some(code), "{fails}");
    }
    let changed = diff("cilium.yaml", "other.yaml", &["-o", "json"]);
    let json: serde_json::Value = serde_json::from_str(&changed.stdout).expect("JSON");
    assert_eq!(
        json["notJudged"],
        serde_json::json!([{
            "kind": "CiliumNetworkPolicy", "policy": "shop/all", "way": "changed", "file": "other.yaml",
            "fields": ["spec.ingress[0].fromGroups is not judged"]
        }])
    );
    assert_eq!(changed.code, Some(1));
}

#[test]
fn policies_that_are_not_evaluated_are_listed_in_every_format_if_they_differ() {
    let files = gate();
    let diff = |a: &str, b: &str, more: &[&str]| {
        let sets = ["diff", a, b, "--cluster", "pods.yaml"];
        run(files.path(), &[&sets, more].concat())
    };
    let gone = diff("all.yaml", "cilium.yaml", &["-o", "markdown"]);
    assert_eq!(gone.code, Some(1));
    assert!(gone.stdout.contains("**Not known**"), "{}", gone.stdout);
    for kind in [
        "CiliumClusterwideNetworkPolicy",
        "| AdminNetworkPolicy",
        "BaselineAdminNetworkPolicy",
        "| ClusterNetworkPolicy",
        "| NetworkPolicy.crd.antrea.io",
    ] {
        assert!(gone.stdout.contains(kind), "{kind}: {}", gone.stdout);
    }
    assert_eq!(
        gone.stdout.matches("| removed |").count(),
        6,
        "{}",
        gone.stdout
    );
    let sarif = diff("narrow.yaml", "cilium.yaml", &["-o", "sarif"]);
    assert!(sarif.stdout.contains("\"ruleId\": \"policy-not-judged\""));
    assert!(sarif.stdout.contains("cilium.yaml"), "{}", sarif.stdout);
    let same = diff("cilium.yaml", "cilium.yaml", &[]);
    assert_eq!((same.code, same.stdout.as_str()), (Some(0), ""));
    // Compared with the cluster, which has it already.
    let applied = run(
        files.path(),
        &[
            "diff",
            "cluster",
            "cilium.yaml",
            "--cluster",
            "pods.yaml",
            "cilium.yaml",
        ],
    );
    assert_eq!((applied.code, applied.stdout.as_str()), (Some(0), ""));
    let explained = run(
        files.path(),
        &[
            "explain",
            "shop/web",
            "shop/db",
            "5432",
            "--cluster",
            "pods.yaml",
            "all.yaml",
        ],
    );
    assert!(
        explained
            .stderr
            .contains("note: not judged: Calico's NetworkPolicy shop/db in all.yaml"),
        "{}",
        explained.stderr
    );
}

#[test]
fn policies_of_other_kinds_are_compared_by_what_they_allow() {
    let files = files();
    let write = |name: &str, text: &str| fs::write(files.path().join(name), text).expect("a file");
    write("judged.yaml", &format!("{NARROW}---{JUDGED}"));
    write(
        "wider.yaml",
        &format!(
            "{NARROW}---{}",
            JUDGED.replace("'5432'", "'0'").replace("Deny", "Pass")
        ),
    );
    let diff = |a: &str, b: &str| run(files.path(), &["diff", a, b, "--cluster", "pods.yaml"]);
    let added = diff("narrow.yaml", "judged.yaml");
    assert_eq!(added.code, Some(0), "{}{}", added.stdout, added.stderr);
    assert!(
        added.stdout.lines().all(|line| line.starts_with("- ")),
        "{}",
        added.stdout
    );
    assert!(!added.stdout.is_empty());
    let wider = diff("judged.yaml", "wider.yaml");
    assert_eq!(wider.code, Some(1), "{}{}", wider.stdout, wider.stderr);
    let same = diff("judged.yaml", "judged.yaml");
    assert_eq!((same.code, same.stdout.as_str()), (Some(0), ""));
    let explain = |port: &str| {
        let question = [
            "explain",
            "shop/web",
            "shop/db",
            port,
            "--cluster",
            "pods.yaml",
            "judged.yaml",
        ];
        run(files.path(), &question)
    };
    let denied = explain("80");
    assert_eq!(denied.code, Some(1));
    assert!(
        denied
            .stdout
            .contains("closed by CiliumNetworkPolicy shop/web: no rule allows it"),
        "{}",
        denied.stdout
    );
    let allowed = explain("5432");
    assert!(
        allowed
            .stdout
            .contains("allowed by CiliumNetworkPolicy shop/web, spec.egress[0]"),
        "{}",
        allowed.stdout
    );
}

#[test]
fn a_new_rule_that_matches_no_pod_is_reported() {
    let files = files();
    let later =
        format!("{NARROW}    - from: [{{namespaceSelector: {{matchLabels: {{team: later}}}}}}]\n");
    fs::write(files.path().join("later.yaml"), later).expect("a file");
    let diff = |a: &str, b: &str| run(files.path(), &["diff", a, b, "--cluster", "pods.yaml"]);
    let found = diff("narrow.yaml", "later.yaml");
    assert_eq!((found.code, found.stdout.as_str()), (Some(0), ""));
    assert!(
        found.stderr.contains(
            "note: shop/db, spec.ingress[1] is for pods or namespaces that do not exist now"
        ),
        "{}",
        found.stderr
    );
    assert!(
        !found.stderr.contains("spec.ingress[0]"),
        "{}",
        found.stderr
    );
    let known = diff("later.yaml", "later.yaml");
    assert_eq!(known.stderr, "0 opened, 0 closed\n");
}

#[test]
fn the_first_and_the_last_policy_of_a_repository_can_be_compared() {
    let files = files();
    for name in ["none", "some"] {
        fs::create_dir(files.path().join(name)).expect("a folder");
    }
    fs::write(files.path().join("none/README.md"), "later").expect("a file");
    fs::write(files.path().join("some/db.yaml"), NARROW).expect("a file");
    let diff = |a: &str, b: &str| run(files.path(), &["diff", a, b, "--cluster", "pods.yaml"]);
    let first = diff("none", "some");
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    assert!(first.stdout.lines().all(|line| line.starts_with("- ")));
    assert!(
        first.stderr.contains("note: no policies in none"),
        "{}",
        first.stderr
    );
    let last = diff("some", "none");
    assert_eq!(last.code, Some(1), "{}", last.stderr);
    assert!(last.stdout.starts_with("+ "), "{}", last.stdout);
    let nowhere = diff("nowhere", "some");
    assert_eq!(nowhere.code, Some(2));
    assert!(nowhere.stderr.contains("nowhere"), "{}", nowhere.stderr);
}

#[test]
fn verify_does_not_pass_where_it_is_not_known_what_a_policy_opens_and_closes() {
    let files = gate();
    let flow = r#"{"client": "203.0.113.7", "server": "203.0.113.8", "port": 80, "protocol": "TCP", "time": "2026-03-02T10:00:00Z", "connections": 1}"#;
    fs::write(files.path().join("flows.jsonl"), format!("{flow}\n")).expect("a file");
    let names = "
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: names, namespace: shop}
spec: {endpointSelector: {matchLabels: {app: none}}, egress: [{toFQDNs: [{matchName: a.example}]}]}
";
    fs::write(
        files.path().join("names.yaml"),
        format!("{NARROW}---{names}"),
    )
    .expect("a file");
    let verify = |policies: &str| {
        let inputs = ["verify", "--flows", "flows.jsonl", "--cluster", "pods.yaml"];
        run(
            files.path(),
            &[&inputs[..], &["--policies", policies]].concat(),
        )
    };
    assert_eq!(verify("narrow.yaml").code, Some(0));
    let unknown = verify("cilium.yaml");
    assert_eq!(unknown.code, Some(1), "{}", unknown.stderr);
    assert!(
        unknown
            .stderr
            .contains("not judged: CiliumNetworkPolicy shop/all")
    );
    let in_part = verify("names.yaml");
    assert_eq!(in_part.code, Some(0), "{}", in_part.stderr);
    let said = "judged in part: CiliumNetworkPolicy shop/names";
    assert!(in_part.stderr.contains(said), "{}", in_part.stderr);
}
