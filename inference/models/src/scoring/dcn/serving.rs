//! DCN as it is served.
//!
//! | part | done |
//! |---|---|
//! | the first cross layer's linear map and the first deep layer, the item's inputs | once an item, kept in its block |
//! | the same, the user's inputs | once a request |
//! | the same, pair features; all other layers | each candidate |
//!
//! Both first layers are served as one, side by side. Behind it, an item's block holds the item's inputs, which every cross
//! layer multiplies with.

use std::path::Path;

use super::DcnConfig;
use super::cross::ServedLayer;
use crate::dense::{Activation, Linear, Matrix, Mlp, Rows, RowsMut, Start, Weights, WeightsError};
use crate::features::EncodedTable;
use crate::scoring::neural::embeddings::EmbeddingTables;
use crate::scoring::neural::split::{Chunk, FirstLayer, Head, HeadBuffers, SplitScorer};

/// A DCN that serves.
pub type DcnScorer = SplitScorer<DcnHead>;

/// What follows the two first layers.
pub struct DcnHead {
    item_width: usize,
    /// Width of what the first cross layer's linear map gives.
    inner_width: usize,
    /// Width of the first deep layer's output.
    deep_width: usize,
    cross: Vec<ServedLayer>,
    /// The deep layers after the first; `None` without any deep layer.
    deep: Option<Mlp>,
    logit_of_cross: Matrix,
    logit_of_deep: Matrix,
    bias: f32,
}

impl DcnScorer {
    /// Reads the weights that [`super::Dcn`] left.
    pub fn load(path: &Path, config: &DcnConfig) -> Result<Self, WeightsError> {
        let weights = Weights::read(path)?;
        let DcnConfig {
            embedding_dim, shape, ..
        } = config;
        let tables = EmbeddingTables::load(&weights, "", shape, *embedding_dim)?;
        if config.cross_layers == 0 {
            let problem =
                "is not read by its configuration, but a DCN has one cross layer at least".to_owned();
            return Err(weights.wrong("cross.0.weight", problem));
        }
        let width = config.width();
        let cross = (0..config.cross_layers)
            .map(|layer| ServedLayer::load(&weights, &format!("cross.{layer}"), config.cross, width))
            .collect::<Result<Vec<_>, _>>()?;
        let mut deep = weights.layers("deep", &config.deep_widths())?;
        let deep_output = deep.last().map_or(0, Linear::output);
        let first_deep = (!deep.is_empty()).then(|| deep.remove(0));
        let both = Linear::side_by_side(&cross[0].map, first_deep.as_ref());
        let first = FirstLayer::split(
            both.weights(),
            both.bias(),
            shape,
            *embedding_dim,
            Activation::None,
        );
        let logit = weights.linear("logit", width + deep_output, 1)?;
        let head = DcnHead {
            item_width: shape.item_width(*embedding_dim),
            inner_width: cross[0].map.output(),
            deep_width: first_deep.as_ref().map_or(0, Linear::output),
            cross,
            deep: first_deep.map(|_| Mlp::new(deep, Activation::Relu)),
            logit_of_cross: logit.weights().of_inputs(0..width),
            logit_of_deep: logit.weights().of_inputs(width..width + deep_output),
            bias: logit.bias()[0],
        };
        Ok(Self::new(shape.clone(), tables, first, head))
    }
}

impl DcnHead {
    /// All inputs of each candidate side by side, `[candidates, width]`.
    fn inputs(&self, chunk: Chunk<'_>, x_0: &mut Vec<f32>) {
        x_0.clear();
        for (item, pair) in chunk.candidates() {
            x_0.extend_from_slice(chunk.user_input);
            x_0.extend_from_slice(item);
            x_0.extend_from_slice(pair);
        }
    }

    /// Takes the first layers' outputs apart: the cross layer's, and the deep layer's after its ReLU.
    fn take_apart(&self, hidden: &[f32], inner: &mut Vec<f32>, deep: &mut Vec<f32>) {
        inner.clear();
        deep.clear();
        let width = self.inner_width + self.deep_width;
        for row in hidden.chunks_exact(width) {
            let (cross, first_deep) = row.split_at(self.inner_width);
            inner.extend_from_slice(cross);
            deep.extend(first_deep.iter().map(|value| relu(*value)));
        }
    }

