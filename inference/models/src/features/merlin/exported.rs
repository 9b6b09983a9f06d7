//! `nvtabular.json`: what a saved workflow of NVTabular does, one expression an output. docs/merlin.md describes it.

use std::fs;
use std::path::Path;

use serde::Deserialize;

use super::refusal::{MerlinError, Reason};
use crate::features::vocabulary::Indexes;

/// The version of `nvtabular.json` that this code reads.
const FORMAT: u32 = 1;
const FILE: &str = "nvtabular.json";

/// A workflow of NVTabular, exported.
#[derive(Debug, Deserialize)]
pub struct Exported {
    /// The version of this file.
    pub format: u32,
    /// The raw columns.
    pub inputs: Vec<Input>,
    /// The outputs.
    pub columns: Vec<ExportedColumn>,
}

/// A raw column.
#[derive(Debug, Deserialize)]
pub struct Input {
    /// Its name.
    pub name: String,
    /// What its values are.
    pub kind: InputKind,
    /// Whose it is, by Merlin's tags.
    #[serde(default)]
    pub entity: Option<Entity>,
}

/// What the values of a raw column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputKind {
    /// Texts.
    Text,
    /// Numbers, truth values among them.
    Number,
    /// Lists of either.
    List,
    /// NVTabular did not know.
    Unknown,
}

/// Whose a column is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entity {
    /// The user's.
    User,
    /// The item's.
    Item,
}

/// An output.
#[derive(Debug, Deserialize)]
pub struct ExportedColumn {
    /// Its name.
    pub name: String,
    /// How it is made.
    pub value: Expression,
}

/// How an output is made: an operator, with the name that it has in NVTabular, of what its own inputs are.
#[derive(Debug, Deserialize)]
#[serde(tag = "op")]
pub enum Expression {
    /// A raw column.
    Column {
        /// Its name.
        name: String,
    },
    /// An index by a list of categories.
    Categorify(Categorify),
    /// A number made of the statistics of a category.
    TargetEncoding(TargetEncoding),
    /// A statistic of a category.
    JoinGroupby(JoinGroupby),
    /// A part of a list.
    ListSlice(ListSlice),
    /// A number in the place of what is missing.
    FillMissing {
        /// The number that may be missing.
        of: Box<Expression>,
        /// What stands in for it.
        value: f64,
    },
    /// The median in the place of what is missing.
    FillMedian {
        /// The number that may be missing.
        of: Box<Expression>,
        /// The median.
        value: f64,
    },
    /// Whether one of these two filled anything in: their `add_binary_cols`.
    Filled {
        /// The number that may be missing.
        of: Box<Expression>,
    },
    /// Bounds.
    Clip {
        /// The number.
        of: Box<Expression>,
        /// No number is below this.
        min: Option<f64>,
        /// No number is above this.
        max: Option<f64>,
    },
    /// `ln(1 + x)`.
    LogOp {
        /// The number.
        of: Box<Expression>,
    },
    /// `(x - mean) / std`.
    Normalize {
        /// The number.
        of: Box<Expression>,
        /// The mean.
        mean: f64,
        /// The standard deviation.
        std: f64,
    },
    /// `(x - min) / (max - min)`.
    NormalizeMinMax {
        /// The number.
        of: Box<Expression>,
        /// The least.
        min: f64,
        /// The greatest.
        max: f64,
    },
    /// How many boundaries a number has reached.
    Bucketize {
        /// The number.
        of: Box<Expression>,
        /// The boundaries.
        boundaries: Vec<f64>,
    },
    /// What can't be served.
    Unsupported(Unsupported),
}

/// An index by a list of categories.
#[derive(Debug, Deserialize)]
pub struct Categorify {
    /// What is looked up; several make one category together.
    pub of: Vec<Expression>,
    /// The Parquet file of the categories, in the order of their indexes.
    pub table: String,
    /// Its columns, one for each of `of`.
    pub keys: Vec<String>,
    /// Which index is what.
    pub indexes: Indexes,
}

/// A number made of the statistics of a category.
#[derive(Debug, Deserialize)]
pub struct TargetEncoding {
    /// The category.
    pub of: Vec<Expression>,
    /// The Parquet file of statistics.
    pub table: String,
    /// Its columns of the category.
    pub keys: Vec<String>,
    /// Its column of counts.
    pub count: String,
    /// Its column of sums of the target.
    pub sum: String,
    /// How much the mean of all rows counts, in rows.
    pub p_smooth: f64,
    /// The mean of the target in all rows.
    pub mean: f64,
    /// The number of folds.
    pub kfold: u32,
    /// To how many bits NVTabular rounds.
    pub precision: Precision,
}

