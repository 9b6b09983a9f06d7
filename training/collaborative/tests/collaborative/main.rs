//! What all models have in common: they learn who buys what, are the same for the same seed, and survive odd shops.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod closed_form;

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use arrow::record_batch::RecordBatch;
use gondola_models::features::{History, Purchase, RawTable};
use gondola_models::retrieval::ITEMS;
use gondola_models::retrieval::trained::{DESCRIPTION, TrainedSource};

use gondola_collaborative::settings::{
    Als, Bpr, Ease, ItemKnn, Popularity, Rp3beta, Similarity, Slim, UserKnn,
};
use gondola_collaborative::{Settings, fit};

/// A catalog of nothing but ids.
fn catalog(ids: &[String]) -> RawTable {
    let ids = StringArray::from_iter_values(ids);
    let batch = RecordBatch::try_from_iter([("item_id", Arc::new(ids) as ArrayRef)]).unwrap();
    RawTable::from_batch(&batch, "item_id", Path::new("items.parquet")).unwrap()
}

/// The history of these pairs of a user and an item, each bought once a day ago.
fn history(users: usize, pairs: &[(u32, u32)]) -> History {
    let purchase = |item| Purchase {
        item,
        purchases: 1.0,
        days_since_last: 1.0,
        recent_purchases: 1.0,
    };
    let mut pairs = pairs.to_vec();
    pairs.sort_unstable();
    pairs.dedup();
    History::new(
        users,
        pairs
            .into_iter()
            .map(|(user, item)| (user, purchase(item)))
            .collect(),
    )
}

const USERS: usize = 120;
const ITEMS_OF_SHOP: usize = 30;

/// Even users buy even items, odd ones odd items, about a third of them each; nobody bought item 29.
fn shop() -> Vec<(u32, u32)> {
    let mixed = |user: u32, item: u32| (user * 64 + item).wrapping_mul(2_654_435_761) >> 16;
    let buys = |user, item| user % 2 == item % 2 && item < 29 && mixed(user, item) % 3 == 0;
    let pairs = (0..USERS as u32).flat_map(|user| (0..ITEMS_OF_SHOP as u32).map(move |item| (user, item)));
    pairs.filter(|(user, item)| buys(*user, *item)).collect()
}

fn small() -> Vec<Settings> {
    let mut all = Settings::all();
    for settings in &mut all {
        match settings {
            Settings::Ease(ease) => ease.regularization = 5.0,
            Settings::Slim(slim) => (slim.l1, slim.l2) = (0.1, 1.0),
            Settings::Als(als) => (als.dimension, als.regularization) = (8, 0.1),
            Settings::Bpr(bpr) => (bpr.dimension, bpr.fold_in.regularization) = (8, 0.1),
            Settings::Sasrec(sasrec) => (sasrec.dimension, sasrec.length, sasrec.epochs) = (16, 12, 30),
            _ => {}
        }
    }
    all
}

#[test]
fn every_model_learns_who_buys_what() {
    let history = history(USERS, &shop());
    for settings in small() {
        if matches!(settings, Settings::Popularity(_)) {
            continue;
        }
        let source = fit(&settings, &history, USERS, ITEMS_OF_SHOP, 1)
            .unwrap()
            .source(ITEMS_OF_SHOP);
        let mut right = 0;
        for user in 0..USERS {
            let bought = history.of(user);
            let found = source.candidates(bought, 3);
            let wanted = if bought.is_empty() { 0 } else { 3 };
            assert_eq!(found.len(), wanted, "{}", settings.title());
            assert!(
                found
                    .iter()
                    .all(|item| bought.iter().all(|bought| bought.item != *item))
            );
            right += found
                .iter()
                .filter(|item| **item as usize % 2 == user % 2)
                .count();
        }
        let buyers = (0..USERS).filter(|user| !history.of(*user).is_empty()).count();
        // One in two by chance.
        let most = buyers * 3;
        assert!(right * 100 > most * 90, "{}: {right} of {most}", settings.title());
    }
}

#[test]
fn the_same_seed_gives_the_same_model_and_it_is_read_as_it_was_written() {
    let history = history(USERS, &shop());
    let ids: Vec<String> = (0..ITEMS_OF_SHOP).map(|item| format!("i{item}")).collect();
    let items = catalog(&ids);
    for settings in small() {
        let fitted = || fit(&settings, &history, USERS, ITEMS_OF_SHOP, 7).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (fitted(), fitted());
        one.save(&settings, &items, folder.path()).unwrap();
        assert!(folder.path().join(DESCRIPTION).exists() && folder.path().join(ITEMS).exists());
        let read = TrainedSource::load(folder.path(), &items).unwrap();
        let other = other.source(ITEMS_OF_SHOP);
        for user in 0..USERS {
            let bought = history.of(user);
            assert_eq!(
                read.candidates(bought, 10),
                other.candidates(bought, 10),
                "{}",
                settings.title()
            );
        }
    }
}

