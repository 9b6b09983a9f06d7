//! A user as of now: the snapshot's row and purchases, and over them what an online store holds.
//!
//! The later of two statements counts: what was put or done before the snapshot's cut-off date is in the snapshot already, if it knows
//! the user. Time stands still at the cut-off date but for what a user did since, which counts as done today: the models know no later
//! day.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use gondola_request::{
    InteractionKind, Moment, PastInteraction, PurchaseUpdate, StatedRow, UserId, UserState,
};

use super::activity::{ActivityColumn, InteractionWeights};
use super::history::Purchase;
use super::table::{Cell, Cells, TableRow};
use super::users::{Purchases, User, Users};
use super::workflow::EntityWorkflow;
use crate::items::ItemsView;

/// Milliseconds of a day.
const DAY: i64 = 86_400_000;

/// What makes a user of a snapshot and what happened since.
pub struct Present<'u, 'i> {
    /// The users of the snapshot.
    pub users: &'u Users,
    /// What encodes their rows.
    pub workflow: &'u EntityWorkflow,
    /// The items as they are now.
    pub items: &'i ItemsView<'i>,
    /// How much each interaction counts.
    pub weights: InteractionWeights,
    /// Whether columns of the row follow from what users do, by the names of [`super::activity`].
    pub carries_on: bool,
    /// The snapshot's cut-off date: it knows nothing later.
    pub as_of: Moment,
}

impl<'u> Present<'u, '_> {
    /// A user as of now; `state` is what the online store holds of them.
    pub fn user(&self, id: &UserId, state: Option<&UserState>) -> User<'u> {
        match state {
            None => self.users.find(id, self.workflow),
            Some(state) if state.deleted => User::unknown(self.workflow),
            Some(state) => self.with_state(id, state),
        }
    }

    fn with_state(&self, id: &UserId, state: &UserState) -> User<'u> {
        let known_at = self.users.table().find(id.as_str());
        let is_news = |at: Moment| known_at.is_none() || at >= self.as_of;
        let put = state.row.as_ref().filter(|row| row.always || is_news(row.at));
        let news = || state.interactions.iter().filter(|done| is_news(done.at));
        let activity = Activity::of(news(), self.items, &self.weights);
        if put.is_none() && activity.is_empty() {
            return self.users.find(id, self.workflow);
        }
        let history = put.and(state.history.as_deref());
        let before = self.purchases_before(known_at, history);
        let (purchases, not_bought) = activity.added_to(before);
        let row = PresentRow {
            put,
            snapshot: known_at.map(|row| self.users.table().row(row)),
        };
        let row = match self.carries_on && activity.counts() {
            false => self.workflow.encode(&row),
            true => {
                // A row that is whole has in it what was done before.
                let since_put = put.filter(|put| put.whole).map(|put| {
                    let later = news().filter(|done| done.at >= put.at);
                    Activity::of(later, self.items, &self.weights)
                });
                let later = since_put.as_ref().unwrap_or(&activity);
                self.workflow.encode(&later.carried_on(row, &purchases, self))
            }
        };
        User {
            disliked: activity.disliked.into_iter().collect(),
            not_bought,
            ..User::known(row, purchases)
        }
    }

    /// What the user had bought: what was put, else what the snapshot says.
    fn purchases_before(&self, row: Option<usize>, put: Option<&[PurchaseUpdate]>) -> Purchases<'u> {
        match put {
            Some(put) => Purchases::Present(purchases(put, self.items)),
            None => Purchases::Snapshot(row.map_or(&[], |row| self.users.purchases(row))),
        }
    }
}

/// Purchases that were put, ordered by item row; those of items that are not in the catalog are left out.
pub fn purchases(put: &[PurchaseUpdate], items: &ItemsView<'_>) -> Vec<Purchase> {
    let purchase = |put: &PurchaseUpdate| {
        Some(Purchase {
            item: items.find(&put.item)?,
            purchases: put.purchases,
            days_since_last: put.days_since_last,
            recent_purchases: put.recent_purchases.unwrap_or(put.purchases),
        })
    };
    let mut purchases: Vec<Purchase> = put.iter().filter_map(purchase).collect();
    purchases.sort_by_key(|purchase| purchase.item);
    purchases.dedup_by_key(|purchase| purchase.item);
    purchases
}

