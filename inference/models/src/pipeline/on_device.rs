//! The stages that a variant's device does, for several users at once.
//!
//! Users are looked up, sources joined and rules applied as without a device. A device that fails costs the stage at hand, as a
//! failed stage does anywhere: popular items in the place of those that were to be found, or the order of retrieval.

use std::time::Instant;

use super::recommend::{Asked, Wanted};
use super::recommend_all::Buffers;
use super::variant::Variant;
use crate::features::EncodedRow;
use crate::items::ItemsView;
use crate::scoring::ScoreError;
use crate::tensors::{Candidates, Neighborhood, PairScorer, Tensors};
use gondola_request::Stage;

/// Why the device found no items.
#[derive(Debug, thiserror::Error)]
enum NothingFound {
    #[error(transparent)]
    Device(#[from] candle_core::Error),
    #[error("the user's place among the items holds a value that is not finite")]
    NotFinite,
}

impl Variant {
    /// The stages before scoring, for at most [`TOGETHER`](crate::tensors::TOGETHER) users.
    pub(super) fn ask_on_device(
        &self,
        tensors: &Tensors,
        wanted: &[Wanted<'_>],
        items: &ItemsView<'_>,
    ) -> Vec<Asked<'_>> {
        let know = |wanted: &Wanted<'_>| self.know(*wanted, items);
        let mut asked: Vec<Asked<'_>> = wanted.iter().map(know).collect();
        let started = Instant::now();
        let found = self.candidates_of_all(tensors, &asked, items);
        let took = started.elapsed();
        for (asked, found) in asked.iter_mut().zip(found) {
            asked.clock.note(Stage::Retrieval, took);
            self.keep(asked, found, items);
        }
        asked
    }

    /// The candidates of each user; `None` where there are none because retrieval failed.
    fn candidates_of_all(
        &self,
        tensors: &Tensors,
        asked: &[Asked<'_>],
        items: &ItemsView<'_>,
    ) -> Vec<Option<Vec<u32>>> {
        let row = |asked: &'_ Asked<'_>| {
            self.retrieval
                .user_row(&asked.user.row, &asked.user.purchases)
                .into_owned()
        };
        let rows: Vec<EncodedRow> = asked.iter().map(row).collect();
        let rows: Vec<&EncodedRow> = rows.iter().collect();
        let found = tensors.nearest.of(&rows).map_err(NothingFound::Device);
        let Ok(found) = found.inspect_err(|error| self.log_failed_retrieval(error)) else {
            return asked.iter().map(|_| None).collect();
        };
        let candidates = |(asked, near): (&Asked<'_>, Neighborhood)| {
            if near.query.iter().all(|value| value.is_finite()) {
                return Some(self.join(&asked.user, &asked.rules, &near.query, near.found, items));
            }
            self.log_failed_retrieval(&NothingFound::NotFinite);
            None
        };
        asked.iter().zip(found).map(candidates).collect()
    }

    /// The scores of all candidates, one user's after the other's, into `buffers.scores`.
    pub(super) fn score_on_device(
        &self,
        scorer: &PairScorer,
        users: &[(&EncodedRow, usize)],
        candidates: &[u32],
        items: &ItemsView<'_>,
        buffers: &mut Buffers,
    ) -> Result<(), ScoreError> {
        let candidates = Candidates {
            users,
            items: candidates,
            pairs: &buffers.pairs,
        };
        scorer
            .score(&candidates, items, &mut buffers.scores)
            .map_err(|error| {
                tracing::error!(%error, variant = self.name(), "the device failed to score");
                ScoreError::Device
            })
    }
}
