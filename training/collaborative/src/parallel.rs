//! Work on all cores.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// How many pieces of work a core takes at a time.
const TAKEN: usize = 64;

/// What `work` gives for each number below `count`, in their order. `tool` makes what one core works with.
pub(crate) fn each<T: Send, W>(
    count: usize,
    tool: impl Fn() -> W + Sync,
    work: impl Fn(&mut W, usize) -> T + Sync,
) -> Vec<T> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicUsize::new(0);
    let one_core = || {
        let mut tool = tool();
        let mut done = Vec::new();
        loop {
            let first = next.fetch_add(TAKEN, Ordering::Relaxed);
            if first >= count {
                return done;
            }
            for number in first..count.min(first + TAKEN) {
                done.push((number, work(&mut tool, number)));
            }
        }
    };
    let mut all: Vec<(usize, T)> = thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(one_core)).collect();
        let results = threads.into_iter().map(|thread| match thread.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        results.flatten().collect()
    });
    all.sort_unstable_by_key(|(number, _)| *number);
    all.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_work() {
        let squares = each(1_000, || (), |(), number| number * number);
        assert_eq!(squares.len(), 1_000);
        assert!(
            squares
                .iter()
                .enumerate()
                .all(|(number, square)| number * number == *square)
        );
        assert!(each(0, || (), |(), number| number).is_empty());
    }
}
