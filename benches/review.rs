//! Diff, verify and blast radius, timed, and np-guard's analyzer beside it: `cargo bench --bench review -- --help`.

#![allow(
    clippy::unwrap_used,
    reason = "a bench that fails to unwrap has failed"
)]
#![allow(
    unsafe_code,
    reason = "measuring memory and time of processes takes system calls without a safe wrapper"
)]

mod commands;
mod ground;
mod measure;
mod peer;
mod synthetic;

use clap::Parser;
use ground::Ground;
use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicyPeer};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use measure::{forget_peak, keep_to_one_heap, median, millis, peak_mebibytes};
use nanoseg::evaluate::{Comparison, Evaluation, HostNetwork, Reach};
use nanoseg::graph::ServiceEnforcements;
use nanoseg::pipeline::verify::verify;
use nanoseg::web::{Server, Shown, View, ViewInputs};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::{Duration, Instant};
use synthetic::cluster::ClusterSize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

type Failure = Box<dyn std::error::Error>;

/// The target: the allowed time of each of the three on 5000 workloads and 5000 policies.
const TARGET: (usize, Duration, f64) = (5000, Duration::from_secs(2), 500.0);
/// The allowed bytes and time of a page without the rendering of the browser, a part of 300 KB and 300 ms.
const PAGE: (usize, Duration) = (300_000, Duration::from_millis(150));
/// The factor by which the analyzer must be slower.
const FACTOR: f64 = 20.0;
/// The number of workloads from which on the factor is required.
const FACTOR_FROM: usize = 300;

/// Times diff, verify and blast radius.
#[derive(Debug, Parser)]
struct Options {
    /// Workloads of the cluster. Each has a policy.
    #[arg(long, default_value_t = TARGET.0)]
    workloads: usize,
    /// The number of other workloads that each workload calls.
    #[arg(long, default_value_t = 10)]
    calls: usize,
    #[arg(long, default_value_t = 2)]
    pods_per_workload: usize,
    /// Measured runs.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Path of np-guard's netpolicy. Compares its connectivity with that of nanoseg for the same folders instead.
    #[arg(long, value_name = "PROGRAM")]
    analyzer: Option<PathBuf>,
    /// Workloads of the folders for the analyzer.
    #[arg(long, num_args = 1.., default_values_t = [300, 600])]
    sizes: Vec<usize>,
    /// Serves the review page of a cluster with this many workloads instead, and fetches every kind of page once.
    #[arg(long, value_name = "WORKLOADS")]
    page: Option<usize>,
    /// Writes the input files of the commands to this folder and keeps them, for use with a profiler.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// With --page: continues to serve, for use with a browser.
    #[arg(long)]
    stay: bool,
    /// Writes the input files of the commands to this folder and exits. This is a separate process, because its memory
    /// must not count.
    #[arg(long, hide = true, value_name = "DIR")]
    write_files: Option<PathBuf>,
    /// Runs the commands on the files of this folder and exits. This is a separate process, because a process inherits
    /// the peak memory of its parent.
    #[arg(long, hide = true, value_name = "DIR")]
    run_commands: Option<PathBuf>,
    /// Set by `cargo bench`; ignored.
    #[arg(long, hide = true)]
    bench: bool,
}

fn ground(options: &Options, workloads: usize) -> Result<(Ground, Vec<NetworkPolicy>), Failure> {
    let ground = Ground::build(ClusterSize {
        pods: workloads * options.pods_per_workload,
        workloads,
        namespaces: (workloads / 25).max(1),
        calls: options.calls,
    })?;
    let synthesis = nanoseg::policy::synthesise(
        &ground.inventory,
        &ground.requirements,
        &ground.workloads,
        &nanoseg::graph::OpenDirections::default(),
        &nanoseg::graph::DnsEvidence::default(),
        &Default::default(),
    );
    let policies = synthesis.policies.into_iter().map(|one| one.policy);
    let policies = policies.collect();
    Ok((ground, policies))
}

/// Removes the first ingress rule of every 50th policy, and makes every 50th other policy allow everything inside the
/// cluster.
fn changed(policies: &[NetworkPolicy]) -> Vec<NetworkPolicy> {
    let mut after = policies.to_vec();
    let everyone = || NetworkPolicyPeer {
        namespace_selector: Some(LabelSelector::default()),
        ..NetworkPolicyPeer::default()
    };
    for (index, policy) in after.iter_mut().enumerate() {
        let Some(spec) = policy.spec.as_mut() else {
            continue;
        };
        let (ingress, egress) = (&mut spec.ingress, &mut spec.egress);
        match index % 50 {
            0 => drop(ingress.as_mut().and_then(|rules| rules.pop())),
            25 => {
                for rule in ingress.iter_mut().flatten() {
                    rule.from = Some(vec![everyone()]);
                }
                for rule in egress.iter_mut().flatten() {
                    rule.to = Some(vec![everyone()]);
                }
            }
            _ => {}
        }
    }
    after
}

