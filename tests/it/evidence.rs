//! `nanoseg report`: evidence that an auditor verifies with standard tools.

mod answered;
mod controls;
mod ended;
mod folded;
mod hostile;
mod lines;
mod period;
mod printed;
mod reworded;
mod signed;
mod stock;
mod tested;

use nanoseg::flow::{
    ActivityWindows, FlowBatch, FlowRecord, Instance, Observations, Opening, Source, Verdict,
};
use nanoseg::graph::History;
use nanoseg::inventory::{Inventory, Objects, OwnerRule, WorkloadId};
use nanoseg::net::{Protocol, Timestamp};
use nanoseg::record::ActionKind;
use nanoseg::review::{Revision, WorkloadState, policy_digest};
use nanoseg::store::{Commit, FlowStore, ReviewStore};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use lines::Form;

fn sample(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    path.display().to_string()
}

fn nanoseg(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nanoseg"));
    command.arg("report").args(arguments).current_dir(folder);
    command.env("KUBECONFIG", folder.join("no-kubeconfig"));
    command.output().expect("nanoseg runs")
}

fn written(folder: &Path, arguments: &[&str]) {
    let output = nanoseg(folder, arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
}

/// Returns the exit code and the output of `report verify`.
fn verify(folder: &Path, more: &[&str]) -> (Option<i32>, String) {
    let output = nanoseg(folder, &[&["verify", "report"], more].concat());
    let text = String::from_utf8(output.stdout).expect("text");
    (output.status.code(), text)
}

/// Runs a standard tool. Returns `None` if it is not installed.
fn tool(folder: &Path, line: &str) -> Option<Output> {
    let program = line.split(' ').next().unwrap_or_default();
    let installed = Command::new("sh")
        .args(["-c", &format!("command -v {program}")])
        .output();
    if !installed.is_ok_and(|found| found.status.success()) {
        assert!(
            std::env::var_os("NANOSEG_REQUIRE_ALL").is_none(),
            "{program} is missing"
        );
        eprintln!("skipped: {program} is not installed");
        return None;
    }
    let output = Command::new("sh")
        .args(["-c", line])
        .current_dir(folder)
        .output();
    Some(output.expect("it runs"))
}

fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut all, mut todo) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(next) = todo.pop() {
        for entry in fs::read_dir(next).expect("a folder").flatten() {
            match entry.path() {
                path if path.is_dir() => todo.push(path),
                path => drop(all.insert(path.clone(), fs::read(path).expect("a file"))),
            }
        }
    }
    all
}

/// A key in the format of `ssh-keygen -t ed25519`, of known bytes; for this test only.
const KEY: &str = "-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW
QyNTUxOQAAACAczZUFu5noVyGxcY3KLTBsoXHG59BKkuaWgp3SoDmKjwAAAJg03Y9xNN2P
cQAAAAtzc2gtZWQyNTUxOQAAACAczZUFu5noVyGxcY3KLTBsoXHG59BKkuaWgp3SoDmKjw
AAAEBlkgNGPFOZjnYQUJdOUzy/Bdtm9c0Jk/64/rK3mAVPVRzNlQW7mehXIbFxjcotMGyh
ccbn0EqS5paCndKgOYqPAAAAFHRlc3RAbmFub3NlZy5leGFtcGxlAQ==
-----END OPENSSH PRIVATE KEY-----
";

