//! Weights of a model: a safetensors file, read with its names, shapes and values checked.

use std::fs;
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};

use super::{EmbeddingTable, Linear};
use crate::memory::on_huge_pages;

/// Why weights could not be read.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The file can't be read.
    #[error("cannot read {path}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is no safetensors file, or a damaged one.
    #[error("{path} is no readable safetensors file")]
    Format {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: safetensors::SafeTensorError,
    },
    /// A tensor is missing, or not as the configuration says.
    #[error("{path}: tensor {tensor} {problem}; publish the weights and their configuration together")]
    Tensor {
        /// Which file.
        path: PathBuf,
        /// Which tensor.
        tensor: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// The bytes of a safetensors file.
pub struct Weights {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl Weights {
    /// Reads the file.
    pub fn read(path: &Path) -> Result<Self, WeightsError> {
        let bytes = fs::read(path).map_err(|source| WeightsError::File {
            path: path.to_owned(),
            source,
        })?;
        let weights = Self {
            path: path.to_owned(),
            bytes,
        };
        weights.tensors()?;
        Ok(weights)
    }

    /// The values of a tensor of this name and shape; all of them are finite.
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, WeightsError> {
        let wrong = |problem| self.wrong(name, problem);
        let tensors = self.tensors()?;
        let tensor = tensors.tensor(name).map_err(|_| wrong("is missing".to_owned()))?;
        if tensor.shape() != shape || tensor.dtype() != Dtype::F32 {
            let found = format!("{:?} of {:?}", tensor.dtype(), tensor.shape());
            return Err(wrong(format!("is {found}, but F32 of {shape:?} is needed")));
        }
        let data = tensor.data().chunks_exact(4);
        // A table of embeddings is read at random.
        let mut values = on_huge_pages(data.len());
        values.extend(data.map(|bytes| f32::from_le_bytes(bytes.try_into().expect("chunks are of 4 bytes"))));
        match values.iter().position(|value| !value.is_finite()) {
            Some(position) => Err(wrong(format!("has {} at position {position}", values[position]))),
            None => Ok(values),
        }
    }

    /// `{name}.weight` (`[output, input]`) and `{name}.bias` (`[output]`), with one output at least.
    pub fn linear(&self, name: &str, input: usize, output: usize) -> Result<Linear, WeightsError> {
        let weight = format!("{name}.weight");
        if output == 0 {
            return Err(self.wrong(&weight, "has no outputs by its configuration".to_owned()));
        }
        let weights = self.tensor(&weight, &[output, input])?;
        let bias = self.tensor(&format!("{name}.bias"), &[output])?;
        Ok(Linear::new(&weights, &bias))
    }

    /// `{name}.weight` (`[cardinality, width]`), with rows for null and the unknown at least.
    pub fn embedding(
        &self,
        name: &str,
        cardinality: usize,
        width: usize,
    ) -> Result<EmbeddingTable, WeightsError> {
        let tensor = format!("{name}.weight");
        if cardinality < 2 {
            let problem =
                format!("has {cardinality} rows by its configuration, but null and the unknown need two");
            return Err(self.wrong(&tensor, problem));
        }
        let values = self.tensor(&tensor, &[cardinality, width])?;
        Ok(EmbeddingTable::new(width, values))
    }

    fn wrong(&self, tensor: &str, problem: String) -> WeightsError {
        WeightsError::Tensor {
            path: self.path.clone(),
            tensor: tensor.to_owned(),
            problem,
        }
    }

    fn tensors(&self) -> Result<SafeTensors<'_>, WeightsError> {
        SafeTensors::deserialize(&self.bytes).map_err(|source| WeightsError::Format {
            path: self.path.clone(),
            source,
        })
    }
}