fn timed<T>(
    runs: usize,
    mut job: impl FnMut() -> Result<T, Failure>,
) -> Result<(Duration, T), Failure> {
    let mut times = Vec::new();
    let mut last = None;
    for _ in 0..runs.max(1) {
        drop(last.take());
        let begin = Instant::now();
        last = Some(job()?);
        times.push(begin.elapsed());
    }
    last.map(|last| (median(times), last))
        .ok_or_else(|| "no run".into())
}

fn scale(options: &Options) -> Result<bool, Failure> {
    let temporary = tempfile::tempdir()?;
    let folder = options.keep.as_deref().unwrap_or(temporary.path());
    std::fs::create_dir_all(folder)?;
    if !again(options, "--write-files", folder)? {
        return Err("failed to write what the commands read".into());
    }
    // The time of reading is measured with the complete commands.
    keep_to_one_heap();
    let (mut ground, before) = ground(options, options.workloads)?;
    let after = changed(&before);
    println!(
        "{} workloads, {} policies, {} edges",
        options.workloads,
        before.len(),
        ground.requirements.len()
    );
    // The memory for generating the cluster must not count.
    drop(std::mem::take(&mut ground.snapshot));
    drop(std::mem::take(&mut ground.flows));
    forget_peak();
    let inventory = &ground.inventory;
    let host = HostNetwork::Exact;
    let (diff, found) = timed(options.runs, || {
        Ok(Comparison::new(inventory, &before, &after, host)?.difference())
    })?;
    let (verified, verdict) = timed(options.runs, || {
        Ok(verify(
            &ground.graph,
            inventory,
            &ServiceEnforcements::default(),
            &before,
            &[],
        )?)
    })?;
    let (reach, radii) = timed(options.runs, || {
        let evaluation = Evaluation::new(inventory, &before, host)?;
        let reach = Reach::of(&evaluation);
        Ok(reach.radii().iter().map(|(_, radius)| radius.all).max())
    })?;
    let (open, _) = timed(options.runs, || {
        let evaluation = Evaluation::new(inventory, &before[..0], host)?;
        let reach = Reach::of(&evaluation);
        Ok(reach.radii().iter().map(|(_, radius)| radius.all).max())
    })?;
    let peak = peak_mebibytes();
    println!(
        "diff         {:>8.0} ms  {} opened, {} closed",
        millis(diff),
        found.opened.len(),
        found.closed.len()
    );
    println!(
        "verify       {:>8.0} ms  {} of {} allowed",
        millis(verified),
        verdict.allowed,
        verdict.observed
    );
    println!(
        "blast radius {:>8.0} ms  at most {}",
        millis(reach),
        radii.unwrap_or(0)
    );
    println!("  all open   {:>8.0} ms", millis(open));
    println!("peak memory  {:>8.0} MiB", peak.unwrap_or(0.0));
    let mut good =
        !found.opened.is_empty() && !found.closed.is_empty() && verdict.would_block.is_empty();
    if options.workloads == TARGET.0 {
        let times = [diff, verified, reach, open];
        let fast = times.iter().all(|time| *time < TARGET.1);
        good &= judge(fast && peak.is_none_or(|peak| peak < TARGET.2));
    }
    Ok(good & again(options, "--run-commands", folder)?)
}

/// Prints whether a target is met.
fn judge(is_met: bool) -> bool {
    let word = if is_met { "PASS" } else { "MISS" };
    println!(
        "{word}         allowed are {:.0} ms each and {:.0} MiB",
        millis(TARGET.1),
        TARGET.2
    );
    is_met
}

/// Runs this program again for a part of the work. Returns true if it succeeded.
fn again(options: &Options, part: &str, folder: &Path) -> Result<bool, Failure> {
    let mut command = Command::new(std::env::current_exe()?);
    for (name, value) in [
        ("--workloads", options.workloads),
        ("--calls", options.calls),
        ("--pods-per-workload", options.pods_per_workload),
        ("--runs", options.runs),
    ] {
        command.args([name, &value.to_string()]);
    }
    let status = command.arg(part).arg(folder).status()?;
    match status.code() {
        Some(0) => Ok(true),
        Some(1) => Ok(false),
        _ => Err(format!("{part} failed").into()),
    }
}

