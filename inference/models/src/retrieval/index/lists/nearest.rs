//! The best of many scored positions, collected without a comparison of two of them for each.
//!
//! A heap would be rearranged for every position that is good enough. Here it is written behind the others, by code
//! without branches; when there is no more room, the best are separated from the rest at once, and the worst of them is
//! the threshold from then on.

/// Positions offered between two looks at the room that is left.
const AT_ONCE: usize = 64;
/// How many times the wanted number there is room for: more room, fewer selections, a lower threshold in between.
const ROOM: usize = 3;

/// The highest scores so far, and their positions.
#[derive(Debug, Default)]
pub(super) struct Nearest {
    wanted: usize,
    threshold: f32,
    /// What was good enough when it came, as [`key`]s: the first `count`.
    keys: Vec<u64>,
    count: usize,
}

impl Nearest {
    /// Forgets everything; the `wanted` highest scores are collected from now on.
    pub(super) fn start(&mut self, wanted: usize) {
        self.wanted = wanted;
        self.threshold = if wanted == 0 {
            f32::INFINITY
        } else {
            f32::NEG_INFINITY
        };
        self.keys.clear();
        self.keys.resize(wanted * ROOM + AT_ONCE, 0);
        self.count = 0;
    }

    /// Offers the scores of consecutive positions. A score that is not a number is never among the highest.
    pub(super) fn offer(&mut self, first: u32, scores: &[f32]) {
        for (scores, first) in scores.chunks(AT_ONCE).zip((first..).step_by(AT_ONCE)) {
            if self.count + AT_ONCE > self.keys.len() {
                self.keep_wanted();
            }
            let room = &mut self.keys[self.count..][..AT_ONCE];
            let mut taken = 0;
            for (score, position) in scores.iter().zip(first..) {
                // Always written, but only kept where the next one is written behind it.
                room[taken] = key(*score, position);
                taken += usize::from(*score > self.threshold);
            }
            self.count += taken;
        }
    }

    /// The positions of the highest scores, in no order: as many as were wanted, or all that were offered.
    pub(super) fn positions(&mut self) -> impl Iterator<Item = u32> {
        self.keep_wanted();
        self.keys[..self.count].iter().map(|key| position(*key))
    }

    fn keep_wanted(&mut self) {
        if self.count > self.wanted {
            let (_, worst, _) =
                self.keys[..self.count].select_nth_unstable_by(self.wanted - 1, |a, b| b.cmp(a));
            self.threshold = score(*worst);
            self.count = self.wanted;
        }
    }
}

/// A number that is higher for a higher score and, of equal scores, for a lower position.
pub(super) fn key(score: f32, position: u32) -> u64 {
    let bits = score.to_bits();
    // Below zero, the order of the bits is the reverse of that of the numbers.
    let flipped = bits ^ (((bits as i32 >> 31) as u32) | 1 << 31);
    (u64::from(flipped) << 32) | u64::from(!position)
}

/// The score that went into a [`key`].
pub(super) fn score(key: u64) -> f32 {
    let flipped = (key >> 32) as u32;
    f32::from_bits(flipped ^ ((!(flipped as i32 >> 31) as u32) | 1 << 31))
}

/// The position that went into a [`key`].
pub(super) fn position(key: u64) -> u32 {
    !(key as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_rise_with_scores_and_fall_with_positions() {
        let scores = [
            f32::NEG_INFINITY,
            -3.5,
            -1e-30,
            -0.0,
            0.0,
            1e-30,
            0.5,
            7.0,
            f32::INFINITY,
        ];
        for pair in scores.windows(2) {
            assert!(key(pair[0], 0) < key(pair[1], u32::MAX), "{pair:?}");
        }
        for score_in in scores {
            assert!(key(score_in, 4) > key(score_in, 5));
            let key = key(score_in, 77);
            assert_eq!((score(key).to_bits(), position(key)), (score_in.to_bits(), 77));
        }
    }

    #[track_caller]
    fn check(wanted: usize, scores: &[f32]) {
        let mut nearest = Nearest::default();
        nearest.start(wanted);
        for (chunk, scores) in scores.chunks(100).enumerate() {
            nearest.offer(chunk as u32 * 100, scores);
        }
        let mut found: Vec<u32> = nearest.positions().collect();
        found.sort_by_key(|position| std::cmp::Reverse(key(scores[*position as usize], *position)));
        let mut sorted: Vec<u32> = (0..scores.len() as u32)
            .filter(|position| !scores[*position as usize].is_nan())
            .collect();
        sorted.sort_by_key(|position| std::cmp::Reverse(key(scores[*position as usize], *position)));
        sorted.truncate(wanted);
        let values = |positions: &[u32]| -> Vec<f32> {
            positions
                .iter()
                .map(|position| scores[*position as usize])
                .collect()
        };
        assert_eq!(values(&found), values(&sorted));
    }

    #[test]
    fn the_highest_are_found_whatever_the_order_and_the_ties() {
        let scores: Vec<f32> = (0..3000).map(|i| ((i * 37) % 501) as f32 - 250.0).collect();
        for wanted in [0, 1, 7, 200, 2999, 3000, 5000] {
            check(wanted, &scores);
        }
        let rising: Vec<f32> = (0..1000).map(|i| i as f32).collect();
        check(10, &rising);
        check(10, &[1.0; 500]);
        check(3, &[f32::NAN, 2.0, f32::NAN, 1.0]);
        check(3, &[]);
    }
}
