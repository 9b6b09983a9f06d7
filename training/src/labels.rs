//! Labeled pairs: what was bought in a window after the cut-off, and as many sampled pairs that were not.
//!
//! A negative's item is drawn with a probability proportional to its recency-weighted purchases and its user
//! to their recent activity, so that a model can't separate the labels by popularity or activity alone. A
//! pair that was bought in the window, or drawn before, is drawn again. The same seed gives the same pairs.
//!
//! Pairs are drawn in rounds, as many at a time as are still wanted: a round is sorted and merged with what is taken (an anti join), so
//! that no table of all pairs is kept beside them.

use arrow::array::{Array as _, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int32Type};
use arrow::record_batch::RecordBatch;
use chrono::NaiveDate;
use gondola_models::features::{Cells, History, RawTable};
use rand::distr::Distribution;
use rand::distr::weighted::WeightedIndex;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::dataset::numbering::PURCHASES;
use crate::dataset::sql::staged;
use crate::dataset::{Dataset, DatasetError};
use crate::features::{POPULARITY, Snapshot, moment};
use crate::rows::{Pair, Row, SnapshotRow};

/// Rounds of draws before we say that there are no pairs left: with one pair in two bought, half of what is wanted is left after each.
const ROUNDS: usize = 64;

/// Why there are no labeled pairs.
#[derive(Debug, thiserror::Error)]
pub enum LabelError {
    /// The window can't be read.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// Nobody bought anything in the window.
    #[error(
        "nothing was bought from {from} to {to}; the data reach from {first} to {last}: move windows.test_start"
    )]
    EmptyWindow {
        /// First day of the window.
        from: NaiveDate,
        /// The day after its last.
        to: NaiveDate,
        /// Time of the first transaction.
        first: String,
        /// Time of the last transaction.
        last: String,
    },
    /// The data end within the test window.
    #[error(
        "the test window reaches until {until}, but the data end before {known_until}: set windows.test_start to {latest_start} or earlier"
    )]
    ShortWindow {
        /// The day after the window's last.
        until: NaiveDate,
        /// The day after the data's last.
        known_until: NaiveDate,
        /// The latest first day of a window that is full.
        latest_start: NaiveDate,
    },
    /// Nearly everything that would be drawn belongs to one user, who bought nearly everything.
    #[error(
        "cannot draw {wanted} pairs that were not bought: user {user:?} has {percent} % of all activity before the cut-off, and bought nearly every item; leave that user out of the transactions"
    )]
    OneUser {
        /// How many were wanted.
        wanted: usize,
        /// The user's id.
        user: String,
        /// Their part of the activity.
        percent: usize,
    },
    /// Everybody bought everything, or nobody was active before the cut-off.
    #[error("cannot draw {wanted} pairs that were not bought: {why}")]
    NoNegatives {
        /// How many were wanted.
        wanted: usize,
        /// What is in the way.
        why: &'static str,
    },
}

/// The least chance of a pair to have been drawn that we reckon with: an item that was not sold before can't
/// be drawn, and one chance in 100,000 is as good as none.
const MIN_CHANCE: f64 = 1e-5;

/// Pairs and whether they were bought, in random order.
#[derive(Clone, Debug, PartialEq)]
pub struct LabeledPairs<R> {
    /// The pairs.
    pub pairs: Vec<Pair<R>>,
    /// 1 for bought, 0 for not.
    pub labels: Vec<f32>,
    /// How likely each pair was to be drawn as a negative, had it not been bought.
    pub chances: Vec<f32>,
}

impl<R> Default for LabeledPairs<R> {
    fn default() -> Self {
        Self {
            pairs: Vec::new(),
            labels: Vec::new(),
            chances: Vec::new(),
        }
    }
}

impl<R> LabeledPairs<R> {
    /// The geometric mean of the chances. Models learn odds in units of its inverse: bought pairs then weigh
    /// about as much as negatives, and no model has to begin with a bias.
    pub fn usual_chance(&self) -> f32 {
        let logarithms: f64 = self.chances.iter().map(|chance| f64::from(chance.ln())).sum();
        (logarithms / self.chances.len().max(1) as f64).exp() as f32
    }
}

/// What was bought in a window.
#[derive(Clone, Debug, Default)]
pub struct Window {
    /// Each user and item once, in order.
    pub bought: Vec<BoughtItem>,
}

