//! A variant: everything that one way of answering needs, loaded from the folders of its bundles.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;

use super::rules::ActiveRules;
use super::snapshot::FeatureSnapshot;
use super::stacking::Stacking;
use crate::device::{Device, DeviceError};
use crate::features::columns::{CategoricalColumn, FURTHEST, KnownIndexes};
use crate::features::neighbors::NEIGHBOURS;
use crate::features::pairs::UnknownPairColumn;
use crate::features::schema::SchemaError;
use crate::features::workflow::WorkflowError;
use crate::features::{
    ItemId, Neighbors, PairFeatures, RawTable, Schema, TableError, UserId, Users, Workflow,
};
use crate::items::{Items, ItemsView, TooManyItems};
use crate::ordering::{Order, Scored};
use crate::retrieval::index::{Index, IndexError, SearchParameters};
use crate::retrieval::sources::{Quotas, TrainedQuota};
use crate::retrieval::trained::TrainedSource;
use crate::retrieval::{Retrieval, RetrievalError, SearchError};
use crate::scoring::stacked::StackedSource;
use crate::scoring::{self, Loaded};
use crate::similarity::encoder::EncodeError;
use crate::similarity::{Similarity, SimilarityError};
pub use crate::tensors::TensorsError;
use crate::tensors::{OfVariant, Tensors};
use gondola_request::{Answer, BoughtRule, Moment, RecommendRequest, Recommendation, VariantSummary};

/// Where a variant's bundles are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VariantFolders {
    /// The features bundle.
    pub features: PathBuf,
    /// The retrieval bundle.
    pub retrieval: PathBuf,
    /// Bundles of trained sources, by their names.
    pub sources: BTreeMap<String, PathBuf>,
    /// The scorer bundle.
    pub scorer: PathBuf,
    /// The similarity bundle, if similar items are served.
    pub similarity: Option<PathBuf>,
}

/// How a variant answers.
#[derive(Clone, Debug)]
pub struct VariantSettings {
    /// Its name.
    pub name: String,
    /// How many candidates each source may give.
    pub quotas: Quotas,
    /// How the retrieval index is searched.
    pub search: SearchParameters,
    /// How the similarity index is searched.
    pub similarity_search: SearchParameters,
    /// What the networks and the text encoder run on.
    pub device: Device,
    /// Whether items that the user bought before may be recommended.
    pub already_bought: BoughtRule,
    /// Items that are never recommended.
    pub blocked_items: Vec<ItemId>,
    /// How many items a request gets that names no number.
    pub limit: usize,
    /// How scored candidates are put in order.
    pub order: Order,
    /// How many items of an answer may be alike. Left out: all.
    pub diversity: Option<DiversitySettings>,
}

/// How many items of an answer may be alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiversitySettings {
    /// A categorical item column.
    pub column: String,
    /// How many items may share a value of it; at least 1.
    pub most: usize,
}

/// [`DiversitySettings`] with the column's place among the encoded ones.
#[derive(Clone, Copy, Debug)]
pub(super) struct Diversity {
    pub(super) column: usize,
    pub(super) known: KnownIndexes,
    pub(super) most: usize,
}

/// Why a variant could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The features' schema.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The fitted workflow.
    #[error(transparent)]
    Workflow(#[from] WorkflowError),
    /// The tables of users, items or purchases.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A pair feature.
    #[error(transparent)]
    Pairs(#[from] UnknownPairColumn),
    /// Towers or index.
    #[error(transparent)]
    Retrieval(#[from] RetrievalError),
    /// The scorer.
    #[error(transparent)]
    Scorer(#[from] scoring::LoadError),
    /// Text encoder or index of texts.
    #[error(transparent)]
    Similarity(#[from] SimilarityError),
    /// The device.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The networks on the device.
    #[error(transparent)]
    Tensors(#[from] TensorsError),
    /// Diversity is wanted of a column that there isn't.
    #[error(
        "spec.ordering.diversity.column is {column:?}, which is not a categorical item column; use one of {known:?}"
    )]
    Diversity {
        /// The column.
        column: String,
        /// The columns that there are.
        known: Vec<String>,
    },
    /// Candidates that are bought together are wanted of a bundle that doesn't say which those are.
    #[error(
        "spec.candidates.coBought is set, but the features bundle has no {NEIGHBOURS}; publish it with this release, or leave coBought out"
    )]
    NoNeighbors,
    /// A trained source has no bundle.
    #[error("spec.retrieval.sources.trained names {name}, of which no bundle was fetched; give it a bundle")]
    NoSource {
        /// The source's name.
        name: String,
    },
    /// A scorer reads the opinions of a source that the pipeline doesn't have.
    #[error(
        "the scorer reads what the trained source {name:?} says, but the pipeline has {}; add {{name: {name}, bundle: ..}} to spec.retrieval.sources.trained, or take a scorer that was trained without it",
        known(there)
    )]
    NoStackedSource {
        /// The source's name.
        name: String,
        /// The names of those that there are.
        there: Vec<String>,
    },
    /// Warm-up: the first request of all failed.
    #[error("variant {variant} fails its first request")]
    WarmUp {
        /// The variant.
        variant: String,
        /// The cause.
        #[source]
        source: RequestError,
    },
}

