//! A copy of a store that may be in use.

use crate::FlowStoreError;
use crate::flows;
use std::path::Path;

/// Copies the store at `store` to `copy`, as it is at one moment: a new or an empty file. Others may go on writing
/// (<https://sqlite.org/lang_vacuum.html#vacuuminto>).
///
/// # Errors
/// There is no such store, or the copy cannot be written.
pub fn back_up(store: &Path, copy: &Path) -> Result<(), FlowStoreError> {
    let connection = flows::open_read_only(store)?;
    let name = copy.to_string_lossy();
    connection
        .execute("VACUUM INTO ?1", [name.as_ref()])
        .map(drop)
        .map_err(|error| FlowStoreError::of("back up", store, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Commit, ReviewStore};

    #[test]
    fn a_copy_of_a_store_in_use_has_all_that_was_committed_and_nothing_later() {
        let folder = tempfile::tempdir().unwrap();
        let (path, copy) = (
            folder.path().join("a.sqlite"),
            folder.path().join("b.sqlite"),
        );
        let mut store = ReviewStore::open(&path).unwrap();
        let commit = |number: u64| Commit {
            record_lines: vec![(number, format!("line {number}"))],
            ..Commit::default()
        };
        store.commit(&commit(1)).unwrap();
        back_up(&path, &copy).unwrap();
        store.commit(&commit(2)).unwrap();
        let lines = |path: &Path| {
            let mut lines = Vec::new();
            let store = ReviewStore::open_read_only(path).unwrap();
            let read = store.record_lines(1, |_, line| {
                lines.push(line.to_owned());
                true
            });
            read.map(|()| lines).unwrap()
        };
        assert_eq!(lines(&copy), ["line 1"]);
        assert_eq!(lines(&path), ["line 1", "line 2"]);
        // A controller goes on with the copy.
        let mut restored = ReviewStore::open(&copy).unwrap();
        restored.commit(&commit(2)).unwrap();
        assert!(back_up(&path, &copy).is_err(), "it is there");
        assert!(back_up(&folder.path().join("none"), &copy).is_err());
    }
}
