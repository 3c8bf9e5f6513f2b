//! The output folder of the real binary, killed at each of its system calls in turn: the next run mends it
//! (rule: unfinished-folder-is-mended).

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Everything that changes a folder or waits for the disk.
const CALLS: &str =
    "rename,renameat,renameat2,mkdir,mkdirat,unlink,unlinkat,rmdir,fsync,fdatasync,link,linkat";
/// More than any run makes.
const MOST: usize = 400;

/// Writes the policies of one namespace of the sample.
fn generate(namespace: &str, out: &Path) -> Command {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/shop");
    let mut command = Command::new(env!("CARGO_BIN_EXE_nanoseg"));
    command
        .arg("generate")
        .arg("--capture")
        .arg(&sample)
        .arg("--cluster")
        .arg(sample.join("cluster.yaml"))
        .args(["--namespace", namespace, "--out"])
        .arg(out)
        .stdin(Stdio::null());
    command
}

fn is_installed(program: &str) -> bool {
    let found = Command::new(program).arg("-V").output();
    let found = found.is_ok_and(|output| output.status.success());
    assert!(
        found || std::env::var_os("NANOSEG_REQUIRE_ALL").is_none(),
        "{program} is missing"
    );
    if !found {
        eprintln!("skipped: {program} is not installed");
    }
    found
}

/// Runs the command under strace, which kills it before its `number`th call. Returns false if it made fewer.
fn killed(command: &Command, number: usize) -> bool {
    let inject = format!("inject={CALLS}:signal=KILL:when={number}");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o", "/dev/null", "-e"]);
    strace.arg(format!("trace={CALLS}")).arg("-e").arg(inject);
    strace.arg(command.get_program()).args(command.get_args());
    let output = strace.output().expect("strace");
    let killed = output.status.signal() == Some(libc::SIGKILL);
    assert!(killed || finished(&output), "{output:?}");
    killed
}

/// Findings are none of this test's business.
fn finished(output: &Output) -> bool {
    matches!(output.status.code(), Some(0 | 1))
}

/// Every file and folder, by its path.
fn listing(root: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            let name = path.strip_prefix(root).expect("inside").to_owned();
            if path.is_dir() {
                folders.push(path);
                found.insert(name, None);
            } else {
                found.insert(name, std::fs::read(path).ok());
            }
        }
    }
    found
}

/// The policies that the list names and that are not there.
fn dangling(root: &Path) -> Vec<String> {
    let list = std::fs::read_to_string(root.join("kustomization.yaml")).unwrap_or_default();
    let names = list
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- "));
    let gone = names.filter(|name| name.ends_with(".yaml") && !root.join(name).exists());
    gone.map(str::to_owned).collect()
}

fn copy(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(copied.expect("cp").success());
}

#[test]
fn a_run_that_is_killed_at_any_call_is_mended_by_the_next() {
    if !is_installed("strace") {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let (out, before) = (dir.path().join("out"), dir.path().join("before"));
    let run = |namespace: &str, folder: &Path| {
        let output = generate(namespace, folder).output().expect("it runs");
        assert!(finished(&output), "{output:?}");
        listing(folder)
    };
    std::fs::create_dir(&before).expect("a folder");
    let whole = run("shop", &out);
    // From nothing, and from the files of other workloads.
    for from in [None, Some("monitoring")] {
        if let Some(from) = from {
            run(from, &before);
        }
        let mut calls = 0;
        for number in 1..MOST {
            copy(&before, &out);
            if !killed(&generate("shop", &out), number) {
                break;
            }
            calls += 1;
            assert_eq!(dangling(&out), Vec::<String>::new(), "at call {number}");
            assert_eq!(run("shop", &out), whole, "after a kill at call {number}");
        }
        eprintln!("killed at {calls} calls, from {from:?}");
        assert!((20..MOST - 1).contains(&calls), "{calls} calls");
    }
}