#[test]
fn standard_tools_verify_a_report_and_find_every_changed_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    fs::write(here.join("key"), KEY).expect("a file");
    let (policies, cluster) = (sample("policies-out"), sample("samples/shop/cluster.yaml"));
    let arguments = [
        "--generated",
        &policies,
        "--cluster",
        &cluster,
        "--framework",
        "pci-dss",
        "--sign-key",
        "key",
        "--out",
        "report",
    ];
    written(here, &arguments);
    let first = files(&here.join("report"));
    written(here, &arguments);
    assert!(
        first == files(&here.join("report")),
        "the same input gives the same bytes"
    );
    assert_eq!(
        fs::read_dir(here).expect("a folder").count(),
        2,
        "nothing else is left behind"
    );

    let (code, said) = verify(here, &[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.starts_with("intact: ") && said.contains("signed by SHA256:"),
        "{said}"
    );
    if let Some(sums) = tool(&here.join("report"), "sha256sum -c SHA256SUMS") {
        assert!(sums.status.success());
    }
    if let Some(public) = tool(here, "chmod 600 key && ssh-keygen -y -f key") {
        let public = String::from_utf8(public.stdout).expect("a key");
        fs::write(here.join("key.pub"), &public).expect("a file");
        fs::write(here.join("allowed"), format!("ops@example.org {public}")).expect("a file");
        let check = "ssh-keygen -Y verify -f allowed -I ops@example.org -n nanoseg-report -s report/manifest.json.sig \
                     < report/manifest.json";
        let good = tool(here, check).expect("it is there");
        assert!(good.status.success(), "{good:?}");
        assert_eq!(verify(here, &["--key", "key.pub"]).0, Some(0));
    }

    for (path, bytes) in &first {
        for at in [0, bytes.len() / 2, bytes.len() - 1] {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            fs::write(path, &changed).expect("a file");
            let (code, said) = verify(here, &[]);
            assert!(
                matches!(code, Some(1 | 2)),
                "byte {at} of {}: {said}",
                path.display()
            );
        }
        fs::remove_file(path).expect("it was there");
        let (code, said) = verify(here, &[]);
        assert!(
            matches!(code, Some(1 | 2)),
            "without {}: {said}",
            path.display()
        );
        fs::write(path, bytes).expect("a file");
    }
    fs::write(here.join("report/more.txt"), "").expect("a file");
    assert!(
        verify(here, &[])
            .1
            .contains("more.txt: not in the manifest")
    );
    fs::remove_file(here.join("report/more.txt")).expect("it was there");
    for name in ["empty", "policies/empty", "policies/empty/deep"] {
        fs::create_dir_all(here.join("report").join(name)).expect("a folder");
        let (code, said) = verify(here, &[]);
        assert_eq!(code, Some(1), "{said}");
        assert!(
            said.contains(&format!("{name}: not in the manifest")),
            "{said}"
        );
        if !name.ends_with("deep") {
            fs::remove_dir_all(here.join("report").join(name)).expect("it was there");
        }
    }
}

#[test]
fn temporary_folders_of_killed_runs_go_and_those_of_running_ones_stay() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    for name in ["r-AbCd12", "r-AbCd13", "other-AbCd12"] {
        let left = here.join(format!(".nanoseg-report-{name}"));
        fs::create_dir_all(left.join("new")).expect("a folder");
    }
    let running = fs::File::open(here.join(".nanoseg-report-r-AbCd13")).expect("a folder");
    running.lock().expect("a lock");
    let (policies, cluster) = (sample("policies-out"), sample("samples/shop/cluster.yaml"));
    let report = [
        "--generated",
        &policies,
        "--cluster",
        &cluster,
        "--out",
        "r",
    ];
    written(here, &report);
    written(here, &report);
    let names = fs::read_dir(here).expect("a folder").flatten();
    let mut names: Vec<String> = names
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    let wanted = [
        ".nanoseg-report-other-AbCd12",
        ".nanoseg-report-r-AbCd13",
        "r",
    ];
    assert_eq!(names, wanted);
}

