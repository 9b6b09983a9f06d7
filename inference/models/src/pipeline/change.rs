//! Changes of users and items: whether the models can be given them, and items as they become.
//!
//! A variant keeps no users: what was put of one comes with each request. Items are prepared here, whenever the online store says that
//! one changed.

use std::collections::BTreeSet;
use std::sync::PoisonError;

use gondola_request::{Change, Interaction, ItemState, PurchaseUpdate, StatedRow, UserUpdate};

use super::variant::{RequestError, Variant};
use crate::features::present::purchases;
use crate::features::{Cell, Cells, EncodedRow, EntityWorkflow, ItemId, RawRow, Value};
use crate::items::{ItemFeatures, ItemNow, ItemsView, NewItem, TooManyItems, Withdrawn, block, text, weight};
use crate::similarity::Similarity;

/// An item that could not be made what the online store says it is, and why.
pub type RefusedItem = (ItemId, RequestError);

impl Variant {
    /// Refuses a change of which the models would make no finite number, or that names what there isn't.
    pub fn check(&self, change: &Change) -> Result<(), RequestError> {
        match change {
            Change::PutUser { update, .. } | Change::PatchUser { update, .. } => self.check_user(update),
            Change::PutItem { item, update } => self.check_item(item, update.features.clone()),
            Change::PatchItem { item, update } => self.check_patch(item, &update.features),
            Change::Interaction(interaction) => self.check_interaction(interaction),
            Change::PutRules(rules) => self.check_rules(rules),
            Change::DeleteUser { .. } | Change::DeleteItem { .. } | Change::DeleteRules => Ok(()),
        }
    }

    fn check_user(&self, update: &UserUpdate) -> Result<(), RequestError> {
        let workflow = &self.workflow.user;
        let known = || workflow.columns().map(str::to_owned).collect();
        check_columns(
            "user",
            &update.features,
            |column| workflow.reads_as_number(column),
            known,
        )?;
        let items = self.items.view();
        let history = update.history.as_deref().unwrap_or_default();
        history
            .iter()
            .try_for_each(|purchase| check_purchase(purchase, &items))?;
        self.try_user(&update.features, &purchases(history, &items), &items)
    }

    fn check_item(&self, item: &ItemId, features: RawRow) -> Result<(), RequestError> {
        self.check_item_columns(&features)?;
        let items = self.items.view();
        let ItemFeatures::New(new) = self.item_features(item, features, &items)? else {
            return Ok(());
        };
        if !items.has_room() {
            return Err(TooManyItems.into());
        }
        check_range("item", &new.raw, &new.encoded, &self.workflow.item)?;
        self.try_item(&new)
    }

    /// Refuses columns that nothing asks for: neither models nor texts nor, with those of the snapshot, rules.
    fn check_item_columns(&self, features: &RawRow) -> Result<(), RequestError> {
        let (workflow, table, texts) = (&self.workflow.item, self.items.table(), self.text_columns());
        let is_number = |column: &str| {
            let read = workflow.reads_as_number(column);
            read.or_else(|| texts.iter().any(|text| text == column).then_some(false))
                .or_else(|| table.has_numbers(column))
        };
        let known = || {
            let read = workflow.columns().map(str::to_owned);
            let known: BTreeSet<String> = read.chain(texts.iter().chain(table.columns()).cloned()).collect();
            known.into_iter().collect()
        };
        check_columns("item", features, is_number, known)
    }

    fn check_patch(&self, item: &ItemId, features: &RawRow) -> Result<(), RequestError> {
        let items = self.items.view();
        let row = items
            .find(item)
            .ok_or_else(|| RequestError::UnknownItem { item: item.clone() })?;
        if features.0.is_empty() {
            return Ok(());
        }
        self.check_item_columns(features)?;
        let present = match (items.put_item(row), items.for_rules(row)) {
            (Some(put), _) => put.raw.clone(),
            (None, Some(columns)) => over(self.snapshot_row(item, &items), columns),
            (None, None) => self.snapshot_row(item, &items),
        };
        self.check_item(item, over(present, features))
    }

