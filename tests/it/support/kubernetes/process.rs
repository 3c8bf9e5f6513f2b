//! Processes that end with the test run, however it ends, and a folder that is deleted with them.

use std::ffi::CString;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, Sender, channel};

/// A process that is killed when the value is dropped, and with the test run. Its output is in a file.
pub struct Program {
    child: Child,
    log: PathBuf,
}

impl Program {
    /// Starts a process. `log` gets its stdout and stderr.
    pub fn start(mut command: Command, log: &Path) -> Program {
        let mut options = File::options();
        let file = options.create(true).append(true).open(log);
        let file = file.unwrap_or_else(|error| panic!("{}: {error}", log.display()));
        command
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a descriptor"))
            .stderr(file);
        Program {
            child: spawn(command),
            log: log.to_owned(),
        }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, and does not wait.
    pub fn signal(&self, signal: i32) {
        // SAFETY: the child was not waited for, so the id is still its own.
        unsafe { libc::kill(self.child.id().cast_signed(), signal) };
    }

    /// Sends SIGKILL, and waits for the end.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Returns the exit code if it has ended; -1 for a signal.
    pub fn ended(&mut self) -> Option<i32> {
        let status = self.child.try_wait().expect("a child");
        status.map(|status| status.code().unwrap_or(-1))
    }

    /// Returns the name of the log file without its extension.
    pub fn name(&self) -> String {
        let name = self.log.file_stem().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// Returns its name and the end of its output.
    pub fn last_words(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let last = lines.len().saturating_sub(8);
        format!("-- {}\n{}", self.name(), lines[last..].join("\n"))
    }

    /// Returns its output so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

type Order = (Command, Sender<std::io::Result<Child>>);

/// Starts a command whose process the kernel kills when this process ends. The kernel kills it at the end of the thread
/// that started it, so one thread that never ends starts all of them.
fn spawn(mut command: Command) -> Child {
    static KEEPER: OnceLock<Sender<Order>> = OnceLock::new();
    // SAFETY: between fork and exec this makes one system call.
    unsafe {
        command.pre_exec(
            || match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            },
        );
    }
    let keeper = KEEPER.get_or_init(|| {
        let (sender, orders): (_, Receiver<Order>) = channel();
        std::thread::spawn(move || {
            for (mut command, answer) in orders {
                let _ = answer.send(command.spawn());
            }
        });
        sender
    });
    let name = command.get_program().to_owned();
    let (answer, started) = channel();
    keeper.send((command, answer)).expect("the keeper lives");
    let started = started.recv().expect("the keeper answers");
    started.unwrap_or_else(|error| panic!("{}: {error}", name.display()))
}

/// Makes the command see the first file of each pair at the path of the second one. Other processes are not affected.
pub fn bind_files(command: &mut Command, files: &[(PathBuf, PathBuf)]) {
    let c = |path: &Path| CString::new(path.as_os_str().as_bytes()).expect("a path");
    let files: Vec<_> = files.iter().map(|(from, to)| (c(from), c(to))).collect();
    let checked = |result: i32| match result {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    };
    // SAFETY: between fork and exec this makes only system calls, with strings that were created before.
    unsafe {
        command.pre_exec(move || {
            let none = std::ptr::null();
            checked(libc::unshare(libc::CLONE_NEWNS))?;
            let alone = libc::MS_REC | libc::MS_PRIVATE;
            checked(libc::mount(none, c"/".as_ptr(), none, alone, none.cast()))?;
            for (from, to) in &files {
                let (from, to) = (from.as_ptr(), to.as_ptr());
                checked(libc::mount(from, to, none, libc::MS_BIND, none.cast()))?;
            }
            Ok(())
        });
    }
}

/// A folder that another process deletes after the end of this process, because values in statics are never dropped.
pub struct KeptFolder {
    path: PathBuf,
    /// The process that deletes it. It waits for the end of its stdin, whose other end is in this process.
    guard: Child,
}

impl KeptFolder {
    pub fn make() -> KeptFolder {
        let prefix = format!("nanoseg-k8s-{}-", std::process::id());
        let made = tempfile::Builder::new().prefix(&prefix).tempdir();
        let path = made.expect("a folder").keep();
        // Twice, because processes that write to it may end slightly later.
        let script = r#"read -r _; rm -rf "$0"; sleep 1; rm -rf "$0""#;
        let guard = Command::new("sh")
            .args(["-c", script])
            .arg(&path)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // It ignores Ctrl-C.
            .process_group(0)
            .spawn()
            .expect("sh starts");
        KeptFolder { path, guard }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The folder for logs of a cluster that did not start.
impl Drop for KeptFolder {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}