/// An item that a user bought, by the numbers of the data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoughtItem {
    /// The user's number.
    pub user: u32,
    /// The item's number.
    pub item: u32,
}

impl Window {
    /// Reads the distinct pairs bought from `from` to the day before `to`.
    pub async fn read(dataset: &Dataset, from: NaiveDate, to: NaiveDate) -> Result<Self, LabelError> {
        let sql = format!(
            "SELECT DISTINCT user_number, item_number FROM {PURCHASES}
             WHERE moment >= {} AND moment < {} ORDER BY user_number, item_number",
            moment(from),
            moment(to),
        );
        let bought = bought(dataset, &sql).await?;
        if bought.is_empty() {
            let transactions = staged("transactions");
            let sql =
                format!("SELECT CAST(MIN(at) AS VARCHAR), CAST(MAX(at) AS VARCHAR) FROM {transactions}");
            let (first, last) = text_pair(dataset, "how far the data reach", &sql)
                .await?
                .unwrap_or_default();
            return Err(LabelError::EmptyWindow {
                from,
                to,
                first,
                last,
            });
        }
        Ok(Self { bought })
    }

    /// How many users bought something.
    pub fn users(&self) -> usize {
        self.bought.chunk_by(|one, other| one.user == other.user).count()
    }

    /// What some of the users bought, drawn evenly: all of them where there are no more than `users`.
    pub fn sample(&self, users: usize, seed: u64) -> Self {
        let all = self.users();
        if all <= users {
            return self.clone();
        }
        let mut drawn = vec![false; all];
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        for place in rand::seq::index::sample(&mut rng, all, users) {
            drawn[place] = true;
        }
        let buyers = self.bought.chunk_by(|one, other| one.user == other.user);
        let drawn = buyers
            .zip(drawn)
            .filter_map(|(bought, drawn)| drawn.then_some(bought));
        Self {
            bought: drawn.flatten().copied().collect(),
        }
    }

    /// The pairs whose user and item the snapshot knows.
    pub fn pairs(&self, dataset: &Dataset, snapshot: &Snapshot) -> Vec<Pair<SnapshotRow>> {
        let known = |bought: &BoughtItem| {
            let user = snapshot.users.find(dataset.users.id(bought.user))?;
            let item = snapshot.items.find(dataset.items.id(bought.item))?;
            Some(Pair::at(user, item))
        };
        self.bought.iter().filter_map(known).collect()
    }
}

/// Adds as many negatives to what was bought, and shuffles.
pub fn label(
    bought: &[Pair<SnapshotRow>],
    snapshot: &Snapshot,
    half_life_days: f64,
    seed: u64,
) -> Result<LabeledPairs<SnapshotRow>, LabelError> {
    let items = item_weights(&snapshot.items);
    let users = user_weights(&snapshot.history, snapshot.users.len(), half_life_days);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let negatives =
        negatives(bought, &users, &items, &mut rng).map_err(|error| blame(error, &users, snapshot))?;
    let positives = bought.iter().map(|pair| (*pair, 1.0));
    let mut labeled: Vec<(Pair<SnapshotRow>, f32)> = positives
        .chain(negatives.into_iter().map(|pair| (pair, 0.0)))
        .collect();
    labeled.shuffle(&mut rng);
    let (pairs, labels): (Vec<_>, Vec<f32>) = labeled.into_iter().unzip();
    let chances = chances(&pairs, &users, &items, bought.len());
    Ok(LabeledPairs {
        pairs,
        labels,
        chances,
    })
}

/// How likely each pair is to be among the pairs of `draws` draws. Popular items and active users meet more
/// than once, but are drawn once only, so this is less than the draws times the share of the pair. Draws that
/// meet a pair again are repeated and not counted here: where most draws do, this is too low.
fn chances(pairs: &[Pair<SnapshotRow>], users: &[f64], items: &[f64], draws: usize) -> Vec<f32> {
    let scale = draws as f64 / (users.iter().sum::<f64>() * items.iter().sum::<f64>());
    let chance = |pair: &Pair<SnapshotRow>| {
        let expected = scale * users[pair.user.position()] * items[pair.item.position()];
        (-(-expected).exp_m1()).max(MIN_CHANCE) as f32
    };
    pairs.iter().map(chance).collect()
}

