//! `nanoseg verify`: compares policies with recorded traffic.

use super::network_plugin::{NetworkPluginArgs, note_not_enforced};
use super::notices::Stderr;
use super::period::PeriodArgs;
use super::policies::PolicyArgs;
use super::style::Style;
use super::traffic::{GraphArgs, TrafficArgs};
use super::{exit, terminal};
use crate::graph::build_after;
use crate::inventory::Inventory;
use crate::load::{EffectivePolicies, TrafficSource, hours_of, read_traffic};
use crate::net::Timestamp;
use crate::pipeline::verify::verify;
use crate::report::escape;
use crate::report::period::Period;
use crate::report::verification::{self, Blocked, Verification};
use clap::ValueEnum;
use std::process::ExitCode;

/// Check NetworkPolicies against recorded traffic: what would be blocked, and what is allowed but never used
#[derive(Debug, clap::Args)]
#[command(
    long_about = "\
Check NetworkPolicies against recorded traffic: which observed connections would be blocked, and which allowed \
connections and whole rules were never used. With --from and --to: only connections that began in that period.

The policies are those of the cluster, or of --cluster FILE; --policies replaces those that nanoseg \
manages. Only traffic that teaches counts (scans and refused connections do not). \
DNS over TCP is implied as in generate, and counted separately. Connections that are allowed but never used are \
counted where a policy isolates the server for ingress or the client for egress; in the other directions \
workloads are open, and are listed.

The controller's store also has hours that are folded into edges, as far back as it keeps them; each of these hours \
counts as a whole, even if the period begins or ends within it.",
    after_long_help = EXAMPLES
)]
pub struct Args {
    #[command(flatten)]
    traffic: TrafficArgs,
    #[command(flatten)]
    graph: GraphArgs,
    #[command(flatten)]
    sources: PolicyArgs,
    #[command(flatten)]
    period: PeriodArgs,
    #[command(flatten)]
    network_plugin: NetworkPluginArgs,
    /// Only traffic and workloads of this namespace (repeatable; default: all).
    #[arg(long, short, value_name = "NS")]
    namespace: Vec<String>,
    /// The most lines of each list to show; 0 shows all.
    #[arg(long, value_name = "N", default_value_t = 20)]
    most: usize,
    /// How to print it
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// The lists and a summary
    Text,
    /// The same as an object, complete
    Json,
    /// For code-review tools: blocked connections and unused rules, at the policies
    Sarif,
}

const EXAMPLES: &str = "\
Examples:
  The policies in force, against the receiver's store:
    nanoseg verify --flows flows.db

  What was not used in a quarter, from the controller's store:
    nanoseg verify --flows nanoseg.sqlite --from 2026-01-01T00:00:00Z --to 2026-04-01T00:00:00Z

  Policies that are not applied yet, offline:
    nanoseg verify --flows flows.json --cluster cluster.yaml --policies policies-out

  With the bundled sample:
    nanoseg verify --capture samples/shop/captures --cluster samples/shop/cluster.yaml \\
        --policies policies-out

  In CI, for one namespace:
    nanoseg verify --capture caps/ --cluster cluster.yaml -n shop --output json | jq .wouldBlock

  The same as findings at the lines of the policies:
    nanoseg verify --capture caps/ --cluster cluster.yaml --policies k8s/ -o sarif > nanoseg.sarif

Exit codes: 0 no observed connection would be blocked; 1 some would, or policies are in force that
are not judged; 2 an error.";

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    args.traffic.check_stdin(&args.sources.cluster)?;
    let period = args.period.period()?;
    let source = traffic_source(args, period);
    let (sources, notices) = (args.sources.source(), Stderr::new());
    let traffic = |objects: &_| read_traffic(&source, objects, &notices);
    let (
        EffectivePolicies {
            objects,
            policies,
            is_all_judged,
            ..
        },
        read,
    ) = sources.read_beside(&notices, traffic)?;
    let mut read = read?;
    read.keep(period);
    let mut inventory = read.inventory;
    inventory.set_other_kinds(&objects.other_kinds);
    // A large snapshot takes as much memory as everything that follows.
    drop(objects);
    let built = build_after(&read.history, &read.flows, &inventory, args.graph.options());
    note_period(period);
    note_not_enforced(&inventory);
    check_namespaces(&args.namespace, &inventory)?;
    let verdict = verify(
        &built.graph,
        &inventory,
        &args.network_plugin.everywhere(),
        &policies,
        &args.namespace,
    )
    .map_err(|error| sources.invalid(error))?;
    if verdict.observed == 0 {
        eprintln!("note: no observed connection must be allowed, so this proves nothing");
    }
    match args.output {
        Output::Json => terminal::print(&crate::report::json(&verdict)?)?,
        Output::Sarif => {
            let locations = sources.locations()?;
            let text = verification::as_sarif(
                &verdict,
                |policy, rule| locations.of(policy, rule),
                |namespace| locations.nearest(namespace),
            )?;
            terminal::print(&text)?;
        }
        Output::Text => {
            let style = Style::new(terminal::colour());
            let most = if args.most == 0 {
                usize::MAX
            } else {
                args.most
            };
            terminal::print(&render(&verdict, most, style))?;
        }
    }
    // A policy that is not judged may block what the others allow.
    let is_sound = verdict.would_block.is_empty() && is_all_judged;
    super::leak((inventory, policies, built, verdict, read.flows));
    Ok(if is_sound {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(exit::FINDINGS)
    })
}

