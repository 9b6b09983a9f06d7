//! The rules by which a variant answers: its manifest's, and over them those that a shop changes by the hour.
//!
//! A request takes the rules that stand when it begins, and keeps them to its end. What items may be found is worked out once, when
//! rules change, for every row and every position of an index, so that a search passes over the others, and again for an item of which
//! they see other values; an item that was put is asked by its own values.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use gondola_request::{BoughtRule, ItemRule, Rules, Value};

use super::variant::{Diversity, DiversitySettings, RequestError, Variant, VariantSettings, diversity};
use crate::features::{Cell, ItemId};
use crate::items::ItemsView;
use crate::retrieval::ItemIndex;
use crate::retrieval::index::allowed::Allowed;
use crate::retrieval::sources::Quotas;
use crate::similarity::Similarity;

/// The most candidates that a rule may ask of a source.
const MAX_CANDIDATES: usize = 10_000;

/// The rules that stand now.
#[derive(Clone)]
pub(super) struct ActiveRules {
    pub(super) already_bought: BoughtRule,
    pub(super) limit: usize,
    pub(super) quotas: Quotas,
    pub(super) diversity: Option<Diversity>,
    items: Vec<ItemRule>,
    allowed: Option<AllowedItems>,
}

/// What may be found, by rows of the snapshot and by positions of the indexes.
#[derive(Clone)]
struct AllowedItems {
    rows: Allowed,
    retrieval: InIndex,
    similarity: Option<InIndex>,
}

/// What may be found in an index.
#[derive(Clone)]
struct InIndex {
    allowed: Allowed,
    /// The position of each row that is there.
    positions: Arc<HashMap<u32, u32>>,
}

impl ActiveRules {
    /// The manifest's.
    pub(super) fn of(settings: &VariantSettings, diversity: Option<Diversity>) -> Self {
        Self {
            already_bought: settings.already_bought,
            limit: settings.limit,
            quotas: settings.quotas.clone(),
            diversity,
            items: Vec::new(),
            allowed: None,
        }
    }

    /// The positions of the retrieval index that may be found; `None` where all may.
    pub(super) fn in_retrieval(&self) -> Option<&Allowed> {
        self.allowed.as_ref().map(|allowed| &allowed.retrieval.allowed)
    }

    /// The positions of the similarity index that may be found; `None` where all may.
    pub(super) fn in_similarity(&self) -> Option<&Allowed> {
        let similarity = self.allowed.as_ref()?.similarity.as_ref()?;
        Some(&similarity.allowed)
    }

    /// Whether an item passes the rules for items.
    pub(super) fn allow(&self, item: u32, items: &ItemsView<'_>) -> bool {
        let Some(allowed) = &self.allowed else {
            return true;
        };
        match items.is_put(item) {
            true => passes(&self.items, |column| items.cell(item, column)),
            false => allowed.rows.contains(item),
        }
    }
}

fn passes<'a>(rules: &[ItemRule], cell: impl Fn(&str) -> Cell<'a>) -> bool {
    rules.iter().all(|rule| {
        let cell = cell(&rule.column);
        let is = |value: &Value| Cell::from(value).is_same(cell);
        rule.allow.as_ref().is_none_or(|allow| allow.iter().any(is)) && !rule.deny.iter().any(is)
    })
}

impl Variant {
    /// Refuses rules that can't be followed.
    pub fn check_rules(&self, rules: &Rules) -> Result<(), RequestError> {
        self.active(rules).map(|_| ())
    }

    /// Follows rules from the next request on, or the manifest's alone.
    pub fn set_rules(&self, rules: Option<&Rules>) -> Result<(), RequestError> {
        let _one_at_a_time = self.following.lock().unwrap_or_else(PoisonError::into_inner);
        let rules = rules.cloned().unwrap_or_default();
        let mut active = self.active(&rules)?;
        active.allowed = (!rules.items.is_empty()).then(|| self.allowed(&rules.items));
        self.rules.store(active.into());
        Ok(())
    }

