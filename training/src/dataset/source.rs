//! The shop's files as three SQL views with our names.
//!
//! `transactions(user_id, item_id, at, price, store)`, `users(user_id, ..)` and `items(item_id, ..)`: ids and categories
//! are text, quantities are doubles, and NaN is null. Everything after works on these views, so it neither knows nor cares
//! what the shop calls its columns.

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use datafusion::error::DataFusionError;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{CsvReadOptions, ParquetReadOptions, SessionConfig, SessionContext};
use object_store::parse_url;
use url::Url;

use super::config::{DatasetConfig, Entity, Transactions};

/// Memory that queries may take before they spill to disk: half of what the smallest machine has that we train on.
const QUERY_MEMORY_BYTES: usize = 4 << 30;

/// Why a data set can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// The data's URL is none, or of a scheme that is not compiled in.
    #[error("cannot open the data at {url}; give a folder or a file:// URL")]
    Url {
        /// The URL.
        url: String,
        /// Why.
        #[source]
        source: object_store::Error,
    },
    /// A file is missing or damaged.
    #[error("cannot read {file}")]
    File {
        /// Which file.
        file: String,
        /// Why.
        #[source]
        source: Box<DataFusionError>,
    },
    /// A file is neither Parquet nor CSV.
    #[error("{file} ends neither in .parquet nor in .csv; convert it to one of the two")]
    Format {
        /// Which file.
        file: String,
    },
    /// The configuration names a column that the file does not have.
    #[error("{file} has no column {column:?}; it has {found:?}")]
    NoColumn {
        /// Which file.
        file: String,
        /// The column.
        column: String,
        /// The columns that it has.
        found: Vec<String>,
    },
    /// An id that stands in more than one row: which of them holds would be chance.
    #[error("{file} has {rows} rows whose {key} is {id:?}; keep one of them")]
    Twice {
        /// Which file.
        file: String,
        /// The id's column.
        key: String,
        /// The id.
        id: String,
        /// In how many rows it stands.
        rows: i64,
    },
    /// A query failed.
    #[error("cannot compute {what}")]
    Query {
        /// What was to be computed.
        what: &'static str,
        /// Why.
        #[source]
        source: Box<DataFusionError>,
    },
}

impl DatasetError {
    /// Wraps a failed query.
    pub(crate) fn query(what: &'static str) -> impl Fn(DataFusionError) -> Self {
        move |source| Self::Query {
            what,
            source: Box::new(source),
        }
    }
}

/// A data set, opened.
pub struct Dataset {
    /// What its files mean.
    pub config: DatasetConfig,
    /// Where its views are.
    pub sql: SessionContext,
}

impl Dataset {
    /// Opens the files below `data`, a folder's URL.
    pub async fn open(config: DatasetConfig, data: &Url) -> Result<Self, DatasetError> {
        let sql = session(data)?;
        let dataset = Self { config, sql };
        let Transactions { file, .. } = &dataset.config.transactions;
        dataset.register("raw_transactions", data, file).await?;
        dataset
            .register("raw_items", data, &dataset.config.items.file)
            .await?;
        if let Some(users) = &dataset.config.users {
            dataset.register("raw_users", data, &users.file).await?;
        }
        dataset.view_transactions().await?;
        dataset
            .view_entity("items", "item_id", Some(&dataset.config.items))
            .await?;
        dataset
            .view_entity("users", "user_id", dataset.config.users.as_ref())
            .await?;
        Ok(dataset)
    }

    async fn register(&self, table: &str, data: &Url, file: &str) -> Result<(), DatasetError> {
        let url = format!("{}/{file}", data.as_str().trim_end_matches('/'));
        let registered = match file.rsplit_once('.') {
            Some((_, "parquet")) => {
                self.sql
                    .register_parquet(table, &url, ParquetReadOptions::default())
                    .await
            }
            Some((_, "csv")) => {
                // Every CSV column is text until its role says otherwise: ids keep their leading zeros.
                let options = CsvReadOptions::new()
                    .has_header(true)
                    .schema_infer_max_records(0)
                    .newlines_in_values(true);
                self.sql.register_csv(table, &url, options).await
            }
            _ => {
                return Err(DatasetError::Format {
                    file: file.to_owned(),
                });
            }
        };
        registered.map_err(|source| DatasetError::File {
            file: url,
            source: Box::new(source),
        })
    }

    async fn view_transactions(&self) -> Result<(), DatasetError> {
        let roles = &self.config.transactions;
        let named = [
            Some(&roles.user),
            Some(&roles.item),
            Some(&roles.time),
            roles.price.as_ref(),
            roles.store.as_ref(),
        ];
        self.check_columns("raw_transactions", &roles.file, named.into_iter().flatten())
            .await?;
        let price = roles
            .price
            .as_ref()
            .map_or("CAST(0 AS DOUBLE)".to_owned(), |price| number(price));
        let store = roles
            .store
            .as_ref()
            .map_or("CAST(NULL AS VARCHAR)".to_owned(), |store| text(store));
        let sql = format!(
            "CREATE VIEW transactions AS
             SELECT {user} AS user_id, {item} AS item_id, CAST({time} AS TIMESTAMP) AS at, {price} AS price, {store} AS store
             FROM raw_transactions
             WHERE {user} IS NOT NULL AND {item} IS NOT NULL AND {time} IS NOT NULL",
            user = text(&roles.user),
            item = text(&roles.item),
            time = quoted(&roles.time),
        );
        self.run("the view of transactions", &sql).await
    }

