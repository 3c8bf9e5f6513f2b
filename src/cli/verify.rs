//! `nanoseg verify`: policies against recorded traffic.

use super::input::{self, GraphArgs, TrafficArgs};
use super::policies::{Judged, PolicyArgs};
use super::style::Style;
use super::{exit, terminal};
use crate::evaluate::{Direction, Evaluation, HostNetwork, Proof, Span, prove};
use crate::graph::{Graph, ServiceEnforcement, build, requirements};
use crate::inventory::{Inventory, WorkloadId};
use crate::net::Timestamp;
use crate::report::escape;
use anyhow::Context;
use clap::ValueEnum;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use serde::Serialize;
use std::collections::BTreeSet;
use std::process::ExitCode;

/// Check NetworkPolicies against recorded traffic: what would be blocked, what is allowed and never used
#[derive(Debug, clap::Args)]
#[command(
    long_about = "\
Check NetworkPolicies against recorded traffic: what was observed and would be blocked, and what is \
allowed and was never used.

The policies are those of the cluster, or of --cluster FILE; with --policies those that nanoseg \
manages are replaced. Only traffic that teaches counts (scans and refused connections do not), with \
DNS over TCP implied as in generate. Allowed and never used is counted for workloads that some policy \
isolates; the others are open, and named.",
    after_long_help = EXAMPLES
)]
pub struct Args {
    #[command(flatten)]
    traffic: TrafficArgs,
    #[command(flatten)]
    graph: GraphArgs,
    #[command(flatten)]
    sources: PolicyArgs,
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
}

const EXAMPLES: &str = "\
Examples:
  The policies in force, against what the receiver has stored:
    nanoseg verify --flows flows.db

  Policies that are not applied yet, offline:
    nanoseg verify --flows flows.json --cluster cluster.yaml --policies policies-out

  In CI, for one namespace:
    nanoseg verify --capture caps/ --cluster cluster.yaml -n shop --output json | jq .wouldBlock

Exit codes: 0 nothing that was observed would be blocked; 1 something would; 2 an error.";

/// What was found.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Verdict {
    policies: usize,
    /// Connections that were observed, as the network plugin sees them.
    observed: usize,
    allowed: usize,
    would_block: Vec<Blocked>,
    /// Allowed, and not observed; cut at 10 000.
    unused: Vec<Unused>,
    unused_total: u64,
    /// Workloads that no policy isolates, in one direction at least.
    open: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Blocked {
    client: String,
    server: String,
    ports: String,
    /// Established connections that were seen; 0 for implied ones.
    connections: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_seen: Option<Timestamp>,
    by: String,
}

#[derive(Debug, Serialize)]
struct Unused {
    client: String,
    server: String,
    ports: String,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    input::check_stdin(&args.traffic, &args.sources.cluster)?;
    let Judged {
        objects, policies, ..
    } = args.sources.read()?;
    let read = input::read_traffic(&args.traffic, &objects, Vec::new(), 0)?;
    let mut inventory = read.inventory;
    // All that is judged is passed; what the inventory holds would be judged twice.
    inventory.policies.clear();
    let built = build(&read.seen, &inventory, args.graph.options());
    let verdict = judge(&built.graph, &inventory, &policies, &args.namespace)?;
    match args.output {
        Output::Json => terminal::print(&crate::report::json(&verdict)?)?,
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
    Ok(match verdict.would_block.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(exit::FINDINGS),
    })
}

fn judge(
    graph: &Graph,
    inventory: &Inventory,
    policies: &[NetworkPolicy],
    namespaces: &[String],
) -> anyhow::Result<Verdict> {
    let wanted = |id: &WorkloadId| namespaces.is_empty() || namespaces.contains(&id.namespace);
    let taught = graph.taught();
    let mut required = requirements(graph, inventory, ServiceEnforcement::AfterTranslation);
    required.retain(|one| {
        let ends = taught.get(one.edge).map(|edge| [edge.0, edge.1]);
        let mut ends = ends.into_iter().flatten();
        namespaces.is_empty() || ends.any(|peer| peer.workload().is_some_and(wanted))
    });
    let evaluation = Evaluation::new(inventory, policies, HostNetwork::Exact)?;
    let isolated = |directions: fn([bool; 2]) -> bool| -> BTreeSet<WorkloadId> {
        let classes = evaluation
            .classes()
            .filter(|(_, class)| !class.host_network);
        classes
            .filter(|(_, class)| wanted(&class.workload))
            .filter(|(id, _)| {
                directions([
                    evaluation.isolated(*id, Direction::Ingress),
                    evaluation.isolated(*id, Direction::Egress),
                ])
            })
            .map(|(_, class)| class.workload.clone())
            .collect()
    };
    let managed = isolated(|[ingress, egress]| ingress && egress);
    let open = isolated(|[ingress, egress]| !(ingress && egress));
    let proof =
        prove(inventory, policies, &required, &managed).context("failed to judge the policies")?;
    let excess = &proof.excess;
    Ok(Verdict {
        policies: policies.len(),
        observed: proof.requirements,
        allowed: proof.allowed,
        would_block: blocked(&proof, graph),
        unused: excess
            .entries
            .iter()
            .map(|one| Unused {
                client: one.client.to_string(),
                server: one.server.to_string(),
                ports: one.connections.to_string(),
            })
            .collect(),
        unused_total: excess.total,
        open: open.iter().map(WorkloadId::to_string).collect(),
    })
}

fn blocked(proof: &Proof, graph: &Graph) -> Vec<Blocked> {
    let taught = graph.taught();
    let end = |span: &Span| span.to_string();
    let one = |one: &crate::evaluate::Blocked| {
        let edge = taught.get(one.edge).map(|(_, _, edge)| *edge);
        Blocked {
            client: end(&one.client),
            server: end(&one.server),
            ports: one.connections.to_string(),
            connections: edge.map_or(0, |edge| edge.connections()),
            last_seen: edge.and_then(|edge| edge.last),
            by: one.by.to_string(),
        }
    };
    proof.blocked.iter().map(one).collect()
}

fn render(verdict: &Verdict, most: usize, style: Style) -> String {
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
    line(format!(
        "{} of {} observed connections allowed by {} policies",
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
            let seen = match one.last_seen {
                Some(last) => format!("{} connections, the last at {last}", one.connections),
                None => "implied".into(),
            };
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
    if !verdict.open.is_empty() {
        let heading = format!("\nopen, for lack of a policy: {}", verdict.open.len());
        line(style.yellow(&heading));
        for one in verdict.open.iter().take(most) {
            line(clean(format!("  {one}")));
        }
        rest(verdict.open.len() as u64)
            .into_iter()
            .for_each(&mut line);
    }
    text
}
