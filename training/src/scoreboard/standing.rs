//! Where a model stands: means, intervals, and by how much it is behind the first.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

use super::contender::{Contender, Lists};
use super::ours::MAKER;
use super::ruler::{Judged, Worth};
use super::task::{Pair, TOP, Task};
use crate::evaluate::bootstrap::{Interval, intervals, weighted_mean};

/// What the intervals of a comparison are drawn with.
const SEED: u64 = 1;
/// How much of a user's own taste is mixed into a list's before the two are compared, so that no share is 0 (Steck 2018).
const MIXED: f64 = 0.01;

/// Where a model stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// What people call it.
    pub name: String,
    /// Who made it.
    pub maker: String,
    /// The settings that were the best in the tuning window.
    pub settings: serde_json::Value,
    /// What its lists are worth, means over users and seeds.
    pub worth: Worth,
    /// The 95 % bootstrap interval of the discounted gain, over users.
    pub ndcg: Interval,
    /// By how much its discounted gain is above that of the first, user by user.
    pub to_first: Difference,
    /// The same beside our EASE^R; none where that could not be fitted.
    pub to_ease: Option<Difference>,
    /// What lists are besides right.
    pub character: Character,
    /// Settings tried.
    pub trials: usize,
    /// Seconds of all trials.
    pub tuning_seconds: f64,
    /// Seconds of a fit.
    pub fit_seconds: f64,
    /// Seconds for a million lists.
    pub million_seconds: f64,
    /// The most memory of the process that it ran in, in bytes.
    pub peak_memory_bytes: Option<u64>,
}

/// By how much one mean is above another, over the same users.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// By how much.
    pub mean: f64,
    /// Its 95 % bootstrap interval, each user drawn with both lists.
    pub interval: Interval,
}

/// What the first 10 of lists are besides right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Character {
    /// Share of the items with a purchase that are in anybody's list.
    pub coverage: f64,
    /// How little known the items are: the mean of `-log2` of the share of users who bought them.
    pub novelty: f64,
    /// Share of items that nobody had bought before the tuning window.
    pub new_items: f64,
    /// Share of items that the user had bought before.
    pub repeats: f64,
    /// How far the categories of a list are from those of what its user bought: the Kullback-Leibler divergence in nats, 0 where they
    /// are the same; none where items have no category.
    pub miscalibration: Option<f64>,
}

/// Everybody, the best first.
pub fn of(contenders: &[Contender], task: &Task) -> Vec<Standing> {
    let judge = |contender: &Contender| {
        let judged = contender.lists.iter().map(|lists| Judged::of(lists, &task.test));
        Judged::mean_of(&judged.collect::<Vec<_>>())
    };
    let judged: Vec<Judged> = contenders.iter().map(judge).collect();
    let mut order: Vec<usize> = (0..contenders.len()).collect();
    order.sort_by(|a, b| judged[*b].mean().ndcg.total_cmp(&judged[*a].mean().ndcg));
    let Some(first) = order.first().map(|first| &judged[*first]) else {
        return Vec::new();
    };
    let is_ease = |contender: &Contender| contender.maker == MAKER && contender.name == "EASE^R";
    let ease = contenders.iter().position(is_ease).map(|ease| &judged[ease]);
    let shop = Shop::of(task);
    let stand = |place: usize| {
        let (contender, own) = (&contenders[place], &judged[place]);
        let cost = contender.cost;
        Standing {
            name: contender.name.clone(),
            maker: contender.maker.clone(),
            settings: contender.settings.clone(),
            worth: own.mean(),
            ndcg: mean_interval(&gains(own)),
            to_first: Difference::of(own, first),
            to_ease: ease.map(|ease| Difference::of(own, ease)),
            character: contender
                .lists
                .first()
                .map_or_else(Character::default, |lists| shop.character(lists)),
            trials: cost.trials,
            tuning_seconds: cost.tuning_seconds,
            fit_seconds: cost.fit_seconds,
            million_seconds: cost.answer_seconds / task.test.len().max(1) as f64 * 1e6,
            peak_memory_bytes: cost.peak_memory_bytes,
        }
    };
    order.into_iter().map(stand).collect()
}

