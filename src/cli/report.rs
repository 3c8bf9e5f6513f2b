//! `nanoseg report`: writes evidence for auditors.

mod sign;
mod verify;

use super::access::{AccessArgs, ControllerArgs};
use super::network_plugin::NetworkPluginArgs;
use super::notices::Stderr;
use super::period::PeriodArgs;
use super::terminal;
use super::verify::check_namespaces;
use crate::graph::{Graph, Peer};
use crate::inventory::{Inventory, Objects};
use crate::load::evidence::{
    LoadedEvidence, PublishedState, from_generated, from_published, from_state, from_traffic,
};
use crate::load::{
    NoticeSink, SourcePath, TrafficSource, read_objects, read_policies, read_probes,
};
use crate::pipeline::evidence::{EvidenceInputs, build_evidence};
use crate::report::evidence::{CHECK_COMMANDS, Evidence, Framework, Period, Source, files};
use crate::store::evidence::{self as folder, MANIFEST, SIGNATURE};
use anyhow::Context;
use clap::{Subcommand, ValueEnum};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Write evidence for auditors: observed traffic, the policies that allow it, and who approved them
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    long_about = "\
Write evidence for auditors: the traffic of a period, the policies that allowed it, who approved them and \
when, and the state of segmentation; as a page, as Markdown, and as data (JSON, CSV, GraphML, DOT, Mermaid, \
SVG, OCSF). manifest.json has the SHA-256 of every file; --sign-key signs it as ssh-keygen -Y sign does, so that \
an auditor can check the report with only sha256sum, ssh-keygen, grep and find.

Connections count if they began in the period; with the controller's state the period is widened to whole hours. \
The same input and period give the same bytes.",
    after_long_help = examples()
)]
pub struct Args {
    #[command(subcommand)]
    command: Option<ReportCommand>,
    #[command(flatten)]
    write: WriteArgs,
}

#[derive(Debug, Subcommand)]
enum ReportCommand {
    Verify(verify::Args),
}

#[derive(Debug, clap::Args)]
#[group(id = "source", multiple = true)]
struct SourceArgs {
    /// The controller's state (nanoseg.sqlite; it may be in use): traffic by the hour, approvals, the record.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["generated", "capture", "flows"])]
    state: Option<PathBuf>,
    /// What the controller publishes in the cluster: the graph, the newest part of the record, proposals. Needs the role
    /// nanoseg-viewer there, and nothing from a pod.
    #[arg(long, conflicts_with_all = ["state", "generated", "capture", "flows"])]
    from_cluster: bool,
    /// A folder that nanoseg generate wrote: its graph and its policies.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["capture", "flows"])]
    generated: Option<PathBuf>,
    /// Packet captures: files or folders.
    #[arg(long, short, value_name = "FILE|DIR", num_args = 1..)]
    capture: Vec<SourcePath>,
    /// Flow logs, or the receiver's store.
    #[arg(long, value_name = "FILE|DIR", num_args = 1..)]
    flows: Vec<SourcePath>,
}

#[derive(Debug, clap::Args)]
struct WriteArgs {
    #[command(flatten)]
    source: SourceArgs,
    /// Snapshots of the cluster, as nanoseg snapshot writes them, instead of the cluster itself (the word live).
    #[arg(long, value_name = "FILE|DIR|live", num_args = 1..)]
    cluster: Vec<PathBuf>,
    /// The policies to judge (default: those of --generated; else those that were in force at the end of the
    /// period by the record (--state), and those of others in the cluster; else those of the cluster).
    #[arg(long, value_name = "FILE|DIR", num_args = 1..)]
    policies: Vec<PathBuf>,
    #[command(flatten)]
    controller: ControllerArgs,
    #[command(flatten)]
    access: AccessArgs,
    #[command(flatten)]
    period: PeriodArgs,
    #[command(flatten)]
    network_plugin: NetworkPluginArgs,
    /// Only traffic and workloads of this namespace (repeatable; default: all).
    #[arg(long, short, value_name = "NS")]
    namespace: Vec<String>,
    /// Assess the evidence by the controls of a framework.
    #[arg(long, value_enum, value_name = "NAME")]
    framework: Option<FrameworkArg>,
    /// Results of nanoseg probe -o json: that segmentation is tested, and not only evaluated.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    probe: Vec<PathBuf>,
    /// The folder to write; an existing report is replaced.
    #[arg(long, value_name = "DIR", required = true)]
    out: Option<PathBuf>,
    /// Sign the manifest with this SSH key: a private one without a passphrase, or a public one whose private
    /// key ssh-agent holds.
    #[arg(long, value_name = "FILE")]
    sign_key: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FrameworkArg {
    PciDss,
    #[value(name = "nist-800-53")]
    Nist80053,
    #[value(name = "cis-k8s")]
    CisK8s,
    Soc2,
}

/// Examples of the command, with the commands that an auditor runs.
fn examples() -> String {
    let check: String = CHECK_COMMANDS
        .lines()
        .map(|line| format!("    {line}\n"))
        .collect();
    format!("{EXAMPLES}{check}{MORE_EXAMPLES}")
}

const EXAMPLES: &str = "\
Examples:
  The bundled sample, for PCI DSS:
    nanoseg report --generated policies-out --cluster samples/shop/cluster.yaml \\
      --framework pci-dss --out report

