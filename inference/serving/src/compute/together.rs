//! Requests of one kind that are answered together, as a GPU wants them: gathered in the queue of the compute threads until they
//! are due ([`gathered`](super::gathered)), then worked on by one thread.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::slice;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use gondola_server::metrics::ComputeMetrics;
use tokio::sync::oneshot;

use super::gathered::Gathered;
use super::queue::{Job, Kind};
use super::{Compute, NotDone};

/// Answers some questions, each with an answer of its own.
type Work<Q, A> = dyn Fn(&[Q]) -> Vec<A> + Send + Sync;

/// Questions of one kind, answered together on the threads of a pool.
pub struct Gatherer<Q, A> {
    compute: Arc<Compute>,
    asked: Arc<Asked<Q, A>>,
}

struct Asked<Q, A> {
    gathered: Mutex<Gathered<Question<Q, A>>>,
    work: Arc<Work<Q, A>>,
    metrics: ComputeMetrics,
}

struct Question<Q, A> {
    question: Q,
    deadline: Instant,
    /// `None` where the work on it panicked.
    sender: oneshot::Sender<Option<A>>,
}

impl<Q: Send + 'static, A: Send + 'static> Gatherer<Q, A> {
    /// Has `work` answer questions together on the threads of `compute`. It gives an answer to each, in their order.
    pub fn new(compute: Arc<Compute>, work: impl Fn(&[Q]) -> Vec<A> + Send + Sync + 'static) -> Self {
        let asked = Arc::new(Asked {
            gathered: Mutex::new(Gathered::new(compute.shared.gather)),
            work: Arc::new(work),
            metrics: compute.shared.metrics.clone(),
        });
        compute
            .shared
            .lock()
            .kinds
            .push(Arc::clone(&asked) as Arc<dyn Kind>);
        Self { compute, asked }
    }

    /// Has a question answered, and waits for it until the deadline.
    pub async fn run(&self, deadline: Instant, question: Q) -> Result<A, NotDone> {
        let (sender, receiver) = oneshot::channel();
        let question = Question {
            question,
            deadline,
            sender,
        };
        self.compute.shared.add_with(|_| {
            let mut gathered = self.asked.lock();
            gathered.add(question, Instant::now(), deadline);
        })?;
        match tokio::time::timeout_at(deadline.into(), receiver).await {
            Ok(Ok(Some(answer))) => Ok(answer),
            Ok(Ok(None)) => Err(NotDone::Panicked),
            // A question whose sender was dropped was not begun: it was late.
            Ok(Err(_)) | Err(_) => Err(NotDone::Late),
        }
    }
}

impl<Q, A> Asked<Q, A> {
    /// Nothing is done under the lock that could leave it halfway.
    fn lock(&self) -> MutexGuard<'_, Gathered<Question<Q, A>>> {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<Q: Send + 'static, A: Send + 'static> Kind for Asked<Q, A> {
    fn len(&self) -> usize {
        self.lock().len()
    }

    fn due(&self) -> Option<Instant> {
        self.lock().due()
    }

    fn take(&self) -> Job {
        let taken = self.lock().take();
        let (work, metrics) = (Arc::clone(&self.work), self.metrics.clone());
        Box::new(move || answer(taken, work.as_ref(), &metrics))
    }
}

/// Answers those that are not late already.
fn answer<Q, A>(taken: Vec<Question<Q, A>>, work: &Work<Q, A>, metrics: &ComputeMetrics) {
    let now = Instant::now();
    let (mut questions, mut senders) = (Vec::new(), Vec::new());
    for Question {
        question,
        deadline,
        sender,
    } in taken
    {
        if sender.is_closed() || now >= deadline {
            metrics.expired.inc();
            continue;
        }
        questions.push(question);
        senders.push(sender);
    }
    if questions.is_empty() {
        return;
    }
    metrics.batches.inc();
    metrics.gathered.inc_by(questions.len() as u64);
    for (sender, answer) in senders.into_iter().zip(answers(&questions, work)) {
        // Whoever stopped waiting does not need the answer.
        let _ = sender.send(answer);
    }
}

