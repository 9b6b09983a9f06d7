//! When requests that wait for one another are due: the rule, without a clock of its own.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

/// How requests are gathered that are better answered together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GatherSettings {
    /// How many are answered together at most.
    pub size: NonZeroUsize,
    /// How long one waits for others at most, once it could be worked on.
    pub wait: Duration,
}

impl Default for GatherSettings {
    /// As many as a device takes at once; and about as long as it works on them, so that waiting at most doubles the time.
    fn default() -> Self {
        Self {
            size: const { NonZeroUsize::new(64).expect("64 is not 0") },
            wait: Duration::from_millis(1),
        }
    }
}

/// The part of the time to its deadline that a request waits for others at most, as a divisor: the rest is for the work.
const OF_DEADLINE: u32 = 4;

/// Requests that wait for others, in the order in which they came.
pub(super) struct Gathered<T> {
    settings: GatherSettings,
    waiting: VecDeque<Waiting<T>>,
}

struct Waiting<T> {
    came: Instant,
    /// How long it may wait for others.
    until: Instant,
    request: T,
}

impl<T> Gathered<T> {
    pub(super) fn new(settings: GatherSettings) -> Self {
        Self {
            settings,
            waiting: VecDeque::new(),
        }
    }

    pub(super) fn add(&mut self, request: T, now: Instant, deadline: Instant) {
        let wait = self
            .settings
            .wait
            .min(deadline.saturating_duration_since(now) / OF_DEADLINE);
        self.waiting.push_back(Waiting {
            came: now,
            until: now + wait,
            request,
        });
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Since when, or from when on, the first of them are to be answered; `None` where nobody waits.
    pub(super) fn due(&self) -> Option<Instant> {
        let size = self.settings.size.get();
        match self.waiting.get(size - 1) {
            Some(last) => Some(last.came),
            None => self.waiting.iter().map(|waiting| waiting.until).min(),
        }
    }

    /// The first of them, as many as are answered together.
    pub(super) fn take(&mut self) -> Vec<T> {
        let count = self.waiting.len().min(self.settings.size.get());
        let taken = self.waiting.drain(..count);
        taken.map(|waiting| waiting.request).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn gathered(now: Instant, deadlines: &[Duration]) -> Gathered<usize> {
        let settings = GatherSettings {
            size: NonZeroUsize::new(3).unwrap(),
            wait: 2 * MS,
        };
        let mut gathered = Gathered::new(settings);
        for (number, deadline) in deadlines.iter().enumerate() {
            // They come a tenth of a millisecond after one another.
            let came = now + MS / 10 * number as u32;
            gathered.add(number, came, now + *deadline);
        }
        gathered
    }

    #[track_caller]
    fn check(deadlines: &[Duration], due_after: Option<Duration>) {
        let now = Instant::now();
        let due = gathered(now, deadlines).due();
        assert_eq!(due.map(|due| due - now), due_after);
    }

    #[test]
    fn nobody_waits_longer_than_the_first_of_them_may() {
        check(&[], None);
        check(&[100 * MS], Some(2 * MS));
        check(&[100 * MS, 100 * MS], Some(2 * MS));
    }

    #[test]
    fn as_many_as_are_answered_together_wait_for_nobody() {
        check(&[100 * MS; 3], Some(MS / 10 * 2));
        check(&[100 * MS; 7], Some(MS / 10 * 2));
    }

    #[test]
    fn who_is_close_to_a_deadline_is_not_kept_waiting_and_takes_the_others_along() {
        check(&[4 * MS], Some(MS));
        check(&[100 * MS, MS / 10 * 5], Some(MS / 10 * 2));
        check(&[100 * MS, Duration::ZERO], Some(MS / 10));
    }

    #[test]
    fn the_first_are_taken_first() {
        let now = Instant::now();
        let mut gathered = gathered(now, &[100 * MS; 5]);
        assert_eq!(gathered.take(), [0, 1, 2]);
        let next = gathered.due().unwrap();
        assert_eq!(next, now + MS / 10 * 3 + 2 * MS);
        assert_eq!((gathered.take(), gathered.len()), (vec![3, 4], 0));
        assert_eq!(gathered.take(), [0; 0]);
    }
}
