//! What a report says of the data and of what was made, in words.

use std::time::{SystemTime, UNIX_EPOCH};

use chrono::NaiveDate;

use super::models::{Latest, Models};
use super::prepare::{Prepared, Sample};
use crate::dataset::Dataset;
use crate::dataset::config::Windows;
use crate::dataset::evaluation::Seen;
use crate::dataset::matches::Match;
use crate::dataset::remarks::{FileColumn, LeftOut};
use crate::fit::item_index::ItemIndex;
use crate::fit::text::TextIndex;
use crate::report::Fact;

/// Facts about the data set, its windows and the index that was judged, in the order in which they became
/// known.
pub(super) fn all(dataset: &Dataset, prepared: &Prepared, models: &Models) -> Vec<Fact> {
    let windows = [&prepared.train, &prepared.test].map(of_sample);
    let judged = of_buyers(prepared.test.window.users(), dataset.config.evaluation.users);
    let index = of_index("as evaluated", &models.index);
    of_data(dataset)
        .into_iter()
        .chain(windows)
        .chain([judged])
        .chain(of_what_counts(dataset.config.evaluation.seen))
        .chain([index])
        .chain(models.earlier_windows.iter().cloned())
        .collect()
}

/// What of a buyer's purchases counts, where it is not all.
fn of_what_counts(seen: Seen) -> Option<Fact> {
    match seen {
        Seen::Keep => None,
        Seen::Remove => Some(Fact::new("lists are judged by", "what was new to its buyer")),
    }
}

fn of_data(dataset: &Dataset) -> Vec<Fact> {
    let matches = dataset.remarks.matches.iter();
    let matches = matches.map(|found| Fact::new(found.title(), found.counts()));
    let left_out = dataset.remarks.left_out.iter().map(|LeftOut { file, rows }| {
        let what = format!("rows of {file} that are left out, without an id or a time");
        Fact::new(what, rows.to_string())
    });
    let whole_floats = dataset
        .remarks
        .whole_floats
        .iter()
        .map(|FileColumn { file, column }| {
            let what = format!("ids in column {column} of {file}");
            Fact::new(what, "were written as floats, taken for whole numbers")
        });
    matches.chain(left_out).chain(whole_floats).collect()
}

/// How large a window is.
pub(super) fn of_sample(sample: &Sample) -> Fact {
    let Sample {
        name, known, labeled, ..
    } = sample;
    let (users, items) = (known.snapshot.users.len(), known.snapshot.items.len());
    let pairs = labeled.pairs.len();
    Fact::new(
        format!("{name}: users, items, labeled pairs"),
        format!("{users}, {items}, {pairs}"),
    )
}

/// For how many buyers lists are made.
fn of_buyers(all: usize, limit: usize) -> Fact {
    let judged = if all > limit {
        format!("{limit} of {all}, drawn evenly")
    } else {
        format!("all {all}")
    };
    Fact::new("buyers of the test window that lists are made for", judged)
}

fn of_index(which: &str, index: &ItemIndex) -> Fact {
    Fact::new(
        format!("index {which}: items, recall@200 against exact search"),
        format!("{}, {:.4}", index.ids.len(), index.recall),
    )
}

/// What is in the text index.
pub(super) fn of_text(text: &TextIndex) -> [Fact; 2] {
    let (items, texts, recall) = (text.index.ids.len(), text.texts, text.index.recall);
    [
        Fact::new("items with a text, different texts", format!("{items}, {texts}")),
        Fact::new("recall@200 of the text index", format!("{recall:.4}")),
    ]
}

/// What is published in addition to the models.
pub(super) fn of_latest(latest: &Latest) -> [Fact; 2] {
    let as_of = latest.known.snapshot.as_of;
    [
        Fact::new("published: what was known on", as_of.to_string()),
        of_index("as published", &latest.index),
    ]
}

/// The windows, in words.
pub(super) fn windows(windows: Windows) -> String {
    let stopped = match windows.training {
        0 | 1 => "",
        _ => " How long was found on the last training window, by training on those before it first.",
    };
    format!(
        "Trained on what was known on {} and bought until {} (training windows of {} days: {}); tested on what was \
         known on {} and bought until {}.{stopped}",
        windows.train_start(),
        windows.test_start,
        windows.target_days,
        windows.training,
        windows.test_start,
        windows.test_end()
    )
}

/// What people should look at before they trust the rest; `until` is the day after the last purchase.
pub(super) fn notices(dataset: &Dataset, until: NaiveDate, today: NaiveDate) -> Vec<String> {
    let few_matches = dataset.remarks.matches.iter().filter_map(Match::notice);
    few_matches.chain(yet_to_come(until, today)).collect()
}

/// The day it is, in UTC.
pub(super) fn today() -> NaiveDate {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    NaiveDate::default() + chrono::Days::new(since_1970.as_secs() / 86_400)
}

/// A notice where the last purchase is yet to come: what is published counts its days from there.
fn yet_to_come(until: NaiveDate, today: NaiveDate) -> Option<String> {
    let last = until - chrono::Days::new(1);
    // Somewhere it is tomorrow already.
    (last > today + chrono::Days::new(1)).then(|| {
        format!(
            "The last purchase is of {last}, which is yet to come, and everything that is published counts its days from there: items that \
             were not sold shortly before are not recommended. Correct that purchase unless it is meant"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purchases_that_are_yet_to_come_are_noticed() {
        let day = |day: &str| day.parse::<NaiveDate>().unwrap();
        assert_eq!(yet_to_come(day("2024-05-22"), day("2024-05-20")), None);
        let notice = yet_to_come(day("2204-05-21"), day("2024-05-20")).unwrap();
        assert!(
            notice.starts_with("The last purchase is of 2204-05-20"),
            "{notice}"
        );
        assert!(today() > day("2025-01-01"));
    }
}
