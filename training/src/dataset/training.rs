//! What is trained, and how: hyper-parameters with defaults that do well on a data set of a million
//! transactions.

use std::fmt;

use gondola_collaborative::Settings;
use gondola_collaborative::settings::Ease;
use gondola_models::scoring::dcn::cross::Cross;
use gondola_models::scoring::dlrm::arrangement::Interaction;
use serde::{Deserialize, Serialize};

/// The scorers that can be trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum Scorer {
    /// Embeddings that meet in products.
    Dlrm,
    /// A linear model plus an MLP.
    WideDeep,
    /// Layers that cross all inputs.
    Dcn,
    /// All inputs through linear layers.
    Mlp,
    /// Places of all inputs that meet in products.
    FactorizationMachine,
    /// A random forest.
    Forest,
    /// Gradient boosted trees.
    Boosting,
}

impl Scorer {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Dlrm,
        Self::WideDeep,
        Self::Dcn,
        Self::Mlp,
        Self::FactorizationMachine,
        Self::Forest,
        Self::Boosting,
    ];

    /// The name of its bundle.
    pub fn bundle(self) -> &'static str {
        match self {
            Self::Dlrm => "dlrm",
            Self::WideDeep => "wide-deep",
            Self::Dcn => "dcn",
            Self::Mlp => "mlp",
            Self::FactorizationMachine => "factorization-machine",
            Self::Forest => "forest",
            Self::Boosting => "boosting",
        }
    }

    /// What people call it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Dlrm => "DLRM",
            Self::WideDeep => "Wide & Deep",
            Self::Dcn => "DCN",
            Self::Mlp => "MLP",
            Self::FactorizationMachine => "factorization machine",
            Self::Forest => "random forest",
            Self::Boosting => "gradient boosting",
        }
    }
}

impl fmt::Display for Scorer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.title())
    }
}

/// What is trained, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Training {
    /// Seed of every random choice: the same seed gives the same models.
    pub seed: u64,
    /// The scorers that a run trains and publishes.
    pub scorers: Vec<Scorer>,
    /// The models of who buys what that a run trains and publishes, each once: sources of candidates beside the two towers.
    pub sources: Vec<Settings>,
    /// Those of the sources, by the names of their bundles, whose opinions of a pair scorers read.
    pub stacking: Vec<String>,
    /// The scorer that is published as `best`. Left out: what the first line of the report says to take.
    pub best: Option<Scorer>,
    /// The power of the recency-weighted purchases that a scorer's odds are multiplied by to rank. Training
    /// knows how negatives are drawn, so 0 is right unless popular items are still ranked too low (above 0)
    /// or too high (below).
    pub weight_exponent: f32,
    /// The two towers and their index.
    pub two_tower: TwoTower,
    /// The DLRM.
    pub dlrm: Dlrm,
    /// The Wide & Deep model.
    pub wide_deep: WideDeep,
    /// The DCN.
    pub dcn: Dcn,
    /// The MLP.
    pub mlp: Mlp,
    /// The factorization machine.
    pub factorization_machine: FactorizationMachine,
    /// The random forest.
    pub forest: Forest,
    /// The gradient boosted trees.
    pub boosting: Boosting,
}

