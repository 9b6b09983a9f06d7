//! SLIM: each item is regressed on others, with weights that are few and not below 0 (Ning and Karypis, "SLIM: sparse linear methods for
//! top-n recommender systems", ICDM 2011).
//!
//! As in their fsSLIM, an item's regression sees only what is nearest to it by the cosine of their buyers. The elastic net is solved by coordinate
//! descent on common purchases (Friedman, Hastie and Tibshirani 2010).

use gondola_models::retrieval::trained::{ItemWeights, Weight};

use crate::nearest::{Neighborhood, Places, turned};
use crate::parallel;
use crate::purchases::Purchases;
use crate::settings::Slim;

/// Passes over an item's weights, at most.
const PASSES: usize = 50;
/// A pass in which no weight moves further is the last.
const STILL: f32 = 1e-4;

pub(crate) fn fit(settings: &Slim, purchases: &Purchases) -> ItemWeights {
    let items = purchases.items();
    let said_of = parallel::each(
        items,
        || Places::new(purchases),
        |places, item| {
            let around = places.around(item as u32, settings.nearest, purchases);
            let weights = regress(settings, &around);
            let others = around.others.iter().zip(weights);
            let said = others.map(|(item, weight)| Weight { item: *item, weight });
            said.filter(|said| said.weight > 0.0).collect::<Vec<_>>()
        },
    );
    ItemWeights::new(turned(&said_of))
}

/// The weights of a neighborhood's items.
fn regress(settings: &Slim, around: &Neighborhood) -> Vec<f32> {
    let count = around.others.len();
    let mut weights = vec![0f32; count];
    // What the weights say of each of the others: gram x weights.
    let mut said = vec![0f32; count];
    for _ in 0..PASSES {
        let mut furthest = 0f32;
        for place in 0..count {
            let line = &around.gram[place * count..][..count];
            let own = line[place];
            let left = around.with_item[place] - said[place] + own * weights[place];
            let next = ((left - settings.l1) / (own + settings.l2)).max(0.0);
            let step = next - weights[place];
            if step != 0.0 {
                weights[place] = next;
                said.iter_mut()
                    .zip(line)
                    .for_each(|(said, common)| *said += step * common);
                furthest = furthest.max(step.abs());
            }
        }
        if furthest < STILL {
            break;
        }
    }
    weights
}
