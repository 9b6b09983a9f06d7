//! Small trees: what a user, an item and a pair leave in reach is found for each of them alone.
//!
//! | leaves in reach of | found |
//! |---|---|
//! | an item | once, kept in its block: [`FLOATS`] a tree |
//! | a user | once a request |
//! | a pair | each candidate |

use std::cell::RefCell;
use std::ops::Range;

use gondola_forest::parts::{LANES, LeafSet, PartedForest};

use super::ForestScorer;
use crate::dense::prefetch;
use crate::features::{EncodedRow, EncodedTable};
use crate::scoring::CandidateBatch;

/// Floats of a block that keep the bits of one set.
const FLOATS: usize = 2;

/// Trees beyond which a walk is taken: their sets would make an item's block larger than 2 KiB.
const MAX_TREES: usize = 256;

/// The parts of a row, as the forest was taken apart.
const USER: usize = 0;
const ITEM: usize = 1;
const PAIR: usize = 2;

/// Buffers of one thread.
#[derive(Default)]
struct Buffers {
    rows: Vec<[u32; LANES]>,
    user: Vec<[LeafSet; LANES]>,
    sets: Vec<[LeafSet; LANES]>,
}

thread_local! {
    static BUFFERS: RefCell<Buffers> = RefCell::default();
}

fn keep(set: LeafSet, out: &mut [f32]) {
    out[0] = f32::from_bits(set.0 as u32);
    out[1] = f32::from_bits((set.0 >> 32) as u32);
}

#[inline(always)]
fn kept(block: &[f32], tree: usize) -> LeafSet {
    let [low, high] = [0, 1].map(|half| u64::from(block[FLOATS * tree + half].to_bits()));
    LeafSet(high << 32 | low)
}

impl ForestScorer {
    /// The forest taken apart, if that is quicker than a walk.
    pub(super) fn take_apart(&mut self) {
        let widths = [self.widths.user(), self.widths.item(), self.widths.pair];
        let parted = self.forest.parted(&widths);
        self.parted = parted.filter(|forest| forest.trees() <= MAX_TREES);
    }

    /// The width of an item's block.
    pub(super) fn sets_width(forest: &PartedForest) -> usize {
        FLOATS * forest.trees()
    }

    /// Fills the blocks of all items.
    pub(super) fn prepare_sets(&self, forest: &PartedForest, items: &EncodedTable, out: &mut [f32]) {
        let width = Self::sets_width(forest);
        assert_eq!(out.len(), items.rows() * width, "one block per item");
        if width == 0 {
            return;
        }
        let mut rows = vec![[0; LANES]; self.widths.item()];
        for (group, blocks) in out.chunks_mut(LANES * width).enumerate() {
            let group = (group * LANES..).take(blocks.len() / width);
            for (lane, item) in group.enumerate() {
                let (categorical, numeric) = (items.categorical(item), items.numeric(item));
                self.fill(self.widths.user(), categorical, numeric, |at, bits| {
                    rows[at][lane] = bits;
                });
            }
            let mut sets = vec![[LeafSet::ALL; LANES]; forest.trees()];
            forest.narrow(ITEM, &rows, &mut sets);
            for (lane, block) in blocks.chunks_exact_mut(width).enumerate() {
                let of_item = sets.iter().map(|sets| sets[lane]);
                of_item
                    .zip(block.chunks_exact_mut(FLOATS))
                    .for_each(|(set, out)| keep(set, out));
            }
        }
    }

    /// Scores the candidates of each user.
    pub(super) fn score_sets(
        &self,
        forest: &PartedForest,
        users: &[(&EncodedRow, usize)],
        candidates: &CandidateBatch<'_>,
        scores: &mut Vec<f32>,
    ) {
        BUFFERS.with_borrow_mut(|buffers| {
            let mut first = 0;
            for (user, count) in users {
                self.narrow_user(forest, user, buffers);
                let own = candidates.part(first..first + count);
                for start in (0..*count).step_by(LANES) {
                    let group = start..(start + LANES).min(*count);
                    self.score_group(forest, &own, group, buffers, scores);
                }
                first += count;
            }
        });
    }

    /// What the user leaves, into `buffers.user`.
    fn narrow_user(&self, forest: &PartedForest, user: &EncodedRow, buffers: &mut Buffers) {
        let Buffers { rows, user: sets, .. } = buffers;
        rows.clear();
        rows.resize(self.widths.user(), [0; LANES]);
        // The same in every lane: all candidates of the request begin with it.
        self.fill(0, &user.categorical, &user.numeric, |at, bits| {
            rows[at] = [bits; LANES]
        });
        sets.clear();
        sets.resize(forest.trees(), [LeafSet::ALL; LANES]);
        forest.narrow(USER, rows, sets);
    }

    fn score_group(
        &self,
        forest: &PartedForest,
        candidates: &CandidateBatch<'_>,
        group: Range<usize>,
        buffers: &mut Buffers,
        scores: &mut Vec<f32>,
    ) {
        // The next group's blocks come from all over the memory while this one's pairs are asked.
        let next = candidates.blocks[group.end..].iter().take(LANES);
        next.for_each(|block| prefetch(block));
        let Buffers { rows, user, sets } = buffers;
        let width = self.widths.pair;
        let reader = self.forest.columns();
        let first = self.widths.user() + self.widths.item();
        rows.clear();
        rows.resize(width, [0; LANES]);
        for (lane, pair) in candidates.pairs[group.start * width..group.end * width]
            .chunks_exact(width.max(1))
            .enumerate()
        {
            for (column, value) in pair.iter().enumerate() {
                rows[column][lane] = reader.encode(first + column, *value);
            }
        }
        sets.clone_from(user);
        forest.narrow(PAIR, rows, sets);
        let blocks = &candidates.blocks[group];
        let set = |row: usize, tree: usize| sets[tree][row].and(kept(blocks[row], tree));
        forest.predict(blocks.len(), set, |score| scores.push(score as f32));
    }
}