/// What a user did since the snapshot, item by item.
struct Activity {
    items: BTreeMap<u32, Done>,
    disliked: BTreeSet<u32>,
    /// The items of what counts, the latest first.
    latest: Vec<u32>,
    /// The most that counts of each day.
    days: BTreeMap<i64, f64>,
    paid: f64,
}

/// What a user did with one item.
#[derive(Default)]
struct Done {
    weight: f64,
    bought: bool,
}

impl Activity {
    /// `done` is what the user did, the earliest first. Items that are not in the catalog are left out.
    fn of<'b>(
        done: impl Iterator<Item = &'b PastInteraction>,
        items: &ItemsView<'_>,
        weights: &InteractionWeights,
    ) -> Self {
        let mut activity = Self {
            items: BTreeMap::new(),
            disliked: BTreeSet::new(),
            latest: Vec::new(),
            days: BTreeMap::new(),
            paid: 0.0,
        };
        for done in done {
            if let Some(item) = items.find(&done.item) {
                activity.add(item, done, weights.of(done.kind));
            }
        }
        activity.latest.reverse();
        activity
    }

    fn add(&mut self, item: u32, done: &PastInteraction, weight: f64) {
        match done.kind {
            InteractionKind::Dislike => {
                self.disliked.insert(item);
            }
            // Who buys it after all wants to see it.
            InteractionKind::Purchase => {
                self.disliked.remove(&item);
                self.paid += done.price.unwrap_or(0.0) * weight;
            }
            InteractionKind::View | InteractionKind::Click | InteractionKind::Basket => {}
        }
        if weight > 0.0 {
            let sum = self.items.entry(item).or_default();
            sum.weight += weight;
            sum.bought |= done.kind == InteractionKind::Purchase;
            self.latest.push(item);
            let day = self.days.entry(done.at.0.div_euclid(DAY)).or_default();
            *day = day.max(weight);
        }
    }

    /// Whether the user did nothing.
    fn is_empty(&self) -> bool {
        self.items.is_empty() && self.disliked.is_empty()
    }

    /// Whether anything that the user did counts as purchases.
    fn counts(&self) -> bool {
        !self.items.is_empty()
    }

    /// Purchases, and what was done since, ordered by item row; and which of these items were never bought.
    fn added_to<'b>(&self, before: Purchases<'b>) -> (Purchases<'b>, Vec<u32>) {
        if self.items.is_empty() {
            return (before, Vec::new());
        }
        let mut merged = before.to_vec();
        let mut not_bought = Vec::new();
        for (item, done) in &self.items {
            let weight = done.weight as f32;
            match before.binary_search_by_key(item, |purchase| purchase.item) {
                Ok(place) => {
                    let purchase = &mut merged[place];
                    purchase.purchases += weight;
                    purchase.recent_purchases += weight;
                    purchase.days_since_last = 0.0;
                }
                Err(_) => {
                    merged.push(Purchase {
                        item: *item,
                        purchases: weight,
                        days_since_last: 0.0,
                        recent_purchases: weight,
                    });
                    not_bought.extend((!done.bought).then_some(*item));
                }
            }
        }
        merged.sort_by_key(|purchase| purchase.item);
        (Purchases::Present(merged), not_bought)
    }

    /// A row whose columns go on from where the snapshot or a `PUT` left them.
    fn carried_on<'b>(
        &self,
        row: PresentRow<'b>,
        purchases: &[Purchase],
        present: &Present<'_, '_>,
    ) -> CarriedOn<'b> {
        let mut values = HashMap::new();
        for column in present.workflow.columns() {
            let value = ActivityColumn::parse(column)
                .and_then(|what| self.carry_on(what, row.cell(column), purchases, present.items));
            if let Some(value) = value {
                values.insert(column.to_owned(), value);
            }
        }
        CarriedOn { row, values }
    }

    /// The value of a column after what was done; `None` where it stays.
    fn carry_on(
        &self,
        column: ActivityColumn<'_>,
        before: Cell<'_>,
        purchases: &[Purchase],
        items: &ItemsView<'_>,
    ) -> Option<CarriedValue> {
        let more = |more: f64| Some(CarriedValue::Number(before.as_number().unwrap_or(0.0) + more));
        match column {
            ActivityColumn::Recency => Some(CarriedValue::Number(0.0)),
            ActivityColumn::Frequency => more(self.days.values().sum()),
            ActivityColumn::Purchases => more(self.items.values().map(|done| done.weight).sum()),
            ActivityColumn::Monetary => more(self.paid),
            ActivityColumn::Last(column) => {
                let mut values = self.latest.iter().map(|item| items.cell(*item, column));
                values.find_map(CarriedValue::of)
            }
            ActivityColumn::Popular(column) => most_frequent(column, purchases, items),
        }
    }
}

