//! What the fuzz targets share. The parsers' sources are taken as they are, without the crates around them: FAISS has no part in
//! reading a forest, nor DataFusion in reading a table, and would take the compiler a quarter of an hour.

pub mod events;
pub mod tables;

#[allow(dead_code, reason = "outcomes and exposures as they are read use a part of it")]
#[path = "../../events/src/event.rs"]
mod event;
#[allow(dead_code, reason = "tables of events need a part of it")]
#[path = "../../events/src/intake.rs"]
mod intake;
#[allow(dead_code, reason = "exposures are only read here")]
#[path = "../../events/src/table.rs"]
mod table;
#[allow(dead_code, reason = "keys are made here, and not read from a folder")]
#[path = "../../events/src/unit.rs"]
mod unit;

use scoring::forest;
pub use scoring::forest::Format;

#[path = "../../inference/src/scoring"]
mod scoring {
    pub(crate) mod forest {
        #![allow(dead_code, unused_imports, reason = "what only scorers and tests use")]

        mod catboost;
        mod format;
        mod lightgbm;
        mod model;
        mod onnx;
        mod ubjson;
        mod walk;
        mod xgboost;

        pub use format::Format;
        pub(crate) use walk::{Matrix, Path, Trees};
    }
}

/// Reads a model; if it can be read, walks rows through it, on which all paths must agree bit for bit.
pub fn read_and_walk(format: Format, bytes: &[u8]) {
    let Ok(model) = format.parse(bytes) else {
        return;
    };
    let Ok(trees) = forest::Trees::new(&model) else {
        return;
    };
    let values = [0.0, 1.0, -1.0, 2.5, 1e9, f32::NAN, f32::INFINITY];
    let mut matrix = forest::Matrix::default();
    matrix.reset(values.len(), trees.columns().len());
    for (row, value) in values.into_iter().enumerate() {
        for (column, to) in matrix.row_mut(row).iter_mut().enumerate() {
            *to = trees.columns().encode(column, value);
        }
    }
    let sums = forest::Path::available().into_iter().map(|path| {
        let mut sums = Vec::new();
        trees.sum(&matrix, path, &mut sums);
        sums.into_iter().map(f64::to_bits).collect::<Vec<_>>()
    });
    let sums: Vec<_> = sums.collect();
    assert!(sums.windows(2).all(|pair| pair[0] == pair[1]), "paths differ");
}
