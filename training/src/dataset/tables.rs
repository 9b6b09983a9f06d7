//! Tables and views that queries read, as files of a folder, which can be opened again.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::prelude::{ParquetReadOptions, SessionContext, col};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use serde::{Deserialize, Serialize};
use url::Url;

use super::error::DatasetError;
use super::even;
use super::queries::QuerySettings;
use super::session;
use super::shared::SharedFolder;

/// The file that says which tables and views there are.
const LIST: &str = "tables.json";

/// Tables and views, in the order in which they were made.
pub(super) struct Tables {
    pub(super) sql: SessionContext,
    folder: PathBuf,
    /// Where executors read the tables, if it's not this process that runs queries.
    pub(super) shared: Option<SharedFolder>,
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
    pub(super) async fn new(folder: &Path, queries: &QuerySettings) -> Result<Self, DatasetError> {
        let (sql, shared) = session::open(queries).await?;
        Ok(Self {
            sql,
            folder: folder.to_owned(),
            shared,
            made: Vec::new(),
        })
    }

    /// The tables that somebody left in a folder.
    pub(super) async fn open(folder: &Path, queries: &QuerySettings) -> Result<Self, DatasetError> {
        let mut tables = Self::new(folder, queries).await?;
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
        let file = self.path(&name);
        let (url, known) = match &mut self.shared {
            None => (url(&file), order.as_slice()),
            // Ballista's shuffles lose the order of rows, and what a plan builds on it is wrong after them.
            Some(shared) => (shared.put(&name, &file).await?, [].as_slice()),
        };
        let sorts = known.iter().map(|column| col(column).sort(true, false)).collect();
        let read = ParquetReadOptions::default().file_sort_order(vec![sorts]);
        let registered = self.sql.register_parquet(&name, url, read).await;
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
        even::write(&self.sql, what, sql, &self.path(table), Compression::SNAPPY).await?;
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

fn url(path: &Path) -> String {
    Url::from_file_path(path).map_or_else(|()| path.display().to_string(), String::from)
}
