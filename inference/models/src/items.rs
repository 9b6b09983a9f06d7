//! The items of a variant: what is known of each, and those that were put since the bundles were published.
//!
//! An item is a row number everywhere inside a request. Rows of the snapshot come first; a new item gets the next number,
//! and a changed one keeps its own, so that purchases and indexes that name it stay right. What each model needs of an
//! item is computed once, when the item is loaded or put.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, Guard};

use crate::features::table::TableRow;
use crate::features::{Cell, Cells, EncodedRow, EncodedTable, ItemId, RawRow, RawTable};
use crate::memory::zeros_on_huge_pages;
use crate::scoring::{Loaded, SampledBy, Scorer};

/// How many items may be put before the next bundles: requests compare the user with each of them, 10,000 x 64 products
/// in about a fifth of a millisecond.
pub const MAX_PUT_ITEMS: usize = 10_000;

/// There is no room for another item.
#[derive(Debug, thiserror::Error)]
#[error("{MAX_PUT_ITEMS} items were already put, the maximum for a pod; publish new bundles")]
pub struct TooManyItems;

/// An item that was put.
#[derive(Debug)]
pub struct PutItem {
    /// Its row.
    pub row: u32,
    /// Its id.
    pub id: ItemId,
    /// Its raw features.
    pub raw: RawRow,
    /// Its encoded features.
    pub encoded: EncodedRow,
    /// What the scorer keeps of it.
    pub block: Vec<f32>,
    /// What its odds are multiplied by.
    pub weight: f32,
    /// Its place in the space of the two towers.
    pub vector: Vec<f32>,
    /// Its place in the space of texts, if it has a text.
    pub text_vector: Option<Vec<f32>>,
}

/// What a `PUT` computed of an item.
#[derive(Debug)]
pub struct NewItem {
    /// Its raw features.
    pub raw: RawRow,
    /// Its encoded features.
    pub encoded: EncodedRow,
    /// What the scorer keeps of it; see [`block`].
    pub block: Vec<f32>,
    /// What its odds are multiplied by; see [`weight`].
    pub weight: f32,
    /// Its place in the space of the two towers.
    pub vector: Vec<f32>,
    /// Its place in the space of texts, if it has a text.
    pub text_vector: Option<Vec<f32>>,
}

#[derive(Debug, Default, Clone)]
struct Put {
    /// How often something was put.
    version: u64,
    items: Vec<Arc<PutItem>>,
    /// Where in `items` a row is.
    rows: HashMap<u32, usize>,
    ids: HashMap<ItemId, u32>,
    /// Columns of rows of the snapshot that rules alone read.
    for_rules: HashMap<u32, Arc<RawRow>>,
    /// Rows that are in no answer.
    withdrawn: HashMap<u32, Withdrawn>,
}

/// Why an item is in no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Withdrawn {
    /// It may not be shown now.
    Blocked,
    /// It is no longer in the catalog.
    Deleted,
}

/// What is known of an item.
#[derive(Debug)]
pub enum ItemFeatures {
    /// What the snapshot says.
    Snapshot,
    /// That as well, as far as models and texts go; of these columns rules see other values.
    ForRules(RawRow),
    /// Something else. Of these there are [`MAX_PUT_ITEMS`] at most.
    New(NewItem),
}

/// What an item becomes.
#[derive(Debug)]
pub struct ItemNow {
    /// What is known of it.
    pub features: ItemFeatures,
    /// Whether it is in no answer.
    pub withdrawn: Option<Withdrawn>,
}

/// The items of one variant.
pub struct Items {
    table: Arc<RawTable>,
    encoded: Arc<EncodedTable>,
    block_width: usize,
    blocks: Vec<f32>,
    /// What each row's odds are multiplied by; see [`weight`].
    weights: Vec<f32>,
    /// Rows of the snapshot, the most popular first.
    popular: Vec<u32>,
    put: ArcSwap<Put>,
    /// One `PUT` at a time; requests never take it.
    writing: Mutex<()>,
}

impl Items {
    /// The items of a snapshot, prepared for one scorer. `popularity` is the raw column that orders popular items.
    pub fn new(
        table: impl Into<Arc<RawTable>>,
        encoded: impl Into<Arc<EncodedTable>>,
        popularity: &str,
        loaded: &Loaded,
    ) -> Self {
        let (table, encoded) = (table.into(), encoded.into());
        let block_width = loaded.scorer.block_width();
        let mut blocks = zeros_on_huge_pages(encoded.rows() * block_width);
        loaded.scorer.prepare(&encoded, &mut blocks);
        let column = loaded.sampled_by.as_ref();
        let weights = (0..table.len())
            .map(|row| weight(&table.row(row), column))
            .collect();
        let popular = by_popularity(&table, popularity);
        Self {
            table,
            encoded,
            block_width,
            blocks,
            weights,
            popular,
            put: ArcSwap::default(),
            writing: Mutex::new(()),
        }
    }

