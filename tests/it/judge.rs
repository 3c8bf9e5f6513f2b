//! The commands that evaluate policies without a cluster: explain, diff, verify.

mod gate;
mod node_port;
mod translation;

use std::fs;
use std::path::Path;
use std::process::Command;

const PODS: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: web}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: db, namespace: shop}
spec:
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec: {containers: [{name: db, image: db}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: other}
spec:
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec: {containers: [{name: db, image: db}]}
";

const NARROW: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  policyTypes: [Ingress]
  ingress:
    - from: [{podSelector: {matchLabels: {app: web}}}]
      ports: [{port: 5432}]
";

/// The same as NARROW, and also from namespace other and on one more port.
const WIDE: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  policyTypes: [Ingress]
  ingress:
    - from:
        - podSelector: {matchExpressions: [{key: app, operator: In, values: [web]}]}
        - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: other}}
      ports: [{port: 5432, endPort: 5433}]
";

struct Run {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// Runs nanoseg in a folder with all of the above, without a reachable cluster.
fn run(folder: &Path, arguments: &[&str]) -> Run {
    let output = Command::new(env!("CARGO_BIN_EXE_nanoseg"))
        .args(arguments)
        .current_dir(folder)
        .env("KUBECONFIG", folder.join("no-kubeconfig"))
        .output()
        .expect("nanoseg runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    Run {
        code: output.status.code(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

fn files() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, text) in [
        ("pods.yaml", PODS),
        ("narrow.yaml", NARROW),
        ("wide.yaml", WIDE),
    ] {
        fs::write(folder.path().join(name), text).expect("a file");
    }
    folder
}

#[test]
fn explain_lists_the_rule_that_allows() {
    let files = files();
    let arguments = [
        "explain",
        "shop/web",
        "shop/db",
        "5432",
        "--cluster",
        "pods.yaml",
        "--policies",
        "narrow.yaml",
    ];
    let found = run(files.path(), &arguments);
    assert_eq!(
        found.stdout,
        "shop/web → shop/db on 5432/TCP: allowed\n\n  \
           out of  shop/web\n          open: no policy isolates it for egress\n  \
           into    shop/db\n          allowed by shop/db, spec.ingress[0]\n"
    );
    assert_eq!(found.code, Some(0), "{}", found.stderr);
}

#[test]
fn explain_lists_the_missing_rule_and_its_side() {
    let files = files();
    let arguments = [
        "explain",
        "-n",
        "shop",
        "web",
        "db",
        "80",
        "--cluster",
        "pods.yaml",
        "--policies",
        "narrow.yaml",
    ];
    let found = run(files.path(), &arguments);
    assert_eq!(
        found.stdout,
        "shop/web → shop/db on 80/TCP: not allowed\n\n  \
           out of  shop/web\n          open: no policy isolates it for egress\n  \
           into    shop/db\n          closed by shop/db: no rule allows it\n          \
           shop/db, spec.ingress[0] names shop/web, but on TCP 5432\n          \
           missing: an ingress rule for shop/web on 80/TCP in a policy that selects shop/db\n"
    );
    assert_eq!(found.code, Some(1), "{}", found.stderr);
}

#[test]
fn explain_lists_the_known_workloads_if_a_name_is_unknown() {
    let files = files();
    let found = run(
        files.path(),
        &[
            "explain",
            "shop/wed",
            "shop/db",
            "80",
            "--cluster",
            "pods.yaml",
        ],
    );
    assert_eq!(found.code, Some(2));
    assert!(
        found
            .stderr
            .contains("the workloads of namespace shop are db, web"),
        "{}",
        found.stderr
    );
    let found = run(files.path(), &["explain", "a", "b", "0/TCP"]);
    assert_eq!(found.code, Some(2));
    assert!(
        found.stderr.contains("write 8080, 53/UDP"),
        "{}",
        found.stderr
    );
}

#[test]
fn diff_lists_what_is_opened_and_closed_whatever_the_text() {
    let files = files();
    let pods = ["--cluster", "pods.yaml"];
    let opened = run(
        files.path(),
        &[&["diff", "narrow.yaml", "wide.yaml"], &pods[..]].concat(),
    );
    assert_eq!(
        opened.stdout,
        "+ other/db => shop/db : TCP 5432-5433\n+ shop/web => shop/db : TCP 5433\n"
    );
    assert_eq!(opened.code, Some(1));
    let closed = run(
        files.path(),
        &[&["diff", "wide.yaml", "narrow.yaml"], &pods[..]].concat(),
    );
    assert_eq!(
        closed.stdout,
        "- other/db => shop/db : TCP 5432-5433\n- shop/web => shop/db : TCP 5433\n"
    );
    assert_eq!(
        closed.code,
        Some(0),
        "by default only what is opened counts"
    );
    let any = ["diff", "wide.yaml", "narrow.yaml", "--fail-on", "any"];
    assert_eq!(run(files.path(), &[&any, &pods[..]].concat()).code, Some(1));
    let same = run(
        files.path(),
        &[
            "diff",
            "wide.yaml",
            "wide.yaml",
            "--cluster",
            "pods.yaml",
            "-o",
            "json",
        ],
    );
    let json: serde_json::Value = serde_json::from_str(&same.stdout).expect("JSON");
    assert_eq!(json, serde_json::json!({"opened": [], "closed": []}));
    assert_eq!(same.code, Some(0));
}

#[test]
fn diff_uses_the_pods_of_both_folders_and_reports_if_there_are_none() {
    let files = files();
    for (folder, policy) in [("old", NARROW), ("new", WIDE)] {
        let folder = files.path().join(folder);
        fs::create_dir(&folder).expect("a folder");
        fs::write(folder.join("all.yaml"), format!("{PODS}---{policy}")).expect("a file");
    }
    let found = run(files.path(), &["diff", "old", "new"]);
    assert_eq!(found.stdout.lines().count(), 2, "{}", found.stdout);
    let lonely = run(files.path(), &["diff", "narrow.yaml", "wide.yaml"]);
    assert_eq!(lonely.code, Some(2));
    assert!(lonely.stderr.contains("no-kubeconfig"), "{}", lonely.stderr);
}

fn sample(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    path.display().to_string()
}

#[test]
fn verify_finds_exactly_the_traffic_that_a_narrower_policy_would_block() {
    let files = files();
    let (captures, cluster) = (
        sample("samples/shop/captures"),
        sample("samples/shop/cluster.yaml"),
    );
    let policies = sample("policies-out/shop");
    let input = [
        "--capture",
        &captures,
        "--cluster",
        &cluster,
        "-n",
        "shop",
        "-o",
        "json",
    ];
    let verify = |policies: &str| {
        let found = run(
            files.path(),
            &[&["verify", "--policies", policies], &input[..]].concat(),
        );
        let json: serde_json::Value =
            serde_json::from_str(&found.stdout).unwrap_or_else(|_| panic!("{}", found.stderr));
        (found.code, json)
    };
    let (code, whole) = verify(&policies);
    assert_eq!(
        (code, &whole["wouldBlock"]),
        (Some(0), &serde_json::json!([]))
    );
    assert_eq!(whole["observed"], whole["allowed"]);
    assert_eq!(whole["unusedTotal"], 0);

    let folder = files.path().join("narrower");
    fs::create_dir(&folder).expect("a folder");
    for entry in fs::read_dir(&policies).expect("policies-out").flatten() {
        let text = fs::read_to_string(entry.path()).expect("a policy");
        let text = if entry.file_name() == "postgres.yaml" {
            text.replace("port: 5432", "port: 5433")
        } else {
            text
        };
        fs::write(folder.join(entry.file_name()), text).expect("a policy");
    }
    let (code, narrower) = verify("narrower");
    assert_eq!(code, Some(1));
    let blocked = narrower["wouldBlock"].as_array().expect("a list");
    let mut clients: Vec<&str> = blocked
        .iter()
        .filter_map(|one| one["client"].as_str())
        .collect();
    clients.sort_unstable();
    assert_eq!(clients, ["shop/app", "shop/batch"]);
    for one in blocked {
        assert_eq!(one["ports"], "TCP 5432");
        assert_eq!(one["by"], "blocked on ingress by shop/nanoseg-postgres");
        assert!(one["connections"].as_u64() > Some(0) && one["lastSeen"].is_string());
    }
}

/// Returns every result of a SARIF log: rule, `file:line` of its first location, and the message.
fn results(text: &str) -> Vec<(String, String, String)> {
    let log: serde_json::Value = serde_json::from_str(text).expect("JSON");
    assert_eq!(log["version"], "2.1.0");
    let word = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let rules = &log["runs"][0]["tool"]["driver"]["rules"];
    let one = |result: &serde_json::Value| {
        let index = result["ruleIndex"].as_u64().expect("an index") as usize;
        assert_eq!(rules[index]["id"], result["ruleId"]);
        let place = &result["locations"][0]["physicalLocation"];
        let line = &place["region"]["startLine"];
        assert!(line.as_u64() > Some(0), "GitHub refuses {result}");
        assert!(result["partialFingerprints"]["nanoseg/v1"].is_string());
        let levels = ["error", "warning", "note"];
        assert!(levels.contains(&result["level"].as_str().unwrap_or_default()));
        let place = format!("{}:{line}", word(&place["artifactLocation"]["uri"]));
        (
            word(&result["ruleId"]),
            place,
            word(&result["message"]["text"]),
        )
    };
    let list = log["runs"][0]["results"].as_array().expect("results");
    list.iter().map(one).collect()
}

#[test]
fn diff_reports_the_rule_that_opened_a_connection_to_code_review_tools() {
    let files = files();
    let pods = ["--cluster", "pods.yaml", "-o"];
    let both = ["diff", "narrow.yaml", "wide.yaml"];
    let found = run(files.path(), &[&both, &pods[..], &["sarif"]].concat());
    assert_eq!(found.code, Some(1), "{}", found.stderr);
    let expected = [
        ("other/db => shop/db : TCP 5432-5433", "wide.yaml:9"),
        ("shop/web => shop/db : TCP 5433", "wide.yaml:9"),
    ];
    for (one, (change, place)) in results(&found.stdout).iter().zip(expected) {
        assert_eq!(
            (one.0.as_str(), one.1.as_str()),
            ("opened-connection", place)
        );
        let message = format!("Opened: {change} (allowed by shop/db, spec.ingress[0])");
        assert_eq!(one.2, message);
    }
    let table = run(files.path(), &[&both, &pods[..], &["markdown"]].concat());
    assert_eq!(
        table.stdout,
        "## What these NetworkPolicies change\n\n**Opens 2 connections**, closes nothing.\n\n\
         ### Opened\n\n| client | server | ports | why |\n| --- | --- | --- | --- |\n\
         | `other/db` | `shop/db` | TCP 5432-5433 | allowed by shop/db, spec.ingress\\[0\\] |\n\
         | `shop/web` | `shop/db` | TCP 5433 | allowed by shop/db, spec.ingress\\[0\\] |\n"
    );
    let same = ["diff", "wide.yaml", "wide.yaml"];
    let same = run(files.path(), &[&same, &pods[..], &["markdown"]].concat());
    assert!(
        same.stdout.contains("Nothing: they allow the same"),
        "{}",
        same.stdout
    );
}

#[test]
fn explain_reports_the_place_of_a_missing_rule_to_code_review_tools() {
    let files = files();
    let ask = |port: &str| {
        let policies = ["--cluster", "pods.yaml", "--policies", "narrow.yaml"];
        let question = ["explain", "shop/web", "shop/db", port, "-o", "sarif"];
        run(files.path(), &[&question[..], &policies].concat())
    };
    let denied = ask("80");
    assert_eq!(denied.code, Some(1), "{}", denied.stderr);
    let found = results(&denied.stdout);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].1, "narrow.yaml:9");
    assert_eq!(
        found[0].2,
        "Not allowed: shop/web => shop/db : TCP 80 (closed on ingress by shop/db)"
    );
    let allowed = ask("5432");
    assert_eq!((allowed.code, results(&allowed.stdout).len()), (Some(0), 0));
}

