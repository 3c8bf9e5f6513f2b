//! `nanoseg record fetch`: keeps a copy of the record elsewhere, from what the controller publishes.

use super::{MAX_LINE, parse};
use crate::cli::access::{AccessArgs, ControllerArgs};
use crate::cli::{exit, terminal};
use crate::load::{Published, place, read_published};
use crate::record::{Head, Tail, Verifier};
use anyhow::{Context, bail};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Keep a verified copy of the record: add what the controller has published since
#[derive(Debug, clap::Args)]
#[command(
    long_about = "\
Keep a verified copy of the record in a file: the lines that the controller has published since the last call are added. \
Run it more often than a thousand lines are recorded, and the copy is the whole record, on a machine that the controller \
cannot write to. What was fetched before must still be part of the record as it was: else the record was cut, altered or \
begun anew, and nothing is added.",
    after_long_help = "\
Examples:
  Every hour, beside the cluster:
    nanoseg record fetch --out record.jsonl

  The whole record from the running pod, where more was recorded than is published:
    kubectl exec -n nanoseg deploy/nanoseg-controller -- \\
      /nanoseg record show /var/lib/nanoseg/nanoseg.sqlite -o json > record.jsonl

Exit codes: 0 fetched; 1 what was fetched before is not part of the record any more, or the record is altered; 2 an error."
)]
pub struct Args {
    /// The file with the copy; made if it is not there
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    controller: ControllerArgs,
    #[command(flatten)]
    access: AccessArgs,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let tail = published(args)?;
    let (_, problems) = tail.check(None);
    if let Some(first) = problems.first() {
        return altered(&format!("the published record: {first}"));
    }
    let known = match fs::read_to_string(&args.out) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => {
            return Err(error).with_context(|| format!("failed to read {}", args.out.display()));
        }
    };
    let (text, from) = match known.filter(|text| !text.is_empty()) {
        Some(text) => match last(&text) {
            Ok(head) => (text, head),
            Err(why) => return altered(&format!("{}: {why}", args.out.display())),
        },
        None => (String::new(), tail.after.clone()),
    };
    let added = match continued(&tail, &from) {
        Continued::By(lines) => lines,
        Continued::NotPublished => bail!(
            "failed to add to {}: it ends with entry {}, and what is published begins with entry {}; fetch the whole record \
             from the pod (nanoseg record fetch --help)",
            args.out.display(),
            from.sequence,
            tail.after.sequence.saturating_add(1)
        ),
        Continued::Not => {
            return altered(&format!(
                "entry {} of {} is not part of the published record as it was, which ends with {}",
                from.sequence,
                args.out.display(),
                tail.head
            ));
        }
    };
    write(&args.out, &text, added)?;
    let part = if text.is_empty() && tail.after.sequence > 0 {
        format!(", a part: it follows {}", tail.after)
    } else {
        String::new()
    };
    let (count, head) = (added.len(), &tail.head);
    terminal::print(&format!("fetched: {count} entries, head {head}{part}\n"))?;
    Ok(ExitCode::SUCCESS)
}

fn published(args: &Args) -> anyhow::Result<Tail> {
    let namespace = &args.controller.controller_namespace;
    let place = place(namespace);
    let client = args.access.connect()?;
    match client.block_on(read_published(&client.client, namespace))? {
        Published::Part { tail, .. } => tail.with_context(|| place),
        Published::Absent => bail!(
            "failed to read {place}: it is not there; is the controller in another --controller-namespace?"
        ),
        Published::Refused(why) => {
            bail!(
                "failed to read {place}: not permitted: {why}; ask for the role nanoseg-viewer there"
            )
        }
    }
}

fn altered(why: &str) -> anyhow::Result<ExitCode> {
    eprintln!("altered: {why}; nothing was added");
    Ok(ExitCode::from(exit::FINDINGS))
}

