//! DCN as it is served.
//!
//! | part | done |
//! |---|---|
//! | the last cross layer with its logit, the first cross layer's linear map, the first deep layer: the item's inputs | once an item, kept in its block |
//! | the same, the user's inputs | once a request |
//! | the same, pair features; cross layers between the first and the last; the other deep layers | each candidate |
//!
//! The three read `x_0` and are served as one layer, side by side. What the last cross layer and the logit make of its input is then
//! one product of two vectors ([`last_with_logit`]). Behind that layer, an item's block holds the item's inputs, which every cross layer
//! multiplies with.

use std::path::Path;

use super::DcnConfig;
use super::cross::{ServedLayer, last_with_logit};
use crate::dense::{
    Activation, Linear, Matrix, Mlp, Rows, RowsMut, Start, Weights, WeightsError, inner_products,
};
use crate::features::EncodedTable;
use crate::scoring::neural::embeddings::EmbeddingTables;
use crate::scoring::neural::split::{Chunk, FirstLayer, Head, HeadBuffers, SplitScorer};

/// A DCN that serves.
pub type DcnScorer = SplitScorer<DcnHead>;

/// What follows the first layers.
pub struct DcnHead {
    item_width: usize,
    /// Width of all inputs.
    width: usize,
    /// Width of what the first cross layer's linear map gives; 0 if it is the last layer too.
    inner_width: usize,
    /// Width of the first deep layer's output.
    deep_width: usize,
    /// The cross layers before the last.
    cross: Vec<ServedLayer>,
    /// The deep layers after the first; `None` without any deep layer.
    deep: Option<Mlp>,
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
        let mut deep = weights.layers("deep", &config.deep_widths())?;
        let deep_output = deep.last().map_or(0, Linear::output);
        let logit = weights.tensor("logit.weight", &[1, width + deep_output])?;
        let layer = |layer: usize| format!("cross.{layer}");
        let last = config.cross_layers - 1;
        let cross = (0..last)
            .map(|at| ServedLayer::load(&weights, &layer(at), config.cross, width))
            .collect::<Result<Vec<_>, _>>()?;
        let last = last_with_logit(&weights, &layer(last), config.cross, &logit[..width])?;
        let first_deep = (!deep.is_empty()).then(|| deep.remove(0));
        let others = cross
            .first()
            .map(|layer| &layer.map)
            .into_iter()
            .chain(&first_deep);
        let all = others.fold(last, |all, next| all.side_by_side(next));
        let first = FirstLayer::split(all.weights(), all.bias(), shape, *embedding_dim, Activation::None);
        let head = DcnHead {
            item_width: shape.item_width(*embedding_dim),
            width,
            inner_width: cross.first().map_or(0, |layer| layer.map.output()),
            deep_width: first_deep.as_ref().map_or(0, Linear::output),
            cross,
            deep: first_deep.map(|_| Mlp::new(deep, Activation::Relu)),
            logit_of_deep: Matrix::transposed(deep_output, 1, &logit[width..]),
            bias: weights.tensor("logit.bias", &[1])?[0],
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

    /// The first layers' outputs for each candidate: the last cross layer's vector and number, what the first cross layer's linear
    /// map gives, and the first deep layer.
    fn outputs<'a>(&self, hidden: &'a [f32]) -> impl Iterator<Item = (&'a [f32], &'a [f32], &'a [f32])> {
        let (last, inner) = (self.width + 1, self.inner_width);
        let rows = hidden.chunks_exact(last + inner + self.deep_width);
        rows.map(move |row| (&row[..last], &row[last..last + inner], &row[last + inner..]))
    }

    /// What the last cross layer and the logit make of its inputs `x`, `[candidates, width]`.
    fn logits_of_cross(&self, hidden: &[f32], x: &[f32], logits: &mut Vec<f32>) {
        logits.clear();
        for ((last, ..), x) in self.outputs(hidden).zip(x.chunks_exact(self.width)) {
            let mut product = [0.0];
            inner_products(x, &last[..self.width], &mut product);
            logits.push(self.bias + last[self.width] + product[0]);
        }
    }

    /// What the deep part adds to the logits.
    fn add_logits_of_deep(&self, deep: &[f32], logits: &mut [f32]) {
        let rows = logits.len();
        let x = Rows {
            values: deep,
            stride: self.logit_of_deep.inputs(),
        };
        let out = RowsMut {
            values: logits,
            stride: 1,
        };
        self.logit_of_deep
            .multiply(rows, x, Start::Output, Activation::None, out);
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
            fifth: spare,
            ..
        } = head_buffers;
        self.inputs(chunk, x_0);
        inner.clear();
        deep.clear();
        for (_, first_inner, first_deep) in self.outputs(hidden) {
            inner.extend_from_slice(first_inner);
            deep.extend(first_deep.iter().map(|value| relu(*value)));
        }
        x.clear();
        x.extend_from_slice(x_0);
        for (layer, cross) in self.cross.iter().enumerate() {
            if layer > 0 {
                cross.map.batch(rows, x, inner);
            }
            cross.finish(inner, spare, x_0, x);
        }
        self.logits_of_cross(hidden, x, spare);
        std::mem::swap(hidden, spare);
        if let Some(rest) = &self.deep {
            rest.batch(rows, deep, inner);
        }
        self.add_logits_of_deep(deep, hidden);
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
