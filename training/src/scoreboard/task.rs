//! One time split of a shop's own purchases.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::AsArray;
use arrow::datatypes::{Float32Type, Int32Type, Int64Type};
use arrow::record_batch::RecordBatch;
use chrono::NaiveDate;
use gondola_models::features::{History, Purchase};

pub use crate::dataset::evaluation::Seen;
use crate::dataset::numbering::{ITEMS, PURCHASES};
use crate::dataset::sql::quoted;
use crate::dataset::{Dataset, DatasetError};
use crate::features::moment;

/// Microseconds of a second, and seconds of a day.
const SECOND: i64 = 1_000_000;
const DAY: f64 = 86_400.0;

/// A user and an item that they bought.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair {
    /// The user's number.
    pub user: u32,
    /// The item's number.
    pub item: u32,
    /// When the last time was, in seconds from 1970.
    pub time: i64,
    /// How often.
    pub count: f32,
}

/// Purchases until a day, in the order of users and items.
#[derive(Clone, Debug, Default)]
pub struct Purchases {
    /// Each pair once.
    pub pairs: Vec<Pair>,
}

/// What was bought in a window that lists are judged by, by user.
pub type Baskets = BTreeMap<u32, BTreeSet<u32>>;

/// A comparison's task.
#[derive(Clone, Debug)]
pub struct Task {
    /// How many users are numbered.
    pub users: usize,
    /// How many items are numbered.
    pub items: usize,
    /// How long lists are.
    pub k: usize,
    /// How many settings of a model are tried, at most.
    pub trials: usize,
    /// The seeds of models that have chance in them.
    pub seeds: Vec<u64>,
    /// Whether lists may have what their users had bought.
    pub seen: Seen,
    /// The first days of the tuning window and of the test window, and the day after that.
    pub days: [NaiveDate; 3],
    /// What precedes the tuning window.
    pub train: Purchases,
    /// What was bought in the tuning window.
    pub tuned_on: Purchases,
    /// Everything before the test window.
    pub known: Purchases,
    /// What was bought in the test window by users with a history, as far as it counts.
    pub test: Baskets,
    /// A category of each item, where the shop's file has one.
    pub categories: Vec<Option<u32>>,
}

/// How long the lists of a comparison are.
pub const K: usize = 200;
/// The first of a list that accuracy is judged by.
pub const TOP: usize = 10;

impl Task {
    /// Splits a data set by its windows.
    pub async fn read(
        dataset: &Dataset,
        seen: Seen,
        trials: usize,
        seeds: u64,
    ) -> Result<Self, DatasetError> {
        let windows = dataset.config.windows;
        let days = [windows.train_start(), windows.test_start, windows.test_end()];
        let train = Purchases::read(dataset, None, days[0]).await?;
        let tuned_on = Purchases::read(dataset, Some(days[0]), days[1]).await?;
        let known = Purchases::read(dataset, None, days[1]).await?;
        let tested = Purchases::read(dataset, Some(days[1]), days[2]).await?;
        Ok(Self {
            users: numbers(&[&known, &tested], |pair| pair.user),
            items: numbers(&[&known, &tested], |pair| pair.item),
            k: K,
            trials,
            seeds: (1..=seeds).collect(),
            test: known.what_counts(&tested, seen),
            categories: categories(dataset).await?,
            seen,
            days,
            train,
            tuned_on,
            known,
        })
    }

    /// What counts of the tuning window.
    pub fn tune(&self) -> Baskets {
        self.train.what_counts(&self.tuned_on, self.seen)
    }

    /// Refuses a task in which models would learn what they are asked for.
    pub fn check(&self) -> Result<(), Leak> {
        let [tuned, tested, _] = self.days;
        leak("before the tuning window", &self.train, tuned)?;
        leak("before the test window", &self.known, tested)?;
        leak("in the tuning window", &self.tuned_on, tested)
    }

