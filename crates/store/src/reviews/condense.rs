//! Fewer records on the disk: those of the same connections and the same minute or hour become one
//! ([`nanoseg_flow::Condensed`]).

use super::edges::begin;
use super::{ReviewStore, ReviewStoreError};
use crate::flows;
use nanoseg_flow::{AddressEpochs, Condensed, Observed};
use nanoseg_net::Timestamp;
use rusqlite::Connection;
use std::ops::Range;

/// So many records are merged in one transaction: some tens of milliseconds.
const STEP_RECORDS: usize = 2_000;

impl ReviewStore {
    /// Merges records that began in these seconds since the Unix epoch. Returns how many fewer there are.
    ///
    /// Each group is read again in the transaction that merges it, so records that come meanwhile are lost by nobody.
    ///
    /// # Errors
    /// If it cannot be read or written, or holds what nanoseg never writes; each group is merged or as it was.
    pub fn condense(
        &mut self,
        seconds: Range<i64>,
        epochs: &AddressEpochs,
        now: Timestamp,
    ) -> Result<usize, ReviewStoreError> {
        condense(&mut self.connection, seconds, epochs, now)
            .map_err(|e| self.odd("merge records in", e))
    }
}

fn condense(
    connection: &mut Connection,
    seconds: Range<i64>,
    epochs: &AddressEpochs,
    now: Timestamp,
) -> rusqlite::Result<usize> {
    let mut condensed = Condensed::default();
    flows::each_record(connection, seconds, |observed| {
        condensed.add(observed, epochs, now);
    })?;
    let (mut fewer, mut step) = (0, Vec::new());
    let mut size = 0;
    for group in condensed.into_groups() {
        size += group.len();
        fewer += group.len() - 1;
        step.push(group);
        if size >= STEP_RECORDS {
            merge(connection, &std::mem::take(&mut step))?;
            size = 0;
        }
    }
    merge(connection, &step)?;
    Ok(fewer)
}

fn merge(connection: &mut Connection, groups: &[Vec<Observed>]) -> rusqlite::Result<()> {
    if groups.is_empty() {
        return Ok(());
    }
    let transaction = begin(connection)?;
    for group in groups {
        flows::merge_records(&transaction, group)?;
    }
    transaction.commit()
}
