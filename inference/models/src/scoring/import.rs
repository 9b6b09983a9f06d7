//! Models as other tools leave them become a scorer bundle's folder.
//!
//! MLflow's folders ([`mlflow`]), what KServe and Triton serve (a lone file of any name, or folders whose names are versions), and
//! a file by itself. What a file is, its first bytes say: `model.bst` may be XGBoost's JSON, its UBJSON, or LightGBM's text. A
//! folder with a `scorer.json` is a scorer bundle's already.

mod mlflow;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::forest::{Forest, ForestError, Format};
use gondola_forest::misplaced::Misplaced;
use gondola_forest::{FormatError, OnnxError};

/// Why there is no model that can score.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// It can't be read or written.
    #[error("cannot use {}", .path.display())]
    File {
        /// Which file or folder.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// MLflow's description can't be read.
    #[error("{} is no MLmodel that can be read", .path.display())]
    MlModel {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: Box<serde_saphyr::Error>,
    },
    /// MLflow kept a model of a library whose files are not read.
    #[error(
        "{} has the flavors {}, and a model is taken from lightgbm, xgboost, catboost or onnx; log it with one of them, or export it with skl2onnx as ONNX", .path.display(), .flavors.join(", ")
    )]
    Flavors {
        /// The file `MLmodel`.
        path: PathBuf,
        /// What it has.
        flavors: Vec<String>,
    },
    /// MLflow's description names a file elsewhere.
    #[error("{} names the model {data:?}, which is not a file in its folder", .path.display())]
    Elsewhere {
        /// The file `MLmodel`.
        path: PathBuf,
        /// What it names.
        data: String,
    },
    /// A file of a model that is not read.
    #[error("{} is not read: {refusal}", .path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// Why, and what to do instead.
        refusal: &'static str,
    },
    /// A file that only stands for a model.
    #[error("{} is {}; {}", .path.display(), .misplaced.name(), .misplaced.way_out())]
    Misplaced {
        /// The file.
        path: PathBuf,
        /// What it is.
        misplaced: Misplaced,
    },
    /// Nothing there is a model.
    #[error(
        "there is no model in {}: no scorer.json, no MLmodel, and no file of LightGBM (text), XGBoost (JSON, UBJSON), CatBoost (JSON) or ONNX", .folder.display()
    )]
    NoModel {
        /// The folder.
        folder: PathBuf,
    },
    /// It is not clear which file is meant.
    #[error("{} holds more than one model, {}; name the file", .folder.display(), .models.join(" and "))]
    Several {
        /// The folder.
        folder: PathBuf,
        /// Their names.
        models: Vec<String>,
    },
}

/// A model's file, and what it is.
struct ModelFile {
    path: PathBuf,
    format: Format,
}

impl ModelFile {
    /// The family that scores with it: an ONNX file may be a tree ensemble, which is read as such, or any other network.
    fn family(&self) -> Result<&'static str, ImportError> {
        if self.format != Format::Onnx {
            return Ok("forest");
        }
        let bytes = fs::read(&self.path).map_err(|source| ImportError::File {
            path: self.path.clone(),
            source,
        })?;
        let other = OnnxError::is_of_no_forest;
        match Forest::parse(Format::Onnx, &bytes) {
            Err(ForestError::Format(FormatError::Onnx(error))) if other(&error) => Ok("onnx"),
            _ => Ok("forest"),
        }
    }
}

/// Gives the folder of a scorer bundle: `place` itself where it is one, else `into`, with the model of `place` under its name in
/// bundles and a `scorer.json` that says which `inputs` it reads, in order.
pub fn scorer_folder(place: &Path, inputs: &[String], into: &Path) -> Result<PathBuf, ImportError> {
    if place.join("scorer.json").exists() {
        return Ok(place.to_owned());
    }
    let model = find(place)?;
    let config = json!({"family": model.family()?, "inputs": inputs}).to_string();
    let file = |path: PathBuf| move |source| ImportError::File { path, source };
    fs::create_dir_all(into).map_err(file(into.to_owned()))?;
    fs::copy(&model.path, into.join(model.format.file())).map_err(file(model.path.clone()))?;
    let described = into.join("scorer.json");
    fs::write(&described, config).map_err(file(described))?;
    Ok(into.to_owned())
}

fn find(place: &Path) -> Result<ModelFile, ImportError> {
    if place.is_file() {
        return known(place)?.ok_or_else(|| ImportError::NoModel {
            folder: place.to_owned(),
        });
    }
    if let Some(path) = mlflow::model(place)? {
        // MLflow keeps CatBoost's models under names of its own.
        return find(&path);
    }
    let entries = entries(place)?;
    let versions = entries.iter().filter(|path| path.is_dir());
    let newest = versions
        .filter_map(|path| Some((path.file_name()?.to_str()?.parse::<u64>().ok()?, path)))
        .max();
    let mut models = Vec::new();
    for path in entries.iter().filter(|path| path.is_file()) {
        models.extend(known(path)?);
    }
    match (models.len(), newest) {
        (0, Some((_, folder))) => find(folder),
        (0, None) => Err(ImportError::NoModel {
            folder: place.to_owned(),
        }),
        (1, _) => Ok(models.remove(0)),
        _ => Err(ImportError::Several {
            folder: place.to_owned(),
            models: models.iter().map(|model| name(&model.path)).collect(),
        }),
    }
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, ImportError> {
    let failed = |source| ImportError::File {
        path: folder.to_owned(),
        source,
    };
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        entries.push(entry.map_err(failed)?.path());
    }
    entries.sort();
    Ok(entries)
}

fn name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// What a file is, if it is a model's; an error where it is one that is not read.
fn known(path: &Path) -> Result<Option<ModelFile>, ImportError> {
    let bytes = fs::read(path).map_err(|source| ImportError::File {
        path: path.to_owned(),
        source,
    })?;
    if let Some(format) = Format::of(&bytes).filter(|format| format.is_of(&bytes)) {
        return Ok(Some(ModelFile {
            path: path.to_owned(),
            format,
        }));
    }
    if let Some(misplaced) = Misplaced::of(&bytes) {
        return Err(ImportError::Misplaced {
            path: path.to_owned(),
            misplaced,
        });
    }
    match Format::refused_content(&bytes).or_else(|| Format::refusal(path)) {
        Some(refusal) => Err(ImportError::Refused {
            path: path.to_owned(),
            refusal,
        }),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests;
