//! Which vectors of an index may be found.

/// Of this share of an index or less, every allowed vector is compared: the search is exact. Of more, lists are looked through until as
/// many allowed vectors were seen as without a filter.
pub const EXACT_BELOW: f64 = 0.1;

/// The positions of an index that may be found.
#[derive(Clone, Debug)]
pub struct Allowed {
    /// A bit for each position.
    bits: Vec<u64>,
    /// The positions, in ascending order.
    positions: Vec<u32>,
    /// Positions of the index.
    len: usize,
}

impl Allowed {
    /// The positions below `len` that pass.
    pub fn of(len: usize, passes: impl Fn(usize) -> bool) -> Self {
        let mut bits = vec![0; len.div_ceil(64)];
        let mut positions = Vec::new();
        for position in (0..len).filter(|position| passes(*position)) {
            bits[position / 64] |= 1 << (position % 64);
            positions.push(position as u32);
        }
        Self { bits, positions, len }
    }

    /// Whether a position may be found.
    pub fn contains(&self, position: u32) -> bool {
        let word = self.bits.get(position as usize / 64);
        word.is_some_and(|word| word >> (position % 64) & 1 == 1)
    }

    /// The positions, in ascending order.
    pub fn positions(&self) -> &[u32] {
        &self.positions
    }

    /// Which share of the index may be found.
    pub fn share(&self) -> f64 {
        self.positions.len() as f64 / self.len.max(1) as f64
    }

    /// Whether every allowed vector is to be compared, to find `k` of them.
    pub(super) fn is_exact(&self, k: usize) -> bool {
        self.share() <= EXACT_BELOW || self.positions.len() <= 4 * k
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_and_bits_say_the_same() {
        let allowed = Allowed::of(200, |position| position % 7 == 3);
        for position in 0..300 {
            let wanted = position < 200 && position % 7 == 3;
            assert_eq!(allowed.contains(position), wanted, "{position}");
            assert_eq!(allowed.positions().contains(&position), wanted, "{position}");
        }
        assert!(!Allowed::of(0, |_| true).contains(0));
    }
}
