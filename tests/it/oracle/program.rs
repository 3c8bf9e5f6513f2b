//! An oracle as a running process: built once from tests/go, a case in on a line, an answer out on a line.

use super::case::Case;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{LazyLock, Mutex};

/// Answers cases until it is dropped.
pub struct Oracle {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    name: &'static str,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    verdicts: String,
    #[serde(default)]
    error: String,
}

impl Oracle {
    /// Starts the program of a folder under tests/go. Returns `None` and prints a message if it cannot be built.
    pub fn start(name: &'static str) -> Option<Oracle> {
        let mut process = Command::new(built(name)?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the oracle starts");
        Some(Oracle {
            input: process.stdin.take().expect("stdin"),
            output: BufReader::new(process.stdout.take().expect("stdout")),
            process,
            name,
        })
    }

    /// Returns one verdict for each probe of each pair: `0` denied, `1` allowed, `?` not judged by this project.
    pub fn ask(&mut self, case: &Case) -> Result<Vec<u8>, String> {
        let mut line = serde_json::to_vec(case).expect("JSON");
        line.push(b'\n');
        self.input.write_all(&line).expect("the oracle reads");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("the oracle writes");
        let answer: Answer = serde_json::from_str(&line).unwrap_or_else(|error| {
            panic!("{} answered {line:?}: {error}", self.name);
        });
        if !answer.error.is_empty() {
            return Err(answer.error);
        }
        assert_eq!(
            answer.verdicts.len(),
            case.pairs.len() * case.probes.len(),
            "{} answers every probe",
            self.name
        );
        Ok(answer.verdicts.into_bytes())
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Returns the program, which is built once in a run. Go's own cache makes this fast.
pub fn built(name: &'static str) -> Option<PathBuf> {
    static BUILT: LazyLock<Mutex<BTreeMap<&'static str, Result<PathBuf, String>>>> =
        LazyLock::new(Mutex::default);
    // One build at a time: the programs have most of their packages in common.
    let mut all = BUILT.lock().expect("no build has panicked");
    match all.entry(name).or_insert_with(|| build(name)) {
        Ok(program) => Some(program.clone()),
        Err(reason) => {
            let required = std::env::var("NANOSEG_REQUIRE_ALL").is_ok_and(|value| value == "1");
            assert!(!required, "tests/go/{name}: {reason}");
            eprintln!("skipped: needs go and the modules of tests/go/{name}: {reason}");
            None
        }
    }
}

fn build(name: &str) -> Result<PathBuf, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = root.join("target/go").join(name);
    let build = Command::new("go")
        .args(["build", "-o"])
        .arg(&program)
        .arg(".")
        .current_dir(root.join("tests/go").join(name))
        // Checksums are in go.sum. Without C the packages are those of tests/cluster/components.
        .envs([
            ("GOFLAGS", "-mod=readonly -buildvcs=false"),
            ("CGO_ENABLED", "0"),
        ])
        .env("GONOSUMDB", "github.com/np-guard/*")
        .output()
        .map_err(|error| error.to_string())?;
    if build.status.success() {
        Ok(program)
    } else {
        Err(String::from_utf8_lossy(&build.stderr).into_owned())
    }
}
