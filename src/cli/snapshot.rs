//! `nanoseg snapshot`: what the other commands read as `--cluster`, from the cluster itself.

mod output;
mod watch;

use super::access::AccessArgs;
use super::exit;
use super::units::parse_duration;
use crate::cluster::live::Snapshot;
use crate::load::LoadError;
use crate::report::escape;
use output::Target;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Write a snapshot of the cluster for --cluster, or with --watch the history of its pods
#[derive(Debug, clap::Args)]
#[command(
    long_about = "\
Write a snapshot of the cluster for --cluster: the objects that nanoseg reads, each without what it does not read \
(environment variables, commands, volumes, managed fields), as a List of YAML or JSON. Secrets are never asked for. \
It is read with your kubeconfig, and changes nothing.

With --watch it goes on until Ctrl-C: every version of a pod is written with its time, and of the objects that name and \
find pods, until they are gone; at the end there is a second snapshot. So each address has an owner for all of the \
time, also where a pod began and ended between two snapshots. Run it while a capture runs.

What you may not list is named and left out; --namespace takes a snapshot for those who may read only some namespaces. \
The role nanoseg-reader (deploy/base/access/reader.yaml) has all rights that it takes.",
    after_long_help = EXAMPLES
)]
pub struct Args {
    /// The file to write (*.yaml, *.yml or *.json), - for standard output, or a folder that gets a new file each time.
    #[arg(long, short, value_name = "FILE|DIR|-")]
    out: PathBuf,
    /// Only the objects of this namespace, and those that are in no namespace (repeatable; default: all). Traffic with
    /// pods of other namespaces cannot be attributed then.
    #[arg(long, short, value_name = "NS")]
    namespace: Vec<String>,
    /// Go on, and write what changes, until Ctrl-C, SIGTERM or the end of --for.
    #[arg(long, short)]
    watch: bool,
    /// End the watch after this time, for example 10m.
    #[arg(long = "for", value_name = "TIME", requires = "watch", value_parser = parse_duration)]
    time: Option<Duration>,
    #[command(flatten)]
    access: AccessArgs,
}

const EXAMPLES: &str = "\
Examples:
  A snapshot, and policies from a capture:
    nanoseg snapshot --out cluster.yaml
    nanoseg generate --capture node1.pcap --cluster cluster.yaml

  While a capture runs, so that pods that come and go are known:
    nanoseg snapshot --watch --out cluster/ &
    tcpdump -i any -s 256 -w node1.pcap        # on the node, for as long as you like
    kill %1; wait
    nanoseg generate --capture node1.pcap --cluster cluster/

  Without a file, the cluster as it is now:
    nanoseg explain shop/frontend shop/cart 8080 --cluster live

  Only the namespaces that you may read:
    nanoseg snapshot -n shop -n shop-jobs --out shop.yaml

  What it holds:
    nanoseg snapshot --out - | less

Exit codes: 0 complete; 1 written, but something is missing that is named on stderr; 2 an error.";

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let target = Target::of(&args.out)?;
    anyhow::ensure!(
        !(args.watch && matches!(target, Target::Stdout)),
        "--watch writes a file or a folder, and not to standard output; give --out FILE|DIR"
    );
    let mut namespaces = args.namespace.clone();
    namespaces.sort();
    namespaces.dedup();
    let client = args.access.connect()?;
    let snapshot = client.block_on(Snapshot::take(&client.client, &namespaces));
    let snapshot = snapshot.map_err(LoadError::from)?;
    note(&snapshot);
    let is_complete = snapshot.missing.is_empty();
    let is_complete = if args.watch {
        let watched = watch::run(&client.client, &target, snapshot, args.time);
        client.block_on(watched)? && is_complete
    } else {
        let path = output::write(&target, &snapshot)?;
        eprintln!("{}", written(&path, &snapshot));
        is_complete
    };
    Ok(if is_complete {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(exit::FINDINGS)
    })
}

/// Reports what the snapshot lacks.
fn note(snapshot: &Snapshot) {
    if !snapshot.namespaces.is_empty() {
        eprintln!(
            "note: only {}: traffic with pods of other namespaces cannot be attributed",
            snapshot.namespaces.join(", ")
        );
    }
    for missing in &snapshot.missing {
        eprintln!(
            "warning: without {}",
            escape::terminal(&missing.to_string())
        );
    }
}

fn written(path: &str, snapshot: &Snapshot) -> String {
    format!(
        "wrote {path}: {} objects at {}",
        snapshot.items.len(),
        snapshot.taken_at
    )
}
