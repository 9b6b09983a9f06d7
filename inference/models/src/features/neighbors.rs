//! Which items are bought by the same users: the base of the `co-bought` source.
//!
//! Item-based collaborative filtering (Sarwar et al. 2001): two items are as near as the cosine of the angle between their columns
//! in the table of who bought what.

use std::cmp::Ordering;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float32Array, StringArray};
use arrow::record_batch::RecordBatch;
use hashbrown::HashMap;

use super::groups::Groups;
use super::table::{RawTable, TableError, number_column, read_parquet, text_column};
use super::vocabulary::write_parquet;

/// The file of a features bundle that holds them.
pub const NEIGHBOURS: &str = "neighbours.parquet";

/// An item that is bought by those who buy another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbor {
    /// Its row in the catalog.
    pub item: u32,
    /// How near it is: above 0, at most 1.
    pub similarity: f32,
}

/// The nearest neighbors of every item, the nearest first.
#[derive(Debug, Default)]
pub struct Neighbors(Groups<Neighbor>);

impl Neighbors {
    /// Takes (item row, neighbor) in any order.
    pub fn new(items: usize, mut rows: Vec<(u32, Neighbor)>) -> Self {
        rows.sort_by(|(a, first), (b, second)| a.cmp(b).then_with(|| nearest_first(first, second)));
        Self(Groups::new(items, rows))
    }

    /// Reads what [`save`] wrote; rows of items that the table does not have are left out.
    pub fn read(path: &Path, items: &RawTable) -> Result<Self, TableError> {
        let batch = read_parquet(path)?;
        let of = text_column(&batch, "item_id", path)?;
        let neighbors = text_column(&batch, "neighbour_id", path)?;
        let similarities = number_column(&batch, "similarity", path)?;
        let row = |place: usize| {
            let neighbor = Neighbor {
                item: items.find(neighbors.value(place))? as u32,
                similarity: similarities.value(place) as f32,
            };
            Some((items.find(of.value(place))? as u32, neighbor))
        };
        Ok(Self::new(
            items.len(),
            (0..batch.num_rows()).filter_map(row).collect(),
        ))
    }

    /// What is near to any of some items, with the sum of its similarities to them, the nearest first.
    pub fn nearest_to(&self, items: impl Iterator<Item = u32>) -> Vec<Neighbor> {
        let mut sums: HashMap<u32, f32> = HashMap::new();
        for neighbor in items.flat_map(|item| self.of(item)) {
            *sums.entry(neighbor.item).or_default() += neighbor.similarity;
        }
        let summed = |(item, similarity)| Neighbor { item, similarity };
        let mut ranked: Vec<Neighbor> = sums.into_iter().map(summed).collect();
        ranked.sort_unstable_by(nearest_first);
        ranked
    }

    /// The neighbors of an item; none for one that came later.
    pub fn of(&self, item: u32) -> &[Neighbor] {
        self.0.of(item as usize)
    }
}

/// The order of neighbors: of equally near ones, the earlier row comes first.
pub fn nearest_first(a: &Neighbor, b: &Neighbor) -> Ordering {
    b.similarity
        .total_cmp(&a.similarity)
        .then_with(|| a.item.cmp(&b.item))
}

/// Writes the neighbors of items as a Parquet file (item_id, neighbour_id, similarity).
pub fn save(neighbors: &Neighbors, items: &RawTable, path: &Path) -> Result<(), TableError> {
    let of_item = |item: u32| neighbors.of(item).iter().map(move |neighbor| (item, neighbor));
    let rows: Vec<(u32, &Neighbor)> = (0..items.len() as u32).flat_map(of_item).collect();
    let id = |row: u32| items.id(row as usize);
    let ids = StringArray::from_iter_values(rows.iter().map(|(item, _)| id(*item)));
    let of = StringArray::from_iter_values(rows.iter().map(|(_, neighbor)| id(neighbor.item)));
    let similarities = Float32Array::from_iter_values(rows.iter().map(|(_, neighbor)| neighbor.similarity));
    let batch = RecordBatch::try_from_iter([
        ("item_id", Arc::new(ids) as ArrayRef),
        ("neighbour_id", Arc::new(of) as ArrayRef),
        ("similarity", Arc::new(similarities) as ArrayRef),
    ])
    .map_err(|source| TableError::Arrow {
        path: path.to_owned(),
        source,
    })?;
    write_parquet(path, &batch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_with_the_nearest_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("neighbours.parquet");
        let ids = StringArray::from(vec!["a", "b", "c"]);
        let batch = RecordBatch::try_from_iter([("item_id", Arc::new(ids) as ArrayRef)]).unwrap();
        let items = RawTable::from_batch(&batch, "item_id", &path).unwrap();
        let near = |item, similarity| Neighbor { item, similarity };
        let neighbors = Neighbors::new(3, vec![(0, near(1, 0.25)), (0, near(2, 0.5)), (2, near(0, 0.5))]);
        save(&neighbors, &items, &path).unwrap();
        let read = Neighbors::read(&path, &items).unwrap();
        assert_eq!(read.of(0), [near(2, 0.5), near(1, 0.25)]);
        assert!(read.of(1).is_empty());
        assert_eq!(read.of(2), [near(0, 0.5)]);
        assert!(read.of(9).is_empty());
    }
}
