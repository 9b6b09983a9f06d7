//! DLRM, taken apart for many users at once.
//!
//! The first layers split as in [`serving`](super::serving). What a user and an item bring is
//! `[their part of the bottom's first layer, what their own embeddings bring to the top's first layer, their embeddings]`. What is
//! left for each pair: the bottom, its products with all embeddings, the products of the user's with the item's, and the top.

use candle_core::{Result as CandleResult, Tensor};
use candle_nn::Linear;

use super::arrangement::Interaction;
use super::layers::met;
use super::{Dlrm, DlrmConfig};
use crate::scoring::neural::embeddings::Embeddings;
use crate::scoring::neural::parts::{Pairs, Parts, Rows, SplitLinear, relu, run_after};

/// The network, taken apart.
pub(crate) struct DlrmParts {
    config: DlrmConfig,
    embeddings: Embeddings,
    bottom_first: SplitLinear,
    bottom_width: usize,
    bottom_rest: Vec<Linear>,
    top_first: FirstTop,
    top_width: usize,
    top_rest: Vec<Linear>,
}

/// The top's first layer, a matrix for each group of its inputs, each `[inputs, top width]`.
struct FirstTop {
    user: Own,
    item: Own,
    /// For the bottom's output.
    bottom: Tensor,
    /// For the products of the bottom's output with itself, the user's and the item's embeddings.
    with_bottom: Option<Chosen>,
    /// For the products of the user's embeddings with the item's, one item column after the other.
    with_each_other: Option<Tensor>,
    /// For the numbers of all three, where the top reads them; with the bias.
    numbers: SplitLinear,
}

/// What one side's embeddings bring that nothing else meets.
enum Own {
    Nothing,
    /// The embeddings themselves.
    SideBySide(Tensor),
    /// Products of each two.
    Products(Chosen),
}

/// Weights for some of the products of vectors.
struct Chosen {
    /// Which products, in a flattened table of all.
    products: Tensor,
    /// `[products, top width]`.
    weights: Tensor,
}

/// Where the vectors of a side begin among those that meet, and where they end.
type Vectors = std::ops::Range<usize>;

impl Dlrm {
    /// Takes the network apart.
    pub(crate) fn into_parts(self, config: &DlrmConfig) -> CandleResult<DlrmParts> {
        Ok(DlrmParts {
            config: config.clone(),
            bottom_first: SplitLinear::of(&self.bottom[0], config.shape.numeric_widths())?,
            bottom_width: self.bottom[0].weight().dim(0)?,
            bottom_rest: self.bottom[1..].to_vec(),
            top_first: FirstTop::of(&self.top[0], config)?,
            top_width: self.top[0].weight().dim(0)?,
            top_rest: self.top[1..].to_vec(),
            embeddings: self.embeddings,
        })
    }
}

impl FirstTop {
    fn of(layer: &Linear, config: &DlrmConfig) -> CandleResult<Self> {
        let (users, vectors) = (1 + config.shape.user_categorical.len(), config.vectors());
        let weights = layer.weight();
        let numbers = config.numbers_of_top();
        let of_numbers = weights.narrow(1, config.met(), numbers.iter().sum())?;
        let bottom: Vec<usize> = (0..config.embedding_dim).collect();
        Ok(Self {
            user: Own::of(weights, config, 1..users)?,
            item: Own::of(weights, config, users..vectors)?,
            bottom: of_inputs(weights, &bottom)?,
            with_bottom: Chosen::with_bottom(weights, config)?,
            with_each_other: match products_with_each_other(config) {
                products if products.is_empty() => None,
                products => Some(of_inputs(weights, &products)?),
            },
            numbers: SplitLinear::of(&Linear::new(of_numbers, layer.bias().cloned()), numbers)?,
        })
    }
}

/// The weights of some inputs of a layer (`[outputs, inputs]`), `[some inputs, outputs]`.
fn of_inputs(weights: &Tensor, inputs: &[usize]) -> CandleResult<Tensor> {
    weights
        .index_select(&positions(inputs.iter().copied(), weights)?, 1)?
        .t()?
        .contiguous()
}

fn positions(positions: impl Iterator<Item = usize>, beside: &Tensor) -> CandleResult<Tensor> {
    let positions: Vec<u32> = positions.map(|position| position as u32).collect();
    Tensor::new(positions, beside.device())
}

/// Where the top's input has the products of each item column with each user column.
fn products_with_each_other(config: &DlrmConfig) -> Vec<usize> {
    let users = 1 + config.shape.user_categorical.len();
    let pairs = (users..config.vectors()).flat_map(|item| (1..users).map(move |user| (item, user)));
    pairs
        .filter(|(item, user)| config.interaction.has(*item, *user))
        .map(|(item, user)| config.product(item, user))
        .collect()
}

impl Own {
    fn of(weights: &Tensor, config: &DlrmConfig, vectors: Vectors) -> CandleResult<Self> {
        let inputs = met(config, vectors.clone());
        if inputs.is_empty() {
            return Ok(Self::Nothing);
        }
        let weights = of_inputs(weights, &inputs)?;
        if config.interaction == Interaction::Cat {
            return Ok(Self::SideBySide(weights));
        }
        let count = vectors.len();
        let pairs = (0..count).flat_map(|row| (0..=row).map(move |column| (row, column)));
        let met = pairs.filter(|(row, column)| config.interaction.has(*row, *column));
        Ok(Self::Products(Chosen {
            products: positions(met.map(|(row, column)| row * count + column), &weights)?,
            weights,
        }))
    }

