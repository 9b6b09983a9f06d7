//! Answers that were logged, made again: by the bundles that they name, item by item and score by score.
//!
//! An answer in the best order has to come out the same. Of one that was drawn, chance is not drawn again: what has to come out the same is
//! each item's score, and the chance with which it stood at its place after those before it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use gondola_models::pipeline::choices::ChoiceError;
use gondola_models::pipeline::{RequestError, Variant};
use gondola_request::{
    Degradation, ExplainRequest, Explanation, ItemId, RecommendRequest, Recommendation, UserId, UserState,
};
use serde::Deserialize;

use crate::live::{Informed, Live};

/// How long the online store is waited for.
const WITHIN: Duration = Duration::from_secs(10);
/// A row that no catalog has.
const NOWHERE: u32 = u32::MAX;

/// An answer to a user, as `GET /v1/recommend` gave it; what else the JSON holds says nothing of how it was made.
#[derive(Clone, Debug, Deserialize)]
pub struct LoggedAnswer {
    /// Who was answered.
    pub user: UserId,
    /// The variant that answered.
    pub variant: String,
    /// The digests of the bundles that it served, by role.
    pub bundles: BTreeMap<String, String>,
    /// What it answered.
    pub items: Vec<Recommendation>,
    /// Why it was less than it could have been.
    #[serde(default)]
    pub degraded: Vec<Degradation>,
}

/// What became of an answer that was made again.
#[derive(Clone, Debug, PartialEq)]
pub enum Replayed {
    /// The same items at the same places.
    Same {
        /// The largest difference of a score or chance, as a part of it; 0 where all are equal to the last bit.
        apart: f32,
    },
    /// Something else.
    Other(Difference),
    /// It was not made by the stages that the bundles are for.
    NotTheirs(Degradation),
}

/// The first place at which an answer is another one.
#[derive(Clone, Debug, PartialEq)]
pub enum Difference {
    /// Another item stands there.
    Item {
        /// The place, from 1.
        place: usize,
        /// What was logged; none where the list was shorter.
        logged: Option<ItemId>,
        /// What is there now; none where the list is shorter.
        now: Option<ItemId>,
    },
    /// The item has another number.
    Number {
        /// The place, from 1.
        place: usize,
        /// The item.
        item: ItemId,
        /// `score` or `chance`.
        what: &'static str,
        /// What was logged.
        logged: f32,
        /// What it is now; not a number where it has none.
        now: f32,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Item { place, logged, now } => {
                let name = |item: &Option<ItemId>| {
                    item.as_ref()
                        .map_or("nothing".to_owned(), |item| item.to_string())
                };
                write!(f, "place {place} had {}, and has {} now", name(logged), name(now))
            }
            Self::Number {
                place,
                item,
                what,
                logged,
                now,
            } => {
                let now = match now.is_nan() {
                    true => "none".to_owned(),
                    false => now.to_string(),
                };
                write!(
                    f,
                    "{item} at place {place} had the {what} {logged}, and has {now} now"
                )
            }
        }
    }
}

/// Why an answer could not be made again.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The question is refused.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The draw can't be looked at again.
    #[error(transparent)]
    Choice(#[from] ChoiceError),
    /// The online store does not say what it holds of the user.
    #[error("the online store did not say within {} s what it holds of user {user}; try again", WITHIN.as_secs())]
    NotKnown {
        /// Who.
        user: UserId,
    },
}

/// A variant that makes answers again.
pub struct Replay {
    variant: Arc<Variant>,
    /// What holds what was put and done at run time, where that is to count.
    live: Option<Arc<Live<Variant>>>,
}

impl Replay {
    /// By these models; with an online store, by what it holds now.
    pub fn new(variant: Arc<Variant>, live: Option<Arc<Live<Variant>>>) -> Self {
        Self { variant, live }
    }

    /// Makes an answer again. Numbers that differ by no more than the share `tolerance` are the same.
    pub async fn replay(&self, logged: &LoggedAnswer, tolerance: f32) -> Result<Replayed, ReplayError> {
        let not_theirs = |degraded: &&Degradation| match degraded {
            Degradation::UnknownUser
            | Degradation::Candidates
            | Degradation::FallbackToControl
            | Degradation::FallbackToVariant => false,
            Degradation::OnlineStore => self.live.is_some(),
            Degradation::Retrieval
            | Degradation::Scoring
            | Degradation::Deadline
            | Degradation::LastResort => true,
        };
        if let Some(degraded) = logged.degraded.iter().find(not_theirs) {
            return Ok(Replayed::NotTheirs(*degraded));
        }
        let state = self.state(&logged.user).await?;
        let state = state.as_deref();
        let drawn = logged.items.iter().any(|item| item.chance.is_some());
        let now = match drawn {
            true => self.draw_again(logged, state)?,
            false => self.answer_again(logged, state)?,
        };
        Ok(compare(&logged.items, &now, tolerance))
    }

    async fn state(&self, user: &UserId) -> Result<Option<Arc<UserState>>, ReplayError> {
        let Some(live) = self.live.as_ref().filter(|_| !user.as_str().is_empty()) else {
            return Ok(None);
        };
        match live.user(user, WITHIN).await {
            Informed::Fully(state) => Ok(state),
            Informed::Not => Err(ReplayError::NotKnown { user: user.clone() }),
        }
    }

    fn answer_again(
        &self,
        logged: &LoggedAnswer,
        state: Option<&UserState>,
    ) -> Result<Vec<Recommendation>, RequestError> {
        let request = RecommendRequest {
            user: logged.user.clone(),
            // A list that was empty was so however many were wanted.
            k: Some(logged.items.len().max(1)),
        };
        Ok(self.variant.recommend_informed(&request, state)?.items)
    }

