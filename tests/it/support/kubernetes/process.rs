//! Processes that end with the test run, however it ends, and a folder that goes with them.

use std::ffi::CString;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, Sender, channel};

/// A process that is killed with the value, and with the test run; what it says is in a file.
pub struct Program {
    child: Child,
    log: PathBuf,
}

impl Program {
    /// Starts it; `log` gets its stdout and stderr.
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
        // SAFETY: a child that was not waited for, so the id is still its own.
        unsafe { libc::kill(self.child.id().cast_signed(), signal) };
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The exit code, if it has ended; -1 for a signal.
    pub fn ended(&mut self) -> Option<i32> {
        let status = self.child.try_wait().expect("a child");
        status.map(|status| status.code().unwrap_or(-1))
    }

    /// The file's name without its end.
    pub fn name(&self) -> String {
        let name = self.log.file_stem().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// Its name and the last of what it said.
    pub fn last_words(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let last = lines.len().saturating_sub(8);
        format!("-- {}\n{}", self.name(), lines[last..].join("\n"))
    }

    /// Everything that it said so far.
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

/// Starts a command whose process the kernel kills when this process ends. The kernel goes by the end of the thread
/// that started it, so one thread that never ends starts them all.
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

/// The command will see the first file of each pair where the second is, and nobody else will.
pub fn bind_files(command: &mut Command, files: &[(PathBuf, PathBuf)]) {
    let c = |path: &Path| CString::new(path.as_os_str().as_bytes()).expect("a path");
    let files: Vec<_> = files.iter().map(|(from, to)| (c(from), c(to))).collect();
    let checked = |result: i32| match result {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    };
    // SAFETY: between fork and exec this makes system calls only, with strings that were made before.
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

/// A folder that somebody else removes after the end of this process, as values in statics are never dropped.
pub struct KeptFolder {
    path: PathBuf,
    /// It waits for the end of its stdin, which is this process's other end of the pipe.
    guard: Child,
}

impl KeptFolder {
    pub fn make() -> KeptFolder {
        let prefix = format!("nanoseg-k8s-{}-", std::process::id());
        let made = tempfile::Builder::new().prefix(&prefix).tempdir();
        let path = made.expect("a folder").keep();
        // Twice, as those who write into it may die a moment later.
        let script = r#"read -r _; rm -rf "$0"; sleep 1; rm -rf "$0""#;
        let guard = Command::new("sh")
            .args(["-c", script])
            .arg(&path)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C is not for it.
            .process_group(0)
            .spawn()
            .expect("sh starts");
        KeptFolder { path, guard }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Where the cluster did not come up.
impl Drop for KeptFolder {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}
