//! Why an item is shown to a user, or at which stage it was lost: the same stages as a [request's](super::recommend), watched.

mod parts;

use std::collections::{HashMap, HashSet};

use gondola_request::{
    Degradation, ExplainRequest, Explanation, Explanations, Fate, ItemId, Source, SourcePlace, Stage,
    UserState,
};

use super::recommend::{Asked, Wanted, order_items};
use super::rules::ActiveRules;
use super::variant::{RequestError, Variant};
use crate::features::User;
use crate::items::ItemsView;
use crate::ordering::{Order, Scored};
use crate::retrieval::sources::{self, Lists, Quotas};
use crate::scoring::ScoreError;

/// What the stages made of a request.
struct Watched<'a> {
    asked: Asked<'a>,
    lists: Lists,
    /// The candidates that may be shown, by score, the best first.
    ranking: Ranking,
}

/// Candidates that are in order, and those of them that are shown.
struct Ranking {
    /// Places from 1 by score, by row.
    ranks: HashMap<u32, usize>,
    shown: HashSet<u32>,
    /// The rank after which nothing is shown: all places are taken.
    full_after: Option<usize>,
}

impl Variant {
    /// Says what becomes of items in the answer for a user; `state` is what an online store holds of them. Items are ranked the best first,
    /// also where the manifest has answers drawn by chance. Scores are made on the processor, as those of one user always are.
    pub fn explain(
        &self,
        request: &ExplainRequest,
        state: Option<&UserState>,
    ) -> Result<Explanations, RequestError> {
        let k = self.count(request.k, &self.rules.load())?;
        let items = self.items.view();
        let user = &request.user;
        let watched = self.watch(Wanted { user, state, k }, &items)?;
        let rows: Vec<Option<u32>> = request.items.iter().map(|item| items.find(item)).collect();
        let known: Vec<u32> = rows.iter().flatten().copied().collect();
        // Where scoring fails, that of the candidates said so.
        let scored = self
            .finite_scores(&watched.asked.user, &known, &items)
            .unwrap_or_default();
        let scores: HashMap<u32, f32> = scored.iter().map(|scored| (scored.item, scored.score)).collect();
        let explain = |(item, row): (&ItemId, &Option<u32>)| {
            let score = row.and_then(|row| scores.get(&row).copied());
            let parts = row.filter(|_| request.parts && score.is_some());
            Explanation {
                parts: parts.map_or_else(Vec::new, |row| self.parts(&watched.asked.user, row, &items)),
                ..self.explanation(item, *row, score, &watched, &items)
            }
        };
        let explained = request.items.iter().zip(&rows).map(explain).collect();
        Ok(Explanations {
            items: explained,
            degraded: watched.asked.degraded,
            timing: watched.asked.clock.finish(),
        })
    }

    fn watch(&self, wanted: Wanted<'_>, items: &ItemsView<'_>) -> Result<Watched<'_>, RequestError> {
        let mut asked = self.know(wanted, items);
        let find = || self.found(&asked.user, &asked.rules, items);
        let lists = asked.clock.time(Stage::Retrieval, find)?;
        self.keep(&mut asked, Some(sources::join(&lists)), items);
        let kept = std::mem::take(&mut asked.kept);
        let score = || self.finite_scores(&asked.user, &kept, items);
        let scored = asked.clock.time(Stage::Scoring, score).unwrap_or_else(|error| {
            tracing::error!(%error, variant = self.name(), "scoring failed; nothing is ranked");
            asked.degraded.push(Degradation::Scoring);
            Vec::new()
        });
        let order = || Ranking::of(scored, &asked.rules, wanted.k, items);
        let ranking = asked.clock.time(Stage::Ordering, order);
        Ok(Watched {
            asked,
            lists,
            ranking,
        })
    }

    /// Scores of items, without those that are not finite.
    fn finite_scores(
        &self,
        user: &User<'_>,
        rows: &[u32],
        items: &ItemsView<'_>,
    ) -> Result<Vec<Scored>, ScoreError> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        match self.score(user, rows, items) {
            Ok(scored) => Ok(scored
                .into_iter()
                .filter(|scored| scored.score.is_finite())
                .collect()),
            Err(ScoreError::NotANumber { .. }) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    fn explanation(
        &self,
        item: &ItemId,
        row: Option<u32>,
        score: Option<f32>,
        watched: &Watched<'_>,
        items: &ItemsView<'_>,
    ) -> Explanation {
        let Some(row) = row else {
            return Explanation {
                item: item.clone(),
                fate: Fate::Unknown,
                sources: Vec::new(),
                score: None,
                rank: None,
                parts: Vec::new(),
            };
        };
        let sources = places(row, &watched.asked.rules.quotas, &watched.lists);
        let (user, rules) = (&watched.asked.user, &watched.asked.rules);
        let fate = match self.barred_for(user, row, rules, items) {
            Some(bar) => bar,
            None if sources.is_empty() => Fate::NotFound,
            None => watched.ranking.fate(row),
        };
        Explanation {
            item: item.clone(),
            fate,
            sources,
            score,
            rank: watched.ranking.ranks.get(&row).copied(),
            parts: Vec::new(),
        }
    }
}

/// Where the sources have an item.
fn places(row: u32, quotas: &Quotas, lists: &Lists) -> Vec<SourcePlace> {
    let place = |(source, list): (Source, &Vec<u32>)| {
        let place = list.iter().position(|item| *item == row)?;
        Some(SourcePlace {
            source,
            place: place + 1,
        })
    };
    quotas
        .sources()
        .into_iter()
        .zip(lists)
        .filter_map(place)
        .collect()
}

impl Ranking {
    fn of(scored: Vec<Scored>, rules: &ActiveRules, k: usize, items: &ItemsView<'_>) -> Self {
        let ranked = Order::BestFirst.arrange(scored, &mut rand::rng());
        let ranks: HashMap<u32, usize> = ranked.iter().map(|scored| scored.item).zip(1..).collect();
        let shown = order_items(ranked, Order::BestFirst, rules, k, items);
        let last = shown.last().filter(|_| shown.len() == k);
        Self {
            full_after: last.map(|last| ranks[&last.item]),
            shown: shown.into_iter().map(|scored| scored.item).collect(),
            ranks,
        }
    }

    /// What became of a candidate that may be shown.
    fn fate(&self, row: u32) -> Fate {
        let Some(rank) = self.ranks.get(&row) else {
            return Fate::Damaged;
        };
        match self.shown.contains(&row) {
            true => Fate::Shown,
            false if self.full_after.is_some_and(|last| *rank > last) => Fate::BelowOthers,
            false => Fate::TooMuchAlike,
        }
    }
}
