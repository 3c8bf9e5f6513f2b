//! CPU and memory of the conntrack source while a generator opens and closes connections.
//!
//! `cargo bench --bench conntrack -- [connections per second]…` as root, with `ip` and `nft`: it creates a network
//! namespace and deletes it afterwards.

#![allow(
    clippy::unwrap_used,
    reason = "a bench that fails to unwrap has failed"
)]
#![allow(
    unsafe_code,
    reason = "measuring memory and time of processes takes system calls without a safe wrapper"
)]

use nanoseg::flow::{Loss, Verdict};
use nanoseg::observe::{AddressChanges, Conntrack, ConntrackOptions, LiveSource, Urgency};
use std::collections::BTreeMap;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const NAMESPACE: &str = "ctt-bench";
const SECONDS: u64 = 10;
const SERVERS: u16 = 32;

fn main() {
    let rates: Vec<u64> = std::env::args()
        .filter_map(|argument| argument.parse().ok())
        .collect();
    let rates = if rates.is_empty() {
        vec![1_000, 10_000]
    } else {
        rates
    };
    let made = Command::new("ip")
        .args(["netns", "add", NAMESPACE])
        .status();
    if !made.is_ok_and(|status| status.success()) {
        eprintln!("skipped: needs root and ip of iproute2");
        return;
    }
    // A new thread is in the network namespace of the thread that starts it.
    enter();
    prepare();
    for rate in rates {
        measure(rate);
    }
    let _ = Command::new("ip")
        .args(["netns", "del", NAMESPACE])
        .status();
}

fn enter() {
    let namespace = std::fs::File::open(format!("/run/netns/{NAMESPACE}")).expect("a namespace");
    // SAFETY: the descriptor is open.
    let result = unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

fn prepare() {
    for words in ["link set lo up", "addr add 10.9.0.1/24 dev lo"] {
        let status = Command::new("ip").args(words.split(' ')).status();
        assert!(status.expect("ip").success());
    }
    let mut nft = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("nft");
    let rules = "table inet track { chain output { type filter hook output priority 0; ct state established accept; }; }";
    nft.stdin
        .take()
        .expect("stdin")
        .write_all(rules.as_bytes())
        .expect("nft reads");
    assert!(nft.wait().expect("nft").success());
    // Short timeouts, so that connections end as fast as they begin.
    let close = "/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_close";
    std::fs::write(close, "2").expect("a sysctl");
    std::fs::write("/proc/sys/net/netfilter/nf_conntrack_acct", "1").expect("a sysctl");
}

fn measure(rate: u64) {
    let mut source =
        Conntrack::open(ConntrackOptions::default(), AddressChanges::default()).expect("opens");
    let stop = AtomicBool::new(false);
    let (made, seen, losses, cpu, wall) = std::thread::scope(|scope| {
        let stop = &stop;
        let watcher = scope.spawn(move || {
            let (start, before) = (Instant::now(), thread_cpu());
            let mut seen = 0;
            let mut losses: BTreeMap<Loss, u64> = BTreeMap::new();
            let mut taken = Instant::now();
            let mut records = 0;
            while !stop.load(Ordering::Relaxed) {
                source.poll(Duration::from_millis(250)).expect("goes on");
                let window = match source.urgency() {
                    Urgency::None => 10_000,
                    Urgency::NewEdge => 1_000,
                    Urgency::Full => 0,
                };
                if taken.elapsed() >= Duration::from_millis(window) {
                    taken = Instant::now();
                    records += count(source.take(), &mut seen, &mut losses);
                }
            }
            let (cpu, wall) = (thread_cpu() - before, start.elapsed());
            // The generator has stopped; wait for the pending events.
            for _ in 0..4 {
                source.poll(Duration::from_millis(250)).expect("goes on");
            }
            records += count(source.take(), &mut seen, &mut losses);
            println!("{records} records, {:?}", source.counters().read());
            (seen, losses, cpu, wall)
        });
        let made = generate(rate);
        stop.store(true, Ordering::Relaxed);
        let (seen, losses, cpu, wall) = watcher.join().expect("the watcher");
        (made, seen, losses, cpu, wall)
    });
    println!(
        "{rate} wanted, {:.0} made per second: {seen} of {made} seen, losses {losses:?}, source thread {:.1} % of a core, RSS {} KiB",
        made as f64 / wall.as_secs_f64(),
        100.0 * cpu.as_secs_f64() / wall.as_secs_f64(),
        resident_kib()
    );
}

fn count(
    slice: nanoseg::flow::Observations,
    seen: &mut u64,
    losses: &mut BTreeMap<Loss, u64>,
) -> usize {
    for (_, record) in &slice.records {
        // Records with a client port are left over from the measurement before.
        if record.verdict == Verdict::Established && record.client_port.is_none() {
            *seen += record.connections;
        }
    }
    for (loss, count) in slice.losses {
        *losses.entry(loss).or_default() += count;
    }
    slice.records.len()
}

/// Opens and aborts connections at the given rate. Returns their number.
fn generate(rate: u64) -> u64 {
    let listeners: Vec<TcpListener> = (0..SERVERS)
        .map(|n| TcpListener::bind(SocketAddr::from(([10, 9, 0, 1], 8000 + n))).expect("binds"))
        .collect();
    let start = Instant::now();
    let mut made = 0;
    while start.elapsed() < Duration::from_secs(SECONDS) {
        let due = (start.elapsed().as_secs_f64() * rate as f64) as u64;
        if made >= due {
            std::thread::sleep(Duration::from_millis(1));
            continue;
        }
        let listener = &listeners[made as usize % listeners.len()];
        let address = listener.local_addr().expect("bound");
        let Ok(client) = TcpStream::connect(address) else {
            continue;
        };
        let (server, _) = listener.accept().expect("accepted");
        let linger = libc::linger {
            l_onoff: 1,
            l_linger: 0,
        };
        // SAFETY: the descriptor is open, and the value has the length that is given.
        unsafe {
            libc::setsockopt(
                client.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_LINGER,
                std::ptr::from_ref(&linger).cast(),
                size_of_val(&linger) as libc::socklen_t,
            );
        }
        drop((client, server));
        made += 1;
    }
    made
}

fn thread_cpu() -> Duration {
    // SAFETY: an all-zero timespec is valid, and it outlives the call.
    let mut time: libc::timespec = unsafe { std::mem::zeroed() };
    // SAFETY: as above.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}
