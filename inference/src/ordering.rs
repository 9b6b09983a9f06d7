//! Ordering: which `k` of the scored candidates are shown, and in which order.
//!
//! The best first, or drawn by their scores so that less known items are seen too; and, if wanted, no more than a few
//! that share a value, so that an answer isn't twelve kinds of milk.

use rand::{Rng, RngExt};

/// A candidate and its score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored {
    /// The item's row.
    pub item: u32,
    /// Its score; never NaN.
    pub score: f32,
}

/// How scored candidates are put in order.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Order {
    /// The highest score first; equal scores stay in the order in which they were given.
    #[default]
    BestFirst,
    /// Drawn one after the other, each with a chance in proportion to `score^(1 / temperature)`: near 0 it is the best
    /// first, at 1 the scores are the chances, far above every candidate has the same.
    Sampled {
        /// Above 0.
        temperature: f32,
    },
}

impl Order {
    /// Puts candidates in order. Scores keep their values.
    pub fn arrange(self, mut scored: Vec<Scored>, random: &mut impl Rng) -> Vec<Scored> {
        match self {
            // A stable sort of a few hundred candidates costs microseconds, and its order does not change from run to run.
            Self::BestFirst => scored.sort_by(|a, b| b.score.total_cmp(&a.score)),
            Self::Sampled { temperature } => {
                let mut keyed: Vec<(f32, Scored)> = scored
                    .iter()
                    .map(|scored| (key(scored.score, temperature, random.random()), *scored))
                    .collect();
                keyed.sort_by(|(a, _), (b, _)| b.total_cmp(a));
                scored.clear();
                scored.extend(keyed.into_iter().map(|(_, scored)| scored));
            }
        }
        scored
    }
}

/// The Gumbel trick (Kool, van Hoof and Welling, 2019): sorting by log-weight plus Gumbel noise draws without replacement.
fn key(score: f32, temperature: f32, uniform: f32) -> f32 {
    let gumbel = -(-uniform.max(f32::MIN_POSITIVE).ln()).max(f32::MIN_POSITIVE).ln();
    score.max(f32::MIN_POSITIVE).ln() / temperature + gumbel
}

/// Keeps the first `k` of which no more than `most` share a group. What has no group is never in the way.
pub fn first_of_each_group(
    ordered: Vec<Scored>,
    k: usize,
    most: usize,
    group: impl Fn(u32) -> Option<u32>,
) -> Vec<Scored> {
    let mut taken: Vec<u32> = Vec::with_capacity(k);
    let fits = |scored: &Scored| {
        let Some(group) = group(scored.item) else {
            return true;
        };
        let room = taken.iter().filter(|other| **other == group).count() < most;
        if room {
            taken.push(group);
        }
        room
    };
    ordered.into_iter().filter(fits).take(k).collect()
}

/// Turns the probability of a model whose negatives were drawn in proportion to `weight` into one that ranks purchases:
/// the odds times the weight. See [`crate::scoring::Loaded::sampled_by`].
pub fn with_weight(probability: f32, weight: f32) -> f32 {
    let odds = probability / (1.0 - probability).max(f32::EPSILON) * weight;
    odds / (1.0 + odds)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn candidates(scores: &[f32]) -> Vec<Scored> {
        let scored = scores.iter().zip(0..);
        scored.map(|(&score, item)| Scored { item, score }).collect()
    }

    fn items(scored: &[Scored]) -> Vec<u32> {
        scored.iter().map(|scored| scored.item).collect()
    }

    #[test]
    fn a_weight_multiplies_the_odds() {
        assert!((with_weight(0.5, 1.0) - 0.5).abs() < 1e-6);
        assert!((with_weight(0.5, 3.0) - 0.75).abs() < 1e-6);
        assert!(with_weight(1.0, 2.0) <= 1.0);
        assert_eq!(with_weight(0.0, 2.0), 0.0);
    }

    #[test]
    fn the_highest_scores_come_first_and_ties_keep_their_order() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let ordered = Order::BestFirst.arrange(candidates(&[0.1, 0.9, 0.5, 0.9]), &mut random);
        assert_eq!(items(&ordered), [1, 3, 2, 0]);
    }

    #[test]
    fn the_temperature_says_how_far_chance_goes() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let mut first_is_best = |temperature| {
            let draw = |_| {
                let order = Order::Sampled { temperature };
                order.arrange(candidates(&[0.2, 0.6, 0.2]), &mut random)[0].item == 1
            };
            (0..4000).map(draw).filter(|best| *best).count() as f64 / 4000.0
        };
        assert_eq!(first_is_best(0.01), 1.0);
        // At 1 the chance is 0.6; three standard errors of 4,000 draws are 0.023.
        assert!((first_is_best(1.0) - 0.6).abs() < 0.024);
        assert!((first_is_best(1000.0) - 1.0 / 3.0).abs() < 0.024);
    }

    #[test]
    fn sampling_keeps_every_candidate_once_with_its_score() {
        let mut random = ChaCha8Rng::seed_from_u64(2);
        let given = candidates(&[0.0, 1.0, 0.3, f32::MIN_POSITIVE]);
        let mut drawn = Order::Sampled { temperature: 1.0 }.arrange(given.clone(), &mut random);
        drawn.sort_by_key(|scored| scored.item);
        assert_eq!(drawn, given);
    }

    #[test]
    fn no_more_than_a_few_share_a_group() {
        // Items 0 to 3 are of one group, 4 has none, 5 is of another.
        let group = |item| match item {
            0..4 => Some(7),
            4 => None,
            _ => Some(8),
        };
        let kept = first_of_each_group(candidates(&[0.9, 0.8, 0.7, 0.6, 0.5, 0.4]), 4, 2, group);
        assert_eq!(items(&kept), [0, 1, 4, 5]);
    }
}
