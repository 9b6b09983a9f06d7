//! A network of any framework as a scorer: an ONNX file, run by ONNX Runtime on all candidates of a request at once.
//!
//! ```text
//! user's row, items' rows, pairs -> tensors of the graph, filled by name -> ONNX Runtime -> one score a row
//! ```
//!
//! How its inputs are filled: [`crate::network`].

use std::cell::RefCell;
use std::path::Path;
use std::time::Duration;

use gondola_onnx::{Dimension, Element, Limits, Port};

use crate::features::{EncodedRow, EncodedTable, Layout};
pub use crate::network::Binding as OnnxConfig;
use crate::network::{FilledNetwork, NetworkError, all_described};
use crate::scoring::{CandidateBatch, ScoreError, Scorer, check_numbers, check_user};
pub use gondola_onnx::{LoadError, RunError};

/// The model's file in a bundle.
pub const FILE: &str = "model.onnx";

/// What a network may take while it serves.
const LIMITS: Limits = Limits {
    time: Duration::from_secs(1),
    weights: 1 << 30,
};
/// Rows of a run, at most: what stands between layers takes memory for each.
const MOST_ROWS: usize = 1024;

/// Why a network can't be a scorer.
#[derive(Debug, thiserror::Error)]
pub enum OnnxError {
    /// It can't be loaded, or an input can't be filled.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// No output is a score, or more than one may be.
    #[error(
        "no single output of the network is one number a row (or two, the second for the class that counts); it has {outputs}; name the one that is the score as `output` in scorer.json, or export it alone"
    )]
    Output {
        /// What there is.
        outputs: String,
    },
    /// `scorer.json` names an output that can't be a score.
    #[error(
        "scorer.json names the output {name:?}, which must be one number a row, but the network has {outputs}"
    )]
    NoSuchOutput {
        /// Its name.
        name: String,
        /// What there is.
        outputs: String,
    },
}

/// A network that is ready to score candidates.
#[derive(Debug)]
pub struct OnnxScorer {
    network: FilledNetwork,
    output: Output,
}

/// The output that is the score.
#[derive(Clone, Debug)]
struct Output {
    name: String,
    /// Numbers of a row; the last is the score.
    width: usize,
}

thread_local! {
    /// What came out of this thread's last run.
    static OUT: RefCell<Vec<f32>> = RefCell::default();
}

impl OnnxScorer {
    /// Loads a network, whose inputs are filled from rows of `layout`.
    pub fn load(path: &Path, config: &OnnxConfig, layout: &Layout) -> Result<Self, OnnxError> {
        let network = FilledNetwork::load(path, LIMITS, config, layout)?;
        Ok(Self {
            output: Output::find(network.outputs(), config.output.as_deref())?,
            network,
        })
    }

    /// Runs the network for one part of the candidates, and adds their scores.
    fn run(
        &self,
        user: &EncodedRow,
        candidates: &CandidateBatch<'_>,
        scores: &mut Vec<f32>,
    ) -> Result<(), RunError> {
        OUT.with_borrow_mut(|out| {
            self.network.run(user, candidates, &self.output.name, out)?;
            self.output.take(out, candidates.blocks.len(), scores)
        })
    }
}

impl Scorer for OnnxScorer {
    /// The item's part of a row.
    fn block_width(&self) -> usize {
        self.network.columns().item()
    }

    fn prepare(&self, items: &EncodedTable, out: &mut [f32]) {
        self.network.columns().prepare(items, out);
    }

    fn score(
        &self,
        user: &EncodedRow,
        candidates: &CandidateBatch<'_>,
        scores: &mut Vec<f32>,
    ) -> Result<(), ScoreError> {
        let columns = self.network.columns();
        check_user(user, columns.user_categorical, columns.user_numeric)?;
        scores.clear();
        let count = candidates.blocks.len();
        for start in (0..count).step_by(MOST_ROWS) {
            let part = candidates.part(start..count.min(start + MOST_ROWS));
            self.run(user, &part, scores)?;
        }
        check_numbers(scores)
    }
}

impl Output {
    fn find(outputs: &[Port], name: Option<&str>) -> Result<Self, OnnxError> {
        let listed = || all_described(outputs);
        let can_be = |port: &Port| {
            Some(Self {
                name: port.name.clone(),
                width: score_width(port)?,
            })
        };
        if let Some(name) = name {
            let named = outputs.iter().find(|port| port.name == name);
            return named.and_then(can_be).ok_or_else(|| OnnxError::NoSuchOutput {
                name: name.to_owned(),
                outputs: listed(),
            });
        }
        let mut found: Vec<Self> = outputs.iter().filter_map(can_be).collect();
        match (found.pop(), found.is_empty()) {
            (Some(output), true) => Ok(output),
            _ => Err(OnnxError::Output { outputs: listed() }),
        }
    }

    fn take(&self, values: &[f32], rows: usize, scores: &mut Vec<f32>) -> Result<(), RunError> {
        if values.len() != rows * self.width {
            return Err(RunError::Output {
                name: self.name.clone(),
                reason: format!("{rows} rows came out as {} numbers", values.len()),
            });
        }
        scores.extend(values.chunks_exact(self.width).map(|row| row[self.width - 1]));
        Ok(())
    }
}

/// How many numbers a row has in an output that can be a score: one, or two, for two classes.
fn score_width(port: &Port) -> Option<usize> {
    let number = matches!(port.element, Element::Float | Element::Double);
    match port.shape[..] {
        [_] if number => Some(1),
        [_, Dimension::Fixed(width @ (1 | 2))] if number => Some(width),
        // What an exporter could not tell is a number a row, as long as it comes out as one.
        [_, Dimension::Any] if number => Some(1),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
