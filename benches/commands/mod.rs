//! Measures the review commands as an operator runs them: the time from start to exit of the process, and its peak
//! memory.

use super::Failure;
use super::ground::Ground;
use super::peer::write_policies;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A command: its name in the table, and the arguments.
const COMMANDS: [(&str, &[&str]); 5] = [
    (
        "diff, JSON",
        &[
            "diff",
            "before",
            "after",
            "--cluster",
            "cluster.json",
            "--fail-on",
            "never",
        ],
    ),
    (
        "diff, YAML",
        &[
            "diff",
            "before",
            "after",
            "--cluster",
            "cluster.yaml",
            "--fail-on",
            "never",
        ],
    ),
    (
        "verify, JSON",
        &[
            "verify",
            "--flows",
            "flows.jsonl",
            "--cluster",
            "cluster.json",
            "--policies",
            "before",
        ],
    ),
    (
        "verify, YAML",
        &[
            "verify",
            "--flows",
            "flows.jsonl",
            "--cluster",
            "cluster.yaml",
            "--policies",
            "before",
        ],
    ),
    (
        "diff, SARIF",
        &[
            "diff",
            "before",
            "after",
            "--cluster",
            "cluster.json",
            "--fail-on",
            "never",
            "-o",
            "sarif",
        ],
    ),
];

/// Writes the input of the commands: the snapshot in the formats of `kubectl get -o json` and `-o yaml`, two sets of
/// policies with one file per policy, and the flows.
pub fn write_files(
    folder: &Path,
    ground: &Ground,
    before: &[NetworkPolicy],
    after: &[NetworkPolicy],
) -> Result<(), Failure> {
    fs::write(folder.join("cluster.json"), &ground.snapshot)?;
    let tree: serde_json::Value = serde_json::from_slice(&ground.snapshot)?;
    fs::write(folder.join("cluster.yaml"), serde_yaml::to_string(&tree)?)?;
    drop(tree);
    for (name, policies) in [("before", before), ("after", after)] {
        let path = folder.join(name);
        fs::create_dir_all(&path)?;
        write_policies(&path, policies)?;
    }
    let mut flows = std::io::BufWriter::new(fs::File::create(folder.join("flows.jsonl"))?);
    for flow in &ground.flows {
        let line = serde_json::json!({
            "client": flow.client, "server": flow.server, "port": flow.port, "protocol": flow.protocol,
            "verdict": flow.verdict, "time": flow.first,
        });
        writeln!(flows, "{line}")?;
    }
    flows.flush()?;
    Ok(())
}

/// The result of one command: its median time, and the highest peak memory of a run, in MiB.
pub struct Figures {
    pub name: &'static str,
    pub time: Duration,
    pub memory: f64,
}

/// Runs each command `runs` times.
pub fn measure(folder: &Path, runs: usize) -> Result<Vec<Figures>, Failure> {
    let mut all = Vec::new();
    for (name, arguments) in COMMANDS {
        let (mut times, mut memory) = (Vec::new(), 0.0_f64);
        for _ in 0..runs.max(1) {
            let (time, peak) = run(folder, arguments)?;
            times.push(time);
            memory = memory.max(peak);
        }
        all.push(Figures {
            name,
            time: super::measure::median(times),
            memory,
        });
    }
    Ok(all)
}

#[allow(
    clippy::zombie_processes,
    reason = "wait4 waits for it, and says what it used"
)]
fn run(folder: &Path, arguments: &[&str]) -> Result<(Duration, f64), Failure> {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_nanoseg"));
    let mut command = Command::new(program);
    command.current_dir(folder).args(arguments);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let begin = Instant::now();
    let child = command.spawn()?;
    let mut status = 0;
    // SAFETY: the child is ours and nobody else waits for it; wait4 fills the two that it is given, and
    // all zeroes is a valid rusage.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        if libc::wait4(child.id() as libc::pid_t, &mut status, 0, &mut usage) < 0 {
            return Err(std::io::Error::last_os_error().into());
        }
        usage
    };
    let time = begin.elapsed();
    match status {
        0 => Ok((time, usage.ru_maxrss as f64 / 1024.0)),
        _ => Err(format!("nanoseg {} failed", arguments.join(" ")).into()),
    }
}
