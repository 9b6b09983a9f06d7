//! A forest as a scorer.
//!
//! Inputs are in the order of [`Layout::inputs`]. The index into a categorical column's vocabulary is a category if
//! the model splits the column by category, and a number otherwise. Small trees are asked for the user, the item and the pair apart:
//! see [`parted`]. For others an item's part of the row is made once ([`Scorer::prepare`]); a request copies the parts together
//! and walks all candidates at once. Both give the same bits. Files, the walk and the sets are `gondola-forest`'s.

mod parted;

use std::ops::Range;

use gondola_forest::parts::PartedForest;

use gondola_forest::Matrix;
pub use gondola_forest::{Forest, ForestError, Format, Remark, lightgbm_name};

use crate::features::{EncodedRow, EncodedTable, Layout};
use crate::scoring::{CandidateBatch, ScoreError, Scorer, check_numbers, check_user};

/// A forest that is ready to score candidates.
#[derive(Clone, Debug)]
pub struct ForestScorer {
    forest: Forest,
    widths: Widths,
    /// The forest taken apart; `None` where it is walked.
    parted: Option<PartedForest>,
}

/// Number of inputs of each kind, in the order of a row.
#[derive(Clone, Copy, Debug)]
struct Widths {
    user_categorical: usize,
    user_numeric: usize,
    item_categorical: usize,
    item_numeric: usize,
    pair: usize,
}

impl Widths {
    fn user(&self) -> usize {
        self.user_categorical + self.user_numeric
    }

    fn item(&self) -> usize {
        self.item_categorical + self.item_numeric
    }
}

impl ForestScorer {
    /// Reads a model, whose features must be the inputs of `layout`.
    pub fn load(format: Format, bytes: &[u8], layout: &Layout) -> Result<Self, ForestError> {
        let mut scorer = Self {
            forest: Forest::load(format, bytes, &layout.inputs())?,
            widths: Widths {
                user_categorical: layout.user_categorical.len(),
                user_numeric: layout.user_numeric.len(),
                item_categorical: layout.item_categorical.len(),
                item_numeric: layout.item_numeric.len(),
                pair: layout.pair.len(),
            },
            parted: None,
        };
        scorer.take_apart();
        Ok(scorer)
    }

    /// The forest itself.
    pub fn forest(&self) -> &Forest {
        &self.forest
    }
}

impl Scorer for ForestScorer {
    /// What the item leaves in reach of each tree, or its part of a row.
    fn block_width(&self) -> usize {
        match &self.parted {
            Some(parted) => Self::sets_width(parted),
            None => self.widths.item(),
        }
    }

    fn prepare(&self, items: &EncodedTable, out: &mut [f32]) {
        if let Some(parted) = &self.parted {
            return self.prepare_sets(parted, items, out);
        }
        let width = self.widths.item();
        assert_eq!(out.len(), items.rows() * width, "one block per item");
        if width == 0 {
            return;
        }
        for (row, block) in out.chunks_exact_mut(width).enumerate() {
            // A category's number travels as the bits of a float; copies keep bits.
            self.fill(
                self.widths.user(),
                items.categorical(row),
                items.numeric(row),
                |at, bits| {
                    block[at] = f32::from_bits(bits);
                },
            );
        }
    }

    fn score(
        &self,
        user: &EncodedRow,
        candidates: &CandidateBatch<'_>,
        scores: &mut Vec<f32>,
    ) -> Result<(), ScoreError> {
        self.score_users(&[(user, candidates.blocks.len())], candidates, scores)?;
        check_numbers(scores)
    }

