//! `nanoseg diff`: compares what two sets of policies allow.

mod idle;

use super::access::AccessArgs;
use super::network_plugin::PluginArg;
use super::notices::Stderr;
use super::style::Style;
use super::{exit, terminal};
use crate::evaluate::{
    Cause, Comparison, ConnectionChange, Evaluation, HostNetwork, PoliciesOfAllKinds,
};
use crate::load::{PolicyLocations, PolicySets, invalid_policy};
use crate::report::changes::{self, Changes};
use crate::report::escape;
use clap::ValueEnum;
use std::path::PathBuf;
use std::process::ExitCode;

/// Compare two sets of NetworkPolicies by the connections that they allow, not by their text
#[derive(Debug, clap::Args)]
#[command(
    long_about = "\
Compare two sets of NetworkPolicies by the connections that they allow, not by their text.

A and B are files, folders, or the word cluster: the policies that the cluster has now. Compared with the \
cluster, the other set counts as applied over it: policies of others stay in force, and those that \
nanoseg manages are replaced by the set.

What policies allow depends on the pods: they come from --cluster FILE; else from A and B if \
both have workloads; else from the cluster. A folder without manifests is a set without policies.

NetworkPolicies and the policies of Cilium, of Calico and of administrators (ClusterNetworkPolicy, \
AdminNetworkPolicy) are judged together. Those that differ and of which some field is not judged, and \
policies of all other kinds, are listed as not judged, and count as opened and as closed, since their effect is not known. A rule of B \
for pods that do not exist opens nothing yet: a note reports it.",
    after_long_help = EXAMPLES
)]
pub struct Args {
    /// The policies before: a file, a folder, or the word cluster
    #[arg(value_name = "A")]
    before: PathBuf,
    /// The policies after: a file, a folder, or the word cluster
    #[arg(value_name = "B")]
    after: PathBuf,
    /// Snapshots of the cluster, as nanoseg snapshot writes them, or the word live: for the pods and, for the word
    /// cluster, the policies.
    #[arg(long, value_name = "FILE|DIR|live", num_args = 1..)]
    cluster: Vec<PathBuf>,
    #[command(flatten)]
    access: AccessArgs,
    #[command(flatten)]
    plugin: PluginArg,
    /// What makes the exit code 1.
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = FailOn::Opened)]
    fail_on: FailOn,
    /// How to print it
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FailOn {
    /// B allows something that A does not, or a policy that is not judged differs.
    Opened,
    /// A allows something that B does not, or a policy that is not judged differs.
    Closed,
    /// Either.
    Any,
    /// Never.
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

  With the bundled sample, from no policies to the generated ones:
    nanoseg diff cluster policies-out --cluster samples/shop/cluster.yaml

  Check without a cluster that a pull request opens nothing:
    nanoseg diff main/policies pr/policies --cluster cluster.yaml

  Manifests with their Deployments:
    nanoseg diff old/ new/ --fail-on any

  As a comment on a pull request, and as findings at its lines:
    nanoseg diff main/policies policies --cluster cluster.yaml -o markdown > comment.md
    nanoseg diff main/policies policies --cluster cluster.yaml -o sarif > nanoseg.sarif

Exit codes: 0 no difference that --fail-on names; 1 some; 2 an error.";

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let PolicySets {
        mut inventory,
        before,
        after,
        others,
        not_judged,
    } = PolicySets::read(
        &args.before,
        &args.after,
        &args.cluster,
        &args.access.settings(),
        &Stderr::new(),
    )?;
    inventory.take_network_plugin(args.plugin.profile());
    anyhow::ensure!(
        !inventory.pods.is_empty(),
        "no pods or workloads to judge the policies over; give a snapshot with --cluster"
    );
    let sets = [(&before, &others[0]), (&after, &others[1])];
    let sets = sets.map(|(network, other)| PoliciesOfAllKinds { network, other });
    let comparison = Comparison::of_all_kinds(&inventory, sets, HostNetwork::Exact);
    let comparison = comparison.map_err(|error| {
        let is_of_before = Evaluation::new(&inventory, &before, HostNetwork::Exact).is_err();
        let path = if is_of_before {
            &args.before
        } else {
            &args.after
        };
        invalid_policy(error, std::slice::from_ref(path))
    })?;
    let found = Changes {
        not_judged,
        ..Changes::of(&comparison)
    };
    idle::note(&comparison, &before, &after);
    print(args, &found)?;
    let is_failure = is_failure(args.fail_on, &found);
    drop(comparison);
    super::leak((inventory, before, after, found));
    Ok(if is_failure {
        ExitCode::from(exit::FINDINGS)
    } else {
        ExitCode::SUCCESS
    })
}

/// Prints the changes to stdout, and for people their number to stderr.
fn print(args: &Args, found: &Changes) -> anyhow::Result<()> {
    let text = match args.output {
        Output::Json => crate::report::json(found)?,
        Output::Markdown => changes::markdown(found),
        Output::Sarif => sarif(args, found)?,
        Output::Text => render(found, Style::new(terminal::colour())),
    };
    terminal::print(&text)?;
    if args.output == Output::Text {
        let (opened, closed) = (found.opened.len(), found.closed.len());
        match found.not_judged.len() {
            0 => eprintln!("{opened} opened, {closed} closed"),
            more => eprintln!("{opened} opened, {closed} closed, {more} not judged"),
        }
    }
    Ok(())
}

/// Returns true if there is a change that `fail_on` names. A policy that is not judged may open and close connections.
fn is_failure(fail_on: FailOn, found: &Changes) -> bool {
    let unknown = !found.not_judged.is_empty();
    let opened = unknown || !found.opened.is_empty();
    let closed = unknown || !found.closed.is_empty();
    match fail_on {
        FailOn::Opened => opened,
        FailOn::Closed => closed,
        FailOn::Any => opened || closed,
        FailOn::Never => false,
    }
}

fn sarif(args: &Args, found: &Changes) -> anyhow::Result<String> {
    let (old, new) = if found.is_empty() {
        // Without changes no location is needed.
        Default::default()
    } else {
        (
            PolicyLocations::find(&args.before)?,
            PolicyLocations::find(&args.after)?,
        )
    };
    let place = |reason: Result<&Cause, &str>| match reason {
        Ok(cause) if cause.is_of_after() => new.of(cause.policy(), cause.rule()),
        // B is reviewed: a rule that it no longer has is missing in its policy, if the policy still exists.
        Ok(cause) => new
            .of(cause.policy(), None)
            .or_else(|| old.of(cause.policy(), cause.rule())),
        Err(namespace) => new.nearest(namespace).or_else(|| old.nearest(namespace)),
    };
    Ok(changes::as_sarif(found, place, |file| new.file(file))?)
}

fn render(found: &Changes, style: Style) -> String {
    let line = |sign: &str, change: &ConnectionChange| {
        let text = format!("{sign} {change}");
        let text = escape::terminal(&text).into_owned();
        match sign {
            "+" => style.green(&text) + "\n",
            _ => style.red(&text) + "\n",
        }
    };
    let opened = found.opened.iter().map(|one| line("+", &one.change));
    let closed = found.closed.iter().map(|one| line("-", &one.change));
    let unknown = found.not_judged.iter().map(|one| {
        let text = format!("? {one}");
        style.yellow(&escape::terminal(&text)) + "\n"
    });
    opened.chain(closed).chain(unknown).collect()
}
