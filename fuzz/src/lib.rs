//! What the fuzz targets share. The sources of parsers whose crates bring much more than a parser are taken as they are: DataFusion has
//! no part in reading a table, nor a store in reading a manifest, and would take the compiler a quarter of an hour.

// The sources call what they share with others by the names of their crates.
extern crate self as gondola_artifacts;
extern crate self as gondola_wire;

pub mod events;
pub mod feast;
#[path = "../../artifacts/src/guard.rs"]
pub mod guard;
pub mod tables;
#[allow(dead_code, reason = "moments are checked here, and not written")]
#[path = "../../wire/src/time.rs"]
pub mod time;

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

#[allow(dead_code, reason = "manifests use a part of it")]
#[path = "../../artifacts/src/contract.rs"]
mod contract;
#[allow(dead_code, reason = "manifests use a part of it")]
#[path = "../../artifacts/src/digest.rs"]
mod digest;
#[path = "../../artifacts/src/kind.rs"]
mod kind;
#[allow(dead_code, reason = "manifests are only read here")]
#[path = "../../artifacts/src/manifest.rs"]
mod manifest;
#[allow(dead_code, reason = "manifests use a part of it")]
#[path = "../../artifacts/src/reference.rs"]
mod reference;

use std::path::Component;

pub use gondola_forest::Format;
use gondola_forest::{Forest, Path};

/// Reads a model; if it can be read, walks rows through it, on which all paths must agree bit for bit.
pub fn read_and_walk(format: Format, bytes: &[u8]) {
    let Ok(forest) = Forest::parse(format, bytes) else {
        return;
    };
    let values = [0.0, 1.0, -1.0, 2.5, 1e9, f32::NAN, f32::INFINITY];
    let columns = forest.columns().len();
    let rows: Vec<f32> = values.iter().flat_map(|value| std::iter::repeat_n(*value, columns)).collect();
    let predictions = Path::available().into_iter().map(|path| {
        let mut predictions = Vec::new();
        forest.predict_on(path, &rows, |prediction| predictions.push(prediction.to_bits()));
        predictions
    });
    let predictions: Vec<_> = predictions.collect();
    assert!(predictions.windows(2).all(|pair| pair[0] == pair[1]), "paths differ");
}

/// Reads a bundle's manifest; if it can be read, it stays within its bounds and its folder, and what is written of it is read as
/// the same.
pub fn read_manifest(bytes: &[u8]) {
    let Ok(manifest) = manifest::Manifest::parse(bytes) else {
        return;
    };
    assert!(manifest.files.len() <= manifest::MAX_FILES && manifest.total_bytes() <= manifest::MAX_TOTAL_BYTES);
    for file in &manifest.files {
        let inside = std::path::Path::new(&file.path)
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        assert!(inside && file.path != manifest::FILE_NAME, "{:?} leaves the folder", file.path);
    }
    let written = serde_json::to_vec(&manifest).expect("a manifest is always JSON");
    if written.len() as u64 <= manifest::MAX_BYTES {
        let read = manifest::Manifest::parse(&written).expect("what is written can be read");
        assert_eq!(read, manifest);
    }
}
