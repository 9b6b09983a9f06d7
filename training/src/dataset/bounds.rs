//! What the values of a configuration can be: what is refused here would end in a panic, in hours of work for nothing, or in models
//! that mean something else.

mod columns;

use std::collections::BTreeSet;
use std::fmt::Display;
use std::ops::RangeInclusive;

use chrono::{Days, NaiveDate};
use gondola_models::scoring::dcn::cross::Cross;

use super::config::{ConfigError, DatasetConfig};
use super::training::Descent;

/// Days that a window can have: ten years.
const DAYS: RangeInclusive<f64> = 1.0..=3660.0;
/// Widths of layers and of embeddings.
const WIDTH: RangeInclusive<f64> = 1.0..=16384.0;
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
/// Trees of a model, and trees that are tried in vain.
const TREES: RangeInclusive<f64> = 1.0..=100_000.0;
/// Leaves of a tree: as many as LightGBM takes.
const LEAVES: RangeInclusive<f64> = 2.0..=131_072.0;
/// Candidates of a source.
const CANDIDATES: RangeInclusive<f64> = 0.0..=100_000.0;
/// The most hidden layers.
const MAX_LAYERS: usize = 64;
/// The most lists of an index.
const MAX_LISTS: u64 = 1 << 24;
/// The largest other number in an index' factory string, such as HNSW's neighbours.
const MAX_IN_FACTORY: u64 = 4096;
/// The days that a timestamp can hold, with room.
const FIRST_DAY: NaiveDate = day(1700);
const LAST_DAY: NaiveDate = day(2262);

const fn day(year: i32) -> NaiveDate {
    NaiveDate::from_ymd_opt(year, 1, 1).expect("every year has a first day")
}

/// Refuses what can't be meant.
pub(super) fn check(config: &DatasetConfig) -> Result<(), ConfigError> {
    columns::check(config)?;
    for (field, value, range) in numbers(config) {
        number(field, value, &range)?;
    }
    let candidates = config.evaluation.candidates;
    if [
        candidates.two_tower,
        candidates.bought_before,
        candidates.co_bought,
        candidates.popular,
    ] == [0; 4]
    {
        return Err(refused(
            "evaluation.candidates",
            0,
            "one of its sources must be above 0",
        ));
    }
    layers(config)?;
    factory("training.two_tower.index", &config.training.two_tower.index)?;
    factory(
        "training.two_tower.text_index",
        &config.training.two_tower.text_index,
    )?;
    dates(config)?;
    different("features.windows_days", &config.features.windows_days)?;
    different("training.scorers", &config.training.scorers)
}

fn refused(field: impl Into<String>, value: impl Display, wanted: impl Into<String>) -> ConfigError {
    ConfigError::Value {
        field: field.into(),
        value: value.to_string(),
        wanted: wanted.into(),
    }
}

fn number(field: String, value: f64, range: &RangeInclusive<f64>) -> Result<(), ConfigError> {
    if range.contains(&value) {
        return Ok(());
    }
    let wanted = format!("it must be from {} to {}", range.start(), range.end());
    Err(refused(field, value, wanted))
}

/// Every number, and between which it can be.
fn numbers(config: &DatasetConfig) -> Vec<(String, f64, RangeInclusive<f64>)> {
    let (windows, features, training) = (&config.windows, &config.features, &config.training);
    let (towers, candidates) = (&training.two_tower, &config.evaluation.candidates);
    let (forest, boosting) = (&training.forest, &training.boosting);
    let mut numbers: Vec<(String, f64, RangeInclusive<f64>)> = [
        ("windows.target_days", f64::from(windows.target_days), DAYS),
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
        (
            "training.weight_exponent",
            training.weight_exponent.into(),
            -10.0..=10.0,
        ),
        (
            "training.two_tower.dimension",
            towers.dimension as f64,
            1.0..=4096.0,
        ),
        ("training.two_tower.epochs", towers.epochs as f64, PASSES),
        ("training.two_tower.batch", towers.batch as f64, BATCH),
        ("training.two_tower.learning_rate", towers.learning_rate, RATE),
        ("training.two_tower.temperature", towers.temperature, 1e-4..=1e4),
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
    ]
    .map(|(field, value, range)| (field.to_owned(), value, range))
    .into();
    let search = [
        ("training.two_tower.nprobe", towers.nprobe),
        ("training.two_tower.ef_search", towers.ef_search),
        ("training.two_tower.text_nprobe", towers.text_nprobe),
    ];
    let search = search
        .into_iter()
        .filter_map(|(field, value)| Some((field.to_owned(), value?)));
    numbers.extend(search.map(|(field, value)| (field, value.into(), 1.0..=1_048_576.0)));
    if let Cross::LowRank(rank) = training.dcn.cross {
        numbers.push(("training.dcn.cross.low_rank".to_owned(), rank as f64, WIDTH));
    }
    numbers.extend(
        training
            .descents()
            .into_iter()
            .flat_map(|(field, descent)| descends(field, descent)),
    );
    numbers
}

