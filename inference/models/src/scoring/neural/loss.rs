//! What training makes small.

use std::ops::Range;

use candle_core::{Result as CandleResult, Tensor};

/// The mean binary cross-entropy of logits and labels of 0 or 1, both `[batch]`.
///
/// Written as `max(z, 0) - z y + ln(1 + e^-|z|)`, which stays finite for every logit; candle's own takes the logarithm of
/// a sigmoid and does not.
pub fn binary_cross_entropy(logits: &Tensor, labels: &Tensor) -> CandleResult<Tensor> {
    (softplus(logits)? - (logits * labels)?)?.mean_all()
}

/// `ln(1 + e^z)`, finite for every `z`.
fn softplus(z: &Tensor) -> CandleResult<Tensor> {
    z.relu()? + (z.abs()?.neg()?.exp()? + 1.0)?.log()?
}

/// LambdaRank (Burges, "From RankNet to LambdaRank to LambdaMART", 2010): in each list, what was bought is to stand above what was not, and the
/// more it matters for nDCG which of two stands above the other, the more that pair counts. `logits` is `[batch]`, `labels` are 0 or 1, and the
/// lists follow each other, of these lengths. The mean over lists that have both kinds; 0 where none has.
pub fn lambda_rank(logits: &Tensor, labels: &[f32], lists: &[usize]) -> CandleResult<Tensor> {
    let scores: Vec<f32> = logits.to_vec1()?;
    let mut pairs = Pairs::default();
    let (mut first, mut counted) = (0, 0);
    for length in lists {
        let before = pairs.weights.len();
        pairs.add(&scores, labels, first..first + length);
        counted += usize::from(pairs.weights.len() > before);
        first += length;
    }
    if counted == 0 {
        return logits.sum_all()? * 0.0;
    }
    let at = |positions: Vec<u32>| {
        let count = positions.len();
        logits.index_select(&Tensor::from_vec(positions, count, logits.device())?, 0)
    };
    let ahead = (at(pairs.bought)? - at(pairs.others)?)?;
    let count = pairs.weights.len();
    let weights = Tensor::from_vec(pairs.weights, count, logits.device())?;
    (softplus(&ahead.neg()?)? * weights)?.sum_all()? / counted as f64
}

/// Positions of something bought and something else of one list, and what it is worth to nDCG that they change places.
#[derive(Default)]
struct Pairs {
    bought: Vec<u32>,
    others: Vec<u32>,
    weights: Vec<f32>,
}

impl Pairs {
    /// Adds every pair of a list, which stands at these positions.
    fn add(&mut self, scores: &[f32], labels: &[f32], list: Range<usize>) {
        let mut order: Vec<usize> = list.collect();
        order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]).then_with(|| a.cmp(b)));
        let places = || order.iter().zip(0..);
        let is_bought = |position: usize| labels[position] > 0.5;
        let ideal: f32 = places()
            .filter(|(position, _)| is_bought(**position))
            .zip(0..)
            .map(|(_, place)| discount(place))
            .sum();
        for (bought, place) in places().filter(|(position, _)| is_bought(**position)) {
            for (other, other_place) in places().filter(|(position, _)| !is_bought(**position)) {
                self.bought.push(*bought as u32);
                self.others.push(*other as u32);
                self.weights
                    .push((discount(place) - discount(other_place)).abs() / ideal);
            }
        }
    }
}

/// What a place in a list, from 0, is worth to nDCG.
fn discount(place: u32) -> f32 {
    1.0 / (place as f32 + 2.0).log2()
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;

    #[test]
    fn the_loss_is_finite_for_every_logit() {
        let logits = Tensor::new(&[-100f32, -17.0, 0.0, 17.0, 100.0], &Device::Cpu).unwrap();
        let labels = Tensor::new(&[1f32, 0.0, 1.0, 1.0, 0.0], &Device::Cpu).unwrap();
        let loss: f32 = binary_cross_entropy(&logits, &labels)
            .unwrap()
            .to_scalar()
            .unwrap();
        assert!((loss - (200.0 + 2f32.ln()) / 5.0).abs() < 1e-4, "{loss}");
    }

    #[test]
    fn lambdas_are_those_of_the_paper() {
        let logits = Var::new(&[0.5f32, 1.5, -0.2, 3.0, 2.0], &Device::Cpu).unwrap();
        let labels = [1.0, 0.0, 0.0, 1.0, 1.0];
        // The last two were both bought: nothing is to be learned of their order.
        let loss = lambda_rank(logits.as_tensor(), &labels, &[3, 2]).unwrap();
        let gradient = loss
            .backward()
            .unwrap()
            .get(logits.as_tensor())
            .unwrap()
            .to_vec1::<f32>()
            .unwrap();
        // The list stands in the order 1, 0, 2; with its one purchase at the top its DCG is 1.
        let pull = |ahead: f32| 1.0 / (1.0 + ahead.exp());
        let above = (discount(0) - discount(1)) * pull(0.5 - 1.5);
        let below = (discount(1) - discount(2)) * pull(0.5 + 0.2);
        let wanted = [-above - below, above, below, 0.0, 0.0];
        for (found, wanted) in gradient.iter().zip(wanted) {
            assert!((found - wanted).abs() < 1e-5, "{gradient:?}");
        }
    }

    #[test]
    fn lists_of_one_kind_teach_nothing() {
        let logits = Tensor::new(&[1f32, 2.0], &Device::Cpu).unwrap();
        let loss: f32 = lambda_rank(&logits, &[1.0, 1.0], &[2])
            .unwrap()
            .to_scalar()
            .unwrap();
        assert_eq!(loss, 0.0);
    }
}
