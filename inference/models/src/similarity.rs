//! Similar items: the text of an item, its embedding, its neighbors.
//!
//! A text encoder ([`encoder`]) puts every item's text into one space, and an index finds what is near. The encoder
//! travels in the bundle, so that an item that nobody has seen before is embedded while the client waits.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::device::Device;
use crate::features::RawTable;
use crate::retrieval::index::allowed::Allowed;
use crate::retrieval::index::{Index, IndexError, SearchParameters};
use crate::retrieval::{Found, ItemIndex, RetrievalError, read_json};
use encoder::{EncodeError, EncoderLoadError, TextEncoder};

mod bert;
pub mod clip;
pub mod encoder;
mod head;
mod onnx;
mod pooling;
mod sentence;
mod sentence_encoder;
mod text_encoder;
mod tokens;

/// The folder of a bundle that has the encoder, if it has one.
const ENCODER: &str = "encoder";

/// `encoder.json`: what the encoder reads of an item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextConfig {
    /// Item columns whose texts are joined by spaces, in this order.
    pub text_columns: Vec<String>,
}

/// Why a similarity bundle could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum SimilarityError {
    /// Its index or its JSON files.
    #[error(transparent)]
    Index(#[from] RetrievalError),
    /// Its text encoder.
    #[error("cannot load the text encoder of {folder}")]
    Encoder {
        /// The bundle's folder.
        folder: PathBuf,
        /// The cause.
        #[source]
        source: EncoderLoadError,
    },
    /// The encoder's space is not the index'.
    #[error(
        "{folder}: the encoder gives {encoder} numbers, but the index holds vectors of {index}; publish the bundle again"
    )]
    Dimension {
        /// The bundle's folder.
        folder: PathBuf,
        /// The encoder's dimension.
        encoder: usize,
        /// The index' dimension.
        index: usize,
    },
}

/// The items' texts in one space, and the encoder that puts new ones there.
pub struct Similarity {
    items: ItemIndex,
    /// The position in the index of each item row; `None` for an item without a text.
    positions: Vec<Option<u32>>,
    encoder: Option<Box<dyn TextEncoder>>,
    text_columns: Vec<String>,
}

/// The ONNX file of a similarity bundle's encoder, if it has one.
pub fn network_file(folder: &Path) -> Option<PathBuf> {
    encoder::network_file(&folder.join(ENCODER))
}

impl Similarity {
    /// Loads a similarity bundle's folder, its encoder onto a device. A bundle without an encoder serves known items only.
    pub fn load(
        folder: &Path,
        items: &RawTable,
        search: &SearchParameters,
        device: Device,
    ) -> Result<Self, SimilarityError> {
        let config: TextConfig = read_json(&folder.join("encoder.json"))?;
        let index = ItemIndex::load(folder, items, search)?;
        let weights = folder.join(ENCODER);
        let encoder = if weights.exists() {
            let load = encoder::load_published(&weights, device);
            Some(load.map_err(|source| SimilarityError::Encoder {
                folder: folder.to_owned(),
                source,
            })?)
        } else {
            None
        };
        if let Some(encoder) = &encoder
            && encoder.dimension() != index.index().dimension()
        {
            return Err(SimilarityError::Dimension {
                folder: folder.to_owned(),
                encoder: encoder.dimension(),
                index: index.index().dimension(),
            });
        }
        let mut positions = vec![None; items.len()];
        for (position, row) in index.rows().iter().enumerate() {
            positions[*row as usize] = Some(position as u32);
        }
        Ok(Self {
            items: index,
            positions,
            encoder,
            text_columns: config.text_columns,
        })
    }

    /// The vector of an item of the index; `None` for an item that is not in it.
    pub fn vector(&self, item: u32) -> Option<Result<Vec<f32>, IndexError>> {
        let position = (*self.positions.get(item as usize)?)?;
        let mut vector = vec![0.0; self.dimension()];
        Some(
            self.items
                .index()
                .reconstruct(position as usize, &mut vector)
                .map(|()| vector),
        )
    }

    /// The place of a text; `None` where the bundle has no encoder.
    pub fn embed(&self, text: &str) -> Option<Result<Vec<f32>, EncodeError>> {
        self.encoder.as_ref().map(|encoder| encoder.encode(&[text]))
    }

    /// The `k` items nearest to a vector of those that are allowed, the nearest first.
    pub fn search(
        &self,
        vector: &[f32],
        k: usize,
        allowed: Option<&Allowed>,
    ) -> Result<Vec<Found>, IndexError> {
        self.items.search(vector, k, allowed)
    }

    /// The items that have a text.
    pub fn items(&self) -> &ItemIndex {
        &self.items
    }

    /// Width of the space.
    pub fn dimension(&self) -> usize {
        self.index().dimension()
    }

    /// The index of the texts.
    pub fn index(&self) -> &Index {
        self.items.index()
    }

    /// Number of items in the index.
    pub fn len(&self) -> usize {
        self.items.rows().len()
    }

    /// Whether the index has no items.
    pub fn is_empty(&self) -> bool {
        self.items.rows().is_empty()
    }

    /// Item columns whose texts the encoder reads.
    pub fn text_columns(&self) -> &[String] {
        &self.text_columns
    }
}
