//! A network of any framework as a scorer: an ONNX file, run by ONNX Runtime on all candidates of a request at once.
//!
//! ```text
//! user's row, items' rows, pairs -> tensors of the graph, filled by name -> ONNX Runtime -> one score a row
//! ```
//!
//! [`filling`] says which columns a tensor of the graph has, by its name or by `scorer.json`. A tensor of one row in the graph's own
//! shape, with columns of the user alone, gets the user's row once; all others a row for each candidate.

mod filling;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use gondola_onnx::{Dimension, Element, Limits, Network, Port, Tensor};
use serde::{Deserialize, Serialize};

use crate::features::{EncodedRow, EncodedTable, Layout};
use crate::scoring::{CandidateBatch, ScoreError, Scorer, check_numbers, check_user};
use filling::{Buffer, Columns, Row};
pub use filling::{FillingError, Rows};
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

/// How the graph's inputs and output are bound, in `scorer.json`; what is not said, names say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnnxConfig {
    /// For inputs of the graph whose own name says nothing to us: the columns of each, in order. A column is an input of the layout
    /// (`user.age`), or a group of them ([`Rows`]: `user`, `item.categorical`, `row` ..).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tensors: BTreeMap<String, Vec<String>>,
    /// The output that is the score; default: the only one that can be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
}

/// Why a network can't be a scorer.
#[derive(Debug, thiserror::Error)]
pub enum OnnxError {
    /// It can't be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// An input can't be filled.
    #[error(transparent)]
    Filling(#[from] FillingError),
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
    network: Network,
    columns: Columns,
    inputs: Vec<filling::Input>,
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
    /// What this thread's tensors are filled in, and what came out.
    static SCRATCH: RefCell<(Vec<Buffer>, Vec<f32>)> = RefCell::default();
}

impl OnnxScorer {
    /// Loads a network, whose inputs are filled from rows of `layout`.
    pub fn load(path: &Path, config: &OnnxConfig, layout: &Layout) -> Result<Self, OnnxError> {
        let network = Network::load(path, LIMITS)?;
        Ok(Self {
            columns: Columns::of(layout),
            inputs: filling::inputs(network.inputs(), &config.tensors, layout)?,
            output: Output::find(network.outputs(), config.output.as_deref())?,
            network,
        })
    }

    /// Runs the network for one part of the candidates, and adds their scores.
    fn run(&self, row: &Row<'_>, scores: &mut Vec<f32>) -> Result<(), RunError> {
        SCRATCH.with_borrow_mut(|(buffers, out)| {
            buffers.resize_with(self.inputs.len(), Buffer::default);
            for (input, buffer) in self.inputs.iter().zip(buffers.iter_mut()) {
                input.fill(row, buffer);
            }
            let tensors: Vec<Tensor<'_>> = self
                .inputs
                .iter()
                .zip(buffers.iter())
                .map(|(input, buffer)| input.tensor(buffer))
                .collect();
            self.network.run(&tensors, &self.output.name, out)?;
            self.output.take(out, row.candidates(), scores)
        })
    }
}

impl Scorer for OnnxScorer {
    /// The item's part of a row.
    fn block_width(&self) -> usize {
        self.columns.item()
    }

    fn prepare(&self, items: &EncodedTable, out: &mut [f32]) {
        self.columns.prepare(items, out);
    }

    fn score(
        &self,
        user: &EncodedRow,
        candidates: &CandidateBatch<'_>,
        scores: &mut Vec<f32>,
    ) -> Result<(), ScoreError> {
        check_user(user, self.columns.user_categorical, self.columns.user_numeric)?;
        scores.clear();
        let count = candidates.blocks.len();
        for start in (0..count).step_by(MOST_ROWS) {
            let part = candidates.part(start..count.min(start + MOST_ROWS));
            self.run(&Row::new(user, &part, &self.columns), scores)?;
        }
        check_numbers(scores)
    }
}

impl Output {
    fn find(outputs: &[Port], name: Option<&str>) -> Result<Self, OnnxError> {
        let listed = || outputs.iter().map(described).collect::<Vec<_>>().join(", ");
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

/// `prob: float [?, 1]`.
fn described(port: &Port) -> String {
    let size = |dimension: &Dimension| match dimension {
        Dimension::Fixed(size) => size.to_string(),
        Dimension::Any => "?".to_owned(),
    };
    let shape: Vec<String> = port.shape.iter().map(size).collect();
    format!("{}: {} [{}]", port.name, port.element, shape.join(", "))
}

#[cfg(test)]
mod tests;