    fn check_interaction(&self, interaction: &Interaction) -> Result<(), RequestError> {
        let item = &interaction.item;
        if self.items.view().find(item).is_none() {
            return Err(RequestError::UnknownItem { item: item.clone() });
        }
        match interaction.price {
            Some(price) if !(price.is_finite() && price >= 0.0) => Err(RequestError::Price { price }),
            _ => Ok(()),
        }
    }

    /// Makes items what the online store says they are, or, of those that it doesn't have, what the snapshot says. Served from the next
    /// request on. Those that can't be are left as they were.
    pub fn set_items(&self, states: Vec<(ItemId, Option<ItemState>)>) -> Vec<RefusedItem> {
        let _one_at_a_time = self.following.lock().unwrap_or_else(PoisonError::into_inner);
        let mut refused = Vec::new();
        let mut changes = Vec::with_capacity(states.len());
        for (item, state) in states {
            match self.item_now(&item, state.unwrap_or_default()) {
                Ok(now) => changes.push((item, now)),
                Err(error) => refused.push((item, error)),
            }
        }
        let ids: Vec<ItemId> = changes.iter().map(|(item, _)| item.clone()).collect();
        match self.items.set(changes) {
            Ok(()) => self.follow_items(&ids),
            Err(TooManyItems) => refused.extend(ids.into_iter().map(|item| (item, TooManyItems.into()))),
        }
        refused
    }

    fn item_now(&self, item: &ItemId, state: ItemState) -> Result<ItemNow, RequestError> {
        let items = self.items.view();
        let known = items.snapshot_row(item).is_some();
        let row = state
            .row
            .filter(|row| !known || row.always || row.at >= self.as_of);
        let features = match row {
            Some(row) => self.item_features(item, self.present_row(item, row, &items), &items)?,
            None => ItemFeatures::Snapshot,
        };
        let withdrawn = match (state.deleted, state.blocked) {
            (true, _) => Some(Withdrawn::Deleted),
            (false, true) => Some(Withdrawn::Blocked),
            (false, false) => None,
        };
        Ok(ItemNow { features, withdrawn })
    }

    fn present_row(&self, item: &ItemId, row: StatedRow, items: &ItemsView<'_>) -> RawRow {
        match row.whole {
            true => row.columns,
            false => over(self.snapshot_row(item, items), &row.columns),
        }
    }

    /// What the snapshot says of an item; nothing where it lacks it.
    fn snapshot_row(&self, item: &ItemId, items: &ItemsView<'_>) -> RawRow {
        let Some(row) = items.snapshot_row(item) else {
            return RawRow::default();
        };
        let columns = self.items.table().columns().iter();
        RawRow(
            columns
                .map(|column| (column.clone(), Value::from(row.cell(column))))
                .collect(),
        )
    }

    /// What a row says of an item, beside what the snapshot says.
    fn item_features(
        &self,
        item: &ItemId,
        row: RawRow,
        items: &ItemsView<'_>,
    ) -> Result<ItemFeatures, RequestError> {
        let Some(snapshot) = items.snapshot_row(item) else {
            return Ok(ItemFeatures::New(self.new_item(row, None)?));
        };
        let known = self.items.table().columns().iter();
        let columns: BTreeSet<&String> = row.0.keys().chain(known).collect();
        let differs = |column: &&String| !row.cell(column).is_same(snapshot.cell(column));
        let other: Vec<&String> = columns.into_iter().filter(differs).collect();
        if other.is_empty() {
            return Ok(ItemFeatures::Snapshot);
        }
        if other.iter().any(|column| self.is_read(column)) {
            let known = items.find(item);
            return Ok(ItemFeatures::New(self.new_item(row, known)?));
        }
        let values = other
            .into_iter()
            .map(|column| (column.clone(), row.get(column).clone()));
        Ok(ItemFeatures::ForRules(RawRow(values.collect())))
    }

