//! The agent's spool: batches on their way to the receiver, in order, until they are acknowledged.
//!
//! Every batch is on the disk before it is handed out. If the disk refuses, it is kept in memory until the disk works
//! again. Disk and memory have bounds; to stay within them, batches that were never handed out are made smaller
//! ([`condense`]). A batch that was handed out is never changed, since it may have arrived: receivers apply each sequence
//! number once, so a batch that stands for an applied and a new number would be lost.
//!
//! At most [`SpoolLimits::out_batches`] are out at a time, the oldest ones. So after a crash it need not be known which
//! ones were out: they are among the first few.

mod condense;
mod folder;
mod name;
mod room;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;

use condense::Reduction;
use folder::{Folder, MAX_UNSYNCED, ReadError};
use name::BatchName;
use nanoseg_flow::{BatchId, FlowBatch, Instance, Loss, ObservationLimits};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use thiserror::Error;

/// Why a spool cannot be used at all.
#[derive(Debug, Error)]
pub enum SpoolError {
    #[error(
        "failed to open the spool {path}; give --spool a folder that nanoseg may write: {source}"
    )]
    Open { path: PathBuf, source: io::Error },
    #[error("failed to lock the spool {path}; another agent uses it, so give each its own --spool")]
    Locked { path: PathBuf },
}

/// Bounds of a [`Spool`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpoolLimits {
    /// The space on the disk, in bytes of whole 4 KiB blocks.
    pub disk_bytes: u64,
    /// The memory for batches that are not on the disk, in bytes.
    pub memory_bytes: u64,
    /// How many batches are on the disk or in memory; each takes about 150 bytes of memory.
    pub batches: usize,
    /// How many batches are out at a time.
    pub out_batches: usize,
    /// How many bytes are out at a time; one batch may always be.
    pub out_bytes: u64,
    /// How many bytes of batches are merged at a time: decoded they take about six times as much memory.
    pub merge_bytes: u64,
    /// How large a merged batch may be.
    pub batch: ObservationLimits,
}

impl Default for SpoolLimits {
    fn default() -> Self {
        SpoolLimits {
            disk_bytes: 256 << 20,
            memory_bytes: 8 << 20,
            batches: 32_768,
            out_batches: 8,
            out_bytes: 4 << 20,
            merge_bytes: 1 << 20,
            batch: ObservationLimits::default(),
        }
    }
}

/// How batches are encoded. The message schema is in room `wire`.
pub trait BatchCodec {
    fn encode(&self, batch: &FlowBatch) -> Vec<u8>;

    /// # Errors
    /// Why the bytes are not a batch.
    fn decode(&self, bytes: &[u8]) -> Result<FlowBatch, String>;
}

/// Figures for metrics and health.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SpoolState {
    /// Batches that were never handed out.
    pub waiting: usize,
    /// Batches that were handed out and not acknowledged.
    pub out: usize,
    pub disk_bytes: u64,
    pub memory_bytes: u64,
    /// Why the disk refuses, if it does.
    pub failing: Option<String>,
}

#[derive(Debug)]
enum Place {
    Disk,
    Memory(Vec<u8>),
}

#[derive(Debug)]
struct Entry {
    name: BatchName,
    place: Place,
    /// The space on the disk or in memory, in bytes.
    bytes: u64,
    reduction: Reduction,
    /// Handed out.
    out: bool,
    /// It may have arrived already: this run or the one before handed it out.
    may_have_arrived: bool,
}

/// The memory that an entry takes beside its content, in bytes.
const ENTRY: u64 = 150;
/// How often a failing disk is logged.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// The batches that the receiver does not have yet, in order.
pub struct Spool<C> {
    codec: C,
    limits: SpoolLimits,
    folder: Option<Folder>,
    entries: VecDeque<Entry>,
    next_order: u64,
    failing: Option<String>,
    logged: Option<Instant>,
    /// Losses that no batch reports yet.
    losses: BTreeMap<Loss, u64>,
    /// Losses that a batch in the spool reports.
    told_losses: BTreeMap<Loss, u64>,
}

impl<C: BatchCodec> Spool<C> {
    /// Returns a spool in memory only: its batches are lost when the process ends.
    pub fn in_memory(codec: C, limits: SpoolLimits) -> Self {
        Spool {
            codec,
            limits,
            folder: None,
            entries: VecDeque::new(),
            next_order: 0,
            failing: None,
            logged: None,
            losses: BTreeMap::new(),
            told_losses: BTreeMap::new(),
        }
    }

