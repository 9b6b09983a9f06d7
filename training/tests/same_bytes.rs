//! The tables of features are the same to the byte however the shop cut its files and however many threads compute.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::Path;

use gondola_training::dataset::queries::{QueryMemory, QuerySettings};
use gondola_training::dataset::{Dataset, DatasetConfig, ShopFiles};
use gondola_training::features;
use sha2::{Digest, Sha256};
use url::Url;

const PURCHASES: usize = 60_000;

const CONFIG: &str = "
name: many purchases
transactions: {file: sales.csv, user: customer, item: article, time: day, price: price, store: channel}
items: {file: articles.csv, key: article, categorical: [kind, color]}
features: {user_attributes: [kind, color]}
windows: {test_start: 2020-09-03}
";

/// Numbers that look like chance and are the same each time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % end
    }
}

/// Sales as a shop writes them, day by day: prices with many decimals, a few users who buy a lot, times that many
/// purchases share.
fn sales() -> Vec<String> {
    let mut chance = Chance(7);
    let sale = |place: usize| {
        let day = place * 700 / PURCHASES;
        let date = chrono::NaiveDate::from_ymd_opt(2018, 9, 20).unwrap() + chrono::Days::new(day as u64);
        let user = chance.below(3_000) * chance.below(3_000) / 3_000;
        let price = (1 + chance.below(1_000_000)) as f64 / 16_384_057.0;
        format!(
            "{date},customer-{user},{:010},{price},{}",
            chance.below(800),
            1 + chance.below(2)
        )
    };
    (0..PURCHASES).map(sale).collect()
}

/// The shop with its sales in so many files.
fn shop(folder: &Path, sales: &[String], files: usize) {
    let articles = (0..900).map(|item| format!("{item:010},kind {},color {}", item % 37, item % 11));
    let articles: Vec<String> = ["article,kind,color".to_owned()]
        .into_iter()
        .chain(articles)
        .collect();
    fs::write(folder.join("articles.csv"), articles.join("\n")).unwrap();
    let parts = folder.join("sales.csv");
    fs::create_dir(&parts).unwrap();
    for (number, rows) in sales.chunks(sales.len().div_ceil(files)).enumerate() {
        let rows = format!("day,customer,article,price,channel\n{}\n", rows.join("\n"));
        fs::write(parts.join(format!("{number}.csv")), rows).unwrap();
    }
}

/// The digest of each table.
async fn digests(shop: &Path, queries: QuerySettings) -> BTreeMap<String, String> {
    let yaml = shop.join("dataset.yaml");
    fs::write(&yaml, CONFIG).unwrap();
    let config = DatasetConfig::read(&yaml).unwrap();
    let as_of = config.windows.test_start;
    let files = ShopFiles::find(&config, &Url::from_directory_path(shop).unwrap())
        .await
        .unwrap();
    let dataset = Dataset::read(config, &files, queries).await.unwrap();
    let out = tempfile::tempdir().unwrap();
    let tables = features::compute(&dataset, as_of, out.path()).await.unwrap();
    let digest = |path: &Path| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        (name, hex::encode(Sha256::digest(fs::read(path).unwrap())))
    };
    [&tables.users, &tables.items, &tables.history]
        .map(|path| digest(path))
        .into()
}

#[tokio::test(flavor = "multi_thread")]
async fn features_are_the_same_to_the_byte_for_any_number_of_files_and_partitions() {
    let sales = sales();
    let mut first = None;
    for files in [1, 8] {
        let folder = tempfile::tempdir().unwrap();
        shop(folder.path(), &sales, files);
        for partitions in [1, 2, 8] {
            let queries = QuerySettings {
                partitions: NonZeroUsize::new(partitions).unwrap(),
                ..QuerySettings::default()
            };
            let found = digests(folder.path(), queries).await;
            let wanted = first.get_or_insert_with(|| found.clone());
            assert_eq!(&found, wanted, "{files} files, {partitions} partitions");
            fs::remove_file(folder.path().join("dataset.yaml")).unwrap();
        }
    }
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
