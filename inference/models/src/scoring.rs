//! Scoring: a model gives every candidate a score, with one file a model family.
//!
//! What depends on an item alone is computed once, when items are loaded or added ([`Scorer::prepare`]); what depends on
//! the user alone is computed once a request. What is left per candidate is the part that needs both.

pub mod check;
pub mod dcn;
pub mod dlrm;
pub mod factorization_machine;
pub mod forest;
pub mod import;
pub mod linear;
pub mod mlp;
pub mod neural;
pub mod onnx;
pub mod stacked;
pub mod wide_deep;

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::dense::WeightsError;
use crate::features::{EncodedRow, EncodedTable, Layout};
use crate::tensors;
use candle_core::{Device, Result as CandleResult};
use dcn::{Dcn, DcnConfig, DcnScorer};
use dlrm::{Dlrm, DlrmConfig, DlrmScorer};
use factorization_machine::{FactorizationMachine, FactorizationMachineConfig, FactorizationMachineScorer};
use forest::{ForestError, ForestScorer, Format, Remark};
use linear::{LinearConfig, LinearError, LinearScorer};
use mlp::{Mlp, MlpConfig, MlpScorer};
use neural::InputShape;
use neural::parts::Parts;
use onnx::{OnnxConfig, OnnxError, OnnxScorer};
use stacked::{StackedSource, layout_with};
use wide_deep::{WideDeep, WideDeepConfig, WideDeepScorer};

/// Gives every candidate a score.
pub trait Scorer: Send + Sync {
    /// How many `f32` values are kept for each item.
    fn block_width(&self) -> usize;

    /// Fills `out` (`[items.rows, block_width]`, row-major) with what this scorer needs to know of each item.
    fn prepare(&self, items: &EncodedTable, out: &mut [f32]);

    /// Puts one score per candidate into `scores` (cleared first), in the order given: higher is better, and every score is
    /// finite. Scores compare only within one call. With [`ScoreError::NotANumber`], `scores` has all that came out, so that
    /// a caller can leave out the candidates that are damaged.
    fn score(
        &self,
        user: &EncodedRow,
        candidates: &CandidateBatch<'_>,
        scores: &mut Vec<f32>,
    ) -> Result<(), ScoreError>;

    /// Scores the candidates of several users: exactly as [`Scorer::score`] does one user after the other. `users` have their
    /// rows and the number of their candidates, which follow each other in `candidates`. Scores that are not finite are no
    /// error here, since they are one user's alone.
    fn score_users(
        &self,
        users: &[(&EncodedRow, usize)],
        candidates: &CandidateBatch<'_>,
        scores: &mut Vec<f32>,
    ) -> Result<(), ScoreError> {
        scores.clear();
        let (mut own, mut first) = (Vec::new(), 0);
        for (user, count) in users {
            let candidates = candidates.part(first..first + count);
            match self.score(user, &candidates, &mut own) {
                Ok(()) | Err(ScoreError::NotANumber { .. }) => scores.append(&mut own),
                Err(error) => return Err(error),
            }
            first += count;
        }
        Ok(())
    }
}

/// The candidates of one request, or of several, one after the other.
#[derive(Clone, Copy, Debug)]
pub struct CandidateBatch<'a> {
    /// What [`Scorer::prepare`] made of each candidate.
    pub blocks: &'a [&'a [f32]],
    /// Encoded features of each pair of the user and a candidate: `[blocks.len(), pair_width]`, row-major.
    pub pairs: &'a [f32],
    /// Number of pair features.
    pub pair_width: usize,
}

impl CandidateBatch<'_> {
    /// Some of the candidates.
    pub fn part(&self, part: Range<usize>) -> Self {
        Self {
            blocks: &self.blocks[part.clone()],
            pairs: &self.pairs[part.start * self.pair_width..part.end * self.pair_width],
            pair_width: self.pair_width,
        }
    }
}

