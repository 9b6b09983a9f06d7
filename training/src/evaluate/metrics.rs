//! Metrics of scored pairs.

use serde::{Deserialize, Serialize};

use super::bootstrap::{Interval, intervals};

/// Points of the ROC curve that are kept for the plot.
const CURVE_POINTS: usize = 200;

/// Groups of pairs of nearly the same score that calibration compares.
const CALIBRATED: usize = 10;

/// How well scores separate bought pairs from others.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PairMetrics {
    /// The probability that a bought pair scores higher than another; ties count half.
    pub auc: f64,
    /// Of the pairs that score 0.5 or more, the share that was bought.
    pub precision: f64,
    /// Of the pairs that were bought, the share that scores 0.5 or more.
    pub recall: f64,
    /// Mean negative logarithm of the probability given to what happened.
    pub log_loss: f64,
    /// How well scores are probabilities.
    #[serde(default)]
    pub calibration: Calibration,
    /// The ROC curve: (false positive rate, true positive rate), from (0, 0) to (1, 1).
    pub roc: Vec<(f64, f64)>,
}

impl PairMetrics {
    /// Compares scores with labels of 0 or 1.
    pub fn of(scores: &[f32], labels: &[f32]) -> Self {
        let mut ranked = pairs(scores, labels);
        ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
        let (auc, roc) = curve(&ranked);
        let chosen = || ranked.iter().filter(|(score, _)| *score >= 0.5);
        let hits = chosen().filter(|(_, bought)| *bought).count() as f64;
        let bought = ranked.iter().filter(|(_, bought)| *bought).count() as f64;
        let losses = ranked.iter().map(|(score, bought)| {
            let probability = f64::from(if *bought { *score } else { 1.0 - *score });
            -probability.max(1e-7).ln()
        });
        Self {
            auc,
            precision: ratio(hits, chosen().count() as f64),
            recall: ratio(hits, bought),
            log_loss: ratio(losses.sum(), ranked.len() as f64),
            calibration: Calibration::of(&ranked),
            roc,
        }
    }
}

/// Bootstrap intervals of the metrics of pairs, over users.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PairIntervals {
    /// Of the AUC.
    pub auc: Interval,
    /// Of the precision at 0.5.
    pub precision: Interval,
    /// Of the recall at 0.5.
    pub recall: Interval,
}

impl PairIntervals {
    /// `users` names the user of each pair, below `count`.
    pub fn of(scores: &[f32], labels: &[f32], users: &[u32], count: usize, seed: u64) -> Self {
        let mut ranked: Vec<(f32, bool, usize)> = pairs(scores, labels)
            .into_iter()
            .zip(users)
            .map(|((score, bought), user)| (score, bought, *user as usize))
            .collect();
        ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
        let [auc, precision, recall] = intervals(count, seed, |counts| weighted(&ranked, counts));
        Self {
            auc,
            precision,
            recall,
        }
    }
}

/// AUC, precision and recall of (score, bought, user), ranked by score, where each user counts so often. Ties
/// count half.
fn weighted(ranked: &[(f32, bool, usize)], counts: &[f64]) -> [f64; 3] {
    let (mut hits, mut misses, mut area) = (0.0, 0.0, 0.0);
    let (mut chosen_hits, mut chosen) = (0.0, 0.0);
    for tied in ranked.chunk_by(|a, b| a.0 == b.0) {
        let weight = |wanted: bool| -> f64 {
            let pairs = tied.iter().filter(|(_, bought, _)| *bought == wanted);
            pairs.map(|(_, _, user)| counts[*user]).sum()
        };
        let (tied_hits, tied_misses) = (weight(true), weight(false));
        area += tied_misses * (hits + tied_hits / 2.0);
        hits += tied_hits;
        misses += tied_misses;
        if tied[0].0 >= 0.5 {
            (chosen_hits, chosen) = (hits, hits + misses);
        }
    }
    [
        ratio(area, hits * misses),
        ratio(chosen_hits, chosen),
        ratio(chosen_hits, hits),
    ]
}

fn pairs(scores: &[f32], labels: &[f32]) -> Vec<(f32, bool)> {
    let bought = labels.iter().map(|label| *label > 0.5);
    scores.iter().copied().zip(bought).collect()
}

/// How well scores are probabilities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Expected calibration error: in tenths of all pairs by score, how far the mean score is from the share
    /// that was bought.
    pub error: f64,
    /// The mean score, as a multiple of the share that was bought.
    pub ratio: f64,
}