/// Which model to take, in one sentence: the simplest of ours that the first is not better than by more than chance.
pub fn verdict(standings: &[Standing]) -> String {
    let Some(first) = standings.first() else {
        return "There is nothing to compare.".to_owned();
    };
    let figures = |standing: &Standing| {
        format!(
            "nDCG@{TOP} {:.4}, 95 % interval {:.4} to {:.4}",
            standing.worth.ndcg, standing.ndcg.low, standing.ndcg.high
        )
    };
    let order: Vec<&str> = gondola_collaborative::space::Space::all()
        .iter()
        .map(|space| space.title)
        .collect();
    // Towers and pipelines are in no order among themselves, and less simple than all others.
    let simplicity = |standing: &&Standing| {
        let place = order.iter().position(|title| *title == standing.name);
        place.unwrap_or(order.len())
    };
    let ours = || standings.iter().filter(|standing| standing.maker == MAKER);
    let equal = ours().filter(|standing| standing.to_first.interval.high >= 0.0);
    match equal.min_by_key(simplicity) {
        Some(taken) if taken == first => {
            format!(
                "Take {}: no model has better lists here ({}).",
                taken.name,
                figures(taken)
            )
        }
        Some(taken) => format!(
            "Take {}, the simplest of our models that none is ahead of by more than chance ({}); {} ({}) is ahead by {:.4}, 95 % interval {:.4} to {:.4}.",
            taken.name,
            figures(taken),
            first.name,
            first.maker,
            -taken.to_first.mean,
            -taken.to_first.interval.high,
            -taken.to_first.interval.low,
        ),
        None => format!(
            "{} of {} is better here than every model of ours by more than chance ({}); the best of ours is {}.",
            first.name,
            first.maker,
            figures(first),
            ours().next().map_or("none", |best| &best.name),
        ),
    }
}

impl Difference {
    fn of(one: &Judged, other: &Judged) -> Self {
        let differences = gains(one)
            .into_iter()
            .zip(gains(other))
            .map(|(one, other)| one - other);
        let differences: Vec<f64> = differences.collect();
        Self {
            mean: differences.iter().sum::<f64>() / differences.len().max(1) as f64,
            interval: mean_interval(&differences),
        }
    }
}

fn gains(judged: &Judged) -> Vec<f64> {
    judged.users().iter().map(|worth| worth.ndcg).collect()
}

fn mean_interval(values: &[f64]) -> Interval {
    let [interval] = intervals(values.len(), SEED, |counts| [weighted_mean(values, counts)]);
    interval
}

/// What of a shop the character of lists is measured by.
struct Shop<'a> {
    task: &'a Task,
    /// How many users bought each item.
    buyers: Vec<f64>,
    users: f64,
    /// Items that were bought before the tuning window.
    old: HashSet<u32>,
    bought: BTreeMap<u32, Vec<u32>>,
}

impl<'a> Shop<'a> {
    fn of(task: &'a Task) -> Self {
        let mut buyers = vec![0.0; task.items];
        let mut bought: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for Pair { user, item, .. } in &task.known.pairs {
            buyers[*item as usize] += 1.0;
            bought.entry(*user).or_default().push(*item);
        }
        Self {
            users: bought.len() as f64,
            old: task.train.pairs.iter().map(|pair| pair.item).collect(),
            task,
            buyers,
            bought,
        }
    }

    fn character(&self, lists: &Lists) -> Character {
        let (mut named, mut count) = (HashSet::new(), 0.0);
        let mut character = Character::default();
        let mut distances = Vec::new();
        for (user, list) in lists {
            let own = self.bought.get(user).map_or(&[][..], Vec::as_slice);
            let top = &list[..list.len().min(TOP)];
            for item in top {
                named.insert(*item);
                count += 1.0;
                character.novelty -= (self.buyers[*item as usize].max(1.0) / self.users).log2();
                character.new_items += f64::from(u8::from(!self.old.contains(item)));
                character.repeats += f64::from(u8::from(own.binary_search(item).is_ok()));
            }
            distances.extend(self.distance(own, top));
        }
        let count = f64::max(count, 1.0);
        let sold = self.buyers.iter().filter(|buyers| **buyers > 0.0).count();
        Character {
            coverage: named.len() as f64 / sold.max(1) as f64,
            novelty: character.novelty / count,
            new_items: character.new_items / count,
            repeats: character.repeats / count,
            miscalibration: (!distances.is_empty())
                .then(|| distances.iter().sum::<f64>() / distances.len() as f64),
        }
    }

    /// How far the categories of a list are from those of what was bought; none where either has none.
    fn distance(&self, bought: &[u32], list: &[u32]) -> Option<f64> {
        let (own, shown) = (self.shares(bought)?, self.shares(list)?);
        let of = |(category, share): (&u32, &f64)| {
            let shown = shown.get(category).copied().unwrap_or(0.0);
            share * (share / ((1.0 - MIXED) * shown + MIXED * share)).ln()
        };
        Some(own.iter().map(of).sum())
    }

    fn shares(&self, items: &[u32]) -> Option<BTreeMap<u32, f64>> {
        let mut shares: BTreeMap<u32, f64> = BTreeMap::new();
        for item in items {
            if let Some(category) = self.task.categories.get(*item as usize).copied().flatten() {
                *shares.entry(category).or_default() += 1.0;
            }
        }
        let sum: f64 = shares.values().sum();
        shares.values_mut().for_each(|share| *share /= sum);
        (sum > 0.0).then_some(shares)
    }
}
