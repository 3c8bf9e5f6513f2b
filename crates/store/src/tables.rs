//! Which tables and columns a file has: one of an earlier version that is only read lacks the newer ones.

use rusqlite::Connection;

pub fn has_table(connection: &Connection, name: &str) -> rusqlite::Result<bool> {
    let is_there = "SELECT count(*) FROM sqlite_schema WHERE name = ?1";
    let count: i64 = connection.query_row(is_there, [name], |row| row.get(0))?;
    Ok(count > 0)
}

pub fn has_column(connection: &Connection, table: &str, column: &str) -> rusqlite::Result<bool> {
    let is_there = "SELECT count(*) FROM pragma_table_info(?1) WHERE name = ?2";
    let count: i64 = connection.query_row(is_there, [table, column], |row| row.get(0))?;
    Ok(count > 0)
}