/// Why candidates could not be scored.
#[derive(Debug, thiserror::Error)]
pub enum ScoreError {
    /// The user's row does not have the model's shape.
    #[error(
        "the model reads {wanted_categorical} categorical and {wanted_numeric} numeric user features, but the row has {found_categorical} and {found_numeric}; load bundles of one run"
    )]
    UserShape {
        /// Categorical columns that the model reads.
        wanted_categorical: usize,
        /// Numeric columns that the model reads.
        wanted_numeric: usize,
        /// Categorical columns that the row has.
        found_categorical: usize,
        /// Numeric columns that the row has.
        found_numeric: usize,
    },
    /// The device that the model runs on failed.
    #[error("the device failed to score; the log has its error")]
    Device,
    /// The network of another framework gave nothing.
    #[error(transparent)]
    Network(#[from] gondola_onnx::RunError),
    /// The model gave a score that is not a finite number.
    #[error(
        "the model gave the score {score} to candidate {position}; its weights or the candidate's features are damaged, publish them again"
    )]
    NotANumber {
        /// Which candidate, in the order given.
        position: usize,
        /// What came out.
        score: f32,
    },
}

/// Adds the probabilities of logits to scores.
pub(crate) fn push_probabilities(logits: &[f32], scores: &mut Vec<f32>) {
    scores.extend(logits.iter().map(|logit| 1.0 / (1.0 + (-logit).exp())));
}

/// Refuses a user's row that has other columns than a model reads: how many categorical and numeric ones those are.
fn check_user(user: &EncodedRow, categorical: usize, numeric: usize) -> Result<(), ScoreError> {
    let found = (user.categorical.len(), user.numeric.len());
    if found == (categorical, numeric) {
        return Ok(());
    }
    Err(ScoreError::UserShape {
        wanted_categorical: categorical,
        wanted_numeric: numeric,
        found_categorical: found.0,
        found_numeric: found.1,
    })
}

/// Refuses scores that are no finite numbers: what every scorer does last.
pub(crate) fn check_numbers(scores: &[f32]) -> Result<(), ScoreError> {
    match scores.iter().position(|score| !score.is_finite()) {
        Some(position) => Err(ScoreError::NotANumber {
            position,
            score: scores[position],
        }),
        None => Ok(()),
    }
}

/// `scorer.json`: which model a scorer bundle holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScorerConfig {
    /// Its inputs, in order; see [`Layout::inputs`]. Those of stacked sources come last.
    pub inputs: Vec<String>,
    /// The trained sources whose opinions are inputs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<StackedSource>,
    /// How negatives were drawn when it was trained; see [`Loaded::sampled_by`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampled_by: Option<SampledBy>,
    /// The model.
    #[serde(flatten)]
    pub family: Family,
}

/// How negatives were drawn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SampledBy {
    /// The raw item column that they were drawn in proportion to.
    pub column: String,
    /// The power of that column that the odds are multiplied by: 1 for a model trained without knowing how negatives are drawn, 0
    /// for one whose training took that out already.
    pub exponent: f32,
}

/// The model families, and the settings of each in addition to its weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "family", rename_all = "snake_case")]
pub enum Family {
    /// A DLRM; its weights are in `model.safetensors`.
    Dlrm(DlrmConfig),
    /// A Wide & Deep model; its weights are in `model.safetensors`.
    WideDeep(WideDeepConfig),
    /// A DCN; its weights are in `model.safetensors`.
    Dcn(DcnConfig),
    /// An MLP; its weights are in `model.safetensors`.
    Mlp(MlpConfig),
    /// A factorization machine; its weights are in `model.safetensors`.
    FactorizationMachine(FactorizationMachineConfig),
    /// A random forest or boosted trees; the name of the model's file says its format ([`Format::file`]).
    Forest,
    /// A sum of columns, each with a weight; it has no file of its own.
    Linear(LinearConfig),
    /// A network of another framework; it is in `model.onnx`.
    Onnx(OnnxConfig),
}

