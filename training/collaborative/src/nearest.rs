//! What is bought with an item, weighed: what the item models have in common.

use gondola_models::retrieval::trained::{ItemWeights, Weight};

use crate::parallel;
use crate::purchases::Purchases;

/// Sums over the common buyers of one item and each other, of one core.
pub(crate) struct Sums {
    sums: Vec<f32>,
    touched: Vec<u32>,
}

impl Sums {
    pub(crate) fn new(items: usize) -> Self {
        Self {
            sums: vec![0.0; items],
            touched: Vec::new(),
        }
    }

    /// For each other item, the sum over common buyers of `share(buyer, what they bought)`. Shares are above 0.
    pub(crate) fn with(
        &mut self,
        item: u32,
        purchases: &Purchases,
        share: impl Fn(&crate::purchases::Buyer, &gondola_models::retrieval::trained::Bought) -> f32,
    ) -> Vec<Weight> {
        for buyer in purchases.of_item(item) {
            for bought in purchases.of_user(buyer.user) {
                let sum = &mut self.sums[bought.item as usize];
                if *sum == 0.0 {
                    self.touched.push(bought.item);
                }
                *sum += share(buyer, bought);
            }
        }
        let mut weights = Vec::with_capacity(self.touched.len());
        for other in self.touched.drain(..) {
            let weight = std::mem::take(&mut self.sums[other as usize]);
            if other != item {
                weights.push(Weight { item: other, weight });
            }
        }
        weights
    }
}

/// What each item says of others: what `weights` gives for it, of which the `kept` furthest from 0 stay.
pub(crate) fn table(
    purchases: &Purchases,
    kept: usize,
    weights: impl Fn(&mut Sums, u32) -> Vec<Weight> + Sync,
) -> ItemWeights {
    let items = purchases.items();
    let of_item = |sums: &mut Sums, item: usize| strongest(weights(sums, item as u32), kept);
    ItemWeights::new(parallel::each(items, || Sums::new(items), of_item))
}

/// The `kept` weights furthest from 0, the furthest first; of equal ones the earlier item.
pub(crate) fn strongest(mut weights: Vec<Weight>, kept: usize) -> Vec<Weight> {
    let order = |a: &Weight, b: &Weight| {
        let by_weight = b.weight.abs().total_cmp(&a.weight.abs());
        by_weight.then_with(|| a.item.cmp(&b.item))
    };
    if weights.len() > kept {
        weights.select_nth_unstable_by(kept, order);
        weights.truncate(kept);
    }
    weights.sort_unstable_by(order);
    weights
}

/// From what others say of each item to what each item says of others.
pub(crate) fn turned(said_of: &[Vec<Weight>]) -> Vec<Vec<Weight>> {
    let mut says: Vec<Vec<Weight>> = vec![Vec::new(); said_of.len()];
    for (of, weights) in (0..).zip(said_of) {
        for weight in weights {
            says[weight.item as usize].push(Weight {
                item: of,
                weight: weight.weight,
            });
        }
    }
    says
}

/// One item and those that are nearest to it.
pub(crate) struct Neighborhood {
    /// The others, by position.
    pub(crate) others: Vec<u32>,
    /// How many users bought each pair of the others, `[others, others]`.
    pub(crate) gram: Vec<f32>,
    /// How many users bought each of the others and the item.
    pub(crate) with_item: Vec<f32>,
}

/// What one core needs to find neighborhoods.
pub(crate) struct Places {
    sums: Sums,
    /// Which of the others each user bought, by their places; empty between two neighborhoods.
    bought: Vec<Vec<u32>>,
}

impl Places {
    pub(crate) fn new(purchases: &Purchases) -> Self {
        Self {
            sums: Sums::new(purchases.items()),
            bought: vec![Vec::new(); purchases.users()],
        }
    }

    /// The `nearest` items by the cosine of their buyers, and what they have in common.
    pub(crate) fn around(&mut self, item: u32, nearest: usize, purchases: &Purchases) -> Neighborhood {
        let mut near = self.sums.with(item, purchases, |_, _| 1.0);
        let length = |other: u32| (purchases.of_item(other).len() as f32).sqrt();
        for near in &mut near {
            near.weight /= length(near.item);
        }
        let near = strongest(near, nearest);
        let others: Vec<u32> = near.iter().map(|near| near.item).collect();
        Neighborhood {
            with_item: near.iter().map(|near| near.weight * length(near.item)).collect(),
            gram: self.gram(&others, purchases),
            others,
        }
    }

    fn gram(&mut self, others: &[u32], purchases: &Purchases) -> Vec<f32> {
        let count = others.len();
        let mut users = Vec::new();
        for (place, other) in (0..).zip(others) {
            for buyer in purchases.of_item(*other) {
                let bought = &mut self.bought[buyer.user as usize];
                if bought.is_empty() {
                    users.push(buyer.user);
                }
                bought.push(place);
            }
        }
        let mut gram = vec![0.0; count * count];
        for user in users {
            let bought = &mut self.bought[user as usize];
            for first in bought.iter() {
                let line = &mut gram[*first as usize * count..][..count];
                for second in bought.iter() {
                    line[*second as usize] += 1.0;
                }
            }
            bought.clear();
        }
        gram
    }
}
