//! The shop's files as three SQL views with our names.
//!
//! `transactions(user_id, item_id, at, price, store)`, `users(user_id, ..)` and `items(item_id, ..)`: ids and
//! categories are text, quantities are doubles, and NaN is null. Everything after works on these views, so it
//! neither knows nor cares what the shop calls its columns.

use std::fs::File;
use std::path::Path;
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
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use url::Url;

use super::cells::Role;
use super::config::{DatasetConfig, Entity};
use super::error::DatasetError;
use super::files::TableFiles;
use super::ids::{Ids, SeenIds};
use super::matches::{self, Match, Side};
use super::queries::QuerySettings;
use super::staging::{Column, Staged, stage};

/// The files of a data set, found, and fetched where they were not on this machine.
pub struct ShopFiles {
    transactions: TableFiles,
    users: Option<TableFiles>,
    items: TableFiles,
    /// Where fetched and staged files are.
    folder: TempDir,
}

impl ShopFiles {
    /// Finds the files below `data`, a folder's URL.
    pub async fn find(config: &DatasetConfig, data: &Url) -> Result<Self, DatasetError> {
        let folder = tempfile::tempdir().map_err(DatasetError::Folder)?;
        let find = async |file: &str, table: &str| -> Result<TableFiles, DatasetError> {
            let fetched = folder.path().join(table);
            std::fs::create_dir(&fetched).map_err(DatasetError::Folder)?;
            Ok(TableFiles::find(data, file, &fetched).await?)
        };
        let users = match &config.users {
            Some(users) => Some(find(&users.file, "users").await?),
            None => None,
        };
        Ok(Self {
            transactions: find(&config.transactions.file, "transactions").await?,
            users,
            items: find(&config.items.file, "items").await?,
            folder,
        })
    }

    /// Adds what the files hold to a digest.
    pub fn hash_into(&self, digest: &mut Sha256) -> Result<(), DatasetError> {
        let tables = [Some(&self.transactions), self.users.as_ref(), Some(&self.items)];
        for (number, table) in (0u8..).zip(tables) {
            digest.update([number]);
            if let Some(table) = table {
                table.hash_into(digest)?;
            }
        }
        Ok(())
    }
}

/// A data set, opened.
pub struct Dataset {
    /// What its files mean.
    pub config: DatasetConfig,
    /// Where its views are.
    pub sql: SessionContext,
    /// How many ids of transactions the other tables have.
    pub matches: Vec<Match>,
    /// Files with rows that are left out.
    pub left_out: Vec<LeftOut>,
    /// Columns of ids that were written as floats and are taken for whole numbers.
    pub whole_floats: Vec<FileColumn>,
    /// The ids of users, by their numbers.
    pub users: Ids,
    /// The ids of items, by their numbers.
    pub items: Ids,
    /// Where staged files are for as long as they are read.
    folder: TempDir,
}

/// Something of users and of items each.
pub(super) struct Entities<T> {
    pub(super) users: T,
    pub(super) items: T,
}

/// Rows of a file that have no id or no time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The file.
    pub file: String,
    /// How many rows.
    pub rows: u64,
}

/// A column of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileColumn {
    /// The file.
    pub file: String,
    /// The column.
    pub column: String,
}

impl Dataset {
    /// Opens the files below `data`, a folder's URL.
    pub async fn open(config: DatasetConfig, data: &Url) -> Result<Self, DatasetError> {
        let files = ShopFiles::find(&config, data).await?;
        Self::read(config, files, QuerySettings::default()).await
    }

    /// Reads every file once, and checks it.
    pub async fn read(
        config: DatasetConfig,
        files: ShopFiles,
        queries: QuerySettings,
    ) -> Result<Self, DatasetError> {
        let mut dataset = Self {
            config,
            sql: session(queries, files.folder.path())?,
            matches: Vec::new(),
            left_out: Vec::new(),
            whole_floats: Vec::new(),
            users: Ids::default(),
            items: Ids::default(),
            folder: files.folder,
        };
        let sold = dataset.stage_transactions(&files.transactions).await?;
        let items = dataset.stage_entity(Side::Items, Some(&files.items)).await?;
        let users = dataset.stage_entity(Side::Users, files.users.as_ref()).await?;
        dataset.number(&sold, &Entities { users, items }).await?;
        dataset.matches = matches::compare_all(&dataset).await?;
        Ok(dataset)
    }

    async fn stage_transactions(&mut self, table: &TableFiles) -> Result<Entities<SeenIds>, DatasetError> {
        let roles = self.config.transactions.clone();
        let column = |source, role, name, required| Column {
            source,
            role,
            name,
            required,
        };
        let mut columns = vec![
            column(roles.user.as_str(), Role::Id, "user_place", true),
            column(&roles.item, Role::Id, "item_place", true),
            column(&roles.time, Role::Time, "at", true),
        ];
        columns.extend(
            roles
                .price
                .iter()
                .map(|price| column(price, Role::Quantity, "price", false)),
        );
        columns.extend(
            roles
                .store
                .iter()
                .map(|store| column(store, Role::Category, "store", false)),
        );
        let staged = self.stage("transactions", table, &columns).await?;
        if staged.rows == 0 {
            return Err(DatasetError::NoRows {
                file: roles.file,
                missing: " with a user, an item and a time",
            });
        }
        let mut ids = staged.ids.into_iter();
        let mut next = || ids.next().unwrap_or_default();
        Ok(Entities {
            users: next(),
            items: next(),
        })
    }

