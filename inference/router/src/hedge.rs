//! Hedged requests: one server after another, and a second one in parallel when the first takes too long.
//!
//! [`first_answer`] knows neither pods nor variants: [`super::remote`] uses it for the pods of a variant, and the [router](super::Router)
//! for variants. [`Pace`] measures how long a variant usually takes, and limits hedges: a variant that is slow because it has too much to
//! do must not get twice as much.

use std::pin::Pin;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::runtime::Handle;

/// The reason of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// It is the first.
    First,
    /// Somebody before could not answer.
    Failure,
    /// Nobody has answered for a while.
    Slowness,
}

/// The first answer of the attempts that `next` starts: the next one starts when one fails, and when `patience`, which gets the number of
/// attempts so far, has passed without an answer. An error that `is_final` would be the same everywhere and ends the matter. If all fail,
/// the first error is returned; `None` if there was no attempt.
pub(super) async fn first_answer<T, E, F>(
    mut next: impl FnMut(Cause) -> Option<F>,
    patience: impl Fn(u32) -> Duration,
    is_final: impl Fn(&E) -> bool,
) -> Option<Result<T, E>>
where
    F: Future<Output = Result<T, E>>,
{
    let mut asked = 1;
    let mut running = FuturesUnordered::new();
    running.push(next(Cause::First)?);
    let mut first_error = None;
    loop {
        let cause = tokio::select! {
            biased;
            Some(outcome) = running.next() => match outcome {
                Err(error) if !is_final(&error) => {
                    first_error.get_or_insert(error);
                    Cause::Failure
                }
                outcome => return Some(outcome),
            },
            () = tokio::time::sleep(patience(asked)) => Cause::Slowness,
        };
        if let Some(another) = next(cause) {
            asked += 1;
            running.push(another);
        } else if running.is_empty() {
            return first_error.map(Err);
        }
    }
}

/// An attempt that continues when nobody waits for it any longer, to find out whether its pod hangs.
pub(super) struct Outlive<F>(Option<Pin<Box<F>>>)
where
    F: Future<Output: Send> + Send + 'static;

impl<F: Future<Output: Send> + Send + 'static> Outlive<F> {
    pub(super) fn new(ask: F) -> Self {
        Self(Some(Box::pin(ask)))
    }
}

impl<F: Future<Output: Send> + Send + 'static> Future for Outlive<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let ask = self.0.as_mut().expect("nobody asks for an outcome twice");
        let outcome = ready!(ask.as_mut().poll(context));
        self.0 = None;
        Poll::Ready(outcome)
    }
}

impl<F: Future<Output: Send> + Send + 'static> Drop for Outlive<F> {
    fn drop(&mut self) {
        if let Some(ask) = self.0.take()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(ask);
        }
    }
}

/// A hedge sooner than this is more likely noise than help.
const SOONEST: Duration = Duration::from_millis(5);
/// What is assumed before anything was measured.
const UNKNOWN: Duration = Duration::from_millis(50);
/// What a request earns and a hedge costs: one in five requests may be hedged.
const EARNED: i64 = 1;
const COST: i64 = 5;
/// Maximum budget of hedges: what a pod that begins to hang holds under a few hundred requests a second.
const BURST: i64 = 50;

/// How long answers take: an estimate of the 95th percentile, and the hedges that are left. Read and written by every
/// request without a lock; an update that is lost now and then does no harm.
pub(super) struct Pace {
    p95_micros: AtomicU64,
    budget: AtomicI64,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            p95_micros: AtomicU64::new(UNKNOWN.as_micros() as u64),
            budget: AtomicI64::new(BURST * COST),
        }
    }
}

