//! The report of a run: one HTML page for people, without outside assets, and `summary.json` for programs.

pub mod chart;
pub mod page;

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::evaluate::{PairMetrics, Quality, VariantQuality};

/// What one run made and how good it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Names the inputs of the run: a run with the same ones need not be done again.
    pub fingerprint: String,
    /// Name of the data set.
    pub dataset: String,
    /// The windows, in words.
    pub windows: String,
    /// Facts about the data: what, how much.
    pub facts: Vec<(String, String)>,
    /// Each scorer on the labelled pairs of the test window.
    pub scorers: Vec<(String, PairMetrics)>,
    /// How much each input helped the forest, the most helpful first.
    pub importances: Vec<(String, f64)>,
    /// The baselines' lists.
    pub baselines: Vec<Quality>,
    /// The variants' lists and latencies.
    pub variants: Vec<VariantQuality>,
    /// The bundles: name, version, digest.
    pub bundles: Vec<(String, String, String)>,
    /// Seconds of each step, in order.
    pub steps: Vec<(String, f64)>,
    /// Peak memory of the run, in bytes.
    pub peak_memory_bytes: u64,
    /// The machine: processor and cores.
    pub machine: String,
}

/// Why a report could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {path}")]
pub struct ReportError {
    /// Which file.
    path: PathBuf,
    /// Why.
    #[source]
    source: std::io::Error,
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

    /// The metrics as a table for the terminal.
    pub fn table(&self) -> String {
        let mut table = format!(
            "{:36} {:>8} {:>10} {:>8}\n",
            "scorer, on labelled pairs", "AUC", "precision", "recall"
        );
        for (name, metrics) in &self.scorers {
            let PairMetrics {
                auc,
                precision,
                recall,
                ..
            } = metrics;
            table += &format!("{name:36} {auc:8.4} {precision:10.4} {recall:8.4}\n");
        }
        table += &format!(
            "\n{:36} {:>8} {:>10} {:>8}\n",
            "lists of 12, all buyers", "Recall", "MAP", "nDCG"
        );
        for Quality { name, metrics } in self
            .baselines
            .iter()
            .chain(self.variants.iter().map(|v| &v.quality))
        {
            table += &format!(
                "{name:36} {:8.4} {:10.4} {:8.4}\n",
                metrics.recall, metrics.map, metrics.ndcg
            );
        }
        table
    }
}
