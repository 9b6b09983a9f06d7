//! Ordering: which `k` of the scored candidates are shown, and in which order.
//!
//! The best first, or drawn by their scores so that less known items are seen too; and, if wanted, no more than a few
//! that share a value, so that an answer isn't twelve kinds of milk. Where a list is drawn, [`chances`] says with which chance.

pub mod chances;

use rand::{Rng, RngExt};

pub use chances::{Places, Spread};

/// A candidate and its score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored {
    /// The item's row.
    pub item: u32,
    /// Its score.
    pub score: f32,
}

/// How scored candidates are put in order.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Order {
    /// The highest score first; equal scores stay in the order in which they were given.
    #[default]
    BestFirst,
    /// Drawn one after the other by a softmax: each with a chance in proportion to `exp(score / temperature)`, or, where all
    /// scores are probabilities (from 0 to 1), to `exp(ln(score) / temperature) = score^(1 / temperature)`. Near 0 it is
    /// the best first, at 1 probabilities are the chances, far above every candidate has the same.
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
                let utility = utility(&scored);
                let mut keyed: Vec<(f64, Scored)> = scored
                    .iter()
                    .map(|scored| (key(utility(scored.score), temperature, random.random()), *scored))
                    .collect();
                keyed.sort_by(|(a, _), (b, _)| b.total_cmp(a));
                scored.clear();
                scored.extend(keyed.into_iter().map(|(_, scored)| scored));
            }
        }
        scored
    }
}

/// What the softmax is taken of: the logarithm of probabilities, other scores as they are. Margins and ranking scores have no
/// zero, so that only their differences mean something.
fn utility(scored: &[Scored]) -> fn(f32) -> f64 {
    match scored.iter().all(|scored| (0.0..=1.0).contains(&scored.score)) {
        true => |score| f64::from(score.max(f32::MIN_POSITIVE)).ln(),
        false => f64::from,
    }
}

/// The Gumbel trick (Kool, van Hoof and Welling, 2019): sorting by log-weight plus Gumbel noise draws without replacement.
fn key(utility: f64, temperature: f32, uniform: f64) -> f64 {
    let gumbel = -(-uniform.max(f64::MIN_POSITIVE).ln()).max(f64::MIN_POSITIVE).ln();
    utility / f64::from(temperature) + gumbel
}

/// Parts candidates that have a finite score from those that have none.
pub fn sound_and_damaged(scored: Vec<Scored>) -> (Vec<Scored>, Vec<Scored>) {
    scored.into_iter().partition(|scored| scored.score.is_finite())
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

    /// How often each of three scores comes first in 4,000 draws; three standard errors are at most 0.024.
    #[track_caller]
    fn check_drawn(scores: [f32; 3], temperature: f32, chances: [f64; 3]) {
        let mut random = ChaCha8Rng::seed_from_u64(5);
        let mut first = [0.0; 3];
        for _ in 0..4000 {
            let drawn = Order::Sampled { temperature }.arrange(candidates(&scores), &mut random);
            first[drawn[0].item as usize] += 1.0 / 4000.0;
        }
        for (found, chance) in first.iter().zip(chances) {
            assert!(
                (found - chance).abs() < 0.024,
                "{scores:?}: {first:?}, wanted {chances:?}"
            );
        }
    }

    #[test]
    fn scores_that_are_not_probabilities_are_drawn_by_their_differences() {
        // exp(0), exp(1) and exp(2) over their sum.
        let softmax = [0.0900, 0.2447, 0.6652];
        check_drawn([-3.0, -2.0, -1.0], 1.0, softmax);
        check_drawn([-1.0, 0.0, 1.0], 1.0, softmax);
        check_drawn([7.0, 8.0, 9.0], 1.0, softmax);
        check_drawn([-0.6, -0.4, -0.2], 0.2, softmax);
        check_drawn([-3.0, -2.0, -1.0], 0.01, [0.0, 0.0, 1.0]);
        check_drawn([-3e38, 0.0, 3e38], 0.001, [0.0, 0.0, 1.0]);
        check_drawn([-3.0, -2.0, -1.0], 1000.0, [1.0 / 3.0; 3]);
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
    fn candidates_without_a_finite_score_are_parted_from_the_others() {
        let given = candidates(&[0.5, f32::NAN, f32::INFINITY, -2.0, f32::NEG_INFINITY]);
        let (sound, damaged) = sound_and_damaged(given);
        assert_eq!((items(&sound), items(&damaged)), (vec![0, 3], vec![1, 2, 4]));
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
