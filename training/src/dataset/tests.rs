//! What becomes of a shop's files, and what is said of those that can't be read.

mod ids;
mod missing;
mod refusals;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray};
use arrow::record_batch::RecordBatch;
use datafusion::arrow::util::display::array_value_to_string;
use gondola_causes::with_causes;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use tempfile::TempDir;
use url::Url;

use super::format::Format;
use super::matches::Match;
use super::{Dataset, DatasetConfig, names, table};
use crate::features;

/// A shop of three users and two items, of which a test may change files.
const USERS: &str = "cid,club,age\n1000,LEFT,43\n1001,,\n1002,RIGHT,20.5\n";
const ITEMS: &str = "aid,kind,weight\n0500100,shirt,0.5\n0500107,sock,2\n";
const SALES: &str = "when,cid,aid,price,chan\n\
                     2024-01-01,1000,0500100,22.36,2\n\
                     2024-01-02,1001,0500107,23.5,1\n\
                     2024-01-03,1002,0500100,1,2\n";

const CONFIG: &str = "
name: tiny
transactions: {file: tx.csv, user: cid, item: aid, time: when, price: price, store: chan}
users: {file: users.csv, key: cid, categorical: [club], numeric: [age]}
items: {file: items.csv, key: aid, categorical: [kind], numeric: [weight]}
features: {}
windows: {test_start: 2024-05-20}
";

struct Shop {
    folder: TempDir,
    config: String,
}

impl Shop {
    fn new() -> Self {
        let shop = Self {
            folder: tempfile::tempdir().unwrap(),
            config: CONFIG.to_owned(),
        };
        shop.with("users.csv", USERS)
            .with("items.csv", ITEMS)
            .with("tx.csv", SALES)
    }

    fn with(self, file: &str, content: impl AsRef<[u8]>) -> Self {
        fs::write(self.path(file), content).unwrap();
        self
    }

    /// A change of a file that is there.
    fn changed(self, file: &str, from: &str, to: &str) -> Self {
        let text = fs::read_to_string(self.path(file)).unwrap();
        assert!(text.contains(from), "{text}");
        self.with(file, text.replacen(from, to, 1))
    }

    fn parquet(self, file: &str, columns: &[(&str, ArrayRef)]) -> Self {
        write_parquet(&self.path(file), columns);
        self
    }

    fn configured(mut self, from: &str, to: &str) -> Self {
        assert!(self.config.contains(from), "{from}");
        self.config = self.config.replace(from, to);
        self
    }

    fn path(&self, file: &str) -> std::path::PathBuf {
        self.folder.path().join(file)
    }

    async fn open(&self) -> Result<Dataset, String> {
        let yaml = self.path("dataset.yaml");
        fs::write(&yaml, &self.config).unwrap();
        let config = DatasetConfig::read(&yaml).map_err(|error| with_causes(&error))?;
        let url = Url::from_directory_path(self.folder.path()).unwrap();
        Dataset::open(config, &url)
            .await
            .map_err(|error| with_causes(&error))
    }

    /// The rows of a query over the opened files.
    async fn rows(&self, sql: &str) -> Vec<String> {
        let dataset = self.open().await.unwrap();
        let batches = dataset.sql.sql(sql).await.unwrap().collect().await.unwrap();
        let row = |batch: &RecordBatch, row| {
            let cells = batch.columns().iter();
            cells
                .map(|cell| array_value_to_string(cell, row).unwrap())
                .collect::<Vec<_>>()
                .join(",")
        };
        batches
            .iter()
            .flat_map(|batch| (0..batch.num_rows()).map(move |place| row(batch, place)))
            .collect()
    }

    #[track_caller]
    fn refuses(self, message: &str) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        let message = message.to_owned();
        async move {
            let found = self.open().await.err().unwrap_or_default();
            assert_eq!(found, message, "at {caller}");
        }
    }
}

/// Rows in groups of two, so that each group has statistics of its own.
fn write_parquet(path: &Path, columns: &[(&str, ArrayRef)]) {
    let batch = RecordBatch::try_from_iter(columns.iter().cloned()).unwrap();
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(2))
        .build();
    let mut writer =
        ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn doubles(values: &[f64]) -> ArrayRef {
    Arc::new(Float64Array::from(values.to_vec()))
}

fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

const NAN: f64 = f64::NAN;

/// Sales of which a test changes columns.
fn sales(prices: &[f64]) -> Vec<(&'static str, ArrayRef)> {
    let rows = prices.len();
    let users: Vec<String> = (0..rows).map(|row| format!("{}", 1000 + row % 3)).collect();
    vec![
        ("when", texts(&vec!["2024-01-01"; rows])),
        ("cid", Arc::new(StringArray::from_iter_values(users))),
        ("aid", texts(&vec!["0500100"; rows])),
        ("price", doubles(prices)),
        ("chan", doubles(&vec![NAN; rows])),
    ]
}

#[tokio::test]
async fn the_names_of_features_are_those_of_the_tables_that_are_computed() {
    let shop = Shop::new().configured(
        "features: {}",
        "features: {user_attributes: [kind], windows_days: [7, 14]}",
    );
    let dataset = shop.open().await.unwrap();
    let out = tempfile::tempdir().unwrap();
    let tables = features::compute(&dataset, "2024-05-20".parse().unwrap(), out.path())
        .await
        .unwrap();
    let config = &dataset.config;
    let users = config.users.as_ref().unwrap();
    for (path, computed, entity) in [
        (&tables.users, names::of_users(config), users),
        (&tables.items, names::of_items(config), &config.items),
    ] {
        let own = entity.columns().into_iter().map(str::to_owned);
        let wanted: BTreeSet<String> = computed.into_iter().chain(own).collect();
        let found = table::columns(path, Format::Parquet).unwrap();
        assert_eq!(found.len(), wanted.len());
        assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), wanted);
    }
}
