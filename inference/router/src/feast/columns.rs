//! Which raw columns a bundle's workflow reads, as far as views have to have them.

use gondola_feast::ColumnKind;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// What a workflow says of its columns.
#[derive(Deserialize)]
pub(super) struct Workflow {
    pub(super) user: Columns,
    pub(super) item: Columns,
}

#[derive(Deserialize)]
pub(super) struct Columns {
    categorical: Vec<Categorical>,
    numeric: Vec<Numeric>,
}

/// A column of its own name, or one that is made of others.
#[derive(Deserialize)]
#[serde(untagged)]
enum Categorical {
    Own(String),
    Made { reads: Vec<Reading> },
}

#[derive(Deserialize)]
struct Numeric {
    column: String,
    #[serde(default)]
    reads: Vec<Reading>,
    /// Numbers that were learned of categories.
    lookup: Option<IgnoredAny>,
}

/// A raw column; one that something is done to is a number.
#[derive(Deserialize)]
struct Reading {
    column: String,
    #[serde(default)]
    operations: Vec<IgnoredAny>,
}

impl Columns {
    /// What views must have, each once.
    pub(super) fn wanted(&self) -> Vec<(&str, ColumnKind)> {
        let mut wanted: Vec<(&str, ColumnKind)> = Vec::new();
        let categorical = self.categorical.iter().flat_map(Categorical::raw);
        for (column, kind) in categorical.chain(self.numeric.iter().flat_map(Numeric::raw)) {
            if !wanted.iter().any(|(other, _)| *other == column) {
                wanted.push((column, kind));
            }
        }
        wanted
    }
}

impl Categorical {
    fn raw(&self) -> Vec<(&str, ColumnKind)> {
        match self {
            Self::Own(column) => vec![(column, ColumnKind::Text)],
            Self::Made { reads } => reads.iter().map(Reading::raw).collect(),
        }
    }
}

impl Numeric {
    fn raw(&self) -> Vec<(&str, ColumnKind)> {
        let number = |column| vec![(column, ColumnKind::Number)];
        match (&self.lookup, self.reads.as_slice()) {
            (Some(_), categories) => categories.iter().map(Reading::raw).collect(),
            (None, []) => number(self.column.as_str()),
            (None, [raw, ..]) => number(raw.column.as_str()),
        }
    }
}

impl Reading {
    fn raw(&self) -> (&str, ColumnKind) {
        let kind = if self.operations.is_empty() {
            ColumnKind::Text
        } else {
            ColumnKind::Number
        };
        (self.column.as_str(), kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_column_is_made_of_is_wanted_once() {
        let columns = serde_json::json!({
            "categorical": [
                "club",
                {"column": "club_city", "reads": [{"column": "club"}, {"column": "city"}], "encoding": {}},
                {"column": "age_group", "reads": [{"column": "age", "operations": [{"bucket": [30.0]}]}], "encoding": {"buckets": 2}},
            ],
            "numeric": [
                {"column": "spent", "operations": []},
                {"column": "spent_filled", "reads": [{"column": "spent"}], "operations": ["is_missing"]},
                {"column": "mean", "reads": [{"column": "street"}], "lookup": {"name": "street", "value": "mean"}, "operations": []},
            ],
        });
        let columns: Columns = serde_json::from_value(columns).unwrap();
        let (text, number) = (ColumnKind::Text, ColumnKind::Number);
        let wanted = [
            ("club", text),
            ("city", text),
            ("age", number),
            ("spent", number),
            ("street", text),
        ];
        assert_eq!(columns.wanted(), wanted);
    }
}
