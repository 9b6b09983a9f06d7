//! Steps: what is done, and what it may cost the clients.

use std::pin::Pin;
use std::time::Instant;

use anyhow::{Context as _, bail};

use crate::load::Counts;
use crate::table::{Row, Table};

/// What a step does; it gives back what it saw.
pub(crate) type Work<T> = for<'a> fn(&'a mut T) -> Pin<Box<dyn Future<Output = anyhow::Result<String>> + 'a>>;

/// Where steps are made.
pub(crate) trait Stage {
    /// How many requests were sent so far.
    fn counts(&self) -> Counts;
    /// Why requests failed since this was asked last; a few of them.
    fn complaints(&self) -> Vec<String>;
    /// Goes back to where every step begins.
    async fn restore(&mut self) -> anyhow::Result<()>;
}

/// A promise, and how it is put to the test.
pub(crate) struct Step<T> {
    name: &'static str,
    work: Work<T>,
    /// How many requests may fail, and why they may.
    may_fail: Option<(u64, &'static str)>,
    ends_everything: bool,
}

impl<T: Stage> Step<T> {
    /// A step that no client notices.
    pub(crate) const fn new(name: &'static str, work: Work<T>) -> Self {
        Self {
            name,
            work,
            may_fail: None,
            ends_everything: false,
        }
    }

    /// So many requests may fail meanwhile, for a reason that nobody can do anything about.
    pub(crate) const fn may_fail(mut self, requests: u64, because: &'static str) -> Self {
        self.may_fail = Some((requests, because));
        self
    }

    /// There is nothing to go back to after it.
    pub(crate) const fn last(mut self) -> Self {
        self.ends_everything = true;
        self
    }

    /// Whether this is its name.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        self.name == name
    }

    async fn run(&self, stage: &mut T) -> Row {
        let (started, before) = (Instant::now(), stage.counts());
        let mut outcome = (self.work)(stage).await;
        let took = started.elapsed();
        // Going back is a change under load like any other.
        let restored = match self.ends_everything {
            true => Ok(()),
            false => stage
                .restore()
                .await
                .context("cannot go back to where the step began"),
        };
        let counts = stage.counts().since(&before);
        outcome = outcome
            .and_then(|seen| restored.map(|()| seen))
            .and_then(|seen| self.judge(&counts).map(|()| seen));
        Row {
            step: self.name,
            took,
            counts,
            outcome: outcome.map_err(|error| format!("{error:#}")),
        }
    }

    fn judge(&self, counts: &Counts) -> anyhow::Result<()> {
        let (sent, failed) = (counts.sent(), counts.failed());
        match self.may_fail {
            _ if failed == 0 => Ok(()),
            Some((bound, _)) if failed <= bound => Ok(()),
            Some((bound, because)) => {
                bail!("{failed} of {sent} requests failed, and {bound} may, because {because}")
            }
            None => bail!("{failed} of {sent} requests failed, and none may"),
        }
    }
}

/// Runs steps one after the other: one that fails is written down, and the next one begins where all begin.
pub(crate) async fn run_all<T: Stage>(stage: &mut T, steps: &[Step<T>], table: &mut Table) {
    for step in steps {
        let row = step.run(stage).await;
        println!("{row}");
        for complaint in stage.complaints() {
            println!("    {complaint}");
        }
        table.add(row);
    }
}

/// The steps that were asked for: those whose names contain one of the texts, or all.
pub(crate) fn chosen<T>(steps: Vec<Step<T>>, only: &[String]) -> anyhow::Result<Vec<Step<T>>> {
    let wanted =
        |step: &Step<T>| only.is_empty() || only.iter().any(|text| step.name.contains(text.as_str()));
    let names: Vec<&str> = steps.iter().map(|step| step.name).collect();
    let nothing = format!("no step is called like {only:?}; there are {names:?}");
    let chosen: Vec<Step<T>> = steps.into_iter().filter(wanted).collect();
    if chosen.is_empty() {
        bail!("{nothing}");
    }
    Ok(chosen)
}