fn descends(field: &str, descent: &Descent) -> [(String, f64, RangeInclusive<f64>); 5] {
    [
        ("epochs", descent.epochs as f64, PASSES),
        ("patience", descent.patience as f64, 0.0..=10_000.0),
        ("batch", descent.batch as f64, 1.0..=1_048_576.0),
        ("learning_rate", descent.learning_rate, RATE),
        ("weight_decay", descent.weight_decay, 0.0..=1000.0),
    ]
    .map(|(name, value, range)| (format!("{field}.{name}"), value, range))
}

fn layers(config: &DatasetConfig) -> Result<(), ConfigError> {
    let training = &config.training;
    for (field, widths) in [
        ("training.two_tower.hidden", &training.two_tower.hidden),
        ("training.dlrm.bottom", &training.dlrm.bottom),
        ("training.dlrm.top", &training.dlrm.top),
        ("training.wide_deep.hidden", &training.wide_deep.hidden),
        ("training.dcn.hidden", &training.dcn.hidden),
        ("training.mlp.hidden", &training.mlp.hidden),
    ] {
        for width in widths {
            number(field.to_owned(), *width as f64, &WIDTH)?;
        }
        if widths.len() > MAX_LAYERS {
            let value = format!("{} layers", widths.len());
            return Err(refused(field, value, format!("it must be at most {MAX_LAYERS}")));
        }
    }
    Ok(())
}

/// Refuses what FAISS would take memory for before it looks at it. The number of lists is held to the number of vectors later.
fn factory(field: &str, factory: &str) -> Result<(), ConfigError> {
    let value = || format!("{factory:?}");
    if factory.is_empty() || !factory.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(refused(
            field,
            value(),
            "it must be a factory string of FAISS, as IVF256,Flat",
        ));
    }
    let mut rest = factory;
    while let Some(begin) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, digits) = rest.split_at(begin);
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        let most = if before.ends_with("IVF") {
            MAX_LISTS
        } else {
            MAX_IN_FACTORY
        };
        if digits[..end].parse::<u64>().map_or(true, |number| number > most) {
            return Err(refused(
                field,
                value(),
                format!("the number {} can be {most} at most", &digits[..end]),
            ));
        }
        rest = &digits[end..];
    }
    Ok(())
}

/// Refuses windows that reach to where no timestamp does.
fn dates(config: &DatasetConfig) -> Result<(), ConfigError> {
    let windows = config.windows;
    let target = u64::from(windows.target_days);
    let before = target * u64::from(windows.training) + u64::from(windows.retrieval_days);
    let first = windows.test_start.checked_sub_days(Days::new(before));
    let last = windows.test_start.checked_add_days(Days::new(target));
    let known = first.is_some_and(|first| first >= FIRST_DAY) && last.is_some_and(|last| last <= LAST_DAY);
    if known {
        return Ok(());
    }
    let wanted = format!("all windows must be between {FIRST_DAY} and {LAST_DAY}");
    Err(refused("windows.test_start", windows.test_start, wanted))
}

/// Refuses what is listed twice.
fn different<T: Ord + Display>(field: &str, values: &[T]) -> Result<(), ConfigError> {
    let mut seen = BTreeSet::new();
    match values.iter().find(|value| !seen.insert(*value)) {
        None => Ok(()),
        Some(twice) => Err(ConfigError::Twice {
            field: field.to_owned(),
            value: twice.to_string(),
        }),
    }
}

#[cfg(test)]
mod tests;
