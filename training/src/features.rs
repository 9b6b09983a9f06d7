//! Features of users, items and pairs as of a cut-off date, as SQL over the numbered tables of a [`Dataset`].
//!
//! Everything reads the view `purchases`: the transactions before the cut-off, with their age in days.
//! Nothing of the cut-off day or later can leak in, because nothing else is in reach. Sums are of whole numbers
//! and decimals, and every order is total: the tables are equal to the byte however many files the shop has and
//! however many threads or machines compute them.

mod history;
mod items;
pub mod neighbors;
pub mod snapshot;
mod users;

use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use futures::future::BoxFuture;

use crate::dataset::numbering::{self, PURCHASES};
use crate::dataset::{Dataset, DatasetError};

pub use crate::dataset::names::{POPULARITY, REPEAT_RATE};
pub use items::USUAL_REPEAT_RATE;
pub use snapshot::Snapshot;

/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;

/// What sums of weights count in: a sum of doubles would depend on its order.
const WEIGHT_UNIT: f64 = 1_073_741_824.0;

/// Where the tables of one cut-off date are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeatureTables {
    /// The cut-off: nothing of that day or later is in the tables.
    pub as_of: NaiveDate,
    /// One row a user.
    pub users: PathBuf,
    /// One row an item.
    pub items: PathBuf,
    /// One row a pair of user and item that was bought.
    pub history: PathBuf,
}

impl FeatureTables {
    /// Where [`compute`] puts them in a folder.
    pub fn in_folder(folder: &Path, as_of: NaiveDate) -> Self {
        Self {
            as_of,
            users: folder.join("users.parquet"),
            items: folder.join("items.parquet"),
            history: folder.join("history.parquet"),
        }
    }
}

/// Computes the tables as of a cut-off date and writes them as Parquet into a folder. Boxed, as what opens a data set is.
pub fn compute<'a>(
    dataset: &'a Dataset,
    as_of: NaiveDate,
    folder: &'a Path,
) -> BoxFuture<'a, Result<FeatureTables, DatasetError>> {
    Box::pin(write_tables(dataset, as_of, folder))
}

async fn write_tables(
    dataset: &Dataset,
    as_of: NaiveDate,
    folder: &Path,
) -> Result<FeatureTables, DatasetError> {
    let config = &dataset.config;
    let view = purchases_sql(as_of, config.features.user_attributes.len());
    dataset.run("the purchases before the cut-off", &view).await?;
    let tables = FeatureTables::in_folder(folder, as_of);
    for (what, sql, path) in [
        ("the features of users", users::sql(config), &tables.users),
        ("the features of items", items::sql(config), &tables.items),
        ("the purchases of users", history::sql(config), &tables.history),
    ] {
        dataset.write(what, &sql, path).await?;
    }
    Ok(tables)
}

/// The beginning of a day, as purchases count time.
pub(crate) fn moment(day: NaiveDate) -> i64 {
    day.signed_duration_since(NaiveDate::default()).num_days() * DAY
}

fn purchases_sql(as_of: NaiveDate, attributes: usize) -> String {
    let cut_off = moment(as_of);
    let values: String = (0..attributes)
        .map(|place| format!(", {}", numbering::value(place)))
        .collect();
    format!(
        "CREATE OR REPLACE VIEW purchases AS
         SELECT user_number, item_number, day, moment, price, store_number{values},
                CAST({cut_off} - moment AS DOUBLE) / CAST({DAY} AS DOUBLE) AS age_days
         FROM {PURCHASES}
         WHERE moment < {cut_off}"
    )
}

/// The number of purchases, each counted half after so many days: an expression of SQL, in units of
/// [`WEIGHT_UNIT`].
fn weighted_count(half_life_days: f64) -> String {
    format!(
        "SUM(CAST(ROUND(EXP(-LN(CAST(2 AS DOUBLE)) * age_days / CAST({half_life_days:?} AS DOUBLE)) * CAST({WEIGHT_UNIT:?} AS DOUBLE)) AS BIGINT))"
    )
}

/// A sum of [`weighted_count`] as a number of purchases.
fn weight(sum: &str) -> String {
    format!("CAST({sum} AS DOUBLE) / CAST({WEIGHT_UNIT:?} AS DOUBLE)")
}
