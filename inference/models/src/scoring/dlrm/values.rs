//! What the values of the items' columns bring to the first top layer.
//!
//! A value's embedding meets the user's embeddings in products, and those meet weights of the first top layer. None of that
//! depends on anything else that a candidate has, and candidates have values in common: of 200 candidates, a few dozen
//! departments. So a value of a small vocabulary is worked out once a request, and a candidate adds up what its values bring.
//! Values of a large one are hardly ever in common: a candidate's products of all such columns meet their weights together.

use super::DlrmConfig;
use super::layers::FirstTop;
use crate::dense::{
    Activation, EmbeddingTable, Linear, Matrix, Rows, RowsMut, Start, inner_products_at, sum_vectors_at,
};

/// Above this size of a vocabulary, candidates are not expected to have values in common: looking for them would cost more
/// than it saves.
const SHARED_BELOW: usize = 1024;

/// No slot.
const NONE: u32 = u32::MAX;

/// What of the model this work needs.
pub(super) struct ValueLayers {
    /// A table a column.
    pub(super) tables: Vec<EmbeddingTable>,
    /// The columns of small vocabularies, each with the first top layer's weights for the products of its embedding with the user's.
    shared: Vec<(usize, Matrix)>,
    /// The columns of large vocabularies.
    own: Vec<usize>,
    /// The weights of all of these, `[own columns * user columns, top width]`.
    own_top: Matrix,
}

impl ValueLayers {
    /// Takes what is about values from the first top layer.
    pub(super) fn new(tables: Vec<EmbeddingTable>, top: &Linear, config: &DlrmConfig) -> Self {
        let (shared, own): (Vec<usize>, Vec<usize>) =
            (0..tables.len()).partition(|column| tables[*column].len() <= SHARED_BELOW);
        let weights = |column: usize| (column, FirstTop::of_columns(top, config, &[column]));
        Self {
            shared: shared.into_iter().map(weights).collect(),
            own_top: FirstTop::of_columns(top, config, &own),
            own,
            tables,
        }
    }

    /// Indexes of a candidate's values, which stand at the end of its block, with the tables of their columns.
    fn indexes<'a>(&'a self, block: &'a [f32]) -> impl Iterator<Item = (&'a EmbeddingTable, u32)> {
        let indexes = block[block.len() - self.tables.len()..]
            .iter()
            .map(|index| index.to_bits());
        self.tables.iter().zip(indexes)
    }

    /// A candidate's embeddings.
    pub(super) fn embeddings<'a>(&'a self, block: &'a [f32]) -> impl Iterator<Item = &'a [f32]> {
        self.indexes(block).map(|(table, index)| table.row(index))
    }

    /// Asks memory for the embeddings of a candidate that are not likely to be in the cache.
    pub(super) fn prefetch(&self, block: &[f32]) {
        for column in &self.own {
            self.tables[*column].prefetch(self.index(block, *column));
        }
    }

    /// The index of a candidate's value in a column.
    fn index(&self, block: &[f32], column: usize) -> u32 {
        block[block.len() - self.tables.len() + column].to_bits()
    }
}

/// Values of the candidates of a request, a slot each: first those of the large columns, a candidate after the other, then those of the
/// small ones, a column after the other.
#[derive(Default)]
pub(super) struct Values {
    /// The slot of each value of the column at hand, if it has one.
    seen: Vec<u32>,
    /// How many slots there are.
    count: u32,
    /// The first slot of each small column, and the end of the last.
    starts: Vec<usize>,
    /// `[candidates, columns]`.
    slots: Vec<u32>,
    /// Which of `parts` a candidate adds up, `[candidates, small columns + 1]`; the last is the user's.
    added: Vec<u32>,
    /// `[slots, dim]`.
    embeddings: Vec<f32>,
    /// Products with the user's embeddings, `[slots, user columns]`.
    products: Vec<f32>,
    /// What each value of a small column brings to the first top layer, `[their slots + 1, top width]`; the last is what the user
    /// brings.
    parts: Vec<f32>,
    zeros: Vec<f32>,
}

impl Values {
    /// Gives a slot to each value of the candidates, whose indexes are `[columns]` at the end of their blocks.
    pub(super) fn find(&mut self, layers: &ValueLayers, blocks: &[&[f32]]) {
        self.embeddings.clear();
        self.slots.clear();
        self.slots.resize(blocks.len() * layers.tables.len(), 0);
        self.added.clear();
        self.added.resize(blocks.len() * (layers.shared.len() + 1), 0);
        self.find_own(layers, blocks);
        self.find_shared(layers, blocks);
    }

