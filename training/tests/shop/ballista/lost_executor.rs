//! Executors, and a scheduler, that die in the middle of a run.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use gondola_causes::with_causes;
use gondola_training::dataset::queries::QuerySettings;
use gondola_training::dataset::{Dataset, DatasetConfig, DatasetError, ShopFiles};
use gondola_training::features;
use url::Url;

use crate::cluster::Cluster;
use crate::made_up::{CONFIG, sales, shop};

/// The cut-offs whose features are computed, one after the other.
const CUT_OFFS: [&str; 12] = [
    "2020-01-01",
    "2020-01-11",
    "2020-01-21",
    "2020-02-01",
    "2020-02-11",
    "2020-02-21",
    "2020-03-01",
    "2020-03-11",
    "2020-03-21",
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
async fn tables(dataset: &Dataset) -> Result<Vec<Vec<u8>>, DatasetError> {
    let mut tables = Vec::new();
    for cut_off in CUT_OFFS {
        let out = tempfile::tempdir().unwrap();
        let found = features::compute(dataset, cut_off.parse().unwrap(), out.path()).await?;
        tables.extend([found.users, found.items, found.history].map(|file| fs::read(file).unwrap()));
    }
    Ok(tables)
}

/// Waits until there are more files below a folder than there were.
async fn wait_for_rows(folder: &Path, known: usize) {
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

/// A run on a cluster, in whose middle something happens to the cluster.
async fn disturbed(folder: &Path, disturb: impl FnOnce(&mut Cluster)) -> Result<Vec<Vec<u8>>, DatasetError> {
    let mut cluster = Cluster::start(2);
    let dataset = open(folder, QuerySettings::on(cluster.engine())).await;
    let known = count(&cluster.executors[0].work);
    let run = tokio::spawn(async move { tables(&dataset).await });
    // Rows between two stages of a query lie there: the query is in its middle, and needs them.
    wait_for_rows(&cluster.executors[0].work, known).await;
    // A cluster that is gone may end the run at once.
    assert!(!run.is_finished(), "the run was over before anything happened");
    disturb(&mut cluster);
    let found = tokio::time::timeout(Duration::from_secs(240), run).await;
    found.expect("the run ends").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_executor_that_dies_costs_time_and_not_the_run() {
    let folder = tempfile::tempdir().unwrap();
    shop(folder.path(), &sales(), 4);
    let here = open(folder.path(), QuerySettings::default()).await;
    let wanted = tables(&here).await.unwrap();
    let found = disturbed(folder.path(), |cluster| cluster.executors[0].kill()).await;
    assert!(found.unwrap() == wanted, "the tables differ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_dies_ends_the_run_with_one_message() {
    let folder = tempfile::tempdir().unwrap();
    shop(folder.path(), &sales(), 4);
    let scheduler = disturbed(folder.path(), |cluster| cluster.process.kill()).await;
    check_message(scheduler, "this run, which goes on where it stopped");
    let all = |cluster: &mut Cluster| cluster.executors.iter_mut().for_each(|executor| executor.kill());
    let executors = disturbed(folder.path(), all).await;
    check_message(executors, "no executors remain to run the tasks for this job");
}

#[track_caller]
fn check_message(run: Result<Vec<Vec<u8>>, DatasetError>, cause: &str) {
    let said = with_causes(&run.unwrap_err());
    assert!(said.starts_with("cannot compute the features of "), "{said}");
    assert!(
        said.ends_with(cause) && said.matches(cause).count() == 1 && said.lines().count() == 1,
        "{said}"
    );
}
