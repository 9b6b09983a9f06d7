//! What everybody bought, in its order, cut into windows of one length.

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::purchases::Purchases;
use crate::settings::Sasrec;

/// An item and the days since it was bought.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Step {
    item: u32,
    days: f32,
}

/// What each user bought, the oldest first, of users with two items or more.
#[derive(Debug)]
pub(super) struct Sequences(Vec<Vec<Step>>);

/// Windows side by side.
#[derive(Debug, PartialEq)]
pub(super) struct Batch {
    /// `[windows, length]`, the latest at the last position; 0 where there is none.
    pub(super) items: Vec<u32>,
    /// 1 where there is an item, 0 where there is none.
    pub(super) there: Vec<f32>,
    /// The places of `items`, row-major, after which something was bought.
    pub(super) asked: Vec<u32>,
    /// What that was.
    pub(super) wanted: Vec<u32>,
}

impl Batch {
    fn new(length: usize, windows: usize) -> Self {
        Self {
            items: Vec::with_capacity(windows * length),
            there: Vec::with_capacity(windows * length),
            asked: Vec::new(),
            wanted: Vec::new(),
        }
    }

    /// Adds a window: after each step but the last, one that follows it is asked for, the one that `pick` says among so many. Those
    /// that don't count are not.
    fn push(
        &mut self,
        window: &[Step],
        length: usize,
        counts: impl Fn(Step) -> bool,
        mut pick: impl FnMut(usize) -> usize,
    ) {
        let absent = length + 1 - window.len();
        self.items.extend(std::iter::repeat_n(0, absent));
        self.there.extend(std::iter::repeat_n(0.0, absent));
        for at in 1..window.len() {
            let next = window[at + pick(window.len() - at)];
            if counts(next) {
                self.asked.push(self.items.len() as u32);
                self.wanted.push(next.item);
            }
            self.items.push(window[at - 1].item);
            self.there.push(1.0);
        }
    }
}

impl Sequences {
    pub(super) fn of(purchases: &Purchases) -> Self {
        let users = 0..purchases.users() as u32;
        let of_user = |user: u32| {
            let bought = purchases.of_user(user).iter();
            let mut steps: Vec<Step> = bought
                .map(|bought| Step {
                    item: bought.item,
                    days: bought.days_since_last,
                })
                .collect();
            steps.sort_by(|a, b| b.days.total_cmp(&a.days).then_with(|| a.item.cmp(&b.item)));
            steps
        };
        Self(users.map(of_user).filter(|steps| steps.len() > 1).collect())
    }

    /// Everything before the latest `share` of the steps; and in batches these, each asked for after what its user had bought by then.
    /// None where nothing would be learned from, or asked for.
    pub(super) fn split(&self, share: f64, length: usize, batch: usize) -> Option<(Self, Vec<Batch>)> {
        let mut days: Vec<f32> = self.0.iter().flatten().map(|step| step.days).collect();
        days.sort_by(f32::total_cmp);
        let border = *days.get((days.len() as f64 * share) as usize)?;
        let earlier = self.0.iter().map(|steps| {
            let earlier = steps.iter().take_while(|step| step.days > border);
            earlier.copied().collect::<Vec<Step>>()
        });
        let earlier: Vec<Vec<Step>> = earlier.filter(|steps| steps.len() > 1).collect();
        let late = self
            .0
            .iter()
            .filter(|steps| steps.last().is_some_and(|step| step.days <= border));
        let late: Vec<&[Step]> = late
            .map(|steps| &steps[steps.len().saturating_sub(length + 1)..])
            .collect();
        let watched = batches(&late, length, batch, |step| step.days <= border, |_| 0);
        (!earlier.is_empty() && !watched.is_empty()).then_some((Self(earlier), watched))
    }

    /// Everybody's windows in batches, in an order of chance. What was bought at one moment has no order of its own: it is given one by
    /// chance.
    pub(super) fn shuffled(&self, settings: &Sasrec, random: &mut ChaCha8Rng) -> Vec<Batch> {
        let Sasrec {
            length, batch, ahead, ..
        } = *settings;
        let mut windows: Vec<Vec<Step>> = Vec::new();
        for steps in &self.0 {
            let mut steps = steps.clone();
            for moment in steps.chunk_by_mut(|a, b| a.days == b.days) {
                moment.shuffle(random);
            }
            let mut of_user = cut(&steps, length, random.random_range(0..length));
            of_user.shuffle(random);
            windows.extend(of_user.into_iter().take(settings.windows));
        }
        windows.shuffle(random);
        batches(
            &windows,
            length,
            batch,
            |_| true,
            |following| random.random_range(0..following.min(ahead)),
        )
    }
}

