//! Progress: every long step shows how far it is, how fast it goes and how long it will take.
//!
//! On a terminal it is a bar. Elsewhere, as in a pod's log, it is a line now and then.

use std::cell::Cell;
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressStyle};

/// Between two lines of a log.
const INTERVAL: Duration = Duration::from_secs(30);

/// How far a step is.
pub(crate) struct Progress {
    step: &'static str,
    bar: ProgressBar,
    said: Cell<Instant>,
}

/// A step whose length is set when it is known.
pub(crate) fn bar(step: &'static str) -> Progress {
    Progress::new(
        step,
        ProgressBar::new(0),
        "{prefix:28} [{elapsed_precise}] {bar:30} {pos}/{len} {per_sec} {eta} {msg}",
        ProgressStyle::default_bar(),
    )
}

/// A step whose length nobody knows.
pub(crate) fn spinner(step: &'static str) -> Progress {
    Progress::new(
        step,
        ProgressBar::new_spinner(),
        "{prefix:28} [{elapsed_precise}] {spinner} {msg}",
        ProgressStyle::default_spinner(),
    )
}

impl Progress {
    fn new(step: &'static str, bar: ProgressBar, template: &str, otherwise: ProgressStyle) -> Self {
        let bar = bar.with_prefix(step);
        bar.set_style(ProgressStyle::with_template(template).unwrap_or(otherwise));
        bar.enable_steady_tick(Duration::from_millis(200));
        let said = Cell::new(Instant::now());
        Self { step, bar, said }
    }

    /// Sets how long the step is.
    pub(crate) fn set_length(&self, length: u64) {
        self.bar.set_length(length);
    }

    /// Makes the step longer.
    pub(crate) fn inc_length(&self, length: u64) {
        self.bar.inc_length(length);
    }

    /// Says something beside the numbers.
    pub(crate) fn set_message(&self, message: String) {
        self.bar.set_message(message);
    }

    /// So much more is done.
    pub(crate) fn inc(&self, done: u64) {
        self.bar.inc(done);
        if self.bar.is_hidden() && self.said.get().elapsed() >= INTERVAL {
            self.said.set(Instant::now());
            eprintln!("{}", self.line());
        }
    }

    /// The step is done.
    pub(crate) fn finish(&self) {
        self.bar.finish();
        if self.bar.is_hidden() {
            eprintln!("{}: done in {}", self.step, HumanDuration(self.bar.elapsed()));
        }
    }

    /// The step is done, and was short.
    pub(crate) fn finish_and_clear(&self) {
        self.bar.finish_and_clear();
    }

    fn line(&self) -> String {
        let Self { step, bar, .. } = self;
        let (done, all) = (bar.position(), bar.length().unwrap_or(0));
        let (rate, left) = (bar.per_sec(), HumanDuration(bar.eta()));
        let message = bar.message();
        format!("{step}: {done} of {all}, {rate:.1} a second, {left} left; {message}")
            .trim_end_matches("; ")
            .to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_how_fast_and_how_long() {
        let progress = bar("two towers");
        progress.set_length(200);
        progress.inc(50);
        let line = progress.line();
        assert!(line.starts_with("two towers: 50 of 200, "), "{line}");
        assert!(line.ends_with(" left"), "{line}");
        progress.set_message("loss 0.5".to_owned());
        assert!(progress.line().ends_with("; loss 0.5"));
    }
}
