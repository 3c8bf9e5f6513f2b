//! `nanoseg proposals`: the proposals that wait for a decision.

use super::access::{AccessArgs, NamespaceArgs};
use super::style::Style;
use super::terminal;
use crate::load::BlockingClient;
use crate::report::table::{Align, Table};
use crate::review::resources::{Phase, PolicyProposal, Segmentation, risk_rank};
use clap::ValueEnum;
use jiff::Timestamp;
use kube::ResourceExt;
use serde::Serialize;
use std::process::ExitCode;

/// List proposals, the riskiest first
#[derive(Debug, clap::Args)]
#[command(
    long_about = "\
List proposals, the riskiest first, and of equal risk the oldest first. Without --phase only the open ones: \
Pending ones wait for a decision, Approved ones wait to be written.",
    after_long_help = "\
Examples:
  The open proposals in the namespace of the context:
    nanoseg proposals

  All proposals of all namespaces, in any phase:
    nanoseg proposals -A --phase all

  The names of pending proposals of low risk:
    nanoseg proposals -n shop --phase pending -o json | jq -r '.[] | select(.risk == \"low\").name'"
)]
pub struct Args {
    #[command(flatten)]
    place: NamespaceArgs,
    #[command(flatten)]
    access: AccessArgs,
    /// Only proposals in this phase (repeatable; default: pending and approved).
    #[arg(long, value_enum, value_name = "PHASE", ignore_case = true)]
    phase: Vec<PhaseArg>,
    /// How to print it
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PhaseArg {
    Pending,
    Approved,
    Rejected,
    Applied,
    Superseded,
    #[value(name = "rolledback")]
    RolledBack,
    All,
}

impl PhaseArg {
    fn is(self, phase: Phase) -> bool {
        match self {
            PhaseArg::Pending => phase == Phase::Pending,
            PhaseArg::Approved => phase == Phase::Approved,
            PhaseArg::Rejected => phase == Phase::Rejected,
            PhaseArg::Applied => phase == Phase::Applied,
            PhaseArg::Superseded => phase == Phase::Superseded,
            PhaseArg::RolledBack => phase == Phase::RolledBack,
            PhaseArg::All => true,
        }
    }
}

/// How a list is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// A table
    Text,
    /// A list of objects
    Json,
}

