//! What the values of the items' columns bring to the first top layer, once for each value that the candidates have.
//!
//! A value's embedding meets the user's embeddings in products, and those meet weights of the first top layer. None of that
//! depends on anything else that a candidate has, and candidates have values in common: of 200 candidates, a few dozen
//! departments. So each value is worked out once a request, and a candidate adds up what its values bring.

use crate::dense::{
    Activation, EmbeddingTable, Matrix, Rows, RowsMut, Start, inner_products_at, sum_vectors_at,
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
    /// Of each column, the first top layer's weights for the products of its embedding with the user's.
    pub(super) top: Vec<Matrix>,
}

impl ValueLayers {
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
        let large = self
            .indexes(block)
            .filter(|(table, _)| table.len() > SHARED_BELOW);
        large.for_each(|(table, index)| table.prefetch(index));
    }
}

/// Values of the candidates of a request, a slot each. The slots of a column are side by side.
#[derive(Default)]
pub(super) struct Values {
    /// The slot of each value of the column at hand, if it has one.
    seen: Vec<u32>,
    /// How many slots there are.
    count: u32,
    /// The first slot of each column, and the end of the last.
    starts: Vec<usize>,
    /// `[candidates, columns + 1]`; the last is the slot of the user.
    slots: Vec<u32>,
    /// `[slots, dim]`.
    embeddings: Vec<f32>,
    /// Products with the user's embeddings, `[slots, user columns]`.
    products: Vec<f32>,
    /// What each brings to the first top layer, `[slots + 1, top width]`; the last is what the user brings.
    parts: Vec<f32>,
    zeros: Vec<f32>,
}

impl Values {
    /// Gives a slot to each value of the candidates, whose indexes are `[columns]` at the end of their blocks.
    pub(super) fn find(&mut self, layers: &ValueLayers, blocks: &[&[f32]]) {
        let columns = layers.tables.len();
        self.count = 0;
        self.embeddings.clear();
        self.slots.clear();
        self.slots.resize(blocks.len() * (columns + 1), 0);
        self.starts.clear();
        for (column, table) in layers.tables.iter().enumerate() {
            self.starts.push(self.count as usize);
            self.seen.clear();
            if table.len() <= SHARED_BELOW {
                self.seen.resize(table.len(), NONE);
            }
            for (candidate, block) in blocks.iter().enumerate() {
                let value = block[block.len() - columns + column].to_bits();
                self.slots[candidate * (columns + 1) + column] = self.slot(table, value);
            }
        }
        self.starts.push(self.count as usize);
        let users = self.slots.iter_mut().skip(columns).step_by(columns + 1);
        users.for_each(|slot| *slot = self.count);
    }

    /// The slot of a value of the column at hand: the one that it has, or a new one.
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

    /// Works out what each value brings. `user` are the user's embeddings, `[dim, user columns]`, `user_top` what the user
    /// alone brings.
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

    /// What these products bring to the first top layer, a column after the other, and what the user does.
    fn weigh(&mut self, layers: &ValueLayers, users: usize, user_top: &[f32]) {
        let width = user_top.len();
        self.parts.resize(self.count as usize * width, 0.0);
        for (weights, slots) in layers.top.iter().zip(self.starts.windows(2)) {
            let x = Rows {
                values: &self.products[slots[0] * users..],
                stride: users,
            };
            let out = RowsMut {
                values: &mut self.parts[slots[0] * width..],
                stride: width,
            };
            let start = Start::Row(&self.zeros[..width]);
            weights.multiply(slots[1] - slots[0], x, start, Activation::None, out);
        }
        self.parts.extend_from_slice(user_top);
    }

    /// What the user and the values of a candidate bring to the first top layer, and what the item does.
    pub(super) fn sum(&self, candidate: usize, item: &[f32], top: &mut [f32]) {
        sum_vectors_at(item, &self.parts, self.slots(candidate), top);
    }

    /// The products of a vector with the embeddings of a candidate.
    pub(super) fn products(&self, candidate: usize, with: &[f32], out: &mut [f32]) {
        inner_products_at(&self.embeddings, &self.slots(candidate)[..out.len()], with, out);
    }

    /// A candidate's slots, and behind them that of the user.
    fn slots(&self, candidate: usize) -> &[u32] {
        let width = self.starts.len();
        &self.slots[candidate * width..][..width]
    }
}
