//! The cost of live capture on a node that routes between two pods: processor time of the capture thread, memory, and
//! the additional work of the kernel, at several rates of new connections.
//!
//! `cargo bench --bench live_capture [-- RATE…]`; needs root, `ip` and `nft`.

#![allow(
    clippy::unwrap_used,
    reason = "a bench that fails to unwrap has failed"
)]
#![allow(
    unsafe_code,
    reason = "measuring memory and time of processes takes system calls without a safe wrapper"
)]

#[path = "../tests/it/capture/network.rs"]
#[allow(dead_code)] // The tests use more of it.
mod network;

use nanoseg::observe::{AddressChanges, CaptureSettings, Pace, PacketSocket, Stop, run};
use network::Network;
use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

const SECONDS: u64 = 15;
const PORTS: u16 = 16;

fn main() {
    let args: Vec<String> = std::env::args().filter(|arg| arg != "--bench").collect();
    match args.get(1).map(String::as_str) {
        Some("serve") => serve(),
        Some("call") => call(args[2].parse().expect("a rate")),
        _ if network::is_possible() => {
            let rates: Vec<u64> = args[1..].iter().flat_map(|rate| rate.parse()).collect();
            let rates = if rates.is_empty() {
                vec![1000, 10_000]
            } else {
                rates
            };
            for rate in rates {
                measure(rate, false);
                measure(rate, true);
            }
        }
        _ => {}
    }
}

fn within(network: &Network, end: &str, args: &[&str]) -> Command {
    let me = std::env::current_exe().expect("this program");
    let mut command = Command::new("ip");
    command.args(["netns", "exec", &network.name(end)]);
    command.arg(me).args(args);
    command
}

fn measure(rate: u64, capture: bool) {
    let network = Network::new();
    let mut server = within(&network, "s", &["serve"]).spawn().expect("a server");
    std::thread::sleep(Duration::from_millis(300));
    let stop = Stop::default();
    let (stopped, (sender, slices)) = (stop.clone(), sync_channel(1024));
    let (ready, started) = sync_channel(1);
    let thread = network.within("n", move || {
        if !capture {
            return None;
        }
        let mut source = PacketSocket::open(CaptureSettings::default(), AddressChanges::default());
        let source = source.as_mut().expect("a packet socket");
        let counters = source.counters();
        ready.send(()).expect("somebody waits");
        run(source, Pace::default(), &stopped, &sender).expect("runs");
        let (packets, drops) = (
            counters.packets.load(Relaxed),
            counters.kernel_drops.load(Relaxed),
        );
        Some((thread_seconds(), packets, drops))
    });
    // An error if nothing is captured.
    let _ = started.recv();
    let (busy, began) = (machine_seconds(), Instant::now());
    let rate_text = rate.to_string();
    let calls = within(&network, "c", &["call", &rate_text])
        .output()
        .expect("calls");
    let (busy, took) = (machine_seconds() - busy, began.elapsed().as_secs_f64());
    let resident = resident_mib();
    stop.stop();
    let cost = thread.join().expect("no panic");
    let seen: u64 = slices
        .try_iter()
        .flat_map(|slice: nanoseg::flow::Observations| slice.records)
        .map(|(_, record)| record.connections)
        .sum();
    server.kill().expect("killed");
    let _ = server.wait();
    let made: f64 = String::from_utf8_lossy(&calls.stdout)
        .trim()
        .parse()
        .expect("a number");
    println!(
        "{:.0} connections/s: the whole machine busy {:.1} % of a core",
        made / took,
        100.0 * busy / took
    );
    if let Some((seconds, packets, drops)) = cost {
        println!(
            "  capture: {:.1} % of a core, {resident:.1} MiB resident; {made} made, {seen} seen; \
             {packets} packets, {drops} dropped",
            100.0 * seconds / took
        );
    }
}

fn serve() {
    let threads: Vec<_> = (0..PORTS)
        .map(|port| {
            std::thread::spawn(move || {
                let listener = TcpListener::bind(("0.0.0.0", 9000 + port)).expect("a listener");
                // The server closes first, so that the client's ports are free again.
                listener.incoming().for_each(drop);
            })
        })
        .collect();
    threads
        .into_iter()
        .for_each(|thread| thread.join().expect("serves"));
}

fn call(rate: u64) {
    let began = Instant::now();
    let (mut made, mut failed) = (0u64, 0u64);
    while began.elapsed() < Duration::from_secs(SECONDS) {
        let wanted = began.elapsed().as_micros() as u64 * rate / 1_000_000;
        while made < wanted {
            let port = 9000 + (made % u64::from(PORTS)) as u16;
            match TcpStream::connect(SocketAddr::from(([10, 92, 0, 2], port))) {
                Ok(mut stream) => drop(stream.read(&mut [0; 1])),
                // The client has no free port.
                Err(_) => failed += 1,
            }
            made += 1;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    println!("{}", made - failed);
}

/// Returns the processor time of this thread, in seconds.
fn thread_seconds() -> f64 {
    // SAFETY: plain data, filled in by the call.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage);
        usage
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

/// Returns the processor time of this machine that is not idle, in seconds.
fn machine_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/stat").expect("/proc/stat");
    let ticks: Vec<f64> = text
        .lines()
        .next()
        .unwrap_or("")
        .split_whitespace()
        .skip(1)
        .flat_map(str::parse)
        .collect();
    // All but idle and iowait, at 100 ticks a second.
    (ticks.iter().take(8).sum::<f64>() - ticks[3] - ticks[4]) / 100.0
}

fn resident_mib() -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").expect("/proc/self/status");
    let line = text
        .lines()
        .find(|line| line.starts_with("VmRSS"))
        .unwrap_or("");
    let kib: f64 = line
        .split_whitespace()
        .nth(1)
        .and_then(|n| n.parse().ok())
        .unwrap_or(0.0);
    kib / 1024.0
}
