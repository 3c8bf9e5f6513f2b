//! Entries of the record as reports and the page show them.

use crate::report::evidence::{Event, Keeping};
use crate::review::record::{self, Entry, glass_broken_at, keeping};

/// An entry as reports and the page show it.
pub fn event(entry: Entry) -> Event {
    let Entry {
        sequence,
        at,
        draft,
        ..
    } = entry;
    Event {
        sequence,
        at,
        // Nothing is recorded before it is done.
        done: glass_broken_at(&draft).filter(|done| *done <= at),
        keeping: keeping(&draft).map(|keeping| match keeping {
            record::Keeping::Begins => Keeping::Begins,
            record::Keeping::Ends => Keeping::Ends,
        }),
        action: draft.action.name(),
        actor: draft.actor,
        namespace: draft.namespace,
        object: draft.object,
        reason: draft.reason,
    }
}
