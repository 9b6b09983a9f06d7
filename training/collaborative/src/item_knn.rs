//! ItemKNN: items are near that the same users buy (Sarwar et al. 2001; weighted by BM25, Robertson and Zaragoza 2009).

use gondola_models::retrieval::trained::{ItemWeights, Weight};

use crate::nearest::{Sums, table};
use crate::purchases::Purchases;
use crate::settings::{ItemKnn, Similarity};

pub(crate) fn fit(settings: &ItemKnn, purchases: &Purchases) -> ItemWeights {
    match settings.similarity {
        Similarity::Cosine { shrink } => cosine(settings.kept, shrink, purchases),
        Similarity::Bm25 { k1, b } => bm25(settings.kept, k1, b, purchases),
    }
}

fn cosine(kept: usize, shrink: f32, purchases: &Purchases) -> ItemWeights {
    let length = |item: u32| (purchases.of_item(item).len() as f32).sqrt();
    table(purchases, kept, |sums: &mut Sums, item| {
        let common = sums.with(item, purchases, |_, _| 1.0);
        let near = |common: Weight| Weight {
            weight: common.weight / (length(item) * length(common.item) + shrink),
            ..common
        };
        common.into_iter().map(near).collect()
    })
}

fn bm25(kept: usize, k1: f32, b: f32, purchases: &Purchases) -> ItemWeights {
    let items = purchases.items() as u32;
    let bought = |item: u32| -> f32 { purchases.of_item(item).iter().map(|buyer| buyer.count).sum() };
    let lengths: Vec<f32> = (0..items).map(bought).collect();
    let mean = lengths.iter().sum::<f32>() / lengths.len() as f32;
    let norms: Vec<f32> = lengths.iter().map(|length| 1.0 - b + b * length / mean).collect();
    // Never below 0: one who bought everything says nothing of how items belong together.
    let rarity = |user: u32| {
        let bought = purchases.of_user(user).len() as f32;
        (items as f32 / (1.0 + bought)).ln().max(f32::MIN_POSITIVE)
    };
    let rarities: Vec<f32> = (0..purchases.users() as u32).map(rarity).collect();
    let weight = |item: u32, user: u32, count: f32| {
        count * (k1 + 1.0) / (k1 * norms[item as usize] + count) * rarities[user as usize]
    };
    table(purchases, kept, |sums: &mut Sums, item| {
        sums.with(item, purchases, |buyer, bought| {
            weight(item, buyer.user, buyer.count) * weight(bought.item, buyer.user, bought.count)
        })
    })
}
