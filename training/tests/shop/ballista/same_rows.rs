//! Every query of ours, run here and on a cluster, row by row.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;

use arrow::compute::concat_batches;
use arrow::record_batch::RecordBatch;
use arrow::util::pretty::pretty_format_batches;
use chrono::NaiveDate;
use gondola_training::dataset::queries::QuerySettings;
use gondola_training::dataset::{Dataset, DatasetConfig, ShopFiles};
use gondola_training::features;
use gondola_training::labels::{self, Window};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tempfile::TempDir;
use url::Url;

use crate::cluster::Cluster;
use crate::made_up::{CONFIG, sales, shop};

/// The shop's views, whose columns order their rows.
const VIEWS: [&str; 3] = ["transactions", "users", "items"];

/// A shop's tables, opened with an engine.
struct Opened {
    dataset: Dataset,
    staged: TempDir,
}

async fn open(yaml: &str, folder: &Path, queries: &QuerySettings) -> Opened {
    let staged = tempfile::tempdir().unwrap();
    let file = staged.path().join("dataset.yaml");
    fs::write(&file, yaml).unwrap();
    let config = DatasetConfig::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    let files = ShopFiles::find(&config, &Url::from_directory_path(folder).unwrap())
        .await
        .unwrap();
    Dataset::stage(config.clone(), &files, queries, staged.path())
        .await
        .unwrap();
    let dataset = Dataset::open_staged(config, queries, staged.path())
        .await
        .unwrap();
    Opened { dataset, staged }
}

/// Compares all tables, features at some cut-offs, and labels.
async fn check(yaml: &str, folder: &Path, cluster: &Cluster, cut_offs: &[&str]) {
    let here = open(yaml, folder, &QuerySettings::default()).await;
    let there = open(yaml, folder, &QuerySettings::on(cluster.engine())).await;
    check_folders(here.staged.path(), there.staged.path());
    for view in VIEWS {
        check_view(view, &here.dataset, &there.dataset).await;
    }
    let last = labels::day_after_last(&here.dataset).await.unwrap();
    assert_eq!(labels::day_after_last(&there.dataset).await.unwrap(), last);
    for cut_off in cut_offs {
        let cut_off: NaiveDate = cut_off.parse().unwrap();
        let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        features::compute(&here.dataset, cut_off, ours.path())
            .await
            .unwrap();
        features::compute(&there.dataset, cut_off, theirs.path())
            .await
            .unwrap();
        check_folders(ours.path(), theirs.path());
        check_window(&here.dataset, &there.dataset, cut_off).await;
    }
}

/// Every Parquet file of two folders, row by row, and every other byte by byte.
fn check_folders(here: &Path, there: &Path) {
    let names = |folder: &Path| -> BTreeSet<_> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name()).collect()
    };
    let found = names(here);
    assert_eq!(names(there), found);
    assert!(found.len() >= 3, "{found:?}");
    for name in found {
        let (here, there, name) = (here.join(&name), there.join(&name), name.to_string_lossy());
        if name.ends_with(".parquet") {
            check_rows(&name, &read(&here), &read(&there));
        } else {
            assert_eq!(
                fs::read_to_string(there).unwrap(),
                fs::read_to_string(here).unwrap(),
                "{name}"
            );
        }
    }
}

fn read(file: &Path) -> RecordBatch {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(file).unwrap()).unwrap();
    let schema = reader.schema().clone();
    let batches: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
    concat_batches(&schema, &batches).unwrap()
}

/// Shows the first rows that differ.
fn check_rows(what: &str, here: &RecordBatch, there: &RecordBatch) {
    assert_eq!(there.schema().fields(), here.schema().fields(), "{what}");
    assert_eq!(there.num_rows(), here.num_rows(), "{what}: rows");
    let differing = (0..here.num_rows()).find(|row| here.slice(*row, 1) != there.slice(*row, 1));
    if let Some(row) = differing {
        let rows = [here.slice(row, 1), there.slice(row, 1)];
        panic!(
            "{what}, row {row}, here and there:\n{}",
            pretty_format_batches(&rows).unwrap()
        );
    }
}

