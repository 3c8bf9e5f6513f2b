//! Capture → graph, timed: `cargo bench --bench pipeline -- --help`.
//!
//! Every run is a separate process, so that its peak memory is measured separately. A run fails if its graph has other
//! edges than the generated traffic: a fast wrong result does not count.

#![allow(
    clippy::unwrap_used,
    reason = "a bench that fails to unwrap has failed"
)]
#![allow(
    unsafe_code,
    reason = "measuring memory and time of processes takes system calls without a safe wrapper"
)]

mod measure;
mod synthetic;

use clap::Parser;
use measure::{median, millis, peak_mebibytes};
use nanoseg::cluster::read_cluster;
use nanoseg::flow::{FlowConfig, FlowTable};
use nanoseg::graph::{GraphOptions, InventoryListeners, address_epochs, build as build_graph};
use nanoseg::inventory::{Inventory, OwnerRule};
use nanoseg::observe::CaptureSet;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};
use synthetic::cluster::ClusterSize;
use synthetic::folder::{Folder, Recipe};
use synthetic::traffic::TrafficSize;

type Failure = Box<dyn std::error::Error>;

/// The allowed peak memory, in MiB.
const MEMORY: f64 = 150.0;
/// The allowed factor between the cost of a packet in the largest and in the smallest capture for which growth counts
/// as linear. Caches and a busy machine cause some tens of percent.
const GROWTH: f64 = 1.5;

/// Times read → decode → connections → attribution → graph.
#[derive(Debug, Parser)]
struct Options {
    /// Packets of each capture.
    #[arg(long, num_args = 1.., default_values_t = [1_000_000, 5_000_000, 10_000_000])]
    packets: Vec<u64>,
    /// Instead: 20 million packets over a day; half of the connections are never closed.
    #[arg(long)]
    idle: bool,
    /// Write connections through Services before and after translation.
    #[arg(long)]
    both_legs: bool,
    /// Measured runs of each capture, after one run for warming up.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// The folder in which captures are generated and kept.
    #[arg(long, default_value = "target/bench")]
    folder: PathBuf,
    /// Runs once on this folder and prints the figures for the parent process.
    #[arg(long, hide = true)]
    measure: Option<PathBuf>,
    /// Set by `cargo bench`; ignored.
    #[arg(long, hide = true)]
    bench: bool,
}

/// The figures of one run.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Run {
    /// Snapshot → inventory.
    snapshot: Duration,
    /// Read, decode, connections.
    packets: Duration,
    /// Attribution, graph.
    graph: Duration,
    peak: f64,
    seen: u64,
    connections: u64,
    records: usize,
    edges: u64,
}

impl Run {
    fn total(&self) -> Duration {
        self.snapshot + self.packets + self.graph
    }
}

fn recipe(packets: u64, idle: bool, both_legs: bool) -> Recipe {
    Recipe {
        cluster: ClusterSize {
            pods: 2000,
            workloads: 500,
            namespaces: 20,
            calls: 10,
        },
        traffic: TrafficSize {
            packets,
            connections: packets * 111 / 1000,
            seconds: if idle {
                86_400
            } else {
                (packets * 120).div_ceil(1_000_000)
            },
            through_services: 20,
            both_legs,
            idle: if idle { 50 } else { 0 },
        },
        seed: 1,
    }
}

/// Runs the whole pipeline once.
fn measure(folder: &Folder) -> Result<Run, Failure> {
    let begin = Instant::now();
    let inventory = {
        let (objects, _) = read_cluster(std::slice::from_ref(&folder.cluster))?;
        Inventory::build(&objects, OwnerRule::Infer).0
    };
    let snapshot = begin.elapsed();

    let begin = Instant::now();
    let mut table = FlowTable::new(
        InventoryListeners(&inventory),
        address_epochs(&inventory),
        FlowConfig::default(),
    );
    let captures = CaptureSet::open(std::slice::from_ref(&folder.capture))?;
    let (summary, skipped) = captures.feed(&mut table, |_| {})?;
    let flows = table.finish();
    let packets = begin.elapsed();
    if skipped.total() > 0 {
        return Err(format!("{} frames were not decoded", skipped.total()).into());
    }

    let begin = Instant::now();
    let built = build_graph(&flows, &inventory, GraphOptions::default());
    let graph = begin.elapsed();
    Ok(Run {
        snapshot,
        packets,
        graph,
        peak: peak_mebibytes().unwrap_or(f64::NAN),
        seen: summary.packets,
        connections: flows.counters.connections,
        records: flows.records.len(),
        edges: built.graph.taught().len() as u64,
    })
}

