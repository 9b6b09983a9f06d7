//! Tables and views that queries read, as files of a folder, which can be opened again.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::config::TableParquetOptions;
use datafusion::dataframe::DataFrameWriteOptions;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext, col};
use parquet::arrow::ArrowWriter;
use parquet::errors::ParquetError;
use serde::{Deserialize, Serialize};
use url::Url;

use super::error::DatasetError;
use super::queries::QuerySettings;

/// The file that says which tables and views there are.
const LIST: &str = "tables.json";

/// Tables and views, in the order in which they were made.
pub(super) struct Tables {
    pub(super) sql: SessionContext,
    folder: PathBuf,
    made: Vec<Made>,
}

/// A table or a view.
#[derive(Serialize, Deserialize)]
enum Made {
    /// A file of the folder, and what its rows are ordered by.
    Table { name: String, order: Vec<String> },
    /// A statement that makes a view.
    View { sql: String },
}

impl Tables {
    /// No tables yet, in a folder that is there.
    pub(super) fn new(folder: &Path, queries: QuerySettings) -> Result<Self, DatasetError> {
        Ok(Self {
            sql: session(queries)?,
            folder: folder.to_owned(),
            made: Vec::new(),
        })
    }

    /// The tables that somebody left in a folder.
    pub(super) async fn open(folder: &Path, queries: QuerySettings) -> Result<Self, DatasetError> {
        let mut tables = Self::new(folder, queries)?;
        let list = fs::read(folder.join(LIST)).map_err(DatasetError::Folder)?;
        let made: Vec<Made> =
            serde_json::from_slice(&list).map_err(|error| DatasetError::Folder(error.into()))?;
        for made in made {
            match made {
                Made::Table { name, order } => tables.register(name, order).await?,
                Made::View { sql } => tables.view("a view", sql).await?,
            }
        }
        Ok(tables)
    }

    /// Leaves a list of the tables beside their files.
    pub(super) fn save(&self) -> Result<(), DatasetError> {
        let list = serde_json::to_vec(&self.made).expect("names are always JSON");
        fs::write(self.folder.join(LIST), list).map_err(DatasetError::Folder)
    }

    /// The file of a table.
    pub(super) fn path(&self, table: &str) -> PathBuf {
        self.folder.join(format!("{table}.parquet"))
    }

    /// Reads a file of the folder as a table.
    pub(super) async fn register(&mut self, name: String, order: Vec<String>) -> Result<(), DatasetError> {
        let sorts = order.iter().map(|column| col(column).sort(true, false)).collect();
        let read = ParquetReadOptions::default().file_sort_order(vec![sorts]);
        let registered = self
            .sql
            .register_parquet(&name, url(&self.path(&name)), read)
            .await;
        registered.map_err(DatasetError::query("the columns of a table"))?;
        self.made.push(Made::Table { name, order });
        Ok(())
    }

    /// Makes a view.
    pub(super) async fn view(&mut self, what: &'static str, sql: String) -> Result<(), DatasetError> {
        run(&self.sql, what, &sql).await?;
        self.made.push(Made::View { sql });
        Ok(())
    }

    /// Writes the rows of a query to a file that queries read as a table; `order` has the columns that the query
    /// orders them by, so that what groups by the first of them needs no table of all groups.
    pub(super) async fn keep(
        &mut self,
        what: &'static str,
        table: &str,
        sql: &str,
        order: &[&str],
    ) -> Result<(), DatasetError> {
        let wrap = DatasetError::query(what);
        let frame = self.sql.sql(sql).await.map_err(&wrap)?;
        let mut form = TableParquetOptions::default();
        form.global.compression = Some("snappy".to_owned());
        let single = DataFrameWriteOptions::new().with_single_file_output(true);
        let path = self.path(table);
        let written = frame
            .write_parquet(&path.to_string_lossy(), single, Some(form))
            .await;
        written.map_err(&wrap)?;
        let order = order.iter().map(|column| (*column).to_owned()).collect();
        self.register(table.to_owned(), order).await
    }

    /// Writes batches to a file that queries read as a table.
    pub(super) async fn keep_batches(
        &mut self,
        table: &str,
        schema: SchemaRef,
        batches: impl Iterator<Item = RecordBatch>,
    ) -> Result<(), DatasetError> {
        let write = || -> Result<(), ParquetError> {
            let mut writer = ArrowWriter::try_new(File::create(self.path(table))?, schema, None)?;
            for batch in batches {
                writer.write(&batch)?;
            }
            writer.close().map(drop)
        };
        write().map_err(DatasetError::Staging)?;
        self.register(table.to_owned(), Vec::new()).await
    }
}

/// Runs a statement for its effect.
pub(super) async fn run(
    sql: &SessionContext,
    what: &'static str,
    statement: &str,
) -> Result<(), DatasetError> {
    let frame = sql.sql(statement).await.map_err(DatasetError::query(what))?;
    frame.collect().await.map_err(DatasetError::query(what))?;
    Ok(())
}

fn session(queries: QuerySettings) -> Result<SessionContext, DatasetError> {
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(FairSpillPool::new(queries.memory.bytes())))
        .build_arc()
        .map_err(DatasetError::query("the limits of memory"))?;
    let mut config = SessionConfig::new().with_target_partitions(queries.partitions.get());
    // Purchases lie by user: what is summed by user stays in that order, and is never held as a whole.
    config.options_mut().optimizer.prefer_existing_sort = true;
    // Views of text keep the pages alive that they look at, which no limit of memory counts right.
    config.options_mut().execution.parquet.schema_force_view_types = false;
    Ok(SessionContext::new_with_config_rt(config, runtime))
}

fn url(path: &Path) -> String {
    Url::from_file_path(path).map_or_else(|()| path.display().to_string(), String::from)
}