  What the controller publishes in the cluster, with nothing but the rights to read it:
    nanoseg report --from-cluster --out now

  The traffic of March, from a copy of the controller's state, signed:
    kubectl exec -n nanoseg deploy/nanoseg-controller -- /nanoseg controller backup \\
      --store /var/lib/nanoseg/nanoseg.sqlite --out - > nanoseg.sqlite
    nanoseg report --state nanoseg.sqlite \\
      --from 2026-03-01T00:00:00Z --to 2026-04-01T00:00:00Z \\
      --sign-key ~/.ssh/id_ed25519 --out march

  With a test of the segmentation, for PCI DSS 11.4.5:
    nanoseg probe -A --sample 200 --yes -o json > probe.json
    nanoseg report --from-cluster --probe probe.json --framework pci-dss --out tested

  From recorded flows, one namespace:
    nanoseg report --flows flows.jsonl.zst --cluster cluster.yaml -n shop --out shop

  What an auditor runs, without nanoseg and with nanoseg:
    cd march
";

const MORE_EXAMPLES: &str = "    cd ..
    nanoseg report verify march --key id_ed25519.pub

Exit codes: 0 written; 2 an error. Of verify: 0 intact; 1 altered, or not signed by the key; 2 an error.";

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.command {
        Some(ReportCommand::Verify(args)) => verify::run(args),
        None => write(&args.write),
    }
}

