//! `nanoseg baseline` on the bundled sample (rule: baseline-blocks-nothing-observed).

use std::path::Path;
use std::process::{Command, Output};

fn baseline(out: &Path, label: &str) -> Output {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/shop");
    Command::new(env!("CARGO_BIN_EXE_nanoseg"))
        .args(["baseline", "--tenant-label", label, "--capture"])
        .arg(&sample)
        .arg("--cluster")
        .arg(sample.join("cluster.yaml"))
        .arg("--out")
        .arg(out)
        .output()
        .expect("nanoseg runs")
}

#[test]
fn the_baseline_of_the_shop_blocks_nothing_observed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().join("baseline-out");
    let run = baseline(&out, "kubernetes.io/metadata.name");
    let text = String::from_utf8_lossy(&run.stdout).into_owned();
    assert!(
        run.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&run.stderr)
    );
    assert!(
        text.contains("34 of 34 requirements of observed traffic are allowed"),
        "{text}"
    );
    let read = |name: &str| std::fs::read_to_string(out.join("cluster").join(name)).expect(name);
    assert!(read("nanoseg-metadata.yaml").contains("action: Deny"));
    let across = read("nanoseg-across-shop-app.yaml");
    assert!(
        across.contains("number: 9102") && across.contains("action: Pass"),
        "{across}"
    );
    assert!(read("nanoseg-tenant-shop.yaml").contains("operator: Exists"));
    let index = std::fs::read_to_string(out.join("kustomization.yaml")).expect("a kustomization");
    assert!(index.contains("cluster/nanoseg-tenant-shop.yaml"));
}

#[test]
fn a_label_that_no_namespace_has_is_an_error_that_names_the_labels_there_are() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let run = baseline(&folder.path().join("out"), "tenant");
    assert_eq!(run.status.code(), Some(2));
    let text = String::from_utf8_lossy(&run.stderr);
    assert!(text.contains("kubernetes.io/metadata.name"), "{text}");
}
