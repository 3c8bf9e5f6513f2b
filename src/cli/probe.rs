//! `nanoseg probe`: tries a sample of what the policies allow and deny, from inside the pods (rule: tried-not-only-evaluated).

mod cluster_state;
mod session;
mod text;

use super::access::{AccessArgs, ControllerArgs};
use super::network_plugin::NetworkPluginArgs;
use super::notices::Stderr;
use super::units::parse_duration;
use super::{exit, terminal};
use crate::cluster::live::Prober;
use crate::load::BlockingClient;
use crate::net::Timestamp;
use crate::probe::{
    ClusterFacts, Limits, Plan, PlanInputs, Results, Subject, Timing, changed, digests, fresh, plan,
};
use anyhow::{Context, bail};
use clap::ValueEnum;
use cluster_state::ClusterState;
use session::Session;
use std::collections::BTreeSet;
use std::io::{self, BufRead, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

/// The largest sample.
const MOST_SAMPLE: u64 = 1000;
/// The longest wait for an answer, and for a container.
const MOST_TIMEOUT: Duration = Duration::from_secs(30);
/// From a try that was not as expected to the second one: network plugins follow within a second or two.
const AGAIN_AFTER_MS: u32 = 5000;

/// Try a sample of what the policies allow and deny, by real connections from inside the pods
#[derive(Debug, clap::Args)]
#[command(
    long_about = "\
Try a sample of what the policies allow and deny, by real connections from inside the pods.

Each pod that takes part gets one ephemeral container with nanoseg's own image, with your rights. It makes one TCP \
handshake, or sends one datagram, for each connection of the sample, and ends. Servers are those that somebody was seen \
to reach (by the graph that the controller publishes), else those that Services declare. A server that nobody reaches is \
asked in its own pod whether it listens at all. What is going to be done is listed, and nothing begins before you agree.

An ephemeral container cannot be removed from a pod: it ends, is not started again, and goes with the pod. A pod gets at \
most 10 in its life. Nothing else of a pod is changed.

A server's silence counts only if it is shown to listen. Of a datagram without an answer nothing can be told. What differs \
is tried a second time, and comes with the likely causes.",
    after_long_help = EXAMPLES
)]
pub struct Args {
    /// Pods of this namespace try (repeatable; default: the one of the kubeconfig's context). The servers may be anywhere.
    #[arg(long, short, value_name = "NS")]
    namespace: Vec<String>,
    /// Pods of all namespaces try.
    #[arg(long, short = 'A', conflicts_with = "namespace")]
    all_namespaces: bool,
    /// How many connections to try.
    #[arg(long, value_name = "N", default_value_t = 40, value_parser = clap::value_parser!(u64).range(1..=MOST_SAMPLE))]
    sample: u64,
    /// How many pods may get a container.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=MOST_SAMPLE))]
    pods: u64,
    /// Another number gives another sample; the same number the same one.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// The image of the containers: this version of nanoseg (default: that of the controller).
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,
    /// How long to wait for an answer.
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "3s")]
    timeout: Duration,
    /// How long a container may take until it has ended, its image included.
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "90s")]
    wait: Duration,
    /// Do not ask before it begins.
    #[arg(long, short)]
    yes: bool,
    /// Only list what would be done.
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// How to print it
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    output: Output,
    #[command(flatten)]
    network_plugin: NetworkPluginArgs,
    #[command(flatten)]
    access: AccessArgs,
    #[command(flatten)]
    controller: ControllerArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// A table, and the likely causes of what differs
    Text,
    /// The whole, for nanoseg report --probe
    Json,
}

const EXAMPLES: &str = "\
Examples:
  What would be tried, without doing it:
    nanoseg probe -n shop --dry-run

  Forty connections from the pods of two namespaces:
    nanoseg probe -n shop -n monitoring

  In CI, and as evidence that segmentation is tested:
    nanoseg probe -A --sample 200 --yes -o json > probe.json
    nanoseg report --from-cluster --probe probe.json --framework pci-dss --out report

Exit codes: 0 all as evaluated; 1 something differs, or nothing could be told; 2 an error.";

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let (timing, wait) = times(args)?;
    let client = args.access.connect()?;
    let namespaces = namespaces(args, &client);
    let before = read(args, &client)?;
    before.check_namespaces(&namespaces)?;
    let (planned, fit) = planned(args, &client, &before, &namespaces)?;
    let prober = Prober {
        client: client.client.clone(),
        image: image(args, &client)?,
        timing,
        wait,
    };
    let session = Session {
        client: &client,
        prober: &prober,
        plan: &planned,
        fit: &fit,
    };
    let refused = session.refusals()?;
    eprint!(
        "{}",
        text::listing(&planned, &refused, &prober, &client.cluster)
    );
    session.may_begin(&refused)?;
    if args.dry_run {
        return Ok(ExitCode::SUCCESS);
    }
    if !confirm(args.yes)? {
        eprintln!("nothing was done");
        return Ok(ExitCode::from(exit::FINDINGS));
    }
    let from = now();
    let mut heard = session.run(refused);
    // What was planned must be so afterwards too.
    let after = read(args, &client)?;
    heard.changed = changed(&planned, &after.inventory, &after.evaluation()?);
    let facts = ClusterFacts {
        fresh: fresh(&before.policies, &before.inventory, from),
        ..before.facts()
    };
    let results = Results {
        cluster: client.cluster.clone(),
        by: client.user()?,
        from,
        to: now(),
        namespaces: namespaces.into_iter().collect(),
        seed: args.seed,
        image: prober.image,
        policies: digests(&before.policies, &before.inventory),
        ..Results::new(planned, &heard, &facts)
    };
    print(args, &results)
}

