//! Tables: a head, and rows whose first cell is a name and whose others are numbers.

use maud::{Markup, html};

pub(crate) struct Table {
    /// The head of each column.
    pub(crate) head: Vec<&'static str>,
    /// A cell for each column.
    pub(crate) rows: Vec<Vec<String>>,
}

impl Table {
    /// As HTML; columns after the first hold numbers.
    pub(crate) fn html(&self) -> Markup {
        html! {
            table {
                tr {
                    @for (column, cell) in self.head.iter().enumerate() {
                        th class=[class(column)] { (cell) }
                    }
                }
                @for row in &self.rows {
                    tr {
                        @for (column, cell) in row.iter().enumerate() {
                            td class=[class(column)] { (cell) }
                        }
                    }
                }
            }
        }
    }

    /// As lines of text, with columns as wide as they need.
    pub(crate) fn text(&self) -> String {
        let all: Vec<Vec<&str>> = std::iter::once(self.head.clone())
            .chain(
                self.rows
                    .iter()
                    .map(|row| row.iter().map(String::as_str).collect()),
            )
            .collect();
        let width = |column: usize| {
            let cells = all.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.head.len()).map(width).collect();
        let mut text = String::new();
        for row in &all {
            let cells = row.iter().zip(&widths).enumerate();
            let line = cells.map(|(column, (cell, width))| match column {
                0 => format!("{cell:width$}"),
                _ => format!("  {cell:>width$}"),
            });
            text += line.collect::<String>().trim_end();
            text.push('\n');
        }
        text
    }
}

fn class(column: usize) -> Option<&'static str> {
    (column > 0).then_some("number")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_of_text_are_as_wide_as_their_widest_cell() {
        let table = Table {
            head: vec!["who", "AUC"],
            rows: vec![vec!["a forest".to_owned(), "0.8".to_owned()]],
        };
        assert_eq!(table.text(), "who       AUC\na forest  0.8\n");
        assert!(
            table
                .html()
                .into_string()
                .contains("<td class=\"number\">0.8</td>")
        );
    }
}
