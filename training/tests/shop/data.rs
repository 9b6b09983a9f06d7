//! From a shop's files to feature tables and labeled pairs: a small shop in the H&M schema, what can be wrong with
//! files and configurations, and the Complete Journey where `GONDOLA_DATA` names a folder that has it.

mod killed;
mod sizes;

use std::collections::HashSet;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use gondola_models::features::{Cell, Cells};
use gondola_training::dataset::evaluation::Seen;
use gondola_training::dataset::{Dataset, DatasetConfig};
use gondola_training::evaluate::baselines::most_popular;
use gondola_training::evaluate::end_to_end;
use gondola_training::evaluate::ranking::RankingMetrics;
use gondola_training::features::{self, FeatureTables, Snapshot};
use gondola_training::labels::{self, Window};
use tempfile::TempDir;
use url::Url;

/// The first day of the week that another program judged the most-popular baseline on.
const CUT_OFF: &str = "2020-09-16";

fn day(day: &str) -> NaiveDate {
    day.parse().unwrap()
}

fn example(shop: &str) -> DatasetConfig {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    DatasetConfig::read(&examples.join(shop).join("dataset.yaml")).unwrap()
}

fn hm_files() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/hm")
}

/// A copy of the small shop's files that a test may change.
fn shop() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in ["articles.csv", "customers.csv", "transactions_train.csv"] {
        let text = fs::read_to_string(hm_files().join(file)).unwrap();
        fs::write(folder.path().join(file), text).unwrap();
    }
    folder
}

fn change(folder: &Path, file: &str, change: impl FnOnce(String) -> String) {
    let path = folder.join(file);
    fs::write(&path, change(fs::read_to_string(&path).unwrap())).unwrap();
}

async fn open(config: DatasetConfig, folder: &Path) -> Result<Dataset, String> {
    let url = Url::from_directory_path(folder).unwrap();
    Dataset::open(config, &url).await.map_err(|error| chain(&error))
}

/// An error and its causes, as the program prints them.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

async fn compute(folder: &Path, out: &Path) -> FeatureTables {
    let dataset = open(example("h-and-m"), folder).await.unwrap();
    features::compute(&dataset, day(CUT_OFF), out)
        .await
        .map_err(|error| chain(&error))
        .unwrap()
}

async fn snapshot(folder: &Path) -> Snapshot {
    let out = tempfile::tempdir().unwrap();
    Snapshot::read(&compute(folder, out.path()).await)
        .map_err(|error| chain(&error))
        .unwrap()
}

/// Every row of the three tables, to be compared.
async fn everything(folder: &Path) -> Vec<String> {
    let snapshot = snapshot(folder).await;
    let mut rows = Vec::new();
    for table in [&snapshot.users, &snapshot.items] {
        for row in 0..table.len() {
            let values = table.row(row);
            let cells: Vec<Cell<'_>> = table.columns().iter().map(|column| values.cell(column)).collect();
            rows.push(format!("{}: {cells:?}", table.id(row)));
        }
    }
    rows.extend((0..snapshot.users.len()).map(|user| format!("{:?}", snapshot.history.of(user))));
    rows
}

#[tokio::test]
async fn csv_files_of_a_fashion_shop_become_features() {
    let snapshot = snapshot(&hm_files()).await;
    assert_eq!((snapshot.users.len(), snapshot.items.len()), (30, 20));
    let item = snapshot
        .items
        .find("0108775015")
        .expect("article ids keep their leading zeros");
    let item = snapshot.items.row(item);
    assert_eq!(item.cell("count_7d_purchased"), Cell::Number(10.0));
    assert_eq!(item.cell("product_type_name"), Cell::Text("Vest top"));
    assert_eq!(
        item.cell("detail_desc"),
        Cell::Text("Soft, \"ribbed\" cotton, long sleeves.")
    );
    let price = item.cell("mean_price").as_number().unwrap();
    assert!((price - 0.03491191461126617).abs() < 1e-12, "{price}");
    let lines = snapshot
        .items
        .cells("detail_desc")
        .filter(|cell| matches!(cell, Cell::Text(text) if text.contains('\n')));
    assert_eq!(lines.count(), 4, "texts keep their line breaks");
    let ages = snapshot.users.cells("age").filter(|cell| *cell == Cell::Null);
    assert_eq!(ages.count(), 16, "an empty field is null");
    let pairs: usize = (0..snapshot.users.len())
        .map(|user| snapshot.history.of(user).len())
        .sum();
    assert_eq!(pairs, 275);
}

