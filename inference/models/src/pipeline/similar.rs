//! The similar-items pipeline: a vector, its neighbors.

use super::recommend::with_put_items;
use super::variant::{RequestError, Variant, named};
use crate::features::ItemId;
use crate::items::ItemsView;
use crate::ordering::Scored;
use crate::retrieval::inner_product;
use crate::similarity::Similarity;
use gondola_request::{Answer, SimilarRequest, SimilarTo};
use gondola_request::{Stage, StageClock};

impl Variant {
    /// Answers with the items whose texts are nearest to an item's or to a text; the item itself is left out.
    pub fn similar(&self, request: &SimilarRequest) -> Result<Answer, RequestError> {
        let rules = self.rules.load();
        let k = self.count(request.k, &rules)?;
        let similarity = self.similarity.as_ref().ok_or(RequestError::NotServed {
            what: "similar items",
            missing: "a similarity bundle",
        })?;
        let items = self.items.view();
        let mut clock = StageClock::start();
        let (itself, vector) = clock.time(Stage::Embedding, || match &request.to {
            SimilarTo::Item(id) => {
                item_vector(similarity, &items, id).map(|(row, vector)| (Some(row), vector))
            }
            SimilarTo::Text(text) => text_vector(similarity, text).map(|vector| (None, vector)),
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
}

fn item_vector(
    similarity: &Similarity,
    items: &ItemsView<'_>,
    id: &ItemId,
) -> Result<(u32, Vec<f32>), RequestError> {
    let row = items
        .find(id)
        .ok_or_else(|| RequestError::UnknownItem { item: id.clone() })?;
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
