//! The tables of features are the same to the byte however the shop cut its files, however many threads compute, and on how many
//! machines.

use std::collections::BTreeMap;
use std::fs;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::Path;

use crate::made_up::{CONFIG, sales, shop};
use gondola_training::dataset::engine::Engine;
use gondola_training::dataset::queries::{QueryMemory, QuerySettings};
use gondola_training::dataset::{Dataset, DatasetConfig, ShopFiles};
use gondola_training::features;
use sha2::{Digest, Sha256};
use url::Url;

/// What a table's file in the folder of the shop's tables begins with, if it is the same for any number of files.
const NUMBERED: &str = "numbered_";

/// The digest of each table.
async fn digests(shop: &Path, queries: QuerySettings) -> BTreeMap<String, String> {
    let yaml = shop.join("dataset.yaml");
    fs::write(&yaml, CONFIG).unwrap();
    let config = DatasetConfig::read(&yaml).unwrap();
    fs::remove_file(&yaml).unwrap();
    let as_of = config.windows.test_start;
    let files = ShopFiles::find(&config, &Url::from_directory_path(shop).unwrap())
        .await
        .unwrap();
    let (staged, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    Dataset::stage(config.clone(), &files, &queries, staged.path())
        .await
        .unwrap();
    let dataset = Dataset::open_staged(config, &queries, staged.path())
        .await
        .unwrap();
    features::compute(&dataset, as_of, out.path()).await.unwrap();
    let mut digests = of_files(out.path());
    digests.extend(
        of_files(staged.path())
            .into_iter()
            .filter(|(name, _)| name.starts_with(NUMBERED)),
    );
    digests
}

fn of_files(folder: &Path) -> BTreeMap<String, String> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files
        .map(|file| {
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            (name, hex::encode(Sha256::digest(fs::read(file).unwrap())))
        })
        .collect()
}

async fn check_every_number_of_files_and_partitions(engines: &[Engine]) {
    let sales = sales();
    let mut first = None;
    for files in [1, 8] {
        let folder = tempfile::tempdir().unwrap();
        shop(folder.path(), &sales, files);
        for (engine, partitions) in engines
            .iter()
            .flat_map(|engine| [1, 2, 8].map(|count| (engine, count)))
        {
            let queries = QuerySettings {
                partitions: NonZeroUsize::new(partitions).unwrap(),
                ..QuerySettings::on(engine.clone())
            };
            let found = digests(folder.path(), queries).await;
            assert_eq!(found.len(), 9, "{found:?}");
            let wanted = first.get_or_insert_with(|| found.clone());
            assert_eq!(
                &found, wanted,
                "{files} files, {partitions} partitions, {engine:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn features_are_the_same_to_the_byte_for_any_number_of_files_and_partitions() {
    check_every_number_of_files_and_partitions(&[Engine::Local]).await;
}

#[cfg(feature = "ballista")]
#[tokio::test(flavor = "multi_thread")]
async fn features_are_the_same_to_the_byte_here_and_on_a_cluster() {
    let cluster = crate::cluster::Cluster::start(2);
    check_every_number_of_files_and_partitions(&[Engine::Local, cluster.engine()]).await;
}

/// The order in which a shop's rows lie says nothing, and neither may features.
#[tokio::test(flavor = "multi_thread")]
async fn features_are_the_same_to_the_byte_when_the_rows_lie_in_another_order() {
    let mut sales = sales();
    let little = QuerySettings {
        memory: QueryMemory::mebibytes(NonZeroU32::new(256).unwrap()),
        ..QuerySettings::default()
    };
    let in_order = tempfile::tempdir().unwrap();
    shop(in_order.path(), &sales, 1);
    sales.reverse();
    let reversed = tempfile::tempdir().unwrap();
    shop(reversed.path(), &sales, 3);
    assert_eq!(
        digests(in_order.path(), QuerySettings::default()).await,
        digests(reversed.path(), little).await
    );
}