    /// What was drawn, with the scores and chances that its items have now.
    fn draw_again(
        &self,
        logged: &LoggedAnswer,
        state: Option<&UserState>,
    ) -> Result<Vec<Recommendation>, ReplayError> {
        let request = ExplainRequest {
            user: logged.user.clone(),
            items: logged.items.iter().map(|item| item.item.clone()).collect(),
            k: None,
            parts: false,
        };
        let explained = self.variant.explain(&request, state)?;
        let items = self.variant.items().view();
        let rows = request.items.iter();
        let rows: Vec<u32> = rows.map(|item| items.find(item).unwrap_or(NOWHERE)).collect();
        let places = self.variant.choices(&logged.user, state, &[rows])?;
        let chances = places.iter().flat_map(|places| places.chances());
        let again = |(explanation, chance): (Explanation, f64)| Recommendation {
            item: explanation.item,
            score: explanation.score.unwrap_or(f32::NAN),
            chance: Some(chance as f32),
        };
        Ok(explained.items.into_iter().zip(chances).map(again).collect())
    }
}

/// Holds what was logged against what there is now.
fn compare(logged: &[Recommendation], now: &[Recommendation], tolerance: f32) -> Replayed {
    let mut apart = 0f32;
    for place in 0..logged.len().max(now.len()) {
        match at_place(place + 1, logged.get(place), now.get(place), tolerance) {
            Ok(share) => apart = apart.max(share),
            Err(difference) => return Replayed::Other(difference),
        }
    }
    Replayed::Same { apart }
}

/// How far the numbers of what stands at a place are apart.
fn at_place(
    place: usize,
    logged: Option<&Recommendation>,
    now: Option<&Recommendation>,
    tolerance: f32,
) -> Result<f32, Difference> {
    let (Some(old), Some(new)) = (logged, now) else {
        return Err(Difference::item(place, logged, now));
    };
    if old.item != new.item {
        return Err(Difference::item(place, logged, now));
    }
    let number = |what, logged: f32, now: f32| {
        let share = share(logged, now);
        if share <= tolerance {
            return Ok(share);
        }
        Err(Difference::Number {
            place,
            item: old.item.clone(),
            what,
            logged,
            now,
        })
    };
    let score = number("score", old.score, new.score)?;
    match (old.chance, new.chance) {
        (Some(old), Some(new)) => Ok(score.max(number("chance", old, new)?)),
        _ => Ok(score),
    }
}

/// How far two numbers are apart, as a part of the larger; more than anything where one is none.
fn share(one: f32, other: f32) -> f32 {
    if one == other {
        return 0.0;
    }
    let share = (one - other).abs() / one.abs().max(other.abs());
    if share.is_nan() { f32::INFINITY } else { share }
}

impl Difference {
    fn item(place: usize, logged: Option<&Recommendation>, now: Option<&Recommendation>) -> Self {
        let item = |there: Option<&Recommendation>| there.map(|there| there.item.clone());
        Self::Item {
            place,
            logged: item(logged),
            now: item(now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(items: &[(&str, f32, Option<f32>)]) -> Vec<Recommendation> {
        let item = |(item, score, chance): &(&str, f32, Option<f32>)| Recommendation {
            item: ItemId::from(*item),
            score: *score,
            chance: *chance,
        };
        items.iter().map(item).collect()
    }

    fn said(logged: &[Recommendation], now: &[Recommendation]) -> String {
        match compare(logged, now, 1e-6) {
            Replayed::Other(difference) => difference.to_string(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn the_first_place_that_is_another_is_told() {
        let logged = list(&[("a", 0.5, None), ("b", 0.25, None)]);
        assert_eq!(compare(&logged, &logged, 0.0), Replayed::Same { apart: 0.0 });
        let close = list(&[("a", 0.5, None), ("b", 0.25 * (1.0 + f32::EPSILON), None)]);
        assert!(matches!(compare(&logged, &close, 1e-6), Replayed::Same { apart } if apart > 0.0));
        assert_eq!(
            said(&logged, &list(&[("a", 0.5, None), ("b", 0.2, None)])),
            "b at place 2 had the score 0.25, and has 0.2 now"
        );
        assert_eq!(
            said(&logged, &list(&[("a", 0.5, None), ("b", f32::NAN, None)])),
            "b at place 2 had the score 0.25, and has none now"
        );
        assert_eq!(
            said(&logged, &list(&[("c", 0.5, None), ("b", 0.25, None)])),
            "place 1 had a, and has c now"
        );
        assert_eq!(said(&logged, &logged[..1]), "place 2 had b, and has nothing now");
        assert_eq!(said(&[], &logged), "place 1 had nothing, and has a now");
    }

    #[test]
    fn an_item_that_was_drawn_has_to_have_its_chance_again() {
        let logged = list(&[("a", 0.5, Some(0.75))]);
        assert_eq!(compare(&logged, &logged, 0.0), Replayed::Same { apart: 0.0 });
        assert_eq!(
            said(&logged, &list(&[("a", 0.5, Some(0.0))])),
            "a at place 1 had the chance 0.75, and has 0 now"
        );
    }

    #[test]
    fn a_logged_answer_is_read_with_what_newer_releases_add() {
        let json = r#"{"user": "7", "variant": "forest", "reason": "weight", "bundles": {"scorer": "sha256:00"},
            "items": [{"item": "a", "score": 0.5, "place": 1}], "degraded": ["unknown_user"], "timing": {"features": 1}}"#;
        let answer: LoggedAnswer = serde_json::from_str(json).unwrap();
        assert_eq!(
            (answer.user.as_str(), answer.items),
            ("7", list(&[("a", 0.5, None)]))
        );
        assert_eq!(answer.degraded, [Degradation::UnknownUser]);
    }
}
