//! The items nearest to many users: the query tower, then the products of all items with the users, of which the highest are kept.

use std::path::Path;

use candle_core::{Device, Result as CandleResult, Tensor};

use super::highest::{self, Highest};
use super::{TOGETHER, TensorsError, weights};
use crate::features::EncodedRow;
use crate::retrieval::index::Metric;
use crate::retrieval::tower::Tower;
use crate::retrieval::{Found, ItemIndex, Retrieval, RetrievalError, TwoTowerConfig, read_json};
use crate::scoring::neural::parts::Rows;

/// Items whose products with the users are there at a time: 64 x 131,072 scores are 32 MiB, their keys 64 MiB.
pub(super) const AT_A_TIME: usize = 1 << 17;

/// The query tower and the vectors of all items of an index, on a device.
pub(crate) struct NearestItems {
    device: Device,
    tower: Tower,
    /// The vocabulary size of each of the tower's columns.
    vocabularies: Vec<usize>,
    /// `[items, dimension]`.
    items: Tensor,
    /// The catalog row of each.
    rows: Vec<u32>,
    highest: Highest,
    /// How many are found for a user.
    count: usize,
}

/// Where a user stands, and what is near.
pub(crate) struct Neighborhood {
    /// Where the user stands among the items.
    pub(crate) query: Vec<f32>,
    /// The nearest items, the nearest first; of those that are as near as each other, in the order of the index.
    pub(crate) found: Vec<Found>,
}

impl NearestItems {
    /// Brings a retrieval bundle to a device, to find `count` items for each user.
    pub(super) fn load(
        (folder, retrieval): (&Path, &Retrieval),
        count: usize,
        device: &Device,
    ) -> Result<Self, TensorsError> {
        if retrieval.has_networks() {
            return Err(TensorsError::Towers);
        }
        let items = retrieval.items();
        let count = count.min(items.rows().len());
        check(items, count)?;
        let failed = |what| move |source| TensorsError::Network { what, source };
        let config: TwoTowerConfig = read_json(&folder.join("tower.json"))?;
        let tower = weights(&folder.join("query_tower.safetensors"), device)
            .and_then(|weights| Tower::new(&config.query, weights))
            .map_err(failed("the query tower"))?;
        let shape = (items.rows().len(), items.index().dimension());
        Ok(Self {
            tower,
            vocabularies: config.query.categorical,
            items: Tensor::from_vec(vectors(folder, items)?, shape, device)
                .map_err(failed("the vectors of the items"))?,
            rows: items.rows().to_vec(),
            highest: Highest::new(count.max(1), device).map_err(failed("the vectors of the items"))?,
            count,
            device: device.clone(),
        })
    }

    /// What is near to each of some users, at most [`TOGETHER`].
    pub(crate) fn of(&self, users: &[&EncodedRow]) -> CandleResult<Vec<Neighborhood>> {
        let rows = users
            .iter()
            .map(|row| (row.categorical.as_slice(), row.numeric.as_slice()));
        let rows = Rows::upload(rows, TOGETHER, &self.vocabularies, &self.device)?;
        let queries = self.tower.forward_rows(&rows)?;
        let found = self.search(&finite_or_zero(&queries)?)?;
        let scores: Vec<Vec<f32>> = found.scores.to_vec2()?;
        let places: Vec<Vec<u32>> = found.places.to_vec2()?;
        let queries: Vec<Vec<f32>> = queries.to_vec2()?;
        let found = scores.iter().zip(&places).take(users.len());
        Ok(queries
            .into_iter()
            .zip(found)
            .map(|(query, (scores, places))| Neighborhood {
                query,
                found: self.found(scores, places),
            })
            .collect())
    }

    /// The highest products of each query (`[TOGETHER, dimension]`), in the places of the items' positions.
    fn search(&self, queries: &Tensor) -> CandleResult<highest::Found> {
        let (mut scores, mut places) = (Vec::new(), Vec::new());
        for first in (0..self.rows.len()).step_by(AT_A_TIME) {
            let items = self
                .items
                .narrow(0, first, AT_A_TIME.min(self.rows.len() - first))?;
            let found = self.highest.of(&queries.matmul(&items.t()?)?)?;
            scores.push(found.scores);
            let first = Tensor::new(first as u32, &self.device)?;
            places.push(found.places.broadcast_add(&first)?);
        }
        let (scores, places) = (Tensor::cat(&scores, 1)?, Tensor::cat(&places, 1)?);
        let found = self.highest.of(&scores)?;
        Ok(highest::Found {
            places: places.gather(&found.places, 1)?,
            ..found
        })
    }

    fn found(&self, scores: &[f32], places: &[u32]) -> Vec<Found> {
        let found = scores.iter().zip(places).filter_map(|(similarity, place)| {
            // A block is filled up with places that no item has.
            let item = *self.rows.get(*place as usize)?;
            Some(Found {
                item,
                similarity: *similarity,
            })
        });
        found.take(self.count).collect()
    }
}

pub(super) fn check(items: &ItemIndex, count: usize) -> Result<(), TensorsError> {
    if items.index().metric() != Metric::InnerProduct {
        return Err(TensorsError::Metric);
    }
    match count > highest::MOST {
        true => Err(TensorsError::Candidates {
            wanted: count,
            most: highest::MOST,
        }),
        false => Ok(()),
    }
}

/// The vectors that an index holds, by position.
fn vectors(folder: &Path, items: &ItemIndex) -> Result<Vec<f32>, RetrievalError> {
    let dimension = items.index().dimension();
    let mut vectors = vec![0.0; items.rows().len() * dimension];
    for (position, vector) in vectors.chunks_exact_mut(dimension).enumerate() {
        let wrap = |source| RetrievalError::Index {
            folder: folder.to_owned(),
            source,
        };
        items.index().reconstruct(position, vector).map_err(wrap)?;
    }
    Ok(vectors)
}

/// Zero in the place of what is no number: a sort needs numbers, and the row's user is told by their query.
fn finite_or_zero(queries: &Tensor) -> CandleResult<Tensor> {
    queries.eq(queries)?.where_cond(queries, &queries.zeros_like()?)
}
