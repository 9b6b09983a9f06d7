//! Metrics of scored pairs.

use serde::{Deserialize, Serialize};

/// Points of the ROC curve that are kept for the plot.
const CURVE_POINTS: usize = 200;

/// How well scores tell bought pairs from others.
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
    /// The ROC curve: (false positive rate, true positive rate), from (0, 0) to (1, 1).
    pub roc: Vec<(f64, f64)>,
}

impl PairMetrics {
    /// Compares scores with labels of 0 or 1.
    pub fn of(scores: &[f32], labels: &[f32]) -> Self {
        let mut ranked: Vec<(f32, bool)> = scores
            .iter()
            .copied()
            .zip(labels.iter().map(|l| *l > 0.5))
            .collect();
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
            roc,
        }
    }
}

/// Area and points of the ROC curve of pairs ranked by score. Pairs of one score are one step, so ties count half.
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
    fn precision_and_recall_are_at_one_half() {
        let metrics = PairMetrics::of(&[0.9, 0.6, 0.5, 0.4, 0.3], &[1.0, 0.0, 1.0, 1.0, 0.0]);
        assert_eq!((metrics.precision, metrics.recall), (2.0 / 3.0, 2.0 / 3.0));
    }
}