#[test]
fn verify_reports_blocked_traffic_and_unused_rules_to_code_review_tools() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let policies = folder.path().join("shop");
    fs::create_dir(&policies).expect("a folder");
    for entry in fs::read_dir(sample("policies-out/shop"))
        .expect("policies-out")
        .flatten()
    {
        let text = fs::read_to_string(entry.path()).expect("a policy");
        let text = if entry.file_name() == "postgres.yaml" {
            text.replace("port: 5432", "port: 5433")
        } else {
            text
        };
        fs::write(policies.join(entry.file_name()), text).expect("a policy");
    }
    let (captures, cluster) = (
        sample("samples/shop/captures"),
        sample("samples/shop/cluster.yaml"),
    );
    let verify = ["verify", "--policies", "shop", "-n", "shop", "-o", "sarif"];
    let input = ["--capture", &captures, "--cluster", &cluster];
    let found = run(folder.path(), &[&verify[..], &input].concat());
    assert_eq!(found.code, Some(1), "{}", found.stderr);
    let all = results(&found.stdout);
    let of = |rule: &str| -> Vec<&(String, String, String)> {
        all.iter().filter(|one| one.0 == rule).collect()
    };
    let blocked = of("would-block");
    assert_eq!(blocked.len(), 2, "{all:#?}");
    let text = fs::read_to_string(policies.join("postgres.yaml")).expect("a policy");
    let line_of = |what: &str| {
        let line = text.lines().position(|line| line.contains(what));
        line.expect("the line") + 1
    };
    for one in blocked {
        assert_eq!(
            one.1,
            format!("shop/postgres.yaml:{}", line_of("name: nanoseg-postgres"))
        );
        assert!(one.2.contains("=> shop/postgres : TCP 5432"), "{}", one.2);
    }
    let unused = of("unused-rule");
    assert!(!unused.is_empty());
    for one in unused {
        assert!(
            one.2
                .starts_with("Never used: shop/nanoseg-postgres, spec.ingress"),
            "{}",
            one.2
        );
        assert!(one.1.starts_with("shop/postgres.yaml:"), "{}", one.1);
    }
}

