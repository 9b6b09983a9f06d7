//! What makes one input of a model out of a raw row.
//!
//! A column reads one raw value, or the combination of several, or one element of a list. A [`CategoricalColumn`] gives an index, a
//! [`NumericColumn`] a number. Columns share the [`Vocabulary`] or the [`Lookup`] that they were fitted with.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::list::ListElement;
use super::lookup::Lookup;
use super::operation::{Operation, apply_all};
use super::table::{Cell, Cells};
use super::texts::tuple;
use super::vocabulary::{Indexes, Vocabulary};

/// How many standard deviations from the training mean a value that is put while models serve may be. Networks
/// multiply what they read a few times with itself; from here that stays far from where `f32` ends.
pub const FURTHEST: f32 = 1e6;

/// A raw value, and what is done to it before it is looked up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// The raw column.
    pub column: String,
    /// Steps of a number, in order; none leave the value as it is, a text too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operations: Vec<Operation>,
}

impl Reading {
    /// The value of a column as it is.
    pub fn of(column: &str) -> Self {
        Self {
            column: column.to_owned(),
            operations: vec![],
        }
    }

    fn cell<'a>(&self, raw: &'a impl Cells) -> Cell<'a> {
        let cell = raw.cell(&self.column);
        if self.operations.is_empty() {
            return cell;
        }
        apply_all(&self.operations, cell.as_number()).map_or(Cell::Null, Cell::Number)
    }

    fn is_number(&self) -> bool {
        !self.operations.is_empty()
    }
}

/// A categorical column.
#[derive(Clone, Debug)]
pub struct CategoricalColumn {
    /// Its name among the inputs of models.
    pub column: String,
    /// What it reads: one raw value, or several whose combination is the category.
    pub reads: Vec<Reading>,
    /// What makes an index of that.
    pub encoding: Encoding,
}

/// What makes an index of a value.
#[derive(Clone, Debug)]
pub enum Encoding {
    /// Its place in a vocabulary.
    Vocabulary(NamedVocabulary),
    /// The place of one element of a list.
    Element(ListElement, NamedVocabulary),
    /// It is a whole number below this, and its own index: [`Operation::Bucket`] gives such numbers.
    Buckets(u32),
}

/// A vocabulary, and the name of its file, by which several columns share it.
#[derive(Clone, Debug)]
pub struct NamedVocabulary {
    /// The name.
    pub name: String,
    /// The known values.
    pub vocabulary: Arc<Vocabulary>,
}

impl CategoricalColumn {
    /// A raw column with a vocabulary of its own.
    pub fn of(column: &str, vocabulary: Vocabulary) -> Self {
        Self {
            column: column.to_owned(),
            reads: vec![Reading::of(column)],
            encoding: Encoding::Vocabulary(NamedVocabulary {
                name: column.to_owned(),
                vocabulary: Arc::new(vocabulary),
            }),
        }
    }

    /// The index of what a row has.
    pub fn index(&self, raw: &impl Cells) -> u32 {
        match self.reads.as_slice() {
            [value] => self.index_of(value.cell(raw)),
            several => self.index_of_tuple(several.iter().map(|reading| reading.cell(raw))),
        }
    }

    fn index_of(&self, cell: Cell<'_>) -> u32 {
        match &self.encoding {
            Encoding::Vocabulary(named) => named.vocabulary.index(cell),
            Encoding::Element(element, named) => element.index(cell, &named.vocabulary),
            Encoding::Buckets(count) => {
                let last = count.saturating_sub(1);
                cell.as_number().map_or(last, |bucket| (bucket as u32).min(last))
            }
        }
    }