/// One line of the list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    namespace: String,
    name: String,
    workload: String,
    kind: String,
    phase: Phase,
    risk: String,
    opens: u32,
    closes: u32,
    would_block: u32,
    coverage: Option<u8>,
    revision: String,
    created: Option<Timestamp>,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let client = args.access.connect()?;
    let mut found: Vec<PolicyProposal> = client.list(args.place.namespace(&client))?;
    let all = found.len();
    let default = [PhaseArg::Pending, PhaseArg::Approved];
    let wanted = match args.phase.as_slice() {
        [] => &default[..],
        some => some,
    };
    found.retain(|one| wanted.iter().any(|wanted| wanted.is(one.phase())));
    found.sort_by_key(|one| (risk_rank(&one.spec.review.risk), created(one)));
    let rows: Vec<Row> = found.iter().map(row).collect();
    match args.output {
        Output::Json => terminal::print(&crate::report::json(&rows)?)?,
        Output::Text if rows.is_empty() => {
            eprintln!("{}", nothing(all, &args.place.place(&client)));
        }
        Output::Text => {
            let style = Style::new(terminal::colour());
            let text = table(&rows, args.place.is_all(), Timestamp::now());
            terminal::print(&paint(&text, style))?;
        }
    }
    if args.output == Output::Text {
        terminal::print(&not_proposed(args, &client))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The workloads that have no proposal yet, with what they wait for. Nothing for a user who may not read it.
fn not_proposed(args: &Args, client: &BlockingClient) -> String {
    let found = client.list::<Segmentation>(args.place.namespace(client));
    let mut text = String::new();
    for one in found.unwrap_or_default() {
        let namespace = one.namespace().unwrap_or_default();
        let waiting = one.status.map(|status| status.waiting);
        let lines = super::status::waiting_lines(&waiting.unwrap_or_default());
        if !lines.is_empty() {
            text.push_str(&format!("\nno proposal yet in {namespace}:\n"));
        }
        lines
            .iter()
            .for_each(|line| text.push_str(&format!("  {line}\n")));
    }
    text
}

fn nothing(others: usize, place: &str) -> String {
    match others {
        0 => format!("no proposals in {place}"),
        some => format!("no such proposals in {place}; {some} are in other phases: --phase all"),
    }
}

/// When the proposal was created.
pub fn created(proposal: &PolicyProposal) -> Option<Timestamp> {
    let time = proposal.metadata.creation_timestamp.as_ref();
    time.map(|time| time.0)
}

fn row(proposal: &PolicyProposal) -> Row {
    let (spec, review) = (&proposal.spec, &proposal.spec.review);
    Row {
        namespace: proposal.namespace().unwrap_or_default(),
        name: proposal.name_any(),
        workload: spec.workload.name.clone(),
        kind: spec.workload.kind.clone(),
        phase: proposal.phase(),
        risk: review.risk.clone(),
        opens: review.gained_total,
        closes: review.lost_total,
        would_block: review.would_block_total,
        coverage: review.coverage,
        revision: review.revision.clone(),
        created: created(proposal),
    }
}

fn table(rows: &[Row], namespaces: bool, now: Timestamp) -> String {
    let (left, right) = (Align::Left, Align::Right);
    let mut header = vec![
        ("NAME", left),
        ("WORKLOAD", left),
        ("PHASE", left),
        ("RISK", left),
        ("OPENS", right),
        ("CLOSES", right),
        ("WOULD-BLOCK", right),
        ("EDGES SEEN", right),
        ("AGE", right),
    ];
    if namespaces {
        header.insert(0, ("NAMESPACE", left));
    }
    let mut table = Table::new(header);
    for row in rows {
        let mut cells = vec![
            row.name.clone(),
            format!("{}/{}", row.kind.to_lowercase(), row.workload),
            format!("{:?}", row.phase),
            row.risk.clone(),
            row.opens.to_string(),
            row.closes.to_string(),
            row.would_block.to_string(),
            row.coverage
                .map_or("-".into(), |share| format!("{share} %")),
            row.created.map_or("-".into(), |created| age(created, now)),
        ];
        if namespaces {
            cells.insert(0, row.namespace.clone());
        }
        table.row(cells);
    }
    table.render() + LEGEND
}

/// What the columns count.
const LEGEND: &str = "
OPENS, CLOSES  connections (client, server, ports) that approving it would open or close
WOULD-BLOCK    of those that were recorded, how many it would close
EDGES SEEN     estimated share of the workload's edges that were observed
";

/// Colours lines of high and medium risk.
fn paint(table: &str, style: Style) -> String {
    let line = |line: &str| {
        let is = |risk: &str| line.split_whitespace().any(|cell| cell == risk);
        match () {
            () if is("high") => style.red(line),
            () if is("medium") => style.yellow(line),
            () => line.to_owned(),
        }
    };
    table.lines().map(|one| line(one) + "\n").collect()
}

/// As kubectl prints it: `45s`, `12m`, `5h`, `3d`.
pub fn age(since: Timestamp, now: Timestamp) -> String {
    let secs = now.as_second().saturating_sub(since.as_second()).max(0);
    match secs {
        0..120 => format!("{secs}s"),
        120..7_200 => format!("{}m", secs / 60),
        7_200..172_800 => format!("{}h", secs / 3_600),
        _ => format!("{}d", secs / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_in_kubectls_words() {
        let at = |secs| Timestamp::from_second(secs).unwrap();
        for (secs, text) in [
            (0, "0s"),
            (119, "119s"),
            (180, "3m"),
            (7_200, "2h"),
            (172_800, "2d"),
        ] {
            assert_eq!(age(at(0), at(secs)), text);
        }
        assert_eq!(age(at(10), at(0)), "0s", "clocks differ");
    }

    #[test]
    fn an_unknown_risk_is_shown_before_all_others() {
        let mut risks = ["low", "high", "", "medium"];
        risks.sort_by_key(|risk| risk_rank(risk));
        assert_eq!(risks, ["high", "", "medium", "low"]);
    }
}