fn write_files(options: &Options, folder: &Path) -> Result<bool, Failure> {
    let (ground, before) = ground(options, options.workloads)?;
    commands::write_files(folder, &ground, &before, &changed(&before))?;
    Ok(true)
}

fn run_commands(options: &Options, folder: &Path) -> Result<bool, Failure> {
    println!("the whole command, files read:");
    let whole = commands::measure(folder, options.runs)?;
    for one in &whole {
        println!(
            "{:<12} {:>8.0} ms  {:.0} MiB",
            one.name,
            millis(one.time),
            one.memory
        );
    }
    let mut all = whole.iter();
    let is_met = all.all(|one| one.time < TARGET.1 && one.memory < TARGET.2);
    Ok(options.workloads != TARGET.0 || judge(is_met))
}

fn against(options: &Options, analyzer: &Path) -> Result<bool, Failure> {
    println!("workloads    lines   nanoseg    np-guard   times");
    let mut good = true;
    for size in &options.sizes {
        let (ground, policies) = ground(options, *size)?;
        let folder = peer::folder(&ground.snapshot, &policies)?;
        let ours = peer::nanoseg(folder.path())?;
        let theirs = peer::analyzer(analyzer, folder.path())?;
        let factor = theirs.time.as_secs_f64() / ours.time.as_secs_f64();
        println!(
            "{size:>9}  {:>7}  {:>5.0} ms  {:>7.0} ms  {factor:>6.1}",
            ours.lines.len(),
            millis(ours.time),
            millis(theirs.time)
        );
        if ours.lines != theirs.lines {
            println!(
                "WRONG     the answers differ: {}",
                peer::first_difference(&ours, &theirs)
            );
            good = false;
        }
        if *size >= FACTOR_FROM && factor < FACTOR {
            println!("MISS      {FACTOR} times are wanted");
            good = false;
        }
    }
    Ok(good)
}

/// Fetches every kind of page of a cluster once and prints bytes and milliseconds.
async fn page(options: &Options, workloads: usize) -> Result<bool, Failure> {
    let (ground, policies) = ground(options, workloads)?;
    let id = ground.workloads.first().ok_or("no workload")?.clone();
    let view = View::new(ViewInputs {
        subject: "bench".into(),
        graph: ground.graph,
        inventory: ground.inventory,
        proposed: policies,
        ..ViewInputs::default()
    })?;
    let (_sender, views) = tokio::sync::watch::channel(Shown {
        version: 1,
        view: Arc::new(view),
        problem: None,
    });
    let server = Server::bind(0)?;
    let url = server.url();
    let serving = tokio::spawn(server.serve(views, None));
    println!("{url}\n   bytes      ms  page of {workloads} workloads");
    let own = format!("workload/{}/{}/{}", id.namespace, id.kind, id.name);
    let opened = format!("?namespace={}", id.namespace);
    let mut good = true;
    for path in [
        "",
        &opened,
        "proposals",
        "workloads",
        &own,
        "what-if",
        "record",
    ] {
        let (bytes, time) = fetch(&url, path).await?;
        let fits = bytes < PAGE.0 && time < PAGE.1;
        let word = if fits { "" } else { "MISS" };
        println!("{bytes:>8}  {:>6.1}  /{path} {word}", millis(time));
        good &= fits;
    }
    if options.stay {
        serving.await?;
    }
    Ok(good)
}

/// Fetches one page as a browser does.
async fn fetch(url: &str, path: &str) -> Result<(usize, Duration), Failure> {
    let (host, root) = url
        .trim_start_matches("http://")
        .split_once('/')
        .ok_or("no path")?;
    let begin = Instant::now();
    let mut stream = TcpStream::connect(host).await?;
    let request =
        format!("GET /{root}{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    if !answer.starts_with(b"HTTP/1.1 200") {
        return Err(format!("no answer to /{path}").into());
    }
    Ok((answer.len(), begin.elapsed()))
}

fn main() -> ExitCode {
    let options = Options::parse();
    if let Some(folder) = &options.write_files {
        return ended(write_files(&options, folder));
    }
    if let Some(folder) = &options.run_commands {
        return ended(run_commands(&options, folder));
    }
    let result = match (&options.analyzer, options.page) {
        (Some(analyzer), _) => against(&options, analyzer),
        (None, Some(workloads)) => tokio::runtime::Runtime::new()
            .map_err(Failure::from)
            .and_then(|runtime| runtime.block_on(page(&options, workloads))),
        (None, None) => scale(&options),
    };
    ended(result)
}

fn ended(result: Result<bool, Failure>) -> ExitCode {
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}