fn read(args: &Args, client: &BlockingClient) -> anyhow::Result<ClusterState> {
    let controller = &args.controller.controller_namespace;
    let settings = args.access.settings();
    ClusterState::read(
        client,
        settings,
        controller,
        args.network_plugin,
        &Stderr::new(),
    )
}

/// The plan, and the pods that may get a container.
fn planned(
    args: &Args,
    client: &BlockingClient,
    state: &ClusterState,
    namespaces: &BTreeSet<String>,
) -> anyhow::Result<(Plan, Vec<Subject>)> {
    let limits = Limits {
        sample: usize::try_from(args.sample)?,
        pods: usize::try_from(args.pods)?,
        ..Limits::default()
    };
    let mut pods = state.pods(client, limits.containers)?;
    // Nobody else's pod gets a container, not even to be asked whether it listens.
    let is_ours = |pod: &Subject| namespaces.is_empty() || namespaces.contains(&pod.pod.namespace);
    pods.fit.retain(is_ours);
    let evaluation = state.evaluation()?;
    let plan = plan(&PlanInputs {
        inventory: &state.inventory,
        evaluation: &evaluation,
        enforced_ports: (args.network_plugin.ports()).unwrap_or(state.ports()),
        graph: state.graph.as_ref(),
        subjects: &pods.fit,
        unfit: &pods.unfit,
        running: &pods.running,
        namespaces,
        limits,
        seed: args.seed,
    });
    if plan.probes.is_empty() {
        eprint!("{}", text::left_out(&plan));
        bail!(
            "nothing to try: no policy isolates a pod there that can be a client, or a server of such a pod; see nanoseg status, and give other namespaces with -n"
        );
    }
    Ok((plan, pods.fit))
}

fn print(args: &Args, results: &Results) -> anyhow::Result<ExitCode> {
    match args.output {
        Output::Json => terminal::print(&crate::report::json(results)?)?,
        Output::Text => terminal::print(&text::render(results, terminal::colour()))?,
    }
    let is_good = results.figures.differences() == 0 && results.figures.told() > 0;
    Ok(if is_good {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(exit::FINDINGS)
    })
}

fn now() -> Timestamp {
    jiff::Timestamp::now().into()
}

fn times(args: &Args) -> anyhow::Result<(Timing, Duration)> {
    anyhow::ensure!(
        !args.timeout.is_zero() && args.timeout <= MOST_TIMEOUT,
        "--timeout is more than nothing and at most 30s"
    );
    let least = 2 * args.timeout + Duration::from_millis(AGAIN_AFTER_MS.into());
    anyhow::ensure!(
        args.wait > least,
        "--wait is too short: two tries of --timeout each and the pause between them take {} s",
        least.as_secs_f32()
    );
    let timing = Timing {
        timeout_ms: u32::try_from(args.timeout.as_millis())?,
        again_after_ms: AGAIN_AFTER_MS,
    };
    Ok((timing, args.wait))
}

/// The namespaces whose pods try; empty: all.
fn namespaces(args: &Args, client: &BlockingClient) -> BTreeSet<String> {
    match (args.all_namespaces, args.namespace.is_empty()) {
        (true, _) => BTreeSet::new(),
        (false, true) => BTreeSet::from([client.default_namespace.clone()]),
        (false, false) => args.namespace.iter().cloned().collect(),
    }
}

fn image(args: &Args, client: &BlockingClient) -> anyhow::Result<String> {
    if let Some(image) = &args.image {
        return Ok(image.clone());
    }
    let namespace = &args.controller.controller_namespace;
    let found = client.block_on(Prober::image_of_controller(&client.client, namespace));
    // Who may not read it names the image.
    let found = found.unwrap_or_default();
    found.with_context(|| {
        format!(
            "failed to find nanoseg's image: no Deployment nanoseg-controller can be read in namespace {namespace}; give the image with --image"
        )
    })
}

/// Asks on the terminal. Without one, --yes is needed: containers are not added to pods by accident.
fn confirm(yes: bool) -> anyhow::Result<bool> {
    if yes {
        return Ok(true);
    }
    anyhow::ensure!(
        io::stdin().is_terminal() && io::stderr().is_terminal(),
        "it adds containers to pods, and there is no terminal to ask on: give --yes"
    );
    eprint!("begin? [y/N] ");
    io::stderr().flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