    /// What one request sees: nothing changes under it.
    pub fn view(&self) -> ItemsView<'_> {
        ItemsView {
            items: self,
            put: self.put.load(),
        }
    }

    /// Number of items in the snapshot.
    pub fn snapshot_len(&self) -> usize {
        self.encoded.rows()
    }

    /// The encoded rows of the snapshot.
    pub(crate) fn encoded(&self) -> &EncodedTable {
        &self.encoded
    }

    /// The raw rows of the snapshot.
    pub fn table(&self) -> &RawTable {
        &self.table
    }

    /// Makes items what they are now. Served from the next request on; nothing is changed where there is no room for all of them.
    pub fn set(&self, changes: Vec<(ItemId, ItemNow)>) -> Result<(), TooManyItems> {
        let _one_at_a_time = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut put = Put::clone(&self.put.load());
        put.version += 1;
        for (id, now) in changes {
            put.set(id, now, self)?;
        }
        self.put.store(Arc::new(put));
        Ok(())
    }
}

impl Put {
    fn set(&mut self, id: ItemId, now: ItemNow, items: &Items) -> Result<(), TooManyItems> {
        let known = self.row(&id, items);
        let is_new = matches!(now.features, ItemFeatures::New(_));
        let Some(row) = known.or_else(|| is_new.then(|| self.next_row(items))) else {
            // Whatever is taken back was never here.
            return Ok(());
        };
        match now.withdrawn {
            Some(why) => self.withdrawn.insert(row, why),
            None => self.withdrawn.remove(&row),
        };
        self.for_rules.remove(&row);
        match now.features {
            ItemFeatures::New(new) => return self.insert(row, id, new, items),
            ItemFeatures::ForRules(columns) => {
                self.for_rules.insert(row, Arc::new(columns));
            }
            ItemFeatures::Snapshot => {}
        }
        self.remove(row, items);
        Ok(())
    }

    fn row(&self, id: &ItemId, items: &Items) -> Option<u32> {
        let put = self.ids.get(id).copied();
        put.or_else(|| items.table.find(id.as_str()).map(|row| row as u32))
    }

    fn next_row(&self, items: &Items) -> u32 {
        (items.snapshot_len() + self.ids.len()) as u32
    }

    fn insert(&mut self, row: u32, id: ItemId, new: NewItem, items: &Items) -> Result<(), TooManyItems> {
        let slot = self.rows.get(&row).copied().unwrap_or(self.items.len());
        if slot == MAX_PUT_ITEMS {
            return Err(TooManyItems);
        }
        if row as usize >= items.snapshot_len() {
            self.ids.insert(id.clone(), row);
        }
        self.rows.insert(row, slot);
        let NewItem {
            raw,
            encoded,
            block,
            weight,
            vector,
            text_vector,
        } = new;
        let item = Arc::new(PutItem {
            row,
            id,
            raw,
            encoded,
            block,
            weight,
            vector,
            text_vector,
        });
        match self.items.get_mut(slot) {
            Some(present) => *present = item,
            None => self.items.push(item),
        }
        Ok(())
    }

    /// Takes back what was put of a row of the snapshot. A row that came later keeps its features: its number means it for good.
    fn remove(&mut self, row: u32, items: &Items) {
        if row as usize >= items.snapshot_len() {
            return;
        }
        if let Some(slot) = self.rows.remove(&row) {
            self.items.swap_remove(slot);
            if let Some(moved) = self.items.get(slot) {
                self.rows.insert(moved.row, slot);
            }
        }
    }
}

/// All items, as they were when a request began.
pub struct ItemsView<'a> {
    items: &'a Items,
    put: Guard<Arc<Put>>,
}

