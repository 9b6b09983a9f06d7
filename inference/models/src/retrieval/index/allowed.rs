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
        for position in (0..len).filter(|position| passes(*position)) {
            bits[position / 64] |= 1 << (position % 64);
        }
        Self {
            positions: set(&bits).collect(),
            bits,
            len,
        }
    }

    /// The same, but for some positions, of which others may be found now; what is past the index is left out.
    pub fn with(&self, changes: impl IntoIterator<Item = (u32, bool)>) -> Self {
        let mut bits = self.bits.clone();
        for (position, passes) in changes {
            if position as usize >= self.len {
                continue;
            }
            let (word, bit) = (position as usize / 64, 1 << (position % 64));
            match passes {
                true => bits[word] |= bit,
                false => bits[word] &= !bit,
            }
        }
        let len = self.len;
        Self {
            positions: set(&bits).collect(),
            bits,
            len,
        }
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

/// The positions of all bits that are set, in ascending order.
fn set(bits: &[u64]) -> impl Iterator<Item = u32> {
    bits.iter().zip(0u32..).flat_map(|(word, place)| {
        let rest = |word: &u64| Some(word & (word - 1)).filter(|rest| *rest != 0);
        let words = std::iter::successors(Some(*word).filter(|word| *word != 0), rest);
        words.map(move |word| place * 64 + word.trailing_zeros())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_positions_change_and_the_others_stay() {
        let allowed = Allowed::of(200, |position| position % 7 == 3);
        let changed = allowed.with([(3, false), (4, true), (199, true), (10, true), (200, true)]);
        let wanted = Allowed::of(200, |position| {
            (position % 7 == 3 && position != 3) || position == 4 || position == 199
        });
        assert_eq!(changed.positions(), wanted.positions());
        assert!((0..300).all(|position| changed.contains(position) == wanted.contains(position)));
    }

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
