//! The report of a run: one HTML page for people, without outside assets, and `summary.json` for programs.

mod comparison;
mod page;
mod reference;
mod table;

pub(crate) use table::Table;

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::evaluate::retrieval::RetrievalQuality;
use crate::evaluate::{Quality, ScorerQuality, VariantQuality};
use crate::publish::PublishedBundle;
use crate::timings::StepTime;

/// What one run made and how good it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Names the inputs of the run: a run with the same ones need not be done again.
    pub fingerprint: String,
    /// Name of the data set.
    pub dataset: String,
    /// The windows, in words.
    pub windows: String,
    /// Whether scorers are worth their while, in one sentence; empty where there is none.
    #[serde(default)]
    pub verdict: String,
    /// What people should look at before they trust the rest.
    #[serde(default)]
    pub notices: Vec<String>,
    /// Facts about the data and about what was made.
    pub facts: Vec<Fact>,
    /// Each scorer on the labeled pairs of the test window, what it costs, and what its inputs are worth.
    pub scorers: Vec<ScorerQuality>,
    /// How much of what was bought is among the candidates of each source.
    pub retrieval: Vec<RetrievalQuality>,
    /// The baselines' lists.
    pub baselines: Vec<Quality>,
    /// The variants' lists and latencies.
    pub variants: Vec<VariantQuality>,
    /// The bundles that were published.
    pub bundles: Vec<PublishedBundle>,
    /// What each step took, in order.
    pub steps: Vec<StepTime>,
    /// Peak memory of the run, in bytes.
    pub peak_memory_bytes: u64,
    /// The machine: processor and cores.
    pub machine: String,
}

/// A fact, in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// What it is about.
    pub what: String,
    /// How much or which.
    pub value: String,
}

/// Why a report could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {path}")]
pub struct ReportError {
    path: PathBuf,
    #[source]
    source: std::io::Error,
}

impl Fact {
    pub(crate) fn new(what: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            value: value.into(),
        }
    }
}

impl Summary {
    /// Writes `index.html` and `summary.json` into a folder.
    pub fn write(&self, folder: &Path) -> Result<(), ReportError> {
        let write = |path: PathBuf, content: &[u8]| {
            fs::write(&path, content).map_err(|source| ReportError { path, source })
        };
        fs::create_dir_all(folder).map_err(|source| ReportError {
            path: folder.to_owned(),
            source,
        })?;
        write(folder.join("index.html"), page::render(self).as_bytes())?;
        let json = serde_json::to_vec_pretty(self).expect("numbers and texts are always JSON");
        write(folder.join("summary.json"), &json)
    }

    /// Reads the summary of an earlier run; `None` where there is none that this version can read.
    pub fn read(folder: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(folder.join("summary.json")).ok()?).ok()
    }

    /// The verdict, what people should look at, facts about the data, and the metrics as tables for the terminal.
    pub fn table(&self) -> String {
        let notices: String = self
            .notices
            .iter()
            .map(|notice| format!("NOTICE: {notice}.\n\n"))
            .collect();
        let scorers = comparison::pairs(self).text();
        let lists = comparison::lists(self).text();
        let costs = comparison::costs(self).text();
        let retrieval = comparison::retrieval(self).text();
        let facts = comparison::facts(self).text();
        let verdict = &self.verdict;
        format!("{verdict}\n\n{notices}{facts}\n{scorers}\n{retrieval}\n{lists}\n{costs}")
    }
}
