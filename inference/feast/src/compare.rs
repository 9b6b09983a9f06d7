//! What a bundle's columns need, against what the views have.

use crate::{Column, ColumnKind, EntityViews, ValueType};

/// A column that can't be read as the bundle needs it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Mismatch {
    /// No view has it.
    #[error(
        "column {column}, of which the bundle has {wanted}, is in none of the feature views {views}; add the view that has it, or train \
         without it"
    )]
    Missing {
        /// The column.
        column: String,
        /// What the bundle was trained on.
        wanted: ColumnKind,
        /// The views that were searched.
        views: String,
    },
    /// It is something else.
    #[error(
        "column {column} has {wanted} in the bundle and {declared} in feature view {view}; declare it as {instead} in Feast, or train on \
         what Feast has"
    )]
    Type {
        /// The column.
        column: String,
        /// What the bundle was trained on.
        wanted: ColumnKind,
        /// What the registry declares.
        declared: ValueType,
        /// The view that has it.
        view: String,
        /// What would do.
        instead: &'static str,
    },
}

/// Compares the columns that a bundle needs with those of the views; columns that it does not need don't matter.
///
/// Numbers may be INT32, INT64, DOUBLE, FLOAT or BOOL; texts may be STRING, UUID or TIME_UUID, and also INT32, INT64 and DOUBLE, which
/// vocabularies write just as training does. A FLOAT is no text, as its decimals change when it becomes a number of 64 bits, nor is
/// a BOOL, which training writes as `true` and `false`.
pub fn compare(wanted: &[(&str, ColumnKind)], views: &EntityViews) -> Result<(), Vec<Mismatch>> {
    let mismatches: Vec<Mismatch> = wanted
        .iter()
        .filter_map(|(name, kind)| mismatch(name, *kind, views))
        .collect();
    if mismatches.is_empty() {
        Ok(())
    } else {
        Err(mismatches)
    }
}

fn mismatch(name: &str, wanted: ColumnKind, views: &EntityViews) -> Option<Mismatch> {
    let Some(column) = views.columns.iter().find(|column| column.name == name) else {
        let names: Vec<&str> = views.views.iter().map(|view| view.name.as_str()).collect();
        return Some(Mismatch::Missing {
            column: name.to_owned(),
            wanted,
            views: names.join(", "),
        });
    };
    (!serves(column.value_type, wanted)).then(|| differs(column, wanted, views))
}

fn differs(column: &Column, wanted: ColumnKind, views: &EntityViews) -> Mismatch {
    Mismatch::Type {
        column: column.name.clone(),
        wanted,
        declared: column.value_type,
        view: views.views[column.view].name.clone(),
        instead: match wanted {
            ColumnKind::Number => "Int64 or Float64",
            ColumnKind::Text => "String",
        },
    }
}

fn serves(declared: ValueType, wanted: ColumnKind) -> bool {
    let is_written_alike = matches!(declared, ValueType::Int32 | ValueType::Int64 | ValueType::Double);
    declared.column_kind() == Some(wanted) || (wanted == ColumnKind::Text && is_written_alike)
}