    async fn stage_entity(
        &mut self,
        side: Side,
        table: Option<&TableFiles>,
    ) -> Result<SeenIds, DatasetError> {
        let entity = self.entity(side).cloned();
        let Some((entity, table)) = entity.zip(table) else {
            return Ok(SeenIds::default());
        };
        let known = entity.columns();
        let columns = known.iter().map(|column| Column {
            source: column,
            role: role(&entity, column),
            name: column,
            required: false,
        });
        let id_column = Column {
            source: &entity.key,
            role: Role::Id,
            name: "place",
            required: true,
        };
        let columns: Vec<Column<'_>> = [id_column].into_iter().chain(columns).collect();
        let staged = self.stage(side.view(), table, &columns).await?;
        if staged.rows == 0 {
            return Err(DatasetError::NoRows {
                file: entity.file,
                missing: " with an id",
            });
        }
        Ok(staged.ids.into_iter().next().unwrap_or_default())
    }

    /// The file of users or of items, where there is one.
    pub(super) fn entity(&self, side: Side) -> Option<&Entity> {
        match side {
            Side::Users => self.config.users.as_ref(),
            Side::Items => Some(&self.config.items),
        }
    }

    /// Stages a table, and registers it for queries.
    async fn stage(
        &mut self,
        name: &str,
        table: &TableFiles,
        columns: &[Column<'_>],
    ) -> Result<Staged, DatasetError> {
        let path = self.folder.path().join(format!("{name}.parquet"));
        let staged = stage(table, columns, &path)?;
        if staged.left_out > 0 {
            self.left_out.push(LeftOut {
                file: table.name.clone(),
                rows: staged.left_out,
            });
        }
        let id_columns = columns.iter().filter(|column| column.role == Role::Id);
        let floats = id_columns.zip(&staged.ids).filter(|(_, ids)| ids.are_floats());
        self.whole_floats.extend(floats.map(|(column, _)| FileColumn {
            file: table.name.clone(),
            column: column.source.to_owned(),
        }));
        let registered = self
            .sql
            .register_parquet(
                format!("staged_{name}"),
                url(&path),
                ParquetReadOptions::default(),
            )
            .await;
        registered.map_err(DatasetError::query("the columns of a table"))?;
        Ok(staged)
    }

    /// Writes the rows of a query to a file that queries read as a table; `order` has the columns that the query
    /// orders them by, so that what groups by the first of them needs no table of all groups.
    pub(super) async fn keep(
        &self,
        what: &'static str,
        table: &str,
        sql: &str,
        order: &[&str],
    ) -> Result<(), DatasetError> {
        let wrap = DatasetError::query(what);
        let path = self.folder.path().join(format!("{table}.parquet"));
        let frame = self.sql.sql(sql).await.map_err(&wrap)?;
        let mut form = TableParquetOptions::default();
        form.global.compression = Some("snappy".to_owned());
        let single = DataFrameWriteOptions::new().with_single_file_output(true);
        frame
            .write_parquet(&path.to_string_lossy(), single, Some(form))
            .await
            .map_err(&wrap)?;
        let order = order
            .iter()
            .map(|column| col(*column).sort(true, false))
            .collect();
        let read = ParquetReadOptions::default().file_sort_order(vec![order]);
        let registered = self.sql.register_parquet(table, url(&path), read);
        registered.await.map_err(&wrap)
    }

    /// Writes batches to a file that queries read as a table.
    pub(super) async fn keep_batches(
        &self,
        table: &str,
        schema: SchemaRef,
        batches: impl Iterator<Item = RecordBatch>,
    ) -> Result<(), DatasetError> {
        let path = self.folder.path().join(format!("{table}.parquet"));
        let write = || -> Result<(), ParquetError> {
            let mut writer = ArrowWriter::try_new(File::create(&path)?, schema, None)?;
            for batch in batches {
                writer.write(&batch)?;
            }
            writer.close().map(drop)
        };
        write().map_err(DatasetError::Staging)?;
        let registered = self
            .sql
            .register_parquet(table, url(&path), ParquetReadOptions::default());
        registered
            .await
            .map_err(DatasetError::query("the ids of users and items"))
    }

    /// Runs a statement for its effect.
    pub(crate) async fn run(&self, what: &'static str, sql: &str) -> Result<(), DatasetError> {
        let frame = self.sql.sql(sql).await.map_err(DatasetError::query(what))?;
        frame.collect().await.map_err(DatasetError::query(what))?;
        Ok(())
    }
}

fn session(queries: QuerySettings, folder: &Path) -> Result<SessionContext, DatasetError> {
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(FairSpillPool::new(queries.memory.bytes())))
        .with_temp_file_path(folder)
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

fn role(entity: &Entity, column: &str) -> Role {
    let is_among = |columns: &[String]| columns.iter().any(|other| other == column);
    if is_among(&entity.numeric) {
        Role::Quantity
    } else if is_among(&entity.categorical) {
        Role::Category
    } else {
        Role::Text
    }
}

/// A column's name, quoted for SQL.
pub fn quoted(column: &str) -> String {
    format!("\"{}\"", column.replace('"', "\"\""))
}
