//! `nanoseg generate`: policies, proof and report from observed traffic.

use super::dialect::DialectArg;
use super::network_plugin::NetworkPluginArgs;
use super::notices::Stderr;
use super::risk::RiskArgs;
use super::traffic::{GraphArgs, ObservationArgs};
use super::{exit, terminal};
use crate::finding::Severity;
use crate::graph::{IsolationOptions, PublicEntryChoice};
use crate::pipeline::{self, Generated, Options, ReportInputs, Scope};
use crate::policy::SynthesisOptions;
use crate::report::{self, RunReport, Summary};
use crate::store::OutputFolder;
use anyhow::Context;
use clap::ValueEnum;
use std::path::PathBuf;
use std::process::ExitCode;

/// Write the minimal NetworkPolicies for observed traffic, and prove them.
///
/// Reads packet captures or flow logs and a snapshot of the cluster, builds the communication graph, writes one
/// NetworkPolicy per workload, and proves the result: nothing observed is blocked, nothing unobserved is
/// allowed. Review the folder, then `kubectl apply -k` it.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    captures: ObservationArgs,
    #[command(flatten)]
    graph: GraphArgs,
    /// Write policies only for this namespace (repeatable; default: all).
    #[arg(long, short, value_name = "NS")]
    namespace: Vec<String>,
    /// Write no policies for this namespace (repeatable).
    #[arg(long, value_name = "NS")]
    exclude_namespace: Vec<String>,
    /// The folder to write. Files that nanoseg did not write are kept.
    #[arg(long, short, value_name = "DIR", default_value = "policies-out")]
    out: PathBuf,
    /// Write a deny-all policy for workloads without any observed traffic.
    #[arg(long)]
    include_unobserved: bool,
    /// Isolate workloads all the same of which not all pods were in view: what was not seen is cut off.
    #[arg(long)]
    isolate_partial_view: bool,
    /// Isolate workloads all the same that have answered traffic with somebody whom nobody can name: it is cut off.
    #[arg(long)]
    isolate_anyway: bool,
    /// The most outside addresses in one rule; more are summarised to CIDRs.
    #[arg(long, value_name = "N", default_value_t = SynthesisOptions::default().max_addresses)]
    max_addresses: usize,
    /// The most unobserved ports that a port range may include between observed ones.
    #[arg(long, value_name = "N", default_value_t = 0)]
    range_threshold: u16,
    /// The most unobserved connections that the policies may allow; with more the exit code is 1. A connection is one
    /// workload or address with another one, for one protocol and range of ports: a CIDR counts each of its addresses.
    #[arg(long, value_name = "N", default_value_t = 0)]
    max_excess: u64,
    /// Who may call a public entry: a workload that clients on the internet call, and new ones keep coming.
    #[arg(long, value_enum, value_name = "WHO", default_value_t = PublicEntry::Seen)]
    public_entry: PublicEntry,
    /// The kind of policy to write.
    #[arg(long, value_enum, value_name = "KIND", default_value_t = DialectArg::Kubernetes)]
    dialect: DialectArg,
    /// With --dialect cilium: write *.DOMAIN where a workload looked up and calls at least so many names right below a
    /// domain (2 or more; default: every name by itself).
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(2..))]
    name_patterns: Option<u16>,
    #[command(flatten)]
    network_plugin: NetworkPluginArgs,
    #[command(flatten)]
    risk: RiskArgs,
    /// What to print to stdout.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PublicEntry {
    /// Only the clients that were seen; a warning names the entry.
    Seen,
    /// Everybody: 0.0.0.0/0 (and ::/0 where IPv6 is used) without the cluster and private ranges.
    Anywhere,
}

