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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, RecordBatch, StringArray};
    use gondola_models::features::EncodedRow;

    use super::super::weights;
    use super::*;

    /// Items a, b, c, d, of which a and c are known.
    fn catalog() -> RawTable {
        let ids: ArrayRef = Arc::new(StringArray::from(vec!["a", "b", "c", "d"]));
        let batch = RecordBatch::try_from_iter([("item_id", ids)]).unwrap();
        RawTable::from_batch(&batch, "item_id", Path::new("items.parquet")).unwrap()
    }

    fn bought(item: u32, days_since_last: f32) -> Purchase {
        Purchase {
            item,
            purchases: 1.0,
            days_since_last,
            recent_purchases: 1.0,
        }
    }

    #[test]
    fn serving_reads_of_known_items_what_training_read() {
        let config = KnownItemsConfig { width: 3, latest: 2 };
        let ids: Vec<ItemId> = ["a", "c"].map(ItemId::from).into();
        let trained = KnownItems::new(ids.clone(), config).unwrap();
        weights::seed(trained.weights(), 7).unwrap();
        let folder = tempfile::tempdir().unwrap();
        trained.save(folder.path()).unwrap();
        let items = catalog();
        let served = known_items::KnownItems::load(folder.path(), config, &ids, &items).unwrap();

        let positions = trained.positions(&items);
        assert_eq!(positions, [1, 0, 2, 0]);
        let row = EncodedRow {
            categorical: vec![4],
            numeric: vec![0.5],
        };
        for history in [
            vec![],
            vec![bought(1, 2.0)],
            vec![bought(0, 9.0), bought(1, 1.0), bought(2, 3.0)],
        ] {
            let lately = trained.lately(&history, &positions);
            let mean: Vec<f32> = trained
                .means(&[lately])
                .unwrap()
                .squeeze(0)
                .unwrap()
                .to_vec1()
                .unwrap();
            let row = served.with_history(&row, &history);
            assert_eq!(row.numeric[0], 0.5);
            for (served, trained) in row.numeric[1..].iter().zip(&mean) {
                assert!((served - trained).abs() < 1e-6, "{served} is not {trained}");
            }
        }
        for (item, position) in [(Some(2), 2), (Some(1), 0), (Some(9), 0), (None, 0)] {
            let vector: Vec<f32> = trained
                .vectors(vec![position])
                .unwrap()
                .squeeze(0)
                .unwrap()
                .to_vec1()
                .unwrap();
            assert_eq!(served.with_vector(&row, item).numeric[1..], vector, "{item:?}");
        }
    }
}
