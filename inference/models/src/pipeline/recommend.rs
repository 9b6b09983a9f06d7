//! The personalized pipeline: features, retrieval, filter, scoring, ordering.

use std::cell::RefCell;
use std::sync::Arc;

use super::rules::ActiveRules;
use super::variant::{Diversity, RequestError, Variant, named};
use crate::features::{Present, Purchase, User};
use crate::items::{ItemsView, PutItem};
use crate::ordering::{self, Order, Places, Scored, Spread};
use crate::retrieval::{Found, SearchError, inner_product, sources};
use crate::scoring::{CandidateBatch, ScoreError, check_numbers};
use gondola_request::{
    Answer, BoughtRule, Degradation, Fate, RecommendRequest, Recommendation, UserId, UserState,
};
use gondola_request::{Stage, StageClock};

/// Candidates that may be recommended, and those that may not.
#[derive(Debug, Default, PartialEq)]
pub struct Filtered {
    /// Rows that may be recommended, in the order of retrieval.
    pub kept: Vec<u32>,
    /// Rows that a rule took away.
    pub removed: Vec<u32>,
}

thread_local! {
    /// Encoded pair features, kept from request to request.
    static PAIRS: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
    static SCORES: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// A request between retrieval and scoring.
pub(super) struct Asked<'a> {
    pub(super) user: User<'a>,
    /// The rules that stood when it began.
    pub(super) rules: Arc<ActiveRules>,
    /// The rows of the candidates that may be recommended.
    pub(super) kept: Vec<u32>,
    pub(super) degraded: Vec<Degradation>,
    pub(super) clock: StageClock,
}

/// Whom items are wanted for, and how many.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) user: &'a UserId,
    /// What an online store holds of them.
    pub(super) state: Option<&'a UserState>,
    pub(super) k: usize,
}

impl Variant {
    /// Answers one request by what the snapshot knows of the user.
    pub fn recommend(&self, request: &RecommendRequest) -> Result<Answer, RequestError> {
        self.recommend_informed(request, None)
    }

    /// Answers one request; `state` is what an online store holds of the user. A stage that fails leaves the best answer that the
    /// stages before it allow, and the answer says so.
    pub fn recommend_informed(
        &self,
        request: &RecommendRequest,
        state: Option<&UserState>,
    ) -> Result<Answer, RequestError> {
        let k = self.count(request.k, &self.rules.load())?;
        let user = &request.user;
        let wanted = Wanted { user, state, k };
        if self.tensors.is_some() {
            return Ok(self.answers(&[wanted]).swap_remove(0));
        }
        let items = self.items.view();
        let mut asked = self.ask(wanted, &items);
        let score = || self.score(&asked.user, &asked.kept, &items);
        let scored = asked.clock.time(Stage::Scoring, score);
        Ok(self.answer(asked, scored, k, &items))
    }