/// An answer to each question. Where the work panics, each is worked on alone, so that it costs only the one that made it.
fn answers<Q, A>(questions: &[Q], work: &Work<Q, A>) -> Vec<Option<A>> {
    let work = |questions: &[Q]| catch_unwind(AssertUnwindSafe(|| work(questions)));
    match work(questions) {
        Ok(answers) => answers.into_iter().map(Some).collect(),
        Err(_) if questions.len() == 1 => vec![None],
        Err(_) => {
            let alone = |question| work(slice::from_ref(question)).ok()?.pop();
            questions.iter().map(alone).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;
    use crate::compute::tests::{occupy, soon};
    use crate::compute::{ComputeSettings, GatherSettings};

    /// What is no number to double.
    const ABSURD: u32 = 13;

    struct Doubling {
        compute: Arc<Compute>,
        gatherer: Arc<Gatherer<u32, u32>>,
        metrics: ComputeMetrics,
        /// Which questions were worked on together.
        seen: mpsc::Receiver<Vec<u32>>,
    }

    /// Numbers are doubled on one thread, three at a time.
    fn doubling(queue: usize, wait: Duration) -> Doubling {
        let metrics = ComputeMetrics::default();
        let settings = ComputeSettings {
            threads: NonZeroUsize::MIN,
            queue,
            gather: GatherSettings {
                size: NonZeroUsize::new(3).unwrap(),
                wait,
            },
        };
        let compute = Arc::new(Compute::start(&settings, metrics.clone()).unwrap());
        let (sender, seen) = mpsc::channel();
        let sender = Mutex::new(sender);
        let double = move |questions: &[u32]| {
            sender.lock().unwrap().send(questions.to_vec()).unwrap();
            assert!(!questions.contains(&ABSURD), "a test's own panic");
            questions.iter().map(|question| question * 2).collect()
        };
        Doubling {
            gatherer: Arc::new(Gatherer::new(Arc::clone(&compute), double)),
            compute,
            metrics,
            seen,
        }
    }

    impl Doubling {
        /// Asks while the only thread is busy, in this order.
        async fn ask_in_order(&self, questions: &[u32]) -> Vec<Result<u32, NotDone>> {
            let release = occupy(&self.compute);
            let mut asked = Vec::new();
            for question in questions {
                let (gatherer, question) = (Arc::clone(&self.gatherer), *question);
                let waiting = self.metrics.waiting.get();
                asked.push(tokio::spawn(async move { gatherer.run(soon(), question).await }));
                while self.metrics.waiting.get() == waiting {
                    tokio::task::yield_now().await;
                }
            }
            drop(release);
            let mut answers = Vec::new();
            for asked in asked {
                answers.push(asked.await.unwrap());
            }
            answers
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn questions_are_answered_together_in_their_order_as_each_is_alone() {
        let doubling = doubling(64, Duration::from_millis(5));
        let answers = doubling.ask_in_order(&[5, 1, 4, 2, 3]).await;
        assert_eq!(answers, [Ok(10), Ok(2), Ok(8), Ok(4), Ok(6)]);
        let seen: Vec<Vec<u32>> = doubling.seen.try_iter().collect();
        assert_eq!(seen, [vec![5, 1, 4], vec![2, 3]]);
        let metrics = &doubling.metrics;
        assert_eq!((metrics.gathered.get(), metrics.batches.get()), (5, 2));
        assert_eq!(metrics.waiting.get(), 0);
        assert_eq!(doubling.gatherer.run(soon(), 7).await, Ok(14));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_question_that_panics_costs_no_other_its_answer() {
        let doubling = doubling(64, Duration::from_millis(5));
        let answers = doubling.ask_in_order(&[1, ABSURD, 2]).await;
        assert_eq!(answers, [Ok(2), Err(NotDone::Panicked), Ok(4)]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_question_waits_for_others_as_long_as_it_may() {
        let wait = Duration::from_millis(60);
        let doubling = doubling(64, wait);
        let asked = Instant::now();
        assert_eq!(doubling.gatherer.run(soon(), 1).await, Ok(2));
        assert!(asked.elapsed() >= wait, "after {:?}", asked.elapsed());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_question_close_to_its_deadline_is_not_kept_waiting() {
        let doubling = doubling(64, Duration::from_secs(3600));
        let deadline = Instant::now() + Duration::from_secs(2);
        assert_eq!(doubling.gatherer.run(deadline, 1).await, Ok(2));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn gathered_questions_have_their_place_in_the_queue() {
        let doubling = doubling(2, Duration::from_millis(5));
        let release = occupy(&doubling.compute);
        let ask = |question| {
            let gatherer = Arc::clone(&doubling.gatherer);
            tokio::spawn(async move { gatherer.run(soon(), question).await })
        };
        let asked = [ask(1), ask(2)];
        while doubling.metrics.waiting.get() < 2 {
            tokio::task::yield_now().await;
        }
        let full = Err(NotDone::QueueFull { waiting: 2 });
        assert_eq!(doubling.gatherer.run(soon(), 3).await, full);
        assert_eq!(doubling.compute.run(soon(), || 3).await, full);
        drop(release);
        for (asked, answer) in asked.into_iter().zip([2, 4]) {
            assert_eq!(asked.await.unwrap(), Ok(answer));
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_question_that_is_late_before_it_is_worked_on_never_is() {
        let doubling = doubling(64, Duration::from_millis(5));
        let release = occupy(&doubling.compute);
        let late = doubling
            .gatherer
            .run(Instant::now() + Duration::from_millis(5), 1)
            .await;
        assert_eq!(late, Err(NotDone::Late));
        drop(release);
        assert_eq!(doubling.gatherer.run(soon(), 2).await, Ok(4));
        let seen: Vec<Vec<u32>> = doubling.seen.try_iter().collect();
        assert_eq!(seen, [vec![2]]);
        assert_eq!(doubling.metrics.expired.get(), 1);
    }
}
