//! Network namespaces for tests: a client and a server with a router between them.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// A network namespace without a name: the kernel deletes it when this value and the processes in it are gone, however
/// they ended.
pub struct Namespace {
    file: File,
}

impl Namespace {
    pub fn new() -> Self {
        let made = std::thread::spawn(|| {
            // SAFETY: only this thread's namespace changes.
            let result = unsafe { libc::unshare(libc::CLONE_NEWNET) };
            assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
            File::open("/proc/thread-self/ns/net").expect("a namespace")
        });
        let file = made.join().expect("a namespace");
        let namespace = Namespace { file };
        namespace.ip("link set lo up");
        namespace
    }

    /// Returns the file of this namespace, for `ip link add … netns PATH` and `nsenter --net=PATH`. It is valid while
    /// this process runs.
    pub fn path(&self) -> String {
        let (process, descriptor) = (std::process::id(), self.file.as_raw_fd());
        format!("/proc/{process}/fd/{descriptor}")
    }

    /// Returns a command that runs in the namespace.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let file = self.file.try_clone().expect("a descriptor");
        let mut command = Command::new(program);
        // SAFETY: between fork and exec this makes one system call, on a descriptor that is open.
        unsafe {
            command.pre_exec(
                move || match libc::setns(file.as_raw_fd(), libc::CLONE_NEWNET) {
                    0 => Ok(()),
                    _ => Err(std::io::Error::last_os_error()),
                },
            );
        }
        command
    }

    /// Runs `ip` in the namespace.
    pub fn ip(&self, words: &str) {
        let status = self.command("ip").args(words.split(' ')).status();
        assert!(status.expect("ip starts").success(), "ip {words}");
    }

    /// Loads nftables rules in the namespace.
    pub fn nft(&self, rules: &str) {
        let mut child = self
            .command("nft")
            .args(["-f", "-"])
            .stdin(Stdio::piped())
            .spawn()
            .expect("nft starts");
        let mut stdin = child.stdin.take().expect("its stdin");
        stdin.write_all(rules.as_bytes()).expect("nft reads");
        drop(stdin);
        assert!(child.wait().expect("nft ends").success(), "nft: {rules}");
    }

    /// Sets a sysctl of the namespace, such as "net/netfilter/nf_conntrack_acct".
    pub fn sysctl(&self, path: &str, value: &str) {
        self.inside(|| std::fs::write(format!("/proc/sys/{path}"), value))
            .unwrap_or_else(|error| panic!("{path}: {error}"));
    }

    /// Runs a function on a thread in the namespace. Sockets stay in the namespace in which they were created.
    pub fn inside<T: Send>(&self, what: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                // SAFETY: the descriptor is open; only this thread's namespace changes.
                let result = unsafe { libc::setns(self.file.as_raw_fd(), libc::CLONE_NEWNET) };
                assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
                what()
            });
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

/// A client and a server that reach each other through a router, with IPv4 and IPv6:
///
/// | | client | router | server |
/// |---|---|---|---|
/// | left | 10.77.1.2, fd77:1::2 | 10.77.1.1, fd77:1::1 | |
/// | right | | 10.77.2.1, fd77:2::1 | 10.77.2.2, fd77:2::2 |
pub struct Routed {
    pub client: Namespace,
    pub router: Namespace,
    pub server: Namespace,
}

impl Routed {
    /// Creates the network. Returns `None` and prints what is missing if this is not possible; fails if nothing may be
    /// missing.
    pub fn build() -> Option<Self> {
        if let Some(lack) = lack() {
            eprintln!("skipped: needs {lack}");
            let required = std::env::var("NANOSEG_REQUIRE_ALL").is_ok_and(|value| value == "1");
            assert!(!required, "needs {lack}");
            return None;
        }
        let (client, router, server) = (Namespace::new(), Namespace::new(), Namespace::new());
        router.sysctl("net/ipv4/ip_forward", "1");
        router.sysctl("net/ipv6/conf/all/forwarding", "1");
        for (side, host) in [(1, &client), (2, &server)] {
            router.ip(&format!(
                "link add side{side} type veth peer name eth0 netns {}",
                host.path()
            ));
            for (place, device, end) in [
                (&router, format!("side{side}"), 1),
                (host, "eth0".into(), 2),
            ] {
                place.ip(&format!("addr add 10.77.{side}.{end}/24 dev {device}"));
                place.ip(&format!(
                    "addr add fd77:{side}::{end}/64 dev {device} nodad"
                ));
                place.ip(&format!("link set {device} up"));
            }
            host.ip(&format!("route add default via 10.77.{side}.1"));
            host.ip(&format!("-6 route add default via fd77:{side}::1"));
        }
        Some(Routed {
            client,
            router,
            server,
        })
    }
}

/// Returns what is missing for namespaces with nftables rules.
pub fn lack() -> Option<&'static str> {
    // SAFETY: has no preconditions.
    if unsafe { libc::geteuid() } != 0 {
        return Some("root");
    }
    let there = |tool: &str| {
        Command::new(tool)
            .arg("-V")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok()
    };
    if !there("ip") {
        return Some("ip of iproute2");
    }
    (!there("nft")).then_some("nft of nftables")
}