/// To how many bits a number is rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// 32.
    Single,
    /// 64.
    Double,
}

impl Precision {
    /// A number of so many bits.
    pub fn round(self, number: f64) -> f64 {
        match self {
            Self::Single => f64::from(number as f32),
            Self::Double => number,
        }
    }
}

/// A statistic of a category.
#[derive(Debug, Deserialize)]
pub struct JoinGroupby {
    /// The category.
    pub of: Vec<Expression>,
    /// The Parquet file of statistics.
    pub table: String,
    /// Its columns of the category.
    pub keys: Vec<String>,
    /// Its column of the statistic.
    pub value: String,
}

/// A part of a list.
#[derive(Debug, Deserialize)]
pub struct ListSlice {
    /// The list.
    pub of: Box<Expression>,
    /// Where it begins; a negative number counts from the end.
    pub start: i64,
    /// Where it ends; without it, where the list does.
    pub end: Option<i64>,
    /// How many elements it has at most.
    pub length: Option<usize>,
    /// What stands where a list is too short; without it, nothing.
    pub pad: Option<f64>,
}

/// What can't be served.
#[derive(Debug, Deserialize)]
pub struct Unsupported {
    /// What it is applied to.
    #[serde(default)]
    pub of: Vec<Expression>,
    /// The operator and, where it is one of its modes, which.
    pub operator: String,
    /// Why not.
    pub reason: Reason,
}

impl Exported {
    /// Reads `nvtabular.json` from a folder.
    pub fn load(folder: &Path) -> Result<Self, MerlinError> {
        let path = folder.join(FILE);
        if !path.exists() && folder.join("workflow.pkl").exists() {
            return Err(MerlinError::NotExported {
                folder: folder.to_owned(),
            });
        }
        let json = fs::read(&path).map_err(|source| MerlinError::File {
            path: path.clone(),
            source,
        })?;
        let exported: Self = serde_json::from_slice(&json).map_err(|source| MerlinError::Json {
            path: path.clone(),
            source,
        })?;
        match exported.format {
            FORMAT => Ok(exported),
            found => Err(MerlinError::Format {
                path,
                found,
                read: FORMAT,
            }),
        }
    }
}

impl Expression {
    /// What it is made of.
    fn parts(&self) -> &[Expression] {
        match self {
            Self::Column { .. } => &[],
            Self::Categorify(Categorify { of, .. })
            | Self::TargetEncoding(TargetEncoding { of, .. })
            | Self::JoinGroupby(JoinGroupby { of, .. })
            | Self::Unsupported(Unsupported { of, .. }) => of,
            Self::ListSlice(ListSlice { of, .. })
            | Self::FillMissing { of, .. }
            | Self::FillMedian { of, .. }
            | Self::Filled { of }
            | Self::Clip { of, .. }
            | Self::LogOp { of }
            | Self::Normalize { of, .. }
            | Self::NormalizeMinMax { of, .. }
            | Self::Bucketize { of, .. } => std::slice::from_ref(of),
        }
    }

    /// The raw columns that it is made of.
    pub fn raw_columns(&self) -> Vec<&str> {
        match self {
            Self::Column { name } => vec![name],
            other => other.parts().iter().flat_map(Self::raw_columns).collect(),
        }
    }

    /// The name of the operator in NVTabular.
    pub fn operator(&self) -> &str {
        match self {
            Self::Column { .. } => "no operator",
            Self::Categorify(_) => "Categorify",
            Self::TargetEncoding(_) => "TargetEncoding",
            Self::JoinGroupby(_) => "JoinGroupby",
            Self::ListSlice(_) => "ListSlice",
            Self::FillMissing { .. } => "FillMissing",
            Self::FillMedian { .. } => "FillMedian",
            Self::Filled { .. } => "FillMissing with add_binary_cols",
            Self::Clip { .. } => "Clip",
            Self::LogOp { .. } => "LogOp",
            Self::Normalize { .. } => "Normalize",
            Self::NormalizeMinMax { .. } => "NormalizeMinMax",
            Self::Bucketize { .. } => "Bucketize",
            Self::Unsupported(unsupported) => &unsupported.operator,
        }
    }
}
