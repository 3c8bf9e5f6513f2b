//! `nanoseg connectivity`: the connections that a set of manifests allows.

use super::access::AccessArgs;
use super::network_plugin::{PluginArg, note_not_enforced};
use super::notices::Stderr;
use crate::evaluate::{Connectivity, ConnectivityLine, HostNetwork, connectivity};
use crate::inventory::{Inventory, OwnerRule};
use crate::load::{current, note_objects, note_pod_blocks, note_skipped, read_sources};
use anyhow::Context;
use clap::{Args, ValueEnum};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Print what the NetworkPolicies of a cluster snapshot or of manifests allow
#[derive(Debug, Args)]
#[command(
    long_about = "\
Print what the NetworkPolicies of a cluster snapshot or of manifests allow.

Reads pods, workloads, namespaces and NetworkPolicies and prints, one line each and sorted, which \
workload may open which connections to which other workload and to or from which outside \
addresses. The policies of Cilium, of Calico and of administrators take part. The result is exact: it is computed with sets, not by sampling. Pods are listed under their \
owner's name; connections of a workload with itself are not listed. An ipBlock means outside addresses, not pods.",
    after_long_help = "\
Examples:
  Manifests of a folder:
    nanoseg connectivity deploy/

  A running cluster:
    nanoseg connectivity live

  The difference that a change makes:
    nanoseg connectivity old/ > old.txt; nanoseg connectivity new/ > new.txt; diff old.txt new.txt

  A picture:
    nanoseg connectivity deploy/ --output dot | dot -Tsvg > connectivity.svg"
)]
pub struct ConnectivityArgs {
    /// Files or folders (*.yaml, *.yml, *.json, also .gz and .zst), - for standard input, or the word live: the
    /// cluster as it is now
    #[arg(required = true, value_name = "FILE|DIR|-|live")]
    pub paths: Vec<PathBuf>,

    #[command(flatten)]
    pub access: AccessArgs,

    /// How to print it
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    pub output: Output,

    /// How to treat pods that use their node's network
    #[arg(long, value_enum, default_value_t = HostNetworkArg::LikePods)]
    pub host_network: HostNetworkArg,

    #[command(flatten)]
    pub plugin: PluginArg,
}

/// How connectivity is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// `ns/name[Kind] => ns/name[Kind] : TCP 80,443`, one line each
    Text,
    /// A list of objects with src, dst and conn
    Json,
    /// src,dst,conn with a header
    Csv,
    /// Graphviz
    Dot,
}

/// How pods with hostNetwork are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum HostNetworkArg {
    /// As ordinary pods that policies select, as other tools that read manifests do; no network plugin counts
    LikePods,
    /// As network plugins do: no policy selects them, and they are their node's addresses
    Exact,
}

/// Runs the command.
///
/// # Errors
/// Unreadable files, invalid policies, a closed output other than a closed pipe.
pub fn run(args: &ConnectivityArgs) -> anyhow::Result<ExitCode> {
    let notices = Stderr::new();
    let (objects, skipped) = read_sources(&args.paths, &args.access.settings(), &notices)?;
    note_skipped(&skipped, &notices);
    note_objects(&objects, &notices);
    let host_network = match args.host_network {
        HostNetworkArg::LikePods => HostNetwork::LikePods,
        HostNetworkArg::Exact => HostNetwork::Exact,
    };
    let (mut inventory, _) = Inventory::build(&objects, OwnerRule::Literal);
    inventory.take_network_plugin(args.plugin.profile());
    let policies = current(&objects);
    note_pod_blocks(&policies, &inventory, &notices);
    match host_network {
        HostNetwork::Exact => note_not_enforced(&inventory),
        HostNetwork::LikePods if args.plugin.profile().is_some() => {
            eprintln!("note: the network plugin counts with --host-network exact only");
        }
        HostNetwork::LikePods => {}
    }
    let found = connectivity(&inventory, &policies, host_network)?;
    print_notes(&inventory, &found, host_network);
    let text = render(&found, args.output)?;
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("failed to print the result")
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn print_notes(inventory: &Inventory, found: &Connectivity, host_network: HostNetwork) {
    let hosts: BTreeSet<_> = inventory
        .pods
        .iter()
        .filter(|pod| pod.host_network)
        .map(|pod| &pod.workload)
        .collect();
    if !hosts.is_empty() && host_network == HostNetwork::LikePods {
        eprintln!(
            "note: {} workloads use hostNetwork and are shown as if policies applied to them; \
             --host-network exact shows them as network plugins treat them",
            hosts.len()
        );
    }
    for workload in &found.uneven {
        eprintln!(
            "note: the policies differ for the pods of {workload}; a connection is listed if it is allowed for some of them"
        );
    }
}

/// Renders `found` as text that ends with a newline, or is empty where a format allows it.
///
/// # Errors
/// None that input can cause.
pub fn render(found: &Connectivity, output: Output) -> anyhow::Result<String> {
    Ok(match output {
        Output::Text => found.lines.iter().map(|line| format!("{line}\n")).collect(),
        Output::Json => {
            let lines: Vec<_> = found.lines.iter().map(json_line).collect();
            serde_json::to_string_pretty(&lines)? + "\n"
        }
        Output::Csv => csv(&found.lines),
        Output::Dot => dot(&found.lines),
    })
}

fn json_line(line: &ConnectivityLine) -> serde_json::Value {
    serde_json::json!({
        "src": line.client.to_string(),
        "dst": line.server.to_string(),
        "conn": line.connections.to_string(),
    })
}

fn csv(lines: &[ConnectivityLine]) -> String {
    let mut text = String::from("src,dst,conn\n");
    for line in lines {
        let conn = line.connections.to_string();
        let conn = if conn.contains(',') {
            format!("\"{conn}\"")
        } else {
            conn
        };
        text.push_str(&format!("{},{},{conn}\n", line.client, line.server));
    }
    text
}

fn dot(lines: &[ConnectivityLine]) -> String {
    use crate::evaluate::ConnectivityEnd;
    let quoted = |text: String| text.replace('\\', "\\\\").replace('"', "\\\"");
    let nodes: BTreeMap<String, &str> = lines
        .iter()
        .flat_map(|line| [&line.client, &line.server])
        .map(|end| match end {
            ConnectivityEnd::Outside(_) => (quoted(end.to_string()), "red2"),
            ConnectivityEnd::Workload(_) => (quoted(end.to_string()), "blue"),
        })
        .collect();
    let mut text = String::from("digraph {\n");
    for (name, color) in nodes {
        text.push_str(&format!(
            "\t\"{name}\" [label=\"{name}\" color=\"{color}\" fontcolor=\"{color}\"]\n"
        ));
    }
    for line in lines {
        text.push_str(&format!(
            "\t\"{}\" -> \"{}\" [label=\"{}\" color=\"gold2\" fontcolor=\"darkgreen\"]\n",
            quoted(line.client.to_string()),
            quoted(line.server.to_string()),
            line.connections
        ));
    }
    text + "}\n"
}
