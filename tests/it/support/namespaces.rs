//! Network namespaces for tests: a client and a server with a router between them.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// A network namespace that goes away with the value.
pub struct Namespace {
    name: String,
}

impl Namespace {
    fn new(name: String) -> Self {
        run("ip", &["netns", "add", &name]);
        let namespace = Namespace { name };
        namespace.ip("link set lo up");
        namespace
    }

    /// Runs `ip` in it.
    pub fn ip(&self, words: &str) {
        let mut arguments = vec!["-n", &self.name];
        arguments.extend(words.split(' '));
        run("ip", &arguments);
    }

    /// Loads nftables rules into it.
    pub fn nft(&self, rules: &str) {
        let mut child = Command::new("ip")
            .args(["netns", "exec", &self.name, "nft", "-f", "-"])
            .stdin(Stdio::piped())
            .spawn()
            .expect("nft starts");
        let mut stdin = child.stdin.take().expect("its stdin");
        stdin.write_all(rules.as_bytes()).expect("nft reads");
        drop(stdin);
        assert!(child.wait().expect("nft ends").success(), "nft: {rules}");
    }

    /// Sets a sysctl of it: "net/netfilter/nf_conntrack_acct".
    pub fn sysctl(&self, path: &str, value: &str) {
        self.inside(|| std::fs::write(format!("/proc/sys/{path}"), value))
            .unwrap_or_else(|error| panic!("{path}: {error}"));
    }

    /// Runs something on a thread that is in it. Sockets stay in the namespace that they were made in.
    pub fn inside<T: Send>(&self, what: impl FnOnce() -> T + Send) -> T {
        let namespace = File::open(format!("/run/netns/{}", self.name)).expect("a namespace");
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                // SAFETY: the descriptor is open; only this thread's namespace changes.
                let result = unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) };
                assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
                what()
            });
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip")
            .args(["netns", "del", &self.name])
            .status();
    }
}

/// A client and a server that reach each other through a router, by IPv4 and IPv6:
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
    /// `None` where this cannot be done here: says what is missing, and fails where it must not be.
    pub fn build() -> Option<Self> {
        if let Some(lack) = lack() {
            eprintln!("skipped: needs {lack}");
            let required = std::env::var("NANOSEG_REQUIRE_ALL").is_ok_and(|value| value == "1");
            assert!(!required, "needs {lack}");
            return None;
        }
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name =
            |what: &str| Namespace::new(format!("ctt-{}-{number}-{what}", std::process::id()));
        let (client, router, server) = (name("client"), name("router"), name("server"));
        router.sysctl("net/ipv4/ip_forward", "1");
        router.sysctl("net/ipv6/conf/all/forwarding", "1");
        for (side, host) in [(1, &client), (2, &server)] {
            router.ip(&format!(
                "link add side{side} type veth peer name eth0 netns {}",
                host.name
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

/// What is missing for namespaces with rules.
fn lack() -> Option<&'static str> {
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

fn run(tool: &str, arguments: &[&str]) {
    let status = Command::new(tool).args(arguments).status();
    let status = status.unwrap_or_else(|error| panic!("{tool}: {error}"));
    assert!(status.success(), "{tool} {}", arguments.join(" "));
}
