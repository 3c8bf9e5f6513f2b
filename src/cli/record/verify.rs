//! `nanoseg record verify`: whether anybody changed, removed, inserted or reordered lines.

use super::{FileArg, read};
use crate::cli::{exit, terminal};
use crate::review::Digest;
use crate::review::record::{Head, Verifier};
use anyhow::Context;
use std::process::ExitCode;

/// Find lines of a record that were changed, removed, inserted or reordered
#[derive(Debug, clap::Args)]
#[command(
    long_about = "\
Find lines of a record that were changed, removed, inserted or reordered.

Who can write the whole file can write another chain, or cut its end off: only a head that was kept \
elsewhere finds that out. Keep what this command prints, and give it with --head the next time.",
    after_long_help = "\
Examples:
  nanoseg record verify /var/lib/nanoseg/nanoseg.db
  nanoseg record verify record.jsonl --head 1042:sha256:9f86d0…

Exit codes: 0 intact; 1 altered; 2 an error."
)]
pub struct Args {
    #[command(flatten)]
    file: FileArg,
    /// What was kept from an earlier time: the number of an entry and its digest. The entry must be there
    /// as it was; there may be more by now.
    #[arg(long, value_name = "NUMBER:SHA", value_parser = parse_head)]
    head: Option<Head>,
    /// How many breaks are told before the rest is counted.
    #[arg(long, value_name = "N", default_value_t = 20)]
    most: usize,
}

fn parse_head(text: &str) -> Result<Head, String> {
    let wrong =
        || format!("{text:?} is no head: write NUMBER:sha256:DIGEST, as this command prints it");
    let (number, digest) = text.split_once(':').ok_or_else(wrong)?;
    let digest = match digest.starts_with("sha256:") {
        true => digest.to_owned(),
        false => format!("sha256:{digest}"),
    };
    Ok(Head {
        sequence: number.parse().map_err(|_| wrong())?,
        digest: Digest::parse(&digest).map_err(|_| wrong())?,
    })
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut verifier = Verifier::default();
    if let Some(head) = &args.head {
        verifier = verifier.with_anchor(head.clone());
    }
    let (mut entries, mut breaks, mut last) = (0u64, Vec::new(), Head::default());
    let mut count = 0usize;
    let mut broken = |text: String| {
        count += 1;
        if count <= args.most {
            breaks.push(text);
        }
    };
    read(&args.file.file, |entry| {
        match entry {
            Ok(entry) => {
                entries += 1;
                if let Err(error) = verifier.check(&entry) {
                    broken(format!("entry {} {}", error.sequence, error.fault));
                }
                // Of reordered lines the last need not be the latest.
                if entry.sequence >= last.sequence {
                    last = Head {
                        sequence: entry.sequence,
                        digest: entry.digest,
                    };
                }
            }
            Err(line) => broken(format!("line {}: {}", line.line, line.problem)),
        }
        true
    })?;
    if let Some(head) = &args.head
        && last.sequence < head.sequence
    {
        broken(format!(
            "entry {} and what was after it is missing at the end, up to {} at least",
            last.sequence.saturating_add(1),
            head.sequence
        ));
    }
    if count > 0 {
        let more = count.saturating_sub(breaks.len());
        for line in &breaks {
            terminal::print(&format!("{line}\n"))?;
        }
        if more > 0 {
            terminal::print(&format!("… and {more} more\n"))?;
        }
        eprintln!("altered: compare with a copy kept elsewhere");
        return Ok(ExitCode::from(exit::FINDINGS));
    }
    let head = format!("{}:{}", last.sequence, last.digest.as_str());
    terminal::print(&format!("intact: {entries} entries, head {head}\n"))
        .context("failed to print the result")?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_a_number_and_a_digest() {
        let digest = "ab".repeat(32);
        for text in [format!("7:{digest}"), format!("7:sha256:{digest}")] {
            let head = parse_head(&text).unwrap();
            assert_eq!(head.sequence, 7);
            assert_eq!(head.digest.as_str(), format!("sha256:{digest}"));
        }
        for text in ["", "7", "7:", "x:ab", "7:sha256:ab"] {
            assert!(parse_head(text).is_err(), "{text}");
        }
    }
}
