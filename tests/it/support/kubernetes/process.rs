//! Processes that end with the test run, however it ends, and a folder that goes with them.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
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

/// A folder that somebody else removes after the end of this process, as values in statics are never dropped.
pub struct KeptFolder {
    path: PathBuf,
    /// Its end is what the guard waits for.
    _life: Option<ChildStdin>,
}

impl KeptFolder {
    pub fn make() -> KeptFolder {
        let prefix = format!("nanoseg-k8s-{}-", std::process::id());
        let made = tempfile::Builder::new().prefix(&prefix).tempdir();
        let path = made.expect("a folder").keep();
        // Twice, as those who write into it may die a moment later.
        let script = r#"read -r _; rm -rf "$0"; sleep 1; rm -rf "$0""#;
        let mut guard = Command::new("sh")
            .args(["-c", script])
            .arg(&path)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C is not for it.
            .process_group(0)
            .spawn()
            .expect("sh starts");
        KeptFolder {
            path,
            _life: guard.stdin.take(),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}
