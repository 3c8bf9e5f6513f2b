//! Which of the clusters a test uses. Tests with a controller wait for each other, since a controller works on a whole
//! cluster: with two clusters only half of them do.

use std::cell::RefCell;
use std::sync::{Mutex, PoisonError};

/// The number of clusters.
pub const CLUSTERS: usize = 2;
/// The cluster that has nodes.
pub const WITH_NODES: usize = 0;

/// How many tests use each cluster now.
static USERS: Mutex<[usize; CLUSTERS]> = Mutex::new([0; CLUSTERS]);

thread_local! {
    /// The cluster of the test that runs on this thread: a test has a thread of its own.
    static MINE: RefCell<Option<Turn>> = const { RefCell::new(None) };
}

/// The use of a cluster, which ends with the thread.
struct Turn {
    place: usize,
}

impl Turn {
    fn at(choose: impl FnOnce(&[usize; CLUSTERS]) -> usize) -> Turn {
        let mut users = USERS.lock().unwrap_or_else(PoisonError::into_inner);
        let place = choose(&users);
        users[place] += 1;
        Turn { place }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut users = USERS.lock().unwrap_or_else(PoisonError::into_inner);
        users[self.place] -= 1;
    }
}

/// Returns the number of this test's cluster: at the first call one that the fewest tests use.
pub fn mine() -> usize {
    MINE.with_borrow_mut(|mine| {
        let fewest = |users: &[usize; CLUSTERS]| {
            let places = 0..CLUSTERS;
            places.min_by_key(|place| users[*place]).unwrap_or_default()
        };
        mine.get_or_insert_with(|| Turn::at(fewest)).place
    })
}

/// Makes the cluster with nodes that of this test.
pub fn take_nodes() {
    MINE.with_borrow_mut(|mine| {
        if mine.as_ref().is_none_or(|turn| turn.place != WITH_NODES) {
            *mine = Some(Turn::at(|_| WITH_NODES));
        }
    });
}
