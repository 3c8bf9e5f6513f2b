//! `nanoseg diff`: two sets of policies, by what they allow.

mod idle;

use super::access::AccessArgs;
use super::places::{Places, refused};
use super::policies::{named_once, read_files, read_objects, replaced};
use super::style::Style;
use super::{exit, terminal};
use crate::cluster::{append, has_files};
use crate::evaluate::{Cause, Comparison, ConnectionChange, Evaluation, HostNetwork};
use crate::inventory::{Inventory, Objects, OtherPolicy, OwnerRule};
use crate::report::changes::{self, Changes, NotJudged};
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
both bring workloads; else from the cluster. A folder without manifests is a set without policies.

Only NetworkPolicies are judged. Of policies of other kinds (Cilium's, Calico's, AdminNetworkPolicy and the like) \
those that differ are told as not judged, and count as opened and as closed, since nobody knows here. A rule of B \
that names pods of which there are none opens nothing yet: that is noted.",
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
    /// B allows something that A does not, or a policy that is not judged differs.
    Opened,
    /// A allows something that B does not, or a policy that is not judged differs.
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

  With the files that come with nanoseg, from no policies to the generated ones:
    nanoseg diff cluster policies-out --cluster samples/shop/cluster.yaml

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
    let Sets {
        inventory,
        before,
        after,
        not_judged,
    } = read(args)?;
    anyhow::ensure!(
        !inventory.pods.is_empty(),
        "no pods or workloads to judge the policies over; give a snapshot with --cluster"
    );
    let comparison = Comparison::new(&inventory, &before, &after, HostNetwork::Exact);
    let comparison = comparison.map_err(|error| {
        let is_of_before = Evaluation::new(&inventory, &before, HostNetwork::Exact).is_err();
        refused(
            error,
            if is_of_before {
                std::slice::from_ref(&args.before)
            } else {
                std::slice::from_ref(&args.after)
            },
        )
    })?;
    let found = Changes {
        not_judged,
        ..Changes::of(&comparison)
    };
    idle::note(&comparison, &before, &after);
    let text = match args.output {
        Output::Json => crate::report::json(&found)?,
        Output::Markdown => changes::markdown(&found),
        // What did not change points nowhere.
        Output::Sarif => sarif(args, &found)?,
        Output::Text => render(&found, Style::new(terminal::colour())),
    };
    terminal::print(&text)?;
    if args.output == Output::Text {
        let (opened, closed) = (found.opened.len(), found.closed.len());
        match found.not_judged.len() {
            0 => eprintln!("{opened} opened, {closed} closed"),
            more => eprintln!("{opened} opened, {closed} closed, {more} not judged"),
        }
    }
    let unknown = !found.not_judged.is_empty();
    let opened = unknown || !found.opened.is_empty();
    let closed = unknown || !found.closed.is_empty();
    drop(comparison);
    super::leave((inventory, before, after, found));
    let fails = match args.fail_on {
        FailOn::Opened => opened,
        FailOn::Closed => closed,
        FailOn::Any => opened || closed,
        FailOn::Never => false,
    };
    Ok(if fails {
        ExitCode::from(exit::FINDINGS)
    } else {
        ExitCode::SUCCESS
    })
}

fn sarif(args: &Args, found: &Changes) -> anyhow::Result<String> {
    let (old, new) = if found.is_empty() {
        // What did not change points nowhere.
        Default::default()
    } else {
        (Places::find(&args.before)?, Places::find(&args.after)?)
    };
    let place = |reason: Result<&Cause, &str>| match reason {
        Ok(cause) if cause.is_of_after() => new.of(cause.policy(), cause.rule()),
        // What is reviewed is B: what it no longer says is missing in its policy, if that is still there.
        Ok(cause) => new
            .of(cause.policy(), None)
            .or_else(|| old.of(cause.policy(), cause.rule())),
        Err(namespace) => new.nearest(namespace).or_else(|| old.nearest(namespace)),
    };
    Ok(changes::as_sarif(found, place, |file| new.file(file))?)
}

/// The pods, and both sets over them.
struct Sets {
    inventory: Inventory,
    before: Vec<NetworkPolicy>,
    after: Vec<NetworkPolicy>,
    not_judged: Vec<NotJudged>,
}

fn read(args: &Args) -> anyhow::Result<Sets> {
    let own = |path: &PathBuf| {
        if path.as_os_str() == "cluster" {
            Ok(None)
        } else {
            read_set(path).map(Some)
        }
    };
    // A snapshot first: what it is read from is gone before the policies need room.
    let of_cluster = if args.cluster.is_empty() {
        None
    } else {
        Some(Judge::read(args)?)
    };
    let (before, after) = (own(&args.before)?, own(&args.after)?);
    let (before, after, judge) = match (before, after, of_cluster) {
        (Some(before), Some(after), None) if has_workloads(&before) && has_workloads(&after) => {
            return Ok(of_manifests(before, after));
        }
        (before, after, Some(judge)) => (before, after, judge),
        (before, after, None) => (before, after, Judge::read(args)?),
    };
    let both_are_files = before.is_some() && after.is_some();
    let others = |given: Option<&Objects>| -> Vec<OtherPolicy> {
        let of_cluster = judge.not_judged.iter().filter(|_| !both_are_files);
        let given = given.into_iter().flat_map(|objects| &objects.not_judged);
        of_cluster.chain(given).cloned().collect()
    };
    let not_judged = changes::not_judged(&others(before.as_ref()), &others(after.as_ref()));
    let set = |given: Option<Objects>| match given {
        None => judge.policies.clone(),
        Some(given) if both_are_files => named_once(given.network_policies),
        Some(given) => replaced(judge.policies.clone(), given.network_policies),
    };
    Ok(Sets {
        before: set(before),
        after: set(after),
        inventory: judge.inventory,
        not_judged,
    })
}

/// What is in a file or a folder. A repository may have no policies yet, or no more.
fn read_set(path: &PathBuf) -> anyhow::Result<Objects> {
    if has_files(path)? {
        return read_files(std::slice::from_ref(path));
    }
    let name = path.display();
    eprintln!("note: no policies in {name}: there is no *.yaml, *.yml or *.json file in it");
    Ok(Objects::default())
}

/// The cluster: its pods, and the policies that it has.
struct Judge {
    inventory: Inventory,
    policies: Vec<NetworkPolicy>,
    not_judged: Vec<OtherPolicy>,
}

impl Judge {
    fn read(args: &Args) -> anyhow::Result<Judge> {
        let (mut objects, _) = read_objects(&args.cluster, &args.access)?;
        Ok(Judge {
            policies: named_once(std::mem::take(&mut objects.network_policies)),
            not_judged: std::mem::take(&mut objects.not_judged),
            inventory: Inventory::build(&objects, OwnerRule::Infer).0,
        })
    }
}

/// Whether there is anything to judge policies over.
fn has_workloads(objects: &Objects) -> bool {
    objects.count() > objects.namespaces.len() + objects.network_policies.len()
}

/// Two folders of manifests: both sets over the workloads of both.
fn of_manifests(mut before: Objects, mut after: Objects) -> Sets {
    let sets =
        [&mut before, &mut after].map(|one| named_once(std::mem::take(&mut one.network_policies)));
    let [old, new] = sets;
    let not_judged = changes::not_judged(&before.not_judged, &after.not_judged);
    // The later state of a workload counts.
    append(&mut before, after);
    Sets {
        inventory: Inventory::build(&before, OwnerRule::Infer).0,
        before: old,
        after: new,
        not_judged,
    }
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