impl Training {
    /// The training settings of each network, with the name of their field.
    pub fn descents(&self) -> [(&'static str, &Descent); 5] {
        [
            ("training.dlrm.descent", &self.dlrm.descent),
            ("training.wide_deep.descent", &self.wide_deep.descent),
            ("training.dcn.descent", &self.dcn.descent),
            ("training.mlp.descent", &self.mlp.descent),
            (
                "training.factorization_machine.descent",
                &self.factorization_machine.descent,
            ),
        ]
    }
}

/// Hyper-parameters of the two towers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TwoTower {
    /// Width of the common space.
    pub dimension: usize,
    /// Widths of the hidden layers.
    pub hidden: Vec<usize>,
    /// What the towers know of single items, beside features.
    pub known_items: Option<KnownItems>,
    /// Passes over the purchases, at most: how many is found on the last of them, where there are days enough.
    pub epochs: usize,
    /// Purchases per step; each is a negative of all others.
    pub batch: usize,
    /// Step size.
    pub learning_rate: f64,
    /// Divides the cosine before the softmax.
    pub temperature: f64,
    /// FAISS factory string of the index.
    pub index: String,
    /// Lists that an IVF index visits.
    pub nprobe: Option<u32>,
    /// Size of the candidate list that an HNSW search keeps (efSearch).
    pub ef_search: Option<u32>,
    /// FAISS factory string of the index of texts.
    pub text_index: String,
    /// Lists that an IVF index of texts visits.
    pub text_nprobe: Option<u32>,
}

/// What the two towers know of single items: a vector of each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KnownItems {
    /// How many numbers a vector has.
    pub width: usize,
    /// By how many purchases an item is known, at least.
    pub fewest_purchases: usize,
    /// Of how many of a user's purchases, the latest, the mean is taken.
    pub latest: usize,
}

impl Default for KnownItems {
    fn default() -> Self {
        Self {
            width: 32,
            fewest_purchases: 10,
            latest: 50,
        }
    }
}

/// How a network is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Descent {
    /// Passes over the labeled pairs, at most.
    pub epochs: usize,
    /// Training stops after this many passes without a smaller loss on the validation window.
    pub patience: usize,
    /// Pairs per step.
    pub batch: usize,
    /// Step size.
    pub learning_rate: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// What is made small.
    pub objective: Objective,
}

/// What training makes small.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Objective {
    /// Cross-entropy of each pair by itself: scores are chances.
    #[default]
    Pointwise,
    /// LambdaRank: what a user bought is to stand above what they didn't, the more so the higher in the list. Scores order, and are no
    /// chances.
    LambdaRank,
}

/// Hyper-parameters of the DLRM.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dlrm {
    /// Width of the embeddings.
    pub embedding_dim: usize,
    /// Widths of the bottom MLP's hidden layers.
    pub bottom: Vec<usize>,
    /// Widths of the top MLP's hidden layers.
    pub top: Vec<usize>,
    /// How vectors meet.
    pub interaction: Interaction,
    /// Whether the top MLP reads numbers as they are too.
    pub numbers_to_top: bool,
    /// How it is trained.
    pub descent: Descent,
}

/// Hyper-parameters of the Wide & Deep model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WideDeep {
    /// Width of the deep part's embeddings.
    pub embedding_dim: usize,
    /// Widths of the deep part's hidden layers.
    pub hidden: Vec<usize>,
    /// Pairs of a user's and an item's categorical column that the wide part crosses. Left out: each of
    /// `features.user_attributes` that a user buys most often, with itself.
    pub crosses: Option<Vec<(String, String)>>,
    /// Number of weights that all crosses share.
    pub cross_buckets: usize,
    /// How it is trained.
    pub descent: Descent,
}

/// Hyper-parameters of the DCN.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dcn {
    /// Width of the embeddings.
    pub embedding_dim: usize,
    /// What cross layers do: `full`, `vector` (version 1) or `low_rank: N`.
    pub cross: Cross,
    /// Number of cross layers.
    pub cross_layers: usize,
    /// Widths of the deep part's layers.
    pub hidden: Vec<usize>,
    /// How it is trained.
    pub descent: Descent,
}

/// Hyper-parameters of the factorization machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FactorizationMachine {
    /// Width of the places of inputs.
    pub dimension: usize,
    /// How it is trained.
    pub descent: Descent,
}

/// Hyper-parameters of the MLP.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mlp {
    /// Width of the embeddings.
    pub embedding_dim: usize,
    /// Widths of the hidden layers.
    pub hidden: Vec<usize>,
    /// How it is trained.
    pub descent: Descent,
}

