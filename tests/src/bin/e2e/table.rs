//! What was done, how long it took, and what became of the requests meanwhile.

use std::fmt;
use std::time::Duration;

use crate::load::Counts;

/// The steps so far.
#[derive(Debug, Default)]
pub(crate) struct Table(Vec<Row>);

/// One of them.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) step: &'static str,
    pub(crate) took: Duration,
    pub(crate) counts: Counts,
    /// What was seen, or why the step failed.
    pub(crate) outcome: Result<String, String>,
}

impl Table {
    pub(crate) fn add(&mut self, row: Row) {
        self.0.push(row);
    }

    /// The steps that failed, with the reasons.
    pub(crate) fn broken(&self) -> impl Iterator<Item = String> {
        self.0.iter().filter_map(|row| {
            let why = row.outcome.as_ref().err()?;
            Some(format!("{}: {why}", row.step))
        })
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, text) = match &self.outcome {
            Ok(seen) => ("ok", seen),
            Err(why) => ("FAILED", why),
        };
        write!(
            f,
            "{word:6} {} ({:.1} s, {}): {text}",
            self.step,
            self.took.as_secs_f64(),
            self.counts
        )
    }
}

/// As Markdown.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| step | seconds | sent | failed | seen |\n|---|---|---|---|---|"
        )?;
        for row in &self.0 {
            let seen = match &row.outcome {
                Ok(seen) => seen.clone(),
                Err(why) => format!("**FAILED**: {why}"),
            };
            // A message of Kubernetes may have several lines, and a bar in it.
            let seen = seen.replace('\n', " ").replace('|', "\\|");
            let (sent, failed) = (row.counts.sent(), row.counts.failed());
            writeln!(
                f,
                "| {} | {:.1} | {sent} | {failed} | {seen} |",
                row.step,
                row.took.as_secs_f64()
            )?;
        }
        Ok(())
    }
}