    /// More rows a walk: large trees are larger than a core's cache, and come into it once for all of them.
    fn score_users(
        &self,
        users: &[(&EncodedRow, usize)],
        candidates: &CandidateBatch<'_>,
        scores: &mut Vec<f32>,
    ) -> Result<(), ScoreError> {
        self.check_shapes(users, candidates)?;
        scores.clear();
        if let Some(parted) = &self.parted {
            self.score_sets(parted, users, candidates, scores);
            return Ok(());
        }
        let fill = |part: Range<usize>, matrix: &mut Matrix| {
            self.fill_items(&candidates.blocks[part.clone()], matrix);
            self.fill_pairs(
                &candidates.pairs[part.start * self.widths.pair..],
                matrix,
                part.len(),
            );
            self.fill_users(users, part, matrix);
        };
        self.forest
            .walk(candidates.blocks.len(), fill, |score| scores.push(score as f32));
        Ok(())
    }
}

impl ForestScorer {
    fn check_shapes(
        &self,
        users: &[(&EncodedRow, usize)],
        candidates: &CandidateBatch<'_>,
    ) -> Result<(), ScoreError> {
        let widths = &self.widths;
        for (user, _) in users {
            check_user(user, widths.user_categorical, widths.user_numeric)?;
        }
        assert_eq!(
            candidates.pair_width, widths.pair,
            "pair features of another workflow"
        );
        assert_eq!(
            candidates.pairs.len(),
            candidates.blocks.len() * widths.pair,
            "pair features of each candidate"
        );
        Ok(())
    }

    /// Hands one entity's values, as the walk reads them, to `put` with their place. `first` is the entity's first input.
    fn fill(&self, first: usize, categorical: &[u32], numeric: &[f32], mut put: impl FnMut(usize, u32)) {
        let reader = self.forest.columns();
        for (at, index) in categorical.iter().enumerate() {
            put(at, reader.encode_index(first + at, *index));
        }
        for (at, value) in (categorical.len()..).zip(numeric) {
            put(at, reader.encode(first + at, *value));
        }
    }

    fn fill_items(&self, blocks: &[&[f32]], matrix: &mut Matrix) {
        let (first, width) = (self.widths.user(), self.widths.item());
        for (row, block) in blocks.iter().enumerate() {
            let to = &mut matrix.row_mut(row)[first..first + width];
            to.iter_mut()
                .zip(&block[..width])
                .for_each(|(to, value)| *to = value.to_bits());
        }
    }

    fn fill_pairs(&self, pairs: &[f32], matrix: &mut Matrix, rows: usize) {
        let (first, width) = (self.widths.user() + self.widths.item(), self.widths.pair);
        let reader = self.forest.columns();
        for row in 0..rows {
            let to = &mut matrix.row_mut(row)[first..];
            for (column, value) in pairs[row * width..][..width].iter().enumerate() {
                to[column] = reader.encode(first + column, *value);
            }
        }
    }

    /// Puts the users' parts into the rows of their candidates, as far as these are in `part`.
    fn fill_users(&self, users: &[(&EncodedRow, usize)], part: Range<usize>, matrix: &mut Matrix) {
        let mut first = 0;
        for (user, count) in users {
            let own = first.max(part.start)..(first + count).min(part.end);
            first += count;
            if !own.is_empty() {
                self.fill_user(user, own.start - part.start..own.end - part.start, matrix);
            }
        }
    }