    async fn view_entity(&self, view: &str, id: &str, entity: Option<&Entity>) -> Result<(), DatasetError> {
        let Some(entity) = entity else {
            let sql = format!("CREATE VIEW {view} AS SELECT CAST(NULL AS VARCHAR) AS {id} WHERE FALSE");
            return self.run("an empty view", &sql).await;
        };
        let raw = format!("raw_{view}");
        let named = [&entity.key]
            .into_iter()
            .chain(&entity.categorical)
            .chain(&entity.numeric)
            .chain(&entity.text);
        self.check_columns(&raw, &entity.file, named).await?;
        let columns = entity.columns().into_iter().map(|column| {
            let value = if entity.numeric.iter().any(|numeric| numeric == column) {
                number(column)
            } else {
                text(column)
            };
            format!(", {value} AS {}", quoted(column))
        });
        let sql = format!(
            "CREATE VIEW {view} AS SELECT {key} AS {id}{columns} FROM {raw} WHERE {key} IS NOT NULL",
            key = text(&entity.key),
            columns = columns.collect::<String>(),
        );
        self.run("the view of users or items", &sql).await?;
        self.check_ids(view, id, entity).await
    }

    async fn check_ids(&self, view: &str, id: &str, entity: &Entity) -> Result<(), DatasetError> {
        let wrap = DatasetError::query("how often each id stands in its file");
        let sql = format!(
            "SELECT {id}, COUNT(*) AS times FROM {view} GROUP BY {id} HAVING COUNT(*) > 1 ORDER BY {id} LIMIT 1"
        );
        let batches = self
            .sql
            .sql(&sql)
            .await
            .map_err(&wrap)?
            .collect()
            .await
            .map_err(&wrap)?;
        let Some(batch) = batches.iter().find(|batch| batch.num_rows() > 0) else {
            return Ok(());
        };
        let text = cast(batch.column(0), &DataType::Utf8).map_err(|error| wrap(error.into()))?;
        let rows = batch.column(1).as_primitive::<Int64Type>().value(0);
        let (file, key) = (entity.file.clone(), entity.key.clone());
        Err(DatasetError::Twice {
            file,
            key,
            id: text.as_string::<i32>().value(0).to_owned(),
            rows,
        })
    }

    async fn check_columns<'a>(
        &self,
        table: &str,
        file: &str,
        columns: impl Iterator<Item = &'a String>,
    ) -> Result<(), DatasetError> {
        let found = self
            .sql
            .table(table)
            .await
            .map_err(DatasetError::query("the columns of a file"))?;
        let found: Vec<String> = found
            .schema()
            .fields()
            .iter()
            .map(|field| field.name().clone())
            .collect();
        for column in columns {
            if !found.contains(column) {
                return Err(DatasetError::NoColumn {
                    file: file.to_owned(),
                    column: column.clone(),
                    found,
                });
            }
        }
        Ok(())
    }

    /// Runs a statement for its effect.
    pub(crate) async fn run(&self, what: &'static str, sql: &str) -> Result<(), DatasetError> {
        let frame = self.sql.sql(sql).await.map_err(DatasetError::query(what))?;
        frame.collect().await.map_err(DatasetError::query(what))?;
        Ok(())
    }
}

fn session(data: &Url) -> Result<SessionContext, DatasetError> {
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_limit(QUERY_MEMORY_BYTES, 1.0)
        .build_arc()
        .map_err(DatasetError::query("the limits of memory"))?;
    let sql = SessionContext::new_with_config_rt(SessionConfig::new(), runtime);
    if data.scheme() != "file" {
        let (store, _) = parse_url(data).map_err(|source| DatasetError::Url {
            url: data.to_string(),
            source,
        })?;
        sql.register_object_store(data, Arc::from(store));
    }
    Ok(sql)
}

/// A column's name, quoted for SQL.
pub fn quoted(column: &str) -> String {
    format!("\"{}\"", column.replace('"', "\"\""))
}

/// A column as text; empty is null.
fn text(column: &str) -> String {
    format!("NULLIF(CAST({} AS VARCHAR), '')", quoted(column))
}

/// A column as a double; NaN is null.
fn number(column: &str) -> String {
    format!(
        "NULLIF(CAST(NULLIF(CAST({} AS VARCHAR), '') AS DOUBLE), CAST('NaN' AS DOUBLE))",
        quoted(column)
    )
}
