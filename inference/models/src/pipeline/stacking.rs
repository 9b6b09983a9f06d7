//! Stacking: what trained sources say of candidates becomes what a scorer reads of them, in serving and in training alike.

use std::sync::Arc;

use crate::features::Purchase;
use crate::retrieval::trained::TrainedSource;
use crate::scoring::stacked::{OPINION_WIDTH, StackedSource};

/// The sources whose opinions a scorer reads, in its order.
#[derive(Clone, Debug, Default)]
pub struct Stacking {
    sources: Vec<(StackedSource, Arc<TrainedSource>)>,
}

impl Stacking {
    /// Takes each source with what its scores are divided by.
    pub fn new(sources: Vec<(StackedSource, Arc<TrainedSource>)>) -> Self {
        Self { sources }
    }

    /// The same of no source.
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// How many numbers the sources give of a pair.
    pub fn width(&self) -> usize {
        OPINION_WIDTH * self.sources.len()
    }

    /// Puts what the sources say of each candidate behind its features. The last rows of `pairs` are those of `candidates`, each of
    /// `width` features; afterwards each has [`Stacking::width`] more.
    pub fn append(&self, purchases: &[Purchase], candidates: &[u32], width: usize, pairs: &mut Vec<f32>) {
        if self.is_empty() || candidates.is_empty() {
            return;
        }
        let (wider, first) = (width + self.width(), pairs.len() - candidates.len() * width);
        pairs.resize(first + candidates.len() * wider, 0.0);
        // From the last row on, so that none is overwritten before it has moved.
        for row in (1..candidates.len()).rev() {
            let from = first + row * width;
            pairs.copy_within(from..from + width, first + row * wider);
        }
        let rows = &mut pairs[first..];
        for (at, (stacked, source)) in self.sources.iter().enumerate() {
            let opinions = source.opinions(purchases, candidates);
            for (row, opinion) in rows.chunks_exact_mut(wider).zip(opinions) {
                let encoded = stacked.encode(opinion.score, opinion.place);
                row[width + at * OPINION_WIDTH..][..OPINION_WIDTH].copy_from_slice(&encoded);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retrieval::trained::{ItemWeights, Model, Ranking, Weight};

    /// What is bought with item 0: item 2 more than item 1. Item 3 is not known.
    fn weights() -> Arc<TrainedSource> {
        let weight = |item, weight| Weight { item, weight };
        let rows = vec![vec![weight(1, 1.0), weight(2, 2.0)], vec![], vec![]];
        let model = Model::ItemWeights(ItemWeights::new(rows));
        Arc::new(TrainedSource::new(model, (0..3).map(Some).collect(), 4))
    }

    fn stacked(scale: f32) -> StackedSource {
        StackedSource {
            name: "source".to_owned(),
            scale,
        }
    }

    #[test]
    fn each_candidate_gets_the_score_and_the_rank_of_every_source_behind_its_features() {
        let list = Model::Ranking(Ranking::of_all(4));
        let list = Arc::new(TrainedSource::new(list, (0..4).map(Some).collect(), 4));
        let stacking = Stacking::new(vec![(stacked(0.5), weights()), (stacked(1.0), list)]);
        let bought = [Purchase {
            item: 0,
            purchases: 1.0,
            days_since_last: 1.0,
            recent_purchases: 1.0,
        }];
        let mut pairs = vec![9.0, 9.0, 0.1, 0.2, 0.3];
        stacking.append(&bought, &[3, 2, 1], 1, &mut pairs);
        let third = 1.0 / 3_f32.log2();
        assert_eq!(pairs[..2], [9.0, 9.0], "what stood before stays");
        assert_eq!(pairs[2..7], [0.1, 0.0, 0.0, 0.0, 1.0 / 5_f32.log2()]);
        assert_eq!(pairs[7..12], [0.2, 4.0, 1.0, 0.0, 0.5]);
        assert_eq!(pairs[12..], [0.3, 2.0, third, 0.0, third]);
    }

    #[test]
    fn without_sources_the_features_stay_as_they_are() {
        let mut pairs = vec![0.1, 0.2];
        Stacking::default().append(&[], &[0, 1], 1, &mut pairs);
        assert_eq!(pairs, [0.1, 0.2]);
    }
}