    /// Whether anything but rules reads a column of items.
    fn is_read(&self, column: &str) -> bool {
        let sampled_by = self.scorer.sampled_by.as_ref();
        self.workflow.item.reads_as_number(column).is_some()
            || self.text_columns().iter().any(|text| text == column)
            || sampled_by.is_some_and(|sampled_by| sampled_by.column == column)
    }

    /// Encodes an item and embeds it in both spaces; `known` is the row of one that is in the catalog.
    fn new_item(&self, features: RawRow, known: Option<u32>) -> Result<NewItem, RequestError> {
        let encoded = self.workflow.item.encode(&features);
        Ok(NewItem {
            block: block(&encoded, self.scorer.scorer.as_ref()),
            weight: weight(&features, self.scorer.sampled_by.as_ref()),
            vector: self.retrieval.embed_item(&encoded, known)?,
            text_vector: self.embed_text(&text(&features, self.text_columns()))?,
            encoded,
            raw: features,
        })
    }

    fn text_columns(&self) -> &[String] {
        self.similarity.as_ref().map_or(&[], Similarity::text_columns)
    }

    fn embed_text(&self, text: &str) -> Result<Option<Vec<f32>>, RequestError> {
        if text.is_empty() {
            return Ok(None);
        }
        Ok(self
            .similarity
            .as_ref()
            .and_then(|similarity| similarity.embed(text))
            .transpose()?)
    }
}

/// A row with some of its values changed.
fn over(mut row: RawRow, changed: &RawRow) -> RawRow {
    row.0.extend(changed.0.clone());
    row
}

fn check_purchase(put: &PurchaseUpdate, items: &ItemsView<'_>) -> Result<(), RequestError> {
    let not_below_0 = |number: f32| number >= 0.0 && number.is_finite();
    let problem = if items.find(&put.item).is_none() {
        "it is not in the catalog"
    } else if !(put.purchases > 0.0 && put.purchases.is_finite()) {
        "purchases is not above 0"
    } else if !not_below_0(put.days_since_last) {
        "days_since_last is below 0"
    } else if !put.recent_purchases.is_none_or(not_below_0) {
        "recent_purchases is below 0"
    } else {
        return Ok(());
    };
    Err(RequestError::Purchase {
        item: put.item.clone(),
        problem,
    })
}

/// Refuses columns that are not known, and texts where numbers are read. `is_number` says of a known column whether it is read as one.
fn check_columns(
    entity: &'static str,
    features: &RawRow,
    is_number: impl Fn(&str) -> Option<bool>,
    known: impl Fn() -> Vec<String>,
) -> Result<(), RequestError> {
    for (column, value) in &features.0 {
        match is_number(column) {
            None => {
                return Err(RequestError::UnknownColumn {
                    entity,
                    column: column.clone(),
                    known: known(),
                });
            }
            Some(true) if *value != Value::Null && Cell::from(value).as_number().is_none() => {
                let value = match value {
                    Value::Text(text) => text.clone(),
                    other => format!("{other:?}"),
                };
                return Err(RequestError::NotANumber {
                    entity,
                    column: column.clone(),
                    value,
                });
            }
            _ => {}
        }
    }
    Ok(())
}

/// Refuses a row with a number that models can't be given.
pub(super) fn check_range(
    entity: &'static str,
    features: &RawRow,
    encoded: &EncodedRow,
    workflow: &EntityWorkflow,
) -> Result<(), RequestError> {
    match workflow.first_not_admitted(encoded) {
        None => Ok(()),
        Some(numeric) => {
            let column = numeric.raw_column().unwrap_or(&numeric.column);
            Err(RequestError::OutOfRange {
                entity,
                column: column.to_owned(),
                value: match features.get(column) {
                    Value::Text(text) => text.clone(),
                    Value::Number(number) => number.to_string(),
                    Value::Null => "null".to_owned(),
                },
            })
        }
    }
}