    /// The task, for people.
    pub fn in_words(&self) -> String {
        let [tuned, tested, end] = self.days;
        let counted = match self.seen {
            Seen::Keep => "what was bought before counts as well",
            Seen::Remove => "only what was new to its buyer counts",
        };
        format!(
            "{} users with a history bought from {tested} to {end} (that day not included), and {counted}. Models were tuned with up to {} \
             settings each on what was bought from {tuned} on, fitted on everything before {tested}, and answered from all {} items; those with \
             chance in them {} times.",
            self.test.len(),
            self.trials,
            self.items,
            self.seeds.len()
        )
    }
}

/// Purchases of a window in what models may know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the purchases {part} have one of user {user}, item {item}, from {at} or later: the future leaks")]
pub struct Leak {
    part: &'static str,
    user: u32,
    item: u32,
    at: NaiveDate,
}

/// Refuses purchases of a day or later.
fn leak(part: &'static str, purchases: &Purchases, at: NaiveDate) -> Result<(), Leak> {
    let end = midnight(at);
    match purchases.pairs.iter().find(|pair| pair.time >= end) {
        Some(Pair { user, item, .. }) => Err(Leak {
            part,
            user: *user,
            item: *item,
            at,
        }),
        None => Ok(()),
    }
}

/// When a day begins, in seconds from 1970.
fn midnight(day: NaiveDate) -> i64 {
    day.and_time(chrono::NaiveTime::MIN).and_utc().timestamp()
}

impl Purchases {
    async fn read(dataset: &Dataset, from: Option<NaiveDate>, to: NaiveDate) -> Result<Self, DatasetError> {
        let from = from.map_or_else(String::new, |from| format!("moment >= {} AND ", moment(from)));
        let sql = format!(
            "SELECT user_number, item_number, CAST(MAX(moment) AS BIGINT) AS last, CAST(COUNT(*) AS REAL) AS purchases FROM {PURCHASES}
             WHERE {from}moment < {} GROUP BY user_number, item_number ORDER BY user_number, item_number",
            moment(to)
        );
        let batches = collect(dataset, "who bought what in a window", &sql).await?;
        let rows = |batch: &RecordBatch| {
            let users = batch.column(0).as_primitive::<Int32Type>().clone();
            let items = batch.column(1).as_primitive::<Int32Type>().clone();
            let last = batch.column(2).as_primitive::<Int64Type>().clone();
            let counts = batch.column(3).as_primitive::<Float32Type>().clone();
            (0..batch.num_rows()).map(move |row| Pair {
                user: users.value(row) as u32,
                item: items.value(row) as u32,
                time: last.value(row).div_euclid(SECOND),
                count: counts.value(row),
            })
        };
        Ok(Self {
            pairs: batches.iter().flat_map(rows).collect(),
        })
    }

    /// The purchases as models read them, as of a day.
    pub fn history(&self, users: usize, as_of: NaiveDate) -> History {
        let end = midnight(as_of);
        let purchase = |pair: &Pair| Purchase {
            item: pair.item,
            purchases: pair.count,
            days_since_last: ((end - pair.time) as f64 / DAY) as f32,
            recent_purchases: pair.count,
        };
        let rows = self.pairs.iter().map(|pair| (pair.user, purchase(pair)));
        History::new(users, rows.collect())
    }

    fn has(&self, user: u32, item: u32) -> bool {
        let of = |pair: &Pair| (pair.user, pair.item);
        self.pairs.binary_search_by_key(&(user, item), of).is_ok()
    }

    /// What counts of later purchases: those of users who are known, and where what was seen is removed, what is new to them.
    fn what_counts(&self, later: &Self, seen: Seen) -> Baskets {
        let known: BTreeSet<u32> = self.pairs.iter().map(|pair| pair.user).collect();
        let mut baskets = Baskets::new();
        for pair in &later.pairs {
            let counts = seen == Seen::Keep || !self.has(pair.user, pair.item);
            if counts && known.contains(&pair.user) {
                baskets.entry(pair.user).or_default().insert(pair.item);
            }
        }
        baskets
    }
}

