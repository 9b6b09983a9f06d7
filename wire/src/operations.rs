//! Errors and latency of an experiment's arms, summed up tick by tick. What follows from them is decided elsewhere.

use serde::{Deserialize, Serialize};

use crate::arms::PerArm;
use crate::counts::{ArmCounts, Kind};

/// All that ticks so far come to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Operations {
    /// Ticks so far.
    pub ticks: u64,
    /// What each arm did.
    pub totals: PerArm<ArmCounts>,
    /// Successive ticks in which each arm had too many errors.
    pub streaks: PerArm<u32>,
    /// Arms that had too many errors for long enough, by their place; they stay here.
    pub broken: Vec<usize>,
    /// For each kind, the control's dispersion, and the evidence against each treatment arm.
    pub weighed: Vec<Weighed>,
}

/// Evidence of one kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Weighed {
    /// Which.
    pub kind: Kind,
    /// How clumped the control's are.
    pub dispersion: Dispersion,
    /// Against each treatment arm, in order.
    pub arms: Vec<HarmEvidence>,
}

/// Evidence that a treatment's rate of bad answers is above the allowed ratio to the control's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HarmEvidence {
    /// For each of the alternatives that are weighed, by how much it is likelier than what is allowed, as a logarithm.
    pub log_likelihoods: [f64; 7],
}

/// The control's bad answers, for how much more they vary between ticks than independent ones would.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Dispersion {
    /// Ticks with requests.
    pub ticks: u64,
    /// Σ requests.
    pub requests: f64,
    /// Σ bad answers.
    pub bad: f64,
    /// Σ bad² / requests.
    pub weighted: f64,
}

impl Operations {
    /// Nothing yet, for these arms.
    pub fn new<T>(arms: &PerArm<T>) -> Self {
        let weighed = |kind| Weighed {
            kind,
            dispersion: Dispersion::default(),
            arms: arms.treatments().map(|_| HarmEvidence::default()).collect(),
        };
        Self {
            totals: arms.map(|_| ArmCounts::default()),
            streaks: arms.map(|_| 0),
            weighed: Kind::ALL.map(weighed).into(),
            ..Self::default()
        }
    }
}
