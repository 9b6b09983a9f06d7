//! Texts that are found by their position: what vocabularies and lookups are made of.

use std::hash::BuildHasher;

use arrow::array::{Array, StringArray};
use hashbrown::HashTable;
use sha2::{Digest, Sha256};

use super::table::Cell;

/// Different texts, in order. A look-up is one hash and one comparison, whatever their number.
#[derive(Debug)]
pub(crate) struct Texts {
    values: StringArray,
    positions: HashTable<u32>,
    hasher: hashbrown::DefaultHashBuilder,
}

impl Texts {
    /// These texts in this order.
    pub(crate) fn new(values: StringArray) -> Self {
        let hasher = hashbrown::DefaultHashBuilder::default();
        let mut positions = HashTable::with_capacity(values.len());
        for position in 0..values.len() {
            let hash = hasher.hash_one(values.value(position));
            positions.insert_unique(hash, position as u32, |other| {
                hasher.hash_one(values.value(*other as usize))
            });
        }
        Self {
            values,
            positions,
            hasher,
        }
    }

    /// The texts.
    pub(crate) fn values(&self) -> &StringArray {
        &self.values
    }

    /// Where a text stands.
    pub(crate) fn position(&self, text: &str) -> Option<u32> {
        let hash = self.hasher.hash_one(text);
        self.positions
            .find(hash, |position| self.values.value(*position as usize) == text)
            .copied()
    }

    /// Adds them to a digest: each text's length and bytes, in order.
    pub(crate) fn hash_into(&self, digest: &mut Sha256) {
        for value in self.values.iter().flatten() {
            digest.update((value.len() as u64).to_le_bytes());
            digest.update(value);
        }
    }
}

/// Calls `use_text` with a categorical value as text, unless it is null. Whole numbers lose their point, so that the
/// number 7 and the text "7" are one category.
pub(crate) fn with_text(cell: Cell<'_>, use_text: impl FnOnce(&str)) {
    match cell {
        Cell::Null => {}
        Cell::Text(text) => use_text(text),
        Cell::Number(number) if number.is_finite() => use_text(&number.to_string()),
        Cell::Number(_) => {}
    }
}

/// Several values as one text, a JSON array of texts and nulls: `["red",null]`.
pub(crate) fn tuple<'a>(cells: impl Iterator<Item = Cell<'a>>) -> String {
    let parts: Vec<Option<String>> = cells
        .map(|cell| {
            let mut part = None;
            with_text(cell, |text| part = Some(text.to_owned()));
            part
        })
        .collect();
    serde_json::to_string(&parts).expect("texts and nulls are always JSON")
}