#[tokio::test]
async fn the_most_popular_items_are_as_good_as_another_program_says() {
    let expected: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(hm_files().join("expected.json")).unwrap()).unwrap();
    let snapshot = snapshot(&hm_files()).await;
    let popular: Vec<String> = most_popular(&snapshot.items, 7, 12)
        .into_iter()
        .map(|row| snapshot.items.id(row as usize).to_owned())
        .collect();
    assert_eq!(serde_json::json!(popular), expected["popular_last_7_days"]);

    let dataset = open(example("h-and-m"), &hm_files()).await.unwrap();
    let window = Window::read(&dataset, day(CUT_OFF), day("2020-09-23"))
        .await
        .unwrap();
    let bought = end_to_end::bought(&dataset, &snapshot, &window);
    let metrics = RankingMetrics::of(bought.values().map(|bought| (popular.as_slice(), bought)), 12);
    assert_eq!(
        metrics.users as u64,
        expected["n_eval_customers"].as_u64().unwrap()
    );
    assert!(
        (metrics.map - expected["map12_popularity"].as_f64().unwrap()).abs() < 1e-9,
        "{metrics:?}"
    );
}

#[tokio::test]
async fn where_lists_may_not_have_what_was_bought_only_what_is_new_counts() {
    let snapshot = snapshot(&hm_files()).await;
    let mut config = example("h-and-m");
    let window = async |config| {
        let dataset = open(config, &hm_files()).await.unwrap();
        let window = Window::read(&dataset, day(CUT_OFF), day("2020-09-23"))
            .await
            .unwrap();
        end_to_end::bought(&dataset, &snapshot, &window)
    };
    let all = window(config.clone()).await;
    config.evaluation.seen = Seen::Remove;
    let new = window(config).await;
    let known = |user: &String, item: &String| snapshot.has_bought(user, item);
    assert!(
        all.iter()
            .any(|(user, items)| items.iter().any(|item| known(user, item)))
    );
    for (user, items) in &all {
        let expected: HashSet<String> = items.iter().filter(|item| !known(user, item)).cloned().collect();
        // One who bought nothing new is asked for nothing.
        assert_eq!(new.get(user).cloned().unwrap_or_default(), expected);
    }
    assert!(new.values().all(|items| !items.is_empty()));
}

#[test]
fn average_precision_is_the_competitions() {
    let expected: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(hm_files().join("expected.json")).unwrap()).unwrap();
    let ids = |value: &serde_json::Value| -> Vec<String> { serde_json::from_value(value.clone()).unwrap() };
    for case in expected["ap_cases"].as_array().unwrap() {
        let bought: HashSet<String> = ids(&case["actual"]).into_iter().collect();
        let list = ids(&case["pred"]);
        let metrics = RankingMetrics::of([(list.as_slice(), &bought)].into_iter(), 12);
        assert!(
            (metrics.map - case["ap12"].as_f64().unwrap()).abs() < 1e-12,
            "{case}: {metrics:?}"
        );
    }
}

#[tokio::test]
async fn nothing_of_the_cut_off_day_or_later_leaks_into_features() {
    let shop = shop();
    let before = everything(shop.path()).await;
    change(shop.path(), "transactions_train.csv", |text| {
        let later = |line: &str| line.starts_with("2020-") && line[..10] >= *CUT_OFF;
        let kept: Vec<&str> = text.lines().filter(|line| !later(line)).collect();
        let user = text.lines().nth(1).unwrap().split(',').nth(1).unwrap();
        // In place of what was sold from the cut-off on: one item, over and over, at an absurd price.
        let invented = (0..200).map(|i| format!("2020-09-{},{user},0108775015,99.5,7", 16 + i % 7));
        kept.into_iter()
            .map(str::to_owned)
            .chain(invented)
            .collect::<Vec<_>>()
            .join("\n")
            + "\n"
    });
    assert_eq!(everything(shop.path()).await, before);
}

