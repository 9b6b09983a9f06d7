//! The similar-items pipeline: a vector, its neighbors; and what is bought together, which needs no vector.

use super::recommend::with_put_items;
use super::rules::ActiveRules;
use super::variant::{RequestError, Variant, named};
use crate::features::ItemId;
use crate::items::ItemsView;
use crate::ordering::Scored;
use crate::retrieval::inner_product;
use crate::similarity::Similarity;
use gondola_request::{Answer, SimilarRequest, SimilarTo};
use gondola_request::{Stage, StageClock};

impl Variant {
    /// Answers with the items whose texts are nearest to an item's or to a text, or that are bought with an item; the item itself is
    /// left out.
    pub fn similar(&self, request: &SimilarRequest) -> Result<Answer, RequestError> {
        let rules = self.rules.load();
        let k = self.count(request.k, &rules)?;
        let to = match &request.to {
            SimilarTo::BoughtWith(item) => return self.bought_with(item, k, &rules),
            SimilarTo::Item(item) => Likeness::Item(item),
            SimilarTo::Text(text) => Likeness::Text(text),
        };
        let similarity = self.similarity.as_ref().ok_or(RequestError::NotServed {
            what: "similar items",
            missing: "a similarity bundle",
        })?;
        let items = self.items.view();
        let mut clock = StageClock::start();
        let (itself, vector) = clock.time(Stage::Embedding, || match to {
            Likeness::Item(id) => {
                item_vector(similarity, &items, id).map(|(row, vector)| (Some(row), vector))
            }
            Likeness::Text(text) => text_vector(similarity, text).map(|vector| (None, vector)),
        })?;
        let found = clock.time(Stage::Search, || {
            similarity.search(&vector, k + 1, rules.in_similarity())
        })?;
        let scored = clock.time(Stage::Ordering, || {
            let nearest = with_put_items(found, &items, |item| {
                item.text_vector.as_ref().map(|text| inner_product(text, &vector))
            });
            let others = nearest.into_iter().filter(|found| Some(found.item) != itself);
            let allowed = others.filter(|found| self.barred(found.item, &rules, &items).is_none());
            allowed
                .take(k)
                .map(|found| Scored {
                    item: found.item,
                    score: found.similarity,
                })
                .collect::<Vec<_>>()
        });
        Ok(Answer {
            items: named(&scored, &items),
            degraded: Vec::new(),
            timing: clock.finish(),
        })
    }

    /// Items by the cosine of their buyers and those of an item: see [`Neighbors`](crate::features::Neighbors).
    fn bought_with(&self, id: &ItemId, k: usize, rules: &ActiveRules) -> Result<Answer, RequestError> {
        let neighbors = self.neighbors.as_ref().ok_or(RequestError::NotServed {
            what: "what is bought together",
            missing: "a features bundle of this release",
        })?;
        let items = self.items.view();
        let row = find(&items, id)?;
        let mut clock = StageClock::start();
        let near = clock.time(Stage::Search, || {
            let near = neighbors.of(row).iter();
            let allowed = near.filter(|near| self.barred(near.item, rules, &items).is_none());
            let scored = allowed.map(|near| Scored {
                item: near.item,
                score: near.similarity,
            });
            named(&scored.take(k).collect::<Vec<_>>(), &items)
        });
        Ok(Answer {
            items: near,
            degraded: Vec::new(),
            timing: clock.finish(),
        })
    }
}

/// What texts are compared with.
enum Likeness<'a> {
    Item(&'a ItemId),
    Text(&'a str),
}

fn find(items: &ItemsView<'_>, id: &ItemId) -> Result<u32, RequestError> {
    items
        .find(id)
        .ok_or_else(|| RequestError::UnknownItem { item: id.clone() })
}

fn item_vector(
    similarity: &Similarity,
    items: &ItemsView<'_>,
    id: &ItemId,
) -> Result<(u32, Vec<f32>), RequestError> {
    let row = find(items, id)?;
    let no_text = || RequestError::NoText {
        item: id.clone(),
        columns: similarity.text_columns().to_vec(),
    };
    let vector = match items.put_item(row) {
        Some(put) => put.text_vector.clone().ok_or_else(no_text)?,
        None => similarity.vector(row).ok_or_else(no_text)??,
    };
    Ok((row, vector))
}

fn text_vector(similarity: &Similarity, text: &str) -> Result<Vec<f32>, RequestError> {
    let not_served = RequestError::NotServed {
        what: "neighbors of a text",
        missing: "a bundle with a text encoder",
    };
    Ok(similarity.embed(text).ok_or(not_served)??)
}
