//! A model of rewards: what an item brings at a place, by the log alone.
//!
//! The mean of the place, times how much more or less than that the item brought where it stood, drawn toward 1 by as much as
//! [`PRIOR`] answers would. It knows nobody: the doubly robust estimate is right on average whatever the model says, and varies less the more
//! of it is right.

use std::collections::HashMap;

use super::rounds::Shown;

/// How many places of the mean reward an item is begun with.
const PRIOR: f64 = 20.0;

/// What items bring at places.
#[derive(Debug, Default)]
pub struct Expected {
    /// The mean of each place.
    places: Vec<f64>,
    /// By row, how many times the mean of its places an item brings.
    items: HashMap<u32, f64>,
}

impl Expected {
    /// Learns from some answers. They must not be those that it is asked about.
    pub fn of<'a>(shown: impl Iterator<Item = &'a Shown<'a>> + Clone) -> Self {
        let places = means(shown.clone());
        let mean = places.iter().sum::<f64>() / places.len().max(1) as f64;
        let mut sums: HashMap<u32, (f64, f64)> = HashMap::new();
        for shown in shown {
            for ((row, reward), mean) in shown.rows.iter().zip(shown.rewards).zip(&places) {
                let (found, usual) = sums.entry(*row).or_default();
                *found += reward;
                *usual += mean;
            }
        }
        // Where rewards are refunds as often as sales, a ratio means nothing.
        let ratio = |(row, (found, usual)): (u32, (f64, f64))| {
            let prior = PRIOR * mean;
            (mean > 0.0).then(|| (row, (found + prior) / (usual + prior)))
        };
        Self {
            items: sums.into_iter().filter_map(ratio).collect(),
            places,
        }
    }

    /// What an item brings at a place.
    pub fn reward(&self, row: u32, place: usize) -> f64 {
        let mean = self.places.get(place).copied().unwrap_or(0.0);
        mean * self.items.get(&row).unwrap_or(&1.0)
    }
}

fn means<'a>(shown: impl Iterator<Item = &'a Shown<'a>>) -> Vec<f64> {
    let mut sums: Vec<(f64, f64)> = Vec::new();
    for shown in shown {
        if sums.len() < shown.rewards.len() {
            sums.resize(shown.rewards.len(), (0.0, 0.0));
        }
        for ((sum, count), reward) in sums.iter_mut().zip(shown.rewards) {
            *sum += reward;
            *count += 1.0;
        }
    }
    sums.into_iter().map(|(sum, count)| sum / count).collect()
}