impl Family {
    /// How many inputs of each kind a neural model reads; the files of others say themselves.
    fn shape(&self) -> Option<&InputShape> {
        match self {
            Self::Dlrm(config) => Some(&config.shape),
            Self::WideDeep(config) => Some(&config.shape),
            Self::Dcn(config) => Some(&config.shape),
            Self::Mlp(config) => Some(&config.shape),
            Self::FactorizationMachine(config) => Some(&config.shape),
            Self::Forest | Self::Linear(_) | Self::Onnx(_) => None,
        }
    }
}

/// Why a scorer could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file can't be read.
    #[error("cannot read {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// `scorer.json` does not say what it should.
    #[error("{path} names no scorer that this program knows")]
    Json {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
    /// The scorer reads other inputs than the workflow gives.
    #[error(
        "input {position} of the scorer in {folder} is {found:?}, but the workflow gives {wanted:?}; load bundles of one run, or ask `gondola-train check` what a model of your own must read"
    )]
    Inputs {
        /// The bundle's folder.
        folder: PathBuf,
        /// The first input that differs, from 0.
        position: usize,
        /// What the scorer reads there.
        found: Option<String>,
        /// What the workflow gives there.
        wanted: Option<String>,
    },
    /// The scores of a stacked source can't be divided by this.
    #[error(
        "the scorer in {folder} divides the scores of the source {name:?} by {scale}; give their standard deviation, or 1"
    )]
    Scale {
        /// The bundle's folder.
        folder: PathBuf,
        /// The source.
        name: String,
        /// The scale.
        scale: f32,
    },
    /// A neural model is of another shape than its inputs.
    #[error(
        "the scorer in {folder} is made for {found:?} columns (the user's categorical and numeric, the item's, the pair's), but its inputs are {wanted:?}; publish the weights and their configuration together"
    )]
    Shape {
        /// The bundle's folder.
        folder: PathBuf,
        /// The columns of each kind that the model is made for.
        found: [usize; 5],
        /// Those that its inputs name.
        wanted: [usize; 5],
    },
    /// A neural model's weights.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// A neural model can't be brought to a device.
    #[error(
        "cannot bring the scorer in {folder} to the device; if its memory is full, give the variant a larger one, or set its device to CPU"
    )]
    Network {
        /// The bundle's folder.
        folder: PathBuf,
        /// The cause.
        #[source]
        source: candle_core::Error,
    },
    /// No file, or more than one, can be the forest.
    #[error(
        "{folder} must hold one of model.txt (LightGBM), model.json (XGBoost, CatBoost), model.ubj (XGBoost) and model.onnx, but it holds {found}"
    )]
    ForestFile {
        /// The bundle's folder.
        folder: PathBuf,
        /// Which there are, or why one that looks like a model is not read.
        found: String,
    },
    /// A forest.
    #[error("cannot load the forest of {folder}")]
    Forest {
        /// The bundle's folder.
        folder: PathBuf,
        /// The cause.
        #[source]
        source: ForestError,
    },
    /// A sum of columns.
    #[error("cannot load the weights of {folder}")]
    Linear {
        /// The bundle's folder.
        folder: PathBuf,
        /// The cause.
        #[source]
        source: LinearError,
    },
    /// A network of another framework.
    #[error("cannot load the network of {folder}")]
    Onnx {
        /// The bundle's folder.
        folder: PathBuf,
        /// The cause.
        #[source]
        source: OnnxError,
    },
}

/// A scorer, and what must be known to rank by its scores.
pub struct Loaded {
    /// The model.
    pub scorer: Box<dyn Scorer>,
    /// How negatives were drawn.
    ///
    /// A model that separates purchases from popular items learns how much likelier a purchase is than that: its odds are
    /// p(user, item) / q(item). To rank by p, the odds are multiplied by q again; without that, popular items would be
    /// ranked as low as they were often shown as negatives. `None`: scores rank as they are.
    pub sampled_by: Option<SampledBy>,
    /// The trained sources whose opinions it reads behind the workflow's features of a pair, in this order.
    pub sources: Vec<StackedSource>,
    /// Remarks on its file, for people who check the model.
    pub remarks: Vec<Remark>,
}