#[tokio::test]
async fn a_value_that_is_not_a_number_is_null_and_an_item_outside_the_catalog_is_kept() {
    let shop = shop();
    change(shop.path(), "transactions_train.csv", |text| {
        let user = text.lines().nth(1).unwrap().split(',').nth(1).unwrap();
        format!(
            "{text}2020-09-10,{user},0999999999,NaN,2\n2020-09-10,{user},0999999999,,\n2020-09-10,,0108775015,0.1,2\n"
        )
    });
    let out = tempfile::tempdir().unwrap();
    let tables = compute(shop.path(), out.path()).await;
    let items = &open(example("h-and-m"), shop.path())
        .await
        .unwrap()
        .remarks
        .matches[0];
    assert_eq!(items.sold - items.known, 1);
    let snapshot = Snapshot::read(&tables).unwrap();
    let item = snapshot
        .items
        .row(snapshot.items.find("0999999999").expect("sold, so it is an item"));
    assert_eq!(item.cell("count_7d_purchased"), Cell::Number(2.0));
    assert_eq!(
        item.cell("mean_price"),
        Cell::Null,
        "NaN and empty prices have no mean"
    );
    assert_eq!(item.cell("product_type_name"), Cell::Null);
    assert_eq!(snapshot.users.len(), 30, "a purchase of nobody makes no user");
    assert!(
        snapshot
            .users
            .cells("monetary")
            .all(|cell| cell.as_number().is_some()),
        "one NaN spoils no sum"
    );
}

#[tokio::test]
async fn an_id_that_stands_twice_in_its_file_is_refused() {
    let shop = shop();
    change(shop.path(), "articles.csv", |text| {
        let again = text.lines().nth(2).unwrap().to_owned();
        format!("{}\n{again}\n", text.trim_end())
    });
    let message = open(example("h-and-m"), shop.path()).await.err().unwrap();
    assert_eq!(
        message,
        r#"articles.csv has 2 rows whose article_id is "0108775044"; keep one of them"#
    );
}

#[tokio::test]
async fn a_column_that_is_not_there_is_named_beside_those_that_are() {
    let mut config = example("h-and-m");
    config.items.categorical.push("color".to_owned());
    let message = open(config, &hm_files()).await.err().unwrap();
    assert!(
        message.contains(r#"articles.csv has no column "color"; it has ["article_id", "product_code""#),
        "{message}"
    );
}

#[tokio::test]
async fn a_file_that_is_not_there_is_named() {
    let shop = shop();
    fs::remove_file(shop.path().join("customers.csv")).unwrap();
    let message = open(example("h-and-m"), shop.path()).await.err().unwrap();
    assert!(message.contains("customers.csv"), "{message}");
}

#[tokio::test]
async fn a_window_without_purchases_says_how_far_the_data_reach() {
    let dataset = open(example("h-and-m"), &hm_files()).await.unwrap();
    let error = Window::read(&dataset, day("2021-01-01"), day("2021-01-21"))
        .await
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "nothing was bought from 2021-01-01 to 2021-01-21; the data reach from 2020-06-03T00:00:00 to \
         2020-09-22T00:00:00: move windows.test_start"
    );
}

#[tokio::test]
async fn a_test_window_that_the_data_do_not_fill_is_refused_with_one_that_they_do() {
    let mut config = example("h-and-m");
    config.windows.test_start = day("2020-09-10");
    let dataset = open(config, &hm_files()).await.unwrap();
    let error = labels::check_test_window(&dataset).await.unwrap_err().to_string();
    assert_eq!(
        error,
        "the test window reaches until 2020-09-30, but the data end before 2020-09-23: set windows.test_start to 2020-09-03 \
         or earlier"
    );
}

