//! BPR: a bought item stands above one that was not (Rendle, Freudenthaler, Gantner and Schmidt-Thieme, "BPR: Bayesian personalized
//! ranking from implicit feedback", UAI 2009), by stochastic gradients.
//!
//! What is kept is the places of items; a user's place is found at request time as for ALS, so that a new user needs no training.

use gondola_models::retrieval::trained::Factors;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::FitError;
use crate::purchases::Purchases;
use crate::settings::Bpr;

pub(crate) fn fit(settings: &Bpr, purchases: &Purchases, seed: u64) -> Result<Factors, FitError> {
    let width = settings.dimension;
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut start = |count: usize| -> Vec<f32> {
        let scale = 1.0 / width as f32;
        (0..count * width)
            .map(|_| (random.random::<f32>() - 0.5) * scale)
            .collect()
    };
    let (mut users, mut items) = (start(purchases.users()), start(purchases.items()));
    let all = (0..purchases.users() as u32).flat_map(|user| {
        let bought = purchases.of_user(user).iter();
        bought.map(move |bought| (user, bought.item))
    });
    let pairs: Vec<(u32, u32)> = all.collect();
    for round in 1..=settings.rounds {
        for _ in 0..pairs.len() {
            let (user, better) = pairs[random.random_range(0..pairs.len())];
            // Drawn as often as they are bought, so that popular items are no better for being popular.
            let (_, worse) = pairs[random.random_range(0..pairs.len())];
            let bought = purchases.of_user(user);
            if bought.binary_search_by_key(&worse, |bought| bought.item).is_err() {
                let of = |number: u32| number as usize * width..(number as usize + 1) * width;
                step(settings, &mut users[of(user)], &mut items, of(better), of(worse));
            }
        }
        if !items.iter().all(|value| value.is_finite()) {
            return Err(FitError::Diverged {
                model: "BPR",
                rounds: round,
            });
        }
    }
    Ok(Factors::new(items, width, settings.fold_in))
}

type Place = std::ops::Range<usize>;

fn step(settings: &Bpr, user: &mut [f32], items: &mut [f32], better: Place, worse: Place) {
    let apart: f32 = (0..user.len())
        .map(|at| user[at] * (items[better.start + at] - items[worse.start + at]))
        .sum();
    let pull = 1.0 / (1.0 + apart.exp());
    let Bpr {
        learning_rate: rate,
        regularization: held,
        ..
    } = *settings;
    for at in 0..user.len() {
        let (own, up, down) = (user[at], items[better.start + at], items[worse.start + at]);
        user[at] += rate * (pull * (up - down) - held * own);
        items[better.start + at] += rate * (pull * own - held * up);
        items[worse.start + at] += rate * (-pull * own - held * down);
    }
}