/// Why a request could not be answered.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// More or fewer items than can be had.
    #[error("k is {k}, but this pipeline gives 1 to {most} items; ask for one of those numbers")]
    Count {
        /// How many were asked for.
        k: usize,
        /// The most that can be had.
        most: usize,
    },
    /// An item that is not in the catalog.
    #[error("there is no item {item}; PUT /v1/items/{item} adds it, or ask for text= instead")]
    UnknownItem {
        /// The item.
        item: ItemId,
    },
    /// An item without a text has no neighbors.
    #[error("item {item} has no text to compare; PUT /v1/items/{item} with one of {columns:?}")]
    NoText {
        /// The item.
        item: ItemId,
        /// The columns that hold texts.
        columns: Vec<String>,
    },
    /// The pipeline has no similarity bundle, or one without an encoder.
    #[error("this pipeline does not serve {what}; add {missing} to its spec")]
    NotServed {
        /// The requested reference.
        what: &'static str,
        /// What would be needed.
        missing: &'static str,
    },
    /// A feature that no model reads.
    #[error("there is no {entity} feature {column:?}; there are {known:?}")]
    UnknownColumn {
        /// `user` or `item`.
        entity: &'static str,
        /// The column.
        column: String,
        /// The columns that there are.
        known: Vec<String>,
    },
    /// A feature that should be a number.
    #[error(
        "{entity} feature {column:?} is {value:?}, which is not a number; give a number, or null if it is not known"
    )]
    NotANumber {
        /// `user` or `item`.
        entity: &'static str,
        /// The column.
        column: String,
        /// What was given.
        value: String,
    },
    /// A feature so far from those of training that models can't be given it.
    #[error(
        "{entity} feature {column:?} is {value}, too far from what the models were trained on (at most {FURTHEST} standard deviations, and within what f32 holds); give it in the unit of the training data"
    )]
    OutOfRange {
        /// `user` or `item`.
        entity: &'static str,
        /// The column.
        column: String,
        /// What was given, or what comes of it.
        value: String,
    },
    /// Features of which the models make no finite number.
    #[error(
        "the models make no finite {result} of these features of the {entity}; give values like those of the training data"
    )]
    NotFinite {
        /// `user` or `item`.
        entity: &'static str,
        /// What isn't finite.
        result: &'static str,
    },
    /// Purchases of an item that is not in the catalog, or that can't be true.
    #[error("the purchase of item {item} is wrong: {problem}")]
    Purchase {
        /// The item.
        item: ItemId,
        /// What is wrong.
        problem: &'static str,
    },
    /// A rule that can't be followed.
    #[error("the rule {rule} is {value}; give {least} to {most}")]
    Rule {
        /// Which.
        rule: &'static str,
        /// What was given.
        value: usize,
        /// The least that it can be.
        least: usize,
        /// The most that it can be.
        most: usize,
    },
    /// A price that can't be one.
    #[error("the price is {price}; give what was paid in all, 0 or more")]
    Price {
        /// What was given.
        price: f64,
    },
    /// No room for another item.
    #[error(transparent)]
    TooManyItems(#[from] TooManyItems),
    /// The index failed.
    #[error("the index can't be searched")]
    Index(#[from] IndexError),
    /// Nothing was found for a user.
    #[error("retrieval failed")]
    Search(#[from] SearchError),
    /// The tower of items failed.
    #[error("the tower of items gives no place")]
    Tower(#[from] gondola_onnx::RunError),
    /// The text encoder failed.
    #[error("the text can't be embedded")]
    Encode(#[from] EncodeError),
}

/// What a caller can do about a [`RequestError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestErrorKind {
    /// Ask differently.
    InvalidArgument,
    /// Ask for something that exists.
    NotFound,
    /// Wait until there is room.
    ResourceExhausted,
    /// Ask for what this pipeline serves.
    Unimplemented,
    /// Report a fault of ours.
    Internal,
}

impl RequestError {
    /// What a caller can do about it.
    pub fn kind(&self) -> RequestErrorKind {
        match self {
            Self::Count { .. }
            | Self::UnknownColumn { .. }
            | Self::NotANumber { .. }
            | Self::OutOfRange { .. }
            | Self::NotFinite { .. }
            | Self::Purchase { .. }
            | Self::Rule { .. }
            | Self::Price { .. } => RequestErrorKind::InvalidArgument,
            Self::UnknownItem { .. } | Self::NoText { .. } => RequestErrorKind::NotFound,
            Self::TooManyItems(_) => RequestErrorKind::ResourceExhausted,
            Self::NotServed { .. } => RequestErrorKind::Unimplemented,
            Self::Index(_) | Self::Search(_) | Self::Tower(_) | Self::Encode(_) => RequestErrorKind::Internal,
        }
    }
}

/// One way of answering, loaded and warm.
pub struct Variant {
    pub(super) settings: VariantSettings,
    pub(super) schema: Schema,
    /// The cut-off date of its snapshot.
    pub(super) as_of: Moment,
    pub(super) workflow: Arc<Workflow>,
    /// The digest of the workflow as it was saved.
    workflow_digest: String,
    pub(super) pairs: PairFeatures,
    pub(super) users: Users,
    /// The snapshot's, and those that were put since.
    pub(super) items: Items,
    /// What is bought together, where the bundle says so.
    pub(super) neighbors: Option<Arc<Neighbors>>,
    pub(super) blocked: HashSet<u32>,
    pub(super) diversity: Option<Diversity>,
    /// The rules that stand now.
    pub(super) rules: ArcSwap<ActiveRules>,
    /// One change of items or rules at a time: what rules allow depends on both.
    pub(super) following: Mutex<()>,
    pub(super) retrieval: Retrieval,
    /// In the order of their quotas.
    pub(super) trained: Vec<Arc<TrainedSource>>,
    /// Those of them whose opinions the scorer reads.
    pub(super) stacking: Stacking,
    pub(super) scorer: Loaded,
    pub(super) similarity: Option<Similarity>,
    /// The networks on a device, which then answer; what is put is tried on the processor all the same.
    pub(super) tensors: Option<Tensors>,
}

impl Variant {
    /// Loads a variant from its bundles' folders and answers a first request, so that the second is quick.
    pub fn load(folders: &VariantFolders, settings: &VariantSettings) -> Result<Self, LoadError> {
        let snapshot = FeatureSnapshot::load(&folders.features)?;
        Self::load_with(snapshot, folders, settings)
    }

    /// The same with the features bundle read already: variants that share one share its tables.
    pub fn load_with(
        snapshot: FeatureSnapshot,
        folders: &VariantFolders,
        settings: &VariantSettings,
    ) -> Result<Self, LoadError> {
        let FeatureSnapshot {
            schema,
            workflow,
            workflow_digest,
            users,
            encoded_users,
            items,
            encoded_items,
            history,
            neighbors,
        } = snapshot;
        if settings.quotas.co_bought > 0 && neighbors.is_none() {
            return Err(LoadError::NoNeighbors);
        }
        let pairs = PairFeatures::of(&workflow)?;
        let retrieval = Retrieval::load(&folders.retrieval, &items, &workflow.layout(), &settings.search)?;
        let trained = load_trained(folders, &settings.quotas, &items)?;
        let load_similarity =
            |folder| Similarity::load(folder, &items, &settings.similarity_search, settings.device);
        let similarity = folders.similarity.as_deref().map(load_similarity).transpose()?;
        let scorer = scoring::load(&folders.scorer, &workflow.layout())?;
        let stacking = stack(&scorer, &settings.quotas, &trained)?;
        let blocked = settings
            .blocked_items
            .iter()
            .filter_map(|item| items.find(item.as_str()));
        let blocked = blocked.map(|row| row as u32).collect();
        let diversity = diversity(settings.diversity.as_ref(), &workflow.item.categorical)?;
        let items = Items::new(items, encoded_items, &schema.popularity, &scorer);
        let load_tensors = || {
            let of = OfVariant {
                retrieval_folder: &folders.retrieval,
                scorer_folder: &folders.scorer,
                retrieval: &retrieval,
                items: &items,
                candidates: settings.quotas.two_tower,
            };
            Ok::<_, LoadError>(Tensors::load(of, &settings.device.open()?)?)
        };
        let variant = Self {
            tensors: settings.device.has_tensors().then(load_tensors).transpose()?,
            rules: ArcSwap::from_pointee(ActiveRules::of(settings, diversity)),
            following: Mutex::default(),
            diversity,
            blocked,
            items,
            users: Users::new(users, encoded_users, history),
            neighbors,
            settings: settings.clone(),
            as_of: schema.moment()?,
            schema,
            workflow_digest,
            workflow,
            pairs,
            retrieval,
            trained,
            stacking,
            scorer,
            similarity,
        };
        variant.warm_up()?;
        Ok(variant)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// The index of the items that the query tower finds.
    pub fn retrieval_index(&self) -> &Index {
        self.retrieval.items().index()
    }

    /// The index of the items' texts, where similar items are served.
    pub fn similarity_index(&self) -> Option<&Index> {
        self.similarity.as_ref().map(Similarity::index)
    }

    /// A summary of its content, for people.
    pub fn summary(&self) -> VariantSummary {
        VariantSummary {
            as_of: self.schema.as_of.clone(),
            users: self.users.len(),
            items: self.items.snapshot_len(),
            texts: self.similarity.as_ref().map_or(0, Similarity::len),
            workflow: self.workflow_digest.clone(),
            inputs: self.workflow.layout().inputs(),
            candidates: self.settings.quotas.total(),
            limit: self.settings.limit,
        }
    }

    /// Whether its networks run on a device, which answers many users at once.
    pub fn has_device(&self) -> bool {
        self.tensors.is_some()
    }

    /// The users of its snapshot.
    pub fn users(&self) -> &Users {
        &self.users
    }

    /// The items, as they are now.
    pub fn items(&self) -> &Items {
        &self.items
    }

    /// The most popular items: what can always be answered, without any model.
    pub fn popular(&self, k: Option<usize>) -> Result<Answer, RequestError> {
        let rules = self.rules.load();
        let k = self.count(k, &rules)?;
        let items = self.items.view();
        let allowed = items
            .popular()
            .iter()
            .filter(|row| self.barred(**row, &rules, &items).is_none())
            .take(k);
        let scored: Vec<Scored> = allowed
            .map(|row| Scored {
                item: *row,
                score: 0.0,
            })
            .collect();
        Ok(Answer {
            items: named(&scored, &items),
            ..Answer::default()
        })
    }

    /// How many items a request gets.
    pub(super) fn count(&self, k: Option<usize>, rules: &ActiveRules) -> Result<usize, RequestError> {
        let k = k.unwrap_or(rules.limit);
        let most = rules.quotas.total().min(self.items.snapshot_len());
        if k == 0 || k > most {
            Err(RequestError::Count { k, most })
        } else {
            Ok(k)
        }
    }

    fn warm_up(&self) -> Result<(), LoadError> {
        let wrap = |source| LoadError::WarmUp {
            variant: self.settings.name.clone(),
            source,
        };
        let nobody = RecommendRequest {
            user: UserId::from(""),
            k: Some(1),
        };
        self.recommend(&nobody).map_err(wrap)?;
        Ok(())
    }
}

/// The sources of the quotas, in their order.
fn load_trained(
    folders: &VariantFolders,
    quotas: &Quotas,
    items: &RawTable,
) -> Result<Vec<Arc<TrainedSource>>, LoadError> {
    let load = |quota: &TrainedQuota| {
        let folder = folders.sources.get(&quota.name);
        let folder = folder.ok_or_else(|| LoadError::NoSource {
            name: quota.name.clone(),
        })?;
        Ok(Arc::new(TrainedSource::load(folder, items)?))
    };
    quotas.trained.iter().map(load).collect()
}

/// The sources whose opinions a scorer reads, of those of the quotas.
fn stack(scorer: &Loaded, quotas: &Quotas, trained: &[Arc<TrainedSource>]) -> Result<Stacking, LoadError> {
    let names = || quotas.trained.iter().map(|quota| &quota.name);
    let find = |stacked: &StackedSource| {
        let found = names().zip(trained).find(|(name, _)| **name == stacked.name);
        match found {
            Some((_, source)) => Ok((stacked.clone(), source.clone())),
            None => Err(LoadError::NoStackedSource {
                name: stacked.name.clone(),
                there: names().cloned().collect(),
            }),
        }
    };
    let sources = scorer.sources.iter().map(find);
    Ok(Stacking::new(sources.collect::<Result<_, _>>()?))
}

/// Names, for people.
fn known(names: &[String]) -> String {
    match names {
        [] => "none".to_owned(),
        names => names.join(", "),
    }
}

pub(super) fn diversity(
    wanted: Option<&DiversitySettings>,
    columns: &[CategoricalColumn],
) -> Result<Option<Diversity>, LoadError> {
    let Some(DiversitySettings { column, most }) = wanted else {
        return Ok(None);
    };
    match columns.iter().position(|known| known.column == *column) {
        Some(position) => Ok(Some(Diversity {
            column: position,
            known: columns[position].known(),
            most: *most,
        })),
        None => Err(LoadError::Diversity {
            column: column.clone(),
            known: columns.iter().map(|known| known.column.clone()).collect(),
        }),
    }
}

/// Turns rows into ids.
pub(super) fn named(scored: &[Scored], items: &ItemsView<'_>) -> Vec<Recommendation> {
    scored
        .iter()
        .map(|scored| Recommendation {
            item: items.id(scored.item),
            score: scored.score,
            chance: None,
        })
        .collect()
}
