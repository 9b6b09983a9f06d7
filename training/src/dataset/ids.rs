//! Ids as whole numbers: each id of a column once, and then the ids of users or of items together, in order.

use std::fs::File;
use std::hash::BuildHasher;

use arrow::array::{Array as _, AsArray, Int32Array, StringArray};
use hashbrown::{DefaultHashBuilder, HashTable};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::ParquetError;

use super::cells::{Spelling, whole};
use super::error::DatasetError;
use super::side::Side;
use super::tables::Tables;

/// Texts, one after the other in one place: a million of them cost little more than their letters.
#[derive(Debug, Default)]
struct Texts {
    letters: String,
    ends: Vec<usize>,
}

impl Texts {
    fn push(&mut self, text: &str) {
        self.letters.push_str(text);
        self.ends.push(self.letters.len());
    }

    fn len(&self) -> usize {
        self.ends.len()
    }

    fn get(&self, place: usize) -> &str {
        let start = place.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.letters[start..self.ends[place]]
    }
}

/// The different ids of a column, in the order in which they were met.
#[derive(Debug, Default)]
pub(super) struct SeenIds {
    texts: Texts,
    places: HashTable<u32>,
    hasher: DefaultHashBuilder,
    /// How often each was met.
    times: Vec<u32>,
    spelling: Spelling,
}

impl SeenIds {
    /// Adds the ids of some rows, and gives the places of each.
    pub(super) fn add(&mut self, ids: &StringArray) -> Int32Array {
        self.spelling.add(ids);
        let places = (0..ids.len()).map(|row| self.place(ids.value(row)) as i32);
        Int32Array::from_iter_values(places)
    }

    fn place(&mut self, id: &str) -> u32 {
        let Self {
            texts,
            places,
            hasher,
            times,
            ..
        } = self;
        let hash = hasher.hash_one(id);
        let found = places.find(hash, |place| texts.get(*place as usize) == id);
        if let Some(place) = found {
            times[*place as usize] += 1;
            return *place;
        }
        let place = texts.len() as u32;
        texts.push(id);
        times.push(1);
        places.insert_unique(hash, place, |place| hasher.hash_one(texts.get(*place as usize)));
        place
    }

    /// Whether the column was written as floats, and is taken for whole numbers.
    pub(super) fn are_floats(&self) -> bool {
        self.spelling.is_of_floats()
    }

    /// How many different ids there are.
    pub(super) fn len(&self) -> usize {
        self.texts.len()
    }

    /// The id of a place, without the zeros of a program that took ids for floats.
    fn id(&self, place: usize) -> &str {
        let id = self.texts.get(place);
        if self.are_floats() { whole(id) } else { id }
    }
}

/// All ids of users or of items: an id's number is its place in the order of their texts.
#[derive(Debug, Default)]
pub struct Ids(Texts);

/// The table of them: their numbers, their texts, whether they were sold, and their places in the shop's own file.
pub(super) fn table(side: Side) -> String {
    format!("ids_of_{}", side.view())
}

impl Ids {
    /// Reads them back.
    pub(super) fn read(tables: &Tables, side: Side) -> Result<Self, DatasetError> {
        let read = || -> Result<Texts, ParquetError> {
            let file = File::open(tables.path(&table(side)))?;
            let mut texts = Texts::default();
            for batch in ParquetRecordBatchReaderBuilder::try_new(file)?.build()? {
                let batch = batch?;
                let ids = batch.column_by_name(side.id()).map(|ids| ids.as_string::<i32>());
                ids.into_iter().flatten().flatten().for_each(|id| texts.push(id));
            }
            Ok(texts)
        };
        read().map(Self).map_err(DatasetError::Staging)
    }

    /// The id of a number. Panics past the last, as a slice does.
    pub fn id(&self, number: u32) -> &str {
        self.0.get(number as usize)
    }
}