#[test]
fn a_report_replaces_a_report_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    fs::create_dir(here.join("mine")).expect("a folder");
    fs::write(here.join("mine/notes.txt"), "mine").expect("a file");
    let (policies, cluster) = (sample("policies-out"), sample("samples/shop/cluster.yaml"));
    let refused = nanoseg(
        here,
        &[
            "--generated",
            &policies,
            "--cluster",
            &cluster,
            "--out",
            "mine",
        ],
    );
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("it is not a report"));
    let again = ["--generated", &policies, "--cluster", &cluster, "--out"];
    written(here, &[&again, ["r/"].as_slice()].concat());
    fs::write(here.join("r/policies/notes.txt"), "mine").expect("a file");
    let refused = nanoseg(here, &[&again, ["r"].as_slice()].concat());
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(
        said.contains("not of its report is policies/notes.txt; move that elsewhere"),
        "{said}"
    );
    assert!(here.join("r/policies/notes.txt").exists());
    fs::remove_file(here.join("r/policies/notes.txt")).expect("it was there");
    written(here, &[&again, ["r/."].as_slice()].concat());
    for out in [".", "..", "/", "r/.."] {
        let refused = nanoseg(here, &[&again, [out].as_slice()].concat());
        let said = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{out}: {said}");
        assert!(
            said.contains("run this in the folder above"),
            "{out}: {said}"
        );
    }
    assert_eq!(
        fs::read(here.join("mine/notes.txt")).expect("still there"),
        b"mine"
    );
    let nothing = nanoseg(here, &["--cluster", &cluster, "--out", "s"]);
    assert_eq!(nothing.status.code(), Some(2));
}

const CLUSTER: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, uid: a, labels: {app: web}}
spec: {containers: [{name: web, image: web}]}
status: {phase: Running, podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}], startTime: '2026-01-01T00:00:00Z'}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: shop, uid: b, labels: {app: db}}
spec: {containers: [{name: db, image: db}]}
status: {phase: Running, podIP: 10.0.0.2, podIPs: [{ip: 10.0.0.2}], startTime: '2026-01-01T00:00:00Z'}
";

const POLICY: &str = "
podSelector: {matchLabels: {app: db}}
policyTypes: [Ingress]
ingress:
  - from: [{podSelector: {matchLabels: {app: web}}}]
    ports: [{port: 5432}]
";

fn time(text: &str) -> Timestamp {
    text.parse::<jiff::Timestamp>().expect("a time").into()
}

fn record(port: u16, at: Timestamp) -> FlowRecord {
    FlowRecord {
        observers: Default::default(),
        told: None,
        client: "10.0.0.1".parse().expect("an address"),
        server: "10.0.0.2".parse().expect("an address"),
        port,
        protocol: Protocol::Tcp,
        via: None,
        seen_as: None,
        client_port: None,
        labels: None,
        verdict: Verdict::Established,
        opening: Opening::Handshake,
        connections: 3,
        datagrams: 0,
        bytes_to_server: 10,
        bytes_to_client: 20,
        first: at,
        last: at,
        windows: ActivityWindows::at(at),
    }
}

/// A controller's state: port 5432 in March, folded; port 9999 in April, not folded; one approval in March.
fn state(path: &Path) {
    state_with(path, &[], Value::Array(Vec::new()));
}

/// A line of the record: action, actor, object, reason and time.
type Line<'a> = (ActionKind, &'a str, &'a str, &'a str, &'a str);

