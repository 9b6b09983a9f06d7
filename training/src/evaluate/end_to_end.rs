//! The served pipeline and the baselines, compared with what every buyer of the test window bought.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::progress::Progress;
use gondola_models::features::UserId;
use gondola_models::pipeline::{Answer, RecommendRequest, RequestError, Stage, Variant};
use serde::{Deserialize, Serialize};

use super::baselines::{self, NamedSource, POPULAR_DAYS, SimpleList};
use super::latency::Latency;
use super::paired::Lift;
use super::ranking::{ListMetric, RankingIntervals, RankingMetrics, UserMetrics};
use crate::dataset::Dataset;
use crate::dataset::evaluation::Seen;
use crate::features::Snapshot;
use crate::features::snapshot::has;
use crate::labels::{BoughtItem, Window};

/// The length of the lists.
pub const K: usize = 12;

/// How good lists of 12 are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// Who made the lists.
    pub name: String,
    /// How good they are.
    pub metrics: RankingMetrics,
}

/// How good a variant's lists are, and how long its stages took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VariantQuality {
    /// How good its lists are.
    pub quality: Quality,
    /// Bootstrap intervals of the metrics, over buyers.
    #[serde(default)]
    pub intervals: RankingIntervals,
    /// How long each stage and the whole took.
    pub latency: BTreeMap<String, Latency>,
}

/// What each buyer bought, as far as it counts, as item ids.
pub type Bought = BTreeMap<String, HashSet<String>>;

/// What each buyer of the window bought, as far as it counts: all, or what was new to them by a snapshot.
pub fn bought(dataset: &Dataset, snapshot: &Snapshot, window: &Window) -> Bought {
    let seen = dataset.config.evaluation.seen;
    let mut bought = Bought::new();
    for BoughtItem { user, item } in &window.bought {
        let (user, item) = (dataset.users.id(*user), dataset.items.id(*item));
        if seen == Seen::Remove && snapshot.has_bought(user, item) {
            continue;
        }
        bought.entry(user.to_owned()).or_default().insert(item.to_owned());
    }
    bought
}

/// Lists, and what each buyer's is worth, in the order of their ids.
pub struct Judged<Q> {
    /// How good the lists are.
    pub quality: Q,
    /// What each is worth.
    pub users: Vec<UserMetrics>,
}

/// The lists that need no scorer: popular items, the user's own, both, and those of trained sources; without the user's own where what
/// was bought before may not be shown.
pub fn baselines(
    snapshot: &Snapshot,
    sources: &[NamedSource],
    bought: &Bought,
    seen: Seen,
) -> Vec<(SimpleList, Judged<Quality>)> {
    let popular = baselines::most_popular(&snapshot.items, POPULAR_DAYS, snapshot.items.len());
    let history = |user: &String| {
        let user = snapshot.users.find(user);
        user.map(|user| snapshot.history.of(user)).unwrap_or_default()
    };
    let own: HashMap<&String, Vec<u32>> = bought
        .keys()
        .map(|user| {
            (
                user,
                baselines::own_most_frequent(snapshot, snapshot.users.find(user), K),
            )
        })
        .collect();
    let named = |simple: SimpleList, list: &dyn Fn(&String) -> Vec<u32>| {
        let id = |row: &u32| snapshot.items.id(*row as usize).to_owned();
        let lists: Vec<Vec<String>> = bought
            .keys()
            .map(|user| list(user).iter().map(id).collect())
            .collect();
        let users = UserMetrics::of_each(lists.iter().map(Vec::as_slice).zip(bought.values()), K);
        let quality = Quality {
            name: simple.title().to_owned(),
            metrics: RankingMetrics::mean(&users),
        };
        (simple, Judged { quality, users })
    };
    let mut all = match seen {
        Seen::Keep => vec![
            named(SimpleList::Popular, &|_| popular[..K.min(popular.len())].to_vec()),
            named(SimpleList::Own, &|user| own[user].clone()),
            named(SimpleList::OwnThenPopular, &|user| {
                baselines::mixed(&own[user], &popular, K)
            }),
        ],
        Seen::Remove => vec![named(SimpleList::Popular, &|user| {
            let new = popular.iter().filter(|item| !has(history(user), **item));
            new.take(K).copied().collect()
        })],
    };
    for NamedSource {
        title,
        bundle,
        source,
    } in sources
    {
        all.push(named(SimpleList::Source { title, bundle }, &|user| match seen {
            Seen::Keep => source.all_candidates(history(user), K),
            Seen::Remove => source.candidates(history(user), K),
        }));
    }
    all
}

/// What to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Winner {
    /// The scorer of the variant at this position.
    Variant(usize),
    /// A list that needs no scorer.
    Simple(SimpleList),
}

