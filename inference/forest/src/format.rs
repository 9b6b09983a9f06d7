//! The files that a forest can come in: a file's name says its format.

use std::fmt;
use std::path::Path;
use std::str::Utf8Error;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::catboost::{self, CatBoostError};
use super::lightgbm::{self, LightGbmError};
use super::model::Model;
use super::onnx::{self, OnnxError};
use super::ubjson::{self, UbjsonError};
use super::xgboost::{self, XgBoostError};
use crate::misplaced::Misplaced;

/// The format of a model's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// LightGBM's text.
    LightGbm,
    /// JSON of XGBoost or CatBoost; its keys say whose.
    Json,
    /// UBJSON of XGBoost.
    Ubjson,
    /// ONNX with one tree ensemble.
    Onnx,
}

/// Why a file holds no forest that we read.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// The file has the name of another format.
    #[error("{} holds {held}; name the file {}", name.file(), held.file())]
    Swapped {
        /// The format that its name says.
        name: Format,
        /// The format that it is of.
        held: Format,
    },
    /// The file is something else, left in the model's place.
    #[error("the model is {}; {}", .0.name(), .0.way_out())]
    Misplaced(Misplaced),
    /// A text is not UTF-8.
    #[error("the model is not text")]
    Text(#[source] Utf8Error),
    /// A file is not JSON.
    #[error("the model is not readable JSON")]
    Json(#[source] serde_json::Error),
    /// JSON of another program.
    #[error(
        "the JSON is neither an XGBoost model (no `learner`) nor a CatBoost model (no `features_info`); save it with save_model of one of the two"
    )]
    ForeignJson,
    /// JSON of treelite.
    #[error("treelite's JSON is not supported; bring the file of the library that trained the model")]
    Treelite,
    /// LightGBM.
    #[error(transparent)]
    LightGbm(#[from] LightGbmError),
    /// XGBoost.
    #[error(transparent)]
    XgBoost(#[from] XgBoostError),
    /// UBJSON.
    #[error("the model is not readable UBJSON")]
    Ubjson(#[from] UbjsonError),
    /// CatBoost.
    #[error(transparent)]
    CatBoost(#[from] CatBoostError),
    /// ONNX.
    #[error(transparent)]
    Onnx(#[from] OnnxError),
}

/// The keys of a JSON file that identify its library.
#[derive(Deserialize)]
struct Keys {
    learner: Option<IgnoredAny>,
    features_info: Option<IgnoredAny>,
    threshold_type: Option<IgnoredAny>,
}

impl Format {
    /// Every format, in the order in which a bundle's folder is searched.
    pub const ALL: [Self; 4] = [Self::LightGbm, Self::Json, Self::Ubjson, Self::Onnx];

    /// The name of the format's file in a bundle.
    pub fn file(self) -> &'static str {
        match self {
            Self::LightGbm => "model.txt",
            Self::Json => "model.json",
            Self::Ubjson => "model.ubj",
            Self::Onnx => "model.onnx",
        }
    }

    /// Why a file with a name as other tools write it is not read, and what to do instead.
    pub fn refusal(file: &Path) -> Option<&'static str> {
        match file.extension()?.to_str()? {
            "joblib" | "pkl" | "pickle" => {
                Some("a pickle runs code when it is read; export the model with skl2onnx as model.onnx")
            }
            "cbm" => Some("CatBoost's own format; save it with save_model(\"model.json\", format=\"json\")"),
            "bin" | "tl" | "treelite" => {
                Some("a binary of another tool; bring the file of the library that trained the model")
            }
            "deprecated" | "model" => {
                Some("an old binary of XGBoost; save it with save_model(\"model.json\")")
            }
            "pmml" => Some("PMML; bring the file of the library that trained the model, or ONNX"),
            _ => None,
        }
    }

    /// What a file looks like from its first bytes.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let text = bytes.trim_ascii_start();
        let after_brace = text.strip_prefix(b"{").map(<[u8]>::trim_ascii_start);
        match (bytes, after_brace) {
            (_, Some([b'"' | b'}', ..])) => Some(Self::Json),
            // A key's length, which JSON has no room for.
            ([b'{', b'i' | b'U' | b'I' | b'l' | b'L', ..], _) => Some(Self::Ubjson),
            _ if text.starts_with(b"tree\n") || text.starts_with(b"tree\r") => Some(Self::LightGbm),
            // Field 1 of an ONNX model is its version, a small number; field 2 names who made it.
            ([0x08, 1..=32, 0x12, ..], _) => Some(Self::Onnx),
            _ => None,
        }
    }

    /// Whether a file is a model's of this format: of JSON, whether its keys are.
    pub fn is_of(self, bytes: &[u8]) -> bool {
        let is_model = |keys: Keys| keys.learner.is_some() || keys.features_info.is_some();
        self != Self::Json || serde_json::from_slice(bytes).is_ok_and(is_model)
    }

    /// Why a file with such first bytes is not read, and what to do instead.
    pub fn refused_content(bytes: &[u8]) -> Option<&'static str> {
        match bytes {
            [0x80, 2..=5, ..] => Self::refusal(Path::new("model.pkl")),
            [b'C', b'B', b'M', b'1', ..] => Self::refusal(Path::new("model.cbm")),
            [b'b', b'i', b'n', b'f', ..] => Self::refusal(Path::new("model.deprecated")),
            _ => None,
        }
    }

    /// Reads and checks a model.
    pub(crate) fn parse(self, bytes: &[u8]) -> Result<Model, FormatError> {
        if let Some(misplaced) = Misplaced::of(bytes) {
            return Err(FormatError::Misplaced(misplaced));
        }
        self.read(bytes).map_err(|error| match Self::of(bytes) {
            Some(held) if held != self => FormatError::Swapped { name: self, held },
            _ => error,
        })
    }

    fn read(self, bytes: &[u8]) -> Result<Model, FormatError> {
        match self {
            Self::LightGbm => {
                let text = std::str::from_utf8(bytes).map_err(FormatError::Text)?;
                Ok(lightgbm::parse(text)?)
            }
            Self::Json => parse_json(bytes),
            Self::Ubjson => {
                let file = serde_json::from_value(ubjson::parse(bytes)?).map_err(FormatError::Json)?;
                Ok(xgboost::model(file)?)
            }
            Self::Onnx => Ok(onnx::parse(bytes)?),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LightGbm => "LightGBM's text",
            Self::Json => "JSON",
            Self::Ubjson => "UBJSON",
            Self::Onnx => "ONNX",
        })
    }
}

fn parse_json(bytes: &[u8]) -> Result<Model, FormatError> {
    let keys: Keys = serde_json::from_slice(bytes).map_err(FormatError::Json)?;
    if keys.learner.is_some() {
        Ok(xgboost::model(
            serde_json::from_slice(bytes).map_err(FormatError::Json)?,
        )?)
    } else if keys.features_info.is_some() {
        Ok(catboost::model(
            serde_json::from_slice(bytes).map_err(FormatError::Json)?,
        )?)
    } else if keys.threshold_type.is_some() {
        Err(FormatError::Treelite)
    } else {
        Err(FormatError::ForeignJson)
    }
}
