//! `nanoseg explain`: the rule that allows a connection, or the rule that is missing.

mod ends;
mod sarif;
mod text;

use super::access::NamespaceArg;
use super::network_plugin::{NetworkPluginArgs, note_not_enforced};
use super::notices::Stderr;
use super::policies::PolicyArgs;
use super::{exit, terminal};
use crate::evaluate::{Evaluation, Explanation, HostNetwork, PeerRef};
use crate::inventory::{Inventory, OwnerRule};
use crate::load::EffectivePolicies;
use crate::net::Protocol;
use clap::ValueEnum;
use ends::{End, Target, resolve_end, targets};
use serde::Serialize;
use std::collections::BTreeMap;
use std::process::ExitCode;

/// Show which rule of which NetworkPolicy allows a connection, or which rule is missing
#[derive(Debug, clap::Args)]
#[command(
    long_about = "\
Show which rule of which NetworkPolicy allows a connection, or which rule is missing and on which side.

SRC and DST are a workload, a pod, or (DST only) a Service, as name, namespace/name or \
namespace/kind/name, or an address. Pods of a workload are listed separately if the policies differ for them. \
A Service stands for the pods behind it, on their own ports: network plugins check after \
translation; with --service-enforcement before-translation also on the Service's port. A node's address with a node port \
is that Service. An address outside that may come through a node (NodePort, load balancer) is checked as itself and as \
the nodes: which of them the plugin sees depends on where the pod runs.",
    after_long_help = EXAMPLES
)]
pub struct Args {
    /// The client, which opens the connection
    #[arg(value_name = "SRC")]
    client: String,
    /// The server
    #[arg(value_name = "DST")]
    server: String,
    /// The port, and TCP, UDP or SCTP (default TCP)
    #[arg(value_name = "PORT[/PROTOCOL]", value_parser = parse_port)]
    port: Port,
    #[command(flatten)]
    place: NamespaceArg,
    #[command(flatten)]
    sources: PolicyArgs,
    #[command(flatten)]
    network_plugin: NetworkPluginArgs,
    /// How to print it
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// Both sides, with the rules
    Text,
    /// The same as an object
    Json,
    /// For code-review tools: a connection that is not allowed, at the policies that deny it
    Sarif,
}

const EXAMPLES: &str = "\
Examples:
  Whether the shop's frontend may use its cart, in the cluster as it is now:
    nanoseg explain shop/frontend shop/cart 8080

  DNS, by the Service's name:
    nanoseg explain -n shop frontend kube-system/kube-dns 53/UDP

  Offline, with policies that are not applied yet:
    nanoseg explain shop/frontend shop/cart 8080 --cluster cluster.yaml --policies policies-out

  With the bundled sample:
    nanoseg explain shop/app shop/postgres 5432 --cluster samples/shop/cluster.yaml \\
        --policies policies-out

  From an address outside:
    nanoseg explain 203.0.113.7 shop/frontend 443

  In CI: check that a connection stays allowed, with a finding at the policy that denies it:
    nanoseg explain shop/frontend shop/cart 8080 --cluster cluster.yaml --policies k8s/ -o sarif

Exit codes: 0 allowed; 1 not allowed, or not from every pod; 2 an error.";

#[derive(Debug, Clone, Copy)]
struct Port {
    number: u16,
    protocol: Protocol,
}

fn parse_port(text: &str) -> Result<Port, String> {
    let (number, protocol) = text.split_once('/').unwrap_or((text, "TCP"));
    let wrong = || format!("{text:?} is not a port: write 8080, 53/UDP or 132/SCTP");
    let number = number.parse::<u16>().ok().filter(|number| *number > 0);
    Ok(Port {
        number: number.ok_or_else(wrong)?,
        protocol: Protocol::parse(&protocol.to_ascii_uppercase()).ok_or_else(wrong)?,
    })
}

#[derive(Debug, Serialize)]
struct ExplainReport {
    client: String,
    server: String,
    protocol: Protocol,
    port: u16,
    allowed: bool,
    /// One, or one for each class of pods for which the policies differ.
    cases: Vec<Case>,
}

