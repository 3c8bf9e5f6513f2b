//! `nanoseg graph`: the communication graph in many formats.

use super::notices::Stderr;
use super::terminal;
use super::traffic::{GraphArgs, ObservationArgs};
use crate::finding::Severity;
use crate::graph::build;
use crate::report::graph::{self as formats, Format};
use anyhow::Context;
use clap::ValueEnum;
use std::process::ExitCode;

/// Print the communication graph: which workload talks to which.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    captures: ObservationArgs,
    #[command(flatten)]
    graph: GraphArgs,
    /// The output format.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
    /// Leave edges out of pictures that were seen but not learned (scans, refused and unanswered calls).
    #[arg(long)]
    only_learned: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Output {
    /// A table for people.
    Table,
    /// Peers and edges with all evidence (schema nanoseg.dev/graph/v1).
    Json,
    /// Graphviz.
    Dot,
    /// A Mermaid flowchart, for Markdown.
    Mermaid,
    /// GraphML, for Gephi, yEd, networkx.
    Graphml,
    /// One line per edge, for spreadsheets.
    Csv,
    /// A picture in one file.
    Svg,
}

const EXAMPLES: &str = "\
Examples:
  A table of the bundled sample, and a picture:
    nanoseg graph --capture samples/shop --cluster samples/shop/cluster.yaml
    nanoseg graph --capture samples/shop --cluster samples/shop/cluster.yaml \\
      --output svg > graph.svg

  From recorded flows:
    nanoseg graph --flows flows.jsonl.zst --cluster cluster.yaml

  Edges whose client is inferred, for a script:
    nanoseg graph --capture node1.pcap --cluster cluster.yaml --output json |
      jq '.edges[] | select(.inferred)'";

/// Runs the command.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let read = args.captures.read(None, &Stderr::new())?;
    let built = build(&read.flows, &read.inventory, args.graph.options());
    // The graph goes to stdout, so findings about its accuracy go to stderr.
    for finding in read.findings.iter().filter(|f| f.severity < Severity::Note) {
        eprintln!(
            "{}: {} {}",
            finding.severity, finding.subject, finding.message
        );
    }
    let format = match args.output {
        Output::Table => Format::Table,
        Output::Json => Format::Json,
        Output::Dot => Format::Dot,
        Output::Mermaid => Format::Mermaid,
        Output::Graphml => Format::Graphml,
        Output::Csv => Format::Csv,
        Output::Svg => Format::Svg,
    };
    let options = formats::Options {
        only_learned: args.only_learned,
    };
    let text =
        formats::render(&built.graph, format, options).context("failed to write the graph")?;
    terminal::print(&text)?;
    Ok(ExitCode::SUCCESS)
}
