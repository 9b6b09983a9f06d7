//! Tables of a shop: whatever a file holds, reading it ends in values that can be meant or in an error.

use std::io::Write as _;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::Float64Type;

pub use dataset::format::Format;

#[path = "../../training/src/dataset"]
mod dataset {
    #![allow(dead_code, reason = "what only data sets and tests use")]

    pub(crate) mod cells;
    pub(crate) mod format;
    pub(crate) mod table;
}

use dataset::cells::{Role, Spelling, convert};
use dataset::table;

/// Columns that are read: a damaged file may claim to have millions.
const MAX_COLUMNS: usize = 16;

/// Reads a table, and takes each of its columns for everything that a column can be.
pub fn read_and_convert(format: Format, bytes: &[u8]) {
    let mut file = tempfile::NamedTempFile::new().expect("there is room for a file");
    file.write_all(bytes).expect("there is room for a file");
    let Ok(names) = table::columns(file.path(), format) else {
        return;
    };
    let wanted: Vec<&str> = names.iter().take(MAX_COLUMNS).map(String::as_str).collect();
    let Ok(batches) = table::rows(file.path(), format, &wanted) else {
        return;
    };
    for rows in batches {
        let Ok(rows) = rows else { return };
        for column in rows.columns.iter().flatten() {
            assert_eq!(column.len(), rows.count);
            convert_all(column);
        }
        if rows.count > 0 {
            rows.place(rows.count - 1);
        }
    }
}

fn convert_all(column: &ArrayRef) {
    for role in [Role::Id, Role::Category, Role::Text, Role::Quantity, Role::Time] {
        let Ok(values) = convert(column, role) else {
            continue;
        };
        assert_eq!(values.len(), column.len());
        if let Some(ids) = values.as_string_opt::<i32>() {
            Spelling::default().add(ids);
            assert!(ids.iter().flatten().all(|text| !text.is_empty() && text != "NaN"));
        }
        if let Some(numbers) = values.as_primitive_opt::<Float64Type>() {
            assert!(numbers.iter().flatten().all(|number| (number as f32).is_finite()));
        }
    }
}