impl ScorerConfig {
    fn read(folder: &Path) -> Result<Self, LoadError> {
        let path = folder.join("scorer.json");
        let json = fs::read(&path).map_err(|source| LoadError::File {
            path: path.clone(),
            source,
        })?;
        serde_json::from_slice(&json).map_err(|source| LoadError::Json { path, source })
    }
}

/// The network of another framework that a scorer bundle's folder holds, if it is of that family and can be read.
pub fn network_file(folder: &Path) -> Option<PathBuf> {
    let family = ScorerConfig::read(folder).ok()?.family;
    matches!(family, Family::Onnx(_)).then(|| folder.join(onnx::FILE))
}

/// The trained sources whose opinions the scorer of a bundle's folder reads, by their names.
pub fn sources_of(folder: &Path) -> Result<Vec<String>, LoadError> {
    let sources = ScorerConfig::read(folder)?.sources.into_iter();
    Ok(sources.map(|source| source.name).collect())
}

/// Loads a scorer bundle's folder: the only place that knows every family, with [`load_parts`].
pub fn load(folder: &Path, layout: &Layout) -> Result<Loaded, LoadError> {
    let config = ScorerConfig::read(folder)?;
    check_scales(folder, &config.sources)?;
    let layout = &layout_with(layout, &config.sources);
    check_inputs(folder, &config.inputs, &layout.inputs())?;
    if let Some(shape) = config.family.shape() {
        check_shape(folder, shape, layout)?;
    }
    let weights = folder.join("model.safetensors");
    let mut remarks = Vec::new();
    let scorer: Box<dyn Scorer> = match &config.family {
        Family::Dlrm(config) => Box::new(DlrmScorer::load(&weights, config)?),
        Family::WideDeep(config) => Box::new(WideDeepScorer::load(&weights, config)?),
        Family::Dcn(config) => Box::new(DcnScorer::load(&weights, config)?),
        Family::Mlp(config) => Box::new(MlpScorer::load(&weights, config)?),
        Family::FactorizationMachine(config) => Box::new(FactorizationMachineScorer::load(&weights, config)?),
        Family::Forest => {
            let forest = load_forest(folder, layout)?;
            remarks = forest.forest().remarks().to_vec();
            Box::new(forest)
        }
        Family::Linear(config) => Box::new(load_linear(folder, config, layout)?),
        Family::Onnx(config) => Box::new(load_onnx(folder, config, layout)?),
    };
    Ok(Loaded {
        scorer,
        sampled_by: config.sampled_by,
        sources: config.sources,
        remarks,
    })
}

/// A network that was taken apart, and its inputs.
pub(crate) struct PartsOfShape {
    pub(crate) parts: Box<dyn Parts>,
    pub(crate) shape: InputShape,
}

/// Brings the network of a scorer bundle's folder, which [`load`] found to be sound, to a device; the others have none of ours.
pub(crate) fn load_parts(folder: &Path, device: &Device) -> Result<Option<PartsOfShape>, LoadError> {
    let family = ScorerConfig::read(folder)?.family;
    let Some(shape) = family.shape() else {
        return Ok(None);
    };
    let parts = || -> CandleResult<Option<Box<dyn Parts>>> {
        let weights = || tensors::weights(&folder.join("model.safetensors"), device);
        Ok(Some(match &family {
            Family::Dlrm(config) => Box::new(Dlrm::new(config, weights()?)?.into_parts(config)?),
            Family::WideDeep(config) => Box::new(WideDeep::new(config, weights()?)?.into_parts(config)?),
            Family::Dcn(config) => Box::new(Dcn::new(config, weights()?)?.into_parts(config)?),
            Family::Mlp(config) => Box::new(Mlp::new(config, weights()?)?.into_parts(config)?),
            Family::FactorizationMachine(config) => {
                Box::new(FactorizationMachine::new(config, weights()?)?.into_parts(config)?)
            }
            Family::Forest | Family::Linear(_) | Family::Onnx(_) => return Ok(None),
        }))
    };
    let parts = parts().map_err(|source| LoadError::Network {
        folder: folder.to_owned(),
        source,
    })?;
    let shape = shape.clone();
    Ok(parts.map(|parts| PartsOfShape { parts, shape }))
}

