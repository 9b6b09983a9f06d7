//! What each input is worth to a scorer: how much AUC is lost when the input's values change places among the
//! pairs.
//!
//! The model stays as it is, so inputs that say the same share their worth: each looks cheap while the other
//! is there. Breiman, "Random forests", 2001.

use gondola_models::features::{EncodedRow, EncodedTable};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::metrics::PairMetrics;
use super::pairs::{Judge, ScorePairsError, among_sampled};
use crate::labels::LabeledPairs;
use crate::rows::Row;

/// Labeled pairs that are scored for each input: enough for a deviation of 0.005 in AUC.
const PAIRS: usize = 8000;

/// The inputs of some pairs, a row each.
#[derive(Clone)]
struct Rows {
    users: Vec<EncodedRow>,
    items: Vec<EncodedRow>,
    /// `[pairs, width]`.
    features: Vec<f32>,
    width: usize,
}

/// The drop in AUC for each input, in the order of the layout's inputs.
pub(crate) fn drops<R: Row>(
    judge: &Judge<'_, R>,
    labeled: &LabeledPairs<R>,
    features: &[f32],
    usual_chance: f32,
    seed: u64,
) -> Result<Vec<f64>, ScorePairsError> {
    let count = labeled.pairs.len().min(PAIRS);
    let rows = Rows::of(judge, labeled, features, count);
    let auc = |rows: &Rows| -> Result<f64, ScorePairsError> {
        let scores = judge.score_rows(&table(&rows.users), &table(&rows.items), &rows.features)?;
        let scores = among_sampled(&scores, &labeled.chances[..count], usual_chance);
        Ok(PairMetrics::of(&scores, &labeled.labels[..count]).auc)
    };
    let before = auc(&rows)?;
    let mut order: Vec<usize> = (0..count).collect();
    order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    let permuted = (0..rows.inputs()).map(|input| Ok(before - auc(&rows.permuted(input, &order))?));
    permuted.collect()
}

impl Rows {
    fn of<R: Row>(judge: &Judge<'_, R>, labeled: &LabeledPairs<R>, features: &[f32], count: usize) -> Self {
        let pairs = &labeled.pairs[..count];
        let (users, items) = (&judge.encoded.users, &judge.encoded.items);
        Self {
            users: pairs.iter().map(|pair| users.row(pair.user)).collect(),
            items: pairs.iter().map(|pair| items.row(pair.item)).collect(),
            features: features[..count * judge.pair_width].to_vec(),
            width: judge.pair_width,
        }
    }

    fn inputs(&self) -> usize {
        width(&self.users) + width(&self.items) + self.width
    }

    /// The same rows, of which each has another's value of one input: the user's, the item's, then the
    /// pair's.
    fn permuted(&self, input: usize, order: &[usize]) -> Self {
        let (users, items) = (width(&self.users), width(&self.items));
        let mut rows = self.clone();
        if input < users {
            permute(&mut rows.users, &self.users, input, order);
        } else if input < users + items {
            permute(&mut rows.items, &self.items, input - users, order);
        } else {
            let column = input - users - items;
            for (row, other) in order.iter().enumerate() {
                rows.features[row * self.width + column] = self.features[other * self.width + column];
            }
        }
        rows
    }
}

/// Number of inputs of each row.
fn width(rows: &[EncodedRow]) -> usize {
    rows.first()
        .map_or(0, |row| row.categorical.len() + row.numeric.len())
}

/// Gives each row another's value of one input: the categorical ones, then the numeric ones.
fn permute(rows: &mut [EncodedRow], from: &[EncodedRow], input: usize, order: &[usize]) {
    for (row, other) in rows.iter_mut().zip(order) {
        match input.checked_sub(row.categorical.len()) {
            None => row.categorical[input] = from[*other].categorical[input],
            Some(column) => row.numeric[column] = from[*other].numeric[column],
        }
    }
}

fn table(rows: &[EncodedRow]) -> EncodedTable {
    let widths = rows
        .first()
        .map_or((0, 0), |row| (row.categorical.len(), row.numeric.len()));
    let mut table = EncodedTable::new(widths.0, widths.1);
    rows.iter().for_each(|row| table.push(row));
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_input_changes_places_and_all_others_stay() {
        let row = |value: u32| EncodedRow {
            categorical: vec![value],
            numeric: vec![value as f32],
        };
        let rows = Rows {
            users: vec![row(1), row(2)],
            items: vec![row(3), row(4)],
            features: vec![5.0, 6.0],
            width: 1,
        };
        assert_eq!(rows.inputs(), 5);
        let flat = |rows: &Rows| -> Vec<f32> {
            let entities = rows.users.iter().chain(&rows.items);
            let values = entities.flat_map(|row| [row.categorical[0] as f32, row.numeric[0]]);
            values.chain(rows.features.iter().copied()).collect()
        };
        let places = [(0, 2), (1, 3), (4, 6), (5, 7), (8, 9)];
        for (input, (a, b)) in places.into_iter().enumerate() {
            let mut wanted = flat(&rows);
            wanted.swap(a, b);
            assert_eq!(flat(&rows.permuted(input, &[1, 0])), wanted);
        }
    }
}