impl ItemsView<'_> {
    /// Number of items.
    pub fn len(&self) -> usize {
        self.items.snapshot_len() + self.put.ids.len()
    }

    /// Whether there are no items.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The row of an id that is in the catalog.
    pub fn find(&self, id: &ItemId) -> Option<u32> {
        let row = self.put.row(id, self.items)?;
        (self.put.withdrawn.get(&row) != Some(&Withdrawn::Deleted)).then_some(row)
    }

    /// Why an item is in no answer, if it isn't.
    pub fn withdrawn(&self, row: u32) -> Option<Withdrawn> {
        if self.put.withdrawn.is_empty() {
            return None;
        }
        self.put.withdrawn.get(&row).copied()
    }

    /// Whether another item can be put.
    pub fn has_room(&self) -> bool {
        self.put.items.len() < MAX_PUT_ITEMS
    }

    /// A raw value of a row.
    pub fn cell(&self, row: u32, column: &str) -> Cell<'_> {
        match self.put_item(row) {
            Some(item) => item.raw.cell(column),
            None => match self.for_rules(row).and_then(|columns| columns.0.get(column)) {
                Some(value) => value.into(),
                None => self.items.table.row(row as usize).value(column),
            },
        }
    }

    /// The raw row of an id in the snapshot.
    pub fn snapshot_row(&self, id: &ItemId) -> Option<TableRow<'_>> {
        let row = self.items.table.find(id.as_str())?;
        Some(self.items.table.row(row))
    }

    /// The id of a row. Panics past the last row, as a slice does.
    pub fn id(&self, row: u32) -> ItemId {
        match self.put_item(row) {
            Some(item) => item.id.clone(),
            None => self.items.table.id(row as usize).into(),
        }
    }

    /// The categorical indexes of a row.
    pub fn categorical(&self, row: u32) -> &[u32] {
        match self.put_item(row) {
            Some(item) => &item.encoded.categorical,
            None => self.items.encoded.categorical(row as usize),
        }
    }

    /// The encoded features of a row.
    pub fn encoded(&self, row: u32) -> EncodedRow {
        match self.put_item(row) {
            Some(item) => item.encoded.clone(),
            None => self.items.encoded.row(row as usize),
        }
    }

    /// What the scorer keeps of a row.
    pub fn block(&self, row: u32) -> &[f32] {
        match self.put_item(row) {
            Some(item) => &item.block,
            None => &self.items.blocks[row as usize * self.items.block_width..][..self.items.block_width],
        }
    }

    /// What the row's odds are multiplied by.
    pub fn weight(&self, row: u32) -> f32 {
        self.put_item(row)
            .map_or_else(|| self.items.weights[row as usize], |item| item.weight)
    }

    /// Whether the row's features were changed since the bundles were published, so that indexes have its old vector.
    pub fn is_put(&self, row: u32) -> bool {
        self.put_item(row).is_some()
    }

    /// A number that is another one after each `PUT`, and 0 before the first.
    pub(crate) fn version(&self) -> u64 {
        self.put.version
    }

    /// Which of [`Self::put_items`] is in this row.
    pub(crate) fn put_slot(&self, row: u32) -> Option<usize> {
        self.put.rows.get(&row).copied()
    }

    /// Columns of a row of the snapshot of which rules see other values.
    pub(crate) fn for_rules(&self, row: u32) -> Option<&RawRow> {
        self.put.for_rules.get(&row).map(Arc::as_ref)
    }

    /// Everything that was put.
    pub fn put_items(&self) -> impl Iterator<Item = &PutItem> {
        self.put.items.iter().map(Arc::as_ref)
    }

    /// What was put in this row.
    pub fn put_item(&self, row: u32) -> Option<&PutItem> {
        if self.put.items.is_empty() {
            return None;
        }
        self.put.rows.get(&row).map(|slot| self.put.items[*slot].as_ref())
    }

    /// Rows of the snapshot, the most popular first.
    pub fn popular(&self) -> &[u32] {
        &self.items.popular
    }
}

/// What a scorer keeps of one item.
pub fn block(encoded: &EncodedRow, scorer: &dyn Scorer) -> Vec<f32> {
    let mut one = EncodedTable::new(encoded.categorical.len(), encoded.numeric.len());
    one.push(encoded);
    let mut block = vec![0.0; scorer.block_width()];
    scorer.prepare(&one, &mut block);
    block
}

/// What an item's odds are multiplied by: its value in the column that negatives were drawn by. A half is added, so that an
/// item that was never sold can still be recommended; 1 where there is no such column.
pub fn weight(raw: &impl Cells, sampled_by: Option<&SampledBy>) -> f32 {
    sampled_by.map_or(1.0, |SampledBy { column, exponent }| {
        let drawn = raw.cell(column).as_number().unwrap_or(0.0).max(0.0) as f32;
        (drawn + 0.5).powf(*exponent)
    })
}

fn by_popularity(table: &RawTable, column: &str) -> Vec<u32> {
    let popularity: Vec<f64> = table
        .cells(column)
        .map(|cell| cell.as_number().unwrap_or(0.0))
        .collect();
    let mut rows: Vec<u32> = (0..table.len() as u32).collect();
    rows.sort_by(|a, b| popularity[*b as usize].total_cmp(&popularity[*a as usize]));
    rows
}

/// A raw row's texts in one line, as the text encoder reads them: the columns' values, in order, joined by spaces.
/// Empty where the row has none.
pub fn text(raw: &impl Cells, columns: &[String]) -> String {
    let mut text = String::new();
    for column in columns {
        if let Cell::Text(value) = raw.cell(column) {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(value);
        }
    }
    text
}
