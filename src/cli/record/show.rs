//! `nanoseg record show`: the record for people, or as JSON lines.

use super::{Record, RecordArgs};
use crate::cli::terminal;
use crate::net::Timestamp;
use crate::record::{RecordLine, to_line};
use crate::report::table::{Align, Table};

use anyhow::{Context, bail};
use clap::ValueEnum;
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

/// Print the record: who did what, and when
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  Show what was done in the cluster lately:
    nanoseg record show cluster

  Show the lines of one namespace since some day:
    nanoseg record show /var/lib/nanoseg/nanoseg.sqlite --namespace shop \\
      --since 2026-11-01T00:00:00Z

  Write an export that an auditor verifies without the cluster:
    nanoseg record show /var/lib/nanoseg/nanoseg.sqlite -o json > record.jsonl
    nanoseg record verify record.jsonl")]
pub struct Args {
    #[command(flatten)]
    record: RecordArgs,
    /// Show only the lines of this namespace
    #[arg(long, short, value_name = "NS")]
    namespace: Option<String>,
    /// Show only the lines from this time on (RFC 3339)
    #[arg(long, value_name = "TIME")]
    since: Option<jiff::Timestamp>,
    /// How to print it
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// A table
    Text,
    /// The lines as they are chained
    Json,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let since = args.since.map(Timestamp::from);
    let mut table = Table::new([
        ("NUMBER", Align::Right),
        ("TIME", Align::Left),
        ("ACTION", Align::Left),
        ("BY", Align::Left),
        ("NAMESPACE", Align::Left),
        ("OBJECT", Align::Left),
        ("REASON", Align::Left),
    ]);
    let mut out = BufWriter::new(io::stdout().lock());
    let (mut unreadable, mut failed) = (None, Ok(()));
    let record = args.record.open()?;
    record.read(|line| {
        let line = match line {
            Ok(line) => line,
            Err(error) => {
                unreadable = Some(error);
                return false;
            }
        };
        if !wanted(&line, args.namespace.as_deref(), since) {
            return true;
        }
        match args.output {
            Output::Json => failed = writeln!(out, "{}", to_line(&line)),
            Output::Text => add(&mut table, &line),
        }
        failed.is_ok()
    })?;
    failed.context("failed to print the record")?;
    out.flush().context("failed to print the record")?;
    drop(out);
    if args.output == Output::Text {
        terminal::print(&table.render())?;
    }
    if let Record::Part(tail) = &record
        && tail.after.sequence > 0
    {
        eprintln!(
            "note: the controller's state alone has the entries up to {}",
            tail.after.sequence
        );
    }
    if let Some(line) = unreadable {
        bail!(
            "line {}: {}; find out more with nanoseg record verify",
            line.line,
            line.problem
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn wanted(line: &RecordLine, namespace: Option<&str>, since: Option<Timestamp>) -> bool {
    namespace.is_none_or(|name| line.entry.namespace == name)
        && since.is_none_or(|since| line.at >= since)
}

fn add(table: &mut Table, line: &RecordLine) {
    let entry = &line.entry;
    table.row([
        line.sequence.to_string(),
        line.at.to_string(),
        entry.action.kind().name().to_owned(),
        entry.actor.to_string(),
        entry.namespace.clone(),
        entry.object.clone(),
        entry.reason.clone(),
    ]);
}
