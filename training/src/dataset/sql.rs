//! Names in SQL.

/// A column's name, quoted for SQL.
pub fn quoted(column: &str) -> String {
    format!("\"{}\"", column.replace('"', "\"\""))
}
