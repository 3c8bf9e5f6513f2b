//! Works on many items at once and returns the results in order.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

/// The largest number of threads: more would only wait for memory.
const MOST_THREADS: usize = 8;

/// Calls `work` for each item, on as many threads as the machine has processors, and returns the results in the
/// order of the items.
///
/// # Errors
/// Returns the error of the first item, in that order, that has one. Items after it may be left out.
pub fn in_shares<T: Sync, R: Send, E: Send>(
    items: &[T],
    work: impl Fn(&T) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let threads = processors.min(MOST_THREADS).min(items.len());
    if threads < 2 {
        return items.iter().map(work).collect();
    }
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let done = Mutex::new(Vec::with_capacity(items.len()));
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut own = Vec::new();
                // Items are started in order, so all items before a failed one are finished.
                while !failed.load(Ordering::Relaxed) {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(index) else { break };
                    let answer = work(item);
                    failed.fetch_or(answer.is_err(), Ordering::Relaxed);
                    own.push((index, answer));
                }
                if let Ok(mut done) = done.lock() {
                    done.append(&mut own);
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_default();
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, answer)| answer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_come_in_the_order_of_the_items() {
        let items: Vec<usize> = (0..1000).collect();
        let doubled = in_shares(&items, |item| Ok::<_, ()>(item * 2));
        let expected: Vec<usize> = items.iter().map(|item| item * 2).collect();
        assert_eq!(doubled, Ok(expected));
        assert_eq!(in_shares(&[], |_: &u8| Ok::<u8, ()>(1)), Ok(vec![]));
    }

    #[test]
    fn the_first_error_counts_however_the_threads_run() {
        let items: Vec<usize> = (0..1000).collect();
        for _ in 0..20 {
            let failed = in_shares(&items, |item| match item % 100 {
                77 => Err(*item),
                _ => Ok(()),
            });
            assert_eq!(failed, Err(77));
        }
    }
}