/// The same state with more lines of the record, and with proposals in the review of shop/db.
fn state_with(path: &Path, more: &[Line<'_>], proposals: Value) {
    state_as(path, more, proposals, Form::Typed);
}

/// The same with lines of a certain form.
fn state_as(path: &Path, more: &[Line<'_>], proposals: Value, form: Form) {
    let mut objects = Objects::default();
    nanoseg::cluster::parse_objects(CLUSTER.as_bytes(), "cluster", &mut objects).expect("objects");
    let (inventory, _) = Inventory::build(&objects, OwnerRule::Infer);
    let (march, april) = (time("2026-03-03T10:20:00Z"), time("2026-04-04T11:40:00Z"));
    let batch = FlowBatch {
        node: "n1".into(),
        instance: Instance([1; 16]),
        sequence: (1, 1),
        span: (march, april),
        seen: Observations {
            records: vec![
                (Source::Conntrack, record(5432, march)),
                (Source::Conntrack, record(9999, april)),
            ],
            ..Observations::default()
        },
    };
    FlowStore::open(path)
        .expect("a store")
        .apply(&batch)
        .expect("written");
    let mut store = ReviewStore::open(path).expect("a store");
    let fold = |records: &_| History::fold(records, &inventory);
    store
        .fold(time("2026-04-01T00:00:00Z"), fold)
        .expect("folded");
    let id = WorkloadId {
        namespace: "shop".into(),
        name: "db".into(),
        kind: "Pod".into(),
    };
    let policy = serde_yaml::from_str(POLICY).expect("a policy");
    let mut review = WorkloadState::new(id.clone(), "nanoseg-db".into());
    let digest = policy_digest(&policy);
    review.revisions.push(Revision {
        number: 1,
        policy,
        digest: digest.clone(),
        proposal: "db-1".into(),
        decided_by: "alice".into(),
        at: time("2026-03-05T00:00:00Z"),
        base: None,
        intent: Default::default(),
        temporary: None,
        is_rest: false,
    });
    review.wanted = Some(1);
    review.proposals = serde_json::from_value(proposals).expect("proposals");
    let policy = "nanoseg-db";
    let first = [
        (
            ActionKind::Approved,
            "alice",
            policy,
            "db-1: reviewed",
            "2026-03-05T00:00:00Z",
        ),
        (
            ActionKind::Applied,
            "nanoseg",
            policy,
            "",
            "2026-03-05T00:00:01Z",
        ),
    ];
    let last = (
        ActionKind::DriftRepaired,
        "nanoseg",
        policy,
        "edited",
        "2026-04-02T00:00:00Z",
    );
    let all: Vec<Line<'_>> = first.iter().chain(more).chain([&last]).copied().collect();
    let commit = Commit {
        record_lines: lines::write(&all, &digest, form),
        reviews: vec![(id, serde_json::to_string(&review).expect("JSON"))],
        ..Commit::default()
    };
    store.commit(&commit).expect("written");
}

#[test]
fn connections_of_march_are_listed_with_who_approved_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    state(&here.join("nanoseg.db"));
    fs::write(here.join("cluster.yaml"), CLUSTER).expect("a file");
    let report = |more: &[&str]| -> (Value, String) {
        let all = [
            "--state",
            "nanoseg.db",
            "--cluster",
            "cluster.yaml",
            "--out",
            "report",
        ];
        written(here, &[&all, more].concat());
        let text = |name: &str| fs::read_to_string(here.join("report").join(name)).expect("a file");
        (
            serde_json::from_str(&text("evidence.json")).expect("JSON"),
            text("hours.csv"),
        )
    };
    let march = [
        "--from",
        "2026-03-01T00:00:00Z",
        "--to",
        "2026-04-01T00:00:00Z",
        "--framework",
        "soc2",
    ];
    let (evidence, hours) = report(&march);
    let edges = evidence["edges"].as_array().expect("edges");
    assert_eq!(edges.len(), 1, "{edges:#?}");
    assert_eq!(
        (&edges[0]["port"], &edges[0]["connections"]),
        (&5432.into(), &3.into())
    );
    assert_eq!(edges[0]["approvedBy"][0], "alice at 2026-03-05T00:00:00Z");
    assert_eq!(edges[0]["allowedBy"][0]["policy"], "shop/nanoseg-db");
    for name in [
        "graph.json",
        "graph.csv",
        "graph.graphml",
        "graph.dot",
        "graph.mmd",
        "events.ocsf.jsonl",
    ] {
        let text = fs::read_to_string(here.join("report").join(name)).expect("a file");
        for part in ["alice at 2026-03-05T00:00:00Z", "2026-03-03T10:20:00Z"] {
            let is_event = name == "events.ocsf.jsonl" && part.starts_with("2026");
            // Times of events are in milliseconds.
            assert!(is_event || text.contains(part), "{name}: {text}");
        }
    }
    assert_eq!(hours.lines().count(), 2, "{hours}");
    assert!(
        hours.contains("2026-03-03T10:00:00Z,shop/web[Pod],shop/db[Pod],TCP,5432,3,10,20"),
        "{hours}"
    );
    assert_eq!(evidence["events"].as_array().map(Vec::len), Some(2));
    assert_eq!(evidence["recordHead"]["sequence"], 2);
    assert_eq!(evidence["enforced"][0]["from"], "2026-03-05T00:00:01Z");
    assert_eq!(evidence["figures"]["driftRepairs"], 0);
    assert_eq!(evidence["figures"]["approved"], 1);
    let chain = Command::new(env!("CARGO_BIN_EXE_nanoseg"))
        .args(["record", "verify", "report/record.jsonl"])
        .current_dir(here)
        .output()
        .expect("nanoseg runs");
    assert!(chain.status.success());

    let (all, hours) = report(&[]);
    assert_eq!(all["edges"].as_array().map(Vec::len), Some(2));
    assert_eq!(all["figures"]["driftRepairs"], 1);
    assert_eq!(all["verdict"]["wouldBlock"][0]["ports"], "TCP 9999");
    let edges = all["edges"].as_array().expect("edges").iter();
    let blocked: Vec<&Value> = edges.filter(|edge| edge["blocked"] == true).collect();
    assert_eq!(blocked.len(), 1);
    assert_eq!(
        (&blocked[0]["port"], &blocked[0]["allowedBy"]),
        (&9999.into(), &serde_json::json!([]))
    );
    assert!(hours.contains("2026-04-04T11:00:00Z"), "{hours}");
    // Before the approval nothing was approved or enforced.
    let (early, _) = report(&["--to", "2026-03-04T00:00:00Z"]);
    assert_eq!(early["approvals"], serde_json::json!([]));
    assert_eq!(early["verdict"]["policies"], 0);
}

#[test]
fn hostile_names_are_escaped_on_the_page() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    let cluster = CLUSTER
        .replace(
            "name: web, namespace",
            "name: \"<script>alert(1)</script>\", namespace",
        )
        .replace(
            "name: db, namespace: shop",
            "name: \"=cmd()\", namespace: \"=1+1\"",
        );
    fs::write(here.join("cluster.yaml"), cluster).expect("a file");
    let reason = "=cmd(), <img src=x onerror=alert(1)> | [x](javascript:alert(1))\n# no heading";
    let broken = (
        ActionKind::BreakGlassOn,
        "@eve",
        "shop",
        reason,
        "2026-03-06T00:00:00Z",
    );
    state_with(
        &here.join("nanoseg.db"),
        &[broken],
        Value::Array(Vec::new()),
    );
    written(
        here,
        &[
            "--state",
            "nanoseg.db",
            "--cluster",
            "cluster.yaml",
            "--out",
            "report",
        ],
    );
    let page = fs::read_to_string(here.join("report/index.html")).expect("a page");
    assert!(!page.contains("<script"), "{page}");
    assert!(page.contains("&lt;script&gt;") && !page.contains("<img"));
    let text = fs::read_to_string(here.join("report/report.md")).expect("a page");
    assert!(!text.contains("<script") && !text.contains("<img") && !text.contains("[x]("));
    assert!(!text.lines().any(|line| line.starts_with("# no heading")));
    for (path, bytes) in files(&here.join("report")) {
        if path.extension().is_some_and(|ending| ending == "csv") {
            let text = String::from_utf8(bytes).expect("text");
            let mut fields = text
                .split(['\n', ','])
                .map(|field| field.trim_start_matches('"'));
            let formula = fields.find(|field| field.starts_with(['=', '+', '-', '@']));
            assert_eq!(formula, None, "{}", path.display());
        }
    }
}