    /// Opens the spool in a folder. Batches that earlier runs left come first.
    ///
    /// # Errors
    /// If the folder cannot be made or read, or another process uses it.
    pub fn open(path: &Path, codec: C, limits: SpoolLimits) -> Result<Self, SpoolError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::WouldBlock => SpoolError::Locked { path: path.into() },
            _ => SpoolError::Open {
                path: path.into(),
                source,
            },
        };
        let mut folder = Folder::open(path).map_err(failed)?;
        let found = folder.list().map_err(failed)?;
        let (kept, covered) = without_covered(found);
        for name in covered {
            folder.remove(&name).map_err(failed)?;
        }
        let mut spool = Spool::in_memory(codec, limits);
        spool.folder = Some(folder);
        spool.next_order = kept.last().map_or(0, |(name, _)| name.order + 1);
        // Those that were out, and removed ones that are back after a power failure.
        let doubtful = limits.out_batches + MAX_UNSYNCED;
        spool.entries = kept
            .into_iter()
            .enumerate()
            .map(|(index, (name, bytes))| Entry {
                name,
                place: Place::Disk,
                bytes,
                reduction: Reduction::Whole,
                out: false,
                may_have_arrived: index < doubtful,
            })
            .collect();
        Ok(spool)
    }

    /// Adds a batch, on the disk if that works.
    pub fn push(&mut self, batch: &FlowBatch) {
        let content = self.codec.encode(batch);
        let name = BatchName {
            order: self.next_order,
            instance: batch.instance,
            sequence: batch.sequence,
        };
        self.next_order += 1;
        let (place, bytes) = match self.write(&name, &content) {
            Some(bytes) => (Place::Disk, bytes),
            None => {
                let bytes = content.len() as u64 + ENTRY;
                (Place::Memory(content), bytes)
            }
        };
        let failed = self.folder.is_some() && matches!(place, Place::Memory(_));
        self.entries.push_back(Entry {
            name,
            place,
            bytes,
            reduction: Reduction::Whole,
            out: false,
            may_have_arrived: false,
        });
        if failed {
            self.lose(Loss::SpoolFailed, 1);
        } else {
            self.retry();
        }
        self.make_room();
    }

    /// Hands out the oldest batch that is not out yet. `None` if there is none, or if no more may be out.
    pub fn hand_out(&mut self) -> Option<(BatchId, Vec<u8>)> {
        loop {
            let out = || self.entries.iter().filter(|entry| entry.out);
            let bytes: u64 = out().map(|entry| entry.bytes).sum();
            if out().count() >= self.limits.out_batches {
                return None;
            }
            let index = self.entries.iter().position(|entry| !entry.out)?;
            let entry = self.entries.get(index)?;
            if bytes > 0 && bytes + entry.bytes > self.limits.out_bytes {
                return None;
            }
            if let Some(content) = self.content(index)? {
                let entry = self.entries.get_mut(index)?;
                entry.out = true;
                entry.may_have_arrived = true;
                return Some((entry.name.id(), content));
            }
        }
    }

    /// Removes a batch that the receiver has stored. Returns false if there is no such batch.
    pub fn acknowledged(&mut self, which: BatchId) -> bool {
        let Some(entry) = self.remove(which) else {
            return false;
        };
        if let (Place::Disk, Some(folder)) = (&entry.place, &mut self.folder) {
            // A file that could not be removed is sent again after the next start, and is a duplicate then.
            let removed = folder.remove(&entry.name);
            self.note(removed, "remove an acknowledged batch");
        }
        true
    }

    /// Puts a batch aside that no receiver will ever accept. Returns false if there is no such batch.
    pub fn refused(&mut self, which: BatchId) -> bool {
        let Some(entry) = self.remove(which) else {
            return false;
        };
        if let (Place::Disk, Some(folder)) = (&entry.place, &mut self.folder) {
            let aside = folder.put_aside(&entry.name, "refused");
            self.note(aside, "put a refused batch aside");
        }
        true
    }

    /// Writes batches that are in memory only to the disk, as far as that works.
    pub fn retry(&mut self) {
        if self.folder.is_none() {
            return;
        }
        while let Some(index) = self
            .entries
            .iter()
            .position(|entry| matches!(entry.place, Place::Memory(_)))
        {
            let Some(entry) = self.entries.get_mut(index) else {
                return;
            };
            let Place::Memory(content) = &mut entry.place else {
                return;
            };
            let (name, content) = (entry.name, std::mem::take(content));
            let written = self.write(&name, &content);
            let Some(entry) = self.entries.get_mut(index) else {
                return;
            };
            match written {
                Some(bytes) => {
                    entry.place = Place::Disk;
                    entry.bytes = bytes;
                }
                None => {
                    entry.place = Place::Memory(content);
                    return;
                }
            }
        }
        self.make_room();
    }

    pub fn state(&self) -> SpoolState {
        let out = self.entries.iter().filter(|entry| entry.out).count();
        SpoolState {
            waiting: self.entries.len() - out,
            out,
            disk_bytes: self.bytes(true),
            memory_bytes: self.bytes(false),
            failing: self.failing.clone(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns what was lost since the last call and no batch reports yet: the next batch has to report it.
    pub fn take_losses(&mut self) -> BTreeMap<Loss, u64> {
        std::mem::take(&mut self.losses)
    }

    /// Returns what was lost since the last call and batches in the spool report.
    pub fn take_told_losses(&mut self) -> BTreeMap<Loss, u64> {
        std::mem::take(&mut self.told_losses)
    }

    fn lose(&mut self, loss: Loss, count: u64) {
        *self.losses.entry(loss).or_default() += count;
    }

    /// Returns a batch's bytes; `Some(None)` if it was damaged and put aside, `None` if the disk refuses.
    fn content(&mut self, index: usize) -> Option<Option<Vec<u8>>> {
        let entry = self.entries.get(index)?;
        if let Place::Memory(content) = &entry.place {
            return Some(Some(content.clone()));
        }
        match self.folder.as_ref()?.read(&entry.name) {
            Ok(content) => Some(Some(content)),
            Err(ReadError::Io(error)) => {
                self.note(Err(error), "read a batch");
                None
            }
            Err(ReadError::Damaged(why)) => {
                self.damaged(index, why);
                Some(None)
            }
        }
    }

    fn damaged(&mut self, index: usize, why: &str) {
        let Some(entry) = self.entries.remove(index) else {
            return;
        };
        let file = entry.name.file_name();
        tracing::error!(
            "batch {file} of the spool is damaged ({why}); it is kept as {file}.damaged"
        );
        self.lose(Loss::SpoolDamaged, 1);
        if let (Place::Disk, Some(folder)) = (&entry.place, &mut self.folder) {
            let aside = folder.put_aside(&entry.name, "damaged");
            self.note(aside, "put a damaged batch aside");
        }
    }

    fn remove(&mut self, which: BatchId) -> Option<Entry> {
        let index = self
            .entries
            .iter()
            .position(|entry| entry.name.id() == which)?;
        self.entries.remove(index)
    }

    /// Writes a batch to the disk, if there is a folder and it works. Returns its space there in bytes.
    fn write(&mut self, name: &BatchName, content: &[u8]) -> Option<u64> {
        let written = self.folder.as_mut()?.write(name, content);
        let bytes = written.as_ref().ok().copied();
        if bytes.is_some() && self.failing.take().is_some() {
            tracing::warn!("the spool can be written again");
            self.logged = None;
        }
        self.note(written.map(|_| ()), "write a batch");
        bytes
    }

    /// Remembers that the disk refused, and logs it from time to time.
    fn note(&mut self, outcome: io::Result<()>, action: &str) {
        let Err(error) = outcome else { return };
        let text = format!("failed to {action}: {error}");
        if self
            .logged
            .is_none_or(|logged| logged.elapsed() >= LOG_EVERY)
        {
            tracing::warn!(
                "spool: {text}; batches are kept in memory until the disk takes them again"
            );
            self.logged = Some(Instant::now());
        }
        self.failing = Some(text);
    }

    fn bytes(&self, disk: bool) -> u64 {
        self.entries
            .iter()
            .filter(|entry| matches!(entry.place, Place::Disk) == disk)
            .map(|entry| entry.bytes)
            .sum()
    }
}

/// Separates the batches that another one stands for: the process crashed after it wrote the merged batch and before it
/// removed them.
fn without_covered(found: Vec<(BatchName, u64)>) -> (Vec<(BatchName, u64)>, Vec<BatchName>) {
    let mut by_instance: BTreeMap<Instance, Vec<BatchName>> = BTreeMap::new();
    for (name, _) in &found {
        by_instance.entry(name.instance).or_default().push(*name);
    }
    let mut covered = Vec::new();
    for names in by_instance.values_mut() {
        names.sort_by_key(|name| {
            (
                name.sequence.0,
                std::cmp::Reverse(name.sequence.1),
                name.order,
            )
        });
        let mut widest: Option<BatchName> = None;
        for name in names.iter() {
            match widest {
                Some(known) if known.covers(name) => covered.push(*name),
                _ => widest = Some(*name),
            }
        }
    }
    covered.sort();
    let kept = found
        .into_iter()
        .filter(|(name, _)| covered.binary_search(name).is_err())
        .collect();
    (kept, covered)
}
