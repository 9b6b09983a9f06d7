//! What training makes small.

use candle_core::{Result as CandleResult, Tensor};

/// The mean binary cross-entropy of logits and labels of 0 or 1, both `[batch]`.
///
/// Written as `max(z, 0) - z y + ln(1 + e^-|z|)`, which stays finite for every logit; candle's own takes the logarithm of
/// a sigmoid and does not.
pub fn binary_cross_entropy(logits: &Tensor, labels: &Tensor) -> CandleResult<Tensor> {
    let softplus = (logits.abs()?.neg()?.exp()? + 1.0)?.log()?;
    ((logits.relu()? - (logits * labels)?)? + softplus)?.mean_all()
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

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
}
