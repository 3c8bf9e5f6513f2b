//! Synthesis and proof, timed: `cargo bench --bench policies -- --help`.
//!
//! nanoseg builds the graph from one flow record for each edge of a generated cluster. A result that is not sound and
//! tight fails.

#![allow(
    clippy::unwrap_used,
    reason = "a bench that fails to unwrap has failed"
)]
#![allow(
    unsafe_code,
    reason = "measuring memory and time of processes takes system calls without a safe wrapper"
)]

mod ground;
mod measure;
mod synthetic;

use clap::Parser;
use ground::Ground;
use measure::{median, millis};
use nanoseg::evaluate::PolicySets;
use nanoseg::inventory::WorkloadId;
use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use synthetic::cluster::ClusterSize;

type Failure = Box<dyn std::error::Error>;

/// The target: the number of workloads (with 20 000 edges), and the allowed time of synthesis and proof.
const TARGET: (usize, Duration) = (2000, Duration::from_secs(1));
/// See `pipeline.rs`.
const GROWTH: f64 = 1.5;

/// Times synthesis and proof.
#[derive(Debug, Parser)]
struct Options {
    /// Workloads of each cluster.
    #[arg(long, num_args = 1.., default_values_t = [500, 1000, 2000, 4000])]
    workloads: Vec<usize>,
    /// The number of other workloads that each workload calls.
    #[arg(long, default_value_t = 10)]
    calls: usize,
    #[arg(long, default_value_t = 2)]
    pods_per_workload: usize,
    /// Measured runs, after one run for warming up.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Set by `cargo bench`; ignored.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Returns the time of synthesis, the time of the proof, and the fault of the result, if there is one.
fn once(ground: &Ground) -> Result<(Duration, Duration, Option<String>), Failure> {
    let begin = Instant::now();
    let synthesis = nanoseg::policy::synthesise(
        &ground.inventory,
        &ground.requirements,
        &ground.workloads,
        &nanoseg::graph::OpenDirections::default(),
        &nanoseg::graph::DnsEvidence::default(),
        &Default::default(),
    );
    let synthesised = begin.elapsed();
    let managed: BTreeSet<WorkloadId> = synthesis
        .policies
        .iter()
        .map(|p| p.workload.clone())
        .collect();
    let policies: Vec<_> = synthesis
        .policies
        .iter()
        .map(|p| p.policy.clone())
        .collect();
    let begin = Instant::now();
    let sets = PolicySets::only(&policies);
    let proof = nanoseg::evaluate::prove(&ground.inventory, sets, &ground.requirements, &managed)?;
    let proven = begin.elapsed();
    let wrong = (!proof.is_sound() || !proof.is_tight()).then(|| {
        format!(
            "{} blocked, {} in excess",
            proof.blocked.len(),
            proof.excess.total
        )
    });
    Ok((synthesised, proven, wrong))
}

/// Measures one size and prints its line. Returns the nanoseconds per edge and whether all limits are met.
fn bench(options: &Options, workloads: usize) -> Result<(f64, bool), Failure> {
    let ground = Ground::build(ClusterSize {
        pods: workloads * options.pods_per_workload,
        workloads,
        namespaces: (workloads / 25).max(1),
        calls: options.calls,
    })?;
    let (_, _, wrong) = once(&ground)?;
    let (mut synthesis, mut proof, mut both) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..options.runs.max(1) {
        let (synthesised, proven, _) = once(&ground)?;
        synthesis.push(synthesised);
        proof.push(proven);
        both.push(synthesised + proven);
    }
    let (both, edges) = (median(both), ground.requirements.len());
    let per_edge = both.as_nanos() as f64 / edges as f64;
    println!(
        "{workloads:>9}  {edges:>6}  {:>9.1}  {:>6.1}  {:>6.1}  {:>7.2}",
        millis(median(synthesis)),
        millis(median(proof)),
        millis(both),
        per_edge / 1_000.0,
    );
    if let Some(wrong) = &wrong {
        println!("WRONG     {wrong}");
    }
    let mut good = wrong.is_none();
    if workloads == TARGET.0 {
        let word = if both < TARGET.1 { "PASS" } else { "MISS" };
        println!("{word}      allowed are {:.0} ms", millis(TARGET.1));
        good &= both < TARGET.1;
    }
    Ok((per_edge, good))
}

fn run(options: &Options) -> Result<bool, Failure> {
    println!(
        "workloads   edges  synthesis   proof    both  µs/edge\n{:>28}  {:>6}  {:>6}",
        "ms", "ms", "ms"
    );
    let (mut good, mut costs) = (true, Vec::new());
    for workloads in &options.workloads {
        if *workloads <= options.calls || options.pods_per_workload == 0 {
            return Err("wants more workloads than calls, and a pod for each".into());
        }
        let (cost, fine) = bench(options, *workloads)?;
        good &= fine;
        costs.push(cost);
    }
    if let [smallest, .., largest] = costs.as_slice() {
        let growth = largest / smallest;
        let word = if growth <= GROWTH { "PASS" } else { "MISS" };
        println!("{word}      an edge of the largest costs {growth:.2} times one of the smallest");
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