/// Hyper-parameters of the random forest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Forest {
    /// Number of trees.
    pub trees: u32,
    /// Leaves of a tree, at most.
    pub leaves: u32,
    /// Labeled pairs in a leaf, at least.
    pub leaf_pairs: u32,
    /// Share of the pairs that a tree sees.
    pub pair_share: f64,
    /// Share of the inputs that a tree sees.
    pub input_share: f64,
}

/// Hyper-parameters of the gradient boosted trees.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Boosting {
    /// Number of trees, at most.
    pub trees: u32,
    /// Training stops after this many trees without a smaller loss on the validation window.
    pub patience: u32,
    /// Leaves of a tree, at most.
    pub leaves: u32,
    /// Labeled pairs in a leaf, at least.
    pub leaf_pairs: u32,
    /// Step size.
    pub learning_rate: f64,
    /// Share of the inputs that a tree sees.
    pub input_share: f64,
}

impl Default for Training {
    fn default() -> Self {
        Self {
            seed: 1,
            scorers: vec![Scorer::Dlrm, Scorer::Forest],
            sources: vec![Settings::Ease(Ease::with_recency())],
            stacking: Vec::new(),
            best: None,
            weight_exponent: 0.0,
            two_tower: TwoTower::default(),
            dlrm: Dlrm::default(),
            wide_deep: WideDeep::default(),
            dcn: Dcn::default(),
            mlp: Mlp::default(),
            factorization_machine: FactorizationMachine::default(),
            forest: Forest::default(),
            boosting: Boosting::default(),
        }
    }
}

impl Default for TwoTower {
    fn default() -> Self {
        Self {
            dimension: 64,
            hidden: vec![128],
            known_items: None,
            epochs: 4,
            batch: 1024,
            learning_rate: 1e-3,
            temperature: 0.1,
            index: "IVF256,Flat".to_owned(),
            nprobe: Some(32),
            ef_search: None,
            text_index: "IVF256,Flat".to_owned(),
            text_nprobe: Some(16),
        }
    }
}

impl Default for Descent {
    fn default() -> Self {
        Self {
            epochs: 4,
            patience: 1,
            batch: 512,
            learning_rate: 1e-3,
            weight_decay: 0.02,
            objective: Objective::Pointwise,
        }
    }
}

impl Default for Dlrm {
    fn default() -> Self {
        Self {
            embedding_dim: 8,
            bottom: vec![64],
            top: vec![128, 64],
            interaction: Interaction::Dot,
            numbers_to_top: false,
            descent: Descent {
                // With less it learns pairs by heart, and is at its best on the validation window after one
                // pass.
                weight_decay: 1.0,
                ..Descent::default()
            },
        }
    }
}

impl Default for WideDeep {
    fn default() -> Self {
        Self {
            embedding_dim: 8,
            hidden: vec![128, 64],
            crosses: None,
            cross_buckets: 1 << 16,
            descent: Descent::default(),
        }
    }
}

impl Default for Dcn {
    fn default() -> Self {
        Self {
            embedding_dim: 8,
            cross: Cross::Full,
            cross_layers: 2,
            hidden: vec![128, 64],
            descent: Descent::default(),
        }
    }
}

impl Default for FactorizationMachine {
    fn default() -> Self {
        Self {
            dimension: 16,
            descent: Descent::default(),
        }
    }
}

impl Default for Mlp {
    fn default() -> Self {
        Self {
            embedding_dim: 8,
            hidden: vec![128, 64],
            descent: Descent::default(),
        }
    }
}

impl Default for Forest {
    fn default() -> Self {
        Self {
            trees: 100,
            leaves: 1023,
            leaf_pairs: 50,
            pair_share: 0.6,
            input_share: 1.0,
        }
    }
}

impl Default for Boosting {
    fn default() -> Self {
        Self {
            trees: 500,
            patience: 30,
            leaves: 63,
            leaf_pairs: 50,
            learning_rate: 0.05,
            input_share: 0.8,
        }
    }
}