/// The traffic to compare with: records are cut at the ends of the period, folded edges have whole hours.
fn traffic_source(args: &Args, period: Period) -> TrafficSource {
    let mut traffic = args.traffic.source().with_folded(hours_of(period));
    traffic.network_plugin = args.network_plugin.profile();
    match (period.from, period.to) {
        (None, None) => traffic,
        (from, to) => traffic.cut_at(from, to),
    }
}

/// Prints the period that the verdict is about, if not all recorded traffic counts.
fn note_period(period: Period) {
    let at = |at: Option<Timestamp>, else_: &str| at.map_or(else_.to_owned(), |at| at.to_string());
    if period.from.is_some() || period.to.is_some() {
        eprintln!(
            "note: only connections count that began from {} on and before {}",
            at(period.from, "the first observation"),
            at(period.to, "the end")
        );
    }
}

/// Checks that the namespaces exist: a mistyped one has no traffic, so nothing of it would be blocked.
pub(super) fn check_namespaces<'a>(
    wanted: impl IntoIterator<Item = &'a String>,
    inventory: &Inventory,
) -> anyhow::Result<()> {
    let all = &inventory.namespaces;
    let mut wanted = wanted.into_iter();
    let Some(unknown) = wanted.find(|one| !all.contains_key(*one)) else {
        return Ok(());
    };
    let known: Vec<&str> = all.keys().map(String::as_str).take(20).collect();
    anyhow::bail!(
        "no namespace {unknown} in the cluster; it has {}{}",
        known.join(", "),
        if known.len() < all.len() { ", …" } else { "" }
    )
}

fn render(verdict: &Verification, most: usize, style: Style) -> String {
    let implied = match verdict.implied {
        0 => String::new(),
        all => format!(", and {} of {all} implied ones", verdict.implied_allowed),
    };
    let mut text = format!(
        "{} of {} observed edges{implied} allowed by {} policies\n",
        verdict.allowed, verdict.observed, verdict.policies
    );
    let mut list = |heading: String, lines: Vec<String>, total: u64| {
        if total > 0 {
            text.push_str(&section(
                &heading,
                &lines,
                total.saturating_sub(most as u64),
            ));
        }
    };
    let blocked = verdict.would_block.iter().take(most).flat_map(|one| {
        let Blocked {
            client,
            server,
            ports,
            by,
            ..
        } = one;
        let seen = one.seen();
        [
            format!("  {client} => {server} : {ports}  ({seen})"),
            format!("    {by}"),
        ]
    });
    let count = verdict.would_block.len();
    list(
        style.red(&format!("\nwould be blocked: {count}")),
        blocked.collect(),
        count as u64,
    );
    let unused = verdict.unused.iter().take(most);
    let unused = unused.map(|one| format!("  {} => {} : {}", one.client, one.server, one.ports));
    let count = verdict.unused_total;
    list(
        style.yellow(&format!(
            "\nallowed but never used: {count}{}",
            verdict.unused_connections_text()
        )),
        unused.collect(),
        count,
    );
    let rules = verdict.unused_rules.iter().take(most);
    let (count, all) = (verdict.unused_rules.len(), verdict.rules);
    list(
        style.yellow(&format!("\nunused rules: {count} of {all}")),
        rules.map(|rule| format!("  {rule}")).collect(),
        count as u64,
    );
    let open = verdict.open_ways().into_iter().take(most);
    let count = verdict.open.len();
    list(
        style.yellow(&format!(
            "\nopen in at least one direction, without a policy: {count}"
        )),
        open.map(|(one, ways)| format!("  {one}  ({ways})"))
            .collect(),
        count as u64,
    );
    text
}

/// A heading with lines, and how many more there are. Names in the lines are anybody's to choose.
fn section(heading: &str, lines: &[String], more: u64) -> String {
    let mut text = format!("{heading}\n");
    for line in lines {
        text.push_str(&escape::terminal(line));
        text.push('\n');
    }
    if more > 0 {
        text.push_str(&format!("  … and {more} more\n"));
    }
    text
}
