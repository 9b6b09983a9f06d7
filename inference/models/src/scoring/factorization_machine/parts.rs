//! A factorization machine, taken apart for many users at once.
//!
//! What a user and an item bring is `[S, L, Q]`, so that all three are added at once.

use candle_core::{Result as CandleResult, Tensor};

use super::{FactorizationMachine, FactorizationMachineConfig, Norms, logits, norms, square};
use crate::scoring::neural::embeddings::Embeddings;
use crate::scoring::neural::parts::{Pairs, Parts, Rows, SplitLinear};

/// The network, taken apart.
pub(crate) struct FactorizationMachineParts {
    dimension: usize,
    embeddings: Embeddings,
    numbers: SplitLinear,
    norms: Norms,
    /// How many numbers the user, the item and the pair bring.
    widths: [usize; 3],
}

impl FactorizationMachine {
    /// Takes the network apart.
    pub(crate) fn into_parts(
        self,
        config: &FactorizationMachineConfig,
    ) -> CandleResult<FactorizationMachineParts> {
        let widths = config.shape.numeric_widths();
        Ok(FactorizationMachineParts {
            dimension: self.dimension,
            numbers: SplitLinear::of(&self.numbers, widths)?,
            norms: norms(&self.numbers, self.dimension)?,
            embeddings: self.embeddings,
            widths,
        })
    }
}

impl FactorizationMachineParts {
    /// `[S, L, Q]` of rows, of the sum of their numbers and the vectors of their categories.
    fn bring(&self, mut sum: Tensor, mut squares: Tensor, vectors: Vec<Tensor>) -> CandleResult<Tensor> {
        for vector in vectors {
            squares = (squares + square(&vector, self.dimension)?)?;
            sum = (sum + vector)?;
        }
        Tensor::cat(&[sum, squares], 1)
    }

    /// `Q` of numbers, `[rows, 1]`, which stand from `first` on among all.
    fn squares(
        &self,
        numbers: Option<&Tensor>,
        first: usize,
        width: usize,
        rows: usize,
    ) -> CandleResult<Tensor> {
        match numbers {
            Some(numbers) => {
                let norms = self.norms.numbers.narrow(1, first, width)?;
                numbers.sqr()?.broadcast_mul(&norms)?.sum_keepdim(1)
            }
            None => Tensor::zeros((rows, 1), self.norms.always.dtype(), self.norms.always.device()),
        }
    }
}

impl Parts for FactorizationMachineParts {
    fn users(&self, rows: &Rows) -> CandleResult<Tensor> {
        let numbers = rows.numeric.as_ref();
        let squares = self.squares(numbers, 0, self.widths[0], rows.len)?;
        let squares = squares.broadcast_add(&self.norms.always)?;
        let sum = self.numbers.of_users(numbers, rows.len)?;
        self.bring(sum, squares, self.embeddings.of_users(rows)?)
    }

    fn items(&self, rows: &Rows) -> CandleResult<Tensor> {
        let numbers = rows.numeric.as_ref();
        let squares = self.squares(numbers, self.widths[0], self.widths[1], rows.len)?;
        let sum = self.numbers.of_items(numbers, rows.len)?;
        self.bring(sum, squares, self.embeddings.of_items(rows)?)
    }

    fn logits(&self, pairs: &Pairs) -> CandleResult<Tensor> {
        let [user, item, pair] = self.widths;
        let (features, rows) = (pairs.features.as_ref(), pairs.user.dim(0)?);
        let both = (&pairs.user + &pairs.item)?;
        let sum = both.narrow(1, 0, self.dimension + 1)?.contiguous()?;
        let squares = both.narrow(1, self.dimension + 1, 1)?;
        let squares = (squares + self.squares(features, user + item, pair, rows)?)?;
        logits(&self.numbers.add_pairs(sum, features)?, &squares, self.dimension)
    }
}
