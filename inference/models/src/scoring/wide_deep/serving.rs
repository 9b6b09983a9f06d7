//! Wide & Deep as it is served.
//!
//! Behind the deep part's share, an item's block is `[the item's sum of the wide part, the item's share of each cross's hash]`.

use std::path::Path;

use super::WideDeepConfig;
use super::crosses::Crosses;
use crate::dense::{self, Activation, Weights, WeightsError};
use crate::features::{EncodedRow, EncodedTable};
use crate::scoring::neural::InputShape;
use crate::scoring::neural::embeddings::EmbeddingTables;
use crate::scoring::neural::split::{Chunk, FirstLayer, Head, HeadBuffers, SplitScorer};

/// A Wide & Deep model that serves.
pub type WideDeepScorer = SplitScorer<WideDeepHead>;

/// The deep part's layers after the first, and the wide part.
pub struct WideDeepHead {
    rest: dense::Mlp,
    wide: Wide,
}

struct Wide {
    /// A weight for each category.
    categories: EmbeddingTables,
    user: Vec<f32>,
    item: Vec<f32>,
    pair: Vec<f32>,
    bias: f32,
    crosses: Crosses,
    cross_weights: Vec<f32>,
}

impl WideDeepScorer {
    /// Reads the weights that [`super::WideDeep`] left.
    pub fn load(path: &Path, config: &WideDeepConfig) -> Result<Self, WeightsError> {
        let weights = Weights::read(path)?;
        let WideDeepConfig {
            embedding_dim, shape, ..
        } = config;
        let tables = EmbeddingTables::load(&weights, "", shape, *embedding_dim)?;
        let layers = weights.layers("layer", &config.widths())?;
        let (first, rest) = FirstLayer::of_mlp(layers, shape, *embedding_dim);
        let head = WideDeepHead {
            rest: dense::Mlp::new(rest, Activation::None),
            wide: Wide::load(&weights, config)?,
        };
        Ok(Self::new(shape.clone(), tables, first, head))
    }
}

impl Wide {
    fn load(weights: &Weights, config: &WideDeepConfig) -> Result<Self, WeightsError> {
        let WideDeepConfig { shape, crosses, .. } = config;
        check_crosses(weights, crosses, shape)?;
        let numbers = weights.tensor("wide.linear.weight", &[1, shape.numeric()])?;
        let (user, others) = numbers.split_at(shape.user_numeric);
        let (item, pair) = others.split_at(shape.item_numeric);
        Ok(Self {
            categories: EmbeddingTables::load(weights, "wide.", shape, 1)?,
            user: user.to_vec(),
            item: item.to_vec(),
            pair: pair.to_vec(),
            bias: weights.tensor("wide.linear.bias", &[1])?[0],
            cross_weights: match crosses.pairs.is_empty() {
                true => Vec::new(),
                false => weights.tensor(CROSS_WEIGHTS, &[crosses.buckets, 1])?,
            },
            crosses: crosses.clone(),
        })
    }

    /// What the user alone brings.
    fn of_user(&self, user: &EncodedRow) -> f32 {
        let categories = self.categories.user.iter().zip(&user.categorical);
        let categories: f32 = categories.map(|(table, index)| table.row(*index)[0]).sum();
        self.bias + categories + product(&self.user, &user.numeric)
    }

    /// What the item alone brings.
    fn of_item(&self, items: &EncodedTable, row: usize) -> f32 {
        let categories = self.categories.item.iter().zip(items.categorical(row));
        let categories: f32 = categories.map(|(table, index)| table.row(*index)[0]).sum();
        categories + product(&self.item, items.numeric(row))
    }

    /// What the crosses of a user and an item bring, by their shares of the hashes.
    fn of_crosses(&self, user: impl Iterator<Item = u32>, item: &[f32]) -> f32 {
        let buckets = user
            .zip(item)
            .map(|(user, item)| self.crosses.bucket(user, item.to_bits()));
        buckets.map(|bucket| self.cross_weights[bucket]).sum()
    }
}

/// The name of the crosses' weights.
const CROSS_WEIGHTS: &str = "wide.embedding.cross.weight";

