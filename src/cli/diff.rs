//! `nanoseg diff`: two sets of policies, by what they allow.

use super::access::AccessArgs;
use super::places::Places;
use super::policies::{current, over, read_objects, read_policies};
use super::style::Style;
use super::{exit, terminal};
use crate::cluster::append;
use crate::cluster::read_cluster;
use crate::evaluate::{Change, Comparison, HostNetwork};
use crate::inventory::{Inventory, Objects, OwnerRule};
use crate::report::changes::{self, Changes};
use crate::report::escape;
use clap::ValueEnum;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use std::path::PathBuf;
use std::process::ExitCode;

/// Compare two sets of NetworkPolicies by the connections that they allow, not by their text
#[derive(Debug, clap::Args)]
#[command(
    long_about = "\
Compare two sets of NetworkPolicies by the connections that they allow, not by their text.

A and B are files, folders, or the word cluster: the policies that the cluster has now. Against the \
cluster the other set counts as applied over it: policies of others stay in force, those that \
nanoseg manages are replaced by the set.

What policies allow depends on the pods: they come from --cluster FILE; else from A and B where \
both bring workloads; else from the cluster.",
    after_long_help = EXAMPLES
)]
pub struct Args {
    /// The policies before: a file, a folder, or the word cluster
    #[arg(value_name = "A")]
    before: PathBuf,
    /// The policies after: a file, a folder, or the word cluster
    #[arg(value_name = "B")]
    after: PathBuf,
    /// Snapshots of the cluster as kubectl get … -o yaml prints them, for the pods and, for the word
    /// cluster, the policies.
    #[arg(long, value_name = "FILE|DIR", num_args = 1..)]
    cluster: Vec<PathBuf>,
    #[command(flatten)]
    access: AccessArgs,
    /// What makes the exit code 1.
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = FailOn::Opened)]
    fail_on: FailOn,
    /// How to print it
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FailOn {
    /// B allows something that A does not.
    Opened,
    /// A allows something that B does not.
    Closed,
    /// Either.
    Any,
    /// Nothing does.
    Never,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// `+ client => server : connections` for opened, `-` for closed
    Text,
    /// Lists opened and closed, each with what caused it
    Json,
    /// Tables, for the comment on a pull request
    Markdown,
    /// For code-review tools: each change at the rule that caused it
    Sarif,
}

const EXAMPLES: &str = "\
Examples:
  What applying a folder would open and close:
    nanoseg diff cluster policies-out/

  A pull request must not open anything, checked without a cluster:
    nanoseg diff main/policies pr/policies --cluster cluster.yaml

  Manifests with their Deployments in them:
    nanoseg diff old/ new/ --fail-on any

  As a comment on a pull request, and as findings beside its lines:
    nanoseg diff main/policies policies --cluster cluster.yaml -o markdown > comment.md
    nanoseg diff main/policies policies --cluster cluster.yaml -o sarif > nanoseg.sarif

Exit codes: 0 nothing of what --fail-on names; 1 something; 2 an error.";

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let (objects, before, after) = read(args)?;
    let (inventory, _) = Inventory::build(&objects, OwnerRule::Infer);
    anyhow::ensure!(
        !inventory.pods.is_empty(),
        "no pods or workloads to judge the policies over; give a snapshot with --cluster"
    );
    let comparison = Comparison::new(&inventory, &before, &after, HostNetwork::Exact)?;
    let found = Changes::of(&comparison);
    let text = match args.output {
        Output::Json => crate::report::json(&found)?,
        Output::Markdown => changes::markdown(&found),
        Output::Sarif => {
            let (old, new) = (Places::find(&args.before)?, Places::find(&args.after)?);
            changes::as_sarif(&found, |cause| {
                let places = if cause.is_of_after() { &new } else { &old };
                places.of(cause.policy(), cause.rule())
            })?
        }
        Output::Text => render(&found, Style::new(terminal::colour())),
    };
    terminal::print(&text)?;
    if args.output == Output::Text {
        eprintln!(
            "{} opened, {} closed",
            found.opened.len(),
            found.closed.len()
        );
    }
    let (opened, closed) = (!found.opened.is_empty(), !found.closed.is_empty());
    let fails = match args.fail_on {
        FailOn::Opened => opened,
        FailOn::Closed => closed,
        FailOn::Any => opened || closed,
        FailOn::Never => false,
    };
    Ok(match fails {
        true => ExitCode::from(exit::FINDINGS),
        false => ExitCode::SUCCESS,
    })
}

type Sets = (Objects, Vec<NetworkPolicy>, Vec<NetworkPolicy>);

/// The pods, and both sets over them.
fn read(args: &Args) -> anyhow::Result<Sets> {
    let is_cluster = |path: &PathBuf| path.as_os_str() == "cluster";
    let (before, after) = (&args.before, &args.after);
    if !is_cluster(before) && !is_cluster(after) {
        let sets = (
            read_policies(std::slice::from_ref(before))?,
            read_policies(std::slice::from_ref(after))?,
        );
        let objects = match workloads_of(args)? {
            Some(objects) => objects,
            None => read_objects(&args.cluster, &args.access)?.0,
        };
        return Ok((objects, sets.0, sets.1));
    }
    let (objects, _) = read_objects(&args.cluster, &args.access)?;
    let set = |path: &PathBuf| -> anyhow::Result<Vec<NetworkPolicy>> {
        Ok(match is_cluster(path) {
            true => current(&objects),
            false => over(&objects, read_policies(std::slice::from_ref(path))?),
        })
    };
    let (before, after) = (set(before)?, set(after)?);
    Ok((objects, before, after))
}

/// The workloads of both sides, where no snapshot is given and both have some.
fn workloads_of(args: &Args) -> anyhow::Result<Option<Objects>> {
    if !args.cluster.is_empty() {
        return Ok(None);
    }
    let mut all = Objects::default();
    // The later state of a workload counts.
    for path in [&args.before, &args.after] {
        let (objects, _) = read_cluster(std::slice::from_ref(path))?;
        if objects.count() == objects.network_policies.len() + objects.namespaces.len() {
            return Ok(None);
        }
        append(&mut all, objects);
    }
    Ok(Some(all))
}

fn render(found: &Changes, style: Style) -> String {
    let line = |sign: &str, change: &Change| {
        let text = format!("{sign} {change}");
        let text = escape::terminal(&text).into_owned();
        match sign {
            "+" => style.green(&text) + "\n",
            _ => style.red(&text) + "\n",
        }
    };
    let opened = found.opened.iter().map(|one| line("+", &one.change));
    let closed = found.closed.iter().map(|one| line("-", &one.change));
    opened.chain(closed).collect()
}