/// All ids, and where they were met.
#[derive(Debug, Default)]
pub(super) struct NumberedIds {
    texts: Texts,
    /// Whether somebody bought, or it was sold.
    pub(super) sold: Vec<bool>,
    /// The place among the ids of the shop's own file, where it has the id.
    pub(super) known: Vec<Option<i32>>,
}

/// An id that is in several rows of a file.
pub(super) struct Repeated {
    pub(super) id: String,
    pub(super) rows: u32,
}

impl NumberedIds {
    /// Puts the ids of transactions and those of the shop's file together; the file may have each only once. Gives
    /// the number of each id of transactions as well, by its place there.
    pub(super) fn of(sold: &SeenIds, known: &SeenIds) -> Result<(Self, Vec<i32>), Repeated> {
        let mut order: Vec<(&str, Source)> = Vec::with_capacity(sold.len() + known.len());
        order.extend((0..sold.len()).map(|place| (sold.id(place), Source::Sold(place))));
        order.extend((0..known.len()).map(|place| (known.id(place), Source::Known(place))));
        order.sort_unstable();
        let (mut ids, mut numbers) = (Self::default(), vec![0; sold.len()]);
        for same in order.chunk_by(|one, other| one.0 == other.0) {
            ids.add(same, known, &mut numbers)?;
        }
        Ok((ids, numbers))
    }

    fn add(&mut self, same: &[(&str, Source)], known: &SeenIds, numbers: &mut [i32]) -> Result<(), Repeated> {
        let (number, mut rows) = (self.len() as i32, 0);
        self.texts.push(same[0].0);
        self.sold.push(false);
        self.known.push(None);
        for (_, source) in same {
            match source {
                Source::Sold(place) => {
                    numbers[*place] = number;
                    self.sold[number as usize] = true;
                }
                Source::Known(place) => {
                    rows += known.times[*place];
                    self.known[number as usize] = Some(*place as i32);
                }
            }
        }
        if rows > 1 {
            let id = same[0].0.to_owned();
            return Err(Repeated { id, rows });
        }
        Ok(())
    }

    /// The id of a number. Panics past the last, as a slice does.
    pub(super) fn id(&self, number: u32) -> &str {
        self.texts.get(number as usize)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.texts.len()
    }
}

/// Where an id was met, and its place there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    Sold(usize),
    Known(usize),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(ids: &[&str]) -> SeenIds {
        let mut seen = SeenIds::default();
        seen.add(&StringArray::from_iter_values(ids));
        seen
    }

    #[test]
    fn numbers_follow_the_order_of_the_texts() {
        let mut sold = SeenIds::default();
        let places = sold.add(&StringArray::from_iter_values(["c", "a", "c"]));
        assert_eq!(places.values(), &[0, 1, 0]);
        let (ids, numbers) =
            NumberedIds::of(&sold, &seen(&["b", "a"])).unwrap_or_else(|same| panic!("{}", same.id));
        assert_eq!([0, 1, 2].map(|number| ids.id(number)), ["a", "b", "c"]);
        assert_eq!(numbers, [2, 0], "c and a");
        assert_eq!(ids.sold, [true, false, true]);
        assert_eq!(ids.known, [Some(1), Some(0), None]);
    }

    #[test]
    fn floats_are_the_whole_numbers_that_the_other_file_has() {
        let (ids, numbers) =
            NumberedIds::of(&seen(&["1025.0", "7"]), &seen(&["1025"])).unwrap_or_else(|_| panic!());
        assert_eq!((ids.len(), ids.id(0), numbers), (2, "1025", vec![0, 1]));
    }

    #[test]
    fn an_id_that_a_file_has_twice_is_named_with_its_rows() {
        let twice = NumberedIds::of(&seen(&["a"]), &seen(&["b", "a", "b"]))
            .err()
            .unwrap();
        assert_eq!((twice.id.as_str(), twice.rows), ("b", 2));
    }
}
