//! `nanoseg status`: the state of segmented namespaces.

use super::access::{AccessArgs, NamespaceArgs};
use super::proposals::Output;
use super::style::Style;
use super::terminal;
use crate::inventory::is_ours;
use crate::load::BlockingClient;
use crate::report::escape;
use crate::report::table::{Align, Table};
use crate::review::resources::{BREAK_GLASS, Mode, OpeningStatus, Segmentation};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{Api, ResourceExt};
use serde::Serialize;
use std::process::ExitCode;

/// Show the state of segmented namespaces: mode, coverage, enforced workloads, and what needs attention
#[derive(Debug, clap::Args)]
#[command(
    long_about = "\
Show the state of segmented namespaces: the mode, the learning coverage, the number of workloads and of \
enforced ones, of open proposals, and of connections that were tried and that the policies do not \
allow; and below, what needs attention: abnormal conditions, and break-glass.",
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
    coverage: String,
    workloads: u32,
    enforced: u32,
    open_proposals: u32,
    violations: u32,
    /// Pods that no policy selects while the namespace is enforced.
    uncovered: u32,
    /// What needs attention, one line each.
    attention: Vec<String>,
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
        enforced: status.counts.enforced,
        open_proposals: status.counts.open_proposals,
        violations: status.counts.violations,
        uncovered: status.counts.uncovered,
        attention,
    }
}

/// `open until 2026-11-30T12:00:00Z: shop/web → shop/db 5432/TCP (db-3, by ann)`.
fn opening(opening: &OpeningStatus) -> String {
    let until = opening.until.as_ref().map_or("-".into(), |until| until.0.to_string());
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
        ("COVERAGE", right),
        ("WORKLOADS", right),
        ("ENFORCED", right),
        ("OPEN", right),
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
            row.violations.to_string(),
            row.uncovered.to_string(),
            row.attention.len().to_string(),
        ]);
    }
    let mut text = table.render();
    for row in rows.iter().filter(|row| !row.attention.is_empty()) {
        text.push_str(&format!("\n{}\n", style.bold(&row.namespace)));
        for line in &row.attention {
            let line = escape::terminal(line);
            text.push_str(&format!("  {}\n", style.yellow(&line)));
        }
    }
    text
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