    /// The stages before scoring.
    pub(super) fn ask(&self, wanted: Wanted<'_>, items: &ItemsView<'_>) -> Asked<'_> {
        let mut asked = self.know(wanted, items);
        let candidates = || self.candidates(&asked.user, &asked.rules, items);
        let found = asked.clock.time(Stage::Retrieval, candidates);
        let found = found.inspect_err(|error| self.log_failed_retrieval(error));
        self.keep(&mut asked, found.ok(), items);
        asked
    }

    /// Who asks.
    pub(super) fn know(&self, wanted: Wanted<'_>, items: &ItemsView<'_>) -> Asked<'_> {
        let mut clock = StageClock::start();
        let present = self.present(items);
        let user = clock.time(Stage::Features, || present.user(wanted.user, wanted.state));
        let unknown = (!user.known).then_some(Degradation::UnknownUser);
        Asked {
            user,
            rules: self.rules.load_full(),
            kept: Vec::new(),
            degraded: Vec::from_iter(unknown),
            clock,
        }
    }

    /// Users as of now.
    pub(super) fn present<'i>(&self, items: &'i ItemsView<'i>) -> Present<'_, 'i> {
        Present {
            users: &self.users,
            workflow: &self.workflow.user,
            items,
            weights: self.schema.interactions.unwrap_or_default(),
            carries_on: self.schema.interactions.is_some(),
            as_of: self.as_of,
        }
    }

    /// Keeps those of the candidates that may be recommended; of popular items where retrieval found nothing because it failed.
    pub(super) fn keep(&self, asked: &mut Asked<'_>, found: Option<Vec<u32>>, items: &ItemsView<'_>) {
        let candidates = found.unwrap_or_else(|| {
            asked.degraded.push(Degradation::Retrieval);
            let popular = items.popular().iter();
            popular.take(asked.rules.quotas.total()).copied().collect()
        });
        let Asked {
            user,
            rules,
            clock,
            kept,
            ..
        } = asked;
        *kept = clock
            .time(Stage::Filter, || self.filter(user, rules, candidates, items))
            .kept;
    }

    pub(super) fn log_failed_retrieval(&self, error: &dyn std::error::Error) {
        tracing::error!(%error, variant = self.name(), "retrieval failed; falling back to popular items");
    }

    /// The answer, once the candidates have scores.
    pub(super) fn answer(
        &self,
        asked: Asked<'_>,
        scored: Result<Vec<Scored>, ScoreError>,
        k: usize,
        items: &ItemsView<'_>,
    ) -> Answer {
        let Asked {
            rules,
            kept,
            mut degraded,
            mut clock,
            ..
        } = asked;
        let mut order = self.settings.order;
        let scored = scored.unwrap_or_else(|error| {
            tracing::error!(%error, variant = self.name(), "scoring failed; falling back to the order of retrieval");
            degraded.push(Degradation::Scoring);
            order = Order::BestFirst;
            kept.iter().map(|item| Scored { item: *item, score: 0.0 }).collect()
        });
        let scored = self.without_damaged(scored, &mut degraded);
        let top = clock.time(Stage::Ordering, || match order {
            Order::BestFirst => named(&order_items(scored, order, &rules, k, items), items),
            Order::Sampled { .. } => drawn(scored, order, &rules, k, items),
        });
        Answer {
            items: top,
            degraded,
            timing: clock.finish(),
        }
    }

    pub(super) fn candidates(
        &self,
        user: &User<'_>,
        rules: &ActiveRules,
        items: &ItemsView<'_>,
    ) -> Result<Vec<u32>, SearchError> {
        Ok(sources::join(&self.found(user, rules, items)?))
    }

    /// What each source finds for a user.
    pub(super) fn found(
        &self,
        user: &User<'_>,
        rules: &ActiveRules,
        items: &ItemsView<'_>,
    ) -> Result<sources::Lists, SearchError> {
        let query = self.retrieval.embed_user(&user.row, &user.purchases)?;
        let nearest = self
            .retrieval
            .search(&query, rules.quotas.two_tower, rules.in_retrieval())?;
        Ok(self.lists(user, rules, &query, nearest, items))
    }

    /// Joins what is nearest to a user's place with items that were put since, and with the other sources.
    pub(super) fn join(
        &self,
        user: &User<'_>,
        rules: &ActiveRules,
        query: &[f32],
        nearest: Vec<Found>,
        items: &ItemsView<'_>,
    ) -> Vec<u32> {
        sources::join(&self.lists(user, rules, query, nearest, items))
    }

    /// What each source gives, where this is nearest to the user's place.
    fn lists(
        &self,
        user: &User<'_>,
        rules: &ActiveRules,
        query: &[f32],
        nearest: Vec<Found>,
        items: &ItemsView<'_>,
    ) -> sources::Lists {
        let nearest = with_put_items(nearest, items, |item| Some(inner_product(query, &item.vector)));
        let search = sources::Search {
            nearest: &nearest,
            purchases: &user.purchases,
            neighbors: self.neighbors.as_deref(),
            popular: items.popular(),
            trained: &self.trained,
        };
        sources::lists(&rules.quotas, &search)
    }

    /// Takes away what the rules of the spec, the shop or the user forbid.
    pub(super) fn filter(
        &self,
        user: &User<'_>,
        rules: &ActiveRules,
        candidates: Vec<u32>,
        items: &ItemsView<'_>,
    ) -> Filtered {
        let forbidden = |item: &u32| self.barred_for(user, *item, rules, items).is_some();
        let (removed, kept) = candidates.into_iter().partition(forbidden);
        Filtered { kept, removed }
    }

    /// What keeps an item out of a user's answers, if anything does.
    pub(super) fn barred_for(
        &self,
        user: &User<'_>,
        item: u32,
        rules: &ActiveRules,
        items: &ItemsView<'_>,
    ) -> Option<Fate> {
        let own = || match rules.already_bought {
            _ if user.dislikes(item) => Some(Fate::Disliked),
            BoughtRule::Remove if user.bought(item) => Some(Fate::Bought),
            _ => None,
        };
        self.barred(item, rules, items).or_else(own)
    }

    /// What keeps an item out of everybody's answers, if anything does.
    pub(super) fn barred(&self, item: u32, rules: &ActiveRules, items: &ItemsView<'_>) -> Option<Fate> {
        if self.blocked.contains(&item) || items.withdrawn(item).is_some() {
            Some(Fate::Blocked)
        } else if !rules.allow(item, items) {
            Some(Fate::AgainstRules)
        } else {
            None
        }
    }

    /// What a candidate is ranked by.
    pub(super) fn rank(&self, score: f32, item: u32, items: &ItemsView<'_>) -> f32 {
        match self.scorer.sampled_by {
            Some(_) => ordering::with_weight(score, items.weight(item)),
            None => score,
        }
    }

    /// Leaves out the candidates that have no finite score.
    fn without_damaged(&self, scored: Vec<Scored>, degraded: &mut Vec<Degradation>) -> Vec<Scored> {
        let (sound, damaged) = ordering::sound_and_damaged(scored);
        if let Some(first) = damaged.first() {
            let (row, candidates) = (first.item, damaged.len());
            tracing::warn!(
                row,
                candidates,
                variant = self.name(),
                "dropped candidates without a finite score"
            );
            degraded.push(Degradation::Candidates);
        }
        sound
    }

    /// A score for each candidate. A damaged one has none that is finite; it is an error if none has.
    pub(super) fn score(
        &self,
        user: &User<'_>,
        candidates: &[u32],
        items: &ItemsView<'_>,
    ) -> Result<Vec<Scored>, ScoreError> {
        let blocks: Vec<&[f32]> = candidates.iter().map(|item| items.block(*item)).collect();
        PAIRS.with_borrow_mut(|pairs| {
            pairs.clear();
            self.encode_pairs(&user.purchases, candidates, |item| items.categorical(item), pairs);
            let batch = CandidateBatch {
                blocks: &blocks,
                pairs,
                pair_width: self.pair_width(),
            };
            SCORES.with_borrow_mut(|scores| {
                match self.scorer.scorer.score(&user.row, &batch, scores) {
                    Err(ScoreError::NotANumber { .. }) => check_any_number(scores)?,
                    outcome => outcome?,
                }
                Ok(self.ranked(candidates, scores, items))
            })
        })
    }

    /// Adds what the scorer reads of each pair of a user and a candidate to `pairs`: `[candidates, pair_width]`, row-major.
    pub(super) fn encode_pairs<'a>(
        &self,
        purchases: &[Purchase],
        candidates: &[u32],
        categories: impl Fn(u32) -> &'a [u32],
        pairs: &mut Vec<f32>,
    ) {
        self.pairs.encode(purchases, candidates, categories, pairs);
        self.stacking
            .append(purchases, candidates, self.pairs.width(), pairs);
    }

    /// How many numbers the scorer reads of a pair.
    pub(super) fn pair_width(&self) -> usize {
        self.pairs.width() + self.stacking.width()
    }

    /// Candidates with what each is ranked by.
    pub(super) fn ranked(&self, candidates: &[u32], scores: &[f32], items: &ItemsView<'_>) -> Vec<Scored> {
        let scored = candidates.iter().zip(scores);
        scored
            .map(|(item, score)| Scored {
                item: *item,
                score: self.rank(*score, *item, items),
            })
            .collect()
    }
}

