//! Every number of a configuration, and between which it can be.

use std::ops::RangeInclusive;

use gondola_models::scoring::dcn::cross::Cross;

use crate::dataset::config::DatasetConfig;
use crate::dataset::evaluation::Candidates;
use crate::dataset::training::{Descent, KnownItems, Training, TwoTower};

/// Days that a window can have: ten years.
const DAYS: RangeInclusive<f64> = 1.0..=3660.0;
/// Widths of layers and of embeddings.
pub(super) const WIDTH: RangeInclusive<f64> = 1.0..=16384.0;
/// Passes over the data.
const PASSES: RangeInclusive<f64> = 1.0..=10_000.0;
/// Pairs that a step can take.
const BATCH: RangeInclusive<f64> = 1.0..=65536.0;
/// Step sizes.
const RATE: RangeInclusive<f64> = 1e-9..=10.0;
/// Shares of something.
const SHARE: RangeInclusive<f64> = 1e-4..=1.0;
/// Days in which something counts half.
const HALF_LIFE: RangeInclusive<f64> = 1e-3..=1e6;
/// Purchases that an interaction counts as.
const PURCHASES: RangeInclusive<f64> = 0.0..=1000.0;
/// Trees of a model, and trees that are tried without success.
const TREES: RangeInclusive<f64> = 1.0..=100_000.0;
/// Leaves of a tree: as many as LightGBM takes.
const LEAVES: RangeInclusive<f64> = 2.0..=131_072.0;
/// Users who are asked for.
const USERS: RangeInclusive<f64> = 1.0..=1e9;
/// Candidates of a source.
const CANDIDATES: RangeInclusive<f64> = 0.0..=100_000.0;

/// A number of a configuration.
pub(super) struct Number {
    /// The field of the spec.
    pub(super) field: String,
    pub(super) value: f64,
    /// Between which it can be.
    pub(super) range: RangeInclusive<f64>,
}

/// All of them, in the order in which they are checked.
pub(super) fn all(config: &DatasetConfig) -> impl Iterator<Item = Number> {
    let training = &config.training;
    let descents = training.descents().into_iter();
    of_data(config)
        .chain(step_days(config))
        .chain(of_towers(&training.two_tower))
        .chain(training.two_tower.known_items.iter().flat_map(of_known_items))
        .chain(of_networks(training))
        .chain(of_trees(training))
        .chain(of_candidates(&config.evaluation.candidates))
        .chain(of_searches(&training.two_tower))
        .chain(low_rank(training))
        .chain(descents.flat_map(|(field, descent)| of_descent(field, descent)))
}

fn numbers<const N: usize>(
    numbers: [(&str, f64, RangeInclusive<f64>); N],
) -> impl Iterator<Item = Number> + use<N> {
    let named = numbers.map(|(field, value, range)| Number {
        field: field.to_owned(),
        value,
        range,
    });
    named.into_iter()
}

fn of_data(config: &DatasetConfig) -> impl Iterator<Item = Number> + use<> {
    let (windows, features, training) = (&config.windows, &config.features, &config.training);
    let interactions = &features.interactions;
    numbers([
        ("windows.target_days", f64::from(windows.target_days), DAYS),
        ("evaluation.users", config.evaluation.users as f64, USERS),
        ("windows.training", windows.training.into(), 1.0..=1000.0),
        (
            "windows.retrieval_days",
            windows.retrieval_days.into(),
            1.0..=36_600.0,
        ),
        (
            "windows.index_days",
            windows.index_days.into(),
            1.0..=f64::from(u32::MAX),
        ),
        ("features.half_life_days", features.half_life_days, HALF_LIFE),
        (
            "features.history_half_life_days",
            features.history_half_life_days,
            HALF_LIFE,
        ),
        ("features.interactions.view", interactions.view, PURCHASES),
        ("features.interactions.click", interactions.click, PURCHASES),
        ("features.interactions.basket", interactions.basket, PURCHASES),
        ("features.interactions.purchase", interactions.purchase, PURCHASES),
        (
            "training.weight_exponent",
            training.weight_exponent.into(),
            -10.0..=10.0,
        ),
    ])
}

fn of_known_items(known: &KnownItems) -> impl Iterator<Item = Number> + use<> {
    numbers([
        (
            "training.two_tower.known_items.width",
            known.width as f64,
            1.0..=1024.0,
        ),
        (
            "training.two_tower.known_items.fewest_purchases",
            known.fewest_purchases as f64,
            1.0..=1e9,
        ),
        (
            "training.two_tower.known_items.latest",
            known.latest as f64,
            1.0..=10_000.0,
        ),
    ])
}

