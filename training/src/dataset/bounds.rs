//! What the values of a configuration can be: what is refused here would end in a panic, in hours of work for
//! nothing, or in models that mean something else.

mod columns;
mod numbers;

use std::collections::BTreeSet;
use std::fmt::Display;

use chrono::{Days, NaiveDate};

use gondola_collaborative::Settings;

use super::config::{ConfigError, DatasetConfig};
use numbers::{Number, WIDTH};

/// The most hidden layers.
const MAX_LAYERS: usize = 64;
/// The most lists of an index.
const MAX_LISTS: u64 = 1 << 24;
/// The largest other number in an index' factory string, such as HNSW's neighbors.
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
    for number in numbers::all(config) {
        within(number)?;
    }
    let candidates = &config.evaluation.candidates;
    if [
        candidates.two_tower,
        candidates.bought_before,
        candidates.co_bought,
        candidates.popular,
    ] == [0; 4]
        && candidates.trained.values().all(|count| *count == 0)
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
    different("training.scorers", &config.training.scorers)?;
    best(config)?;
    sources(config)
}

/// Refuses to publish a scorer that is not trained as the one to take.
fn best(config: &DatasetConfig) -> Result<(), ConfigError> {
    let scorers = &config.training.scorers;
    match config.training.best.filter(|best| !scorers.contains(best)) {
        None => Ok(()),
        Some(best) => {
            let names: Vec<&str> = scorers.iter().map(|scorer| scorer.bundle()).collect();
            let wanted = format!("it has to be one of training.scorers: {names:?}");
            Err(refused("training.best", best.bundle(), wanted))
        }
    }
}

/// Refuses sources that can't be fitted or that are there twice, and others than those where candidates or opinions are asked for.
fn sources(config: &DatasetConfig) -> Result<(), ConfigError> {
    let sources = &config.training.sources;
    for source in sources {
        let checked = source.check();
        checked.map_err(|error| refused("training.sources", source.bundle(), error.to_string()))?;
    }
    let names: Vec<&str> = sources.iter().map(Settings::bundle).collect();
    different("training.sources", &names)?;
    different("training.stacking", &config.training.stacking)?;
    let asked = config.evaluation.candidates.trained.keys();
    let asked = asked.map(|name| ("evaluation.candidates.trained", name));
    let stacked = config.training.stacking.iter();
    let mut named = asked.chain(stacked.map(|name| ("training.stacking", name)));
    match named.find(|(_, name)| !names.contains(&name.as_str())) {
        Some((field, name)) => Err(refused(
            field,
            name,
            format!("it has to be one of training.sources: {names:?}"),
        )),
        None => Ok(()),
    }
}

fn refused(field: impl Into<String>, value: impl Display, wanted: impl Into<String>) -> ConfigError {
    ConfigError::Value {
        field: field.into(),
        value: value.to_string(),
        wanted: wanted.into(),
    }
}

fn within(number: Number) -> Result<(), ConfigError> {
    let Number { field, value, range } = number;
    if range.contains(&value) {
        return Ok(());
    }
    let wanted = format!("it must be from {} to {}", range.start(), range.end());
    Err(refused(field, value, wanted))
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
            within(Number {
                field: field.to_owned(),
                value: *width as f64,
                range: WIDTH,
            })?;
        }
        if widths.len() > MAX_LAYERS {
            let value = format!("{} layers", widths.len());
            return Err(refused(field, value, format!("it must be at most {MAX_LAYERS}")));
        }
    }
    Ok(())
}

/// Refuses what FAISS would take memory for before it looks at it. The number of lists is held to the number
/// of vectors later.
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
