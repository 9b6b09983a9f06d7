//! The highest scores of many, found where they are.
//!
//! Sorting is what tensors know, and on a GPU a row has to fit into the memory of one block of threads. So a row is cut into
//! blocks, each is sorted, the highest of each are put side by side, and so on until one block is left.
//!
//! A GPU's sort doesn't keep the order of equals, which is told by their keys instead: a score as `f64` has 29 bits to spare, of
//! which a few say how early it stands in its block. So the first of equal scores comes first, as it does in our own lists.

use candle_core::{DType, Device, Result as CandleResult, Tensor, WithDType};

/// The narrowest block: as many as a GPU's block has threads.
const NARROWEST: usize = 1024;

/// The widest block: 32 KiB of places in the 48 KiB that threads of a block share.
const WIDEST: usize = 8192;

/// The most that can be found: a block is at least twice as wide, so that each round leaves half at most.
pub(super) const MOST: usize = WIDEST / 2;

/// Lower than any score: what fills a block up.
const NEVER: f32 = f32::MIN;

/// Where that stands: past every row, with room for what may be added to it.
const NOWHERE: u32 = 1 << 31;

/// Finds the highest of rows of scores.
pub(super) struct Highest {
    count: usize,
    block: usize,
    /// By which share of itself a score rises for its place in a block, `[1, block]` of `f64`: less than to the next `f32`.
    share: Tensor,
    /// What is added to it for the place, `[1, block]` of `f64`: less than any score but 0, whose share is 0.
    rise: Tensor,
}

/// The highest scores of each row, from the highest to the lowest; of equal ones the first comes first.
pub(super) struct Found {
    /// `[rows, count]`.
    pub(super) scores: Tensor,
    /// Where in its row each was, `[rows, count]` of `u32`; past its end where the row is narrower than `count`.
    pub(super) places: Tensor,
}

impl Highest {
    /// Finds the `count` highest, 1 to [`MOST`].
    pub(super) fn new(count: usize, device: &Device) -> CandleResult<Self> {
        let block = (2 * count).next_power_of_two().clamp(NARROWEST, WIDEST);
        let by_place = |unit: f64| {
            let values: Vec<f64> = (0..block).rev().map(|place| place as f64 * unit).collect();
            Tensor::from_vec(values, (1, block), device)
        };
        Ok(Self {
            count: count.min(MOST),
            block,
            // Places are below 2^13: the greatest share is below 2^-37, and two neighbors differ by four units of an f64.
            share: by_place(2f64.powi(-50))?,
            rise: by_place(2f64.powi(-1000))?,
        })
    }

    /// The highest of each row of finite scores, `[rows, width]`.
    pub(super) fn of(&self, scores: &Tensor) -> CandleResult<Found> {
        let mut found = self.of_blocks(scores)?;
        while found.scores.dim(1)? > self.count {
            let Found { scores, places } = self.of_blocks(&found.scores)?;
            let places = self.filled_up(&found.places, NOWHERE)?.gather(&places, 1)?;
            found = Found { scores, places };
        }
        Ok(found)
    }

    /// The highest of each block of each row, one block's after the other's.
    fn of_blocks(&self, scores: &Tensor) -> CandleResult<Found> {
        let (rows, width) = scores.dims2()?;
        let blocks = width.div_ceil(self.block);
        let scores = self
            .filled_up(scores, NEVER)?
            .reshape((rows * blocks, self.block))?;
        let order = self.keys(&scores)?.arg_sort_last_dim(false)?;
        let order = order.narrow(1, 0, self.count)?.contiguous()?;
        let highest = scores.gather(&order, 1)?.reshape((rows, blocks * self.count))?;
        Ok(Found {
            scores: highest,
            places: self.in_row(order, rows, blocks)?,
        })
    }

    /// Whole blocks, of which the last is filled up.
    fn filled_up<T: WithDType>(&self, rows: &Tensor, with: T) -> CandleResult<Tensor> {
        let (count, width) = rows.dims2()?;
        match width.next_multiple_of(self.block) - width {
            0 => rows.contiguous(),
            missing => Tensor::cat(&[rows, &Tensor::full(with, (count, missing), rows.device())?], 1),
        }
    }