fn check_crosses(weights: &Weights, crosses: &Crosses, shape: &InputShape) -> Result<(), WeightsError> {
    let (users, items) = (shape.user_categorical.len(), shape.item_categorical.len());
    let there = |(user, item): &(usize, usize)| *user < users && *item < items;
    match crosses.pairs.iter().find(|pair| !there(pair)) {
        Some((user, item)) => {
            let problem = format!(
                "crosses the user's categorical column {user} with the item's {item} by its configuration, but there are {users} and {items}"
            );
            Err(weights.wrong(CROSS_WEIGHTS, problem))
        }
        None if crosses.buckets == 0 && !crosses.pairs.is_empty() => {
            let problem = "has no buckets by its configuration".to_owned();
            Err(weights.wrong(CROSS_WEIGHTS, problem))
        }
        None => Ok(()),
    }
}

impl Head for WideDeepHead {
    fn block_width(&self) -> usize {
        1 + self.wide.crosses.pairs.len()
    }

    fn prepare(&self, items: &EncodedTable, row: usize, _: &[f32], out: &mut [f32]) {
        out[0] = self.wide.of_item(items, row);
        for (cross, kept) in out[1..].iter_mut().enumerate() {
            *kept = f32::from_bits(self.wide.crosses.hash_item(cross, items.categorical(row)));
        }
    }

    fn logits(&self, chunk: Chunk<'_>, hidden: &mut Vec<f32>, head_buffers: &mut HeadBuffers) {
        self.rest.batch(chunk.len(), hidden, &mut head_buffers.first);
        let Wide { crosses, pair, .. } = &self.wide;
        let user = self.wide.of_user(chunk.user);
        let hashes = &mut head_buffers.hashes;
        hashes.clear();
        hashes
            .extend((0..crosses.pairs.len()).map(|cross| crosses.hash_user(cross, &chunk.user.categorical)));
        for (logit, (block, features)) in hidden.iter_mut().zip(chunk.candidates()) {
            let crossed = self.wide.of_crosses(hashes.iter().copied(), &block[1..]);
            *logit += user + block[0] + crossed + product(pair, features);
        }
    }
}

fn product(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use candle_nn::VarBuilder;

    use super::super::WideDeep;
    use super::*;
    use crate::scoring::neural::tests::{check_refused, check_serving, shape};

    fn small() -> WideDeepConfig {
        WideDeepConfig {
            embedding_dim: 8,
            hidden: vec![24, 12],
            crosses: Crosses {
                pairs: vec![(0, 1), (2, 0), (1, 3)],
                buckets: 97,
            },
            shape: shape(),
        }
    }

    fn without_crosses() -> WideDeepConfig {
        WideDeepConfig {
            crosses: Crosses::default(),
            ..small()
        }
    }

    #[track_caller]
    fn check(config: WideDeepConfig) {
        let load = |path: &Path| WideDeepScorer::load(path, &config);
        check_serving(
            &config.shape,
            |vb| WideDeep::new(&config, vb),
            |network| network.into_parts(&config),
            load,
        );
    }

    #[test]
    fn serving_gives_what_training_gave() {
        check(small());
        check(without_crosses());
        check(WideDeepConfig {
            hidden: vec![],
            shape: InputShape { pair: 0, ..shape() },
            ..small()
        });
    }

    #[test]
    fn weights_that_cannot_serve_are_refused_by_name() {
        let network = |vb: VarBuilder<'_>| WideDeep::new(&small(), vb).map(drop);
        let load = |config: WideDeepConfig| move |path: &Path| WideDeepScorer::load(path, &config).map(drop);
        let crossing = |pairs: Vec<(usize, usize)>, buckets| WideDeepConfig {
            crosses: Crosses { pairs, buckets },
            ..small()
        };
        let nan = Some((CROSS_WEIGHTS, f32::NAN));
        check_refused(
            network,
            nan,
            load(small()),
            "wide.embedding.cross.weight has NaN at position 0",
        );
        let elsewhere = crossing(vec![(0, 4)], 97);
        check_refused(
            network,
            None,
            load(elsewhere),
            "with the item's 4 by its configuration",
        );
        check_refused(network, None, load(crossing(vec![(0, 0)], 0)), "has no buckets");
        check_refused(
            network,
            None,
            load(crossing(vec![(0, 0)], 98)),
            "is F32 of [97, 1]",
        );
    }
}
