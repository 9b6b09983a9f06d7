//! What was done, how long it took, and what became of the requests meanwhile.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::load::Counts;

/// The steps so far.
#[derive(Debug, Default)]
pub(crate) struct Table(Vec<Row>);

#[derive(Debug)]
struct Row {
    step: String,
    took: Duration,
    counts: Counts,
    seen: String,
}

impl Table {
    /// Does a step and writes it down. `counts` says how many requests were made so far; what the step gives is what it saw.
    pub(crate) async fn step(
        &mut self,
        step: &str,
        counts: impl Fn() -> Counts,
        work: impl Future<Output = anyhow::Result<String>>,
    ) -> anyhow::Result<()> {
        let (started, before) = (Instant::now(), counts());
        let outcome = work.await.with_context(|| format!("FAILED: {step}"));
        let seen = outcome
            .as_ref()
            .map_or_else(|_| "FAILED".to_owned(), String::clone);
        println!("{step}: {seen}");
        self.0.push(Row {
            step: step.to_owned(),
            took: started.elapsed(),
            counts: counts().since(before),
            seen,
        });
        outcome.map(drop)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\n| step | seconds | sent | failed | seen |\n|---|---|---|---|---|"
        )?;
        for Row {
            step,
            took,
            counts: Counts { sent, failed },
            seen,
        } in &self.0
        {
            writeln!(
                f,
                "| {step} | {:.1} | {sent} | {failed} | {seen} |",
                took.as_secs_f64()
            )?;
        }
        Ok(())
    }
}
