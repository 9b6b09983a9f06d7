//! What is put is tried first: whatever the models would make no finite number of stays outside.
//!
//! A value may be a number and yet become infinite on its way to a score, and one item's score is everybody's trouble. Rows
//! are held against the workflow's own statistics ([`check_range`]), then embedded and scored once.

use super::change::check_range;
use super::variant::{RequestError, Variant};
use crate::features::{Purchase, RawRow, User, users::Purchases};
use crate::items::{ItemsView, NewItem};
use crate::ordering;
use crate::scoring::{CandidateBatch, ScoreError};

/// How many popular items a user is tried with.
const TRIED_ITEMS: usize = 16;

impl Variant {
    /// Refuses an item that has no finite place or, for somebody of whom nothing is known, no finite score.
    pub(super) fn try_item(&self, new: &NewItem) -> Result<(), RequestError> {
        let not_finite = |result| RequestError::NotFinite {
            entity: "item",
            result,
        };
        if !all_finite(&new.vector) || !new.text_vector.as_deref().is_none_or(all_finite) {
            return Err(not_finite("vector"));
        }
        match self.score_for_nobody(new) {
            Ok(score) if score.is_finite() => Ok(()),
            Ok(_) | Err(ScoreError::NotANumber { .. }) => Err(not_finite("score")),
            // What is wrong with the model is wrong with every item.
            Err(ScoreError::UserShape { .. } | ScoreError::Device | ScoreError::Network(_)) => Ok(()),
        }
    }

    fn score_for_nobody(&self, new: &NewItem) -> Result<f32, ScoreError> {
        let nobody = self.workflow.user.encode(&RawRow::default());
        let mut pairs = Vec::new();
        // Of which no source knows anything.
        let row = u32::MAX;
        self.encode_pairs(&[], &[row], |_| &new.encoded.categorical, &mut pairs);
        let batch = CandidateBatch {
            blocks: &[&new.block],
            pairs: &pairs,
            pair_width: self.pair_width(),
        };
        let mut scores = Vec::with_capacity(1);
        self.scorer.scorer.score(&nobody, &batch, &mut scores)?;
        Ok(match self.scorer.sampled_by {
            Some(_) => ordering::with_weight(scores[0], new.weight),
            None => scores[0],
        })
    }

    /// Refuses a user for whom numbers are too far out, or no item has a finite score.
    pub(super) fn try_user(
        &self,
        features: &RawRow,
        history: &[Purchase],
        items: &ItemsView<'_>,
    ) -> Result<(), RequestError> {
        let row = self.workflow.user.encode(features);
        check_range("user", features, &row, &self.workflow.user)?;
        let mut bought = history.to_vec();
        bought.sort_by_key(|purchase| purchase.item);
        bought.dedup_by_key(|purchase| purchase.item);
        self.try_pairs(&bought, items)?;
        let not_finite = |result| RequestError::NotFinite {
            entity: "user",
            result,
        };
        // A tower that gives nothing gives nobody a place.
        if self
            .retrieval
            .embed_user(&row, &bought)
            .is_ok_and(|place| !all_finite(&place))
        {
            return Err(not_finite("vector"));
        }
        let user = User::known(row, Purchases::Snapshot(&bought));
        let tried: Vec<u32> = items.popular().iter().take(TRIED_ITEMS).copied().collect();
        match self.score(&user, &tried, items) {
            Ok(scored) if scored.is_empty() || scored.iter().any(|scored| scored.score.is_finite()) => Ok(()),
            Ok(_) | Err(ScoreError::NotANumber { .. }) => Err(not_finite("score")),
            Err(ScoreError::UserShape { .. } | ScoreError::Device | ScoreError::Network(_)) => Ok(()),
        }
    }

    /// Refuses purchases of which features of pairs come that models can't be given. No other item can have greater ones
    /// than those that were bought.
    fn try_pairs(&self, bought: &[Purchase], items: &ItemsView<'_>) -> Result<(), RequestError> {
        let rows: Vec<u32> = bought.iter().map(|purchase| purchase.item).collect();
        let mut pairs = Vec::new();
        self.pairs
            .encode(bought, &rows, |item| items.categorical(item), &mut pairs);
        match self.pairs.first_not_admitted(&pairs) {
            None => Ok(()),
            Some(column) => Err(RequestError::OutOfRange {
                entity: "user",
                column: column.to_owned(),
                value: "what the history makes of it".to_owned(),
            }),
        }
    }
}

fn all_finite(values: &[f32]) -> bool {
    values.iter().all(|value| value.is_finite())
}
