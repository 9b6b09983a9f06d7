//! Features of users, items and pairs as of a cut-off date, as SQL over the views of a [`Dataset`].
//!
//! Everything reads the view `purchases`: the transactions before the cut-off, with their age in days.
//! Nothing of the cut-off day or later can leak in, because nothing else is in reach. The queries stream:
//! sums and sorts that need more memory than they may take spill to disk. Written as plain SQL, they run on a
//! distributed engine as they stand.

pub mod neighbors;
pub mod snapshot;

use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use datafusion::dataframe::DataFrameWriteOptions;

use crate::dataset::config::{DatasetConfig, Entity};
use crate::dataset::names::{self, sold_within};
use crate::dataset::source::quoted;
use crate::dataset::{Dataset, DatasetError};

pub use crate::dataset::names::{POPULARITY, REPEAT_RATE};
pub use snapshot::Snapshot;

/// The [`REPEAT_RATE`] of an item without buyers: what few buyers are drawn to.
pub const USUAL_REPEAT_RATE: f64 = 0.1;

/// How many buyers the usual rate counts as much as.
const USUAL_BUYERS: f64 = 5.0;

/// Days before the cut-off in which [`REPEAT_RATE`] looks for buyers.
const REPEAT_DAYS: u32 = 90;

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
    /// Items that were sold but are not in the catalog; they are kept, and nothing is known of them.
    pub not_in_catalog: u64,
}

/// Computes the tables as of a cut-off date and writes them as Parquet into a folder.
pub async fn compute(
    dataset: &Dataset,
    as_of: NaiveDate,
    folder: &Path,
) -> Result<FeatureTables, DatasetError> {
    dataset
        .run("the purchases before the cut-off", &purchases_sql(as_of))
        .await?;
    let tables = FeatureTables {
        as_of,
        users: folder.join("users.parquet"),
        items: folder.join("items.parquet"),
        history: folder.join("history.parquet"),
        not_in_catalog: not_in_catalog(dataset).await?,
    };
    write(
        dataset,
        "the features of users",
        &users_sql(&dataset.config),
        &tables.users,
    )
    .await?;
    write(
        dataset,
        "the features of items",
        &items_sql(&dataset.config),
        &tables.items,
    )
    .await?;
    write(
        dataset,
        "the purchases of users",
        &history_sql(&dataset.config),
        &tables.history,
    )
    .await?;
    Ok(tables)
}

async fn not_in_catalog(dataset: &Dataset) -> Result<u64, DatasetError> {
    let wrap = DatasetError::query("which items are not in the catalog");
    let sql = "SELECT DISTINCT item_id FROM purchases WHERE item_id NOT IN (SELECT item_id FROM items)";
    let sold = dataset.sql.sql(sql).await.map_err(&wrap)?;
    Ok(sold.count().await.map_err(&wrap)? as u64)
}

async fn write(dataset: &Dataset, what: &'static str, sql: &str, path: &Path) -> Result<(), DatasetError> {
    let frame = dataset.sql.sql(sql).await.map_err(DatasetError::query(what))?;
    let options = DataFrameWriteOptions::new().with_single_file_output(true);
    frame
        .write_parquet(&path.to_string_lossy(), options, None)
        .await
        .map_err(DatasetError::query(what))?;
    Ok(())
}

fn purchases_sql(as_of: NaiveDate) -> String {
    format!(
        "CREATE OR REPLACE VIEW purchases AS
         SELECT user_id, item_id, at, price, store,
                (date_part('epoch', TIMESTAMP '{as_of}') - date_part('epoch', at)) / 86400.0 AS age_days
         FROM transactions
         WHERE at < TIMESTAMP '{as_of}'"
    )
}

/// Users: recency, frequency, monetary amount; the most frequent and the last value of item attributes; the
/// home store; what is known of them.
fn users_sql(config: &DatasetConfig) -> String {
    let attributes = &config.features.user_attributes;
    let tables: String = attributes
        .iter()
        .map(|name| attribute_tables(&quoted(name), name))
        .collect();
    let columns: String = attributes
        .iter()
        .map(|name| {
            format!(
                ",\n  {p}.value AS {p}, {l}.value AS {l}",
                p = quoted(&names::popular(name)),
                l = quoted(&names::last(name))
            )
        })
        .collect();
    let joins: String = attributes
        .iter()
        .map(|name| {
            let join = |table: String| format!("\nLEFT JOIN {table} ON {table}.user_id = ids.user_id");
            join(quoted(&names::popular(name))) + &join(quoted(&names::last(name)))
        })
        .collect();
    let known = config.users.as_ref().map(Entity::columns).unwrap_or_default();
    let known: String = known
        .into_iter()
        .map(|column| format!(",\n  users.{}", quoted(column)))
        .collect();
    format!(
        "WITH ids AS (SELECT user_id FROM purchases UNION SELECT user_id FROM users),
activity AS (
  SELECT user_id, MIN(age_days) AS recency_days, CAST(COUNT(DISTINCT date_trunc('day', at)) AS DOUBLE) AS frequency_days,
         CAST(COUNT(*) AS DOUBLE) AS purchases, SUM(price) AS monetary
  FROM purchases GROUP BY user_id),
store_counts AS (SELECT user_id, store, COUNT(*) AS times FROM purchases WHERE store IS NOT NULL GROUP BY user_id, store),
home_store AS (
  SELECT user_id, store AS value FROM (
    SELECT user_id, store, ROW_NUMBER() OVER (PARTITION BY user_id ORDER BY times DESC, store) AS place FROM store_counts)
  WHERE place = 1){tables}
SELECT ids.user_id, activity.recency_days, activity.frequency_days, activity.purchases, activity.monetary,
  home_store.value AS home_store{columns}{known}
FROM ids
LEFT JOIN activity ON activity.user_id = ids.user_id
LEFT JOIN home_store ON home_store.user_id = ids.user_id{joins}
LEFT JOIN users ON users.user_id = ids.user_id
ORDER BY ids.user_id"
    )
}

