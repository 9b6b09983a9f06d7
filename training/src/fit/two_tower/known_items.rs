//! What the towers learn of single items: a vector of each that was bought often enough, and one that the others share.

use std::path::Path;

use candle_core::{DType, Device, Result as CandleResult, Tensor};
use candle_nn::{Embedding, Init, Module, VarBuilder, VarMap};
use gondola_models::features::{ItemId, Purchase, RawTable};
use gondola_models::retrieval::known_items::{
    self, KNOWN_ITEMS, KNOWN_VECTORS, KnownItemsConfig, TENSOR, lately,
};

use super::super::{FitError, write_json};
use super::MODEL;
use crate::features::Snapshot;

pub(super) struct KnownItems {
    ids: Vec<ItemId>,
    config: KnownItemsConfig,
    vectors: Embedding,
    weights: VarMap,
}

/// The items that were bought so often, at least, as of a snapshot.
pub(super) fn often_bought(snapshot: &Snapshot, fewest: usize) -> Vec<ItemId> {
    let mut purchases = vec![0.0; snapshot.items.len()];
    for user in 0..snapshot.users.len() {
        for bought in snapshot.history.of(user) {
            purchases[bought.item as usize] += bought.purchases;
        }
    }
    let often = (0..)
        .zip(&purchases)
        .filter(|(_, count)| **count >= fewest as f32);
    often.map(|(row, _)| snapshot.items.id(row).into()).collect()
}

impl KnownItems {
    /// Vectors of these items, to be set.
    pub(super) fn new(ids: Vec<ItemId>, config: KnownItemsConfig) -> CandleResult<Self> {
        let weights = VarMap::new();
        let builder = VarBuilder::from_varmap(&weights, DType::F32, &Device::Cpu).pp(TENSOR);
        let init = Init::Randn {
            mean: 0.0,
            stdev: 0.05,
        };
        // A table has two rows at least: that which unknown items share, and one more.
        let shape = (ids.len() + 1, config.width);
        let vectors = Embedding::new(builder.get_with_hints(shape, "weight", init)?, config.width);
        Ok(Self {
            ids,
            config,
            vectors,
            weights,
        })
    }

    pub(super) fn weights(&self) -> &VarMap {
        &self.weights
    }

    /// Where each item of a catalog stands among the known.
    pub(super) fn positions(&self, items: &RawTable) -> Vec<u32> {
        known_items::positions(&self.ids, items)
    }

    /// What one who bought these bought lately.
    pub(super) fn lately(&self, purchases: &[Purchase], positions: &[u32]) -> Vec<u32> {
        lately(purchases, positions, self.config.latest)
    }

    /// The vectors at some positions, `[positions, width]`.
    pub(super) fn vectors(&self, positions: Vec<u32>) -> CandleResult<Tensor> {
        let count = positions.len();
        self.vectors
            .forward(&Tensor::from_vec(positions, count, &Device::Cpu)?)
    }

    /// The mean vector of each list, `[lists, width]`; zeros of an empty one.
    pub(super) fn means(&self, lists: &[Vec<u32>]) -> CandleResult<Tensor> {
        let longest = lists.iter().map(Vec::len).max().unwrap_or(0).max(1);
        let (mut positions, mut shares) = (Vec::new(), Vec::new());
        for list in lists {
            let share = 1.0 / list.len().max(1) as f32;
            let rest = longest - list.len();
            positions.extend(list.iter().copied().chain(std::iter::repeat_n(0, rest)));
            shares.extend(list.iter().map(|_| share).chain(std::iter::repeat_n(0.0, rest)));
        }
        let shares = Tensor::from_vec(shares, (lists.len(), 1, longest), &Device::Cpu)?;
        let vectors = self.vectors(positions)?;
        let vectors = vectors.reshape((lists.len(), longest, self.config.width))?;
        shares.matmul(&vectors)?.squeeze(1)
    }

    /// Reads the vectors of a bundle's folder.
    pub(super) fn load(&mut self, folder: &Path) -> CandleResult<()> {
        self.weights.load(folder.join(KNOWN_VECTORS))
    }

    /// Writes ids and vectors into a bundle's folder.
    pub(super) fn save(&self, folder: &Path) -> Result<(), FitError> {
        let vectors = folder.join(KNOWN_VECTORS);
        self.weights.save(vectors).map_err(FitError::network(MODEL))?;
        write_json(&folder.join(KNOWN_ITEMS), &self.ids)
    }
}
