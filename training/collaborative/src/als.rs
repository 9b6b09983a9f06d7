//! Implicit ALS (Hu, Koren and Volinsky, ICDM 2008), each place by a few steps of the conjugate gradient (Takács, Pilászy and Tikk,
//! "Applications of the conjugate gradient method for implicit feedback collaborative filtering", RecSys 2011), on all cores.

use gondola_models::retrieval::trained::factors::dot;
use gondola_models::retrieval::trained::{Factors, FoldIn, confidence, factors};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::purchases::Purchases;
use crate::settings::Als;
use crate::{FitError, parallel};

pub(crate) fn fit(settings: &Als, purchases: &Purchases, seed: u64) -> Result<Factors, FitError> {
    let width = settings.dimension;
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut start = |count: usize| -> Vec<f32> {
        let scale = 1.0 / (width as f32).sqrt();
        (0..count * width)
            .map(|_| (random.random::<f32>() - 0.5) * scale)
            .collect()
    };
    let mut users = start(purchases.users());
    let mut items = start(purchases.items());
    for round in 1..=settings.rounds {
        users = side(settings, &items, &users, |user| {
            let bought = purchases.of_user(user).iter();
            bought.map(|bought| (bought.item, bought.count)).collect()
        });
        items = side(settings, &users, &items, |item| {
            let buyers = purchases.of_item(item).iter();
            buyers.map(|buyer| (buyer.user, buyer.count)).collect()
        });
        if !items.iter().all(|value| value.is_finite()) {
            return Err(FitError::Diverged {
                model: "ALS",
                rounds: round,
            });
        }
    }
    let fold_in = FoldIn {
        regularization: settings.regularization,
        confidence: settings.confidence,
    };
    Ok(Factors::new(items, width, fold_in))
}

/// The places of one side, of those of the other and of what each has to do with which.
fn side(
    settings: &Als,
    fixed: &[f32],
    places: &[f32],
    of: impl Fn(u32) -> Vec<(u32, f32)> + Sync,
) -> Vec<f32> {
    let width = settings.dimension;
    let mut everything = factors::gram(fixed, width);
    factors::add_to_diagonal(&mut everything, width, settings.regularization);
    let solve = |(): &mut (), number: usize| {
        let met = of(number as u32);
        let met: Vec<(&[f32], f32)> = met
            .iter()
            .map(|(other, count)| {
                let place = &fixed[*other as usize * width..][..width];
                (place, confidence(settings.confidence, *count))
            })
            .collect();
        let start = places[number * width..][..width].to_vec();
        conjugate(&everything, &met, start, settings.steps)
    };
    parallel::each(places.len() / width, || (), solve).concat()
}

/// Goes from `place` some steps towards the solution of `(everything + Σ more y yᵀ) x = Σ (1 + more) y`.
fn conjugate(everything: &[f32], met: &[(&[f32], f32)], mut place: Vec<f32>, steps: usize) -> Vec<f32> {
    if met.is_empty() {
        place.fill(0.0);
        return place;
    }
    let width = place.len();
    let product = |x: &[f32]| {
        let mut out: Vec<f32> = everything.chunks_exact(width).map(|line| dot(line, x)).collect();
        for (y, more) in met {
            let along = more * dot(y, x);
            out.iter_mut().zip(*y).for_each(|(out, y)| *out += along * y);
        }
        out
    };
    let mut rest = vec![0f32; width];
    for (y, more) in met {
        rest.iter_mut()
            .zip(*y)
            .for_each(|(rest, y)| *rest += (1.0 + more) * y);
    }
    let here = product(&place);
    rest.iter_mut().zip(&here).for_each(|(rest, here)| *rest -= here);
    let mut direction = rest.clone();
    let mut length = dot(&rest, &rest);
    for _ in 0..steps {
        if length < 1e-20 {
            break;
        }
        let ahead = product(&direction);
        let step = length / dot(&direction, &ahead);
        for at in 0..width {
            place[at] += step * direction[at];
            rest[at] -= step * ahead[at];
        }
        let next = dot(&rest, &rest);
        let turn = next / length;
        direction
            .iter_mut()
            .zip(&rest)
            .for_each(|(direction, rest)| *direction = rest + turn * *direction);
        length = next;
    }
    place
}
