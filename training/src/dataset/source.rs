//! The shop's files as three SQL views with our names.
//!
//! `transactions(user_id, item_id, at, price, store)`, `users(user_id, ..)` and `items(item_id, ..)`: ids and
//! categories are text, quantities are doubles, and NaN is null. Everything after works on these views, so it
//! neither knows nor cares what the shop calls its columns.

use std::path::Path;

use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use url::Url;

use super::cells::Role;
use super::config::{DatasetConfig, Entity};
use super::error::DatasetError;
use super::files::TableFiles;
use super::matches::{self, Match, Side};
use super::staging::{Column, Staged, stage};

/// Memory that queries may take before they spill to disk: half of what the smallest machine has that we
/// train on.
const QUERY_MEMORY_BYTES: usize = 4 << 30;

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
    /// Where staged files are for as long as they are read.
    folder: TempDir,
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
        Self::read(config, files).await
    }

    /// Reads every file once, and checks it.
    pub async fn read(config: DatasetConfig, files: ShopFiles) -> Result<Self, DatasetError> {
        let mut dataset = Self {
            config,
            sql: session()?,
            matches: Vec::new(),
            left_out: Vec::new(),
            whole_floats: Vec::new(),
            folder: files.folder,
        };
        dataset.view_transactions(&files.transactions).await?;
        dataset.view_entity(Side::Items, Some(&files.items)).await?;
        dataset.view_entity(Side::Users, files.users.as_ref()).await?;
        Ok(dataset)
    }

    async fn view_transactions(&mut self, table: &TableFiles) -> Result<(), DatasetError> {
        let roles = self.config.transactions.clone();
        let column = |source, role, name, required| Column {
            source,
            role,
            name,
            required,
        };
        let mut columns = vec![
            column(roles.user.as_str(), Role::Id, "user_id", true),
            column(&roles.item, Role::Id, "item_id", true),
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
        let price = roles.price.map_or("CAST(0 AS DOUBLE)", |_| "price");
        let store = roles.store.map_or("CAST(NULL AS VARCHAR)", |_| "store");
        let sql = format!(
            "CREATE VIEW transactions AS
             SELECT {user} AS user_id, {item} AS item_id, at, {price} AS price, {store} AS store FROM staged_transactions",
            user = id(&staged, 0, "user_id"),
            item = id(&staged, 1, "item_id"),
        );
        self.run("the view of transactions", &sql).await
    }

    async fn view_entity(&mut self, side: Side, table: Option<&TableFiles>) -> Result<(), DatasetError> {
        let (view, key) = (side.view(), side.id());
        let entity = match side {
            Side::Users => self.config.users.clone(),
            Side::Items => Some(self.config.items.clone()),
        };
        let Some((entity, table)) = entity.zip(table) else {
            let sql = format!("CREATE VIEW {view} AS SELECT CAST(NULL AS VARCHAR) AS {key} WHERE FALSE");
            return self.run("an empty view", &sql).await;
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
            name: key,
            required: true,
        };
        let columns: Vec<Column<'_>> = [id_column].into_iter().chain(columns).collect();
        let staged = self.stage(view, table, &columns).await?;
        if staged.rows == 0 {
            return Err(DatasetError::NoRows {
                file: entity.file,
                missing: " with an id",
            });
        }
        let known: String = known
            .iter()
            .map(|column| format!(", {}", quoted(column)))
            .collect();
        let sql = format!(
            "CREATE VIEW {view} AS SELECT {id} AS {key}{known} FROM staged_{view}",
            id = id(&staged, 0, key),
        );
        self.run("the view of users or items", &sql).await?;
        self.check_ids(view, key, &entity).await?;
        let found = matches::compare(self, side, &entity.file, &entity.key).await?;
        self.matches.push(found);
        Ok(())
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
        let floats = columns.iter().zip(&staged.spellings);
        let floats = floats.filter(|(_, spelling)| spelling.is_of_floats());
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

    /// Runs a statement for its effect.
    pub(crate) async fn run(&self, what: &'static str, sql: &str) -> Result<(), DatasetError> {
        let frame = self.sql.sql(sql).await.map_err(DatasetError::query(what))?;
        frame.collect().await.map_err(DatasetError::query(what))?;
        Ok(())
    }
}

fn session() -> Result<SessionContext, DatasetError> {
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_limit(QUERY_MEMORY_BYTES, 1.0)
        .build_arc()
        .map_err(DatasetError::query("the limits of memory"))?;
    Ok(SessionContext::new_with_config_rt(SessionConfig::new(), runtime))
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

/// A column of ids, without the zeros of a program that took them for floats.
fn id(staged: &Staged, column: usize, name: &str) -> String {
    if staged.spellings[column].is_of_floats() {
        format!("split_part({name}, '.', 1)")
    } else {
        name.to_owned()
    }
}

/// A column's name, quoted for SQL.
pub fn quoted(column: &str) -> String {
    format!("\"{}\"", column.replace('"', "\"\""))
}
