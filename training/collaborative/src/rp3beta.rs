//! RP3beta: where a walk of three steps ends, from a user to an item, to another of its buyers, to what that one bought (Paudel,
//! Christoffel, Newell and Bernstein, "Updatable, accurate, diverse, and scalable recommendations", TiiS 2017).
//!
//! The chances of a step are taken to the power alpha, and popular ends are held back by their popularity to the power beta.

use gondola_models::retrieval::trained::{ItemWeights, Weight};

use crate::nearest::{Sums, table};
use crate::purchases::Purchases;
use crate::settings::Rp3beta;

pub(crate) fn fit(settings: &Rp3beta, purchases: &Purchases) -> ItemWeights {
    let Rp3beta {
        alpha, beta, kept, ..
    } = *settings;
    let chance = |ways: usize| (ways as f32).powf(-alpha);
    let from_user = |user: u32| chance(purchases.of_user(user).len());
    let from_users: Vec<f32> = (0..purchases.users() as u32).map(from_user).collect();
    let popularity = |item: u32| purchases.of_item(item).len();
    let holds_back = |item: u32| (popularity(item) as f32).powf(-beta);
    let held: Vec<f32> = (0..purchases.items() as u32).map(holds_back).collect();
    table(purchases, kept, |sums: &mut Sums, item| {
        let from_item = chance(popularity(item));
        let walks = sums.with(item, purchases, |buyer, _| {
            from_item * from_users[buyer.user as usize]
        });
        let held_back = |walk: Weight| Weight {
            weight: walk.weight * held[walk.item as usize],
            ..walk
        };
        walks.into_iter().map(held_back).collect()
    })
}
