//! What is written beside its place, and the list of what is being written. The list comes first and goes last, so
//! after a kill at any moment the next run knows what an unfinished one has written
//! (rule: unfinished-folder-is-mended).
//!
//! ```text
//! .nanoseg-writing-0/list     the names that are ours: those before, and those to come
//!                    0, 1, …  the new files, until each is renamed to its place
//! ```

use super::place::Place;
use rustix::fs::FileType;
use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;

const PREFIX: &str = ".nanoseg-writing-";
const LIST: &str = "list";
/// Earlier versions had random names, and numbered files in them.
const EARLIER: &str = ".nanoseg-";
const EARLIER_RANDOM: usize = 6;

/// The staging folder of this run.
pub struct Staging {
    pub place: Place,
    pub name: String,
}

impl Staging {
    /// Makes one beside those that earlier runs left.
    pub fn make(root: &Place) -> io::Result<Staging> {
        for number in 0u64.. {
            let name = format!("{PREFIX}{number}");
            if root.make_private(&name)?
                && let Some(place) = root.folder(&name)?
            {
                return Ok(Staging { place, name });
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// Writes the list. When this returns, it is on the disk.
    pub fn list(&self, root: &Place, names: &BTreeSet<PathBuf>) -> io::Result<()> {
        let mut text = String::new();
        for name in names {
            text.push_str(&name.to_string_lossy());
            text.push('\n');
        }
        self.place.create(LIST, text.as_bytes())?;
        self.place.sync()?;
        root.sync()
    }
}

/// The names of folders that unfinished runs left.
pub fn left_over(root: &Place) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    for name in root.names()? {
        if is_staging(&name) && root.kind(&name)? == Some(FileType::Directory) {
            found.push(name);
        }
    }
    Ok(found)
}

fn is_staging(name: &str) -> bool {
    let number = name.strip_prefix(PREFIX);
    let random = name.strip_prefix(EARLIER);
    number.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|one| one.is_ascii_digit()))
        || random.is_some_and(|rest| {
            rest.len() == EARLIER_RANDOM && rest.bytes().all(|one| one.is_ascii_alphanumeric())
        })
}

/// The names that unfinished runs were about to write.
pub fn unfinished(root: &Place, staging: &[String]) -> io::Result<BTreeSet<PathBuf>> {
    let mut names = BTreeSet::new();
    for name in staging {
        if let Some(place) = root.folder(name)?
            && let Some(list) = place.read(LIST)?
        {
            names.extend(String::from_utf8_lossy(&list).lines().map(PathBuf::from));
        }
    }
    Ok(names)
}

/// Removes a staging folder and the files in it. What is in none is left, and the folder with it.
pub fn remove(root: &Place, name: &str) -> io::Result<()> {
    let Some(place) = root.folder(name)? else {
        return Ok(());
    };
    // The list goes last: without it, what it names would be somebody else's.
    let mut names = place.names()?;
    names.sort_by_key(|name| name == LIST);
    for file in names {
        let is_numbered = file.bytes().all(|one| one.is_ascii_digit());
        if file == LIST || is_numbered {
            place.remove(&file)?;
        }
    }
    match root.remove_folder(name) {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
        other => other.map(drop),
    }
}
