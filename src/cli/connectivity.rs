//! `nanoseg connectivity`: what a set of manifests allows.

use super::policies::note_skipped;
use crate::cluster::read_cluster;
use crate::evaluate::{Connectivity, ConnectivityLine, HostNetwork, connectivity};
use crate::inventory::{Inventory, Objects, OwnerRule};
use anyhow::Context;
use clap::{Args, ValueEnum};
use k8s_openapi::api::networking::v1::NetworkPolicy;
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
addresses. The answer is exact: it is computed by sets, not by trying. Pods stand under their \
owner's name; a workload with itself is not listed. An ipBlock means outside addresses, not pods.",
    after_long_help = "\
Examples:
  Manifests of a folder:
    nanoseg connectivity deploy/

  A running cluster:
    kubectl get ns,pods,replicasets,deployments,networkpolicies -A -o yaml | nanoseg connectivity -

  What a change opens or closes:
    nanoseg connectivity old/ > old.txt; nanoseg connectivity new/ > new.txt; diff old.txt new.txt

  A picture:
    nanoseg connectivity deploy/ --output dot | dot -Tsvg > connectivity.svg"
)]
pub struct ConnectivityArgs {
    /// Files or folders (*.yaml, *.yml, *.json, also .gz and .zst), or - for standard input
    #[arg(required = true, value_name = "FILE|DIR|-")]
    pub paths: Vec<PathBuf>,

    /// How to print it
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    pub output: Output,

    /// How to see pods that use their node's network
    #[arg(long, value_enum, default_value_t = HostNetworkArg::LikePods)]
    pub host_network: HostNetworkArg,
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

/// How pods with hostNetwork are seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum HostNetworkArg {
    /// As ordinary pods that policies select, as other tools that read manifests print them
    LikePods,
    /// As network plugins see them: no policy selects them, they are their node's addresses
    Exact,
}

/// Runs the command.
///
/// # Errors
/// Unreadable files, invalid policies, a closed output other than a closed pipe.
pub fn run(args: &ConnectivityArgs) -> anyhow::Result<ExitCode> {
    let (objects, skipped) = read_cluster(&args.paths)?;
    note_skipped(&skipped);
    let host_network = match args.host_network {
        HostNetworkArg::LikePods => HostNetwork::LikePods,
        HostNetworkArg::Exact => HostNetwork::Exact,
    };
    let (inventory, _) = Inventory::build(&objects, OwnerRule::Literal);
    let found = connectivity(&inventory, &policies(&objects), host_network)?;
    print_notes(&inventory, &found, host_network);
    let text = render(&found, args.output)?;
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("failed to print the result")
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// All policies, also those that nanoseg wrote; of several versions of one the last read.
fn policies(objects: &Objects) -> Vec<NetworkPolicy> {
    let mut last = BTreeMap::new();
    for policy in &objects.network_policies {
        let key = (
            policy.metadata.namespace.clone(),
            policy.metadata.name.clone(),
        );
        last.insert(key, policy.clone());
    }
    last.into_values().collect()
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
            "note: the pods of {workload} differ in what they may do; shown is what some of them may"
        );
    }
}

/// Prints `found` into a text that ends with a newline, or is empty where a format allows it.
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
