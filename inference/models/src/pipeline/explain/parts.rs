//! What each input adds to an item's score: the score less what it would be if nothing were known of that input.
//!
//! It is the scorer itself that is asked, once for each input, so that this holds for every family alike. Inputs that say the same stand in
//! for each other: each looks small while the other is there, and the parts don't sum up to the score.

use gondola_request::Part;

use crate::features::{EncodedRow, EncodedTable, RawRow, User};
use crate::items::ItemsView;
use crate::pipeline::variant::Variant;
use crate::scoring::stacked::layout_with;
use crate::scoring::{CandidateBatch, ScoreError};

/// What a scorer reads of a user and an item.
#[derive(Clone)]
struct Inputs {
    user: EncodedRow,
    item: EncodedRow,
    pair: Vec<f32>,
}

impl Variant {
    /// What each input adds to the score of a row, the most first; without those that add nothing.
    pub(super) fn parts(&self, user: &User<'_>, row: u32, items: &ItemsView<'_>) -> Vec<Part> {
        let known = Inputs {
            user: user.row.clone(),
            item: items.encoded(row),
            pair: self.pair_of(user, row, items),
        };
        let mut questions = vec![known.clone()];
        let mut names = Vec::new();
        let layout = layout_with(&self.workflow.layout(), &self.scorer.sources);
        for (name, without) in layout
            .inputs()
            .into_iter()
            .zip(known.each_without(&self.unknown()))
        {
            if let Some(without) = without {
                names.push(name);
                questions.push(without);
            }
        }
        let scores = self.score_inputs(&questions).unwrap_or_default();
        let Some((score, without)) = scores.split_first() else {
            return Vec::new();
        };
        let rank = |score: &f32| self.rank(*score, row, items);
        let parts = names.into_iter().zip(without).map(|(input, without)| Part {
            input,
            adds: rank(score) - rank(without),
        });
        let mut parts: Vec<Part> = parts
            .filter(|part| part.adds.is_finite() && part.adds != 0.0)
            .collect();
        parts.sort_by(|one, other| other.adds.abs().total_cmp(&one.adds.abs()));
        parts
    }

    fn pair_of(&self, user: &User<'_>, row: u32, items: &ItemsView<'_>) -> Vec<f32> {
        let mut pair = Vec::with_capacity(self.pair_width());
        let categories = |item| items.categorical(item);
        self.encode_pairs(&user.purchases, &[row], categories, &mut pair);
        pair
    }

    /// What a scorer reads where nothing is known.
    fn unknown(&self) -> Inputs {
        let mut pair: Vec<f32> = self
            .workflow
            .pair
            .iter()
            .map(|column| column.encode(None))
            .collect();
        pair.resize(self.pair_width(), 0.0);
        Inputs {
            user: self.workflow.user.encode(&RawRow::default()),
            item: self.workflow.item.encode(&RawRow::default()),
            pair,
        }
    }

    /// The score of each.
    fn score_inputs(&self, questions: &[Inputs]) -> Result<Vec<f32>, ScoreError> {
        let scorer = self.scorer.scorer.as_ref();
        let first = &questions[0].item;
        let mut items = EncodedTable::new(first.categorical.len(), first.numeric.len());
        questions.iter().for_each(|question| items.push(&question.item));
        let width = scorer.block_width();
        let mut blocks = vec![0.0; questions.len() * width];
        scorer.prepare(&items, &mut blocks);
        let blocks: Vec<&[f32]> = (0..questions.len())
            .map(|at| &blocks[at * width..][..width])
            .collect();
        let pairs: Vec<f32> = questions
            .iter()
            .flat_map(|question| &question.pair)
            .copied()
            .collect();
        let users: Vec<(&EncodedRow, usize)> = questions.iter().map(|question| (&question.user, 1)).collect();
        let batch = CandidateBatch {
            blocks: &blocks,
            pairs: &pairs,
            pair_width: self.pair_width(),
        };
        let mut scores = Vec::with_capacity(questions.len());
        scorer.score_users(&users, &batch, &mut scores)?;
        Ok(scores)
    }
}

impl Inputs {
    /// The same without each of the inputs, in the order of [`Layout::inputs`](crate::features::Layout::inputs); none where nothing is
    /// known of it anyway.
    fn each_without(&self, unknown: &Self) -> Vec<Option<Self>> {
        let mut all = Vec::new();
        for place in 0..self.user.categorical.len() {
            all.push(self.without(unknown, |inputs| &mut inputs.user.categorical[place]));
        }
        for place in 0..self.user.numeric.len() {
            all.push(self.without(unknown, |inputs| &mut inputs.user.numeric[place]));
        }
        for place in 0..self.item.categorical.len() {
            all.push(self.without(unknown, |inputs| &mut inputs.item.categorical[place]));
        }
        for place in 0..self.item.numeric.len() {
            all.push(self.without(unknown, |inputs| &mut inputs.item.numeric[place]));
        }
        for place in 0..self.pair.len() {
            all.push(self.without(unknown, |inputs| &mut inputs.pair[place]));
        }
        all
    }

    fn without<T: Copy + PartialEq>(
        &self,
        unknown: &Self,
        input: impl Fn(&mut Self) -> &mut T,
    ) -> Option<Self> {
        let (mut inputs, mut unknown) = (self.clone(), unknown.clone());
        let nothing = *input(&mut unknown);
        let value = input(&mut inputs);
        if *value == nothing {
            return None;
        }
        *value = nothing;
        Some(inputs)
    }
}
