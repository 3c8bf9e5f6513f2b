//! `nanoseg baseline`: policies for the whole cluster, from observed traffic, with their proof.

use super::network_plugin::NetworkPluginArgs;
use super::notices::Stderr;
use super::traffic::{GraphArgs, ObservationArgs};
use super::{exit, terminal};
use crate::finding::Severity;
use crate::inventory::Inventory;
use crate::pipeline::{self, ProvenBaseline};
use crate::policy::BaselineOptions;
use crate::store::OutputFolder;
use anyhow::Context;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// The most blocked connections that are printed.
const SHOWN: usize = 20;

/// Write a baseline for the cluster, and prove that it blocks nothing that was observed.
///
/// Writes ClusterNetworkPolicies, which hold before every NetworkPolicy: metadata services are closed but for the
/// workloads that use them, the cluster's resolvers are open to everybody, and with --tenant-label the tenants are closed
/// to each other but for what was observed between them. Review the folder, then `kubectl apply -k` it. The cluster needs
/// the CRD of policy.networking.k8s.io, and a network plugin that enforces it.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    captures: ObservationArgs,
    #[command(flatten)]
    graph: GraphArgs,
    /// The label of namespaces whose value names their tenant. Namespaces without it are of no tenant and stay open.
    #[arg(long, value_name = "LABEL")]
    tenant_label: Option<String>,
    /// The folder to write. Files that nanoseg did not write are kept.
    #[arg(long, short, value_name = "DIR", default_value = "baseline-out")]
    out: PathBuf,
    #[command(flatten)]
    network_plugin: NetworkPluginArgs,
}

const EXAMPLES: &str = "\
Examples:
  The metadata services and the resolvers:
    nanoseg baseline --capture caps/ --cluster cluster.yaml

  Tenants by a label of their namespaces:
    nanoseg baseline --capture caps/ --cluster cluster.yaml --tenant-label team

Exit codes: 0 nothing observed is blocked; 1 the same, but with findings of severity error;
2 an error, or something observed would be blocked (nothing is written then).";

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let read = args
        .captures
        .read(args.network_plugin.profile(), &Stderr::new())?;
    if let Some(label) = &args.tenant_label {
        check_tenants(label, &read.inventory)?;
    }
    let options = BaselineOptions {
        tenant_label: args.tenant_label.clone(),
    };
    let proven = pipeline::prove_baseline(
        &read.flows,
        &read.inventory,
        &read.foreign_policies,
        args.graph.options(),
        &args.network_plugin.everywhere(),
        &options,
    )
    .context("failed to judge the policies")?;
    let is_sound = proven.proof.blocked.is_empty();
    if is_sound {
        let files = pipeline::baseline_files(&proven.baseline);
        OutputFolder::new(&args.out).replace(&files)?;
    }
    terminal::print(&summary(args, &proven))?;
    anyhow::ensure!(
        is_sound,
        "the baseline would block observed traffic, so nothing was written: see the lines under \"blocked\""
    );
    let findings = proven.baseline.findings.iter().chain(&read.findings);
    let errors = findings.filter(|one| one.severity == Severity::Error);
    Ok(if errors.count() > 0 {
        ExitCode::from(exit::FINDINGS)
    } else {
        ExitCode::SUCCESS
    })
}

/// # Errors
/// No namespace has the label.
fn check_tenants(label: &str, inventory: &Inventory) -> anyhow::Result<()> {
    let namespaces = inventory.namespaces.values();
    let labels: BTreeSet<&str> = namespaces
        .clone()
        .flat_map(|namespace| namespace.labels.keys().map(String::as_str))
        .collect();
    anyhow::ensure!(
        labels.contains(label),
        "no namespace of the snapshot has the label {label:?}; labels of namespaces there: {}",
        labels.into_iter().collect::<Vec<_>>().join(", ")
    );
    Ok(())
}

fn summary(args: &Args, proven: &ProvenBaseline) -> String {
    let ProvenBaseline {
        baseline, proof, ..
    } = proven;
    let mut out = String::new();
    let folder = args.out.display();
    // Writing to a string never fails.
    let _ = writeln!(
        out,
        "policies   {} in {folder}/ · kubectl apply -k {folder}",
        baseline.policies.len()
    );
    for policy in &baseline.policies {
        for line in &policy.comments {
            let _ = writeln!(out, "             {}: {line}", policy.name());
        }
    }
    let _ = writeln!(
        out,
        "proof      {} of {} requirements of observed traffic are allowed",
        proof.allowed, proof.requirements
    );
    for blocked in proof.blocked.iter().take(SHOWN) {
        let _ = writeln!(out, "blocked    {blocked}");
    }
    for finding in &baseline.findings {
        let (severity, code) = (finding.severity, finding.code);
        let _ = writeln!(
            out,
            "{severity}    {code}  {} {}",
            finding.subject, finding.message
        );
    }
    out
}
