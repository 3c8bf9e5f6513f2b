//! The cluster of `tests/cluster/node` as a process: real kubelets, and commands in its places.

use serde_json::{Value, json};
use std::cell::RefCell;
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Held by the cluster that runs: two at once have too little of the machine, and take each other's image away.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// The running cluster. It ends when the value is dropped, and everything is cleaned up.
pub struct RealCluster {
    process: RefCell<Process>,
    pub ready: Value,
    folder: tempfile::TempDir,
    begun: Instant,
    /// What was not as it must be; the day goes on.
    faults: RefCell<Vec<String>>,
    /// The last field: it is dropped after the process has ended.
    _alone: MutexGuard<'static, ()>,
}

struct Process {
    child: Child,
    commands: Option<ChildStdin>,
    events: Lines<BufReader<ChildStdout>>,
}

/// The output of a command.
#[derive(Debug)]
pub struct Said {
    pub code: i64,
    pub stdout: String,
    pub stderr: String,
}

impl Said {
    /// Returns the output of a command that must have succeeded.
    pub fn good(self, what: &str) -> String {
        assert_eq!(self.code, 0, "{what}: {}\n{}", self.stderr, self.stdout);
        self.stdout
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the image of nanoseg, built from the present sources as `deploy/Containerfile` says, or an error with what is
/// missing. NANOSEG_IMAGE names one that is there already.
fn image() -> Result<PathBuf, String> {
    if let Some(image) = std::env::var_os("NANOSEG_IMAGE") {
        return Ok(PathBuf::from(image));
    }
    let archive = root().join("target/nanoseg-image.tar");
    let built = Command::new(root().join(".ci/image"))
        .arg(&archive)
        .args(["--profile", "dev", "--quiet"])
        .output()
        .map_err(|error| format!(".ci/image: {error}"))?;
    let why = String::from_utf8_lossy(&built.stderr).into_owned();
    built.status.success().then_some(archive).ok_or(why)
}

/// Returns what this machine lacks.
fn missing() -> Result<(), String> {
    let lists = ["tests/cluster/node", "tests/cluster/components"].map(|script| {
        let output = Command::new(root().join(script)).arg("--missing").output();
        let text = |output: std::process::Output| {
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        };
        output.map_or_else(|error| format!("{script}: {error}"), text)
    });
    let lacking: Vec<&str> = lists.iter().flat_map(|list| list.lines()).collect();
    let none = lacking.is_empty();
    none.then_some(()).ok_or_else(|| lacking.join(", "))
}

impl RealCluster {
    /// Starts the cluster and waits until its nodes are ready. Returns `None` and prints what is missing if this is not
    /// possible; fails if nothing may be missing (NANOSEG_REQUIRE_ALL=1).
    pub fn start(family: &str) -> Option<RealCluster> {
        let alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let image = match missing().and_then(|()| image()) {
            Ok(image) => image,
            Err(lack) => {
                let required = std::env::var("NANOSEG_REQUIRE_ALL").is_ok_and(|value| value == "1");
                assert!(!required, "needs {lack}");
                eprintln!("skipped: needs {lack}");
                return None;
            }
        };
        let folder = tempfile::tempdir().expect("a folder");
        let mut child = Command::new(root().join("tests/cluster/node"))
            .arg(folder.path())
            .arg("--image")
            .arg(image)
            .args(["--family", family])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the cluster starts");
        let mut process = Process {
            commands: child.stdin.take(),
            events: BufReader::new(child.stdout.take().expect("stdout")).lines(),
            child,
        };
        let begun = Instant::now();
        Some(RealCluster {
            _alone: alone,
            ready: process.event("ready"),
            process: RefCell::new(process),
            folder,
            begun,
            faults: RefCell::default(),
        })
    }

    /// Prints a line of the day with its time.
    pub fn say(&self, words: &str) {
        eprintln!("{:6.1} s  {words}", self.begun.elapsed().as_secs_f64());
    }

    /// Sends a command and waits until it is done.
    pub fn tell(&self, command: Value) -> Value {
        let mut process = self.process.borrow_mut();
        let commands = process.commands.as_mut().expect("stdin");
        writeln!(commands, "{command}").expect("the cluster listens");
        process.event("done")
    }

    /// Runs a command in a place, as a user of the cluster.
    pub fn run_as(&self, user: &str, groups: &[&str], place: &str, command: &[&str]) -> Said {
        let done = self.tell(json!({"do": "run", "place": place, "command": command,
                                    "user": user, "groups": groups, "seconds": 150}));
        Said {
            code: done["code"].as_i64().unwrap_or(-1),
            stdout: done["stdout"].as_str().unwrap_or_default().to_owned(),
            stderr: done["stderr"].as_str().unwrap_or_default().to_owned(),
        }
    }

    /// Runs kubectl as the administrator.
    pub fn kubectl(&self, arguments: &[&str]) -> Said {
        let command = [&["kubectl"], arguments].concat();
        self.run_as("admin", &[], "control", &command)
    }

    /// Applies a manifest as the administrator.
    pub fn apply(&self, manifest: &Value) {
        let file = self.folder.path().join("manifest.json");
        std::fs::write(&file, manifest.to_string()).expect("a file");
        let file = file.to_str().expect("a path");
        self.kubectl(&["apply", "-f", file]).good("apply");
    }

    /// Applies a manifest as Olga, who operates the shop.
    pub fn apply_as_olga(&self, manifest: &Value) {
        let file = self.folder.path().join("manifest.json");
        std::fs::write(&file, manifest.to_string()).expect("a file");
        let file = file.to_str().expect("a path");
        let command = ["kubectl", "apply", "--server-side", "-f", file];
        self.run_as("olga", &["operators"], "control", &command)
            .good("apply");
    }

    /// Returns the objects that `kubectl get` lists.
    pub fn get(&self, arguments: &[&str]) -> Result<Vec<Value>, String> {
        let said = self.kubectl(&[&["get", "-o", "json"], arguments].concat());
        let json: Value =
            serde_json::from_str(&said.stdout).map_err(|e| format!("{e}: {}", said.stderr))?;
        Ok(match json["items"].as_array() {
            Some(items) => items.clone(),
            None => vec![json],
        })
    }

    /// Runs the nanoseg command line as Olga, who operates the shop.
    pub fn olga(&self, arguments: &[&str]) -> Said {
        let command = [&[env!("CARGO_BIN_EXE_nanoseg")], arguments].concat();
        self.run_as("olga", &["operators"], "control", &command)
    }

    /// Notes something that is not as it must be. The day goes on, so that it shows all of it.
    pub fn fault(&self, what: &str) {
        self.say(&format!("FAULT: {what}"));
        self.faults.borrow_mut().push(what.to_owned());
    }

    /// Ends the day.
    ///
    /// # Panics
    ///
    /// Panics if there was a fault.
    pub fn judge(&self) {
        let faults = self.faults.borrow();
        assert!(
            faults.is_empty(),
            "{} faults:\n{}",
            faults.len(),
            faults.join("\n")
        );
    }

    /// Waits until `check` is content; notes a fault with its last reason after `patience`.
    pub fn hope(&self, patience: Duration, what: &str, check: impl Fn() -> Result<(), String>) {
        if let Err(why) = Self::wait(patience, check) {
            self.fault(&format!("no {what} within {patience:?}: {why}"));
        }
    }

    /// Waits until `check` returns a value.
    ///
    /// # Panics
    ///
    /// Panics with its last reason after `patience`.
    pub fn until<T>(
        &self,
        patience: Duration,
        what: &str,
        check: impl Fn() -> Result<T, String>,
    ) -> T {
        Self::wait(patience, check)
            .unwrap_or_else(|why| panic!("no {what} within {patience:?}: {why}"))
    }

    fn wait<T>(patience: Duration, check: impl Fn() -> Result<T, String>) -> Result<T, String> {
        let deadline = Instant::now() + patience;
        loop {
            match check() {
                Err(_) if Instant::now() < deadline => {}
                found => return found,
            }
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    /// Copies logs and objects that would be deleted with the cluster.
    fn keep_evidence(&self) {
        let folder = std::env::temp_dir().join(format!("nanoseg-day-{}", std::process::id()));
        let text = folder.to_string_lossy().into_owned();
        self.tell(json!({"do": "logs", "folder": text}));
        let kinds = "pods,networkpolicies,segmentations,policyproposals,proposaldecisions,events";
        let objects = self.kubectl(&["get", kinds, "-A", "-o", "yaml"]);
        let _ = std::fs::write(folder.join("objects.yaml"), objects.stdout);
        let record = self.olga(&["record", "show", "cluster"]);
        let _ = std::fs::write(folder.join("record.txt"), record.stdout + &record.stderr);
        eprintln!("what there was at the end is in {text}");
    }
}

impl Process {
    fn event(&mut self, wanted: &str) -> Value {
        let line = self.events.next().expect("an event").expect("a line");
        let event: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(event["event"], wanted, "{line}");
        event
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The end of its input ends it.
        drop(self.commands.take());
        let _ = self.child.wait();
    }
}

impl Drop for RealCluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let kept = std::panic::AssertUnwindSafe(|| self.keep_evidence());
            let _ = std::panic::catch_unwind(kept);
        }
    }
}
