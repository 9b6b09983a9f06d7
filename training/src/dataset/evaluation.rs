//! How a pipeline is evaluated end to end.

use std::collections::BTreeMap;

use gondola_models::pipeline::BoughtRule;
use gondola_models::retrieval::sources::{Quotas, TrainedQuota};
use serde::{Deserialize, Serialize};

/// How a pipeline is evaluated end to end: as it will be served, so that its lists are those that users would
/// get.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Evaluation {
    /// How many candidates each source gives the scorers: what the pipeline's `retrieval` will say.
    pub candidates: Candidates,
    /// Whether lists may have what their users had bought before: what the pipeline's `filters.alreadyBought` will say. Where they may not,
    /// only what was new to its buyer counts.
    pub seen: Seen,
    /// How many buyers of the test window lists are made for; where there are more, so many are drawn, and the
    /// report says so.
    pub users: usize,
}

impl Default for Evaluation {
    fn default() -> Self {
        Self {
            candidates: Candidates::default(),
            seen: Seen::Keep,
            users: 20_000,
        }
    }
}

/// Whether lists may have what their users had bought before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Seen {
    /// They may: what is bought again counts.
    Keep,
    /// They may not: only what is new to a user counts.
    Remove,
}

impl From<Seen> for BoughtRule {
    fn from(seen: Seen) -> Self {
        match seen {
            Seen::Keep => Self::Keep,
            Seen::Remove => Self::Remove,
        }
    }
}

/// How many candidates each source gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Candidates {
    /// The two towers.
    pub two_tower: usize,
    /// What the user bought before.
    pub bought_before: usize,
    /// What those bought who bought the same as the user.
    pub co_bought: usize,
    /// What is most popular.
    pub popular: usize,
    /// What trained sources find, by the names of their bundles.
    pub trained: BTreeMap<String, usize>,
}

impl Default for Candidates {
    fn default() -> Self {
        Self {
            two_tower: 200,
            bought_before: 100,
            co_bought: 0,
            popular: 0,
            trained: BTreeMap::new(),
        }
    }
}

impl From<Candidates> for Quotas {
    fn from(candidates: Candidates) -> Self {
        Self {
            two_tower: candidates.two_tower,
            bought_before: candidates.bought_before,
            co_bought: candidates.co_bought,
            popular: candidates.popular,
            trained: candidates
                .trained
                .into_iter()
                .map(|(name, candidates)| TrainedQuota { name, candidates })
                .collect(),
        }
    }
}
