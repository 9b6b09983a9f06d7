//! The personalized pipeline for many users at once: the same stages and the same answers, with one scoring for several users.

use super::items::ItemsView;
use super::recommend::{Asked, check_any_number};
use super::variant::{RequestError, Variant};
use crate::features::EncodedRow;
use crate::ordering::Scored;
use crate::scoring::{CandidateBatch, ScoreError};
use gondola_request::{Answer, UserId};

/// Users whose candidates are scored together: enough that a forest comes into a core's cache seldom, and few enough that what is
/// kept of them stays there.
const SCORED_TOGETHER: usize = 32;

/// Buffers of many users' candidates.
#[derive(Default)]
struct Buffers {
    pairs: Vec<f32>,
    scores: Vec<f32>,
}

impl Variant {
    /// Answers all users as [`Variant::recommend`] answers each of them, in their order. The timing leaves scoring out.
    pub fn recommend_all(&self, users: &[UserId], k: Option<usize>) -> Result<Vec<Answer>, RequestError> {
        let k = self.count(k)?;
        let items = self.items.view();
        let mut answers = Vec::with_capacity(users.len());
        let mut buffers = Buffers::default();
        for users in users.chunks(SCORED_TOGETHER) {
            let asked: Vec<Asked<'_>> = users.iter().map(|user| self.ask(user, &items)).collect();
            let scored = self.score_all(&asked, &items, &mut buffers);
            let answered = asked.into_iter().zip(scored);
            answers.extend(answered.map(|(asked, scored)| self.answer(asked, scored, k, &items)));
        }
        Ok(answers)
    }

    /// A score for each candidate of each user, as [`Variant::score`] gives them; one user at a time where that fails, so that
    /// the others have theirs.
    fn score_all(
        &self,
        asked: &[Asked<'_>],
        items: &ItemsView<'_>,
        buffers: &mut Buffers,
    ) -> Vec<Result<Vec<Scored>, ScoreError>> {
        if self.score_together(asked, items, buffers).is_err() {
            let score = |asked: &Asked<'_>| self.score(&asked.user, &asked.kept, items);
            return asked.iter().map(score).collect();
        }
        let mut rest = buffers.scores.as_slice();
        let own = |asked: &Asked<'_>| {
            let (scores, others) = rest.split_at(asked.kept.len());
            rest = others;
            check_any_number(scores)?;
            Ok(self.ranked(&asked.kept, scores, items))
        };
        asked.iter().map(own).collect()
    }

    /// The scores of all candidates, one user's after the other's, into `buffers.scores`.
    fn score_together(
        &self,
        asked: &[Asked<'_>],
        items: &ItemsView<'_>,
        buffers: &mut Buffers,
    ) -> Result<(), ScoreError> {
        let candidates = asked.iter().flat_map(|asked| &asked.kept);
        let blocks: Vec<&[f32]> = candidates.map(|item| items.block(*item)).collect();
        buffers.pairs.clear();
        for Asked { user, kept, .. } in asked {
            let categories = |item| items.categorical(item);
            self.pairs
                .encode(&user.purchases, kept, categories, &mut buffers.pairs);
        }
        let users: Vec<(&EncodedRow, usize)> = asked
            .iter()
            .map(|asked| (&asked.user.row, asked.kept.len()))
            .collect();
        let batch = CandidateBatch {
            blocks: &blocks,
            pairs: &buffers.pairs,
            pair_width: self.pairs.width(),
        };
        self.scorer
            .scorer
            .score_users(&users, &batch, &mut buffers.scores)
    }
}
