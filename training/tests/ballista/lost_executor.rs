//! An executor that dies in the middle of a run.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use gondola_training::dataset::queries::QuerySettings;
use gondola_training::dataset::{Dataset, DatasetConfig, ShopFiles};
use gondola_training::features;
use url::Url;

use crate::cluster::Cluster;
use crate::made_up::{CONFIG, sales, shop};

/// The cut-offs whose features are computed, one after the other.
const CUT_OFFS: [&str; 6] = [
    "2020-01-01",
    "2020-02-01",
    "2020-03-01",
    "2020-04-01",
    "2020-05-01",
    "2020-06-01",
];

async fn open(folder: &Path, queries: QuerySettings) -> Dataset {
    let yaml = folder.join("dataset.yaml");
    fs::write(&yaml, CONFIG).unwrap();
    let config = DatasetConfig::read(&yaml).unwrap();
    let url = Url::from_directory_path(folder).unwrap();
    let files = ShopFiles::find(&config, &url).await.unwrap();
    Dataset::read(config, &files, queries).await.unwrap()
}

/// The bytes of all tables of all cut-offs.
async fn tables(dataset: &Dataset) -> Vec<Vec<u8>> {
    let mut tables = Vec::new();
    for cut_off in CUT_OFFS {
        let out = tempfile::tempdir().unwrap();
        let found = features::compute(dataset, cut_off.parse().unwrap(), out.path())
            .await
            .unwrap();
        tables.extend([found.users, found.items, found.history].map(|file| fs::read(file).unwrap()));
    }
    tables
}

/// Waits until there are files below a folder that were not there before.
async fn wait_for_rows(folder: &Path) {
    let known = count(folder);
    let end = Instant::now() + Duration::from_secs(60);
    while count(folder) <= known {
        assert!(Instant::now() < end, "no task left rows in {}", folder.display());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn count(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.path() {
            path if path.is_dir() => count(&path),
            _ => 1,
        })
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_executor_that_dies_costs_time_and_not_the_run() {
    let folder = tempfile::tempdir().unwrap();
    shop(folder.path(), &sales(), 4);
    let wanted = tables(&open(folder.path(), QuerySettings::default()).await).await;
    let mut cluster = Cluster::start(2);
    let dataset = open(folder.path(), QuerySettings::on(cluster.engine())).await;
    let run = tokio::spawn(async move { tables(&dataset).await });
    // Rows between two stages of a query lie there: the query is in its middle, and needs them.
    wait_for_rows(&cluster.executors[0].work).await;
    cluster.executors[0].kill();
    assert!(!run.is_finished(), "the run was over before its executor died");
    let found = tokio::time::timeout(Duration::from_secs(240), run).await;
    assert!(
        found.expect("the run ends").unwrap() == wanted,
        "the tables differ"
    );
}
