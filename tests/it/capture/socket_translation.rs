//! Socket load balancing as Cilium does it without kube-proxy: a BPF program at `connect` gives the socket the address of a
//! backend, before any packet is made (Cilium's `bpf/bpf_sock.c`; here six instructions for one Service).

use std::ffi::CString;
use std::fs::File;
use std::net::SocketAddrV4;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// Of include/uapi/linux/bpf.h: commands, types and the place where it is attached.
const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_PROG_ATTACH: libc::c_long = 8;
const BPF_PROG_TYPE_CGROUP_SOCK_ADDR: u32 = 18;
const BPF_CGROUP_INET4_CONNECT: u32 = 10;
/// Offsets in `struct bpf_sock_addr`.
const USER_IP4: i16 = 4;
const USER_PORT: i16 = 24;

/// A group of processes whose connections to a Service go to a backend. It is removed with this value.
pub struct TranslatedSockets {
    group: PathBuf,
    _program: OwnedFd,
}

/// `union bpf_attr` for loading, up to what is needed.
#[repr(C)]
struct Load {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log: [u32; 4],
    rest: [u8; 28],
    expected_attach: u32,
}

/// `union bpf_attr` for attaching.
#[repr(C)]
struct Attach {
    target: u32,
    program: u32,
    kind: u32,
    flags: u32,
}

fn bpf<T>(command: libc::c_long, attributes: &T) -> Result<i32, String> {
    // SAFETY: the kernel reads the attributes, which are as large as is said, and what they point to outlives the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            attributes as *const T,
            size_of::<T>(),
        )
    };
    i32::try_from(result)
        .ok()
        .filter(|result| *result >= 0)
        .ok_or_else(|| format!("bpf: {}", std::io::Error::last_os_error()))
}

/// One instruction: operation, registers (target, source), offset, value.
fn instruction(operation: u8, registers: (u8, u8), offset: i16, value: i32) -> [u8; 8] {
    let (target, source) = registers;
    let [o0, o1] = offset.to_le_bytes();
    let [v0, v1, v2, v3] = value.to_le_bytes();
    [operation, source << 4 | target, o0, o1, v0, v1, v2, v3]
}

fn program(service: SocketAddrV4, backend: SocketAddrV4) -> Vec<[u8; 8]> {
    let address = |end: SocketAddrV4| i32::from_ne_bytes(end.ip().octets());
    let port = |end: SocketAddrV4| i32::from(end.port().to_be());
    vec![
        instruction(0x61, (2, 1), USER_IP4, 0), // r2 = the address
        instruction(0x56, (2, 0), 6, address(service)), // another one: to the end
        instruction(0x61, (2, 1), USER_PORT, 0), // r2 = the port
        instruction(0x56, (2, 0), 4, port(service)), // another one: to the end
        instruction(0xb4, (2, 0), 0, address(backend)),
        instruction(0x63, (1, 2), USER_IP4, 0),
        instruction(0xb4, (2, 0), 0, port(backend)),
        instruction(0x63, (1, 2), USER_PORT, 0),
        instruction(0xb7, (0, 0), 0, 1), // go on
        instruction(0x95, (0, 0), 0, 0),
    ]
}

impl TranslatedSockets {
    /// # Errors
    /// What is missing on this machine.
    pub fn new(service: SocketAddrV4, backend: SocketAddrV4) -> Result<Self, String> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("nanoseg-test-{}-{number}", std::process::id());
        let roots = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
        let root = roots.into_iter().map(Path::new);
        let root = root.into_iter().find(|root| {
            root.join("cgroup.procs").exists() && root.join("cgroup.controllers").exists()
        });
        let group = root.ok_or("a cgroup2 file system")?.join(name);
        let code = program(service, backend);
        let license = CString::new("GPL").expect("no zero");
        let loaded = bpf(
            BPF_PROG_LOAD,
            &Load {
                kind: BPF_PROG_TYPE_CGROUP_SOCK_ADDR,
                count: u32::try_from(code.len()).expect("few"),
                instructions: code.as_ptr() as u64,
                license: license.as_ptr() as u64,
                log: [0; 4],
                rest: [0; 28],
                expected_attach: BPF_CGROUP_INET4_CONNECT,
            },
        )?;
        // SAFETY: the kernel has just given this descriptor to us.
        let program = unsafe { OwnedFd::from_raw_fd(loaded) };
        std::fs::create_dir(&group).map_err(|error| format!("{}: {error}", group.display()))?;
        let made = TranslatedSockets {
            group,
            _program: program,
        };
        let folder = File::open(&made.group).map_err(|error| error.to_string())?;
        let number = |descriptor: i32| u32::try_from(descriptor).expect("open");
        bpf(
            BPF_PROG_ATTACH,
            &Attach {
                target: number(folder.as_raw_fd()),
                program: number(made._program.as_raw_fd()),
                kind: BPF_CGROUP_INET4_CONNECT,
                flags: 0,
            },
        )?;
        Ok(made)
    }

    /// A shell in a network namespace, whose connections are translated.
    pub fn shell(&self, namespace: &str, script: &str) -> Command {
        let procs = self.group.join("cgroup.procs");
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace, "bash", "-ec", script]);
        // SAFETY: between fork and exec it writes one file; nothing there allocates in a way that a lock could hold up,
        // since the child has one thread.
        unsafe {
            command.pre_exec(move || std::fs::write(&procs, "0"));
        }
        command
    }
}

impl Drop for TranslatedSockets {
    fn drop(&mut self) {
        // The last of its processes may still be ending.
        for _ in 0..1000 {
            if std::fs::remove_dir(&self.group).is_ok() {
                return;
            }
            std::thread::yield_now();
        }
    }
}
