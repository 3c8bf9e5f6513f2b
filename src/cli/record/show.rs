//! `nanoseg record show`: the record for people, or as JSON lines.

use super::{Record, RecordArgs};
use crate::cli::terminal;
use crate::net::Timestamp;
use crate::report::table::{Align, Table};
use crate::review::record::{Entry, to_line};
use anyhow::{Context, bail};
use clap::ValueEnum;
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

/// Print the record: who did what when
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  What was done in the cluster lately:
    nanoseg record show cluster

  All of one namespace since some day:
    nanoseg record show /var/lib/nanoseg/nanoseg.sqlite --namespace shop --since 2026-11-01T00:00:00Z

  The export that an auditor verifies by itself:
    nanoseg record show /var/lib/nanoseg/nanoseg.sqlite -o json > record.jsonl
    nanoseg record verify record.jsonl")]
pub struct Args {
    #[command(flatten)]
    record: RecordArgs,
    /// Only this namespace.
    #[arg(long, short, value_name = "NS")]
    namespace: Option<String>,
    /// Only from this time on (RFC 3339).
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
    record.read(|entry| {
        let entry = match entry {
            Ok(entry) => entry,
            Err(line) => {
                unreadable = Some(line);
                return false;
            }
        };
        if !wanted(&entry, args.namespace.as_deref(), since) {
            return true;
        }
        match args.output {
            Output::Json => failed = writeln!(out, "{}", to_line(&entry)),
            Output::Text => add(&mut table, &entry),
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
            "note: entries up to {} are in the controller's state only",
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

fn wanted(entry: &Entry, namespace: Option<&str>, since: Option<Timestamp>) -> bool {
    namespace.is_none_or(|name| entry.draft.namespace == name)
        && since.is_none_or(|since| entry.at >= since)
}

fn add(table: &mut Table, entry: &Entry) {
    table.row([
        entry.sequence.to_string(),
        entry.at.to_string(),
        entry.draft.action.name().to_owned(),
        entry.draft.actor.clone(),
        entry.draft.namespace.clone(),
        entry.draft.object.clone(),
        entry.draft.reason.clone(),
    ]);
}
