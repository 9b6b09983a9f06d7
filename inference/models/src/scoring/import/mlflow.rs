//! MLflow's model folders: the file `MLmodel` says which file of the folder is the model.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use super::ImportError;

/// Flavors whose model is a file that is read.
const READ: [&str; 4] = ["lightgbm", "xgboost", "catboost", "onnx"];

#[derive(Deserialize)]
struct MlModel {
    flavors: BTreeMap<String, Flavor>,
}

#[derive(Deserialize)]
struct Flavor {
    #[serde(default)]
    data: Option<String>,
}

/// The model's file in a folder of MLflow; `None` where it is none of MLflow's.
pub(super) fn model(folder: &Path) -> Result<Option<PathBuf>, ImportError> {
    let path = folder.join("MLmodel");
    if !path.is_file() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(&path).map_err(|source| ImportError::File {
        path: path.clone(),
        source,
    })?;
    let described: MlModel = serde_saphyr::from_str(&text).map_err(|source| ImportError::MlModel {
        path: path.clone(),
        source: Box::new(source),
    })?;
    let data = READ
        .iter()
        .find_map(|flavor| described.flavors.get(*flavor)?.data.clone());
    let Some(data) = data else {
        return Err(ImportError::Flavors {
            path,
            flavors: described.flavors.into_keys().collect(),
        });
    };
    let inside = Path::new(&data)
        .components()
        .all(|component| matches!(component, Component::Normal(_) | Component::CurDir));
    let model = folder.join(&data);
    if !inside || !model.is_file() {
        return Err(ImportError::Elsewhere { path, data });
    }
    Ok(Some(model))
}