/// Runs this program on `folder` in a separate process.
fn measure_apart(path: &Path) -> Result<Run, Failure> {
    let output = Command::new(std::env::current_exe()?)
        .arg("--measure")
        .arg(path)
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Returns the difference between a run's result and the expected one, if there is one.
fn difference(run: &Run, folder: &Folder) -> Result<Option<String>, Failure> {
    let expected: serde_json::Value = serde_json::from_slice(&std::fs::read(&folder.expected)?)?;
    for (what, got) in [
        ("packets", run.seen),
        ("connections", run.connections),
        ("edges", run.edges),
    ] {
        if expected[what] != got {
            return Ok(Some(format!("{got} {what}, made were {}", expected[what])));
        }
    }
    Ok(None)
}

/// Measures one capture and prints its line. Returns the nanoseconds per packet and whether all limits are met.
fn bench(options: &Options, packets: u64) -> Result<(f64, bool), Failure> {
    let legs = if options.both_legs { "-both-legs" } else { "" };
    let idle = if options.idle { "-idle" } else { "" };
    let path = options
        .folder
        .join(format!("{}m{idle}{legs}", packets / 1_000_000));
    let folder = recipe(packets, options.idle, options.both_legs).make(&path)?;
    let first = measure_apart(&path)?;
    let wrong = difference(&first, &folder)?;
    let mut runs = Vec::new();
    for _ in 0..options.runs.max(1) {
        runs.push(measure_apart(&path)?);
    }
    let middle = |part: fn(&Run) -> Duration| median(runs.iter().map(part).collect());
    let per_packet = middle(|run| run.packets).as_nanos() as f64 / first.seen as f64;
    let peak = runs.iter().map(|run| run.peak).fold(0.0, f64::max);
    println!(
        "{:>10}  {:>9}  {:>7}  {:>6}  {:>8.0}  {:>7.0}  {:>6.0}  {:>6.0}  {:>7.0}  {:>6.2}  {:>5.0}",
        first.seen,
        first.connections,
        first.records,
        first.edges,
        millis(middle(|run| run.snapshot)),
        millis(middle(|run| run.packets)),
        millis(middle(|run| run.graph)),
        millis(middle(Run::total)),
        per_packet,
        1_000.0 / per_packet,
        peak,
    );
    if let Some(wrong) = &wrong {
        println!("WRONG     the result has {wrong}");
    }
    if peak > MEMORY {
        println!("MISS      {peak:.0} MiB at the peak, allowed are {MEMORY:.0}");
    }
    Ok((per_packet, wrong.is_none() && peak <= MEMORY))
}

fn run(options: &Options) -> Result<bool, Failure> {
    if let Some(path) = &options.measure {
        println!("{}", serde_json::to_string(&measure(&Folder::at(path))?)?);
        return Ok(true);
    }
    println!(
        "   packets      conns  records   edges  snapshot  packets   graph   total  ns/pkt  Mpkt/s   peak\n\
         {:>47}  {:>7}  {:>6}  {:>6}  {:>21}",
        "ms", "ms", "ms", "ms", "MiB"
    );
    let sizes = if options.idle {
        vec![20_000_000]
    } else {
        options.packets.clone()
    };
    let (mut good, mut costs) = (true, Vec::new());
    for packets in sizes {
        let (cost, fine) = bench(options, packets)?;
        good &= fine;
        costs.push(cost);
    }
    if let [smallest, .., largest] = costs.as_slice() {
        let growth = largest / smallest;
        let word = if growth <= GROWTH { "PASS" } else { "MISS" };
        println!(
            "{word}      a packet of the largest capture costs {growth:.2} times one of the smallest"
        );
        good &= growth <= GROWTH;
    }
    Ok(good)
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}
