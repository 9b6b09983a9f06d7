//! The personalized pipeline for many users at once: the same stages and the same answers, with one scoring for several users.
//!
//! Where a variant has a device, retrieval is for several users too: see [`on_device`](super::on_device).

use std::time::Instant;

use super::recommend::{Asked, Wanted, check_any_number};
use super::variant::{RequestError, Variant};
use crate::features::EncodedRow;
use crate::items::ItemsView;
use crate::ordering::Scored;
use crate::scoring::{CandidateBatch, ScoreError};
use crate::tensors::TOGETHER;
use gondola_request::{Answer, InformedRequest, Stage, UserId};

/// Users whose candidates are scored together: enough that a forest comes into a core's cache seldom, and few enough that what is
/// kept of them stays there.
const SCORED_TOGETHER: usize = 32;

/// Buffers of many users' candidates.
#[derive(Default)]
pub(super) struct Buffers {
    pub(super) pairs: Vec<f32>,
    pub(super) scores: Vec<f32>,
}

impl Variant {
    /// Answers all users as [`Variant::recommend`] answers each of them, in their order.
    pub fn recommend_all(&self, users: &[UserId], k: Option<usize>) -> Result<Vec<Answer>, RequestError> {
        let k = self.count(k, &self.rules.load())?;
        let state = None;
        let wanted: Vec<Wanted<'_>> = users.iter().map(|user| Wanted { user, state, k }).collect();
        Ok(self.answers(&wanted))
    }

    /// Answers each request as [`Variant::recommend_informed`] does, in their order: one that can't be answered costs no other its answer.
    pub fn recommend_each(&self, requests: &[InformedRequest]) -> Vec<Result<Answer, RequestError>> {
        let rules = self.rules.load();
        let count = |informed: &InformedRequest| self.count(informed.request.k, &rules);
        let counts: Vec<Result<usize, RequestError>> = requests.iter().map(count).collect();
        let wanted = requests.iter().zip(&counts);
        let wanted: Vec<Wanted<'_>> = wanted
            .filter_map(|(informed, count)| {
                Some(Wanted {
                    user: &informed.request.user,
                    state: informed.state.as_deref(),
                    k: *count.as_ref().ok()?,
                })
            })
            .collect();
        let mut answers = self.answers(&wanted).into_iter();
        let counted = counts.into_iter();
        counted
            .map(|count| count.map(|_| answers.next().expect("there is an answer for every count")))
            .collect()
    }

    /// The answers for users, each with so many items.
    pub(super) fn answers(&self, wanted: &[Wanted<'_>]) -> Vec<Answer> {
        let items = self.items.view();
        let mut answers = Vec::with_capacity(wanted.len());
        let mut buffers = Buffers::default();
        let together = self.tensors.as_ref().map_or(SCORED_TOGETHER, |_| TOGETHER);
        for wanted in wanted.chunks(together) {
            let mut asked = self.ask_all(wanted, &items);
            let started = Instant::now();
            let scored = self.score_all(&asked, &items, &mut buffers);
            let took = started.elapsed();
            asked
                .iter_mut()
                .for_each(|asked| asked.clock.note(Stage::Scoring, took));
            let answered = asked.into_iter().zip(scored).zip(wanted);
            let answer = |((asked, scored), Wanted { k, .. }): (_, &Wanted<'_>)| {
                self.answer(asked, scored, *k, &items)
            };
            answers.extend(answered.map(answer));
        }
        answers
    }

    /// The stages before scoring.
    fn ask_all(&self, wanted: &[Wanted<'_>], items: &ItemsView<'_>) -> Vec<Asked<'_>> {
        match &self.tensors {
            Some(tensors) => self.ask_on_device(tensors, wanted, items),
            None => wanted.iter().map(|wanted| self.ask(*wanted, items)).collect(),
        }
    }

    /// A score for each candidate of each user, as [`Variant::score`] gives them; one user at a time where that fails, so that
    /// the others have theirs.
    pub(super) fn score_all(
        &self,
        asked: &[Asked<'_>],
        items: &ItemsView<'_>,
        buffers: &mut Buffers,
    ) -> Vec<Result<Vec<Scored>, ScoreError>> {
        match self.score_together(asked, items, buffers) {
            Ok(()) => {}
            Err(ScoreError::Device) => return asked.iter().map(|_| Err(ScoreError::Device)).collect(),
            Err(_) => {
                let score = |asked: &Asked<'_>| self.score(&asked.user, &asked.kept, items);
                return asked.iter().map(score).collect();
            }
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
        buffers.pairs.clear();
        for Asked { user, kept, .. } in asked {
            let categories = |item| items.categorical(item);
            self.encode_pairs(&user.purchases, kept, categories, &mut buffers.pairs);
        }
        let users: Vec<(&EncodedRow, usize)> = asked
            .iter()
            .map(|asked| (&asked.user.row, asked.kept.len()))
            .collect();
        let candidates = asked.iter().flat_map(|asked| &asked.kept);
        if let Some(scorer) = self.tensors.as_ref().and_then(|tensors| tensors.scorer.as_ref()) {
            let candidates: Vec<u32> = candidates.copied().collect();
            return self.score_on_device(scorer, &users, &candidates, items, buffers);
        }
        let blocks: Vec<&[f32]> = candidates.map(|item| items.block(*item)).collect();
        let batch = CandidateBatch {
            blocks: &blocks,
            pairs: &buffers.pairs,
            pair_width: self.pair_width(),
        };
        self.scorer
            .scorer
            .score_users(&users, &batch, &mut buffers.scores)
    }
}
