//! Runs nanoseg and np-guard's analyzer on the same folder, each as a separate program.

use super::Failure;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// A result, and the time from start to exit of the program.
pub struct Answer {
    pub time: Duration,
    /// Sorted.
    pub lines: Vec<String>,
}

/// Writes a folder of manifests as a repository has them: the namespaces and Deployments of the snapshot in one file,
/// and each policy in its own. (If a folder also has ReplicaSets and pods, the analyzer treats each of them as a
/// separate workload.)
pub fn folder(snapshot: &[u8], policies: &[NetworkPolicy]) -> Result<tempfile::TempDir, Failure> {
    let folder = tempfile::tempdir()?;
    let mut list: serde_json::Value = serde_json::from_slice(snapshot)?;
    if let Some(items) = list["items"].as_array_mut() {
        items.retain(|item| item["kind"] == "Namespace" || item["kind"] == "Deployment");
    }
    fs::write(folder.path().join("workloads.json"), list.to_string())?;
    write_policies(folder.path(), policies)?;
    Ok(folder)
}

pub fn write_policies(folder: &Path, policies: &[NetworkPolicy]) -> Result<(), Failure> {
    for (index, policy) in policies.iter().enumerate() {
        let name = format!("policy-{index:05}.yaml");
        fs::write(folder.join(name), serde_yaml::to_string(policy)?)?;
    }
    Ok(())
}

/// Runs `nanoseg connectivity`, whose output has the analyzer's format.
pub fn nanoseg(folder: &Path) -> Result<Answer, Failure> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nanoseg"));
    command.arg("connectivity").arg(folder);
    ask(command)
}

/// Runs `netpolicy list`.
pub fn analyzer(program: &Path, folder: &Path) -> Result<Answer, Failure> {
    let mut command = Command::new(program);
    command.args(["list", "--quiet", "--dirpath"]).arg(folder);
    ask(command)
}

fn ask(mut command: Command) -> Result<Answer, Failure> {
    let begin = Instant::now();
    let output = command.output()?;
    let time = begin.elapsed();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    let text = String::from_utf8(output.stdout)?;
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    Ok(Answer { time, lines })
}

/// Returns the first line that only one of the two results has.
pub fn first_difference(ours: &Answer, theirs: &Answer) -> String {
    let only =
        |a: &Answer, b: &Answer| a.lines.iter().find(|line| !b.lines.contains(line)).cloned();
    format!(
        "only nanoseg {:?}, only np-guard {:?}",
        only(ours, theirs),
        only(theirs, ours)
    )
}
