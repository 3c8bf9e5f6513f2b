//! A small network of namespaces: a client pod, a server pod, and the node between them, which routes and translates
//! addresses.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;

/// The node's two interfaces are `vethc` (to the client, 10.91.0.2) and `veths` (to the server,
/// 10.92.0.2). 10.96.0.10:80 is translated to 10.92.0.2:8080.
pub struct Network {
    prefix: String,
}

/// Checks what a test needs on the machine. Prints what is missing and returns false, or fails if the environment
/// requires that nothing is missing.
pub fn is_possible() -> bool {
    // SAFETY: no arguments, no effect.
    let root = unsafe { libc::geteuid() } == 0;
    let has = |tool: &str| {
        let found = Command::new(tool)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        found.is_ok() || tool == "ip" && Command::new("ip").arg("-V").status().is_ok()
    };
    if root && has("ip") && has("nft") {
        return true;
    }
    assert!(
        std::env::var_os("NANOSEG_REQUIRE_ALL").is_none(),
        "needs root, ip and nft"
    );
    eprintln!("skipped: needs root, ip and nft");
    false
}

pub fn run(command: &str) {
    let output = Command::new("sh").args(["-ec", command]).output();
    let output = output.expect("sh");
    assert!(
        output.status.success(),
        "{command}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

impl Network {
    pub fn new() -> Network {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("nscap{}x{number}", std::process::id());
        let network = Network { prefix };
        let [client, node, server] = ["c", "n", "s"].map(|end| network.name(end));
        run(&format!(
            "for n in {client} {node} {server}; do ip netns add $n; ip -n $n link set lo up; done
             ip netns exec {node} sysctl -qw net.ipv4.ip_forward=1
             ip -n {node} link add vethc type veth peer name eth0 netns {client}
             ip -n {node} link add veths type veth peer name eth0 netns {server}
             ip -n {node} addr add 10.91.0.1/24 dev vethc
             ip -n {node} addr add 10.92.0.1/24 dev veths
             ip -n {client} addr add 10.91.0.2/24 dev eth0
             ip -n {server} addr add 10.92.0.2/24 dev eth0
             for d in vethc veths; do ip -n {node} link set $d up; done
             for n in {client} {server}; do ip -n $n link set eth0 up; done
             ip -n {client} route add default via 10.91.0.1
             ip -n {server} route add default via 10.92.0.1
             ip netns exec {node} nft -f - <<'EOF'
             table ip nat {{
               chain pre {{
                 type nat hook prerouting priority dstnat
                 ip daddr 10.96.0.10 tcp dport 80 dnat to 10.92.0.2:8080
               }}
             }}
EOF
             ip netns exec {server} nft -f - <<'EOF'
             table ip gate {{
               chain in {{
                 type filter hook input priority 0
                 tcp dport 9999 drop
               }}
             }}
EOF"
        ));
        network
    }

    pub fn name(&self, end: &str) -> String {
        format!("{}{end}", self.prefix)
    }

    /// Runs something inside the namespace of `end`: `c`lient, `n`ode or `s`erver.
    pub fn within<T: Send + 'static>(
        &self,
        end: &str,
        what: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let path = format!("/run/netns/{}", self.name(end));
        std::thread::spawn(move || {
            let file = File::open(&path).expect("the namespace");
            // SAFETY: an open descriptor; only this thread changes its namespace.
            let outcome = unsafe { libc::setns(file.as_raw_fd(), libc::CLONE_NEWNET) };
            assert_eq!(outcome, 0, "setns {path}");
            what()
        })
    }

    /// Does the same as [`Network::within`], and waits for the end.
    pub fn inside<T: Send + 'static>(
        &self,
        end: &str,
        what: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        self.within(end, what).join().expect("no panic inside")
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for end in ["c", "n", "s"] {
            let name = self.name(end);
            let _ = Command::new("ip").args(["netns", "del", &name]).status();
        }
    }
}
