//! Reports that an attacker prepared for the person who verifies them.

use super::{KEY, nanoseg, sample, tool, verify, written};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

fn report(here: &Path) {
    fs::write(here.join("key"), KEY).expect("a file");
    let (policies, cluster) = (sample("policies-out"), sample("samples/shop/cluster.yaml"));
    let sources = ["--generated", &policies, "--cluster", &cluster];
    written(
        here,
        &[
            &sources,
            ["--sign-key", "key", "--out", "report"].as_slice(),
        ]
        .concat(),
    );
}

#[test]
fn an_entry_that_is_no_plain_file_is_reported_and_never_opened_and_all_faults_are_listed() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    report(here);
    let of = |name: &str| here.join("report").join(name);
    fs::rename(of("index.html"), here.join("same.html")).expect("it is there");
    symlink("../same.html", of("index.html")).expect("a link");
    fs::remove_file(of("edges.csv")).expect("it is there");
    tool(here, "mkfifo report/edges.csv").expect("mkfifo");
    fs::remove_file(of("graph.svg")).expect("it is there");
    fs::create_dir(of("graph.svg")).expect("a folder");
    fs::rename(of("policies"), here.join("same")).expect("it is there");
    symlink("../same", of("policies")).expect("a link");
    fs::write(of("report.md"), "mine").expect("a file");
    fs::remove_file(of("graph.dot")).expect("it is there");
    symlink("/dev/zero", of("more")).expect("a link");
    // Opening the pipe blocks for ever.
    let line = format!(
        "timeout 60 {} report verify report",
        env!("CARGO_BIN_EXE_nanoseg")
    );
    let output = tool(here, &line).expect("timeout");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for line in [
        "index.html: is not a plain file",
        "edges.csv: is not a plain file",
        "graph.svg: is not a plain file",
        "policies: not in the manifest",
        "report.md: changed: its digest is not the manifest's",
        "graph.dot: missing",
        "more: not in the manifest",
    ] {
        assert!(said.lines().any(|one| one == line), "{line}: {said}");
    }
    assert!(
        said.lines()
            .any(|one| one.starts_with("policies/") && one.ends_with(": missing")),
        "{said}"
    );
}

#[test]
fn a_signature_that_is_no_text_or_no_file_counts_as_changed() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    report(here);
    let signature = here.join("report/manifest.json.sig");
    let mut bytes = fs::read(&signature).expect("a signature");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x80;
    fs::write(&signature, bytes).expect("a signature");
    let (code, said) = verify(here, &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("manifest.json.sig: it is not an SSH signature, or it was changed"),
        "{said}"
    );
    fs::remove_file(&signature).expect("it is there");
    symlink("/dev/zero", &signature).expect("a link");
    let (code, said) = verify(here, &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("manifest.json.sig: is not a plain file"),
        "{said}"
    );
}

#[test]
fn a_manifest_of_another_version_or_with_a_duplicate_file_is_reported_as_such() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    report(here);
    let path = here.join("report/manifest.json");
    let text = fs::read_to_string(&path).expect("a manifest");
    fs::write(
        &path,
        text.replace("report-manifest/v1", "report-manifest/v99"),
    )
    .expect("a file");
    let output = nanoseg(here, &["verify", "report"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains(
            "its schema is nanoseg.dev/report-manifest/v99, and this nanoseg knows nanoseg.dev/report-manifest/v1"
        ),
        "{said}"
    );
    let mut manifest: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let files = manifest["files"].as_array_mut().expect("files");
    let again = files[0].clone();
    let mut out = again.clone();
    out["path"] = "../key".into();
    files.extend([again, out]);
    fs::write(&path, manifest.to_string()).expect("a file");
    let (code, said) = verify(here, &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("SHA256SUMS: more than once in the manifest"),
        "{said}"
    );
    assert!(
        said.contains("../key: not a name for a file of a report"),
        "{said}"
    );
}