#[tokio::test]
async fn a_key_that_nobody_knows_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dataset.yaml");
    let yaml =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/h-and-m/dataset.yaml"))
            .unwrap();
    fs::write(&path, yaml.replace("half_life_days", "halflife_days")).unwrap();
    let message = chain(&DatasetConfig::read(&path).unwrap_err());
    assert!(message.contains("halflife_days"), "{message}");
}

#[track_caller]
fn close(found: Cell<'_>, wanted: f64) {
    let found = found.as_number().unwrap();
    assert!(
        (found - wanted).abs() < 1e-6 * wanted.abs().max(1.0),
        "{found} instead of {wanted}"
    );
}

/// On data of a real size: the numbers of another program, and the same labeled pairs from the same seed.
#[tokio::test]
async fn the_complete_journey_becomes_features_and_labeled_pairs() {
    let Some(data) = std::env::var_os("GONDOLA_DATA").map(|data| Path::new(&data).join("complete-journey"))
    else {
        eprintln!("GONDOLA_DATA is not set: the Complete Journey was not tried");
        return;
    };
    let config = example("complete-journey");
    let (train_start, test_start) = (config.windows.train_start(), config.windows.test_start);
    let half_life = config.features.half_life_days;
    let dataset = open(config, &data).await.unwrap();
    let out = tempfile::tempdir().unwrap();
    let started = std::time::Instant::now();
    let tables = features::compute(&dataset, train_start, out.path())
        .await
        .unwrap();
    eprintln!("features of the Complete Journey: {:?}", started.elapsed());
    let items = &dataset.remarks.matches[0];
    assert_eq!(items.sold - items.known, 17);
    let snapshot = Snapshot::read(&tables).unwrap();
    assert_eq!((snapshot.users.len(), snapshot.items.len()), (2460, 92348));
    let pairs: usize = (0..snapshot.users.len())
        .map(|user| snapshot.history.of(user).len())
        .sum();
    assert_eq!(pairs, 785_252);
    let user = snapshot.users.row(snapshot.users.find("900").unwrap());
    close(user.cell("recency_days"), 0.9328703703703703);
    close(user.cell("frequency_days"), 279.0);
    close(user.cell("monetary"), 8624.14);
    assert_eq!(user.cell("home_store"), Cell::Text("330"));
    assert_eq!(
        user.cell("popular_product_type"),
        Cell::Text("CAN DOGFD GOURMET/SUPER PREM (")
    );
    assert_eq!(
        user.cell("last_product_type"),
        Cell::Text("SW GDS: PUFF PASTRY-LESS THAN")
    );
    let item = snapshot.items.row(snapshot.items.find("1082185").unwrap());
    close(item.cell("count_7d_purchased"), 290.0);
    close(item.cell("count_90d_purchased"), 4304.0);
    close(item.cell("time_weighted_purchases"), 2054.4885208483684);
    close(item.cell("mean_price"), 1.00915481935568);
    close(item.cell("repeat_rate"), 0.6620135363790186);
    let favorite = snapshot.items.find("890536").unwrap() as u32;
    let purchases = snapshot.history.of(snapshot.users.find("900").unwrap());
    let favorite = purchases.iter().find(|bought| bought.item == favorite).unwrap();
    assert_eq!(favorite.purchases, 76.0);
    close(
        Cell::Number(f64::from(favorite.recent_purchases)),
        f64::from(27.128_45_f32),
    );
    let window = Window::read(&dataset, train_start, test_start).await.unwrap();
    assert_eq!(window.bought.len(), 72_932);
    let bought = window.pairs(&dataset, &snapshot);
    let labeled = labels::label(&bought, &snapshot, half_life, 1).unwrap();
    assert_eq!(labeled.pairs.len(), 2 * bought.len());
    assert_eq!(labels::label(&bought, &snapshot, half_life, 1).unwrap(), labeled);
    assert_ne!(labels::label(&bought, &snapshot, half_life, 2).unwrap(), labeled);
}
