//! Examples: pairs of rows as the numbers that models train on.

use candle_core::{Device, Result as CandleResult, Tensor};
use gondola_inference::features::{EncodedTable, PairFeatures, Workflow};

use crate::features::Snapshot;
use crate::labels::Pair;

/// A snapshot after the workflow.
pub struct Encoded {
    /// Users, in the snapshot's row order.
    pub users: EncodedTable,
    /// Items, in the snapshot's row order.
    pub items: EncodedTable,
}

impl Encoded {
    /// Encodes all rows of a snapshot.
    pub fn new(workflow: &Workflow, snapshot: &Snapshot) -> Self {
        Self {
            users: workflow.user.encode_table(&snapshot.users),
            items: workflow.item.encode_table(&snapshot.items),
        }
    }
}

/// The raw pair features of many pairs, one list a column: what the workflow is fitted on.
pub fn raw_pairs(
    features: &PairFeatures,
    pairs: &[Pair],
    snapshot: &Snapshot,
    items: &EncodedTable,
) -> Vec<Vec<Option<f64>>> {
    let mut columns = vec![Vec::with_capacity(pairs.len()); features.width()];
    for pair in pairs {
        let history = snapshot.history.of(pair.user as usize);
        for (column, values) in columns
            .iter_mut()
            .zip(features.values(history, &[pair.item], items))
        {
            column.extend(values);
        }
    }
    columns
}

/// The encoded pair features of many pairs, `[pairs, width]`, row-major.
pub fn encoded_pairs(
    features: &PairFeatures,
    pairs: &[Pair],
    snapshot: &Snapshot,
    items: &EncodedTable,
) -> Vec<f32> {
    let mut encoded = Vec::with_capacity(pairs.len() * features.width());
    for pair in pairs {
        let history = snapshot.history.of(pair.user as usize);
        features.encode(
            history,
            &[pair.item],
            |row| items.categorical(row as usize),
            &mut encoded,
        );
    }
    encoded
}

/// Rows of a table as tensors: categorical (`[rows, columns]`, `u32`) and numeric (`[rows, columns]`, `f32`).
pub fn tensors(table: &EncodedTable, rows: &[u32]) -> CandleResult<(Tensor, Tensor)> {
    let categorical: Vec<u32> = rows
        .iter()
        .flat_map(|row| table.categorical(*row as usize))
        .copied()
        .collect();
    let numeric: Vec<f32> = rows
        .iter()
        .flat_map(|row| table.numeric(*row as usize))
        .copied()
        .collect();
    Ok((
        Tensor::from_vec(categorical, (rows.len(), table.categorical_width()), &Device::Cpu)?,
        Tensor::from_vec(numeric, (rows.len(), table.numeric_width()), &Device::Cpu)?,
    ))
}