    /// Adds what a side's embeddings (`[rows, columns * dim]`) bring to `top`, `[rows, top width]`.
    fn add(&self, top: Tensor, embeddings: Option<&Tensor>, dim: usize) -> CandleResult<Tensor> {
        match (self, embeddings) {
            (Self::Nothing, _) | (_, None) => Ok(top),
            (Self::SideBySide(weights), Some(embeddings)) => top + embeddings.matmul(weights)?,
            (Self::Products(chosen), Some(embeddings)) => {
                let vectors = vectors(embeddings, dim)?;
                let square = vectors.matmul(&vectors.t()?)?.flatten_from(1)?;
                top + chosen.weigh(&square)?
            }
        }
    }
}

impl Chosen {
    /// Of the products of the bottom's output with all vectors, in their order.
    fn with_bottom(weights: &Tensor, config: &DlrmConfig) -> CandleResult<Option<Self>> {
        let met: Vec<usize> = (0..config.vectors())
            .filter(|vector| config.interaction.has(*vector, 0))
            .collect();
        if met.is_empty() {
            return Ok(None);
        }
        let inputs: Vec<usize> = met.iter().map(|vector| config.product(*vector, 0)).collect();
        Ok(Some(Self {
            products: positions(met.into_iter(), weights)?,
            weights: of_inputs(weights, &inputs)?,
        }))
    }

    /// What products, of which `all` has every one in its rows, bring to the top, `[rows, top width]`.
    fn weigh(&self, all: &Tensor) -> CandleResult<Tensor> {
        all.index_select(&self.products, 1)?.matmul(&self.weights)
    }
}

/// Embeddings side by side, `[rows, columns * dim]`, as `[rows, columns, dim]`.
fn vectors(embeddings: &Tensor, dim: usize) -> CandleResult<Tensor> {
    let (rows, width) = embeddings.dims2()?;
    embeddings.contiguous()?.reshape((rows, width / dim, dim))
}

/// A side's part: its part of the bottom, of the top, and its embeddings.
fn side(bottom: Tensor, top: Tensor, embeddings: Option<Tensor>) -> CandleResult<Tensor> {
    let mut parts = vec![bottom, top];
    parts.extend(embeddings);
    Tensor::cat(&parts, 1)
}

impl DlrmParts {
    /// The bottom's output for each pair, `[pairs, dim]`.
    fn bottom(&self, pairs: &Pairs) -> CandleResult<Tensor> {
        let part = |part: &Tensor| part.narrow(1, 0, self.bottom_width);
        let both = (part(&pairs.user)? + part(&pairs.item)?)?;
        let first = self.bottom_first.add_pairs(both, pairs.features.as_ref())?;
        relu(&run_after(&self.bottom_rest, first)?)
    }

    /// The embeddings that stand at the end of a side's part, `[pairs, columns, dim]`.
    fn embeddings(&self, part: &Tensor) -> CandleResult<Option<Tensor>> {
        let first = self.bottom_width + self.top_width;
        match part.dim(1)? - first {
            0 => Ok(None),
            width => vectors(&part.narrow(1, first, width)?, self.config.embedding_dim).map(Some),
        }
    }

    /// What the products of the bottom's output, and those of the user's with the item's embeddings, bring to the top.
    fn add_products(&self, mut top: Tensor, pairs: &Pairs, bottom: &Tensor) -> CandleResult<Tensor> {
        let (user, item) = (self.embeddings(&pairs.user)?, self.embeddings(&pairs.item)?);
        if let Some(chosen) = &self.top_first.with_bottom {
            let column = bottom.unsqueeze(2)?;
            let all = [Some(bottom.unsqueeze(1)?), user.clone(), item.clone()];
            let all: Vec<Tensor> = all.into_iter().flatten().collect();
            let products = Tensor::cat(&all, 1)?.matmul(&column)?.squeeze(2)?;
            top = (top + chosen.weigh(&products)?)?;
        }
        if let (Some(weights), Some(user), Some(item)) = (&self.top_first.with_each_other, &user, &item) {
            let products = item.matmul(&user.t()?)?.flatten_from(1)?;
            top = (top + products.matmul(weights)?)?;
        }
        Ok(top)
    }
}

impl Parts for DlrmParts {
    fn users(&self, rows: &Rows) -> CandleResult<Tensor> {
        let embeddings = self.embeddings.user_embeddings(rows)?;
        let bottom = self.bottom_first.of_users(rows.numeric.as_ref(), rows.len)?;
        let top = self.top_first.numbers.of_users(rows.numeric.as_ref(), rows.len)?;
        let top = self
            .top_first
            .user
            .add(top, embeddings.as_ref(), self.config.embedding_dim)?;
        side(bottom, top, embeddings)
    }

    fn items(&self, rows: &Rows) -> CandleResult<Tensor> {
        let embeddings = self.embeddings.item_embeddings(rows)?;
        let bottom = self.bottom_first.of_items(rows.numeric.as_ref(), rows.len)?;
        let top = self.top_first.numbers.of_items(rows.numeric.as_ref(), rows.len)?;
        let top = self
            .top_first
            .item
            .add(top, embeddings.as_ref(), self.config.embedding_dim)?;
        side(bottom, top, embeddings)
    }

    fn logits(&self, pairs: &Pairs) -> CandleResult<Tensor> {
        let bottom = self.bottom(pairs)?;
        let part = |part: &Tensor| part.narrow(1, self.bottom_width, self.top_width);
        let own = (part(&pairs.user)? + part(&pairs.item)?)?;
        let own = self.top_first.numbers.add_pairs(own, pairs.features.as_ref())?;
        let top = (own + bottom.matmul(&self.top_first.bottom)?)?;
        let top = self.add_products(top, pairs, &bottom)?;
        run_after(&self.top_rest, top)?.squeeze(1)
    }
}
