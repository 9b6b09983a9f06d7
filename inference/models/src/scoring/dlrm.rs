//! DLRM: embeddings and dense features that meet in pairwise products.
//!
//! ```text
//! numeric (user, item, pair) -> bottom MLP, ReLU after each layer -> b [batch, dim]
//! each categorical column    -> embedding                         -> e [batch, dim]
//! top input = [b, all products v_r . v_c with r > c, where v = (b, e of the user's columns, e of the item's columns)]
//!             (products in the order of the lower triangle, row by row), and behind them the numbers as they are, where the
//!             configuration says so
//! logit     = top MLP, ReLU between layers
//! ```
//!
//! Naumov et al., "Deep learning recommendation model for personalization and recommendation systems", 2019. In models of
//! other programs vectors meet otherwise, and weights have other names: see [`arrangement`].
//!
//! [`Dlrm`] is the candle network that trains. [`DlrmScorer`] serves the same weights: see [`serving`] for how it avoids
//! doing a user's or an item's part of the work for every candidate. [`parts`] does the same for many users at once, in the layers
//! that trained.

pub mod arrangement;
mod layers;
mod parts;
pub mod serving;
mod values;

use candle_core::{Result as CandleResult, Tensor};
use candle_nn::{Linear, VarBuilder};
use serde::{Deserialize, Serialize};

use super::neural::embeddings::Embeddings;
use super::neural::{Batch, InputShape, Network};
use crate::retrieval::tower::{named_layers, run_layers};
use arrangement::{Arrangement, Interaction};

pub use serving::DlrmScorer;

/// The shape of a DLRM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DlrmConfig {
    /// Width of every embedding and of the bottom MLP's output.
    pub embedding_dim: usize,
    /// Widths of the bottom MLP's hidden layers; a layer to `embedding_dim` follows.
    pub bottom: Vec<usize>,
    /// Widths of the top MLP's hidden layers; a layer to the logit follows.
    pub top: Vec<usize>,
    /// How vectors meet.
    #[serde(default)]
    pub interaction: Interaction,
    /// Whether the top MLP reads numbers as they are too: what tells most may be lost on the way through one vector of `embedding_dim`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub numbers_to_top: bool,
    /// Whose names and order the weights have.
    #[serde(default)]
    pub arrangement: Arrangement,
    /// Its inputs.
    #[serde(flatten)]
    pub shape: InputShape,
}

impl DlrmConfig {
    /// Widths of the bottom MLP, from its input to `embedding_dim`.
    fn bottom_widths(&self) -> Vec<usize> {
        [
            &[self.shape.numeric()],
            self.bottom.as_slice(),
            &[self.embedding_dim],
        ]
        .concat()
    }

    /// Number of vectors that meet: the bottom's output and all embeddings.
    fn vectors(&self) -> usize {
        1 + self.shape.user_categorical.len() + self.shape.item_categorical.len()
    }

    /// Widths of the top MLP, from its input to the logit.
    fn top_widths(&self) -> Vec<usize> {
        let [user, item, pair] = self.numbers_of_top();
        [&[self.met() + user + item + pair], self.top.as_slice(), &[1]].concat()
    }

    /// Width of what vectors bring to the top.
    fn met(&self) -> usize {
        self.interaction.width(self.vectors(), self.embedding_dim)
    }

    /// How many numbers of the user, the item and the pair the top reads as they are, behind what vectors bring.
    fn numbers_of_top(&self) -> [usize; 3] {
        match self.numbers_to_top {
            true => self.shape.numeric_widths(),
            false => [0; 3],
        }
    }

    /// Where the top's input has the product of two vectors, which are numbered as they are stacked: 0 is the bottom's
    /// output, then the user's, then the item's; `row >= column`.
    fn product(&self, row: usize, column: usize) -> usize {
        let product = self
            .arrangement
            .product(self.interaction, self.vectors(), row, column);
        self.embedding_dim + product
    }
}

/// The network that trains. Weights: `embedding.user.{column}.weight`, `embedding.item.{column}.weight`,
/// `bottom.{position}.weight` and `.bias`, `top.{position}.weight` and `.bias`; other names in another arrangement.
pub struct Dlrm {
    embeddings: Embeddings,
    bottom: Vec<Linear>,
    top: Vec<Linear>,
    interaction: Interaction,
    numbers_to_top: bool,
    /// Positions of the products in a flattened square of the vectors, in their order.
    products: Tensor,
}

impl Dlrm {
    /// A network of this shape, with weights from `vb`.
    pub fn new(config: &DlrmConfig, vb: VarBuilder<'_>) -> CandleResult<Self> {
        let (arrangement, users) = (config.arrangement, config.shape.user_categorical.len());
        let table = |side, column| arrangement.table(side, column, users);
        let last = config.top.len();
        Ok(Self {
            embeddings: Embeddings::named(&config.shape, config.embedding_dim, &vb, table)?,
            bottom: named_layers(&config.bottom_widths(), &vb, |position| {
                arrangement.bottom(position)
            })?,
            top: named_layers(&config.top_widths(), &vb, |position| {
                arrangement.top(position, last)
            })?,
            interaction: config.interaction,
            numbers_to_top: config.numbers_to_top,
            products: Tensor::new(products(config), vb.device())?,
        })
    }
}

/// Positions of the products in a flattened square of the vectors, in their order.
fn products(config: &DlrmConfig) -> Vec<u32> {
    let vectors = config.vectors();
    let pairs = (0..vectors).flat_map(|row| (0..=row).map(move |column| (row, column)));
    let mut products: Vec<(usize, u32)> = pairs
        .filter(|(row, column)| config.interaction.has(*row, *column))
        .map(|(row, column)| (config.product(row, column), (row * vectors + column) as u32))
        .collect();
    products.sort_unstable();
    products.into_iter().map(|(_, position)| position).collect()
}

impl Network for Dlrm {
    fn forward(&self, batch: &Batch) -> CandleResult<Tensor> {
        let numbers = batch.numeric()?;
        let bottom = run_layers(&self.bottom, numbers.clone())?.relu()?;
        let vectors = [vec![bottom.clone()], self.embeddings.vectors(batch)?].concat();
        let met = match self.interaction {
            Interaction::Cat => Tensor::cat(&vectors, 1)?,
            Interaction::Dot | Interaction::DotWithItself => {
                let stacked = Tensor::stack(&vectors, 1)?;
                let square = stacked.matmul(&stacked.transpose(1, 2)?)?.flatten_from(1)?;
                Tensor::cat(&[&bottom, &square.index_select(&self.products, 1)?], 1)?
            }
        };
        let read = match self.numbers_to_top {
            true => Tensor::cat(&[met, numbers], 1)?,
            false => met,
        };
        run_layers(&self.top, read)?.squeeze(1)
    }
}