/// Windows of a user's steps, each of which begins where the one before it ends; the first ends at the step `first`.
fn cut(steps: &[Step], length: usize, first: usize) -> Vec<Vec<Step>> {
    let last = steps.len() - 1;
    if last <= length {
        return vec![steps.to_vec()];
    }
    let ends = (first.max(1)..last).step_by(length).chain([last]);
    let mut begin = 0;
    let window = |end: usize| {
        let window = steps[begin..=end].to_vec();
        begin = end;
        window
    };
    ends.map(window).collect()
}

/// Windows, so many at a time; without those after which nothing is asked for.
fn batches<W: AsRef<[Step]>>(
    windows: &[W],
    length: usize,
    batch: usize,
    counts: impl Fn(Step) -> bool + Copy,
    mut pick: impl FnMut(usize) -> usize,
) -> Vec<Batch> {
    let batches = windows.chunks(batch).map(|windows| {
        let mut batch = Batch::new(length, windows.len());
        for window in windows {
            batch.push(window.as_ref(), length, counts, &mut pick);
        }
        batch
    });
    batches.filter(|batch| !batch.asked.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn steps(days: &[f32]) -> Vec<Step> {
        let step = |(item, days): (u32, &f32)| Step { item, days: *days };
        (1..).zip(days).map(step).collect()
    }

    #[test]
    fn a_window_asks_for_the_next_of_each_step_and_fills_up_in_front() {
        let mut batch = Batch::new(4, 1);
        batch.push(&steps(&[3.0, 2.0, 1.0]), 4, |step| step.days < 2.5, |_| 0);
        assert_eq!(batch.items, [0, 0, 1, 2]);
        assert_eq!(batch.there, [0.0, 0.0, 1.0, 1.0]);
        assert_eq!((batch.asked, batch.wanted), (vec![2, 3], vec![2, 3]));
    }

    #[test]
    fn every_step_but_the_first_is_asked_for_once_whatever_the_offset() {
        let all = Sequences(vec![steps(&[9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0])]);
        let settings = Sasrec {
            length: 3,
            batch: 2,
            ahead: 1,
            ..Sasrec::default()
        };
        for seed in 0..20 {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let batches = all.shuffled(&settings, &mut random);
            let mut wanted: Vec<u32> = batches.iter().flat_map(|batch| batch.wanted.clone()).collect();
            wanted.sort_unstable();
            assert_eq!(wanted, [2, 3, 4, 5, 6, 7, 8]);
        }
    }

    #[test]
    fn of_one_user_no_more_windows_are_taken_and_none_looks_further_ahead() {
        let all = Sequences(vec![steps(&[9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0])]);
        let settings = Sasrec {
            length: 2,
            windows: 1,
            ahead: 2,
            ..Sasrec::default()
        };
        for seed in 0..20 {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let batches = all.shuffled(&settings, &mut random);
            assert_eq!((batches.len(), batches[0].items.len()), (1, 2));
            for (asked, wanted) in batches[0].asked.iter().zip(&batches[0].wanted) {
                let ahead = wanted - batches[0].items[*asked as usize];
                assert!((1..=2).contains(&ahead), "{ahead} ahead");
            }
        }
    }

    #[test]
    fn what_is_watched_lies_behind_what_is_learned_from() {
        let all = Sequences(vec![
            steps(&[9.0, 8.0, 1.0]),
            steps(&[7.0, 6.0]),
            steps(&[2.0, 1.5]),
        ]);
        let (earlier, watched) = all.split(0.3, 2, 8).unwrap();
        assert!(earlier.0.iter().flatten().all(|step| step.days > 2.0));
        assert_eq!(earlier.0.len(), 2);
        assert_eq!(watched[0].wanted, [3, 2]);
        let one_day = Sequences(vec![steps(&[1.0, 1.0]), steps(&[1.0, 1.0])]);
        assert!(
            one_day.split(0.1, 2, 8).is_none(),
            "nothing precedes the only day"
        );
    }
}
