//! What a features bundle holds, read and encoded once, whatever number of variants of a process serve it.

use std::path::Path;
use std::sync::Arc;

use super::variant::LoadError;
use crate::features::neighbors::NEIGHBOURS;
use crate::features::{EncodedTable, History, Neighbors, RawTable, Schema, Workflow};

/// The tables of a features bundle: nothing in here changes, and variants that have the same bundle have the same tables.
#[derive(Clone)]
pub struct FeatureSnapshot {
    pub(super) schema: Schema,
    pub(super) workflow: Arc<Workflow>,
    /// The digest of the workflow as it was saved.
    pub(super) workflow_digest: String,
    pub(super) users: Arc<RawTable>,
    pub(super) encoded_users: Arc<EncodedTable>,
    pub(super) items: Arc<RawTable>,
    pub(super) encoded_items: Arc<EncodedTable>,
    pub(super) history: Arc<History>,
    /// What is bought together; older releases published bundles that don't say.
    pub(super) neighbors: Option<Arc<Neighbors>>,
}

impl FeatureSnapshot {
    /// Reads the bundle in a folder.
    pub fn load(folder: &Path) -> Result<Self, LoadError> {
        let schema = Schema::load(folder)?;
        let workflow = Workflow::load(folder)?;
        let users = RawTable::read(&folder.join("users.parquet"), "user_id")?;
        let items = RawTable::read(&folder.join("items.parquet"), "item_id")?;
        let history = History::read(&folder.join("history.parquet"), &users, &items)?;
        let neighbors = folder.join(NEIGHBOURS);
        let neighbors = match neighbors.exists() {
            true => Some(Neighbors::read(&neighbors, &items)?.into()),
            false => None,
        };
        Ok(Self {
            schema,
            encoded_users: workflow.user.encode_table(&users).into(),
            encoded_items: workflow.item.encode_table(&items).into(),
            workflow_digest: workflow.saved_digest(folder)?,
            workflow: workflow.into(),
            users: users.into(),
            items: items.into(),
            history: history.into(),
            neighbors,
        })
    }
}
