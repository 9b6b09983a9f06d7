//! With which chance an item is drawn at its place.
//!
//! The chance of an item at a place is given what stands before it: exp(u) of the item over the sum of exp(u) of all candidates that
//! may stand there, where u is what [`Order::Sampled`] draws by, its utility over the temperature (Plackett and Luce). May stand there: they do
//! not stand before it, and fewer than [`Spread::most`] of those before share their group. The chance of a whole list is the product of its
//! places'.
//!
//! That is exact although all candidates are drawn first, and those whose group is full are passed over after. Drawing is a race in
//! which each candidate arrives at a rate of exp(u). A candidate that may stand at a place might have stood at every place before, so that
//! it did not arrive yet, or it would be there; and among those that did not arrive yet, the next one is by their rates, whatever became of
//! the others (`tests` simulates it).

use std::collections::HashMap;

use super::{Order, Scored, first_of_each_group, utility};

/// No more than a few of a group, as [`first_of_each_group`] keeps them.
#[derive(Clone, Copy, Debug)]
pub struct Spread<G> {
    /// How many may share a group.
    pub most: usize,
    /// The group of an item, if it has one.
    pub group: G,
}

/// The candidates of an answer, and who of them may stand at each place of a list that was shown.
#[derive(Debug)]
pub struct Places {
    candidates: Vec<Candidate>,
    /// By place, the place in `candidates` of what was shown there; none where the order can't have put it there.
    shown: Vec<Option<usize>>,
    /// By place, the logarithm of the sum of all that may stand there.
    whole: Vec<f64>,
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    item: u32,
    /// Its chance at any place is in proportion to exp of this.
    utility: f64,
    /// How many places it may stand at, from the first on.
    until: usize,
}

impl Places {
    /// What `order` makes of scored candidates, at the places of the list `shown`. It need not be a list of theirs, nor all of it: what
    /// another order has shown can be held against this one.
    pub fn new<G: Fn(u32) -> Option<u32>>(
        order: Order,
        scored: &[Scored],
        shown: &[u32],
        spread: Option<Spread<G>>,
    ) -> Self {
        match order {
            Order::Sampled { temperature } => Self::drawn(temperature, scored, shown, spread.as_ref()),
            Order::BestFirst => Self::best(scored, shown, spread),
        }
    }

    fn drawn<G: Fn(u32) -> Option<u32>>(
        temperature: f32,
        scored: &[Scored],
        shown: &[u32],
        spread: Option<&Spread<G>>,
    ) -> Self {
        let utility = utility(scored);
        let stands: HashMap<u32, usize> = shown.iter().copied().zip(0..).collect();
        let full = spread.map(|spread| full_after(shown, spread)).unwrap_or_default();
        let candidate = |scored: &Scored| {
            let group = spread.and_then(|spread| (spread.group)(scored.item));
            let room = group.and_then(|group| full.get(&group)).copied();
            let own = stands.get(&scored.item).map(|place| place + 1);
            let until = room.unwrap_or(shown.len()).min(own.unwrap_or(shown.len()));
            Candidate {
                item: scored.item,
                utility: utility(scored.score) / f64::from(temperature),
                until,
            }
        };
        Self::of(scored.iter().map(candidate).collect(), &stands, shown.len())
    }

    /// One candidate at each place: the next best.
    fn best<G: Fn(u32) -> Option<u32>>(scored: &[Scored], shown: &[u32], spread: Option<Spread<G>>) -> Self {
        let mut ordered = scored.to_vec();
        ordered.sort_by(|a, b| b.score.total_cmp(&a.score));
        let ordered = match spread {
            Some(Spread { most, group }) => first_of_each_group(ordered, shown.len(), most, group),
            None => ordered,
        };
        let best = ordered.iter().take(shown.len());
        let candidates: Vec<Candidate> = best
            .zip(0..)
            .map(|(scored, place)| Candidate {
                item: scored.item,
                // So far from the next that no chance is left for it.
                utility: -1e6 * place as f64,
                until: place + 1,
            })
            .collect();
        let stands = shown.iter().copied().zip(0..).collect();
        Self::of(candidates, &stands, shown.len())
    }

    fn of(candidates: Vec<Candidate>, stands: &HashMap<u32, usize>, places: usize) -> Self {
        let mut shown = vec![None; places];
        let mut by_until: Vec<LogSum> = vec![LogSum::default(); places];
        for (number, candidate) in candidates.iter().enumerate() {
            if let Some(place) = stands.get(&candidate.item)
                && candidate.until == place + 1
            {
                shown[*place] = Some(number);
            }
            if let Some(last) = candidate.until.checked_sub(1) {
                by_until[last].add(candidate.utility);
            }
        }
        // From the last place to the first, so that nothing is ever taken away from a sum.
        let mut sum = LogSum::default();
        let mut whole: Vec<f64> = by_until
            .iter()
            .rev()
            .map(|own| {
                sum.join(own);
                sum.logarithm()
            })
            .collect();
        whole.reverse();
        Self {
            candidates,
            shown,
            whole,
        }
    }

    /// The chance of what was shown, place by place; 0 where this order can't have put it there.
    pub fn chances(&self) -> impl Iterator<Item = f64> {
        let chance = |(shown, whole): (&Option<usize>, &f64)| {
            shown.map_or(0.0, |number| {
                (self.candidates[number].utility - whole).exp().min(1.0)
            })
        };
        self.shown.iter().zip(&self.whole).map(chance)
    }

    /// Every candidate that may stand at a place of the list, and its chance.
    pub fn at(&self, place: usize) -> impl Iterator<Item = (u32, f64)> {
        let may = self
            .candidates
            .iter()
            .filter(move |candidate| candidate.until > place);
        may.map(move |candidate| (candidate.item, (candidate.utility - self.whole[place]).exp()))
    }
}

/// After how many places each group is full that ever is.
fn full_after<G: Fn(u32) -> Option<u32>>(shown: &[u32], spread: &Spread<G>) -> HashMap<u32, usize> {
    let mut taken: HashMap<u32, usize> = HashMap::new();
    let mut full = HashMap::new();
    for (item, place) in shown.iter().zip(1..) {
        let Some(group) = (spread.group)(*item) else {
            continue;
        };
        let count = taken.entry(group).or_default();
        *count += 1;
        if *count == spread.most {
            full.insert(group, place);
        }
    }
    full
}

/// The logarithm of a sum of exponentials, which may be far beyond what a number can be.
#[derive(Clone, Copy, Debug)]
struct LogSum {
    largest: f64,
    /// In units of exp(largest).
    sum: f64,
}

impl Default for LogSum {
    fn default() -> Self {
        Self {
            largest: f64::NEG_INFINITY,
            sum: 0.0,
        }
    }
}

impl LogSum {
    fn add(&mut self, logarithm: f64) {
        self.join(&Self {
            largest: logarithm,
            sum: 1.0,
        });
    }

    fn join(&mut self, other: &Self) {
        let (large, small) = match self.largest >= other.largest {
            true => (*self, *other),
            false => (*other, *self),
        };
        if small.sum > 0.0 {
            self.sum = large.sum + small.sum * (small.largest - large.largest).exp();
            self.largest = large.largest;
        } else {
            *self = large;
        }
    }

    fn logarithm(&self) -> f64 {
        self.largest + self.sum.ln()
    }
}

#[cfg(test)]
mod tests;
