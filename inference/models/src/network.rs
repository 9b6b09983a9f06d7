//! Networks of any framework, as ONNX files, with what they read of rows.
//!
//! [`filling`] says which columns a tensor of the graph has, by its name or by a [`Binding`]. A tensor of one row in the graph's own
//! shape, with columns of the user alone, gets the user's row once; all others a row for each candidate.

mod filling;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;

use gondola_onnx::{Dimension, Limits, LoadError, Network, Port, RunError, Tensor};
use serde::{Deserialize, Serialize};

use crate::features::{EncodedRow, Layout};
use crate::scoring::CandidateBatch;
use filling::{Buffer, Columns, Row};
pub use filling::{FillingError, Rows};

/// How a graph's inputs and output are bound; what is not said, names say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// For inputs of the graph whose own name says nothing to us: the columns of each, in order. A column is an input of the layout
    /// (`user.age`), or a group of them ([`Rows`]: `user`, `item.categorical`, `row` ..).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tensors: BTreeMap<String, Vec<String>>,
    /// The output that counts; default: the only one that can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
}

/// Why a network can't be filled from rows.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// It can't be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// An input can't be filled.
    #[error(transparent)]
    Filling(#[from] FillingError),
}

/// A network whose inputs are filled from rows.
#[derive(Debug)]
pub(crate) struct FilledNetwork {
    network: Network,
    columns: Columns,
    inputs: Vec<filling::Input>,
}

thread_local! {
    /// What this thread's tensors are filled in.
    static BUFFERS: RefCell<Vec<Buffer>> = RefCell::default();
}

impl FilledNetwork {
    /// Loads a network, whose inputs are filled from rows of `layout`.
    pub(crate) fn load(
        path: &Path,
        limits: Limits,
        binding: &Binding,
        layout: &Layout,
    ) -> Result<Self, NetworkError> {
        let network = Network::load(path, limits)?;
        Ok(Self {
            columns: Columns::of(layout),
            inputs: filling::inputs(network.inputs(), &binding.tensors, layout)?,
            network,
        })
    }

    pub(crate) fn columns(&self) -> &Columns {
        &self.columns
    }

    pub(crate) fn outputs(&self) -> &[Port] {
        self.network.outputs()
    }

    /// Puts the values of one output for a user and some candidates into `out` (cleared first), row-major, and gives its shape.
    pub(crate) fn run(
        &self,
        user: &EncodedRow,
        candidates: &CandidateBatch<'_>,
        output: &str,
        out: &mut Vec<f32>,
    ) -> Result<Vec<usize>, RunError> {
        let row = Row::new(user, candidates, &self.columns);
        BUFFERS.with_borrow_mut(|buffers| {
            buffers.resize_with(self.inputs.len(), Buffer::default);
            for (input, buffer) in self.inputs.iter().zip(buffers.iter_mut()) {
                input.fill(&row, buffer);
            }
            let filled = self.inputs.iter().zip(buffers.iter());
            let tensors: Vec<Tensor<'_>> = filled.map(|(input, buffer)| input.tensor(buffer)).collect();
            self.network.run(&tensors, output, out)
        })
    }
}

/// `prob: float [?, 1]`.
pub(crate) fn described(port: &Port) -> String {
    let size = |dimension: &Dimension| match dimension {
        Dimension::Fixed(size) => size.to_string(),
        Dimension::Any => "?".to_owned(),
    };
    let shape: Vec<String> = port.shape.iter().map(size).collect();
    format!("{}: {} [{}]", port.name, port.element, shape.join(", "))
}

/// All of them.
pub(crate) fn all_described(ports: &[Port]) -> String {
    ports.iter().map(described).collect::<Vec<_>>().join(", ")
}