impl Calibration {
    /// Of pairs ranked by score.
    fn of(ranked: &[(f32, bool)]) -> Self {
        let sums = |pairs: &[(f32, bool)]| {
            let predicted: f64 = pairs.iter().map(|(score, _)| f64::from(*score)).sum();
            let bought = pairs.iter().filter(|(_, bought)| *bought).count() as f64;
            (predicted, bought)
        };
        let tenths = ranked.chunks(ranked.len().div_ceil(CALIBRATED).max(1)).map(sums);
        let error: f64 = tenths.map(|(predicted, bought)| (predicted - bought).abs()).sum();
        let (predicted, bought) = sums(ranked);
        Self {
            error: ratio(error, ranked.len() as f64),
            ratio: ratio(predicted, bought),
        }
    }
}

/// Area and points of the ROC curve of pairs ranked by score. Pairs of one score are one step, so ties count
/// half.
fn curve(ranked: &[(f32, bool)]) -> (f64, Vec<(f64, f64)>) {
    let positives = ranked.iter().filter(|(_, bought)| *bought).count() as f64;
    let negatives = ranked.len() as f64 - positives;
    let (mut hits, mut misses, mut area) = (0.0, 0.0, 0.0);
    let mut points = vec![(0.0, 0.0)];
    let keep_each = (ranked.len() / CURVE_POINTS).max(1);
    for (step, tied) in ranked.chunk_by(|a, b| a.0 == b.0).enumerate() {
        let tied_hits = tied.iter().filter(|(_, bought)| *bought).count() as f64;
        let tied_misses = tied.len() as f64 - tied_hits;
        area += tied_misses * (hits + tied_hits / 2.0);
        hits += tied_hits;
        misses += tied_misses;
        if step % keep_each == 0 {
            points.push((ratio(misses, negatives), ratio(hits, positives)));
        }
    }
    points.push((1.0, 1.0));
    (ratio(area, positives * negatives), points)
}

fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_count_half() {
        let auc = |scores: &[f32], labels: &[f32]| PairMetrics::of(scores, labels).auc;
        assert_eq!(auc(&[0.9, 0.8, 0.2, 0.1], &[1.0, 1.0, 0.0, 0.0]), 1.0);
        assert_eq!(auc(&[0.9, 0.8, 0.2, 0.1], &[0.0, 0.0, 1.0, 1.0]), 0.0);
        assert_eq!(auc(&[0.5, 0.5, 0.5, 0.5], &[1.0, 0.0, 1.0, 0.0]), 0.5);
        assert_eq!(auc(&[0.9, 0.5, 0.5, 0.1], &[1.0, 1.0, 0.0, 0.0]), 0.875);
    }

    #[test]
    fn metrics_of_users_who_count_once_are_those_of_the_pairs() {
        let (scores, labels) = ([0.9, 0.6, 0.5, 0.5, 0.4, 0.3], [1.0, 0.0, 1.0, 0.0, 1.0, 0.0]);
        let ranked: Vec<(f32, bool, usize)> = pairs(&scores, &labels)
            .into_iter()
            .enumerate()
            .map(|(at, (score, bought))| (score, bought, at / 2))
            .collect();
        let once = PairMetrics::of(&scores, &labels);
        assert_eq!(
            weighted(&ranked, &[1.0; 3]),
            [once.auc, once.precision, once.recall]
        );
        let first = PairMetrics::of(&scores[..2], &labels[..2]);
        let twice = weighted(&ranked, &[2.0, 0.0, 0.0]);
        assert_eq!(twice, [first.auc, first.precision, first.recall]);
    }

    #[test]
    fn calibration_compares_mean_scores_with_shares_of_what_was_bought() {
        let scores = [0.8f32; 10].into_iter().chain([0.2; 10]).collect::<Vec<_>>();
        let labels = |bought: usize| {
            (0..20)
                .map(|pair| f32::from(u8::from(pair < bought)))
                .collect::<Vec<_>>()
        };
        let right = PairMetrics::of(&[0.5; 20], &labels(10)).calibration;
        assert!((right.ratio - 1.0).abs() < 1e-6, "{right:?}");
        let low = PairMetrics::of(&scores, &labels(20)).calibration;
        assert!(
            (low.ratio - 0.5).abs() < 1e-6 && (low.error - 0.5).abs() < 1e-6,
            "{low:?}"
        );
    }

    #[test]
    fn precision_and_recall_are_at_one_half() {
        let metrics = PairMetrics::of(&[0.9, 0.6, 0.5, 0.4, 0.3], &[1.0, 0.0, 1.0, 1.0, 0.0]);
        assert_eq!((metrics.precision, metrics.recall), (2.0 / 3.0, 2.0 / 3.0));
    }
}