#[test]
fn a_shop_of_another_catalog_is_refused() {
    let history = history(USERS, &shop());
    let settings = Settings::ItemKnn(ItemKnn::default());
    let fitted = fit(&settings, &history, USERS, ITEMS_OF_SHOP, 1).unwrap();
    let table = |prefix: &str| {
        let ids: Vec<String> = (0..ITEMS_OF_SHOP).map(|item| format!("{prefix}{item}")).collect();
        catalog(&ids)
    };
    let folder = tempfile::tempdir().unwrap();
    fitted.save(&settings, &table("i"), folder.path()).unwrap();
    let refused = TrainedSource::load(folder.path(), &table("other"))
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("none of its 29 items is in the features bundle"),
        "{refused}"
    );
}

#[test]
fn small_and_lonely_shops_are_no_reason_to_panic() {
    let alone: Vec<(u32, u32)> = (0..10).map(|user| (user, user)).collect();
    let one_item: Vec<(u32, u32)> = (0..10).map(|user| (user, 0)).collect();
    let few = [
        Settings::Ease(Ease {
            fewest_buyers: 1,
            ..Ease::default()
        }),
        Settings::Ease(Ease {
            fewest_buyers: 1,
            exact_items: 0,
            ..Ease::default()
        }),
        Settings::Slim(Slim {
            fewest_buyers: 1,
            ..Slim::default()
        }),
        Settings::Rp3beta(Rp3beta {
            fewest_buyers: 1,
            ..Rp3beta::default()
        }),
        Settings::ItemKnn(ItemKnn {
            fewest_buyers: 1,
            ..ItemKnn::default()
        }),
        Settings::ItemKnn(ItemKnn {
            fewest_buyers: 1,
            similarity: Similarity::Bm25 { k1: 1.2, b: 0.75 },
            ..ItemKnn::default()
        }),
        Settings::UserKnn(UserKnn {
            fewest_buyers: 1,
            ..UserKnn::default()
        }),
        Settings::Als(Als {
            fewest_buyers: 1,
            ..Als::default()
        }),
        Settings::Bpr(Bpr {
            fewest_buyers: 1,
            ..Bpr::default()
        }),
        Settings::Popularity(Popularity::default()),
    ];
    for pairs in [alone, one_item] {
        let history = history(12, &pairs);
        for settings in &few {
            let source = fit(settings, &history, 12, 10, 1).unwrap().source(10);
            for user in 0..12 {
                source.candidates(history.of(user), 5);
            }
        }
    }
}

#[test]
fn a_shop_in_which_nothing_was_bought_often_enough_is_told() {
    let refused = fit(&Settings::Ease(Ease::default()), &history(3, &[(0, 0)]), 3, 2, 1)
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("no item was bought by 5 users or more; lower fewest_buyers"),
        "{refused}"
    );
}

#[test]
fn steps_too_large_are_told_and_not_served() {
    let settings = Settings::Bpr(Bpr {
        learning_rate: 1e20,
        ..Bpr::default()
    });
    let refused = fit(&settings, &history(USERS, &shop()), USERS, ITEMS_OF_SHOP, 1)
        .unwrap_err()
        .to_string();
    assert!(refused.contains("lower learning_rate"), "{refused}");
}

#[test]
fn settings_that_no_machine_could_fit_are_refused_by_name() {
    let refused = [
        (
            Settings::Als(Als {
                dimension: usize::MAX,
                ..Als::default()
            }),
            "ALS: dimension is",
        ),
        (
            Settings::Bpr(Bpr {
                regularization: f32::NAN,
                ..Bpr::default()
            }),
            "BPR: regularization is NaN",
        ),
        (
            Settings::Ease(Ease {
                nearest: 1 << 40,
                ..Ease::default()
            }),
            "EASE^R: nearest is",
        ),
        (
            Settings::Slim(Slim {
                l1: -1.0,
                ..Slim::default()
            }),
            "SLIM: l1 is -1",
        ),
        (
            Settings::UserKnn(UserKnn {
                neighbors: 0,
                ..UserKnn::default()
            }),
            "UserKNN: neighbors is 0",
        ),
        (
            Settings::Popularity(Popularity { days: Some(0) }),
            "most popular: days is 0",
        ),
    ];
    for (settings, part) in refused {
        let message = settings.check().unwrap_err().to_string();
        assert!(message.starts_with(part), "{message}");
    }
    assert!(Settings::all().iter().all(|settings| settings.check().is_ok()));
}
