//! `nanoseg verify`: policies against recorded traffic.

use super::input::{self, GraphArgs, TrafficArgs};
use super::period::{PeriodArgs, hours_of};
use super::policies::{Judged, PolicyArgs};
use super::service_enforcement::ServiceEnforcementArgs;
use super::style::Style;
use super::{exit, terminal};
use crate::graph::build_after;
use crate::inventory::Inventory;
use crate::net::Timestamp;
use crate::pipeline::verify::verify;
use crate::report::escape;
use crate::report::evidence::Period;
use crate::report::verification::{self, Blocked, Verification};
use clap::ValueEnum;
use std::process::ExitCode;

/// Check NetworkPolicies against recorded traffic: what would be blocked, what is allowed and never used
#[derive(Debug, clap::Args)]
#[command(
    long_about = "\
Check NetworkPolicies against recorded traffic: what was observed and would be blocked, and what is \
allowed and was never used, whole rules as well. With --from and --to: in that period, by when connections began.

The policies are those of the cluster, or of --cluster FILE; with --policies those that nanoseg \
manages are replaced. Only traffic that teaches counts (scans and refused connections do not), with \
DNS over TCP implied as in generate, and counted apart. Allowed and never used is counted where some policy \
isolates the server for ingress or the client for egress; in the other directions workloads are open, and \
named.

Of the controller's store also the hours count that it has folded into edges, as far back as it keeps them; each \
counts whole, also where the period begins or ends within it.",
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
    service_enforcement: ServiceEnforcementArgs,
    /// Only traffic and workloads of this namespace (repeatable; default: all).
    #[arg(long, short, value_name = "NS")]
    namespace: Vec<String>,
    /// How many lines of each list are shown, 0 for all.
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
    /// The same as an object, whole
    Json,
    /// For code-review tools: what would be blocked and what is unused, at the policies
    Sarif,
}

const EXAMPLES: &str = "\
Examples:
  The policies in force, against what the receiver has stored:
    nanoseg verify --flows flows.db

  What nothing used in a quarter, from the controller's store:
    nanoseg verify --flows nanoseg.sqlite --from 2026-01-01T00:00:00Z --to 2026-04-01T00:00:00Z

  Policies that are not applied yet, offline:
    nanoseg verify --flows flows.json --cluster cluster.yaml --policies policies-out

  With the files that come with nanoseg:
    nanoseg verify --capture samples/shop/captures --cluster samples/shop/cluster.yaml \\
        --policies policies-out

  In CI, for one namespace:
    nanoseg verify --capture caps/ --cluster cluster.yaml -n shop --output json | jq .wouldBlock

  The same as findings beside the lines of the policies:
    nanoseg verify --capture caps/ --cluster cluster.yaml --policies k8s/ -o sarif > nanoseg.sarif

