//! What waits for a compute thread: single pieces of work, and requests that are gathered.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

/// Work for a compute thread.
pub(super) type Job = Box<dyn FnOnce() + Send>;

/// Requests of one kind that are answered together, as threads see them.
pub(super) trait Kind: Send + Sync {
    /// How many wait.
    fn len(&self) -> usize;
    /// Since when, or from when on, the first of them are to be answered.
    fn due(&self) -> Option<Instant>;
    /// The answering of the first of them.
    fn take(&self) -> Job;
}

/// What waits.
#[derive(Default)]
pub(super) struct Queue {
    pub(super) jobs: VecDeque<Job>,
    pub(super) kinds: Vec<Arc<dyn Kind>>,
    pub(super) closed: bool,
    /// Whether what was taken last was gathered.
    gathered_last: bool,
}

/// What a thread is to do.
pub(super) enum Next {
    Work(Job),
    /// Nothing before this time, unless something comes.
    WaitUntil(Instant),
    /// Nothing, unless something comes.
    Wait,
}

impl Queue {
    /// How many requests wait.
    pub(super) fn waiting(&self) -> usize {
        self.jobs.len() + self.kinds.iter().map(|kind| kind.len()).sum::<usize>()
    }

    /// Whether requests wait for others.
    pub(super) fn gathers(&self) -> bool {
        self.kinds.iter().any(|kind| kind.len() > 0)
    }

    /// What is to be done now. Where single work and gathered requests are both there, they take turns.
    pub(super) fn next(&mut self) -> Next {
        let first = self.first_due();
        let due = first
            .as_ref()
            .filter(|(_, at)| self.closed || *at <= Instant::now());
        let turn = self.jobs.is_empty() || !self.gathered_last;
        if let Some((kind, _)) = due.filter(|_| turn) {
            let work = kind.take();
            self.gathered_last = true;
            return Next::Work(work);
        }
        self.gathered_last = false;
        match (self.jobs.pop_front(), first) {
            (Some(job), _) => Next::Work(job),
            (None, Some((_, at))) => Next::WaitUntil(at),
            (None, None) => Next::Wait,
        }
    }

    /// The gathered requests that are due before all others, and when.
    fn first_due(&self) -> Option<(Arc<dyn Kind>, Instant)> {
        let due = self.kinds.iter().filter_map(|kind| Some((kind, kind.due()?)));
        let first = due.min_by_key(|(_, at)| *at);
        first.map(|(kind, at)| (Arc::clone(kind), at))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    /// Some requests, due at a time.
    struct Due {
        at: Instant,
        left: AtomicUsize,
        taken: Arc<Mutex<Vec<&'static str>>>,
    }

    impl Kind for Due {
        fn len(&self) -> usize {
            self.left.load(Ordering::SeqCst)
        }

        fn due(&self) -> Option<Instant> {
            (self.len() > 0).then_some(self.at)
        }

        fn take(&self) -> Job {
            self.left.fetch_sub(1, Ordering::SeqCst);
            let taken = Arc::clone(&self.taken);
            Box::new(move || taken.lock().unwrap().push("gathered"))
        }
    }

    /// Runs what is to be done with three single pieces of work and two that are gathered; gives what was run, in order.
    fn run(at: Instant, closed: bool) -> (Vec<&'static str>, Next) {
        let taken = Arc::new(Mutex::new(Vec::new()));
        let kind = Arc::new(Due {
            at,
            left: AtomicUsize::new(2),
            taken: Arc::clone(&taken),
        });
        let mut queue = Queue {
            kinds: vec![kind],
            closed,
            ..Queue::default()
        };
        for _ in 0..3 {
            let taken = Arc::clone(&taken);
            let job = move || taken.lock().unwrap().push("single");
            queue.jobs.push_back(Box::new(job));
        }
        assert_eq!(queue.waiting(), 5);
        loop {
            match queue.next() {
                Next::Work(job) => job(),
                next => return (taken.lock().unwrap().clone(), next),
            }
        }
    }

    #[test]
    fn single_work_and_what_is_due_take_turns() {
        let (ran, next) = run(Instant::now(), false);
        assert_eq!(ran, ["gathered", "single", "gathered", "single", "single"]);
        assert!(matches!(next, Next::Wait));
    }

    #[test]
    fn what_is_not_due_waits_and_keeps_nothing_else_waiting() {
        let at = Instant::now() + Duration::from_secs(3600);
        let (ran, next) = run(at, false);
        assert_eq!(ran, ["single"; 3]);
        assert!(matches!(next, Next::WaitUntil(due) if due == at));
    }

    #[test]
    fn nothing_waits_for_others_once_none_can_come() {
        let (ran, next) = run(Instant::now() + Duration::from_secs(3600), true);
        assert_eq!(ran.len(), 5);
        assert!(matches!(next, Next::Wait));
    }
}
