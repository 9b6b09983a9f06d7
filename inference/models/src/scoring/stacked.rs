//! Stacked sources: trained sources of candidates whose opinion of a candidate is an input of a scorer.
//!
//! A model of who buys what sees what no column says: that those who bought the same went on to this item. It gives a scorer two more
//! numbers of the pair, behind those of the workflow: `score_NAME`, how much it holds of the item, and `rank_NAME`, where the item
//! stands in its list. The scorer is fitted on what the source said before each window, so that it learns how far to trust it
//! (Wolpert, "Stacked generalization", 1992).

use serde::{Deserialize, Serialize};

use crate::features::Layout;

/// A trained source whose opinions a scorer reads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StackedSource {
    /// Its name among the pipeline's trained sources.
    pub name: String,
    /// What its scores are divided by: their standard deviation among the pairs of training.
    pub scale: f32,
}

/// How many inputs a source gives.
pub const OPINION_WIDTH: usize = 2;

/// `layout` with what these sources say behind what the workflow says of a pair.
pub fn layout_with(layout: &Layout, sources: &[StackedSource]) -> Layout {
    let columns = sources.iter().flat_map(StackedSource::columns);
    let mut layout = layout.clone();
    layout.pair.extend(columns);
    layout
}

impl StackedSource {
    /// The names of its columns, in order: of the score and of the rank.
    pub fn columns(&self) -> [String; OPINION_WIDTH] {
        [format!("score_{}", self.name), format!("rank_{}", self.name)]
    }

    /// What a scorer reads: the score in units of the scale, 0 where there is none; and 1 for the first place, less for each that
    /// follows as nDCG has it, 0 without a place.
    pub fn encode(&self, score: Option<f32>, place: Option<usize>) -> [f32; OPINION_WIDTH] {
        let rank = place.map_or(0.0, |place| 1.0 / (1.0 + place as f32).log2());
        [score.unwrap_or(0.0) / self.scale, rank]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_opinion_is_two_numbers_behind_those_of_the_workflow() {
        let ease = StackedSource {
            name: "ease".to_owned(),
            scale: 0.5,
        };
        let layout = Layout {
            pair: vec!["purchases".to_owned()],
            ..Layout::default()
        };
        let inputs = layout_with(&layout, std::slice::from_ref(&ease)).inputs();
        assert_eq!(inputs, ["pair.purchases", "pair.score_ease", "pair.rank_ease"]);
        assert_eq!(ease.encode(Some(1.0), Some(1)), [2.0, 1.0]);
        assert_eq!(ease.encode(Some(-0.5), Some(3)), [-1.0, 0.5]);
        assert_eq!(ease.encode(None, None), [0.0, 0.0]);
    }
}
