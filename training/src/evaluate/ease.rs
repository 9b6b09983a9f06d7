//! EASE^R: a linear model of which items go together, in closed form (Steck 2019, "Embarrassingly Shallow
//! Autoencoders for Sparse Data", <https://arxiv.org/abs/1905.03375>). A baseline of retrieval that deep
//! models often fail to beat.

use std::ffi::c_char;

use gondola_models::features::{History, Purchase};

/// Items that the model knows, the most bought ones: it is a dense matrix of them.
const MAX_ITEMS: usize = 5_000;
/// Items with fewer buyers are left out.
const MIN_BUYERS: usize = 5;
/// How strongly weights are held back; the paper's best values are between 200 and 1,000.
const REGULARIZATION: f32 = 250.0;

/// The fitted model.
pub struct Ease {
    /// The rows of the items that it knows, in its own order.
    items: Vec<u32>,
    /// Where in `items` each row is.
    places: Vec<Option<u32>>,
    /// What having bought one item says of another: `[items, items]`, row-major, with zeros in the diagonal.
    weights: Vec<f32>,
}

/// The matrix can't be inverted: it is not positive definite.
#[derive(Debug, thiserror::Error)]
#[error("EASE^R can't be fitted: the matrix of common purchases is not positive definite (LAPACK says {0})")]
pub struct Singular(i32);

impl Ease {
    /// Fits the model to who bought what.
    pub fn fit(history: &History, users: usize, items: usize) -> Result<Self, Singular> {
        Self::fit_with(history, users, items, MIN_BUYERS, REGULARIZATION)
    }

    fn fit_with(
        history: &History,
        users: usize,
        items: usize,
        fewest_buyers: usize,
        regularization: f32,
    ) -> Result<Self, Singular> {
        let known = most_bought(history, users, items, fewest_buyers);
        let mut places = vec![None; items];
        for (place, row) in known.iter().enumerate() {
            places[*row as usize] = Some(place as u32);
        }
        let count = known.len();
        let mut gram = vec![0f32; count * count];
        for user in 0..users {
            let bought: Vec<usize> = places_of(history.of(user), &places).collect();
            for first in &bought {
                for second in &bought {
                    gram[first * count + second] += 1.0;
                }
            }
        }
        for place in 0..count {
            gram[place * count + place] += regularization;
        }
        invert(&mut gram, count)?;
        Ok(Self {
            items: known,
            places,
            weights: without_themselves(gram, count),
        })
    }

    /// The `k` items that go best with what a user bought, as rows.
    pub fn recommend(&self, purchases: &[Purchase], k: usize) -> Vec<u32> {
        let count = self.items.len();
        let mut scores = vec![0f32; count];
        for bought in places_of(purchases, &self.places) {
            let row = &self.weights[bought * count..][..count];
            scores
                .iter_mut()
                .zip(row)
                .for_each(|(score, weight)| *score += weight);
        }
        let mut ranked: Vec<usize> = (0..count).collect();
        ranked.sort_unstable_by(|a, b| scores[*b].total_cmp(&scores[*a]).then_with(|| a.cmp(b)));
        ranked
            .into_iter()
            .take(k)
            .map(|place| self.items[place])
            .collect()
    }
}

fn places_of<'a>(purchases: &'a [Purchase], places: &'a [Option<u32>]) -> impl Iterator<Item = usize> + 'a {
    purchases
        .iter()
        .filter_map(|purchase| places[purchase.item as usize].map(|place| place as usize))
}

/// The items with the most buyers, the most bought first.
fn most_bought(history: &History, users: usize, items: usize, fewest_buyers: usize) -> Vec<u32> {
    let mut buyers = vec![0usize; items];
    for user in 0..users {
        for purchase in history.of(user) {
            buyers[purchase.item as usize] += 1;
        }
    }
    let enough = |row: &u32| buyers[*row as usize] >= fewest_buyers.max(1);
    let mut rows: Vec<u32> = (0..items as u32).filter(enough).collect();
    rows.sort_by_key(|row| (std::cmp::Reverse(buyers[*row as usize]), *row));
    rows.truncate(MAX_ITEMS);
    rows
}

/// From the inverse P to the weights: `-P[i][j] / P[j][j]`, and nothing of an item for itself.
fn without_themselves(mut inverse: Vec<f32>, count: usize) -> Vec<f32> {
    let diagonal: Vec<f32> = (0..count).map(|place| inverse[place * count + place]).collect();
    for first in 0..count {
        let row = &mut inverse[first * count..][..count];
        row.iter_mut()
            .zip(&diagonal)
            .for_each(|(weight, own)| *weight /= -own);
        row[first] = 0.0;
    }
    inverse
}

// The library that FAISS stands on has LAPACK as well; a crate of linear algebra would be compiled for these
// two calls.
#[link(name = "openblas")]
unsafe extern "C" {
    /// The Cholesky factor of a symmetric positive definite matrix, in its place.
    fn spotrf_(triangle: *const c_char, n: *const i32, a: *mut f32, stride: *const i32, info: *mut i32);
    /// The inverse from that factor, in its place.
    fn spotri_(triangle: *const c_char, n: *const i32, a: *mut f32, stride: *const i32, info: *mut i32);
}

/// Inverts a symmetric positive definite matrix `[n, n]` in its place.
fn invert(matrix: &mut [f32], n: usize) -> Result<(), Singular> {
    assert_eq!(matrix.len(), n * n, "a square matrix");
    let (size, lower, mut info) = (n as i32, b'L' as c_char, 0);
    if n > 0 {
        // SAFETY: both read and write n x n values at `matrix`, which has as many, and the single values that
        // the other pointers lead to; they keep none of them.
        unsafe {
            spotrf_(&lower, &size, matrix.as_mut_ptr(), &size, &mut info);
            if info == 0 {
                spotri_(&lower, &size, matrix.as_mut_ptr(), &size, &mut info);
            }
        }
    }
    if info != 0 {
        return Err(Singular(info));
    }
    // LAPACK counts by columns and filled one triangle only: in rows, that is the upper one.
    for row in 0..n {
        for column in 0..row {
            matrix[row * n + column] = matrix[column * n + row];
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(rows: &[(u32, u32)], users: usize) -> History {
        let bought = |item| Purchase {
            item,
            purchases: 1.0,
            days_since_last: 1.0,
            recent_purchases: 1.0,
        };
        History::new(
            users,
            rows.iter().map(|(user, item)| (*user, bought(*item))).collect(),
        )
    }

    #[test]
    fn weights_are_those_of_the_closed_form() {
        // Common purchases [[2, 1], [1, 2]]; with 1 in the diagonal the inverse is [[3, -1], [-1, 3]] / 8.
        let history = history(&[(0, 0), (0, 1), (1, 0), (2, 1)], 3);
        let ease = Ease::fit_with(&history, 3, 2, 1, 1.0).unwrap();
        let expected = [0.0, 1.0 / 3.0, 1.0 / 3.0, 0.0];
        for (found, expected) in ease.weights.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{:?}", ease.weights);
        }
    }

    #[test]
    fn what_others_bought_with_it_comes_first() {
        let rows = [
            (0, 0),
            (0, 1),
            (1, 0),
            (1, 1),
            (2, 2),
            (2, 3),
            (3, 2),
            (3, 3),
            (4, 0),
        ];
        let history = history(&rows, 5);
        let ease = Ease::fit_with(&history, 5, 4, 1, 1.0).unwrap();
        assert_eq!(ease.recommend(history.of(4), 1), [1]);
        assert_eq!(ease.recommend(&[], 10).len(), 4);
    }
}
