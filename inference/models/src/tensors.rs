//! Networks of a variant on a device, for many users at once.
//!
//! | file | what |
//! |---|---|
//! | [`nearest`] | the query tower, and the products of all items with the users |
//! | [`highest`] | the highest scores of many, found where they are |
//! | [`scores`] | a network's scores of all candidates |
//!
//! One code for every [`candle_core::Device`]: the processor, where tests compare it with the kernels that serve there, and CUDA.
//! What items bring is computed when they are loaded and stays on the device; of the answers only what was found comes back.
//!
//! Promises: an answer doesn't depend on who else is asked about at the same time, since every product has the same shape for one
//! user as for [`TOGETHER`] (on the processor tests hold that to the bit, on a GPU it is up to cuBLAS); and what one user's row makes
//! of the numbers is their own. Retrieval is exact, whatever the index, so that lists differ from those of an approximate index on
//! the processor.
//!
//! Forests stay on the processor: their scorer is not here.

mod highest;
mod nearest;
mod scores;
#[cfg(test)]
mod tests;

use std::path::Path;

use candle_core::{Device, Result as CandleResult};
use candle_nn::VarBuilder;

use crate::items::Items;
use crate::retrieval::{Retrieval, RetrievalError};
use crate::scoring;

pub(crate) use nearest::{NearestItems, Neighborhood};
pub(crate) use scores::{Candidates, PairScorer};

/// Users whose lists are made together, and to whose number fewer are filled up.
pub(crate) const TOGETHER: usize = 64;

/// A variant's networks on a device.
pub(crate) struct Tensors {
    pub(crate) nearest: NearestItems,
    /// `None` where the scorer is a forest.
    pub(crate) scorer: Option<PairScorer>,
}

/// What of a variant is brought to a device.
pub(crate) struct OfVariant<'a> {
    /// The folder of the retrieval bundle.
    pub(crate) retrieval_folder: &'a Path,
    /// The folder of the scorer bundle.
    pub(crate) scorer_folder: &'a Path,
    pub(crate) retrieval: &'a Retrieval,
    pub(crate) items: &'a Items,
    /// How many items are found for each user.
    pub(crate) candidates: usize,
}

/// Why networks could not be brought to a device.
#[derive(Debug, thiserror::Error)]
pub enum TensorsError {
    /// The vectors of the items.
    #[error(transparent)]
    Retrieval(#[from] RetrievalError),
    /// The scorer.
    #[error(transparent)]
    Scorer(#[from] scoring::LoadError),
    /// The index compares otherwise than by products.
    #[error(
        "on a device the nearest items are those of the highest inner product, but the index compares by squared distance; build it for inner products, or set the variant's device to CPU"
    )]
    Metric,
    /// Towers of another framework.
    #[error(
        "towers of another framework (query_tower.onnx) run on processors alone; set the variant's device to CPU"
    )]
    Towers,
    /// More candidates than can be found on a device.
    #[error(
        "on a device retrieval gives at most {most} candidates, but the spec wants {wanted}; ask for fewer, or set the variant's device to CPU"
    )]
    Candidates {
        /// How many are wanted.
        wanted: usize,
        /// How many there can be.
        most: usize,
    },
    /// A network.
    #[error(
        "cannot bring {what} to the device; if its memory is full, give the variant a larger one, or set its device to CPU"
    )]
    Network {
        /// Which network, or what of it.
        what: &'static str,
        /// The cause.
        #[source]
        source: candle_core::Error,
    },
}

impl Tensors {
    /// Brings to a device what finds items for each user and, unless it is a forest, what scores them.
    pub(crate) fn load(of: OfVariant<'_>, device: &Device) -> Result<Self, TensorsError> {
        let OfVariant {
            retrieval_folder,
            scorer_folder,
            retrieval,
            items,
            candidates,
        } = of;
        let nearest = NearestItems::load((retrieval_folder, retrieval), candidates, device)?;
        let parts = scoring::load_parts(scorer_folder, device)?;
        let scorer = parts
            .map(|parts| PairScorer::new(parts, items, device))
            .transpose();
        Ok(Self {
            nearest,
            scorer: scorer.map_err(|source| TensorsError::Network {
                what: "what the items bring to the scorer",
                source,
            })?,
        })
    }
}

/// The weights of a safetensors file, on a device.
pub(crate) fn weights(path: &Path, device: &Device) -> CandleResult<VarBuilder<'static>> {
    let tensors = candle_core::safetensors::load(path, device)?;
    Ok(VarBuilder::from_tensors(tensors, candle_core::DType::F32, device))
}
