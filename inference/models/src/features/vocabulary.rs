//! Vocabularies: from the values of a categorical column to the indexes that models read.
//!
//! Index 0 is null, 1 is every value that is unknown (not seen, or too rare when the workflow was fitted), and 2 and up
//! are the known values, the most frequent first. A vocabulary that another tool made may have other [`Indexes`].

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringArray, UInt64Array};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::table::{Cell, TableError, read_parquet, text_column};
use super::texts::{Texts, with_text};

/// The index of a null, where nothing else is said.
pub const NULL: u32 = 0;
/// The index of every value that the vocabulary does not hold, where nothing else is said.
pub const UNKNOWN: u32 = 1;
/// The index of the first known value, where nothing else is said.
const FIRST: u32 = 2;

/// Which index is what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Indexes {
    /// Of a null.
    pub null: u32,
    /// Of every value that the vocabulary does not hold.
    pub unknown: u32,
    /// Of the first known value; the others follow.
    pub first: u32,
}

impl Default for Indexes {
    fn default() -> Self {
        Self {
            null: NULL,
            unknown: UNKNOWN,
            first: FIRST,
        }
    }
}

/// The known values of one categorical column.
#[derive(Debug)]
pub struct Vocabulary {
    values: Texts,
    indexes: Indexes,
}

impl Vocabulary {
    /// Takes the values that occur at least `threshold` times, the most frequent first, ties in the values' order.
    pub fn fit<'a>(cells: impl Iterator<Item = Cell<'a>>, threshold: u64) -> Self {
        let mut counts: HashMap<String, u64> = HashMap::new();
        for cell in cells {
            with_text(cell, |text| match counts.get_mut(text) {
                Some(count) => *count += 1,
                None => {
                    counts.insert(text.to_owned(), 1);
                }
            });
        }
        let mut kept: Vec<_> = counts
            .into_iter()
            .filter(|(_, count)| *count >= threshold)
            .collect();
        kept.sort_by(|(a, a_count), (b, b_count)| b_count.cmp(a_count).then_with(|| a.cmp(b)));
        Self::from_values(StringArray::from_iter_values(
            kept.into_iter().map(|(value, _)| value),
        ))
    }

    /// A vocabulary of these values in this order.
    pub fn from_values(values: StringArray) -> Self {
        Self {
            values: Texts::new(values),
            indexes: Indexes::default(),
        }
    }

    /// The same values, with other indexes.
    pub fn with_indexes(self, indexes: Indexes) -> Self {
        Self { indexes, ..self }
    }

    /// Which index is what.
    pub fn indexes(&self) -> Indexes {
        self.indexes
    }

    /// Number of indexes: the known values and what stands before them.
    pub fn cardinality(&self) -> usize {
        self.values.values().len() + self.indexes.first as usize
    }

    /// The index of a value.
    pub fn index(&self, cell: Cell<'_>) -> u32 {
        let mut index = self.indexes.null;
        with_text(cell, |text| index = self.index_of(text));
        index
    }

    /// The index of a value that is not null.
    pub(super) fn index_of(&self, text: &str) -> u32 {
        let position = self.values.position(text);
        position.map_or(self.indexes.unknown, |position| position + self.indexes.first)
    }

    /// Adds what this vocabulary holds to a digest.
    pub(crate) fn hash_into(&self, digest: &mut Sha256) {
        self.values.hash_into(digest);
    }

    /// Writes the values, in index order, as a Parquet file.
    pub(crate) fn save(&self, path: &Path) -> Result<(), TableError> {
        let values = self.values.values();
        let first = u64::from(self.indexes.first);
        let indexes = UInt64Array::from_iter_values((0..values.len() as u64).map(|i| i + first));
        let batch = RecordBatch::try_from_iter([
            ("index", Arc::new(indexes) as ArrayRef),
            ("value", Arc::new(values.clone()) as ArrayRef),
        ])
        .map_err(|source| TableError::Arrow {
            path: path.to_owned(),
            source,
        })?;
        write_parquet(path, &batch)
    }

    /// Reads what [`Vocabulary::save`] wrote.
    pub(crate) fn load(path: &Path) -> Result<Self, TableError> {
        let batch = read_parquet(path)?;
        Ok(Self::from_values(text_column(&batch, "value", path)?))
    }
}

/// Writes one batch as a Parquet file.
pub fn write_parquet(path: &Path, batch: &RecordBatch) -> Result<(), TableError> {
    let parquet = |source| TableError::Parquet {
        path: path.to_owned(),
        source,
    };
    let file = File::create(path).map_err(|source| TableError::File {
        path: path.to_owned(),
        source,
    })?;
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).map_err(parquet)?;
    writer.write(batch).map_err(parquet)?;
    writer.close().map_err(parquet)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn colors() -> Vocabulary {
        let cells = ["red", "blue", "red", "green", "blue", "red"].map(Cell::Text);
        Vocabulary::fit(cells.into_iter().chain([Cell::Null]), 2)
    }

    #[test]
    fn null_and_unknown_have_their_own_indexes_and_frequent_values_come_first() {
        let colors = colors();
        assert_eq!(colors.cardinality(), 4);
        let index = |cell| colors.index(cell);
        assert_eq!(index(Cell::Null), NULL);
        assert_eq!(index(Cell::Number(f64::NAN)), NULL);
        assert_eq!(
            index(Cell::Text("green")),
            UNKNOWN,
            "seen once, below the threshold"
        );
        assert_eq!(index(Cell::Text("red")), 2);
        assert_eq!(index(Cell::Text("blue")), 3);
    }

    #[test]
    fn the_number_7_and_the_text_7_are_one_category() {
        let vocabulary = Vocabulary::fit([Cell::Text("7")].into_iter(), 1);
        assert_eq!(vocabulary.index(Cell::Number(7.0)), 2);
    }

    #[test]
    fn what_was_saved_is_what_loads() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("item.color.parquet");
        colors().save(&path).unwrap();
        assert_eq!(Vocabulary::load(&path).unwrap().index(Cell::Text("blue")), 3);
    }
}
