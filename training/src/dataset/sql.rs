//! Names in SQL.

/// A column's name, quoted for SQL.
pub fn quoted(column: &str) -> String {
    format!("\"{}\"", column.replace('"', "\"\""))
}

/// The table of a shop's file as it was staged: `transactions`, `users` or `items`.
pub(crate) fn staged(file: &str) -> String {
    format!("staged_{file}")
}