fn write(args: &WriteArgs) -> anyhow::Result<ExitCode> {
    let out = args.out.as_ref().context("no --out DIR is given")?;
    let source = &args.source;
    anyhow::ensure!(
        source.state.is_some()
            || source.from_cluster
            || source.generated.is_some()
            || !(source.capture.is_empty() && source.flows.is_empty()),
        "no source; give --from-cluster, --state, --generated, --capture or --flows"
    );
    let period = args.period.period()?;
    // Check the folder and the key before the work is done.
    folder::may_write(out)?;
    let signer = args
        .sign_key
        .as_deref()
        .map(sign::Signer::open)
        .transpose()?;
    let notices = Stderr::new();
    let (objects, _) = read_objects(&args.cluster, &args.access.settings(), &notices)?;
    let mut loaded = if source.from_cluster {
        let client = args.access.connect()?;
        let published = PublishedState::read(&client, &args.controller.controller_namespace)?;
        from_published(published, period, &objects)?
    } else {
        load(source, period, &objects, &notices)?
    };
    if !args.policies.is_empty() {
        loaded.replace_policies(read_policies(&args.policies, &notices)?);
    }
    let evidence = evidence(args, loaded)?;
    let signed_by = signer.as_ref().map(|one| one.fingerprint()).transpose()?;
    let all = files(&evidence.0, &evidence.1, signed_by.as_deref());
    let mut all = all.context("failed to write the report")?;
    if let Some(signer) = signer {
        let manifest = all.get(MANIFEST).map(Vec::as_slice).unwrap_or_default();
        let signature = signer.sign(manifest)?;
        all.insert(format!("{MANIFEST}{SIGNATURE}"), signature.into_bytes());
    }
    folder::write(out, &all)?;
    if let Some(broken) = &evidence.0.record_broken {
        eprintln!("warning: {broken}; the report contains this warning");
    }
    let summary = summary(&evidence.0);
    terminal::print(&format!(
        "{summary}report: {}\n",
        out.join("index.html").display()
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// Loads the files that the options name.
fn load(
    source: &SourceArgs,
    period: Period,
    objects: &Objects,
    notices: &dyn NoticeSink,
) -> anyhow::Result<LoadedEvidence> {
    Ok(match (&source.state, &source.generated) {
        (Some(path), _) => from_state(path, period, objects)?,
        (None, Some(path)) => from_generated(path, period, objects, notices)?,
        (None, None) => {
            let traffic = TrafficSource::new(source.capture.clone(), source.flows.clone());
            from_traffic(traffic, period, objects, notices)?
        }
    })
}

fn evidence(args: &WriteArgs, loaded: LoadedEvidence) -> anyhow::Result<(Evidence, Graph)> {
    let LoadedEvidence {
        graph,
        mut inventory,
        policies,
        inputs: mut given,
    } = loaded;
    inventory.take_network_plugin(args.network_plugin.profile());
    for name in &args.cluster {
        given.sources.push(Source {
            name: name.display().to_string(),
            what: "the cluster's objects".into(),
        });
    }
    given.sources.extend(args.probe.iter().map(|file| Source {
        name: file.display().to_string(),
        what: "what nanoseg probe tried".into(),
    }));
    for source in &mut given.sources {
        source.name = file_name(&source.name);
    }
    given.namespaces = namespaces(args, &inventory, &given)?;
    given.framework = args.framework.map(|framework| match framework {
        FrameworkArg::PciDss => Framework::PciDss,
        FrameworkArg::Nist80053 => Framework::Nist80053,
        FrameworkArg::CisK8s => Framework::CisK8s,
        FrameworkArg::Soc2 => Framework::Soc2,
    });
    given.policy_files = policy_files(&policies)?;
    given.probes = read_probes(&args.probe)?;
    given.enforcement = args.network_plugin.everywhere();
    build_evidence(&graph, &inventory, &policies, given).context("failed to judge the policies")
}

/// The namespaces that the report is about, sorted, each once. A namespace that is gone from the cluster is accepted if
/// the sources have it.
fn namespaces(
    args: &WriteArgs,
    inventory: &Inventory,
    given: &EvidenceInputs,
) -> anyhow::Result<Vec<String>> {
    let wanted: BTreeSet<&String> = args.namespace.iter().collect();
    let gone = given
        .gone
        .iter()
        .flat_map(|(client, server, _)| [client, server]);
    let gone = gone.filter_map(Peer::workload).map(|id| &id.namespace);
    let known = given.events.iter().map(|event| &event.entry.namespace);
    let known: BTreeSet<&String> = known.chain(gone).collect();
    let wanted: Vec<String> = wanted.into_iter().cloned().collect();
    let in_cluster = wanted.iter().filter(|one| !known.contains(one));
    check_namespaces(in_cluster, inventory)?;
    Ok(wanted)
}

/// The name of a file without its folder: the same file gives the same report wherever it is.
fn file_name(path: &str) -> String {
    let name = |path: &Path| Some(path.file_name()?.to_string_lossy().into_owned());
    let path_name = name(Path::new(path));
    // `.` and `..` have a name too.
    let real = || name(&Path::new(path).canonicalize().ok()?);
    path_name.or_else(real).unwrap_or_else(|| path.to_owned())
}

/// Each policy as a separate file.
fn policy_files(policies: &[NetworkPolicy]) -> anyhow::Result<Vec<(String, String)>> {
    let file = |policy: &NetworkPolicy| {
        let mut policy = policy.clone();
        policy.metadata.managed_fields = None;
        let (namespace, name) = (
            file_part(policy.metadata.namespace.as_deref()),
            file_part(policy.metadata.name.as_deref()),
        );
        let text = serde_yaml::to_string(&policy).context("failed to write a policy")?;
        Ok((format!("{namespace}/{name}.yaml"), text))
    };
    policies.iter().map(file).collect()
}

/// A name from a manifest as a part of a path that cannot leave its folder.
fn file_part(name: Option<&str>) -> String {
    match name.unwrap_or_default() {
        "" | "." | ".." => "_".to_owned(),
        // Tools escape unusual characters in lists of digests, and not all in the same way.
        name => name.replace(|c: char| c == '/' || c == '\\' || c.is_control(), "_"),
    }
}

fn summary(evidence: &Evidence) -> String {
    let (figures, verdict) = (&evidence.figures, &evidence.verdict);
    let mut text = format!(
        "{} of {} workloads isolated, {} of {} observed edges allowed, {} pairs{} allowed beyond them\n",
        figures.isolated,
        figures.workloads,
        verdict.allowed,
        verdict.observed,
        verdict.unused_total,
        verdict.unused_connections_text()
    );
    for control in evidence
        .framework
        .iter()
        .flat_map(|framework| &framework.controls)
    {
        text.push_str(&format!(
            "{:<8} {}\n",
            control.number,
            control.standing.words()
        ));
    }
    text
}
