//! Whether experiments tell the truth: simulated ones through the real assignment, analysis and decisions.
//!
//! Each line says what was found and what it is held against; the program fails where a line does. Simulations are seeded.

mod amounts;
mod analyzer;
mod assignment;
mod cost;
mod replay;
mod simulation;

use std::fmt::Display;

use gondola_crds::experiment::Experiment;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::machine;

/// Lines so far, and whether one failed.
#[derive(Default)]
struct Lines {
    failed: usize,
}

impl Lines {
    fn line(&mut self, holds: bool, what: &str, found: impl Display) {
        let word = if holds { "ok  " } else { "FAIL" };
        println!("{word} {what}: {found}");
        self.failed += usize::from(!holds);
    }
}

/// Runs all checks, and the analyzer on so many exposures.
pub(crate) fn run(exposures: u64) -> anyhow::Result<()> {
    println!("{}", machine::head_line("seeded simulations"));
    let mut lines = Lines::default();
    assignment::check(&mut lines)?;
    cost::check(&mut lines)?;
    replay::check(&mut lines)?;
    simulation::nothing_to_find(&mut lines)?;
    simulation::something_to_find(&mut lines)?;
    amounts::check(&mut lines)?;
    simulation::lost_events(&mut lines)?;
    simulation::errors(&mut lines)?;
    analyzer::check(&mut lines, exposures)?;
    anyhow::ensure!(lines.failed == 0, "{} checks failed", lines.failed);
    Ok(())
}

/// A start on a Monday: 2026-11-02.
const START: Timestamp = Timestamp::constant(1_793_577_600, 0);
const DAY: SignedDuration = SignedDuration::from_hours(24);
const DAY_MILLISECONDS: i64 = 86_400_000;

/// An experiment between a control and one arm, all users from the start, with `design`.
fn experiment(name: &str, design: &Value) -> anyhow::Result<Experiment> {
    Ok(serde_json::from_value(json!({
        "name": name,
        "control": "rf",
        "arms": [{"variant": "rf", "weight": 50}, {"variant": "dlrm", "weight": 50}],
        "traffic": {"ramp": [], "settle": "1s"},
        "metrics": {"success": [{"name": "purchase", "type": "Conversion", "event": "purchase", "window": "1d"}]},
        "design": design,
        "store": {"url": "file:///nowhere"},
        "unitKey": {"secretRef": {"name": "unit-key"}},
    }))?)
}
