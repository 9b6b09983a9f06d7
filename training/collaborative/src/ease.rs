//! EASE^R: a linear model of which items go together, in closed form (Steck, "Embarrassingly shallow autoencoders for sparse data",
//! WWW 2019, <https://arxiv.org/abs/1905.03375>).
//!
//! Up to [`exact_items`](Ease::exact_items) items it is the paper's: the inverse of one dense matrix. Beyond, each item is regressed
//! alone on those that are nearest by the cosine of their buyers, with the same ridge: the same problem with all other weights held at 0. In both,
//! the weights furthest from 0 are kept.

use std::ffi::c_char;

use gondola_models::retrieval::trained::{ItemWeights, Weight, factors};

use crate::nearest::{Places, strongest, turned};
use crate::purchases::Purchases;
use crate::settings::{Ease, Trend};
use crate::{FitError, parallel};

pub(crate) fn fit(settings: &Ease, purchases: &Purchases) -> Result<ItemWeights, FitError> {
    let table = table(settings, purchases)?.with_half_life(settings.half_life_days);
    Ok(match settings.trend {
        Some(trend) => table.with_start(lately(trend, purchases)),
        None => table,
    })
}

/// What scores begin with: an item's share of the buyers of the most bought item of the last days.
fn lately(trend: Trend, purchases: &Purchases) -> Vec<f32> {
    let buyers = |item: u32| {
        let all = purchases.of_item(item).iter();
        all.filter(|buyer| buyer.days_since_last <= trend.days as f32)
            .count() as f32
    };
    let buyers: Vec<f32> = (0..purchases.items() as u32).map(buyers).collect();
    let most = buyers.iter().copied().fold(1.0, f32::max);
    buyers
        .into_iter()
        .map(|buyers| trend.most * buyers / most)
        .collect()
}

fn table(settings: &Ease, purchases: &Purchases) -> Result<ItemWeights, FitError> {
    let said = match purchases.items() <= settings.exact_items {
        true => exact(settings, purchases)?,
        false => among_nearest(settings, purchases),
    };
    let kept = said.into_iter().map(|weights| strongest(weights, settings.kept));
    Ok(ItemWeights::new(kept.collect()))
}

fn exact(settings: &Ease, purchases: &Purchases) -> Result<Vec<Vec<Weight>>, FitError> {
    let count = purchases.items();
    let mut gram = vec![0f32; count * count];
    for user in 0..purchases.users() as u32 {
        let bought = purchases.of_user(user);
        for first in bought {
            let line = &mut gram[first.item as usize * count..][..count];
            for second in bought {
                line[second.item as usize] += 1.0;
            }
        }
    }
    factors::add_to_diagonal(&mut gram, count, settings.regularization);
    invert(&mut gram, count)?;
    Ok(without_themselves(&gram, count))
}

/// From the inverse P to what each item says: `-P[i][j] / P[j][j]` of item j, and nothing of itself.
fn without_themselves(inverse: &[f32], count: usize) -> Vec<Vec<Weight>> {
    let own = |place: usize| inverse[place * count + place];
    let line = |item: usize| {
        let line = inverse[item * count..][..count].iter().enumerate();
        let others = line.filter(|(other, _)| *other != item);
        let weights = others.map(|(other, value)| Weight {
            item: other as u32,
            weight: -value / own(other),
        });
        weights.collect()
    };
    (0..count).map(line).collect()
}

fn among_nearest(settings: &Ease, purchases: &Purchases) -> Vec<Vec<Weight>> {
    let items = purchases.items();
    let said_of = parallel::each(
        items,
        || Places::new(purchases),
        |places, item| {
            let mut around = places.around(item as u32, settings.nearest, purchases);
            let count = around.others.len();
            factors::add_to_diagonal(&mut around.gram, count, settings.regularization);
            factors::solve(&mut around.gram, &mut around.with_item);
            let others = around.others.iter().zip(around.with_item);
            others
                .map(|(item, weight)| Weight { item: *item, weight })
                .collect()
        },
    );
    turned(&said_of)
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
fn invert(matrix: &mut [f32], n: usize) -> Result<(), FitError> {
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
        return Err(FitError::Singular(info));
    }
    // LAPACK counts by columns and filled one triangle only: in rows, that is the upper one.
    for row in 0..n {
        for column in 0..row {
            matrix[row * n + column] = matrix[column * n + row];
        }
    }
    Ok(())
}