/// Whether scorers are worth their while.
pub struct Verdict {
    /// What to take, in one sentence, with its reason.
    pub sentence: String,
    /// What to take.
    pub winner: Winner,
}

/// Whether scorers are worth their while: the best variant's lists beside the best that need no scorer, buyer by buyer.
pub fn verdict(
    variants: &[Judged<VariantQuality>],
    simple: &[(SimpleList, Judged<Quality>)],
    seed: u64,
) -> Option<Verdict> {
    if variants.iter().all(|judged| judged.users.is_empty()) {
        return None;
    }
    let gain = |metrics: &RankingMetrics| metrics.ndcg;
    let of_variant = |(_, judged): &(usize, &Judged<VariantQuality>)| gain(&judged.quality.quality.metrics);
    let of_simple = |(_, judged): &&(SimpleList, Judged<Quality>)| gain(&judged.quality.metrics);
    let variants = variants.iter().enumerate();
    let (position, best) = variants.max_by(|a, b| of_variant(a).total_cmp(&of_variant(b)))?;
    let simple = simple.iter();
    let (list, simplest) = simple.max_by(|a, b| of_simple(a).total_cmp(&of_simple(b)))?;
    let each =
        |users: &[UserMetrics]| -> Vec<f64> { users.iter().map(|user| user.get(ListMetric::Ndcg)).collect() };
    let lift = Lift::of(&each(&best.users), &each(&simplest.users), seed);
    let percent = |share: f64| format!("{:+.1} %", share * 100.0);
    let (name, plain) = (&best.quality.quality.name, &simplest.quality.name);
    let figures = format!(
        "nDCG@{K} {:.4} beside {:.4}, {}, 95 % interval {} to {}",
        lift.new,
        lift.old,
        percent(lift.relative),
        percent(lift.interval.low),
        percent(lift.interval.high)
    );
    Some(if lift.interval.low > 0.0 {
        Verdict {
            sentence: format!(
                "Take {name}: its lists are better than the best that need no scorer, {plain:?} ({figures})."
            ),
            winner: Winner::Variant(position),
        }
    } else {
        Verdict {
            sentence: format!(
                "Take the simple list {plain:?}: no scorer's lists are better by more than chance; the best are those of {name} ({figures})."
            ),
            winner: Winner::Simple(*list),
        }
    })
}

/// The list that a variant gives each buyer, in the order of their ids.
pub(crate) fn lists(
    variant: &Variant,
    bought: &Bought,
    bar: &Progress,
) -> Result<Vec<Vec<String>>, RequestError> {
    bar.set_length(bought.len() as u64);
    let list = |user: &String| {
        let user = UserId::from(user.as_str());
        let answer = variant.recommend(&RecommendRequest { user, k: Some(K) })?;
        bar.inc(1);
        Ok(ids(&answer))
    };
    bought.keys().map(list).collect()
}

fn ids(answer: &Answer) -> Vec<String> {
    let items = answer.items.iter();
    items.map(|item| item.item.as_str().to_owned()).collect()
}

/// Asks a variant for every buyer; `seed` is that of the intervals.
pub(crate) fn variant(
    variant: &Variant,
    bought: &Bought,
    seed: u64,
    bar: &Progress,
) -> Result<Judged<VariantQuality>, RequestError> {
    bar.set_length(bought.len() as u64);
    let mut lists = Vec::with_capacity(bought.len());
    let mut times: BTreeMap<Stage, Vec<f64>> = BTreeMap::new();
    let mut totals = Vec::with_capacity(bought.len());
    for user in bought.keys() {
        let request = RecommendRequest {
            user: UserId::from(user.as_str()),
            k: Some(K),
        };
        let answer = variant.recommend(&request)?;
        let mut total = 0.0;
        for timing in &answer.timing {
            let microseconds = timing.took.as_secs_f64() * 1e6;
            times.entry(timing.stage).or_default().push(microseconds);
            total += microseconds;
        }
        totals.push(total);
        lists.push(ids(&answer));
        bar.inc(1);
    }
    let users = UserMetrics::of_each(lists.iter().map(Vec::as_slice).zip(bought.values()), K);
    let stages = times
        .into_iter()
        .map(|(stage, times)| (stage.as_str().to_owned(), Latency::of(times)));
    let quality = VariantQuality {
        quality: Quality {
            name: variant.name().to_owned(),
            metrics: RankingMetrics::mean(&users),
        },
        intervals: RankingIntervals::of(&users, seed),
        latency: stages
            .chain([("whole request".to_owned(), Latency::of(totals))])
            .collect(),
    };
    Ok(Judged { quality, users })
}