async fn check_view(view: &str, here: &Dataset, there: &Dataset) {
    let ordered = async |dataset: &Dataset| {
        let table = dataset.sql.table(view).await.unwrap();
        let columns = table.schema().columns();
        let order = columns.into_iter().map(|column| column.into()).map(sort);
        let sorted = table.sort(order.collect()).unwrap();
        let schema = sorted.schema().as_arrow().clone().into();
        concat_batches(&schema, &sorted.collect().await.unwrap()).unwrap()
    };
    check_rows(view, &ordered(here).await, &ordered(there).await);
}

fn sort(column: datafusion::prelude::Expr) -> datafusion::logical_expr::SortExpr {
    column.sort(true, false)
}

/// What was bought after a cut-off, or what is said where nothing was.
async fn check_window(here: &Dataset, there: &Dataset, cut_off: NaiveDate) {
    let window = async |dataset: &Dataset| {
        let window = Window::read(dataset, cut_off, cut_off + chrono::Days::new(7)).await;
        window
            .map(|window| window.bought)
            .map_err(|error| error.to_string())
    };
    assert_eq!(window(there).await, window(here).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_query_gives_the_same_rows_here_and_on_a_cluster() {
    let cluster = Cluster::start(2);
    let folder = tempfile::tempdir().unwrap();
    shop(folder.path(), &sales(), 3);
    // The first day of all, one in the middle, the last, and one after which there is nothing.
    let cut_offs = ["2021-01-01", "2018-09-21", "2019-11-28", "2020-08-13"];
    check(CONFIG, folder.path(), &cluster, &cut_offs).await;
    check_a_small_shop_with_all_that_can_be_missing(&cluster).await;
    check_a_fashion_chain(&cluster).await;
}

/// Six columns of items have a most frequent value, each of which makes the plan deeper.
async fn check_a_fashion_chain(cluster: &Cluster) {
    let yaml = example("h-and-m");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/hm");
    check(&yaml, &folder, cluster, &["2020-09-16"]).await;
}

fn example(shop: &str) -> String {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    fs::read_to_string(examples.join(shop).join("dataset.yaml")).unwrap()
}

/// A grocery's year, where GONDOLA_DATA names a folder that has it.
#[tokio::test(flavor = "multi_thread")]
async fn every_query_of_the_complete_journey_gives_the_same_rows_here_and_on_a_cluster() {
    let Some(data) = std::env::var_os("GONDOLA_DATA") else {
        eprintln!("GONDOLA_DATA is not set: the Complete Journey was not tried");
        return;
    };
    let yaml = example("complete-journey");
    let folder = Path::new(&data).join("complete-journey");
    check(&yaml, &folder, &Cluster::start(2), &["2017-12-12"]).await;
}

/// Users of whom nothing is known, items that nobody bought, ids that are written in two ways, no price, no store, nulls, commas and
/// quotes.
async fn check_a_small_shop_with_all_that_can_be_missing(cluster: &Cluster) {
    let yaml = "
name: tiny
transactions: {file: tx.csv, user: cid, item: aid, time: when}
users: {file: users.csv, key: cid, categorical: [club], numeric: [age]}
items: {file: items.csv, key: aid, categorical: [kind], numeric: [weight], text: [\"the \\\"name\\\"\"]}
features: {user_attributes: [kind], windows_days: [1, 30]}
windows: {test_start: 2024-01-20}
";
    let folder = tempfile::tempdir().unwrap();
    let write = |file: &str, text: &str| fs::write(folder.path().join(file), text).unwrap();
    write(
        "users.csv",
        "cid,club,age\n1000,LEFT,43\n1001,,\n1002,RIGHT,20.5\n1009,\"a, b\",7\n",
    );
    write(
        "items.csv",
        "aid,kind,weight,\"the \"\"name\"\"\"\n0500100,shirt,0.5,\"a \"\"shirt\"\"\"\n0500107,,2,\n0500109,hat,,hat\n",
    );
    write(
        "tx.csv",
        "when,cid,aid\n2024-01-01,1000,0500100\n2024-01-02,1001,0500107\n2024-01-03,1002,500100\n2024-01-03,1002,500107\n\
         2024-01-21 10:30:00,1000,0500100\n2024-01-21,7,9\n2024-01-22,,9\n",
    );
    check(
        yaml,
        folder.path(),
        cluster,
        &["2024-01-02", "2024-01-20", "2024-02-01"],
    )
    .await;
}