    /// Puts the user's part into the first of some rows, then copies it into the others.
    fn fill_user(&self, user: &EncodedRow, rows: Range<usize>, matrix: &mut Matrix) {
        let first = matrix.row_mut(rows.start);
        self.fill(0, &user.categorical, &user.numeric, |at, bits| first[at] = bits);
        matrix.repeat_start(rows, self.widths.user());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Taken apart, as its trees are small; and walked, as it would be if they were large.
    fn both_ways() -> [ForestScorer; 2] {
        let parted = random_forest();
        assert!(parted.parted.is_some());
        let walked = ForestScorer {
            parted: None,
            ..parted.clone()
        };
        [parted, walked]
    }

    fn random_forest() -> ForestScorer {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let layout = Layout {
            user_numeric: names(&["age", "visits", "spend"]),
            item_categorical: names(&["department", "product type", "size"]),
            item_numeric: names(&["price"]),
            pair: names(&["purchases"]),
            ..Layout::default()
        };
        let text = include_bytes!("../../../forest/tests/fixtures/trees/random_forest.txt");
        ForestScorer::load(Format::LightGbm, text, &layout).unwrap()
    }

    #[test]
    fn scoring_candidates_equals_predicting_their_rows() {
        both_ways().iter().for_each(check_against_rows);
    }

    fn check_against_rows(forest: &ForestScorer) {
        let user = EncodedRow {
            categorical: vec![],
            numeric: vec![0.3, -1.2, 0.8],
        };
        let (mut items, mut pairs, mut rows) = (EncodedTable::new(3, 1), Vec::new(), Vec::new());
        for i in 0..1100_u32 {
            let item = EncodedRow {
                categorical: vec![i % 41, i % 307, i % 9],
                numeric: vec![i as f32 / 700.0 - 0.7],
            };
            let pair = (i % 7) as f32 - 3.0;
            items.push(&item);
            pairs.push(pair);
            rows.extend_from_slice(&user.numeric);
            rows.extend(item.categorical.iter().map(|index| *index as f32));
            rows.extend_from_slice(&item.numeric);
            rows.push(pair);
        }
        let mut blocks = vec![0.0; items.rows() * forest.block_width()];
        forest.prepare(&items, &mut blocks);
        let blocks: Vec<&[f32]> = blocks.chunks_exact(forest.block_width()).collect();

        let (mut scores, mut predicted) = (Vec::new(), Vec::new());
        let candidates = CandidateBatch {
            blocks: &blocks,
            pairs: &pairs,
            pair_width: 1,
        };
        forest.score(&user, &candidates, &mut scores).unwrap();
        forest.forest().predict(&rows, 8, &mut predicted);
        assert_eq!(scores, predicted);
        assert!(scores.iter().any(|score| *score != scores[0]));

        let none = CandidateBatch {
            blocks: &[],
            pairs: &[],
            pair_width: 1,
        };
        forest.score(&user, &none, &mut scores).unwrap();
        assert!(scores.is_empty());

        let error = forest
            .score(&EncodedRow::default(), &candidates, &mut scores)
            .unwrap_err();
        assert!(matches!(
            error,
            ScoreError::UserShape {
                wanted_numeric: 3,
                found_numeric: 0,
                ..
            }
        ));
    }

    #[test]
    fn users_together_have_the_scores_that_each_has_alone() {
        both_ways().iter().for_each(check_together);
    }

    fn check_together(forest: &ForestScorer) {
        let user = |age| EncodedRow {
            categorical: vec![],
            numeric: vec![age, -1.2, 0.8],
        };
        // Where one walk ends and the next begins, the third user is in the middle.
        let users = [(user(0.3), 700), (user(-0.9), 0), (user(1.1), 400)];
        let mut items = EncodedTable::new(3, 1);
        for i in 0..1100_u32 {
            items.push(&EncodedRow {
                categorical: vec![i % 41, i % 307, i % 9],
                numeric: vec![i as f32 / 700.0 - 0.7],
            });
        }
        let mut blocks = vec![0.0; items.rows() * forest.block_width()];
        forest.prepare(&items, &mut blocks);
        let blocks: Vec<&[f32]> = blocks.chunks_exact(forest.block_width()).collect();
        let pairs: Vec<f32> = (0..1100).map(|i| (i % 7) as f32 - 3.0).collect();
        let candidates = CandidateBatch {
            blocks: &blocks,
            pairs: &pairs,
            pair_width: 1,
        };

        let counted: Vec<(&EncodedRow, usize)> = users.iter().map(|(user, count)| (user, *count)).collect();
        let (mut together, mut alone, mut first) = (Vec::new(), Vec::new(), 0);
        forest.score_users(&counted, &candidates, &mut together).unwrap();
        for (user, count) in counted {
            let mut scores = Vec::new();
            let own = candidates.part(first..first + count);
            forest.score(user, &own, &mut scores).unwrap();
            alone.append(&mut scores);
            first += count;
        }
        assert_eq!(together, alone);
    }
}