fn negatives(
    bought: &[Pair<SnapshotRow>],
    users: &[f64],
    items: &[f64],
    rng: &mut impl Rng,
) -> Result<Vec<Pair<SnapshotRow>>, LabelError> {
    let wanted = bought.len();
    let failed = |why| LabelError::NoNegatives { wanted, why };
    let users = WeightedIndex::new(users).map_err(|_| failed("no user was active before the cut-off"))?;
    let items = WeightedIndex::new(items).map_err(|_| failed("no item was sold before the cut-off"))?;
    let mut taken = bought.to_vec();
    taken.sort_unstable();
    let mut negatives = Vec::with_capacity(wanted);
    for _ in 0..ROUNDS {
        let left = wanted - negatives.len();
        let drawn = (0..left).map(|_| Pair::at(users.sample(rng), items.sample(rng)));
        let mut new = first_draws(drawn.collect(), &taken);
        negatives.extend_from_slice(&new);
        if negatives.len() == wanted {
            return Ok(negatives);
        }
        taken.append(&mut new);
        taken.sort_unstable();
    }
    Err(failed("nearly every pair was bought; take a shorter window"))
}

/// The pairs that were drawn for the first time, in the order of their draws; `taken` is sorted.
fn first_draws(drawn: Vec<Pair<SnapshotRow>>, taken: &[Pair<SnapshotRow>]) -> Vec<Pair<SnapshotRow>> {
    let mut numbered: Vec<_> = drawn.into_iter().zip(0u32..).collect();
    numbered.sort_unstable();
    numbered.dedup_by_key(|(pair, _)| *pair);
    numbered.retain(|(pair, _)| taken.binary_search(pair).is_err());
    numbered.sort_unstable_by_key(|(_, number)| *number);
    numbered.into_iter().map(|(pair, _)| pair).collect()
}

/// Names the user that most draws meet, if there is one.
fn blame(error: LabelError, users: &[f64], snapshot: &Snapshot) -> LabelError {
    let LabelError::NoNegatives { wanted, .. } = error else {
        return error;
    };
    let most = (0..users.len()).max_by(|one, other| users[*one].total_cmp(&users[*other]));
    let share = |user: usize| users[user] / users.iter().sum::<f64>();
    match most.filter(|user| share(*user) > 0.5) {
        Some(user) => LabelError::OneUser {
            wanted,
            user: snapshot.users.id(user).to_owned(),
            percent: (share(user) * 100.0) as usize,
        },
        None => error,
    }
}

/// How often each item was sold lately: its recency-weighted purchases.
pub fn item_weights(items: &RawTable) -> Vec<f64> {
    (0..items.len())
        .map(|row| items.row(row).cell(POPULARITY).as_number().unwrap_or(0.0))
        .collect()
}

/// How active each user was lately: purchases, weighted by how long ago each item was bought last.
pub fn user_weights(history: &History, users: usize, half_life_days: f64) -> Vec<f64> {
    let weight = |user| {
        let purchases = history.of(user).iter();
        purchases
            .map(|p| f64::from(p.purchases) * 0.5f64.powf(f64::from(p.days_since_last) / half_life_days))
            .sum()
    };
    (0..users).map(weight).collect()
}

/// The day after the last purchase: what was known then is all that there is.
pub async fn day_after_last(dataset: &Dataset) -> Result<NaiveDate, DatasetError> {
    let transactions = staged("transactions");
    let sql = format!("SELECT CAST(CAST(MAX(at) AS DATE) AS VARCHAR), '' FROM {transactions}");
    let found = text_pair(dataset, "the day of the last purchase", &sql).await?;
    let last = found.and_then(|(day, _)| day.parse::<NaiveDate>().ok());
    Ok(last.unwrap_or_default() + chrono::Days::new(1))
}

/// Refuses a test window that the data don't fill: buyers of its last days would count as people who bought
/// nothing.
pub async fn check_test_window(dataset: &Dataset) -> Result<(), LabelError> {
    let windows = dataset.config.windows;
    let known_until = day_after_last(dataset).await?;
    // A window without any purchase has its own message.
    if windows.test_start < known_until && windows.test_end() > known_until {
        return Err(LabelError::ShortWindow {
            until: windows.test_end(),
            known_until,
            latest_start: known_until - chrono::Days::new(windows.target_days.into()),
        });
    }
    Ok(())
}