Exit codes: 0 nothing that was observed would be blocked; 1 something would; 2 an error.";

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    input::check_stdin(&args.traffic, &args.sources.cluster)?;
    let period = args.period.period()?;
    let given = given(args, period);
    let traffic = |objects: &_| input::read_traffic(&given, objects, Vec::new(), 0);
    let (
        Judged {
            objects, policies, ..
        },
        read,
    ) = args.sources.read_beside(traffic)?;
    let mut read = read?;
    read.keep(period);
    // A large snapshot is as large as all that follows.
    drop(objects);
    let inventory = read.inventory;
    let built = build_after(&read.history, &read.seen, &inventory, args.graph.options());
    note_period(period);
    check_namespaces(&args.namespace, &inventory)?;
    let verdict = verify(
        &built.graph,
        &inventory,
        &args.service_enforcement.everywhere(),
        &policies,
        &args.namespace,
    )
    .map_err(|error| args.sources.refused(error))?;
    if verdict.observed == 0 {
        eprintln!("note: nothing was observed that must be allowed, so this proves nothing");
    }
    match args.output {
        Output::Json => terminal::print(&crate::report::json(&verdict)?)?,
        Output::Sarif => {
            let places = args.sources.places()?;
            let text = verification::as_sarif(
                &verdict,
                |policy, rule| places.of(policy, rule),
                |namespace| places.nearest(namespace),
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
    let is_sound = verdict.would_block.is_empty();
    super::leave((inventory, policies, built, verdict, read.seen));
    Ok(if is_sound {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(exit::FINDINGS)
    })
}

/// The traffic that is judged: records are cut at the ends of the period, what a controller folded has whole hours.
fn given(args: &Args, period: Period) -> TrafficArgs {
    let traffic = args.traffic.clone().with_folded(hours_of(period));
    match (period.from, period.to) {
        (None, None) => traffic,
        (from, to) => traffic.cut_at(from, to),
    }
}

/// Tells what time the verdict is about, where not all that was recorded counts.
fn note_period(period: Period) {
    let at = |at: Option<Timestamp>, else_: &str| at.map_or(else_.to_owned(), |at| at.to_string());
    if period.from.is_some() || period.to.is_some() {
        eprintln!(
            "note: connections count that began from {} on and before {}",
            at(period.from, "the first observation"),
            at(period.to, "the end")
        );
    }
}

/// A mistyped namespace has no traffic, and nothing of it would be blocked.
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
        "no namespace {unknown} in the cluster; there are {}{}",
        known.join(", "),
        if known.len() < all.len() { ", …" } else { "" }
    )
}

fn render(verdict: &Verification, most: usize, style: Style) -> String {
    let mut text = String::new();
    let mut line = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    let clean = |text: String| escape::terminal(&text).into_owned();
    let rest = |total: u64| match total.saturating_sub(most as u64) {
        0 => None,
        more => Some(format!("  … and {more} more")),
    };
    let implied = match verdict.implied {
        0 => String::new(),
        all => format!(", and {} of {all} implied ones", verdict.implied_allowed),
    };
    line(format!(
        "{} of {} observed edges{implied} allowed by {} policies",
        verdict.allowed, verdict.observed, verdict.policies
    ));
    if !verdict.would_block.is_empty() {
        let heading = format!("\nwould be blocked: {}", verdict.would_block.len());
        line(style.red(&heading));
        for one in verdict.would_block.iter().take(most) {
            let Blocked {
                client,
                server,
                ports,
                by,
                ..
            } = one;
            let seen = one.seen();
            line(clean(format!("  {client} => {server} : {ports}  ({seen})")));
            line(clean(format!("    {by}")));
        }
        rest(verdict.would_block.len() as u64)
            .into_iter()
            .for_each(&mut line);
    }
    if verdict.unused_total > 0 {
        let heading = format!("\nallowed and never used: {}", verdict.unused_total);
        line(style.yellow(&heading));
        for one in verdict.unused.iter().take(most) {
            line(clean(format!(
                "  {} => {} : {}",
                one.client, one.server, one.ports
            )));
        }
        rest(verdict.unused_total).into_iter().for_each(&mut line);
    }
    if !verdict.unused_rules.is_empty() {
        let (unused, rules) = (verdict.unused_rules.len(), verdict.rules);
        let heading = format!("\nrules that nothing used: {unused} of {rules}");
        line(style.yellow(&heading));
        for rule in verdict.unused_rules.iter().take(most) {
            line(clean(format!("  {rule}")));
        }
        rest(unused as u64).into_iter().for_each(&mut line);
    }
    if !verdict.open.is_empty() {
        let heading = format!(
            "\nopen in one direction at least, for lack of a policy: {}",
            verdict.open.len()
        );
        line(style.yellow(&heading));
        for (one, ways) in verdict.open_ways().into_iter().take(most) {
            line(clean(format!("  {one}  ({ways})")));
        }
        rest(verdict.open.len() as u64)
            .into_iter()
            .for_each(&mut line);
    }
    text
}
