//! Several records of the same connections become one, inside a transaction.

use super::read::record_of;
use super::write::{IDENTITY, REPLACE_RECORD, SELECT_RECORD, row_of};
use nanoseg_flow::{FlowRecord, Observed};
use rusqlite::{OptionalExtension, Transaction, params_from_iter};

const DELETE_RECORD: &str = "DELETE FROM records WHERE began = ?1 AND node = ?2 AND source = ?3
    AND client = ?4 AND server = ?5 AND port = ?6 AND protocol = ?7 AND via = ?8 AND seen_as = ?9
    AND client_port = ?10 AND verdict = ?11 AND opening = ?12 AND claims = ?13";

/// Merges these records, as they are in the store now, into one.
pub fn merge_records(transaction: &Transaction<'_>, group: &[Observed]) -> rusqlite::Result<()> {
    let Some(Observed { observer, .. }) = group.first() else {
        return Ok(());
    };
    let mut merged: Option<FlowRecord> = None;
    for Observed { observer, record } in group {
        let row = row_of(&observer.node, observer.source, record)?;
        let identity = || params_from_iter(row.iter().take(IDENTITY));
        let mut select = transaction.prepare_cached(SELECT_RECORD)?;
        let Some((_, now)) = select.query_row(identity(), record_of).optional()? else {
            continue;
        };
        transaction
            .prepare_cached(DELETE_RECORD)?
            .execute(identity())?;
        match &mut merged {
            Some(known) => known.absorb(&now),
            None => merged = Some(now),
        }
    }
    if let Some(merged) = merged {
        let mut replace = transaction.prepare_cached(REPLACE_RECORD)?;
        replace.execute(params_from_iter(&row_of(
            &observer.node,
            observer.source,
            &merged,
        )?))?;
    }
    Ok(())
}
