//! Models of who buys what, learned from purchases alone: the literature's simple ones, which are hard to beat.
//!
//! [`fit`] takes the [`Settings`] of one model and a snapshot's history, and gives it in the form in which it is served
//! ([`gondola_models::retrieval::trained`]), so that what is judged is what answers. Each file fits one model, named by its paper:
//!
//! | file | model |
//! |---|---|
//! | [`ease`] | EASE^R, in closed form; beyond its largest matrix, item by item among the nearest |
//! | [`slim`] | SLIM, with an elastic net among the nearest |
//! | [`rp3beta`] | RP3beta, a walk of three steps |
//! | [`item_knn`] | ItemKNN, by cosine or by BM25 |
//! | [`user_knn`] | UserKNN |
//! | [`als`] | implicit ALS, by conjugate gradients |
//! | [`bpr`] | BPR, by stochastic gradients |
//! | [`sasrec`] | SASRec, a sequence tower, by AdamW |
//! | [`popularity`] | the most bought of a window |
//!
//! [`space`] says which settings are worth a try. [`purchases`] is what all of them read, [`nearest`] what the item models share, `parallel` how they use all cores.

pub mod als;
pub mod bpr;
pub mod ease;
pub mod item_knn;
pub mod nearest;
mod parallel;
pub mod popularity;
pub mod purchases;
pub mod rp3beta;
pub mod sasrec;
pub mod settings;
pub mod slim;
pub mod space;
pub mod user_knn;

use std::fs;
use std::path::{Path, PathBuf};

use gondola_models::dense::WeightsError;
use gondola_models::features::{History, RawTable};
use gondola_models::retrieval::ITEMS;
use gondola_models::retrieval::trained::{DESCRIPTION, Model, SourceConfig, TrainedSource};
use serde::Serialize;

pub use purchases::Purchases;
pub use settings::Settings;

/// Why a model could not be fitted.
#[derive(Debug, thiserror::Error)]
pub enum FitError {
    /// Nothing was bought often enough.
    #[error(
        "{model}: no item was bought by {fewest_buyers} users or more; lower fewest_buyers, or leave the model out"
    )]
    NoItem {
        /// The model.
        model: &'static str,
        /// How many buyers an item must have.
        fewest_buyers: usize,
    },
    /// A setting that can't be meant.
    #[error("{model}: {setting} is {value}, but {wanted}")]
    Setting {
        /// The model.
        model: &'static str,
        /// The setting.
        setting: &'static str,
        /// Its value.
        value: String,
        /// What it should be.
        wanted: &'static str,
    },
    /// The matrix can't be inverted.
    #[error(
        "EASE^R can't be fitted: the matrix of common purchases is not positive definite (LAPACK says {0}); raise regularization"
    )]
    Singular(i32),
    /// A model whose numbers grew beyond all bounds.
    #[error(
        "{model}: its numbers are no longer finite after {rounds} rounds; lower learning_rate or raise regularization"
    )]
    Diverged {
        /// The model.
        model: &'static str,
        /// After how many.
        rounds: usize,
    },
    /// A step of a network can't be computed.
    #[error("a network that learns what comes next can't be computed")]
    Network(#[from] candle_core::Error),
}

/// Why a model could not be written.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// A file can't be written.
    #[error("cannot write into {folder}")]
    File {
        /// The bundle's folder.
        folder: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// What was learned can't be written.
    #[error(transparent)]
    Weights(#[from] WeightsError),
}

/// A model and the catalog's rows of its items.
#[derive(Debug)]
pub struct Fitted {
    /// What was learned, over positions of `rows`.
    pub model: Model,
    /// The catalog's row of each of its items.
    pub rows: Vec<u32>,
}

impl Fitted {
    /// Writes a source bundle's folder; `items` is the catalog whose rows these are.
    pub fn save(&self, settings: &Settings, items: &RawTable, folder: &Path) -> Result<(), SaveError> {
        let wrap = |source| SaveError::File {
            folder: folder.to_owned(),
            source,
        };
        let ids: Vec<&str> = self.rows.iter().map(|row| items.id(*row as usize)).collect();
        let description = SourceConfig {
            model: settings.title().to_owned(),
            family: self.model.family(),
        };
        write_json(&folder.join(ITEMS), &ids).map_err(wrap)?;
        write_json(&folder.join(DESCRIPTION), &description).map_err(wrap)?;
        Ok(self.model.save(folder)?)
    }

    /// The model as a pod asks it, over a catalog of so many rows.
    pub fn source(self, catalog: usize) -> TrainedSource {
        let rows = self.rows.into_iter().map(Some).collect();
        TrainedSource::new(self.model, rows, catalog)
    }
}

/// Fits a model to what `users` users bought of a catalog of `items` rows; the same seed gives the same model.
pub fn fit(
    settings: &Settings,
    history: &History,
    users: usize,
    items: usize,
    seed: u64,
) -> Result<Fitted, FitError> {
    settings.check()?;
    let fewest_buyers = settings.fewest_buyers();
    let mut purchases = Purchases::of(history, users, items, fewest_buyers);
    if purchases.rows().is_empty() {
        return Err(FitError::NoItem {
            model: settings.title(),
            fewest_buyers,
        });
    }
    let model = match settings {
        Settings::Ease(settings) => Model::ItemWeights(ease::fit(settings, &purchases)?),
        Settings::Slim(settings) => Model::ItemWeights(slim::fit(settings, &purchases)),
        Settings::Rp3beta(settings) => Model::ItemWeights(rp3beta::fit(settings, &purchases)),
        Settings::ItemKnn(settings) => Model::ItemWeights(item_knn::fit(settings, &purchases)),
        Settings::UserKnn(settings) => Model::UserNeighbors(user_knn::fit(settings, &purchases)),
        Settings::Als(settings) => Model::Factors(als::fit(settings, &purchases, seed)?),
        Settings::Bpr(settings) => Model::Factors(bpr::fit(settings, &purchases, seed)?),
        Settings::Sasrec(settings) => Model::Sequence(sasrec::fit(settings, &purchases, seed)?),
        Settings::Popularity(settings) => {
            purchases = popularity::in_order(settings, history, users, purchases);
            Model::Ranking(popularity::fit(&purchases))
        }
    };
    Ok(Fitted {
        model,
        rows: purchases.into_rows(),
    })
}

fn write_json(path: &Path, value: &impl Serialize) -> std::io::Result<()> {
    fs::write(path, serde_json::to_vec(value)?)
}
