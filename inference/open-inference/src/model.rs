//! What a pipeline is shown as: models with inputs and outputs.

use gondola_request::Stage;
use strum::IntoEnumIterator as _;

use crate::tensor::Datatype;

/// The most rows of a request.
pub const MAX_BATCH: usize = 256;

/// A model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    /// Items for users.
    Recommend,
    /// Items that are like items, or like texts.
    Similar,
    /// The scores that users' own variants give to items that the client names.
    Score,
    /// A stage of these, which can't be asked by itself.
    Stage(Stage),
}

/// No such model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnknownModel {
    /// The name is none.
    #[error("there is no model {0:?}; there are recommend, similar and score")]
    Name(String),
    /// The version is none.
    #[error("model {name} has no version {version:?}; leave it out, or give 1")]
    Version {
        /// The model.
        name: String,
        /// The version.
        version: String,
    },
}

/// What is known of a tensor beforehand, without the axis of the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Described {
    /// Its name.
    pub name: &'static str,
    /// Its type; ids may be whole numbers as well.
    pub datatype: Datatype,
    /// How many values a row has; -1 where that is not known.
    pub width: i64,
    /// Whether it may be left out.
    pub optional: bool,
}

const fn tensor(name: &'static str, datatype: Datatype, width: i64) -> Described {
    Described {
        name,
        datatype,
        width,
        optional: false,
    }
}

const fn optional(name: &'static str, datatype: Datatype) -> Described {
    Described {
        name,
        datatype,
        width: 1,
        optional: true,
    }
}

/// Users, one a row.
pub const USER: Described = tensor("user", Datatype::Bytes, 1);
/// Items that neighbors are wanted of.
pub const OF_ITEM: Described = optional("item", Datatype::Bytes);
/// Texts that neighbors are wanted of.
pub const OF_TEXT: Described = optional("text", Datatype::Bytes);
/// How many items are wanted: one number for all rows, or one a row.
pub const COUNT_WANTED: Described = optional("k", Datatype::Int32);
/// Items, best first; empty texts after the last.
pub const ITEM: Described = tensor("item", Datatype::Bytes, -1);
/// Their scores; 0 after the last.
pub const SCORE: Described = tensor("score", Datatype::Fp32, -1);
/// What becomes of each item in the user's answer.
pub const FATE: Described = tensor("fate", Datatype::Bytes, -1);
/// How many items there are.
pub const COUNT: Described = tensor("count", Datatype::Int32, 1);
/// The variant that answered.
pub const VARIANT: Described = tensor("variant", Datatype::Bytes, 1);
/// Why an answer is less than it could be, with commas between the reasons; empty where it is not.
pub const DEGRADED: Described = tensor("degraded", Datatype::Bytes, 1);

const OUTPUTS: [Described; 5] = [ITEM, SCORE, COUNT, VARIANT, DEGRADED];
const STAGES_OF_RECOMMEND: [Stage; 5] = [
    Stage::Features,
    Stage::Retrieval,
    Stage::Filter,
    Stage::Scoring,
    Stage::Ordering,
];

impl Model {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        [Self::Recommend, Self::Similar, Self::Score]
            .into_iter()
            .chain(Stage::iter().map(Self::Stage))
    }

    /// The model of a name and a version, which may be empty.
    pub fn find(name: &str, version: &str) -> Result<Self, UnknownModel> {
        let found = Self::all().find(|model| model.name() == name);
        let found = found.ok_or_else(|| UnknownModel::Name(name.to_owned()))?;
        match version {
            "" | crate::VERSION => Ok(found),
            _ => Err(UnknownModel::Version {
                name: name.to_owned(),
                version: version.to_owned(),
            }),
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Recommend => "recommend",
            Self::Similar => "similar",
            Self::Score => "score",
            Self::Stage(stage) => stage.as_str(),
        }
    }

    /// What it is: an ensemble of stages, or one of them.
    pub fn platform(self) -> &'static str {
        match self {
            Self::Recommend | Self::Similar | Self::Score => "ensemble",
            Self::Stage(_) => "gondola_stage",
        }
    }

    /// What it is given.
    pub fn inputs(self) -> &'static [Described] {
        match self {
            Self::Recommend => &[USER, COUNT_WANTED],
            Self::Similar => &[OF_ITEM, OF_TEXT, COUNT_WANTED],
            Self::Score => &[USER, ITEM],
            Self::Stage(_) => &[],
        }
    }

    /// What it gives.
    pub fn outputs(self) -> &'static [Described] {
        match self {
            Self::Recommend | Self::Similar => &OUTPUTS,
            Self::Score => &[SCORE, FATE, VARIANT, DEGRADED],
            Self::Stage(_) => &[],
        }
    }

    /// The stages of its answers.
    pub fn stages(self) -> &'static [Stage] {
        match self {
            Self::Recommend | Self::Score => &STAGES_OF_RECOMMEND,
            Self::Similar => &[Stage::Embedding, Stage::Search, Stage::Ordering],
            Self::Stage(_) => &[],
        }
    }

    /// How many rows a request may have; 0 where it can't be asked.
    pub fn max_batch(self) -> usize {
        match self {
            Self::Recommend | Self::Similar | Self::Score => MAX_BATCH,
            Self::Stage(_) => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_found_by_their_names() {
        assert_eq!(Model::find("recommend", ""), Ok(Model::Recommend));
        assert_eq!(Model::find("similar", "1"), Ok(Model::Similar));
        assert_eq!(Model::find("score", ""), Ok(Model::Score));
        assert_eq!(Model::find("scoring", "1"), Ok(Model::Stage(Stage::Scoring)));
        let unknown = Model::find("dlrm", "").unwrap_err().to_string();
        assert_eq!(
            unknown,
            "there is no model \"dlrm\"; there are recommend, similar and score"
        );
        let version = Model::find("recommend", "2").unwrap_err().to_string();
        assert_eq!(
            version,
            "model recommend has no version \"2\"; leave it out, or give 1"
        );
    }
}