impl Pace {
    /// Takes in how long an answer took. The estimate goes up by 9.5 % for one that took longer, and down by 0.5 % for another, so
    /// that it rests where one of twenty takes longer.
    pub(super) fn note(&self, took: Duration) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let estimate = self.p95_micros.load(Ordering::Relaxed);
        let moved = if took > estimate {
            (estimate + estimate * 95 / 1000).min(took)
        } else {
            (estimate - estimate / 200).max(took)
        };
        self.p95_micros.store(moved.max(1000), Ordering::Relaxed);
    }

    /// What nineteen of twenty answers take at most.
    pub(super) fn usual(&self) -> Duration {
        Duration::from_micros(self.p95_micros.load(Ordering::Relaxed)).max(SOONEST)
    }

    /// How long to wait for an answer before a hedge, with `left` until the deadline.
    pub(super) fn patience(&self, left: Duration) -> Duration {
        self.usual().min(left / 4).max(SOONEST)
    }

    /// Counts a request, which earns a part of a hedge.
    pub(super) fn earn(&self) {
        if self.budget.load(Ordering::Relaxed) < BURST * COST {
            self.budget.fetch_add(EARNED, Ordering::Relaxed);
        }
    }

    /// Whether a hedge is allowed now.
    pub(super) fn spend(&self) -> bool {
        let spend = |budget: i64| (budget >= COST).then(|| budget - COST);
        self.budget
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend)
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    use super::*;

    /// What somebody says after so many milliseconds.
    async fn says(
        outcome: Result<&'static str, &'static str>,
        after: u64,
    ) -> Result<&'static str, &'static str> {
        tokio::time::sleep(Duration::from_millis(after)).await;
        outcome
    }

    /// The first answer of those who say such things, each asked 20 ms after the one before.
    async fn asked(
        people: &[(Result<&'static str, &'static str>, u64)],
    ) -> Option<Result<&'static str, &'static str>> {
        let mut people = people.iter();
        let next = |_| people.next().map(|(outcome, after)| says(*outcome, *after));
        first_answer(next, |_| Duration::from_millis(20), |error| *error == "wrong").await
    }

    #[tokio::test]
    async fn whoever_answers_first_is_heard() {
        assert_eq!(asked(&[(Ok("a"), 5), (Ok("b"), 0)]).await, Some(Ok("a")));
        assert_eq!(asked(&[(Ok("a"), 500), (Ok("b"), 5)]).await, Some(Ok("b")));
        assert_eq!(asked(&[(Ok("a"), 30), (Ok("b"), 50)]).await, Some(Ok("a")));
        assert_eq!(asked(&[(Err("down"), 0), (Ok("b"), 500)]).await, Some(Ok("b")));
        assert_eq!(
            asked(&[(Err("down"), 500), (Err("away"), 0), (Ok("c"), 0)]).await,
            Some(Ok("c"))
        );
    }

    #[tokio::test]
    async fn what_is_wrong_everywhere_is_asked_once_and_the_first_error_is_told() {
        assert_eq!(
            asked(&[(Err("wrong"), 0), (Ok("b"), 0)]).await,
            Some(Err("wrong"))
        );
        assert_eq!(
            asked(&[(Err("down"), 0), (Err("away"), 0)]).await,
            Some(Err("down"))
        );
        assert_eq!(asked(&[]).await, None);
    }

    #[tokio::test]
    async fn an_ask_that_nobody_waits_for_goes_on_to_its_end() {
        let ended = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&ended);
        drop(Outlive::new(async move {
            tokio::time::sleep(Duration::from_millis(10)).await;
            told.store(true, Ordering::Relaxed);
        }));
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(ended.load(Ordering::Relaxed));
    }

    #[test]
    fn patience_comes_near_to_what_nineteen_of_twenty_take() {
        let pace = Pace::default();
        let left = Duration::from_secs(1);
        assert_eq!(pace.patience(left), UNKNOWN);
        for answer in 0..10_000_u64 {
            // Every tenth takes 40 ms, the others 8 to 16.
            let took = if answer % 10 == 0 { 40 } else { 8 + answer % 9 };
            pace.note(Duration::from_millis(took));
        }
        let found = pace.patience(left);
        assert!((16..=44).contains(&(found.as_millis() as u64)), "{found:?}");
        assert_eq!(
            pace.patience(Duration::from_millis(40)),
            Duration::from_millis(10)
        );
        for _ in 0..10_000 {
            pace.note(Duration::from_micros(300));
        }
        assert_eq!(pace.patience(left), SOONEST);
    }

    #[test]
    fn second_asks_are_few_after_a_burst() {
        let pace = Pace::default();
        let burst = std::iter::repeat_with(|| pace.spend()).take_while(|spent| *spent);
        assert_eq!(burst.count() as i64, BURST);
        let spent = (0..1000).filter(|_| {
            pace.earn();
            pace.spend()
        });
        assert_eq!(spent.count(), 200);
    }
}