#[test]
fn a_policy_that_the_api_server_refuses_is_reported_with_its_file() {
    let files = files();
    let wrong = NARROW.replace("port: 5432", "port: 99999");
    fs::write(files.path().join("wrong.yaml"), wrong).expect("a file");
    let pods = ["--cluster", "pods.yaml"];
    for command in [
        &["diff", "narrow.yaml", "wrong.yaml"][..],
        &["diff", "wrong.yaml", "narrow.yaml"],
        &[
            "explain",
            "shop/web",
            "shop/db",
            "80",
            "--policies",
            "wrong.yaml",
        ],
    ] {
        let found = run(files.path(), &[command, &pods].concat());
        assert_eq!(found.code, Some(2));
        let expected = "error: failed to read NetworkPolicy shop/db in document 1 of wrong.yaml:10: \
            spec.ingress[0].ports[0].port: 99999 is not between 1 and 65535; correct it";
        assert!(found.stderr.contains(expected), "{}", found.stderr);
    }
}

#[test]
fn without_pods_and_without_a_cluster_a_snapshot_is_requested() {
    let files = files();
    let found = run(files.path(), &["diff", "narrow.yaml", "wide.yaml"]);
    assert_eq!(found.code, Some(2));
    assert!(found.stderr.contains("--cluster FILE"), "{}", found.stderr);
}