fn of_towers(towers: &TwoTower) -> impl Iterator<Item = Number> + use<> {
    numbers([
        (
            "training.two_tower.dimension",
            towers.dimension as f64,
            1.0..=4096.0,
        ),
        ("training.two_tower.epochs", towers.epochs as f64, PASSES),
        ("training.two_tower.batch", towers.batch as f64, BATCH),
        ("training.two_tower.learning_rate", towers.learning_rate, RATE),
        ("training.two_tower.temperature", towers.temperature, 1e-4..=1e4),
    ])
}

fn of_networks(training: &Training) -> impl Iterator<Item = Number> + use<> {
    numbers([
        (
            "training.dlrm.embedding_dim",
            training.dlrm.embedding_dim as f64,
            WIDTH,
        ),
        (
            "training.wide_deep.embedding_dim",
            training.wide_deep.embedding_dim as f64,
            WIDTH,
        ),
        (
            "training.wide_deep.cross_buckets",
            training.wide_deep.cross_buckets as f64,
            1.0..=67_108_864.0,
        ),
        (
            "training.dcn.embedding_dim",
            training.dcn.embedding_dim as f64,
            WIDTH,
        ),
        (
            "training.dcn.cross_layers",
            training.dcn.cross_layers as f64,
            1.0..=64.0,
        ),
        (
            "training.mlp.embedding_dim",
            training.mlp.embedding_dim as f64,
            WIDTH,
        ),
        (
            "training.factorization_machine.dimension",
            training.factorization_machine.dimension as f64,
            WIDTH,
        ),
    ])
}

fn of_trees(training: &Training) -> impl Iterator<Item = Number> + use<> {
    let (forest, boosting) = (&training.forest, &training.boosting);
    numbers([
        ("training.forest.trees", forest.trees.into(), TREES),
        ("training.forest.leaves", forest.leaves.into(), LEAVES),
        ("training.forest.leaf_pairs", forest.leaf_pairs.into(), 0.0..=1e9),
        ("training.forest.pair_share", forest.pair_share, SHARE),
        ("training.forest.input_share", forest.input_share, SHARE),
        ("training.boosting.trees", boosting.trees.into(), TREES),
        (
            "training.boosting.patience",
            boosting.patience.into(),
            0.0..=100_000.0,
        ),
        ("training.boosting.leaves", boosting.leaves.into(), LEAVES),
        (
            "training.boosting.leaf_pairs",
            boosting.leaf_pairs.into(),
            0.0..=1e9,
        ),
        ("training.boosting.learning_rate", boosting.learning_rate, RATE),
        ("training.boosting.input_share", boosting.input_share, SHARE),
    ])
}

fn of_candidates(candidates: &Candidates) -> impl Iterator<Item = Number> + use<> {
    numbers([
        (
            "evaluation.candidates.two_tower",
            candidates.two_tower as f64,
            CANDIDATES,
        ),
        (
            "evaluation.candidates.bought_before",
            candidates.bought_before as f64,
            CANDIDATES,
        ),
        (
            "evaluation.candidates.co_bought",
            candidates.co_bought as f64,
            CANDIDATES,
        ),
        (
            "evaluation.candidates.popular",
            candidates.popular as f64,
            CANDIDATES,
        ),
    ])
}

/// How much of an index a search looks at, where that is said.
fn of_searches(towers: &TwoTower) -> impl Iterator<Item = Number> + use<> {
    let searches = [
        ("training.two_tower.nprobe", towers.nprobe),
        ("training.two_tower.ef_search", towers.ef_search),
        ("training.two_tower.text_nprobe", towers.text_nprobe),
    ];
    let searches = searches.into_iter();
    searches.filter_map(|(field, value)| {
        Some(Number {
            field: field.to_owned(),
            value: value?.into(),
            range: 1.0..=1_048_576.0,
        })
    })
}

fn step_days(config: &DatasetConfig) -> impl Iterator<Item = Number> + use<> {
    let days = config.windows.retrieval_step_days;
    let number = days.map(|days| numbers([("windows.retrieval_step_days", f64::from(days), DAYS)]));
    number.into_iter().flatten()
}

fn low_rank(training: &Training) -> Option<Number> {
    let Cross::LowRank(rank) = training.dcn.cross else {
        return None;
    };
    Some(Number {
        field: "training.dcn.cross.low_rank".to_owned(),
        value: rank as f64,
        range: WIDTH,
    })
}

fn of_descent(field: &str, descent: &Descent) -> [Number; 5] {
    [
        ("epochs", descent.epochs as f64, PASSES),
        ("patience", descent.patience as f64, 0.0..=10_000.0),
        ("batch", descent.batch as f64, 1.0..=1_048_576.0),
        ("learning_rate", descent.learning_rate, RATE),
        ("weight_decay", descent.weight_decay, 0.0..=1000.0),
    ]
    .map(|(name, value, range)| Number {
        field: format!("{field}.{name}"),
        value,
        range,
    })
}
