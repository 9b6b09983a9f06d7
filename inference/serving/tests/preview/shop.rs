//! A shop of thirty items, in five groups: who buys what is known, so that an effect can be planted.

use gondola_models::ordering::{Order, Places, Scored, Spread, first_of_each_group};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

pub(crate) const ITEMS: u32 = 30;
/// Items of an answer.
pub(crate) const SHOWN: usize = 4;
/// Items of one group that an answer may have.
const MOST: usize = 2;
/// How many kinds of users there are: each likes other items.
const KINDS: usize = 8;
/// What becomes of attention from one place to the next.
const ATTENTION: f64 = 0.8;
/// Of two items of one group, the second is bought this much less often: what a place brings depends on those before it.
const SECOND_OF_A_GROUP: f64 = 0.5;

fn group(item: u32) -> Option<u32> {
    Some(item % 5)
}

/// Who buys what, and what two models make of it.
pub(crate) struct Shop {
    /// The chance that an item is bought at the first place, by kind of user.
    bought: Vec<Vec<f64>>,
}

/// A way to order items.
pub(crate) struct Policy {
    order: Order,
    /// By kind of user.
    scores: Vec<Vec<Scored>>,
}

/// An answer, and what came of it.
pub(crate) struct Answer {
    pub(crate) rows: Vec<u32>,
    pub(crate) chances: Vec<f32>,
    pub(crate) rewards: Vec<f64>,
}

impl Shop {
    pub(crate) fn new(random: &mut ChaCha8Rng) -> Self {
        let kind = |_| {
            (0..ITEMS)
                .map(|_| 0.01 + 0.14 * random.random::<f64>().powi(3))
                .collect()
        };
        Self {
            bought: (0..KINDS).map(kind).collect(),
        }
    }

    /// A model that sees `share` of what is to be known, and otherwise noise; its answers are drawn.
    pub(crate) fn policy(&self, share: f64, temperature: f32, random: &mut ChaCha8Rng) -> Policy {
        let mut score = |(chance, item): (&f64, u32)| Scored {
            item,
            // Below 0, so that they are not taken for probabilities.
            score: (10.0 * share * chance + (1.0 - share) * random.random::<f64>()) as f32 * 0.5 - 2.0,
        };
        let kinds = self.bought.iter();
        Policy {
            order: Order::Sampled { temperature },
            scores: kinds
                .map(|kind| kind.iter().zip(0..).map(&mut score).collect())
                .collect(),
        }
    }

    /// A user of a kind is answered, and buys.
    pub(crate) fn answer(&self, policy: &Policy, kind: usize, random: &mut ChaCha8Rng) -> Answer {
        let rows = policy.draw(kind, random);
        let chances = policy
            .places(kind, &rows)
            .chances()
            .map(|chance| chance as f32)
            .collect();
        Answer {
            rewards: self.buy(kind, &rows, random),
            rows,
            chances,
        }
    }

    /// What a user of a kind buys of a list.
    pub(crate) fn buy(&self, kind: usize, rows: &[u32], random: &mut ChaCha8Rng) -> Vec<f64> {
        let bought = self.chances_of_purchase(kind, rows).into_iter();
        bought
            .map(|chance| f64::from(random.random_bool(chance)))
            .collect()
    }

    /// What a list brings at each place, on average.
    fn chances_of_purchase(&self, kind: usize, rows: &[u32]) -> Vec<f64> {
        let place = |(place, row): (usize, &u32)| {
            let alike = rows[..place].iter().any(|before| group(*before) == group(*row));
            let alike = if alike { SECOND_OF_A_GROUP } else { 1.0 };
            self.bought[kind][*row as usize] * ATTENTION.powi(place as i32) * alike
        };
        rows.iter().enumerate().map(place).collect()
    }

    /// What an answer of a policy brings on average, by so many draws.
    pub(crate) fn value(&self, policy: &Policy, draws: usize, random: &mut ChaCha8Rng) -> f64 {
        let one = |number: usize| {
            let kind = number % KINDS;
            self.chances_of_purchase(kind, &policy.draw(kind, random))
                .iter()
                .sum::<f64>()
        };
        (0..draws).map(one).sum::<f64>() / draws as f64
    }
}

impl Policy {
    /// What a user of a kind is shown.
    pub(crate) fn draw(&self, kind: usize, random: &mut ChaCha8Rng) -> Vec<u32> {
        let drawn = self.order.arrange(self.scores[kind].clone(), random);
        let drawn = first_of_each_group(drawn, SHOWN, MOST, group);
        drawn.iter().map(|scored| scored.item).collect()
    }

    /// What this policy makes of a list that was shown.
    pub(crate) fn places(&self, kind: usize, rows: &[u32]) -> Places {
        Places::new(
            self.order,
            &self.scores[kind],
            rows,
            Some(Spread { most: MOST, group }),
        )
    }

    /// The best first.
    pub(crate) fn certain(mut self) -> Self {
        self.order = Order::BestFirst;
        self
    }
}

pub(crate) fn kind_of(unit: u64) -> usize {
    (unit / 2) as usize % KINDS
}