/// The value of an item column that most purchases have; of several the first by its text, as in training.
fn most_frequent(column: &str, purchases: &[Purchase], items: &ItemsView<'_>) -> Option<CarriedValue> {
    let mut counts: HashMap<CellText<'_>, f64> = HashMap::new();
    for purchase in purchases {
        if let Some(value) = CellText::of(items.cell(purchase.item, column)) {
            *counts.entry(value).or_default() += f64::from(purchase.purchases);
        }
    }
    let more =
        |a: &(CellText<'_>, f64), b: &(CellText<'_>, f64)| a.1.total_cmp(&b.1).then_with(|| b.0.cmp(&a.0));
    let (value, _) = counts.into_iter().max_by(more)?;
    Some(CarriedValue::Text(value.text()))
}

/// A value that is not null, to be counted: numbers by their text.
#[derive(PartialEq, Eq, Hash, PartialOrd, Ord)]
enum CellText<'a> {
    Text(&'a str),
    Number(String),
}

impl<'a> CellText<'a> {
    fn of(cell: Cell<'a>) -> Option<Self> {
        match cell {
            Cell::Null => None,
            Cell::Text(text) => Some(Self::Text(text)),
            Cell::Number(number) => Some(Self::Number(number.to_string())),
        }
    }

    fn text(self) -> String {
        match self {
            Self::Text(text) => text.to_owned(),
            Self::Number(text) => text,
        }
    }
}

/// A value that follows from what was done.
enum CarriedValue {
    Number(f64),
    Text(String),
}

impl CarriedValue {
    fn of(cell: Cell<'_>) -> Option<Self> {
        match cell {
            Cell::Null => None,
            Cell::Number(number) => Some(Self::Number(number)),
            Cell::Text(text) => Some(Self::Text(text.to_owned())),
        }
    }
}

/// What was put, over the snapshot's row.
#[derive(Clone, Copy)]
struct PresentRow<'a> {
    put: Option<&'a StatedRow>,
    snapshot: Option<TableRow<'a>>,
}

impl Cells for PresentRow<'_> {
    fn cell(&self, column: &str) -> Cell<'_> {
        let put = self.put.and_then(|put| put.columns.0.get(column));
        match (put, &self.snapshot) {
            (Some(value), _) => value.into(),
            (None, Some(row)) if !self.put.is_some_and(|put| put.whole) => row.cell(column),
            (None, _) => Cell::Null,
        }
    }
}

/// A row, with the values that follow from what was done in the place of its own.
struct CarriedOn<'a> {
    row: PresentRow<'a>,
    values: HashMap<String, CarriedValue>,
}

impl Cells for CarriedOn<'_> {
    fn cell(&self, column: &str) -> Cell<'_> {
        match self.values.get(column) {
            Some(CarriedValue::Number(number)) => Cell::Number(*number),
            Some(CarriedValue::Text(text)) => Cell::Text(text),
            None => self.row.cell(column),
        }
    }
}
