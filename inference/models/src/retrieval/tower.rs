//! A tower: from the encoded row of a user or an item to its place in their common space.
//!
//! ```text
//! categorical [batch, columns] -> embeddings, one width a column -+
//! numeric     [batch, numeric] -----------------------------------+-> concat -> MLP (ReLU) -> [batch, output] -> / |.|
//! ```
//!
//! The output has length 1, so that the inner product of two towers is a cosine. [`Tower`] is the candle network that
//! trains; [`TowerRuntime`] the same weights for one row at a time. Two towers: Yi et al., "Sampling-bias-corrected neural
//! modeling for large corpus item recommendations", RecSys 2019.

use std::cell::RefCell;
use std::path::Path;

use candle_core::{D, Result as CandleResult, Tensor};
use candle_nn::{Embedding, Init, Linear as CandleLinear, Module, VarBuilder};
use serde::{Deserialize, Serialize};

use crate::dense::{Activation, EmbeddingTable, Mlp, Weights, WeightsError};
use crate::features::EncodedRow;
use crate::scoring::neural::parts::{Rows, run_after};

/// Why a tower could not be loaded.
pub type TowerError = WeightsError;

/// The widest embedding of a column.
const WIDEST: usize = 32;

/// The shape of a tower.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TowerConfig {
    /// The vocabulary size of each categorical column.
    pub categorical: Vec<usize>,
    /// The embedding's width of each categorical column.
    pub embedding: Vec<usize>,
    /// Number of numeric columns.
    pub numeric: usize,
    /// Widths of the hidden layers.
    pub hidden: Vec<usize>,
    /// Width of the common space.
    pub output: usize,
}

impl TowerConfig {
    /// Widths of all layers, from the concatenated input to the output.
    fn widths(&self) -> Vec<usize> {
        let input = self.embedding.iter().sum::<usize>() + self.numeric;
        [&[input], self.hidden.as_slice(), &[self.output]].concat()
    }
}

/// A rule of thumb for the width of a column's embedding: grows slowly with its vocabulary, at most 32.
pub fn embedding_width(cardinality: usize) -> usize {
    ((1.6 * (cardinality as f64).powf(0.56)).ceil() as usize).clamp(2, WIDEST)
}

/// An embedding that starts small: the default of candle, a deviation of 1, drowns the other inputs.
pub(crate) fn small_embedding(
    cardinality: usize,
    width: usize,
    vb: VarBuilder<'_>,
) -> CandleResult<Embedding> {
    let init = Init::Randn {
        mean: 0.0,
        stdev: 0.05,
    };
    Ok(Embedding::new(
        vb.get_with_hints((cardinality, width), "weight", init)?,
        width,
    ))
}

/// The linear layers between `widths`, named by their positions.
pub(crate) fn linear_layers(widths: &[usize], vb: &VarBuilder<'_>) -> CandleResult<Vec<CandleLinear>> {
    named_layers(widths, vb, |position| position.to_string())
}

/// The linear layers between `widths`, each with the name that `name` gives to its position.
pub(crate) fn named_layers(
    widths: &[usize],
    vb: &VarBuilder<'_>,
    name: impl Fn(usize) -> String,
) -> CandleResult<Vec<CandleLinear>> {
    let pairs = widths.windows(2).enumerate();
    pairs
        .map(|(position, pair)| candle_nn::linear(pair[0], pair[1], vb.pp(name(position))))
        .collect()
}

/// Runs layers with ReLU between them.
pub(crate) fn run_layers(layers: &[CandleLinear], mut x: Tensor) -> CandleResult<Tensor> {
    for (position, layer) in layers.iter().enumerate() {
        if position > 0 {
            x = x.relu()?;
        }
        x = layer.forward(&x)?;
    }
    Ok(x)
}

/// The network that trains. Weights: `embedding.{column}.weight`, `layer.{position}.weight`, `layer.{position}.bias`.
pub struct Tower {
    embeddings: Vec<Embedding>,
    layers: Vec<CandleLinear>,
}

impl Tower {
    /// A network of this shape, with weights from `vb`.
    pub fn new(config: &TowerConfig, vb: VarBuilder<'_>) -> CandleResult<Self> {
        let sizes = config.categorical.iter().zip(&config.embedding).enumerate();
        let embedding = |(position, (cardinality, width)): (usize, (&usize, &usize))| {
            small_embedding(*cardinality, *width, vb.pp("embedding").pp(position))
        };
        let embeddings = sizes.map(embedding).collect::<CandleResult<_>>()?;
        Ok(Self {
            embeddings,
            layers: linear_layers(&config.widths(), &vb.pp("layer"))?,
        })
    }

    /// Places in the common space, `[batch, output]`, each of length 1. `categorical` is `[batch, columns]` of `u32`,
    /// `numeric` `[batch, numeric]` of `f32`.
    pub fn forward(&self, categorical: &Tensor, numeric: &Tensor) -> CandleResult<Tensor> {
        let mut inputs = self.embed(categorical)?;
        inputs.push(numeric.clone());
        of_length_1(&run_layers(&self.layers, Tensor::cat(&inputs, 1)?)?)
    }

