//! A shop's files, read once: every cell is checked, ids become numbers, and everything is left as tables in a folder.

use gondola_artifacts::Access;
use std::path::Path;

use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use url::Url;

use super::cells::Role;
use super::config::{DatasetConfig, Entity};
use super::error::DatasetError;
use super::files::TableFiles;
use super::ids::SeenIds;
use super::matches;
use super::numbering;
use super::queries::QuerySettings;
use super::remarks::{FileColumn, LeftOut, Remarks};
use super::side::{Entities, Side};
use super::sql::staged;
use super::staging::{Column, Staged, stage};
use super::tables::Tables;

/// The files of a data set, found, and fetched where they were not on this machine.
pub struct ShopFiles {
    transactions: TableFiles,
    users: Option<TableFiles>,
    items: TableFiles,
    /// Where fetched files are.
    _fetched: TempDir,
}

impl ShopFiles {
    /// Finds the files below `data`, a folder's URL.
    pub async fn find(config: &DatasetConfig, data: &Url) -> Result<Self, DatasetError> {
        Self::find_with(config, data, &Access::default()).await
    }

    /// The same where `access` says how an object store is reached.
    pub async fn find_with(
        config: &DatasetConfig,
        data: &Url,
        access: &Access,
    ) -> Result<Self, DatasetError> {
        let folder = tempfile::tempdir().map_err(DatasetError::Folder)?;
        let find = async |file: &str, table: &str| -> Result<TableFiles, DatasetError> {
            let fetched = folder.path().join(table);
            std::fs::create_dir(&fetched).map_err(DatasetError::Folder)?;
            Ok(TableFiles::find(data, file, access, &fetched).await?)
        };
        let users = match &config.users {
            Some(users) => Some(find(&users.file, "users").await?),
            None => None,
        };
        Ok(Self {
            transactions: find(&config.transactions.file, "transactions").await?,
            users,
            items: find(&config.items.file, "items").await?,
            _fetched: folder,
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

/// A shop whose files are being read.
struct Shop {
    config: DatasetConfig,
    tables: Tables,
    remarks: Remarks,
}

/// Reads every file once and checks it, and leaves tables in a folder that is there and empty.
pub(super) async fn read(
    config: DatasetConfig,
    files: &ShopFiles,
    queries: &QuerySettings,
    folder: &Path,
) -> Result<(), DatasetError> {
    let mut shop = Shop {
        config,
        tables: Tables::new(folder, queries).await?,
        remarks: Remarks::default(),
    };
    let sold = shop.stage_transactions(&files.transactions).await?;
    let items = shop.stage_entity(Side::Items, Some(&files.items)).await?;
    let users = shop.stage_entity(Side::Users, files.users.as_ref()).await?;
    let known = Entities { users, items };
    numbering::number(&mut shop.tables, &shop.config, &sold, &known).await?;
    shop.remarks.matches = matches::compare_all(&shop.config, &shop.tables.sql).await?;
    shop.remarks.save(folder)?;
    shop.tables.save()
}

impl Shop {
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
                .map(|price| column(price, Role::Price, "price", false)),
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
        let entity = self.config.entity(side).cloned();
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

    /// Stages a table, and registers it for queries.
    async fn stage(
        &mut self,
        name: &str,
        table: &TableFiles,
        columns: &[Column<'_>],
    ) -> Result<Staged, DatasetError> {
        let name = staged(name);
        let staged = stage(table, columns, &self.tables.path(&name))?;
        if staged.left_out > 0 {
            self.remarks.left_out.push(LeftOut {
                file: table.name.clone(),
                rows: staged.left_out,
            });
        }
        let id_columns = columns.iter().filter(|column| column.role == Role::Id);
        let floats = id_columns.zip(&staged.ids).filter(|(_, ids)| ids.are_floats());
        self.remarks
            .whole_floats
            .extend(floats.map(|(column, _)| FileColumn {
                file: table.name.clone(),
                column: column.source.to_owned(),
            }));
        self.tables.register(name, Vec::new()).await?;
        Ok(staged)
    }
}

fn role(entity: &Entity, column: &str) -> Role {
    let is_among = |columns: &[String]| columns.iter().any(|other| other == column);
    if is_among(&entity.numeric) {
        Role::Quantity
    } else if is_among(&entity.categorical) || is_among(&entity.rules) {
        Role::Category
    } else {
        Role::Text
    }
}