fn load_linear(folder: &Path, config: &LinearConfig, layout: &Layout) -> Result<LinearScorer, LoadError> {
    LinearScorer::new(config, layout).map_err(|source| LoadError::Linear {
        folder: folder.to_owned(),
        source,
    })
}

fn load_onnx(folder: &Path, config: &OnnxConfig, layout: &Layout) -> Result<OnnxScorer, LoadError> {
    OnnxScorer::load(&folder.join(onnx::FILE), config, layout).map_err(|source| LoadError::Onnx {
        folder: folder.to_owned(),
        source,
    })
}

fn load_forest(folder: &Path, layout: &Layout) -> Result<ForestScorer, LoadError> {
    let format = forest_format(folder)?;
    let path = folder.join(format.file());
    let bytes = fs::read(&path).map_err(|source| LoadError::File { path, source })?;
    ForestScorer::load(format, &bytes, layout).map_err(|source| LoadError::Forest {
        folder: folder.to_owned(),
        source,
    })
}

/// The format of the one model file in a folder.
fn forest_format(folder: &Path) -> Result<Format, LoadError> {
    let there: Vec<Format> = Format::ALL
        .into_iter()
        .filter(|format| folder.join(format.file()).exists())
        .collect();
    let found = match there[..] {
        [format] => return Ok(format),
        [] => refused_file(folder).unwrap_or_else(|| "none of them".to_owned()),
        _ => there
            .iter()
            .map(|format| format.file())
            .collect::<Vec<_>>()
            .join(" and "),
    };
    Err(LoadError::ForestFile {
        folder: folder.to_owned(),
        found,
    })
}

/// A file of a kind that is known and not read, and why.
fn refused_file(folder: &Path) -> Option<String> {
    let files = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    files
        .filter_map(|path| {
            let why = Format::refusal(&path)?;
            Some(format!("{} ({why})", path.file_name()?.display()))
        })
        .min()
}

fn check_inputs(folder: &Path, found: &[String], wanted: &[String]) -> Result<(), LoadError> {
    let longest = found.len().max(wanted.len());
    match (0..longest).find(|position| found.get(*position) != wanted.get(*position)) {
        None => Ok(()),
        Some(position) => Err(LoadError::Inputs {
            folder: folder.to_owned(),
            position,
            found: found.get(position).cloned(),
            wanted: wanted.get(position).cloned(),
        }),
    }
}

/// Refuses what scores can't be divided by.
fn check_scales(folder: &Path, sources: &[StackedSource]) -> Result<(), LoadError> {
    match sources.iter().find(|source| !source.scale.is_normal()) {
        None => Ok(()),
        Some(source) => Err(LoadError::Scale {
            folder: folder.to_owned(),
            name: source.name.clone(),
            scale: source.scale,
        }),
    }
}

