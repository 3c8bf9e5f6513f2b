//! Writes a capture with its cluster snapshot: `cargo bench --bench generate_capture -- --help`.

#![allow(
    clippy::unwrap_used,
    reason = "a bench that fails to unwrap has failed"
)]

mod synthetic;

use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;
use synthetic::cluster::ClusterSize;
use synthetic::folder::Recipe;
use synthetic::traffic::TrafficSize;

/// Makes a capture, its cluster snapshot and the expected figures: the same bytes for the same options.
#[derive(Debug, Parser)]
struct Options {
    /// Packets of all connections.
    #[arg(long, default_value_t = 5_000_000)]
    packets: u64,
    /// TCP connections. [default: 111 for every 1000 packets]
    #[arg(long)]
    connections: Option<u64>,
    #[arg(long, default_value_t = 2000)]
    pods: usize,
    /// [default: a quarter of the pods]
    #[arg(long)]
    workloads: Option<usize>,
    #[arg(long, default_value_t = 20)]
    namespaces: usize,
    /// The number of other workloads that each workload calls.
    #[arg(long, default_value_t = 10)]
    calls: usize,
    /// The percentage of connections through a cluster IP.
    #[arg(long, default_value_t = 20)]
    through_services: u64,
    /// Write connections through a cluster IP before and after translation, in addition to --packets.
    #[arg(long)]
    both_legs: bool,
    /// The percentage of connections that become idle and are never closed.
    #[arg(long, default_value_t = 0)]
    idle: u64,
    /// Duration of the traffic, in seconds. [default: 120 for every million packets]
    #[arg(long)]
    seconds: Option<u64>,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Folder for capture.pcap, cluster.json and expected.json. It is kept if it was made with the same options.
    #[arg(long, default_value = "target/bench/5m")]
    out: PathBuf,
    /// Set by `cargo bench`; ignored.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    fn recipe(&self) -> Recipe {
        Recipe {
            cluster: ClusterSize {
                pods: self.pods,
                workloads: self.workloads.unwrap_or(self.pods / 4),
                namespaces: self.namespaces,
                calls: self.calls,
            },
            traffic: TrafficSize {
                packets: self.packets,
                connections: self.connections.unwrap_or(self.packets * 111 / 1000),
                seconds: self
                    .seconds
                    .unwrap_or((self.packets * 120).div_ceil(1_000_000)),
                through_services: self.through_services,
                both_legs: self.both_legs,
                idle: self.idle.min(100),
            },
            seed: self.seed,
        }
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    let recipe = options.recipe();
    if let Some(problem) = recipe.problem() {
        eprintln!("generate_capture {problem}");
        return ExitCode::from(2);
    }
    match recipe.make(&options.out) {
        Ok(folder) => {
            println!("{}", folder.capture.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("failed to write {}: {error}", options.out.display());
            ExitCode::from(2)
        }
    }
}
