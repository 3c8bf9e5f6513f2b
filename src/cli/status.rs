//! `nanoseg status`: the state of segmented namespaces.

use super::access::{AccessArgs, NamespaceArgs};
use super::proposals::Output;
use super::style::Style;
use super::terminal;
use crate::inventory::is_ours;
use crate::load::BlockingClient;
use crate::report::escape;
use crate::report::table::{Align, Table};
use crate::review::resources::{
    BREAK_GLASS, Mode, OpeningStatus, Segmentation, SharedFindingLine, WaitingWorkload,
};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{Api, ResourceExt};
use serde::Serialize;
use std::process::ExitCode;

/// Show the state of segmented namespaces: what was learned, what waits for what, what is enforced, what needs attention
#[derive(Debug, clap::Args)]
#[command(
    long_about = "\
Show the state of segmented namespaces: the mode, the estimated share of the edges that were seen, the number of \
workloads and of enforced ones, of proposals that wait for a decision, and of connections that were tried and that the \
policies do not allow. Below the table is, for each namespace, what needs attention (abnormal conditions, and \
break-glass), and which workloads have no proposal yet, with what was seen of them and what they wait for. An edge is a \
client, a server, a protocol and a port.",
    after_long_help = "\
Examples:
  All namespaces:
    nanoseg status -A

  For a script: the namespaces that need attention
    nanoseg status -A -o json | jq -r '.[] | select(.attention != []).namespace'"
)]
pub struct Args {
    #[command(flatten)]
    place: NamespaceArgs,
    #[command(flatten)]
    access: AccessArgs,
    /// How to print it
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// One namespace.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    namespace: String,
    mode: Mode,
    /// The estimated share of edges seen, the mean of the learned workloads.
    coverage: String,
    workloads: u32,
    /// Workloads with enough traffic for an estimate.
    learned: u32,
    enforced: u32,
    open_proposals: u32,
    violations: u32,
    /// Denied connections that are not judged yet.
    pending_violations: u32,
    /// Pods that no policy selects while the namespace is enforced.
    uncovered: u32,
    /// What needs attention, one line each.
    attention: Vec<String>,
    /// Workloads without a proposal.
    waiting: Vec<WaitingWorkload>,
    /// Warnings that nearly all workloads of the cluster have.
    shared_findings: Vec<SharedFindingLine>,
    /// The network plugin, with what told of it.
    #[serde(skip_serializing_if = "String::is_empty")]
    network_plugin: String,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let client = args.access.connect()?;
    let found: Vec<Segmentation> = client.list(args.place.namespace(&client))?;
    let rows: Vec<Row> = found.iter().map(|one| row(one, &client)).collect();
    let policies = client.list::<NetworkPolicy>(args.place.namespace(&client));
    match policies.map(|policies| nobodys(&policies, &rows)) {
        Ok(names) if names.is_empty() => {}
        Ok(names) => eprintln!(
            "warning: {} policies with nanoseg's label are in namespaces without a Segmentation, and nobody keeps them as they \
             are: {}; create a Segmentation there to adopt them, or delete them",
            names.len(),
            escape::terminal(&shortened(&names))
        ),
        Err(error) => {
            eprintln!("note: policies in namespaces without a Segmentation are not known: {error}")
        }
    }
    match args.output {
        Output::Json => terminal::print(&crate::report::json(&rows)?)?,
        Output::Text if rows.is_empty() => eprintln!(
            "no Segmentation in {}; create one to start, see docs/operate.md",
            args.place.place(&client)
        ),
        Output::Text => {
            let style = Style::new(terminal::colour());
            terminal::print(&render(&rows, style))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The policies with our label in namespaces that have no row, as `namespace/name`.
fn nobodys(policies: &[NetworkPolicy], rows: &[Row]) -> Vec<String> {
    let is_nobodys = |policy: &&NetworkPolicy| {
        let namespace = policy.metadata.namespace.as_deref();
        is_ours(&policy.metadata)
            && rows
                .iter()
                .all(|row| Some(row.namespace.as_str()) != namespace)
    };
    let policies = policies.iter().filter(is_nobodys);
    let names = policies.map(|policy| {
        let namespace = policy.metadata.namespace.as_deref().unwrap_or_default();
        format!("{namespace}/{}", policy.name_any())
    });
    names.collect()
}

/// The first names.
fn shortened(names: &[String]) -> String {
    const MOST: usize = 10;
    let shown = names
        .iter()
        .take(MOST)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    match names.len().saturating_sub(MOST) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn row(segmentation: &Segmentation, client: &BlockingClient) -> Row {
    let namespace = segmentation.namespace().unwrap_or_default();
    let status = segmentation.status.clone().unwrap_or_default();
    let mut attention = Vec::new();
    if let Some(reason) = break_glass(&namespace, client) {
        attention.push(format!("break-glass: {reason}"));
    }
    if segmentation.status.is_none() {
        attention.push("no controller has processed it yet".into());
    } else if status.observed_generation != segmentation.metadata.generation {
        attention.push("the controller has not processed its last change yet".into());
    }
    attention.extend(status.temporary_openings.iter().map(opening));
    attention.extend(status.conditions.iter().filter_map(needs_attention));
    Row {
        namespace,
        mode: segmentation.spec.mode,
        coverage: status.coverage,
        workloads: status.counts.workloads,
        learned: status.counts.learned,
        enforced: status.counts.enforced,
        open_proposals: status.counts.open_proposals,
        violations: status.counts.violations,
        pending_violations: status.counts.pending_violations,
        uncovered: status.counts.uncovered,
        attention,
        waiting: status.waiting,
        shared_findings: status.shared_findings,
        network_plugin: status.network_plugin,
    }
}

/// `open until 2026-11-30T12:00:00Z: shop/web → shop/db 5432/TCP (db-3, by ann)`.
fn opening(opening: &OpeningStatus) -> String {
    let until = opening
        .until
        .as_ref()
        .map_or("-".into(), |until| until.0.to_string());
    let (what, by) = (opening.connections.join(", "), &opening.by);
    format!("open until {until}: {what} ({}, by {by})", opening.proposal)
}

/// The reason of break-glass, if the namespace's policies are removed by it. A user who may not read namespaces sees it
/// only in the conditions.
fn break_glass(namespace: &str, client: &BlockingClient) -> Option<String> {
    let api: Api<Namespace> = Api::all(client.client.clone());
    let found = client.block_on(api.get_opt(namespace)).ok()??;
    found.annotations().get(BREAK_GLASS).cloned()
}

/// The text of a condition that needs attention: Ready, WellFormed, WithinCeilings and Trusted should be true, Covered where the
/// namespace is enforced, Drifted and Degraded false; Learning and Enforcing may be either.
fn needs_attention(condition: &Condition) -> Option<String> {
    let is_well = match condition.type_.as_str() {
        "Ready" | "Adopted" => condition.status == "True",
        "Drifted" | "Degraded" => condition.status == "False",
        // Without its resolver the next pod finds nobody.
        "Observed" if condition.reason == "LookupsNotSeen" => false,
        "Covered" | "Exclusive" => condition.status == "True" || condition.reason == "NotEnforced",
        "WellFormed" | "WithinCeilings" | "Trusted" => condition.status == "True",
        _ => condition.status != "Unknown",
    };
    let text = match condition.message.as_str() {
        "" => format!(
            "{}={}: {}",
            condition.type_, condition.status, condition.reason
        ),
        message => format!("{}={}: {message}", condition.type_, condition.status),
    };
    (!is_well).then_some(text)
}

fn render(rows: &[Row], style: Style) -> String {
    let (left, right) = (Align::Left, Align::Right);
    let mut table = Table::new([
        ("NAMESPACE", left),
        ("MODE", left),
        ("EDGES SEEN", right),
        ("WORKLOADS", right),
        ("ENFORCED", right),
        ("PROPOSALS", right),
        ("VIOLATIONS", right),
        ("UNCOVERED", right),
        ("ATTENTION", right),
    ]);
    for row in rows {
        let coverage = match row.coverage.as_str() {
            "" => "-",
            some => some,
        };
        table.row([
            row.namespace.clone(),
            format!("{:?}", row.mode),
            coverage.to_owned(),
            row.workloads.to_string(),
            row.enforced.to_string(),
            row.open_proposals.to_string(),
            match row.pending_violations {
                0 => row.violations.to_string(),
                pending => format!("{} ({pending} not judged yet)", row.violations),
            },
            row.uncovered.to_string(),
            row.attention.len().to_string(),
        ]);
    }
    let mut text = table.render();
    text.push_str(&style.dim(LEGEND));
    text.push_str(&plugin(rows));
    text.push_str(&shared(rows));
    for row in rows {
        text.push_str(&section(row, style));
    }
    text
}

/// What the columns count.
const LEGEND: &str = "
EDGES SEEN  estimated share of the edges (client, server, port) that were observed, mean of so many workloads
ENFORCED    workloads whose approved policy is in the cluster
PROPOSALS   waiting for a decision: nanoseg proposals
VIOLATIONS  connections that were tried and that the approved policies do not allow
UNCOVERED   pods of an enforced namespace that no policy selects: they are open
";

/// Which network plugin the policies are judged for, once.
fn plugin(rows: &[Row]) -> String {
    let mut said = rows.iter().map(|row| row.network_plugin.as_str());
    match said.find(|plugin| !plugin.is_empty()) {
        Some(plugin) => format!("\nnetwork plugin: {}\n", escape::terminal(plugin)),
        None => String::new(),
    }
}

/// What is so of nearly all workloads, once.
fn shared(rows: &[Row]) -> String {
    let Some(row) = rows.iter().find(|row| !row.shared_findings.is_empty()) else {
        return String::new();
    };
    let mut text =
        "\nof nearly all workloads of the cluster, so it raises no proposal's risk:\n".to_owned();
    for one in &row.shared_findings {
        let line = format!(
            "{} ({} of {} workloads): {}",
            one.code, one.workloads, one.of, one.message
        );
        text.push_str(&format!("  {}\n", escape::terminal(&line)));
    }
    text
}

/// What there is to say of a namespace beside its numbers.
fn section(row: &Row, style: Style) -> String {
    let waits = !row.waiting.is_empty();
    if row.attention.is_empty() && !waits {
        return String::new();
    }
    let mut text = format!("\n{}\n", style.bold(&row.namespace));
    if waits {
        let (without, all) = (row.waiting.len(), row.workloads);
        text.push_str(&format!(
            "  {without} of {all} workloads have no proposal yet:\n"
        ));
        for line in waiting_lines(&row.waiting) {
            text.push_str(&format!("    {line}\n"));
        }
    }
    for line in &row.attention {
        let line = escape::terminal(line);
        text.push_str(&format!("  {}\n", style.yellow(&line)));
    }
    text
}

/// A line for each workload without a proposal: `db (Deployment): 1 connection in 3 h from 1 client; waits …`.
pub fn waiting_lines(waiting: &[WaitingWorkload]) -> Vec<String> {
    let line = |one: &WaitingWorkload| {
        let line = format!("{} ({}): {}", one.name, one.kind, one.message);
        escape::terminal(&line).into_owned()
    };
    waiting.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(type_: &str, status: &str) -> Condition {
        Condition {
            type_: type_.into(),
            status: status.into(),
            reason: "Why".into(),
            message: String::new(),
            last_transition_time: k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(
                jiff::Timestamp::UNIX_EPOCH,
            ),
            observed_generation: None,
        }
    }

    #[test]
    fn the_text_says_what_each_number_counts_and_what_workloads_wait_for() {
        let waiting = |name: &str, message: &str| WaitingWorkload {
            kind: "Deployment".into(),
            name: name.into(),
            message: message.into(),
            ..WaitingWorkload::default()
        };
        let row = Row {
            namespace: "shop".into(),
            mode: Mode::Propose,
            coverage: "92 % (16 of 17 workloads)".into(),
            workloads: 17,
            learned: 16,
            enforced: 3,
            open_proposals: 2,
            violations: 0,
            uncovered: 0,
            pending_violations: 0,
            attention: vec!["Degraded=True: web: rolled back".into()],
            waiting: vec![waiting("db", "1 connection in 3 h from 1 client; waits")],
            shared_findings: vec![SharedFindingLine {
                code: "mutable-tag".into(),
                workloads: 17,
                of: 18,
                message: "No digest.".into(),
            }],
            network_plugin: "cilium (by DaemonSet kube-system/cilium)".into(),
        };
        let text = render(&[row], Style::new(false));
        for part in [
            "EDGES SEEN  WORKLOADS  ENFORCED  PROPOSALS",
            "92 % (16 of 17 workloads)         17         3          2",
            "\nVIOLATIONS  connections that were tried",
            "\nnetwork plugin: cilium (by DaemonSet kube-system/cilium)\n",
            "  mutable-tag (17 of 18 workloads): No digest.\n",
            "\nshop\n  1 of 17 workloads have no proposal yet:\n    db (Deployment): 1 connection in 3 h from 1 client; \
             waits\n  Degraded=True: web: rolled back\n",
        ] {
            assert!(text.contains(part), "{part:?} in\n{text}");
        }
    }

    #[test]
    fn lookups_without_a_known_resolver_need_attention_and_other_gaps_of_the_view_do_not() {
        let mut observed = condition("Observed", "False");
        assert_eq!(needs_attention(&observed), None);
        observed.reason = "LookupsNotSeen".into();
        assert!(needs_attention(&observed).is_some());
    }

    #[test]
    fn only_abnormal_conditions_need_attention() {
        for (type_, status) in [
            ("Ready", "True"),
            ("Adopted", "True"),
            ("Drifted", "False"),
            ("Degraded", "False"),
            ("Learning", "True"),
            ("Learning", "False"),
            ("Enforcing", "False"),
        ] {
            assert_eq!(needs_attention(&condition(type_, status)), None, "{type_}");
        }
        for (type_, status) in [
            ("Ready", "False"),
            ("Adopted", "False"),
            ("Ready", "Unknown"),
            ("Drifted", "True"),
            ("Degraded", "True"),
            ("Covered", "False"),
            ("WellFormed", "False"),
            ("WithinCeilings", "False"),
            ("Degraded", "Unknown"),
            ("Learning", "Unknown"),
        ] {
            let line = needs_attention(&condition(type_, status));
            assert_eq!(line, Some(format!("{type_}={status}: Why")));
        }
    }
}
