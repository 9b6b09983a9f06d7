//! An index of items with their ids, for the two towers and for texts.

use std::path::Path;

use gondola_models::features::ItemId;
use gondola_models::retrieval::index::{Index, Metric, SearchParameters};

use super::{FitError, write_json};

/// How many items each query looks for where the index is weighed against exact search.
const RECALL_AT: usize = 200;

/// What an index is built of.
pub(crate) struct ItemVectors {
    /// The items' ids, in the order of the vectors.
    pub(crate) ids: Vec<ItemId>,
    /// The items' places, `[items, dimension]`, row-major.
    pub(crate) vectors: Vec<f32>,
    /// Places to search from when the index is weighed against exact search, `[queries, dimension]`,
    /// row-major.
    pub(crate) queries: Vec<f32>,
    /// Width of the space.
    pub(crate) dimension: usize,
}

/// How an index is built and searched.
pub(crate) struct IndexSettings<'a> {
    /// FAISS's name for the kind of index.
    pub(crate) factory: &'a str,
    /// How much of it a search looks at.
    pub(crate) search: SearchParameters,
}

/// A built index, and whose places are in it.
pub(crate) struct ItemIndex {
    /// The items' ids, in the order of the index.
    pub(crate) ids: Vec<ItemId>,
    /// Recall@200 against exact search by the queries that it was weighed with.
    pub(crate) recall: f64,
    index: Index,
    description: serde_json::Value,
}

impl ItemIndex {
    /// Builds it and weighs it against exact search.
    pub(crate) fn build(items: ItemVectors, settings: &IndexSettings<'_>) -> Result<Self, FitError> {
        let ItemVectors {
            ids,
            vectors,
            queries,
            dimension,
        } = items;
        let IndexSettings { factory, search } = settings;
        let mut index = Index::build(&vectors, dimension, Metric::InnerProduct, factory)?;
        index.set_search(search)?;
        let recall = index.recall_against_exact(&vectors, &queries, RECALL_AT.min(ids.len()))?;
        Ok(Self {
            ids,
            recall,
            index,
            description: serde_json::json!({"factory": factory, "search": search, "recall_at_200": recall}),
        })
    }

    /// Writes `index.faiss`, `items.json` and `index.json` into a bundle's folder.
    pub(crate) fn save(&self, folder: &Path) -> Result<(), FitError> {
        self.index.save(&folder.join(gondola_models::retrieval::INDEX))?;
        write_json(&folder.join(gondola_models::retrieval::ITEMS), &self.ids)?;
        write_json(&folder.join("index.json"), &self.description)
    }
}