fn numbers(purchases: &[&Purchases], number: impl Fn(&Pair) -> u32) -> usize {
    let all = purchases.iter().flat_map(|purchases| &purchases.pairs);
    all.map(number).max().map_or(0, |last| last as usize + 1)
}

/// The value of the first categorical column of each item, by the item's number.
async fn categories(dataset: &Dataset) -> Result<Vec<Option<u32>>, DatasetError> {
    let Some(column) = dataset.config.items.categorical.first() else {
        return Ok(Vec::new());
    };
    let sql = format!(
        "SELECT item_number, CAST({} AS VARCHAR) AS value FROM {ITEMS} ORDER BY item_number",
        quoted(column)
    );
    let batches = collect(dataset, "the categories of items", &sql).await?;
    let mut known: BTreeMap<String, u32> = BTreeMap::new();
    let mut categories = Vec::new();
    for batch in &batches {
        let values = arrow::compute::cast(batch.column(1), &arrow::datatypes::DataType::Utf8);
        let values = values.map_err(|error| DatasetError::query("the categories of items")(error.into()))?;
        for value in values.as_string::<i32>() {
            let next = known.len() as u32;
            categories.push(value.map(|value| *known.entry(value.to_owned()).or_insert(next)));
        }
    }
    Ok(categories)
}

async fn collect(dataset: &Dataset, what: &'static str, sql: &str) -> Result<Vec<RecordBatch>, DatasetError> {
    let wrap = DatasetError::query(what);
    let frame = dataset.sql.sql(sql).await.map_err(&wrap)?;
    frame.collect().await.map_err(&wrap)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn purchases(pairs: &[(u32, u32)]) -> Purchases {
        let pair = |(user, item): &(u32, u32)| Pair {
            user: *user,
            item: *item,
            time: 0,
            count: 1.0,
        };
        Purchases {
            pairs: pairs.iter().map(pair).collect(),
        }
    }

    #[test]
    fn only_users_with_a_history_count_and_of_what_they_had_bought_only_where_it_is_kept() {
        let known = purchases(&[(0, 1), (0, 2), (3, 1)]);
        let later = purchases(&[(0, 2), (0, 5), (2, 1), (3, 1)]);
        let kept = known.what_counts(&later, Seen::Keep);
        assert_eq!(kept, Baskets::from([(0, [2, 5].into()), (3, [1].into())]));
        let new = known.what_counts(&later, Seen::Remove);
        assert_eq!(new, Baskets::from([(0, [5].into())]));
    }

    #[test]
    fn a_purchase_of_the_test_window_among_what_is_known_is_found() {
        let days = [3, 5, 9].map(|day| NaiveDate::from_ymd_opt(1970, 1, day).unwrap());
        let mut task = Task {
            users: 1,
            items: 9,
            k: K,
            trials: 1,
            seeds: vec![1],
            seen: Seen::Keep,
            days,
            train: purchases(&[(0, 1)]),
            tuned_on: purchases(&[(0, 2)]),
            known: purchases(&[(0, 1), (0, 2)]),
            test: Baskets::new(),
            categories: Vec::new(),
        };
        assert_eq!(task.check(), Ok(()));
        task.known.pairs[1].time = midnight(days[1]);
        let found = task.check().unwrap_err().to_string();
        assert!(
            found.contains("before the test window") && found.contains("user 0, item 2"),
            "{found}"
        );
    }

    #[test]
    fn days_since_a_purchase_are_counted_to_the_cut_off() {
        let mut bought = purchases(&[(0, 7)]);
        bought.pairs[0].time = 43_200;
        let history = bought.history(1, NaiveDate::from_ymd_opt(1970, 1, 3).unwrap());
        assert!((history.of(0)[0].days_since_last - 1.5).abs() < 1e-6);
    }
}