    /// Rules that can be followed, before it is worked out which items they allow.
    fn active(&self, rules: &Rules) -> Result<ActiveRules, RequestError> {
        let mut active = ActiveRules::of(&self.settings, self.diversity);
        if let Some(rule) = rules.already_bought {
            active.already_bought = rule;
        }
        if let Some(candidates) = rules.candidates {
            let quotas = &mut active.quotas;
            quotas.two_tower = quota("candidates.two_tower", candidates.two_tower, quotas.two_tower)?;
            quotas.bought_before = quota(
                "candidates.bought_before",
                candidates.bought_before,
                quotas.bought_before,
            )?;
            quotas.popular = quota("candidates.popular", candidates.popular, quotas.popular)?;
        }
        if let Some(limit) = rules.limit {
            let most = active.quotas.total().min(self.items.snapshot_len());
            active.limit = within("limit", limit, 1, most)?;
        }
        if let Some(rule) = &rules.diversity {
            within("diversity.most", rule.most, 1, usize::MAX)?;
            let wanted = DiversitySettings {
                column: rule.column.clone(),
                most: rule.most,
            };
            let columns = &self.workflow.item.categorical;
            active.diversity =
                diversity(Some(&wanted), columns).map_err(|_| RequestError::UnknownColumn {
                    entity: "item",
                    column: rule.column.clone(),
                    known: self.workflow.layout().item_categorical,
                })?;
        }
        for rule in &rules.items {
            self.check_column(&rule.column)?;
        }
        active.items.clone_from(&rules.items);
        Ok(active)
    }

    fn check_column(&self, column: &str) -> Result<(), RequestError> {
        let known = self.items.table().columns();
        if known.iter().any(|known| known == column) || self.workflow.item.reads_as_number(column).is_some() {
            return Ok(());
        }
        Err(RequestError::UnknownColumn {
            entity: "item",
            column: column.to_owned(),
            known: known.to_vec(),
        })
    }

    fn allowed(&self, rules: &[ItemRule]) -> AllowedItems {
        let items = self.items.view();
        let rows = Allowed::of(self.items.snapshot_len(), |row| {
            passes(rules, |column| items.cell(row as u32, column))
        });
        let in_index = |index: &ItemIndex| InIndex::of(index, &rows);
        AllowedItems {
            retrieval: in_index(self.retrieval.items()),
            similarity: self.similarity.as_ref().map(Similarity::items).map(in_index),
            rows,
        }
    }

    /// Works out anew whether the rules allow items that changed.
    pub(super) fn follow_items(&self, changed: &[ItemId]) {
        let rules = self.rules.load();
        let Some(allowed) = &rules.allowed else {
            return;
        };
        let (items, table) = (self.items.view(), self.items.table());
        let rows = changed.iter().filter_map(|item| table.find(item.as_str()));
        let now = rows.map(|row| {
            let row = row as u32;
            (row, passes(&rules.items, |column| items.cell(row, column)))
        });
        let others: Vec<(u32, bool)> = now
            .filter(|(row, passes)| allowed.rows.contains(*row) != *passes)
            .collect();
        if others.is_empty() {
            return;
        }
        let mut next = ActiveRules::clone(&rules);
        next.allowed = Some(allowed.with(&others));
        self.rules.store(next.into());
    }
}

impl AllowedItems {
    fn with(&self, rows: &[(u32, bool)]) -> Self {
        Self {
            rows: self.rows.with(rows.iter().copied()),
            retrieval: self.retrieval.with(rows),
            similarity: self.similarity.as_ref().map(|similarity| similarity.with(rows)),
        }
    }
}

impl InIndex {
    fn of(index: &ItemIndex, rows: &Allowed) -> Self {
        let of = index.rows();
        Self {
            allowed: Allowed::of(of.len(), |position| rows.contains(of[position])),
            positions: Arc::new(of.iter().copied().zip(0..).collect()),
        }
    }

    fn with(&self, rows: &[(u32, bool)]) -> Self {
        let at = |(row, passes): &(u32, bool)| Some((*self.positions.get(row)?, *passes));
        Self {
            allowed: self.allowed.with(rows.iter().filter_map(at)),
            positions: Arc::clone(&self.positions),
        }
    }
}

fn quota(rule: &'static str, asked: Option<usize>, present: usize) -> Result<usize, RequestError> {
    asked.map_or(Ok(present), |asked| within(rule, asked, 0, MAX_CANDIDATES))
}

fn within(rule: &'static str, value: usize, least: usize, most: usize) -> Result<usize, RequestError> {
    if (least..=most).contains(&value) {
        return Ok(value);
    }
    Err(RequestError::Rule {
        rule,
        value,
        least,
        most,
    })
}
