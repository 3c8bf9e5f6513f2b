//! The controller on a real API server, with many objects: `cargo bench --bench controller -- --help`.
//!
//! etcd, API server and controller manager are those of the tests. The controller is the optimised binary on the same
//! machine. Everything is measured from outside: with watches, /proc and /metrics.

#![allow(
    unsafe_code,
    reason = "namespaces and signals of processes take system calls without a safe wrapper"
)]
#![allow(
    clippy::unwrap_used,
    reason = "a bench that fails to unwrap has failed"
)]

#[path = "../tests/it/support"]
#[allow(
    dead_code,
    unused_imports,
    reason = "the tests' own, of which the control plane is used"
)]
mod support {
    pub mod kubernetes;
    pub mod namespaces;
    #[path = "../../support/tokens.rs"]
    pub mod tokens;
}

#[path = "controller"]
mod scale {
    pub mod bounds;
    pub mod feed;
    pub mod objects;
    pub mod process;
    pub mod table;
}

use clap::Parser;
use scale::feed::Feed;
use scale::objects::World;
use scale::process::Controller;
use scale::table::{Row, print};
use std::process::ExitCode;
use std::time::Duration;
use support::kubernetes::Cluster;

/// Times the controller on a real API server.
#[derive(Debug, Parser)]
pub struct Options {
    #[arg(long, default_value_t = 500)]
    namespaces: usize,
    /// Deployments in each namespace.
    #[arg(long, default_value_t = 2)]
    workloads: usize,
    /// Pods of each Deployment.
    #[arg(long, default_value_t = 5)]
    replicas: usize,
    /// New edges that are timed, one after the other.
    #[arg(long, default_value_t = 100)]
    edges: usize,
    /// Pods that are replaced per second; each causes about three changes.
    #[arg(long, default_value_t = 67)]
    churn: usize,
    /// Duration of the replacement of pods, in seconds.
    #[arg(long, default_value_t = 60)]
    churn_secs: u64,
    /// Duration of the idle phase, in seconds.
    #[arg(long, default_value_t = 600)]
    idle_secs: u64,
    /// The optimised binary.
    #[arg(long, default_value = env!("CARGO_BIN_EXE_nanoseg"))]
    binary: String,
    /// Instead of all this: fills the store to its bounds, starts again, and sends what a stolen token could send.
    #[arg(long)]
    fill: bool,
    /// Duration of the idle phase of `--fill`, in seconds.
    #[arg(long, default_value_t = 300)]
    fill_idle_secs: u64,
    /// Set by `cargo bench`; ignored.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let Some(cluster) = Cluster::get() else {
        return ExitCode::from(2);
    };
    if options.fill {
        return if print(&scale::bounds::run(cluster, &options)) {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        };
    }
    let world = World::make(cluster, &options);
    let controller = Controller::start(cluster, &options.binary);
    let mut feed = Feed::new(cluster, controller.listen);
    let mut rows = Vec::new();

    controller.until("nanoseg_controller_workloads", world.workloads() as f64);
    rows.push(Row::plain(
        "memory with the inventory",
        controller.memory_mib(),
        "MiB",
    ));

    eprintln!("every namespace is learned and proposed for");
    let began = std::time::Instant::now();
    feed.learn(&world);
    let heard = began.elapsed();
    controller.until(
        "nanoseg_controller_open_proposals",
        world.workloads() as f64,
    );
    rows.push(Row::plain(
        "first proposals, all",
        (began.elapsed() - heard).as_secs_f64(),
        "s",
    ));
    world.settle(&controller);

    eprintln!("{} new edges, one after the other", options.edges);
    let cpu = controller.cpu();
    let times = world.time_proposals(&mut feed, options.edges);
    rows.extend(Row::times(
        "flow record → proposal",
        &times,
        Duration::from_secs(2),
    ));
    let per_edge = (controller.cpu() - cpu).as_secs_f64() * 1000.0 / options.edges as f64;
    rows.push(Row::plain("CPU for each, all told", per_edge, "ms"));

    eprintln!("{} decisions", options.edges.min(50));
    let times = world.time_decisions(options.edges.min(50));
    rows.extend(Row::times(
        "decision → applied",
        &times,
        Duration::from_secs(1),
    ));

    eprintln!(
        "{} pods replaced each second, for {} s",
        options.churn, options.churn_secs
    );
    let (cpu, writes) = (controller.cpu(), controller.writes());
    let done = world.churn(&options);
    let seconds = done.took.as_secs_f64();
    let share = (controller.cpu() - cpu).as_secs_f64() / seconds * 100.0;
    rows.push(Row::plain(
        "pod changes",
        done.changes as f64 / seconds,
        "/s",
    ));
    rows.push(Row::plain("CPU meanwhile", share, "% of a core"));
    rows.push(Row::plain("memory after", controller.memory_mib(), "MiB"));
    rows.push(Row::limit(
        "writes meanwhile",
        controller.writes() - writes,
        "",
        0.0,
    ));

    eprintln!("nothing happens, for {} s", options.idle_secs);
    world.settle(&controller);
    let (cpu, writes) = (controller.cpu(), controller.writes());
    std::thread::sleep(Duration::from_secs(options.idle_secs));
    let share = (controller.cpu() - cpu).as_secs_f64() / options.idle_secs.max(1) as f64 * 100.0;
    rows.push(Row::plain(
        "CPU while nothing happens",
        share,
        "% of a core",
    ));
    rows.push(Row::limit(
        "writes while nothing happens",
        controller.writes() - writes,
        "",
        0.0,
    ));
    if print(&rows) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
