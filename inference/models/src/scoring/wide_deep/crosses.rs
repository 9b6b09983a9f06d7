//! Cross-products of the user's and the item's categories, hashed into buckets.
//!
//! A cross is "this value here and that value there". There are far more than are ever seen, so their weights are in one
//! table of fixed size, at the hash of both values; two crosses that meet in a bucket share a weight. The hash is part of the
//! model: what is trained with one can't be served with another, so it never changes.

use serde::{Deserialize, Serialize};

/// Which categories are crossed, and how many weights they share.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crosses {
    /// Positions of a user's and of an item's categorical column.
    pub pairs: Vec<(usize, usize)>,
    /// Number of weights.
    pub buckets: usize,
}

impl Crosses {
    /// The user's share of a cross's hash; `indexes` are the user's categories.
    pub(super) fn hash_user(&self, cross: usize, indexes: &[u32]) -> u32 {
        mixed(mixed(cross as u32) ^ indexes[self.pairs[cross].0])
    }

    /// The item's share of a cross's hash; `indexes` are the item's categories.
    pub(super) fn hash_item(&self, cross: usize, indexes: &[u32]) -> u32 {
        mixed(!indexes[self.pairs[cross].1])
    }

    /// Adds the bucket of each cross of a user's and an item's categories.
    pub(super) fn push_buckets(&self, user: &[u32], item: &[u32], buckets: &mut Vec<u32>) {
        buckets.extend((0..self.pairs.len()).map(|cross| {
            let (user, item) = (self.hash_user(cross, user), self.hash_item(cross, item));
            self.bucket(user, item) as u32
        }));
    }

    /// Where the weight of two values stands.
    pub(super) fn bucket(&self, user: u32, item: u32) -> usize {
        mixed(user.wrapping_add(item)) as usize % self.buckets
    }
}

/// A permutation of 32 bits in which each bit of what goes in moves about half of what comes out: shifts and odd factors,
/// with Wellons' constants of least bias ("Prospecting for hash functions", 2018).
fn mixed(mut bits: u32) -> u32 {
    bits = (bits ^ (bits >> 16)).wrapping_mul(0x7feb_352d);
    bits = (bits ^ (bits >> 15)).wrapping_mul(0x846c_a68b);
    bits ^ (bits >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crosses() -> Crosses {
        Crosses {
            pairs: vec![(0, 0), (0, 1), (1, 0)],
            buckets: 1024,
        }
    }

    fn bucket(crosses: &Crosses, cross: usize, user: &[u32], item: &[u32]) -> usize {
        crosses.bucket(crosses.hash_user(cross, user), crosses.hash_item(cross, item))
    }

    #[test]
    fn a_published_model_finds_its_weights_where_training_put_them() {
        let found = [0, 1, 2].map(|cross| bucket(&crosses(), cross, &[3, 4], &[5, 6]));
        assert_eq!(found, [747, 181, 738], "what a second program computes");
    }

    #[test]
    fn values_spread_over_all_buckets() {
        let crosses = crosses();
        let mut counts = vec![0; crosses.buckets];
        for (user, item) in (0..256).flat_map(|user| (0..256).map(move |item| (user, item))) {
            counts[bucket(&crosses, 0, &[user, 0], &[item, 0])] += 1;
        }
        let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
        assert!(*least > 24 && *most < 112, "64 are usual: {least} to {most}");
    }
}