#[derive(Debug, Serialize)]
struct Case {
    /// The pods and addresses that it is about, with names for people.
    client: Vec<String>,
    server: Vec<String>,
    /// The client is seen as one of these nodes where it comes through them: the Services, `namespace/name:port`.
    #[serde(skip_serializing_if = "Option::is_none")]
    through: Option<String>,
    /// The port that is checked: the pod's; if the plugin checks before translation, also the Service's.
    port: u16,
    #[serde(flatten)]
    why: Explanation,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let sources = args.sources.source();
    let EffectivePolicies {
        objects,
        policies,
        namespace,
        ..
    } = sources.read(&Stderr::new())?;
    let (mut inventory, _) = Inventory::build(&objects, OwnerRule::Infer);
    inventory.take_network_plugin(args.network_plugin.profile());
    note_not_enforced(&inventory);
    let namespace = args.place.namespace.clone().unwrap_or(namespace);
    let client = resolve_end(&args.client, &namespace, &inventory)?;
    let server = resolve_end(&args.server, &namespace, &inventory)?;
    let server = ends::behind_node_port(server, args.port, &inventory);
    let plugin = inventory.network_plugin.behaviour();
    let enforcement = args.network_plugin.ports().unwrap_or(plugin.ports);
    let from = targets(&client, args.port, &inventory, enforcement)?;
    let to = targets(&server, args.port, &inventory, enforcement)?;
    let evaluation = Evaluation::new(&inventory, &policies, HostNetwork::Exact)
        .map_err(|error| sources.invalid(error))?;
    let protocol = args.port.protocol;
    let (ask, known) = ((&client, from.as_slice()), (&server, to.as_slice()));
    let mut cases = cases(&evaluation, &inventory, ask, known, protocol);
    // Who comes through a node is seen as itself in front of some pods, and as the node in front of others.
    if let Some(nodes) = ends::through_nodes(&client, &server, &to, protocol, &inventory) {
        let as_node = self::cases(
            &evaluation,
            &inventory,
            (&client, nodes.from.as_slice()),
            known,
            protocol,
        );
        cases.extend(as_node.into_iter().map(|case| Case {
            through: Some(nodes.services.clone()),
            ..case
        }));
    }
    let report = ExplainReport {
        client: client.name(&inventory),
        server: server.name(&inventory),
        protocol: args.port.protocol,
        port: args.port.number,
        allowed: cases.iter().all(|case| case.why.allowed),
        cases,
    };
    match args.output {
        Output::Json => terminal::print(&crate::report::json(&report)?)?,
        Output::Sarif => {
            let locations = sources.locations()?;
            terminal::print(&sarif::render(&report, &locations)?)?;
        }
        Output::Text => terminal::print(&text::render(&report, terminal::colour()))?,
    }
    Ok(if report.allowed {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(exit::FINDINGS)
    })
}

/// Every class of client with every class of server; those with the same result are one case.
fn cases(
    evaluation: &Evaluation,
    inventory: &Inventory,
    (client, from): (&End, &[Target]),
    (server, to): (&End, &[Target]),
    protocol: Protocol,
) -> Vec<Case> {
    let classes = ends::PodClasses::of(evaluation);
    let mut found: BTreeMap<(u16, Explanation), (Vec<String>, Vec<String>)> = BTreeMap::new();
    for a in classes.representatives(from) {
        for b in classes.representatives(to) {
            let why = explain_pair(
                evaluation,
                (client, a.end),
                (server, b.end),
                (protocol, b.port),
            );
            let ends = found.entry((b.port, why)).or_default();
            for (list, target) in [(&mut ends.0, a), (&mut ends.1, b)] {
                let name = ends::name(target.end, inventory);
                if !list.contains(&name) {
                    list.push(name);
                }
            }
        }
    }
    let case = |((port, why), (client, server))| Case {
        client,
        server,
        through: None,
        port,
        why,
    };
    found.into_iter().map(case).collect()
}

/// For workloads the question is about any of their pods, on any node: that a pod always reaches itself, and a node its
/// own pods, does not report it.
fn explain_pair(
    evaluation: &Evaluation,
    (client, a): (&End, PeerRef),
    (server, b): (&End, PeerRef),
    (protocol, port): (Protocol, u16),
) -> Explanation {
    let mut why = evaluation.explain(a, b, protocol, port);
    if client.is_several() || server.is_several() {
        why.always = None;
        why.allowed = why.egress.allows() && why.ingress.allows();
    }
    why
}
