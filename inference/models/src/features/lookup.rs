//! Lookups: numbers that were learned of each category, or of each combination of several columns' categories.
//!
//! The mean of a target by color is one, or the sum of prices by color and season. A combination is found by the text that
//! [`super::texts::tuple`] makes of it, nulls included; of one that training never saw nothing is known.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Float64Array, StringArray};
use arrow::record_batch::RecordBatch;
use sha2::{Digest, Sha256};

use super::table::{Cell, TableError, number_column, read_parquet, text_column};
use super::texts::{Texts, tuple};
use super::vocabulary::write_parquet;

/// The column of keys in a lookup's file.
const KEY: &str = "key";

/// Numbers by category, in one or several columns.
#[derive(Debug)]
pub struct Lookup {
    keys: Texts,
    columns: Vec<LookupColumn>,
}

/// One number for each key.
#[derive(Debug)]
pub struct LookupColumn {
    /// Its name, which is not `key`.
    pub name: String,
    /// The numbers, in the order of the keys.
    pub numbers: Float64Array,
}

impl Lookup {
    /// Numbers of these keys, each a combination of categories.
    pub fn new<'a>(
        keys: impl Iterator<Item = impl Iterator<Item = Cell<'a>>>,
        columns: Vec<LookupColumn>,
    ) -> Self {
        Self {
            keys: Texts::new(StringArray::from_iter_values(keys.map(tuple))),
            columns,
        }
    }

    /// Where a column stands.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// The name of a column. Panics past the last one, as a slice does.
    pub(super) fn name(&self, column: usize) -> &str {
        &self.columns[column].name
    }

    /// What a column has for a combination of categories.
    pub fn number<'a>(&self, column: usize, categories: impl Iterator<Item = Cell<'a>>) -> Option<f64> {
        let row = self.keys.position(&tuple(categories))? as usize;
        let numbers = &self.columns[column].numbers;
        numbers.is_valid(row).then(|| numbers.value(row))
    }

    /// Adds what this lookup holds to a digest.
    pub(crate) fn hash_into(&self, digest: &mut Sha256) {
        self.keys.hash_into(digest);
        for column in &self.columns {
            for number in &column.numbers {
                digest.update(number.unwrap_or(f64::NAN).to_le_bytes());
            }
        }
    }

    pub(crate) fn save(&self, path: &Path) -> Result<(), TableError> {
        let keys = (KEY, Arc::new(self.keys.values().clone()) as ArrayRef);
        let columns = self.columns.iter();
        let columns =
            columns.map(|column| (column.name.as_str(), Arc::new(column.numbers.clone()) as ArrayRef));
        let batch = RecordBatch::try_from_iter_with_nullable(
            std::iter::once(keys)
                .chain(columns)
                .map(|(name, array)| (name, array, true)),
        )
        .map_err(|source| TableError::Arrow {
            path: path.to_owned(),
            source,
        })?;
        write_parquet(path, &batch)
    }

    pub(crate) fn load(path: &Path) -> Result<Self, TableError> {
        let batch = read_parquet(path)?;
        let keys = Texts::new(text_column(&batch, KEY, path)?);
        let mut columns = Vec::new();
        for field in batch.schema().fields() {
            if field.name() != KEY {
                columns.push(LookupColumn {
                    name: field.name().clone(),
                    numbers: number_column(&batch, field.name(), path)?,
                });
            }
        }
        Ok(Self { keys, columns })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn means() -> Lookup {
        let keys = [
            [Cell::Text("red"), Cell::Number(7.0)],
            [Cell::Null, Cell::Text("8")],
        ];
        let column = LookupColumn {
            name: "mean".into(),
            numbers: Float64Array::from(vec![Some(0.25), None]),
        };
        Lookup::new(keys.into_iter().map(|key| key.into_iter()), vec![column])
    }

    #[test]
    fn a_combination_is_found_with_its_nulls_and_its_numbers_by_their_text() {
        let found = |one, other| means().number(0, [one, other].into_iter());
        assert_eq!(found(Cell::Text("red"), Cell::Text("7")), Some(0.25));
        assert_eq!(
            found(Cell::Null, Cell::Number(8.0)),
            None,
            "known, and without a number"
        );
        assert_eq!(found(Cell::Text("red"), Cell::Null), None);
    }

    #[test]
    fn what_was_saved_is_what_loads() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("user.color.parquet");
        means().save(&path).unwrap();
        let loaded = Lookup::load(&path).unwrap();
        assert_eq!(loaded.column("mean"), Some(0));
        let key = [Cell::Text("red"), Cell::Number(7.0)];
        assert_eq!(loaded.number(0, key.into_iter()), Some(0.25));
        let digest = |lookup: &Lookup| {
            let mut digest = Sha256::new();
            lookup.hash_into(&mut digest);
            digest.finalize()
        };
        assert_eq!(digest(&loaded), digest(&means()));
    }
}
