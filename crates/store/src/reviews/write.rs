//! One commit into the tables, inside a transaction.

use super::{Commit, EndedReview, break_glass};
use rusqlite::{Transaction, params};

/// A line of the record that does not follow the last one.
#[derive(Debug)]
pub struct OutOfSequence {
    pub expected: u64,
    pub found: u64,
}

pub fn commit(
    transaction: &Transaction<'_>,
    commit: &Commit,
) -> rusqlite::Result<Result<(), OutOfSequence>> {
    if let Err(wrong) = append(transaction, &commit.record_lines)? {
        return Ok(Err(wrong));
    }
    for EndedReview {
        workload: id,
        ended_at,
        body,
    } in &commit.ended_reviews
    {
        transaction
            .prepare_cached(
                "REPLACE INTO ended_reviews (namespace, kind, name, ended_at, body)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![
                id.namespace,
                id.kind,
                id.name,
                ended_at.nanos(),
                body
            ])?;
        transaction
            .prepare_cached("DELETE FROM reviews WHERE namespace = ?1 AND kind = ?2 AND name = ?3")?
            .execute(params![id.namespace, id.kind, id.name])?;
    }
    for (id, body) in &commit.reviews {
        transaction
            .prepare_cached(
                "REPLACE INTO reviews (namespace, kind, name, body) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![id.namespace, id.kind, id.name, body])?;
    }
    for namespace in &commit.removed_segments {
        transaction
            .prepare_cached("DELETE FROM segments WHERE namespace = ?1")?
            .execute([namespace])?;
    }
    for segment in &commit.segments {
        transaction
            .prepare_cached(
                "REPLACE INTO segments (namespace, observing_since, body) VALUES (?1, ?2, ?3)",
            )?
            .execute(params![
                segment.namespace,
                segment.observing_since.nanos(),
                segment.body
            ])?;
    }
    for decision in &commit.decisions {
        transaction
            .prepare_cached(
                "REPLACE INTO decisions (uid, namespace, name, at, outcome, body)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                decision.uid,
                decision.namespace,
                decision.name,
                decision.at.nanos(),
                decision.outcome,
                decision.body
            ])?;
    }
    for (namespace, body) in &commit.memories {
        transaction
            .prepare_cached("REPLACE INTO memories (namespace, body) VALUES (?1, ?2)")?
            .execute(params![namespace, body])?;
    }
    departed(transaction, commit)?;
    break_glass::recorded(transaction, &commit.recorded_break_glass)?;
    Ok(Ok(()))
}

fn departed(transaction: &Transaction<'_>, commit: &Commit) -> rusqlite::Result<()> {
    for pod in &commit.departed {
        transaction
            .prepare_cached("REPLACE INTO departed_pods (uid, gone_at, body) VALUES (?1, ?2, ?3)")?
            .execute(params![pod.uid, pod.gone_at.nanos(), pod.body])?;
    }
    if let Some(before) = commit.forget_departed_before {
        transaction
            .prepare_cached("DELETE FROM departed_pods WHERE gone_at < ?1")?
            .execute([before.nanos()])?;
    }
    Ok(())
}

fn append(
    transaction: &Transaction<'_>,
    lines: &[(u64, String)],
) -> rusqlite::Result<Result<(), OutOfSequence>> {
    if lines.is_empty() {
        return Ok(Ok(()));
    }
    let last: i64 =
        transaction.query_row("SELECT coalesce(max(sequence), 0) FROM record", [], |row| {
            row.get(0)
        })?;
    let mut last = last.unsigned_abs();
    let mut insert =
        transaction.prepare_cached("INSERT INTO record (sequence, line) VALUES (?1, ?2)")?;
    for (found, line) in lines {
        let (expected, found) = (last.saturating_add(1), *found);
        // The trigger refuses it as well; this error contains the expected number.
        if expected != found {
            return Ok(Err(OutOfSequence { expected, found }));
        }
        insert.execute(params![i64::try_from(found).unwrap_or(i64::MAX), line])?;
        last = found;
    }
    Ok(Ok(()))
}
