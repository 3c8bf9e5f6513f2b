//! `nanoseg record verify`: whether anybody changed, removed, inserted or reordered lines.

use super::{Record, RecordArgs};
use crate::cli::{exit, terminal};
use crate::record::{Head, Verifier};
use anyhow::{Context, bail};
use std::process::ExitCode;

/// Find lines of a record that were changed, removed, inserted or reordered
#[derive(Debug, clap::Args)]
#[command(
    long_about = "\
Find lines of a record that were changed, removed, inserted or reordered.

Whoever can write the whole file can write another chain, or cut its end off: only a head that was kept \
elsewhere shows that. Keep what this command prints, and give it with --head the next time.",
    after_long_help = "\
Examples:
  nanoseg record verify /var/lib/nanoseg/nanoseg.sqlite
  nanoseg record verify record.jsonl --head 1042:sha256:9f86d0…

  The newest part, as the controller publishes it:
    nanoseg record verify cluster

Exit codes: 0 intact; 1 altered, or empty; 2 an error."
)]
pub struct Args {
    #[command(flatten)]
    record: RecordArgs,
    /// What was kept from an earlier time: the number of an entry and its digest. The entry must be there
    /// as it was; there may be more by now.
    #[arg(long, value_name = "NUMBER:SHA", value_parser = Head::parse)]
    head: Option<Head>,
    /// FILE is a part of a record, and this is what it follows: the number of the entry before, and its digest.
    #[arg(long, value_name = "NUMBER:SHA", value_parser = Head::parse)]
    after: Option<Head>,
    /// How many breaks are listed before the rest is counted
    #[arg(long, value_name = "N", default_value_t = 20)]
    most: usize,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let record = args.record.open()?;
    let (mut verifier, after) = begin(args, &record)?;
    let (mut entries, mut breaks, mut last) = (0u64, Vec::new(), after.clone());
    let mut count = 0usize;
    let mut broken = |text: String| {
        count += 1;
        if count <= args.most {
            breaks.push(text);
        }
    };
    record.read(|entry| {
        match entry {
            Ok(entry) => {
                entries += 1;
                if let Err(error) = verifier.check(&entry) {
                    broken(format!("entry {} {}", error.sequence, error.fault));
                }
                // Of reordered lines the last need not be the latest.
                if entry.sequence >= last.sequence {
                    last = entry.head();
                }
            }
            Err(line) => broken(format!("line {}: {}", line.line, line.problem)),
        }
        true
    })?;
    if let Record::Part(tail) = &record {
        let end = (tail.head.sequence, tail.head.digest.clone());
        if let Err(error) = verifier.finish(Some(end)) {
            broken(format!("entry {} {}", error.sequence, error.fault));
        }
    } else if let Some(head) = &args.head
        && last.sequence < head.sequence
    {
        broken(format!(
            "entry {} and what was after it is missing at the end, up to {} at least",
            last.sequence.saturating_add(1),
            head.sequence
        ));
    }
    if count > 0 {
        return altered(&breaks, count);
    }
    if entries == 0 {
        // What is not there is not intact.
        terminal::print("empty: no entries\n").context("failed to print the result")?;
        return Ok(ExitCode::from(exit::FINDINGS));
    }
    let from = match after.sequence {
        0 => String::new(),
        _ => format!(", after {after}"),
    };
    terminal::print(&format!("intact: {entries} entries{from}, head {last}\n"))
        .context("failed to print the result")?;
    Ok(ExitCode::SUCCESS)
}

/// Returns the verifier, and the head that the first line must follow.
fn begin(args: &Args, record: &Record) -> anyhow::Result<(Verifier, Head)> {
    let after = args.after.clone().unwrap_or_else(|| record.after());
    let mut verifier = Verifier::after(after.clone());
    if let Some(head) = &args.head {
        if head.sequence < after.sequence {
            bail!(
                "failed to find entry {}: this part of the record begins with entry {}; give a later --head, or the whole record",
                head.sequence,
                after.sequence.saturating_add(1)
            );
        }
        verifier = verifier.with_anchor(head.clone());
    }
    Ok((verifier, after))
}

/// Prints the first breaks and the number of the others.
fn altered(breaks: &[String], count: usize) -> anyhow::Result<ExitCode> {
    let more = count.saturating_sub(breaks.len());
    for line in breaks {
        terminal::print(&format!("{line}\n"))?;
    }
    if more > 0 {
        terminal::print(&format!("… and {more} more\n"))?;
    }
    eprintln!("altered: compare with a copy kept elsewhere");
    Ok(ExitCode::from(exit::FINDINGS))
}
