//! Changes of users and items: whether the models can be given them, and items as they become.
//!
//! A variant keeps no users: what was put of one comes with each request. Items are prepared here, whenever the online store says that
//! one changed.

use std::collections::BTreeSet;

use gondola_request::{Change, Interaction, ItemState, PurchaseUpdate, StatedRow, UserUpdate};

use super::variant::{RequestError, Variant};
use crate::features::present::purchases;
use crate::features::workflow::NumericColumn;
use crate::features::{Cell, Cells, EncodedRow, EntityWorkflow, ItemId, RawRow, Value};
use crate::items::{ItemNow, ItemsView, NewItem, TooManyItems, Withdrawn, block, text, weight};
use crate::similarity::Similarity;

/// An item that could not be made what the online store says it is, and why.
pub type RefusedItem = (ItemId, RequestError);

impl Variant {
    /// Refuses a change of which the models would make no finite number, or that names what there isn't.
    pub fn check(&self, change: &Change) -> Result<(), RequestError> {
        match change {
            Change::PutUser { update, .. } | Change::PatchUser { update, .. } => self.check_user(update),
            Change::PutItem { update, .. } => self.check_item(&update.features),
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

    fn check_item(&self, features: &RawRow) -> Result<(), RequestError> {
        self.check_item_columns(features)?;
        if !self.items.view().has_room() {
            return Err(TooManyItems.into());
        }
        let new = self.new_item(features.clone())?;
        check_range("item", features, &new.encoded, &self.workflow.item)?;
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
        let present = match items.put_item(row) {
            Some(put) => put.raw.clone(),
            None => self.snapshot_row(item, &items),
        };
        self.check_item(&over(present, features))
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
        let mut refused = Vec::new();
        let mut changes = Vec::with_capacity(states.len());
        for (item, state) in states {
            match self.item_now(&item, state.unwrap_or_default()) {
                Ok(now) => changes.push((item, now)),
                Err(error) => refused.push((item, error)),
            }
        }
        let ids: Vec<ItemId> = changes.iter().map(|(item, _)| item.clone()).collect();
        if let Err(TooManyItems) = self.items.set(changes) {
            refused.extend(ids.into_iter().map(|item| (item, TooManyItems.into())));
        }
        refused
    }

    fn item_now(&self, item: &ItemId, state: ItemState) -> Result<ItemNow, RequestError> {
        let items = self.items.view();
        let known = items.snapshot_row(item).is_some();
        let row = state
            .row
            .filter(|row| !known || row.always || row.at >= self.as_of);
        let row = row.map(|row| self.present_row(item, row, &items));
        // What says nothing new needs no place beside the snapshot, of which there are few.
        let row = row.filter(|row| !self.is_snapshot(item, row, &items));
        let new = row.map(|row| self.new_item(row));
        let withdrawn = match (state.deleted, state.blocked) {
            (true, _) => Some(Withdrawn::Deleted),
            (false, true) => Some(Withdrawn::Blocked),
            (false, false) => None,
        };
        Ok(ItemNow {
            new: new.transpose()?,
            withdrawn,
        })
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

    /// Whether a row says of an item what the snapshot says.
    fn is_snapshot(&self, item: &ItemId, row: &RawRow, items: &ItemsView<'_>) -> bool {
        let Some(snapshot) = items.snapshot_row(item) else {
            return false;
        };
        let mut columns = row.0.keys().chain(self.items.table().columns());
        columns.all(|column| row.cell(column).is_same(snapshot.cell(column)))
    }

    /// Encodes an item and embeds it in both spaces.
    fn new_item(&self, features: RawRow) -> Result<NewItem, RequestError> {
        let encoded = self.workflow.item.encode(&features);
        Ok(NewItem {
            block: block(&encoded, self.scorer.scorer.as_ref()),
            weight: weight(&features, self.scorer.sampled_by.as_ref()),
            vector: self.retrieval.embed_item(&encoded),
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
        Some(NumericColumn { column, .. }) => Err(RequestError::OutOfRange {
            entity,
            column: column.clone(),
            value: match features.get(column) {
                Value::Text(text) => text.clone(),
                Value::Number(number) => number.to_string(),
                Value::Null => "null".to_owned(),
            },
        }),
    }
}