    /// The same of rows that may be without columns of a kind; what is no number stays none.
    pub(crate) fn forward_rows(&self, rows: &Rows) -> CandleResult<Tensor> {
        let mut inputs = match &rows.categorical {
            Some(categorical) => self.embed(categorical)?,
            None => Vec::new(),
        };
        inputs.extend(rows.numeric.clone());
        let first = self.layers[0].forward(&Tensor::cat(&inputs, 1)?)?;
        of_length_1(&run_after(&self.layers[1..], first)?)
    }

    /// The embedding of each column, `[batch, width]` each.
    fn embed(&self, categorical: &Tensor) -> CandleResult<Vec<Tensor>> {
        let column = |position| categorical.narrow(1, position, 1)?.squeeze(1)?.contiguous();
        let embeddings = self.embeddings.iter().enumerate();
        embeddings
            .map(|(position, embedding)| embedding.forward(&column(position)?))
            .collect()
    }
}

fn of_length_1(output: &Tensor) -> CandleResult<Tensor> {
    let length = (output.sqr()?.sum_keepdim(D::Minus1)? + 1e-12)?.sqrt()?;
    output.broadcast_div(&length)
}

/// The same weights, for one row at a time.
#[derive(Debug)]
pub struct TowerRuntime {
    embeddings: Vec<EmbeddingTable>,
    mlp: Mlp,
    output: usize,
}

thread_local! {
    static BUFFERS: RefCell<(Vec<f32>, Vec<f32>)> = const { RefCell::new((Vec::new(), Vec::new())) };
}

impl TowerRuntime {
    /// Reads the weights that [`Tower`] left.
    pub fn load(path: &Path, config: &TowerConfig) -> Result<Self, TowerError> {
        let weights = Weights::read(path)?;
        let sizes = config.categorical.iter().zip(&config.embedding).enumerate();
        let embedding = |(position, (cardinality, width)): (usize, (&usize, &usize))| {
            weights.embedding(&format!("embedding.{position}"), *cardinality, *width)
        };
        Ok(Self {
            embeddings: sizes.map(embedding).collect::<Result<_, _>>()?,
            mlp: Mlp::new(weights.layers("layer", &config.widths())?, Activation::None),
            output: config.output,
        })
    }

    /// Width of the common space.
    pub fn dimension(&self) -> usize {
        self.output
    }

    /// The place of one row. Panics on a row of another workflow.
    pub fn embed(&self, row: &EncodedRow, out: &mut [f32]) {
        assert_eq!(
            row.categorical.len(),
            self.embeddings.len(),
            "a row of another workflow"
        );
        BUFFERS.with_borrow_mut(|(x, spare)| {
            x.clear();
            for (embedding, index) in self.embeddings.iter().zip(&row.categorical) {
                x.extend_from_slice(embedding.row(*index));
            }
            x.extend_from_slice(&row.numeric);
            assert_eq!(x.len(), self.mlp.layers()[0].input(), "a row of another workflow");
            self.mlp.row(x, spare);
            let length = x.iter().map(|value| value * value).sum::<f32>().sqrt().max(1e-6);
            for (out, value) in out.iter_mut().zip(x.iter()) {
                *out = value / length;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};
    use candle_nn::VarMap;

    use super::*;

    #[test]
    fn serving_gives_what_training_gave() {
        let config = TowerConfig {
            categorical: vec![5, 9],
            embedding: vec![3, 4],
            numeric: 3,
            hidden: vec![16, 8],
            output: 6,
        };
        let weights = VarMap::new();
        let tower = Tower::new(
            &config,
            VarBuilder::from_varmap(&weights, DType::F32, &Device::Cpu),
        )
        .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tower.safetensors");
        weights.save(&path).unwrap();
        let runtime = TowerRuntime::load(&path, &config).unwrap();

        let row = EncodedRow {
            categorical: vec![4, 7],
            numeric: vec![0.5, -1.0, 2.0],
        };
        let categorical = Tensor::new(&[[4u32, 7]], &Device::Cpu).unwrap();
        let numeric = Tensor::new(&[[0.5f32, -1.0, 2.0]], &Device::Cpu).unwrap();
        let trained: Vec<f32> = tower
            .forward(&categorical, &numeric)
            .unwrap()
            .squeeze(0)
            .unwrap()
            .to_vec1()
            .unwrap();
        let mut served = vec![0.0; 6];
        runtime.embed(&row, &mut served);
        for (trained, served) in trained.iter().zip(&served) {
            assert!((trained - served).abs() < 1e-5, "{trained} is not {served}");
        }
    }

    #[test]
    fn weights_of_another_shape_are_refused_by_name() {
        let config = TowerConfig {
            categorical: vec![5],
            embedding: vec![3],
            numeric: 1,
            hidden: vec![],
            output: 2,
        };
        let weights = VarMap::new();
        Tower::new(
            &config,
            VarBuilder::from_varmap(&weights, DType::F32, &Device::Cpu),
        )
        .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tower.safetensors");
        weights.save(&path).unwrap();
        let other = TowerConfig {
            categorical: vec![6],
            ..config
        };
        let message = TowerRuntime::load(&path, &other).unwrap_err().to_string();
        assert!(
            message.contains("tensor embedding.0.weight is F32 of [5, 3], but F32 of [6, 3] is needed"),
            "{message}"
        );
    }
}