/// Two tables of (user_id, value): the value that a user bought most often, and the one bought last.
fn attribute_tables(column: &str, name: &str) -> String {
    let (popular, last, counts) = (
        quoted(&names::popular(name)),
        quoted(&names::last(name)),
        quoted(&format!("count_{name}")),
    );
    format!(
        ",
{counts} AS (
  SELECT purchases.user_id, items.{column} AS value, COUNT(*) AS times
  FROM purchases JOIN items ON items.item_id = purchases.item_id
  WHERE items.{column} IS NOT NULL GROUP BY purchases.user_id, items.{column}),
{popular} AS (
  SELECT user_id, value FROM (
    SELECT user_id, value, ROW_NUMBER() OVER (PARTITION BY user_id ORDER BY times DESC, value) AS place FROM {counts})
  WHERE place = 1),
{last} AS (
  SELECT purchases.user_id, LAST_VALUE(items.{column} ORDER BY purchases.at, purchases.item_id) AS value
  FROM purchases JOIN items ON items.item_id = purchases.item_id
  WHERE items.{column} IS NOT NULL GROUP BY purchases.user_id)"
    )
}

/// Items: how often they were sold lately, the time-weighted number, the mean price, the share of buyers who
/// came back, and what the catalog says. Where there are few buyers, that share is drawn to the usual.
/// Items that were sold but are not in the catalog have nulls there.
fn items_sql(config: &DatasetConfig) -> String {
    let windows: String = config
        .features
        .windows_days
        .iter()
        .map(|days| {
            format!(
                ",\n    CAST(SUM(CASE WHEN age_days <= {days} THEN 1 ELSE 0 END) AS DOUBLE) AS {}",
                sold_within(*days)
            )
        })
        .collect();
    let counts: String = config
        .features
        .windows_days
        .iter()
        .map(|days| {
            format!(
                "\n  COALESCE(sales.{name}, 0) AS {name},",
                name = sold_within(*days)
            )
        })
        .collect();
    let known: String = config
        .items
        .columns()
        .into_iter()
        .map(|column| format!(",\n  items.{}", quoted(column)))
        .collect();
    format!(
        "WITH ids AS (SELECT item_id FROM items UNION SELECT item_id FROM purchases),
sales AS (
  SELECT item_id, SUM(EXP(-LN(2.0) * age_days / {half_life:?})) AS {POPULARITY}, AVG(price) AS mean_price,
    MIN(age_days) AS days_since_sold{windows}
  FROM purchases GROUP BY item_id),
buyers AS (
  SELECT item_id, user_id, COUNT(*) AS times FROM purchases WHERE age_days <= {REPEAT_DAYS} GROUP BY item_id, user_id),
repeats AS (
  SELECT item_id, (SUM(CASE WHEN times > 1 THEN 1 ELSE 0 END) + {usual:?}) / (COUNT(*) + {USUAL_BUYERS:?}) AS {REPEAT_RATE}
  FROM buyers GROUP BY item_id)
SELECT ids.item_id,{counts}
  COALESCE(sales.{POPULARITY}, 0) AS {POPULARITY}, sales.mean_price, sales.days_since_sold,
  COALESCE(repeats.{REPEAT_RATE}, {USUAL_REPEAT_RATE:?}) AS {REPEAT_RATE}{known}
FROM ids
LEFT JOIN sales ON sales.item_id = ids.item_id
LEFT JOIN repeats ON repeats.item_id = ids.item_id
LEFT JOIN items ON items.item_id = ids.item_id
ORDER BY ids.item_id",
        half_life = config.features.half_life_days,
        usual = USUAL_REPEAT_RATE * USUAL_BUYERS,
    )
}

/// What each user bought: how often, how long ago the last time was, and how often with old times counted
/// less.
fn history_sql(config: &DatasetConfig) -> String {
    format!(
        "SELECT user_id, item_id, CAST(COUNT(*) AS DOUBLE) AS purchases, MIN(age_days) AS days_since_last,
  SUM(EXP(-LN(2.0) * age_days / {half_life:?})) AS recent_purchases
FROM purchases GROUP BY user_id, item_id ORDER BY user_id, item_id",
        half_life = config.features.history_half_life_days,
    )
}