    fn find_own(&mut self, layers: &ValueLayers, blocks: &[&[f32]]) {
        self.count = 0;
        let rows = self.slots.chunks_exact_mut(layers.tables.len().max(1));
        for (block, slots) in blocks.iter().zip(rows) {
            for column in &layers.own {
                let value = layers.tables[*column].row(layers.index(block, *column));
                self.embeddings.extend_from_slice(value);
                slots[*column] = self.count;
                self.count += 1;
            }
        }
    }

    fn find_shared(&mut self, layers: &ValueLayers, blocks: &[&[f32]]) {
        let (columns, first) = (layers.tables.len(), self.count);
        let added = layers.shared.len() + 1;
        self.starts.clear();
        for (at, (column, _)) in layers.shared.iter().enumerate() {
            let table = &layers.tables[*column];
            self.starts.push(self.count as usize);
            self.seen.clear();
            self.seen.resize(table.len(), NONE);
            for (candidate, block) in blocks.iter().enumerate() {
                let slot = self.slot(table, layers.index(block, *column));
                self.slots[candidate * columns + column] = slot;
                self.added[candidate * added + at] = slot - first;
            }
        }
        self.starts.push(self.count as usize);
        let user = self.count - first;
        let users = self.added.iter_mut().skip(added - 1).step_by(added);
        users.for_each(|part| *part = user);
    }

    /// The slot of a value of the small column at hand: the one that it has, or a new one.
    fn slot(&mut self, table: &EmbeddingTable, value: u32) -> u32 {
        let slot = self.count;
        match self.seen.get_mut(value as usize) {
            Some(seen) if *seen != NONE => return *seen,
            Some(seen) => *seen = slot,
            None => {}
        }
        self.embeddings.extend_from_slice(table.row(value));
        self.count += 1;
        slot
    }

    /// Works out what each value of a small column brings, and the products of all. `user` are the user's embeddings,
    /// `[dim, user columns]`, `user_top` what the user alone brings.
    pub(super) fn work_out(&mut self, layers: &ValueLayers, user: &Matrix, user_top: &[f32]) {
        self.zeros.resize(user_top.len().max(user.outputs()), 0.0);
        self.meet(user);
        self.weigh(layers, user.outputs(), user_top);
    }

    /// The products of each value's embedding with the user's.
    fn meet(&mut self, user: &Matrix) {
        let (slots, users) = (self.count as usize, user.outputs());
        self.products.resize(slots * users, 0.0);
        let x = Rows {
            values: &self.embeddings,
            stride: user.inputs(),
        };
        let out = RowsMut {
            values: &mut self.products,
            stride: users,
        };
        user.multiply(slots, x, Start::Row(&self.zeros[..users]), Activation::None, out);
    }

    /// What these products bring to the first top layer, a small column after the other, and what the user does.
    fn weigh(&mut self, layers: &ValueLayers, users: usize, user_top: &[f32]) {
        let (width, first) = (user_top.len(), self.starts[0]);
        self.parts.resize((self.count as usize - first) * width, 0.0);
        for ((_, weights), slots) in layers.shared.iter().zip(self.starts.windows(2)) {
            let x = Rows {
                values: &self.products[slots[0] * users..],
                stride: users,
            };
            let out = RowsMut {
                values: &mut self.parts[(slots[0] - first) * width..],
                stride: width,
            };
            let start = Start::Row(&self.zeros[..width]);
            weights.multiply(slots[1] - slots[0], x, start, Activation::None, out);
        }
        self.parts.extend_from_slice(user_top);
    }

    /// What the user and the small columns' values of a candidate bring to the first top layer, and what the item does.
    pub(super) fn sum(&self, candidate: usize, item: &[f32], top: &mut [f32]) {
        let width = self.starts.len();
        let added = &self.added[candidate * width..][..width];
        sum_vectors_at(item, &self.parts, added, top);
    }

    /// Adds what the large columns' values of each candidate bring to the first top layer, `[candidates, top width]`.
    pub(super) fn add_own(&self, layers: &ValueLayers, user: &Matrix, candidates: usize, top: &mut [f32]) {
        let weights = &layers.own_top;
        if weights.inputs() == 0 {
            return;
        }
        let x = Rows {
            values: &self.products,
            stride: layers.own.len() * user.outputs(),
        };
        let out = RowsMut {
            values: top,
            stride: weights.outputs(),
        };
        weights.multiply(candidates, x, Start::Output, Activation::None, out);
    }

    /// The products of a vector with the embeddings of a candidate.
    pub(super) fn products(&self, candidate: usize, with: &[f32], out: &mut [f32]) {
        let slots = &self.slots[candidate * out.len()..][..out.len()];
        inner_products_at(&self.embeddings, slots, with, out);
    }
}
