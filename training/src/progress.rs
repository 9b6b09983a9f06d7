//! Progress bars: every long step shows one.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar for a step whose length is set when it is known.
pub(crate) fn bar(step: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:28} [{elapsed_precise}] {bar:30} {pos}/{len} {msg}");
    let bar = ProgressBar::new(0).with_prefix(step);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// A spinner for a step whose length nobody knows.
pub(crate) fn spinner(step: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:28} [{elapsed_precise}] {spinner} {msg}");
    let spinner = ProgressBar::new_spinner().with_prefix(step);
    spinner.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    spinner.enable_steady_tick(Duration::from_millis(200));
    spinner
}
