//! A data set, opened for queries.
//!
//! The views `transactions`, `users(user_id, ..)` and `items(item_id, ..)` are the shop's files with our names: ids and
//! categories are text, quantities are doubles, and NaN is null. Everything that is computed reads the tables of
//! [`numbering`](super::numbering), so it neither knows nor cares what the shop calls its columns.

use std::path::Path;

use datafusion::prelude::SessionContext;
use futures::future::BoxFuture;
use parquet::basic::{Compression, ZstdLevel};
use tempfile::TempDir;
use url::Url;

use super::config::DatasetConfig;
use super::error::DatasetError;
use super::even;
use super::ids::Ids;
use super::queries::QuerySettings;
use super::remarks::Remarks;
use super::shared::SharedFolder;
use super::shop::{self, ShopFiles};
use super::side::Side;
use super::tables::{self, Tables};

/// A data set, opened.
pub struct Dataset {
    /// What its files mean.
    pub config: DatasetConfig,
    /// Where its views are.
    pub sql: SessionContext,
    /// What people should know of its files.
    pub remarks: Remarks,
    /// The ids of users, by their numbers.
    pub users: Ids,
    /// The ids of items, by their numbers.
    pub items: Ids,
    /// Where executors read its tables.
    shared: Option<SharedFolder>,
    /// Where its tables are, where nobody else keeps them.
    _folder: Option<TempDir>,
}

impl Dataset {
    /// Opens the files below `data`, a folder's URL.
    pub async fn open(config: DatasetConfig, data: &Url) -> Result<Self, DatasetError> {
        let files = ShopFiles::find(&config, data).await?;
        Self::read(config, &files, QuerySettings::default()).await
    }

    /// Reads every file once, and checks it.
    pub async fn read(
        config: DatasetConfig,
        files: &ShopFiles,
        queries: QuerySettings,
    ) -> Result<Self, DatasetError> {
        let folder = tempfile::tempdir().map_err(DatasetError::Folder)?;
        Self::stage(config.clone(), files, &queries, folder.path()).await?;
        let mut dataset = Self::open_staged(config, &queries, folder.path()).await?;
        dataset._folder = Some(folder);
        Ok(dataset)
    }

    /// Reads every file once, checks it, and leaves everything in a folder that is there and empty. Boxed, so that queries and all
    /// are compiled here, and not once more in each program and test.
    pub fn stage<'a>(
        config: DatasetConfig,
        files: &'a ShopFiles,
        queries: &'a QuerySettings,
        folder: &'a Path,
    ) -> BoxFuture<'a, Result<(), DatasetError>> {
        Box::pin(shop::read(config, files, queries, folder))
    }

    /// Opens what [`Dataset::stage`] left in a folder.
    pub fn open_staged<'a>(
        config: DatasetConfig,
        queries: &'a QuerySettings,
        folder: &'a Path,
    ) -> BoxFuture<'a, Result<Self, DatasetError>> {
        Box::pin(Self::open_tables(config, queries, folder))
    }

    async fn open_tables(
        config: DatasetConfig,
        queries: &QuerySettings,
        folder: &Path,
    ) -> Result<Self, DatasetError> {
        let tables = Tables::open(folder, queries).await?;
        Ok(Self {
            users: Ids::read(&tables, Side::Users)?,
            items: Ids::read(&tables, Side::Items)?,
            config,
            remarks: Remarks::read(folder)?,
            sql: tables.sql,
            shared: tables.shared,
            _folder: None,
        })
    }

    /// Runs a statement for its effect.
    pub(crate) async fn run(&self, what: &'static str, sql: &str) -> Result<(), DatasetError> {
        tables::run(&self.sql, what, sql).await
    }

    /// Writes what a query gives as Parquet, in the query's order: its bytes depend on the rows alone.
    pub(crate) async fn write(&self, what: &'static str, sql: &str, path: &Path) -> Result<(), DatasetError> {
        let compression = Compression::ZSTD(ZstdLevel::default());
        even::write(&self.sql, what, sql, path, compression).await
    }

    /// Removes what was left for executors: there are no more queries.
    pub(crate) async fn clear_shared_folder(&mut self) -> Result<(), DatasetError> {
        match self.shared.take() {
            None => Ok(()),
            Some(shared) => shared.clear().await,
        }
    }
}
