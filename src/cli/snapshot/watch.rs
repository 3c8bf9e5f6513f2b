//! `nanoseg snapshot --watch`: a snapshot, what changes after it, and a snapshot at the end.

use super::output::{self, Target};
use super::written;
use crate::cluster::live::{Format, Gap, History, Record, Snapshot, write_document, write_list};
use crate::report::escape;
use anyhow::Context;
use kube::Client;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How long changes are awaited that the last snapshot has already.
const SETTLE: Duration = Duration::from_secs(1);

/// Watches until a signal or the end of the time. Returns true if nothing is missing in the history.
pub async fn run(
    client: &Client,
    target: &Target,
    first: Snapshot,
    time: Option<Duration>,
) -> anyhow::Result<bool> {
    let mut signals = Signals::new()?;
    let mut history = History::start(client, &first);
    let path = output::write(target, &first)?;
    eprintln!("{}; watching until Ctrl-C", written(&path, &first));
    let mut log = Log::open(target, &first)?;
    let namespaces = first.namespaces.clone();
    drop(first);
    {
        let mut end = pin!(signals.ended(time));
        loop {
            tokio::select! {
                records = history.next() => log.take(records)?,
                () = &mut end => break,
            }
        }
    }
    let last = {
        let mut taken = pin!(Snapshot::take(client, &namespaces));
        let mut again = pin!(signals.ended(None));
        loop {
            tokio::select! {
                taken = &mut taken => break taken.map_err(anyhow::Error::from),
                records = history.next() => log.take(records)?,
                () = &mut again => break Err(anyhow::anyhow!("it was interrupted again")),
            }
        }
    };
    let mut settled = pin!(tokio::time::sleep(SETTLE));
    loop {
        tokio::select! {
            records = history.next() => log.take(records)?,
            () = &mut settled => break,
        }
    }
    log.take(history.finish(last.as_ref().ok()))?;
    let last = last.with_context(|| {
        let path = log.path.display();
        format!(
            "failed to take the snapshot at the end; the history in {path} is complete up to then"
        )
    });
    log.finish(target, &last?)
}

/// Ctrl-C and SIGTERM.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Signals> {
        let of = |kind| signal(kind).context("failed to wait for signals");
        Ok(Signals {
            interrupt: of(SignalKind::interrupt())?,
            terminate: of(SignalKind::terminate())?,
        })
    }

    /// Waits for a signal, or for the end of the time.
    async fn ended(&mut self, time: Option<Duration>) {
        let timer = async {
            match time {
                Some(time) => tokio::time::sleep(time).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            () = timer => {}
        }
    }
}

/// The file that grows.
struct Log {
    path: PathBuf,
    format: Format,
    file: File,
    documents: u64,
    is_complete: bool,
}

impl Log {
    fn open(target: &Target, first: &Snapshot) -> anyhow::Result<Log> {
        let (path, format) = target.history_file(first)?.context("no file to write")?;
        let file = File::options().create(true).append(true).open(&path);
        let file = file.with_context(|| format!("failed to write {}", path.display()))?;
        Ok(Log {
            path,
            format,
            file,
            documents: 0,
            is_complete: true,
        })
    }

    fn take(&mut self, records: Vec<Record>) -> anyhow::Result<()> {
        records
            .into_iter()
            .try_for_each(|record| self.record(record))
    }

    fn record(&mut self, record: Record) -> anyhow::Result<()> {
        match record {
            Record::Document(object) => {
                self.documents += 1;
                return self.write(&object);
            }
            Record::Gap(gap) => return self.gap(&gap),
            Record::Trouble { what, why } => {
                let why = escape::terminal(&why);
                eprintln!("warning: failed to watch {what}: {why}; trying again");
            }
            Record::Refused {
                what,
                message,
                is_pods,
            } => {
                self.is_complete = false;
                let text = format!("failed to watch {what}: not permitted: {message}");
                anyhow::ensure!(
                    !is_pods,
                    "{text}; ask for the role nanoseg-reader (deploy/base/access/reader.yaml), or take snapshots without --watch"
                );
                eprintln!(
                    "warning: {}; its changes are not known",
                    escape::terminal(&text)
                );
            }
        }
        Ok(())
    }

    /// The history says itself where it lacks something.
    fn gap(&mut self, gap: &Gap) -> anyhow::Result<()> {
        self.is_complete = false;
        let Gap {
            what,
            from,
            to,
            is_over,
        } = gap;
        eprintln!(
            "warning: the history of {what} lacks what happened from {from} to {to}{}",
            if *is_over {
                "; what there was then was read again, and what was gone counts as gone from the beginning"
            } else {
                ""
            }
        );
        self.write(&gap.document())
    }

    fn write(&mut self, object: &serde_json::Value) -> anyhow::Result<()> {
        let written = write_document(&mut self.file, self.format, object);
        written.with_context(|| format!("failed to write {}", self.path.display()))
    }

    /// Writes the snapshot of the end. Returns true if the history is complete.
    fn finish(mut self, target: &Target, last: &Snapshot) -> anyhow::Result<bool> {
        let path = match target {
            Target::Folder(_) => output::write(target, last)?,
            _ => {
                let mut text = match self.format {
                    Format::Yaml => b"---\n".to_vec(),
                    Format::Json => Vec::new(),
                };
                write_list(&mut text, self.format, last)?;
                let written = self.file.write_all(&text);
                written.with_context(|| format!("failed to write {}", self.path.display()))?;
                self.path.display().to_string()
            }
        };
        let synced = self.file.sync_all();
        synced.with_context(|| format!("failed to write {}", self.path.display()))?;
        let changes = self.documents;
        eprintln!("{}; {changes} changes in between", written(&path, last));
        Ok(self.is_complete && last.missing.is_empty())
    }
}
