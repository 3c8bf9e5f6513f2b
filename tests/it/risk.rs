//! Findings about images, on the command line.

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

/// Runs `nanoseg generate` for the sample with a new output folder.
fn generate(arguments: &[&str]) -> (Output, Value) {
    let out = tempfile::tempdir().expect("a folder");
    let output = Command::new(env!("CARGO_BIN_EXE_nanoseg"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["generate", "--capture", "samples/shop", "--output", "json"])
        .args(["--cluster", "samples/shop/cluster.yaml"])
        .args(arguments)
        .arg("--out")
        .arg(out.path())
        .output()
        .expect("nanoseg runs");
    let run = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output, run)
}

/// Returns `subject: message` of every finding with a code.
fn findings(run: &Value, code: &str) -> Vec<String> {
    let all = run["findings"].as_array().expect("findings");
    let own = all.iter().filter(|one| one["code"] == code);
    let words = |one: &Value| {
        let word = |name: &str| one[name].as_str().expect("a text").to_owned();
        format!("{}: {}", word("subject"), word("message"))
    };
    own.map(words).collect()
}

#[test]
fn images_that_are_not_on_the_lists_are_findings_and_without_lists_nothing_is() {
    let (_, plain) = generate(&[]);
    for code in ["unapproved-registry", "unapproved-image", "mutable-tag"] {
        assert!(findings(&plain, code).is_empty(), "{code}");
    }
    let (output, listed) = generate(&[
        "--approved-image",
        "debian.example/redis:7.0.15",
        "--approved-image",
        "debian.example/nginx",
        "-n",
        "shop",
    ]);
    assert_eq!(output.status.code(), Some(1));
    let unapproved = findings(&listed, "unapproved-image");
    assert!(
        unapproved.contains(
            &"shop/postgres: runs debian.example/postgresql:15, which is not approved".to_owned()
        ),
        "{unapproved:?}"
    );
    let about = |name: &str| unapproved.iter().any(|one| one.starts_with(name));
    assert!(
        !about("shop/redis:") && !about("monitoring/"),
        "{unapproved:?}"
    );
    assert!(findings(&listed, "unapproved-registry").is_empty());
    assert!(
        findings(&listed, "mutable-tag")
            .contains(&"shop/redis: runs debian.example/redis:7.0.15 without a digest".to_owned())
    );
    let (_, by_registry) = generate(&["--approved-registry", "debian.example"]);
    assert!(
        findings(&by_registry, "unapproved-registry")
            .iter()
            .all(|one| !one.contains("debian.example/"))
    );
}

#[test]
fn scans_give_vulnerable_workloads_and_their_distance_from_the_internet() {
    let scans = ["--vulnerabilities", "tests/data/scans"];
    let reports = ["--cluster", "tests/data/scans/reports.yaml"];
    let (output, run) = generate(&[scans, reports].concat());
    assert!(
        output.status.code().is_some_and(|code| code < 2),
        "{output:?}"
    );
    let weak = findings(&run, "known-vulnerability");
    assert_eq!(
        weak,
        [
            "shop/postgres: high CVE, reachable from the internet through 3 hops (CVE-2099-0003)",
            "shop/redis: critical CVE, reachable from the internet through 3 hops (CVE-2099-0001)",
        ]
    );
}

#[test]
fn a_file_that_is_no_scan_is_refused_with_a_remedy() {
    let refused = |path: &str| {
        let (output, _) = generate(&["--vulnerabilities", path]);
        assert_eq!(output.status.code(), Some(2), "{path}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let said = refused("samples/shop/truth.yaml");
    assert!(
        said.contains("samples/shop/truth.yaml") && said.contains("trivy image -f json"),
        "{said}"
    );
    assert!(refused("nowhere.json").contains("nowhere.json"));
    assert!(refused("docs").contains("no *.json in docs"));
    assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").is_dir());
}

#[test]
fn an_invalid_image_name_is_refused() {
    let (output, _) = generate(&["--approved-registry", "https://ghcr.io"]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("without https://"), "{said}");
}
