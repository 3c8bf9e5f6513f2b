//! The spool's folder: whole files or none, checked when they are read.
//!
//! A file is written under another name, synced and renamed, and then the folder is synced: after any crash the file is
//! there whole or not at all.

use super::name::BatchName;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Files begin with this, then the CRC-32 (IEEE) of the rest and its length, both little endian.
const MAGIC: [u8; 4] = *b"NSB1";
const HEADER: usize = 12;
/// The longest content, in bytes; a file that claims to be longer is damaged.
const LONGEST: u64 = 64 << 20;
/// The block size of disks, in bytes.
const BLOCK: u64 = 4096;
/// How many files that were put aside are kept, of each kind; the newest are kept.
const MAX_ASIDE: usize = 16;
/// How many removed files may come back after a power failure.
pub const MAX_UNSYNCED: usize = 8;

/// Why a file cannot be read.
#[derive(Debug)]
pub enum ReadError {
    /// It is missing, or its content is not what was written.
    Damaged(&'static str),
    Io(io::Error),
}

/// The folder, for one process at a time.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// Removals since the folder was last synced.
    unsynced: usize,
    /// The lock, held as long as this value lives.
    _lock: File,
}

impl Folder {
    /// Creates the folder if it is missing, and locks it.
    ///
    /// # Errors
    /// If it cannot be made, written or locked; [`io::ErrorKind::WouldBlock`] if another process has it.
    pub fn open(path: &Path) -> io::Result<Self> {
        fs::create_dir_all(path)?;
        let lock = File::create(path.join("lock"))?;
        lock.try_lock().map_err(io::Error::from)?;
        Ok(Folder {
            path: path.to_owned(),
            unsynced: 0,
            _lock: lock,
        })
    }

    /// Returns all batches with their space on the disk in bytes, in order. Removes half-written files of processes that
    /// ended.
    ///
    /// # Errors
    /// If the folder cannot be listed.
    pub fn list(&self) -> io::Result<Vec<(BatchName, u64)>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            if name.ends_with(".tmp") {
                let _ = fs::remove_file(entry.path());
            } else if let Some(name) = BatchName::parse(name) {
                found.push((name, on_disk(entry.metadata()?.len())));
            }
        }
        found.sort();
        Ok(found)
    }

    /// Writes and syncs a batch. Returns its space on the disk in bytes.
    ///
    /// # Errors
    /// If the disk refuses; then no file is left.
    pub fn write(&mut self, name: &BatchName, content: &[u8]) -> io::Result<u64> {
        let target = self.path.join(name.file_name());
        let beside = target.with_extension("tmp");
        let written = write_whole(&beside, content).and_then(|()| fs::rename(&beside, &target));
        if let Err(error) = written {
            let _ = fs::remove_file(&beside);
            return Err(error);
        }
        self.sync()?;
        Ok(on_disk(content.len() as u64 + HEADER as u64))
    }

    /// Reads a batch.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn read(&self, name: &BatchName) -> Result<Vec<u8>, ReadError> {
        let mut file = match File::open(self.path.join(name.file_name())) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ReadError::Damaged("it is gone"));
            }
            file => file.map_err(ReadError::Io)?,
        };
        let mut header = [0; HEADER];
        let short = |error: io::Error| match error.kind() {
            io::ErrorKind::UnexpectedEof => ReadError::Damaged("it is too short"),
            _ => ReadError::Io(error),
        };
        file.read_exact(&mut header).map_err(short)?;
        let [m0, m1, m2, m3, c0, c1, c2, c3, l0, l1, l2, l3] = header;
        if [m0, m1, m2, m3] != MAGIC {
            return Err(ReadError::Damaged("it is no batch"));
        }
        let length = u64::from(u32::from_le_bytes([l0, l1, l2, l3]));
        if length > LONGEST {
            return Err(ReadError::Damaged("its length is wrong"));
        }
        let mut content = Vec::new();
        file.take(length + 1)
            .read_to_end(&mut content)
            .map_err(ReadError::Io)?;
        if content.len() as u64 != length {
            return Err(ReadError::Damaged("its length is wrong"));
        }
        if crc32fast::hash(&content) != u32::from_le_bytes([c0, c1, c2, c3]) {
            return Err(ReadError::Damaged("its checksum is wrong"));
        }
        Ok(content)
    }

    /// Removes a batch. It may come back if the power fails before the next [`Folder::sync`]; no more
    /// than [`MAX_UNSYNCED`] do.
    ///
    /// # Errors
    /// If the disk refuses; a file that is gone already is no error.
    pub fn remove(&mut self, name: &BatchName) -> io::Result<()> {
        gone_is_fine(fs::remove_file(self.path.join(name.file_name())))?;
        self.unsynced += 1;
        if self.unsynced >= MAX_UNSYNCED {
            self.sync()?;
        }
        Ok(())
    }

    /// Syncs the folder itself.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn sync(&mut self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()?;
        self.unsynced = 0;
        Ok(())
    }

    /// Puts a batch aside: it gets another ending, so that it is no batch any more. Of each kind only the newest are kept.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn put_aside(&mut self, name: &BatchName, ending: &str) -> io::Result<()> {
        let from = self.path.join(name.file_name());
        let to = self.path.join(format!("{}.{ending}", name.file_name()));
        gone_is_fine(fs::rename(from, to))?;
        let mut aside: Vec<PathBuf> = fs::read_dir(&self.path)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|e| e == ending))
            .collect();
        aside.sort();
        let surplus = aside.len().saturating_sub(MAX_ASIDE);
        for path in aside.iter().take(surplus) {
            gone_is_fine(fs::remove_file(path))?;
        }
        self.sync()
    }
}

fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut header = [0; HEADER];
    let length = u32::try_from(content.len())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "a batch of more than 4 GiB"))?;
    header[..4].copy_from_slice(&MAGIC);
    header[4..8].copy_from_slice(&crc32fast::hash(content).to_le_bytes());
    header[8..].copy_from_slice(&length.to_le_bytes());
    let mut file = File::create(path)?;
    file.write_all(&header)?;
    file.write_all(content)?;
    file.sync_all()
}

fn gone_is_fine(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Returns the space that a file takes, in bytes.
fn on_disk(length: u64) -> u64 {
    length.div_ceil(BLOCK).max(1) * BLOCK
}