/// Refuses a shape of other columns than the inputs: whatever is computed of the numbers of columns is sound from here on.
fn check_shape(folder: &Path, shape: &InputShape, layout: &Layout) -> Result<(), LoadError> {
    let (found, wanted) = (shape.columns(), InputShape::columns_of(layout));
    if found == wanted {
        return Ok(());
    }
    Err(LoadError::Shape {
        folder: folder.to_owned(),
        found,
        wanted,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout() -> Layout {
        Layout {
            user_categorical: vec!["club".to_owned()],
            user_numeric: vec!["age".to_owned()],
            item_categorical: vec!["color".to_owned()],
            item_numeric: vec!["price".to_owned()],
            pair: vec!["purchases".to_owned()],
        }
    }

    const DLRM: &str = r#"{"family": "dlrm", "embedding_dim": 4, "bottom": [], "top": [], "user_categorical": [3],
        "item_categorical": [3], "user_numeric": 1, "item_numeric": 1, "pair": 1,
        "inputs": ["user.club", "user.age", "item.color", "item.price", "pair.purchases"]}"#;

    #[track_caller]
    fn check_refused(files: &[(&str, &[u8])], part: &str) {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            fs::write(folder.path().join(name), bytes).unwrap();
        }
        let error = load(folder.path(), &layout())
            .err()
            .expect("no scorer can come of these files");
        let message = format!("{:#}", anyhow::Error::from(error));
        assert!(message.contains(part), "{message}");
    }

    #[test]
    fn a_bundle_without_its_files_is_refused() {
        check_refused(&[], "scorer.json");
        check_refused(&[("scorer.json", DLRM.as_bytes())], "model.safetensors");
    }

    #[test]
    fn a_family_that_is_not_known_is_refused_by_name() {
        let other = DLRM.replace("dlrm", "transformer");
        check_refused(
            &[("scorer.json", other.as_bytes())],
            "unknown variant `transformer`",
        );
    }

    #[test]
    fn a_scorer_of_another_workflow_is_refused_by_its_first_other_input() {
        let other = DLRM.replace("item.color", "item.shape");
        check_refused(&[("scorer.json", other.as_bytes())], "input 2 of the scorer");
        let shorter = DLRM.replace(", \"pair.purchases\"", "");
        check_refused(
            &[("scorer.json", shorter.as_bytes())],
            "is None, but the workflow gives Some",
        );
    }

    #[test]
    fn a_model_of_another_shape_than_its_inputs_is_refused() {
        for numbers in ["2", "18446744073709551615"] {
            let other = DLRM.replace("\"user_numeric\": 1", &format!("\"user_numeric\": {numbers}"));
            let part = format!("is made for [1, {numbers}, 1, 1, 1] columns");
            check_refused(&[("scorer.json", other.as_bytes())], &part);
        }
    }

    #[test]
    fn a_forest_is_the_one_model_file_of_its_folder() {
        let inputs = layout().inputs();
        let json = serde_json::to_vec(&serde_json::json!({"family": "forest", "inputs": inputs})).unwrap();
        let scorer = ("scorer.json", &json[..]);
        for (format, part) in [
            ("model.txt", "not a LightGBM text model"),
            ("model.json", "the model is not readable JSON"),
            ("model.ubj", "the model is not readable UBJSON"),
            ("model.onnx", "the model is not a readable ONNX file"),
        ] {
            check_refused(&[scorer, (format, b"\xC3\xA9")], part);
        }
        check_refused(&[scorer], "but it holds none of them");
        let two = [scorer, ("model.txt", &b""[..]), ("model.onnx", b"")];
        check_refused(&two, "but it holds model.txt and model.onnx");
        for (name, part) in [
            (
                "sklearn_rf_clf.joblib",
                "but it holds sklearn_rf_clf.joblib (a pickle runs code when it is read",
            ),
            (
                "catboost_float.cbm",
                "but it holds catboost_float.cbm (CatBoost's own format",
            ),
            (
                "treelite_rf_clf.bin",
                "but it holds treelite_rf_clf.bin (a binary of another tool",
            ),
        ] {
            check_refused(&[scorer, (name, b"")], part);
        }
    }

    #[test]
    fn damaged_weights_are_refused() {
        let absurd_header = [&u64::MAX.to_le_bytes()[..], b"{}"].concat();
        for bytes in [&absurd_header[..], &absurd_header[..5], b""] {
            let files = [("scorer.json", DLRM.as_bytes()), ("model.safetensors", bytes)];
            check_refused(&files, "is not a readable safetensors file");
        }
    }
}