    fn index_of_tuple<'a>(&self, cells: impl Iterator<Item = Cell<'a>> + Clone) -> u32 {
        let Some(vocabulary) = self.vocabulary() else {
            return 0;
        };
        match cells.clone().all(|cell| cell == Cell::Null) {
            true => vocabulary.indexes().null,
            false => vocabulary.index_of(&tuple(cells)),
        }
    }

    /// The vocabulary, if its indexes come from one.
    pub fn vocabulary(&self) -> Option<&Vocabulary> {
        self.named_vocabulary().map(|named| &*named.vocabulary)
    }

    pub(super) fn named_vocabulary(&self) -> Option<&NamedVocabulary> {
        match &self.encoding {
            Encoding::Vocabulary(named) | Encoding::Element(_, named) => Some(named),
            Encoding::Buckets(_) => None,
        }
    }

    /// The vocabulary of a column that reads the raw one of its name and nothing else.
    pub(super) fn own_vocabulary(&self) -> Option<&Vocabulary> {
        match (self.reads.as_slice(), &self.encoding) {
            ([read], Encoding::Vocabulary(named)) => {
                let is_own = read.column == self.column && named.name == self.column && !read.is_number();
                is_own.then_some(&named.vocabulary)
            }
            _ => None,
        }
    }

    /// Number of indexes.
    pub fn cardinality(&self) -> usize {
        match &self.encoding {
            Encoding::Vocabulary(named) | Encoding::Element(_, named) => named.vocabulary.cardinality(),
            Encoding::Buckets(count) => *count as usize,
        }
    }

    /// Which of its indexes are of known values.
    pub fn known(&self) -> KnownIndexes {
        match &self.encoding {
            Encoding::Vocabulary(named) => KnownIndexes::of(named.vocabulary.indexes()),
            Encoding::Element(element, named) => KnownIndexes {
                pad: Some(element.pad),
                ..KnownIndexes::of(named.vocabulary.indexes())
            },
            Encoding::Buckets(_) => KnownIndexes::default(),
        }
    }

    pub(super) fn raw_columns(&self) -> impl Iterator<Item = (&str, bool)> {
        let reads = self.reads.iter();
        reads.map(|read| (read.column.as_str(), read.is_number()))
    }
}

/// Which indexes of a categorical column are not of known values.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct KnownIndexes {
    null: Option<u32>,
    unknown: Option<u32>,
    pad: Option<u32>,
}

impl KnownIndexes {
    fn of(indexes: Indexes) -> Self {
        Self {
            null: Some(indexes.null),
            unknown: Some(indexes.unknown),
            pad: None,
        }
    }

    /// Whether there was a value at all.
    pub fn is_value(&self, index: u32) -> bool {
        ![self.null, self.pad].contains(&Some(index))
    }

    /// Whether there was a value, and a known one.
    pub fn is_known(&self, index: u32) -> bool {
        self.is_value(index) && self.unknown != Some(index)
    }
}

/// A numeric column and what is done to it.
#[derive(Clone, Debug)]
pub struct NumericColumn {
    /// Its name among the inputs of models.
    pub column: String,
    /// Where its number comes from.
    pub source: NumberSource,
    /// The steps, in order. What is still missing after the last becomes 0.
    pub operations: Vec<Operation>,
}

/// Where a number comes from.
#[derive(Clone, Debug)]
pub enum NumberSource {
    /// A raw column.
    Raw(String),
    /// What was learned of the categories that a row has.
    Lookup {
        /// The categories.
        reads: Vec<Reading>,
        /// The name of the lookup's file, by which several columns share it.
        name: String,
        /// The numbers.
        lookup: Arc<Lookup>,
        /// Which of its columns.
        value: usize,
    },
}

impl NumericColumn {
    /// The raw column of this name.
    pub fn of(column: &str, operations: Vec<Operation>) -> Self {
        Self {
            column: column.to_owned(),
            source: NumberSource::Raw(column.to_owned()),
            operations,
        }
    }

    /// The encoded value of what a row has; never NaN.
    pub fn read(&self, raw: &impl Cells) -> f32 {
        let number = match &self.source {
            NumberSource::Raw(column) => raw.cell(column).as_number(),
            NumberSource::Lookup {
                reads, lookup, value, ..
            } => lookup.number(*value, reads.iter().map(|reading| reading.cell(raw))),
        };
        self.encode(number)
    }

    /// The encoded value of a raw one; never NaN.
    pub fn encode(&self, value: Option<f64>) -> f32 {
        let value = value.filter(|value| value.is_finite());
        apply_all(&self.operations, value).unwrap_or(0.0) as f32
    }

    /// Whether models can be given this encoded value: one that is finite, and at most [`FURTHEST`] where the column is
    /// normalized. Other columns have no measure of what is far.
    pub fn admits(&self, encoded: f32) -> bool {
        let is_normalized = self.operations.iter().any(Operation::scales);
        encoded.abs() <= if is_normalized { FURTHEST } else { f32::MAX }
    }

    /// The raw column that it is made of, if it is made of a single number.
    pub fn raw_column(&self) -> Option<&str> {
        match &self.source {
            NumberSource::Raw(column) => Some(column),
            NumberSource::Lookup { .. } => None,
        }
    }

    pub(super) fn raw_columns(&self) -> impl Iterator<Item = (&str, bool)> {
        let (own, reads) = match &self.source {
            NumberSource::Raw(column) => (Some((column.as_str(), true)), [].as_slice()),
            NumberSource::Lookup { reads, .. } => (None, reads.as_slice()),
        };
        let reads = reads.iter();
        own.into_iter()
            .chain(reads.map(|read| (read.column.as_str(), read.is_number())))
    }
}