    /// Numbers that are in the order of the scores, and of equal ones in the reverse order of their places.
    fn keys(&self, scores: &Tensor) -> CandleResult<Tensor> {
        let scores = scores.to_dtype(DType::F64)?;
        let share = scores.abs()?.broadcast_mul(&self.share)?;
        (scores + share)?.broadcast_add(&self.rise)
    }

    /// Turns places in blocks into places in rows.
    fn in_row(&self, places: Tensor, rows: usize, blocks: usize) -> CandleResult<Tensor> {
        let firsts: Vec<u32> = (0..blocks).map(|block| (block * self.block) as u32).collect();
        let firsts = Tensor::from_vec(firsts, (1, blocks, 1), places.device())?;
        places
            .reshape((rows, blocks, self.count))?
            .broadcast_add(&firsts)?
            .reshape((rows, blocks * self.count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(count: usize, rows: &[Vec<f32>]) {
        let (width, device) = (rows[0].len(), Device::Cpu);
        let scores = Tensor::from_vec(rows.concat(), (rows.len(), width), &device).unwrap();
        let found = Highest::new(count, &device).unwrap().of(&scores).unwrap();
        let places: Vec<Vec<u32>> = found.places.to_vec2().unwrap();
        let scores: Vec<Vec<f32>> = found.scores.to_vec2().unwrap();
        for (row, (places, scores)) in rows.iter().zip(places.iter().zip(&scores)) {
            let mut wanted: Vec<u32> = (0..width as u32).collect();
            wanted.sort_by(|a, b| row[*b as usize].total_cmp(&row[*a as usize]));
            wanted.truncate(count);
            assert_eq!(places, &wanted);
            let values: Vec<f32> = wanted.iter().map(|place| row[*place as usize]).collect();
            assert_eq!(scores, &values);
        }
    }

    /// Scores of which many are equal.
    fn row(width: usize, different: usize, shift: usize) -> Vec<f32> {
        let value = |place: usize| ((place * 7919 + shift) % different) as f32 / different as f32 - 0.5;
        (0..width).map(value).collect()
    }

    #[test]
    fn the_highest_are_found_whatever_the_width_and_the_ties() {
        for (count, width) in [
            (1, 1),
            (5, 20),
            (200, 1024),
            (200, 1025),
            (200, 9000),
            (700, 5000),
        ] {
            for different in [1, 3, 1009] {
                check(count, &[row(width, different, 0), row(width, different, 500)]);
            }
        }
        check(MOST, &[row(20_000, 1009, 3)]);
    }

    #[test]
    fn scores_next_to_each_other_are_told_apart() {
        let mut row = vec![0.5f32; 3000];
        row[2999] = f32::from_bits(0.5f32.to_bits() + 1);
        row[1500] = f32::from_bits(0.5f32.to_bits() - 1);
        check(4, &[row.clone(), row.iter().map(|score| -score).collect()]);
        check(4, &[[0.0f32, -1e-40, 1e-40, 0.0, 1e-30].repeat(500)]);
    }

    /// What a sort that shuffles equals would do wrong.
    #[test]
    fn no_two_scores_of_a_block_have_equal_keys() {
        let device = Device::Cpu;
        let highest = Highest::new(MOST, &device).unwrap();
        for score in [0.0f32, 1.0, -1.0, 0.1, -0.3, 1e-30, 1e30] {
            let scores = Tensor::full(score, (1, highest.block), &device).unwrap();
            let keys: Vec<f64> = highest
                .keys(&scores)
                .unwrap()
                .flatten_all()
                .unwrap()
                .to_vec1()
                .unwrap();
            assert!(keys.windows(2).all(|pair| pair[0] > pair[1]), "{score}");
            let higher = f64::from(f32::from_bits(score.abs().to_bits() + 1));
            assert!(
                keys[0] - f64::from(score) < higher - f64::from(score.abs()),
                "{score}"
            );
        }
    }
}
