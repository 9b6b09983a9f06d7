//! A tower of any framework, as ONNX: from a row of a user, or of an item, to its place.
//!
//! Places are what the graph gives: a tower that is to have places of length 1 scales them itself, and so does what made the index.

use std::path::Path;
use std::time::Duration;

use gondola_onnx::{Limits, RunError};

use crate::features::{EncodedRow, EncodedTable, Layout};
use crate::network::{Binding, FilledNetwork, NetworkError, all_described};
use crate::scoring::CandidateBatch;

/// What a network may take while it serves.
const LIMITS: Limits = Limits {
    time: Duration::from_secs(1),
    weights: 1 << 30,
};

/// Whose rows a tower reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    User,
    Item,
}

/// Why a network can't be a tower.
#[derive(Debug, thiserror::Error)]
pub enum NetworkTowerError {
    /// It can't be loaded, or an input can't be filled.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// Which of its outputs is the place?
    #[error(
        "the network has {outputs}; name the output that is the place as `output` in tower.json, or export it alone"
    )]
    Output {
        /// What there is.
        outputs: String,
    },
    /// It gives nothing for a row of zeros.
    #[error("the network gives no place for a row of zeros")]
    Run(#[from] RunError),
    /// What it gives is no place.
    #[error(
        "the network's output {output:?} has the shape {shape:?} for one row; export it as [rows, width]"
    )]
    Shape {
        /// The output.
        output: String,
        /// Its shape.
        shape: Vec<usize>,
    },
}

/// A network that is ready to place rows.
#[derive(Debug)]
pub(super) struct NetworkTower {
    network: FilledNetwork,
    side: Side,
    output: String,
    dimension: usize,
}

impl NetworkTower {
    /// Loads a network, whose inputs are filled from rows of its side of `layout`, and runs it once to see how long a place is.
    pub(super) fn load(
        path: &Path,
        side: Side,
        binding: &Binding,
        layout: &Layout,
    ) -> Result<Self, NetworkTowerError> {
        let own = side.of(layout);
        let network = FilledNetwork::load(path, LIMITS, binding, &own)?;
        let outputs = network.outputs();
        let named = |name: &String| outputs.iter().any(|port| port.name == *name);
        let output = match (&binding.output, outputs) {
            (Some(name), _) if named(name) => name.clone(),
            (None, [only]) => only.name.clone(),
            _ => {
                return Err(NetworkTowerError::Output {
                    outputs: all_described(outputs),
                });
            }
        };
        let mut tower = Self {
            network,
            side,
            output,
            dimension: 0,
        };
        let (place, shape) = tower.run(&side.zeros(&own))?;
        match shape[..] {
            [width] | [1, width] if width > 0 => tower.dimension = place.len(),
            _ => {
                return Err(NetworkTowerError::Shape {
                    output: tower.output,
                    shape,
                });
            }
        }
        Ok(tower)
    }

    /// How long a place is.
    pub(super) fn dimension(&self) -> usize {
        self.dimension
    }

    /// The place of one row.
    pub(super) fn embed(&self, row: &EncodedRow) -> Result<Vec<f32>, RunError> {
        let (place, _) = self.run(row)?;
        if place.len() == self.dimension {
            return Ok(place);
        }
        Err(RunError::Output {
            name: self.output.clone(),
            reason: format!(
                "a row came out as {} numbers, and not {}",
                place.len(),
                self.dimension
            ),
        })
    }

    fn run(&self, row: &EncodedRow) -> Result<(Vec<f32>, Vec<usize>), RunError> {
        let columns = self.network.columns();
        let mut block = vec![0.0; columns.item()];
        if self.side == Side::Item {
            let mut one = EncodedTable::new(row.categorical.len(), row.numeric.len());
            one.push(row);
            columns.prepare(&one, &mut block);
        }
        let nobody = EncodedRow::default();
        let user = match self.side {
            Side::User => row,
            Side::Item => &nobody,
        };
        let candidates = CandidateBatch {
            blocks: &[&block],
            pairs: &[],
            pair_width: 0,
        };
        let mut place = Vec::new();
        let shape = self.network.run(user, &candidates, &self.output, &mut place)?;
        Ok((place, shape))
    }
}

impl Side {
    /// The columns of its rows alone.
    fn of(self, layout: &Layout) -> Layout {
        match self {
            Self::User => Layout {
                user_categorical: layout.user_categorical.clone(),
                user_numeric: layout.user_numeric.clone(),
                ..Layout::default()
            },
            Self::Item => Layout {
                item_categorical: layout.item_categorical.clone(),
                item_numeric: layout.item_numeric.clone(),
                ..Layout::default()
            },
        }
    }

    fn zeros(self, own: &Layout) -> EncodedRow {
        let (categorical, numeric) = match self {
            Self::User => (own.user_categorical.len(), own.user_numeric.len()),
            Self::Item => (own.item_categorical.len(), own.item_numeric.len()),
        };
        EncodedRow {
            categorical: vec![0; categorical],
            numeric: vec![0.0; numeric],
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../onnx/tests/fixtures")
            .join(name)
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    /// Two indexes and five numbers, of users and of items.
    fn layout() -> Layout {
        let categorical = names(&["city", "club"]);
        let numeric = names(&["age", "spend", "visits", "recency", "frequency"]);
        Layout {
            user_categorical: categorical.clone(),
            user_numeric: numeric.clone(),
            item_categorical: categorical,
            item_numeric: numeric,
            pair: names(&["purchases"]),
        }
    }

    fn binding(side: &str) -> Binding {
        let columns = |kind: &str| names(&[&format!("{side}.{kind}")]);
        Binding {
            tensors: [("ids", "categorical"), ("dense", "numeric")]
                .map(|(tensor, kind)| (tensor.to_owned(), columns(kind)))
                .into(),
            output: None,
        }
    }

    #[test]
    fn a_row_of_a_user_or_of_an_item_is_where_the_weights_say() {
        let row = EncodedRow {
            categorical: vec![7, 2],
            numeric: vec![0.5, -1.0, 2.0, 0.25, -0.75],
        };
        // Computed from the file's weights in numpy.
        let wanted = [
            -0.350_837_3,
            0.267_983_38,
            0.552_578,
            -0.331_149_64,
            0.175_143_8,
            -0.520_498_75,
            -0.027_654_79,
            0.296_203_35,
        ];
        for (side, name) in [(Side::User, "user"), (Side::Item, "item")] {
            let tower =
                NetworkTower::load(&fixture("query_tower.onnx"), side, &binding(name), &layout()).unwrap();
            assert_eq!(tower.dimension(), 8);
            let place = tower.embed(&row).unwrap();
            let worst = place.iter().zip(wanted).map(|(a, b): (&f32, f32)| (a - b).abs());
            assert!(worst.fold(0.0, f32::max) < 1e-6, "{place:?}");
        }
    }

    #[test]
    fn what_is_no_tower_is_refused_by_name() {
        let refused = |file: &str, binding: &Binding| {
            let loaded = NetworkTower::load(&fixture(file), Side::User, binding, &layout());
            loaded.unwrap_err().to_string()
        };
        let file = "query_tower.onnx";
        let unbound = refused(file, &Binding::default());
        assert!(
            unbound.contains("nothing says what the network's input ids"),
            "{unbound}"
        );
        let of_items = refused(file, &binding("item"));
        assert!(
            of_items.contains("can't be filled with 0 columns a row"),
            "{of_items}"
        );
        let output = Binding {
            output: Some("place".to_owned()),
            ..binding("user")
        };
        let output = refused(file, &output);
        assert!(output.contains("name the output that is the place"), "{output}");
    }
}