/// Verifies a copy and returns its end.
fn last(text: &str) -> Result<Head, String> {
    let mut verifier: Option<Verifier> = None;
    let mut head = Head::default();
    for (number, line) in (1..).zip(text.lines()) {
        if line.len() as u64 > MAX_LINE {
            return Err(format!("line {number} has no end"));
        }
        let line = parse(number, line).map_err(|e| format!("line {}: {}", e.line, e.problem))?;
        // A copy may begin with any entry.
        let before = Head {
            sequence: line.sequence.saturating_sub(1),
            digest: line.previous.clone(),
        };
        let verifier = verifier.get_or_insert_with(|| Verifier::after(before));
        let checked = verifier.check(&line);
        checked.map_err(|found| format!("entry {} {}", found.sequence, found.fault))?;
        head = line.head();
    }
    Ok(head)
}

/// How a published part goes on after an entry.
#[derive(Debug, PartialEq, Eq)]
enum Continued<'t> {
    By(&'t [String]),
    /// Entries between the two are not published any more.
    NotPublished,
    /// The entry is not part of it.
    Not,
}

fn continued<'t>(tail: &'t Tail, from: &Head) -> Continued<'t> {
    if from.sequence < tail.after.sequence {
        return Continued::NotPublished;
    }
    if *from == tail.after {
        return Continued::By(&tail.lines);
    }
    let known = tail.lines.iter().position(|line| {
        let line = parse(0, line);
        line.is_ok_and(|line| line.head() == *from)
    });
    match known.and_then(|place| tail.lines.get(place + 1..)) {
        Some(rest) => Continued::By(rest),
        None => Continued::Not,
    }
}

/// Replaces the copy in one step.
fn write(out: &Path, before: &str, added: &[String]) -> anyhow::Result<()> {
    if added.is_empty() && !before.is_empty() {
        return Ok(());
    }
    let failed = || format!("failed to write {}", out.display());
    let folder = match out.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut file = tempfile::NamedTempFile::new_in(folder).with_context(failed)?;
    file.write_all(before.as_bytes()).with_context(failed)?;
    if !before.is_empty() && !before.ends_with('\n') {
        file.write_all(b"\n").with_context(failed)?;
    }
    for line in added {
        writeln!(file, "{line}").with_context(failed)?;
    }
    file.as_file().sync_all().with_context(failed)?;
    file.persist(out).with_context(failed)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Timestamp;
    use crate::record::{Action, Actor, Chain, Entry, to_line};

    fn lines(count: usize, object: &str) -> Vec<String> {
        let mut chain = Chain::default();
        let entry = Entry::new(Action::Applied, Actor::Controller, "shop", object);
        let line = |_| to_line(&chain.append(entry.clone(), Timestamp::from_secs(1)));
        (0..count).map(line).collect()
    }

    fn tail(lines: &[String]) -> Tail {
        Tail::of_lines(lines.to_vec())
            .expect("lines")
            .expect("a part")
    }

    #[test]
    fn a_copy_grows_by_what_is_published_and_by_nothing_that_does_not_follow_it() {
        let all = lines(9, "web");
        let copy = all[..5].join("\n");
        let end = last(&copy).expect("a copy");
        assert_eq!(end.sequence, 5);
        assert_eq!(continued(&tail(&all), &end), Continued::By(&all[5..]));
        assert_eq!(continued(&tail(&all[2..]), &end), Continued::By(&all[5..]));
        assert_eq!(continued(&tail(&all[5..]), &end), Continued::By(&all[5..]));
        assert_eq!(continued(&tail(&all[6..]), &end), Continued::NotPublished);
        assert_eq!(continued(&tail(&all[..5]), &end), Continued::By(&[]));
        // It was cut, and it was begun anew.
        assert_eq!(continued(&tail(&all[..4]), &end), Continued::Not);
        assert_eq!(continued(&tail(&lines(9, "db")), &end), Continued::Not);
        assert_eq!(continued(&Tail::default(), &end), Continued::Not);
        // A copy may be a part; one that was altered is none.
        assert_eq!(last(&all[3..5].join("\n")), Ok(end));
        assert!(last(&copy.replace("web", "db")).is_err());
        assert!(last(&[&all[..2], &all[3..]].concat().join("\n")).is_err());
    }
}
