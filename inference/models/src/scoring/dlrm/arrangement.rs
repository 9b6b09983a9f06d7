//! How DLRMs of different programs differ: how vectors meet, in which order, and under which names weights are.
//!
//! | arrangement | of | products | names |
//! |---|---|---|---|
//! | `gondola` | this project | lower triangle, row by row | see [`Dlrm`](super::Dlrm) |
//! | `reference` | facebookresearch/dlrm | lower triangle, row by row | `emb_l.{k}`, `bot_l.{2 i}`, `top_l.{2 i}` |
//! | `torchrec` | TorchRec | upper triangle, row by row | `sparse_arch..t_cat_{k}`, `dense_arch..`, `over_arch..` |
//!
//! A file does not say whose it is, and the same numbers in another order give other scores without any error: so a
//! configuration says it, and a file of other names is refused with the arrangement that they belong to. Tables `k` are the
//! user's columns, then the item's.

use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

use crate::scoring::neural::embeddings::Side;

/// How the vectors meet that go into the top MLP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interaction {
    /// Products of each two.
    #[default]
    Dot,
    /// Products of each two, and of each with itself.
    DotWithItself,
    /// They stand side by side.
    Cat,
}

impl Interaction {
    /// Width of the top MLP's input.
    pub(super) fn width(self, vectors: usize, dim: usize) -> usize {
        match self {
            Self::Dot => dim + vectors * (vectors - 1) / 2,
            Self::DotWithItself => dim + vectors * (vectors + 1) / 2,
            Self::Cat => vectors * dim,
        }
    }

    /// Whether the product of two vectors is taken; `row >= column`.
    pub(super) fn has(self, row: usize, column: usize) -> bool {
        match self {
            Self::Dot => row > column,
            Self::DotWithItself => true,
            Self::Cat => false,
        }
    }
}

/// Whose names and order weights have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Arrangement {
    /// This project's.
    #[default]
    Gondola,
    /// Those of facebookresearch/dlrm.
    Reference,
    /// Those of TorchRec, which knows products of each two vectors only.
    Torchrec,
}

/// What tables of TorchRec are called; the number of the table follows.
const TORCHREC_TABLES: &str = "sparse_arch.embedding_bag_collection.embedding_bags.t_cat_";

impl Arrangement {
    /// Which product of all is that of two vectors; `row >= column`.
    pub(super) fn product(
        self,
        interaction: Interaction,
        vectors: usize,
        row: usize,
        column: usize,
    ) -> usize {
        match (self, interaction) {
            (Self::Torchrec, _) => column * (2 * vectors - column - 1) / 2 + row - column - 1,
            (_, Interaction::DotWithItself) => row * (row + 1) / 2 + column,
            (_, Interaction::Dot | Interaction::Cat) => row * (row - 1) / 2 + column,
        }
    }

    /// The name of a column's table; the user has `users` columns.
    pub(super) fn table(self, side: Side, column: usize, users: usize) -> String {
        let table = match side {
            Side::User => column,
            Side::Item => users + column,
        };
        match self {
            Self::Gondola => side.table(column),
            Self::Reference => format!("emb_l.{table}"),
            Self::Torchrec => format!("{TORCHREC_TABLES}{table}"),
        }
    }

    /// The name of a layer of the bottom MLP.
    pub(super) fn bottom(self, position: usize) -> String {
        match self {
            Self::Gondola => format!("bottom.{position}"),
            Self::Reference => format!("bot_l.{}", 2 * position),
            Self::Torchrec => format!("dense_arch.model._mlp.{position}._linear"),
        }
    }

    /// The name of a layer of the top MLP, whose last is at the position `last`.
    pub(super) fn top(self, position: usize, last: usize) -> String {
        match self {
            Self::Gondola => format!("top.{position}"),
            Self::Reference => format!("top_l.{}", 2 * position),
            Self::Torchrec if position == last => "over_arch.model.1".to_owned(),
            Self::Torchrec => format!("over_arch.model.0._mlp.{position}._linear"),
        }
    }

    /// Whose a file is, by the names of its tensors.
    pub(super) fn of_names(names: &[String]) -> Option<Self> {
        let prefixes = [
            (Self::Gondola, "bottom."),
            (Self::Reference, "bot_l."),
            (Self::Torchrec, "dense_arch."),
        ];
        let found = prefixes
            .iter()
            .find(|(_, prefix)| names.iter().any(|name| name.starts_with(prefix)));
        found.map(|(arrangement, _)| *arrangement)
    }

    /// What a configuration calls it.
    pub(super) fn as_str(self) -> &'static str {
        self.into()
    }
}
