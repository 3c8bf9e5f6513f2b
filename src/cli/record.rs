//! `nanoseg record`: the hash-chained record of decisions and writes, for auditors.

mod fetch;
mod show;
mod verify;

use crate::cli::access::{AccessArgs, ControllerArgs};
use crate::load::{Published, place, read_published};
use crate::record::{Head, RecordLine, Tail, parse_line};
use crate::report::escape;
use crate::store::ReviewStore;
use anyhow::{Context, bail};
use clap::Subcommand;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Read or verify the record of decisions and writes
#[derive(Debug, clap::Args)]
#[command(long_about = "\
Read or verify the record. It has one line for every decision and every write, each with the digest of the \
line before. FILE is the controller's state (nanoseg.sqlite; it may be in use), or an export of JSON lines, \
or - for standard input. `cluster` is the newest part of the record, as the controller publishes it in its namespace.")]
pub struct Args {
    #[command(subcommand)]
    command: RecordCommand,
}

#[derive(Debug, Subcommand)]
enum RecordCommand {
    Verify(verify::Args),
    Show(show::Args),
    Fetch(fetch::Args),
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.command {
        RecordCommand::Verify(args) => verify::run(args),
        RecordCommand::Show(args) => show::run(args),
        RecordCommand::Fetch(args) => fetch::run(args),
    }
}

/// A line that cannot be read: it was changed, or is no line of a record.
#[derive(Debug)]
struct Unreadable {
    /// Its number in the export or in the record.
    line: u64,
    problem: String,
}

/// The first bytes of every SQLite file (<https://sqlite.org/fileformat2.html#the_database_header>).
const SQLITE: &[u8] = b"SQLite format 3\0";

/// The longest line of an export, in bytes. A reason has 2 000 characters at most.
const MAX_LINE: u64 = 1 << 20;

/// Where the lines come from.
enum Record {
    /// A file with all lines.
    File(PathBuf),
    /// The newest lines, as the controller publishes them.
    Part(Tail),
}

impl Record {
    /// Returns the head that the first line must follow.
    fn after(&self) -> Head {
        match self {
            Record::File(_) => Head::default(),
            Record::Part(tail) => tail.after.clone(),
        }
    }

    /// Calls `each` with every line, in order; stops when it returns false.
    fn read(
        &self,
        mut each: impl FnMut(Result<RecordLine, Unreadable>) -> bool,
    ) -> anyhow::Result<()> {
        match self {
            Record::File(path) => read_file(path, each),
            Record::Part(tail) => {
                let mut numbered = (1..).zip(&tail.lines);
                let _ = numbered.all(|(number, line)| each(parse(number, line)));
                Ok(())
            }
        }
    }
}

fn read_file(
    path: &Path,
    each: impl FnMut(Result<RecordLine, Unreadable>) -> bool,
) -> anyhow::Result<()> {
    if path.as_os_str() == "-" {
        return read_lines(io::stdin().lock(), path, each);
    }
    let name = path.display();
    let failed = || format!("failed to read {name}; check the path and its permissions");
    let mut file = File::open(path).with_context(failed)?;
    let mut start = Vec::new();
    (&mut file)
        .take(SQLITE.len() as u64)
        .read_to_end(&mut start)
        .with_context(failed)?;
    if start == SQLITE {
        return read_store(path, each);
    }
    let rest = BufReader::new(file);
    read_lines(io::Cursor::new(start).chain(rest), path, each)
}

fn read_store(
    path: &Path,
    mut each: impl FnMut(Result<RecordLine, Unreadable>) -> bool,
) -> anyhow::Result<()> {
    let store = ReviewStore::open_read_only(path)?;
    store.record_lines(1, |number, line| each(parse(number, line)))?;
    Ok(())
}

fn read_lines(
    mut source: impl BufRead,
    path: &Path,
    mut each: impl FnMut(Result<RecordLine, Unreadable>) -> bool,
) -> anyhow::Result<()> {
    let mut number = 0;
    loop {
        number += 1;
        let mut line = Vec::new();
        let read = (&mut source).take(MAX_LINE).read_until(b'\n', &mut line);
        let read = read.with_context(|| format!("failed to read {}", path.display()))?;
        if read == 0 {
            return Ok(());
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        } else if line.len() as u64 == MAX_LINE {
            bail!(
                "failed to read {}: line {number} has no end; is it a record?",
                path.display()
            );
        }
        let entry = match std::str::from_utf8(&line) {
            Ok(text) => parse(number, text),
            Err(_) => Err(Unreadable {
                line: number,
                problem: "it is not text".into(),
            }),
        };
        if !each(entry) {
            return Ok(());
        }
    }
}

fn parse(line: u64, text: &str) -> Result<RecordLine, Unreadable> {
    parse_line(text).map_err(|error| Unreadable {
        line,
        problem: escape::terminal(&error.to_string()).into_owned(),
    })
}

/// Which record.
#[derive(Debug, clap::Args)]
struct RecordArgs {
    /// The controller's state, an export of JSON lines, - for standard input, or `cluster`
    #[arg(value_name = "FILE|cluster")]
    file: PathBuf,
    #[command(flatten)]
    controller: ControllerArgs,
    #[command(flatten)]
    access: AccessArgs,
}

impl RecordArgs {
    fn open(&self) -> anyhow::Result<Record> {
        if self.file.as_os_str() != "cluster" {
            return Ok(Record::File(self.file.clone()));
        }
        let namespace = &self.controller.controller_namespace;
        let place = place(namespace);
        let client = self.access.connect()?;
        match client.block_on(read_published(&client.client, namespace))? {
            Published::Part { tail, .. } => Ok(Record::Part(tail.with_context(|| place.clone())?)),
            Published::Absent => bail!(
                "failed to read {place}: it is not there; has the controller recorded anything, and is it in another --controller-namespace?"
            ),
            Published::Refused(why) => bail!(
                "failed to read {place}: not permitted: {why}; ask for the role nanoseg-viewer there, or for a copy of the controller's state"
            ),
        }
    }
}