impl From<PublicEntry> for PublicEntryChoice {
    fn from(given: PublicEntry) -> Self {
        match given {
            PublicEntry::Seen => PublicEntryChoice::Seen,
            PublicEntry::Anywhere => PublicEntryChoice::Anywhere,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// The summary.
    Text,
    /// The content of report.json.
    Json,
}

const EXAMPLES: &str = "\
Examples:
  The bundled sample:
    nanoseg generate --capture samples/shop --cluster samples/shop/cluster.yaml

  Your own capture:
    nanoseg snapshot --out cluster.yaml
    nanoseg generate --capture node1.pcap --capture node2.pcap.zst --cluster cluster.yaml -n shop

  Directly from tcpdump; end it with Ctrl-C:
    ssh node1 tcpdump -i any -U -s 256 -w - | nanoseg generate --capture - --cluster cluster.yaml

  Flow logs, with or without captures (formats: docs/flows.md):
    hubble observe --since 24h -o jsonpb > flows.json
    nanoseg generate --flows flows.json --cluster cluster.yaml

  On Cilium, with entities for nodes and the API server, and names for servers outside:
    nanoseg generate --capture caps/ --cluster cluster.yaml --dialect cilium

  Approved images, and a vulnerability scan of an image that runs:
    trivy image -f json -o scans/web.json registry.example/shop/web:1.4
    nanoseg generate --capture caps/ --cluster cluster.yaml \\
      --approved-registry registry.example/shop \
--vulnerabilities scans/

  Figures for a script:
    nanoseg generate --capture caps/ --cluster cluster.yaml --output json | jq .proof

Exit codes: 0 proven sound; 1 sound, but with findings of severity error or excess beyond --max-excess;
2 an error, or not sound (nothing is written then).";

/// Runs the command.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let read = args
        .captures
        .read(args.network_plugin.profile(), &Stderr::new())?;
    let options = Options {
        graph: args.graph.options(),
        synthesis: SynthesisOptions {
            max_addresses: args.max_addresses,
            range_threshold: args.range_threshold,
            include_unobserved: args.include_unobserved,
            dialect: args.dialect.into(),
            name_patterns: args.name_patterns.map(usize::from),
        },
        public_entry: args.public_entry.into(),
        isolation: IsolationOptions {
            partial_view: args.isolate_partial_view,
            unattributed: args.isolate_anyway,
        },
        enforcement: args.network_plugin.everywhere(),
        scope: Scope {
            namespaces: args.namespace.iter().cloned().collect(),
            excluded: args.exclude_namespace.iter().cloned().collect(),
        },
        risk: args.risk.source().read(&read.scans)?,
    };
    for namespace in args.namespace.iter().chain(&args.exclude_namespace) {
        anyhow::ensure!(
            read.inventory.namespaces.contains_key(namespace),
            "no namespace {namespace:?} in the snapshot; it has: {}",
            read.inventory
                .namespaces
                .keys()
                .cloned()
                .collect::<Vec<_>>()
                .join(", "),
        );
    }
    let generated = pipeline::generate(
        &read.flows,
        read.span,
        &read.vantage,
        &read.inventory,
        &read.foreign_policies,
        &options,
    )
    .context("failed to judge the policies")?;
    let run = pipeline::build_report(
        &generated,
        ReportInputs {
            inputs: read.inputs,
            skipped: read.skipped,
            findings: read.findings,
            output: Some(args.out.display().to_string()),
        },
    );
    finish(&args, &generated, &run)
}

/// Writes the folder unless the proof failed, prints the result, and returns the exit code.
fn finish(args: &Args, generated: &Generated, run: &RunReport) -> anyhow::Result<ExitCode> {
    let sound = generated.proof.is_sound();
    if sound {
        let files = pipeline::output_files(generated, run).context("failed to write the report")?;
        let summary = OutputFolder::new(&args.out).replace(&files)?;
        tracing::info!(
            written = summary.written.len(),
            unchanged = summary.unchanged,
            removed = summary.removed.len(),
            "wrote {}",
            args.out.display()
        );
    }
    let text = match args.output {
        Output::Json => run.json().context("failed to write the report")?,
        Output::Text => report::summary(
            run,
            Summary {
                colour: terminal::colour(),
                ..Summary::default()
            },
        ),
    };
    terminal::print(&text)?;
    anyhow::ensure!(
        sound,
        "the policies would block observed traffic, so nothing was written; this is a bug of nanoseg: \
         please report it with the lines under \"proof\""
    );
    let wanted =
        run.findings_of(Severity::Error) > 0 || run.proof.excess_connections > args.max_excess;
    Ok(if wanted {
        ExitCode::from(exit::FINDINGS)
    } else {
        ExitCode::SUCCESS
    })
}