/// The `k` that are shown; fewer where too many candidates share a value.
pub(super) fn order_items(
    scored: Vec<Scored>,
    order: Order,
    rules: &ActiveRules,
    k: usize,
    items: &ItemsView<'_>,
) -> Vec<Scored> {
    let mut ordered = order.arrange(scored, &mut rand::rng());
    let Some(Spread { most, group }) = spread(rules, items) else {
        ordered.truncate(k);
        return ordered;
    };
    ordering::first_of_each_group(ordered, k, most, group)
}

/// The `k` that are drawn, each with the chance that it had at its place.
fn drawn(
    scored: Vec<Scored>,
    order: Order,
    rules: &ActiveRules,
    k: usize,
    items: &ItemsView<'_>,
) -> Vec<Recommendation> {
    let shown = order_items(scored.clone(), order, rules, k, items);
    let rows: Vec<u32> = shown.iter().map(|scored| scored.item).collect();
    let places = Places::new(order, &scored, &rows, spread(rules, items));
    let mut named = named(&shown, items);
    for (item, chance) in named.iter_mut().zip(places.chances()) {
        // What was drawn had a chance.
        item.chance = Some((chance as f32).max(f32::MIN_POSITIVE));
    }
    named
}

/// How many items may be alike, and which are.
pub(super) fn spread<'a>(
    rules: &ActiveRules,
    items: &'a ItemsView<'_>,
) -> Option<Spread<impl Fn(u32) -> Option<u32> + 'a>> {
    let Diversity { column, known, most } = rules.diversity?;
    // Items of which the value is not known have nothing in common.
    let group = move |item| Some(items.categorical(item)[column]).filter(|value| known.is_known(*value));
    Some(Spread { most, group })
}

/// Refuses scores of which none is a number: where some are, the others are their candidates' alone.
pub(super) fn check_any_number(scores: &[f32]) -> Result<(), ScoreError> {
    if scores.iter().any(|score| score.is_finite()) {
        return Ok(());
    }
    check_numbers(scores)
}

/// Joins what an index found with items that were put since it was built, the nearest first. An item that was put stands
/// where its new vector puts it, or nowhere if it has none.
pub(super) fn with_put_items(
    found: Vec<Found>,
    items: &ItemsView<'_>,
    similarity: impl Fn(&PutItem) -> Option<f32>,
) -> Vec<Found> {
    if items.put_items().next().is_none() {
        return found;
    }
    let put = items.put_items().filter_map(|item| {
        Some(Found {
            item: item.row,
            similarity: similarity(item)?,
        })
    });
    let unchanged = found.into_iter().filter(|found| !items.is_put(found.item));
    let mut all: Vec<Found> = unchanged.chain(put).collect();
    all.sort_by(|a, b| b.similarity.total_cmp(&a.similarity));
    all
}