async fn bought(dataset: &Dataset, sql: &str) -> Result<Vec<BoughtItem>, DatasetError> {
    let wrap = DatasetError::query("what was bought in a window");
    let frame = dataset.sql.sql(sql).await.map_err(&wrap)?;
    let batches = frame.collect().await.map_err(&wrap)?;
    let rows = |batch: RecordBatch| {
        let numbers = |column: usize| batch.column(column).as_primitive::<Int32Type>().clone();
        let (users, items) = (numbers(0), numbers(1));
        (0..batch.num_rows()).map(move |row| BoughtItem {
            user: users.value(row) as u32,
            item: items.value(row) as u32,
        })
    };
    Ok(batches.into_iter().flat_map(rows).collect())
}

/// The two texts of a query's only row; `None` where one of them is null.
async fn text_pair(
    dataset: &Dataset,
    what: &'static str,
    sql: &str,
) -> Result<Option<(String, String)>, DatasetError> {
    let wrap = DatasetError::query(what);
    let frame = dataset.sql.sql(sql).await.map_err(&wrap)?;
    let batches = frame.collect().await.map_err(&wrap)?;
    let Some(batch) = batches.first().filter(|batch| batch.num_rows() > 0) else {
        return Ok(None);
    };
    let text = |column: usize| -> Result<Option<String>, DatasetError> {
        let column = cast(batch.column(column), &DataType::Utf8).map_err(|error| wrap(error.into()))?;
        let texts = column.as_string::<i32>();
        Ok(texts.is_valid(0).then(|| texts.value(0).to_owned()))
    };
    Ok(text(0)?.zip(text(1)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    type SnapshotPair = Pair<SnapshotRow>;

    #[test]
    fn a_sample_has_everything_that_its_users_bought() {
        let purchase = |place: u32| BoughtItem {
            user: place / 3,
            item: place,
        };
        let window = Window {
            bought: (0..300).map(purchase).collect(),
        };
        let sample = window.sample(10, 7);
        assert_eq!(
            (window.users(), sample.users(), sample.bought.len()),
            (100, 10, 30)
        );
        assert_eq!(
            sample.bought,
            window.sample(10, 7).bought,
            "the same seed, the same users"
        );
        assert_ne!(sample.bought, window.sample(10, 8).bought);
        assert_eq!(window.sample(100, 7).bought, window.bought);
    }

    fn bought() -> Vec<SnapshotPair> {
        (0..50).map(|i| Pair::at(i % 10, i)).collect()
    }

    fn draw(seed: u64) -> Vec<SnapshotPair> {
        let users: Vec<f64> = (0..40).map(f64::from).collect();
        let items: Vec<f64> = (0..80).map(|item| if item == 7 { 100.0 } else { 1.0 }).collect();
        negatives(&bought(), &users, &items, &mut ChaCha8Rng::seed_from_u64(seed)).unwrap()
    }

    #[test]
    fn the_same_seed_gives_the_same_negatives_and_none_of_them_was_bought() {
        assert_eq!(draw(3), draw(3));
        assert_ne!(draw(3), draw(4));
        assert!(draw(3).iter().all(|pair| !bought().contains(pair)));
    }

    #[test]
    fn rounds_draw_what_is_drawn_one_after_the_other() {
        let weights = |count: usize| {
            (0..count)
                .map(|place| 1.0 + (place % 5) as f64)
                .collect::<Vec<_>>()
        };
        let (users, items) = (weights(12), weights(11));
        let bought: Vec<SnapshotPair> = (0..40).map(|i| Pair::at(i % 12, i % 11)).collect();
        let rounds = negatives(&bought, &users, &items, &mut ChaCha8Rng::seed_from_u64(5)).unwrap();

        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let [users, items] = [users, items].map(|weights| WeightedIndex::new(weights).unwrap());
        let mut taken: std::collections::HashSet<SnapshotPair> = bought.iter().copied().collect();
        let mut drawn = Vec::new();
        while drawn.len() < bought.len() {
            let pair = Pair::at(users.sample(&mut rng), items.sample(&mut rng));
            if taken.insert(pair) {
                drawn.push(pair);
            }
        }
        assert_eq!(rounds, drawn);
    }

    #[test]
    fn popular_items_and_active_users_are_drawn_more_often() {
        let many: Vec<SnapshotPair> = (0..40).flat_map(draw).collect();
        let share = |test: &dyn Fn(&SnapshotPair) -> bool| {
            many.iter().filter(|pair| test(pair)).count() as f64 / many.len() as f64
        };
        // Item 7 has 100 of 179 shares, but a pair is drawn once only.
        assert!(share(&|pair| pair.item == SnapshotRow(7)) > 0.3);
        assert!(
            share(&|pair| pair.user >= SnapshotRow(20)) > 0.65,
            "users 20 to 39 have 590 of 780 shares"
        );
        assert!(
            share(&|pair| pair.user == SnapshotRow(0)) < 1e-9,
            "user 0 was never active"
        );
    }

    /// Popularity, and how lately users were active, are among negatives what the weights say: their means,
    /// and their medians.
    #[test]
    fn negatives_are_as_popular_and_as_recent_as_what_is_sold() {
        let days = |user: usize| 1.0 + (user % 90) as f64;
        let users: Vec<f64> = (0..900).map(|user| 0.5f64.powf(days(user) / 30.0)).collect();
        // As in every shop: few items are sold often, most hardly ever.
        let items: Vec<f64> = (0..500).map(|item| 1.0 / (1.0 + item as f64)).collect();
        let bought: Vec<SnapshotPair> = (0..4_000)
            .map(|place| Pair::at(place % 900, 499 - place / 900))
            .collect();
        let drawn = negatives(&bought, &users, &items, &mut ChaCha8Rng::seed_from_u64(11)).unwrap();
        let weighted_mean = |weights: &[f64], value: &dyn Fn(usize) -> f64| {
            let sum: f64 = weights
                .iter()
                .enumerate()
                .map(|(place, weight)| weight * value(place))
                .sum();
            sum / weights.iter().sum::<f64>()
        };
        let mean =
            |value: &dyn Fn(&SnapshotPair) -> f64| drawn.iter().map(value).sum::<f64>() / drawn.len() as f64;

        let wanted = weighted_mean(&users, &days);
        let found = mean(&|pair| days(pair.user.position()));
        assert!((found - wanted).abs() < 1.5, "{found} days, not {wanted}");
        let uniform = (0..900).map(days).sum::<f64>() / 900.0;
        assert!(
            found < uniform - 10.0,
            "as old as users drawn evenly: {found} of {uniform} days"
        );

        let rank = |item: usize| (1.0 + item as f64).ln();
        let wanted = weighted_mean(&items, &rank);
        let found = mean(&|pair| rank(pair.item.position()));
        // A pair is drawn once only, so that most popular come a little less often than their share.
        assert!(
            found >= wanted && found - wanted < 0.5,
            "log rank {found}, not {wanted}"
        );
        let uniform = (0..500).map(rank).sum::<f64>() / 500.0;
        assert!(
            found < uniform - 1.0,
            "as unpopular as items drawn evenly: {found} of {uniform}"
        );
    }

    #[test]
    fn chances_are_how_often_seeds_draw_a_pair() {
        let users: Vec<f64> = (0..40).map(f64::from).collect();
        let items = [1.0; 80];
        let of_the_most_active: Vec<SnapshotPair> = (0..80).map(|item| Pair::at(39, item)).collect();
        let chances = chances(&of_the_most_active, &users, &items, 50);
        let wanted: f32 = chances.iter().sum();
        let draw = |seed| negatives(&bought(), &users, &items, &mut ChaCha8Rng::seed_from_u64(seed)).unwrap();
        let drawn = (0..400)
            .flat_map(draw)
            .filter(|pair| pair.user == SnapshotRow(39))
            .count() as f32
            / 400.0;
        assert!((wanted - drawn).abs() < 0.25, "{wanted}, but {drawn} were drawn");
    }

    #[test]
    fn a_pair_that_can_not_be_drawn_has_the_least_chance_and_none_has_more_than_1() {
        let pairs = [0, 1].map(|user| Pair::at(user, 0));
        let found = chances(&pairs, &[0.0, 1e6], &[1.0], 50);
        assert_eq!(found, [MIN_CHANCE as f32, 1.0]);
        let labeled = LabeledPairs::<SnapshotRow> {
            chances: vec![0.5, 0.005],
            ..LabeledPairs::default()
        };
        assert!((labeled.usual_chance() - 0.05).abs() < 1e-6);
    }

    #[test]
    fn a_window_in_which_everything_was_bought_is_an_error() {
        let all: Vec<SnapshotPair> = (0..4)
            .flat_map(|user| (0..4).map(move |item| Pair::at(user, item)))
            .collect();
        let error = negatives(&all, &[1.0; 4], &[1.0; 4], &mut ChaCha8Rng::seed_from_u64(1)).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("nearly every pair was bought; take a shorter window"),
            "{error}"
        );
    }
}