    /// Adds one part of the logits.
    fn add_logits(&self, weights: &Matrix, x: &[f32], logits: &mut [f32]) {
        let rows = logits.len();
        let x = Rows {
            values: x,
            stride: weights.inputs(),
        };
        let out = RowsMut {
            values: logits,
            stride: 1,
        };
        weights.multiply(rows, x, Start::Output, Activation::None, out);
    }
}

/// `max(value, 0)`; NaN stays NaN.
fn relu(value: f32) -> f32 {
    if value < 0.0 { 0.0 } else { value }
}

impl Head for DcnHead {
    fn block_width(&self) -> usize {
        self.item_width
    }

    fn prepare(&self, _: &EncodedTable, _: usize, input: &[f32], out: &mut [f32]) {
        out.copy_from_slice(input);
    }

    fn logits(&self, chunk: Chunk<'_>, hidden: &mut Vec<f32>, head_buffers: &mut HeadBuffers) {
        let rows = chunk.len();
        let HeadBuffers {
            first: x_0,
            second: x,
            third: inner,
            fourth: deep,
            ..
        } = head_buffers;
        self.inputs(chunk, x_0);
        self.take_apart(hidden, inner, deep);
        x.clear();
        x.extend_from_slice(x_0);
        for (layer, cross) in self.cross.iter().enumerate() {
            if layer > 0 {
                cross.map.batch(rows, x, inner);
            }
            cross.finish(inner, hidden, x_0, x);
        }
        if let Some(rest) = &self.deep {
            rest.batch(rows, deep, inner);
        }
        hidden.clear();
        hidden.resize(rows, self.bias);
        self.add_logits(&self.logit_of_cross, x, hidden);
        self.add_logits(&self.logit_of_deep, deep, hidden);
    }
}

#[cfg(test)]
mod tests {
    use candle_nn::VarBuilder;

    use super::super::Dcn;
    use super::super::cross::Cross;
    use super::*;
    use crate::scoring::neural::InputShape;
    use crate::scoring::neural::tests::{check_refused, check_serving, shape};

    fn small() -> DcnConfig {
        DcnConfig {
            embedding_dim: 8,
            cross: Cross::Full,
            cross_layers: 3,
            hidden: vec![24, 12],
            shape: shape(),
        }
    }

    #[track_caller]
    fn check(config: DcnConfig) {
        let load = |path: &Path| DcnScorer::load(path, &config);
        check_serving(
            &config.shape,
            |vb| Dcn::new(&config, vb),
            |network| network.into_parts(&config),
            load,
        );
    }

    #[test]
    fn serving_gives_what_training_gave() {
        for cross in [Cross::Full, Cross::LowRank(5), Cross::Vector] {
            check(DcnConfig { cross, ..small() });
            check(DcnConfig {
                cross,
                cross_layers: 1,
                hidden: vec![7],
                ..small()
            });
            check(DcnConfig {
                cross,
                hidden: vec![],
                shape: InputShape { pair: 0, ..shape() },
                ..small()
            });
        }
    }

    #[test]
    fn weights_that_cannot_serve_are_refused_by_name() {
        let network = |vb: VarBuilder<'_>| Dcn::new(&small(), vb).map(drop);
        let load = |config: DcnConfig| move |path: &Path| DcnScorer::load(path, &config).map(drop);
        let other = |cross, cross_layers| DcnConfig {
            cross,
            cross_layers,
            ..small()
        };
        let nan = Some(("cross.2.bias", f32::NAN));
        check_refused(
            network,
            nan,
            load(small()),
            "tensor cross.2.bias has NaN at position 0",
        );
        let none = other(Cross::Full, 0);
        check_refused(network, None, load(none), "a DCN has one cross layer at least");
        let more = other(Cross::Full, 4);
        check_refused(network, None, load(more), "tensor cross.3.weight is missing");
        let vector = other(Cross::Vector, 3);
        check_refused(network, None, load(vector), "is F32 of [");
    }
}
