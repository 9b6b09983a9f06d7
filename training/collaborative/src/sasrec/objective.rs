//! The softmax over what might have come next.
//!
//! With few items it is over all of them. Of many, some are drawn, each of which stands for several: with `V` items of which `N` are drawn,
//! `V / N`, so that in the mean the sum is that over all (Bengio and Senécal, "Adaptive importance sampling to accelerate training of a
//! neural probabilistic language model", 2008).

use std::collections::HashMap;

use candle_core::{D, Result as CandleResult, Tensor};
use candle_nn::loss::cross_entropy;
use rand::seq::index;
use rand_chacha::ChaCha8Rng;

/// What makes a logit vanish in a softmax.
const NEVER: f32 = -1e9;

/// So many items by chance, each once; none where there are no more, since then all are taken.
pub(super) fn drawn(items: usize, negatives: usize, random: &mut ChaCha8Rng) -> Option<Vec<u32>> {
    (negatives < items).then(|| {
        let drawn = index::sample(random, items, negatives);
        drawn.into_iter().map(|item| item as u32).collect()
    })
}

/// The mean cross-entropy of what was `wanted` at each of the `places`, `[asked, width]`, among all `items`, `[items, width]`, or those
/// that were drawn.
pub(super) fn loss(
    places: &Tensor,
    items: &Tensor,
    wanted: &[u32],
    drawn: Option<&[u32]>,
) -> CandleResult<Tensor> {
    let device = places.device();
    let own = Tensor::from_slice(wanted, wanted.len(), device)?;
    let Some(drawn) = drawn else {
        return cross_entropy(&places.matmul(&items.t()?)?, &own);
    };
    let of_own = (places * items.index_select(&own, 0)?)?.sum_keepdim(D::Minus1)?;
    let others = Tensor::from_slice(drawn, drawn.len(), device)?;
    let of_others = places.matmul(&items.index_select(&others, 0)?.t()?)?;
    let stands_for = (items.dim(0)? as f32 / drawn.len() as f32).ln();
    let corrections = Tensor::from_vec(
        corrections(wanted, drawn, stands_for),
        (wanted.len(), drawn.len()),
        device,
    )?;
    let logits = Tensor::cat(&[of_own, (of_others + corrections)?], 1)?;
    cross_entropy(&logits, &own.zeros_like()?)
}

/// What is added to the logit of each that was drawn: for how many it stands, and never where it is the one that was wanted.
fn corrections(wanted: &[u32], drawn: &[u32], stands_for: f32) -> Vec<f32> {
    let columns: HashMap<u32, usize> = drawn.iter().copied().zip(0..).collect();
    let mut corrections = vec![stands_for; wanted.len() * drawn.len()];
    for (row, wanted) in wanted.iter().enumerate() {
        if let Some(column) = columns.get(wanted) {
            corrections[row * drawn.len() + column] = NEVER;
        }
    }
    corrections
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use rand::SeedableRng;

    use super::*;

    fn tensor(rows: usize, width: usize) -> Tensor {
        let values = (0..rows * width).map(|at| ((at * 29) % 17) as f32 / 17.0 - 0.4);
        Tensor::from_vec(values.collect(), (rows, width), &Device::Cpu).unwrap()
    }

    fn loss_of(drawn: Option<&[u32]>) -> f32 {
        let (places, items) = (tensor(3, 4), tensor(12, 4));
        loss(&places, &items, &[2, 0, 7], drawn)
            .unwrap()
            .to_scalar()
            .unwrap()
    }

    #[test]
    fn all_items_drawn_give_the_softmax_over_all_items() {
        let all: Vec<u32> = (0..12).collect();
        assert!((loss_of(None) - loss_of(Some(&all))).abs() < 1e-5);
    }

    #[test]
    fn some_items_give_it_in_the_mean() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let rounds = 2_000;
        let sum: f32 = (0..rounds)
            .map(|_| loss_of(drawn(12, 6, &mut random).as_deref()))
            .sum();
        let (mean, whole) = (sum / rounds as f32, loss_of(None));
        assert!((mean - whole).abs() < 0.05, "{mean} is not near {whole}");
    }
}