#[test]
fn a_connection_that_a_missing_rule_closes_is_reported_at_the_policy_without_the_rule() {
    let files = files();
    let empty = NARROW.split("  ingress:").next().expect("a head");
    fs::write(files.path().join("empty.yaml"), empty).expect("a file");
    let diff = [
        "diff",
        "narrow.yaml",
        "empty.yaml",
        "--cluster",
        "pods.yaml",
    ];
    let found = run(files.path(), &[&diff[..], &["-o", "sarif"]].concat());
    assert_eq!(found.code, Some(0), "{}", found.stderr);
    let all = results(&found.stdout);
    assert_eq!(all.len(), 1);
    assert_eq!(
        (all[0].0.as_str(), all[0].1.as_str()),
        ("closed-connection", "empty.yaml:4")
    );
}

#[test]
fn verify_refuses_an_unknown_namespace() {
    let (captures, cluster) = (
        sample("samples/shop/captures"),
        sample("samples/shop/cluster.yaml"),
    );
    let files = files();
    let verify = [
        "verify",
        "--capture",
        &captures,
        "--cluster",
        &cluster,
        "-n",
        "shpo",
    ];
    let found = run(files.path(), &verify);
    assert_eq!(found.code, Some(2), "{}", found.stdout);
    assert!(
        found
            .stderr
            .contains("no namespace shpo in the cluster; it has default, "),
        "{}",
        found.stderr
    );
}

#[test]
fn examples_of_the_help_that_use_the_samples_work_unchanged() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for command in ["diff", "verify", "explain"] {
        let help = run(root, &[command, "--help"]).stdout.replace("\\\n", " ");
        let examples: Vec<Vec<&str>> = help
            .lines()
            .filter(|line| line.contains("samples/shop"))
            .filter_map(|line| line.trim().strip_prefix("nanoseg "))
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert!(!examples.is_empty(), "{help}");
        for example in examples {
            let found = run(root, &example);
            assert_eq!(found.code, Some(0), "{example:?}: {}", found.stderr);
            assert!(!found.stdout.is_empty(), "{example:?}");
        }
    }
}
