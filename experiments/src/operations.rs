//! Errors and latency of the arms, tick by tick: evidence that an arm does harm, long before anything is known of its users.
//!
//! The mixture test of [`crate::statistics::operations`] weighs each kind of bad answer against the control's; a plain bound on the
//! share of errors acts from the first tick.

use serde::{Deserialize, Serialize};

use crate::settings::OperationsSettings;
use crate::statistics::operations::{Dispersion, Evidence, Tick};

/// How long a tick is, in seconds.
pub const TICK_SECONDS: u64 = 30;
/// Requests of a tick below which a share of errors says nothing.
const FEWEST_REQUESTS: u64 = 50;
/// Successive ticks above the bound that end an arm.
const STREAK: u32 = 2;

/// A kind of bad answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// There was none.
    Errors,
    /// It took longer than it may.
    Slow,
    /// The control gave it instead.
    Fallbacks,
    /// It was empty.
    Empty,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Errors, Self::Slow, Self::Fallbacks, Self::Empty];

    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Errors => "errors",
            Self::Slow => "slow",
            Self::Fallbacks => "fallbacks",
            Self::Empty => "empty",
        }
    }
}

/// What one arm did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArmTraffic {
    /// Answers and errors.
    pub requests: u64,
    /// Errors.
    pub errors: u64,
    /// Answers that took longer than they may.
    pub slow: u64,
    /// Answers that the control gave instead.
    pub fallbacks: u64,
    /// Empty answers.
    pub empty: u64,
}

impl ArmTraffic {
    /// Adds more.
    pub fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.errors += other.errors;
        self.slow += other.slow;
        self.fallbacks += other.fallbacks;
        self.empty += other.empty;
    }

    fn of(&self, kind: Kind) -> Tick {
        let bad = match kind {
            Kind::Errors => self.errors,
            Kind::Slow => self.slow,
            Kind::Fallbacks => self.fallbacks,
            Kind::Empty => self.empty,
        };
        Tick {
            requests: self.requests,
            bad: bad.min(self.requests),
        }
    }

    fn error_rate(&self) -> f64 {
        self.errors as f64 / self.requests.max(1) as f64
    }
}

/// All that ticks so far come to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Operations {
    /// Ticks so far.
    pub ticks: u64,
    /// What each arm did, the control first.
    pub totals: Vec<ArmTraffic>,
    /// Successive ticks in which each arm had too many errors.
    pub streaks: Vec<u32>,
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
    pub arms: Vec<Evidence>,
}

/// An arm that has more bad answers than it may.
#[derive(Clone, Debug, PartialEq)]
pub struct Alarm {
    /// The arm, by its place.
    pub arm: usize,
    /// Which answers; `None` for the plain bound on errors.
    pub kind: Option<Kind>,
}

impl Operations {
    /// Nothing yet, for so many arms.
    pub fn new(arms: usize) -> Self {
        let weighed = |kind| Weighed {
            kind,
            dispersion: Dispersion::default(),
            arms: vec![Evidence::default(); arms.saturating_sub(1)],
        };
        Self {
            totals: vec![ArmTraffic::default(); arms],
            streaks: vec![0; arms],
            weighed: Kind::ALL.map(weighed).into(),
            ..Self::default()
        }
    }

    /// Takes what each arm did in one tick.
    pub fn observe(&mut self, tick: &[ArmTraffic], settings: &OperationsSettings) {
        let Some(control) = tick.first() else {
            return;
        };
        self.ticks += 1;
        for (total, arm) in self.totals.iter_mut().zip(tick) {
            total.add(arm);
        }
        for (arm, (streak, traffic)) in self.streaks.iter_mut().zip(tick).enumerate().skip(1) {
            // A tick with few requests neither counts nor forgives.
            if traffic.requests < FEWEST_REQUESTS {
                continue;
            }
            *streak = if traffic.error_rate() > settings.max_error_rate {
                *streak + 1
            } else {
                0
            };
            if *streak >= STREAK && !self.broken.contains(&arm) {
                self.broken.push(arm);
            }
        }
        for weighed in &mut self.weighed {
            weighed.observe(control, &tick[1..], settings);
        }
    }

    /// The first arm that does harm.
    pub fn alarm(&self, settings: &OperationsSettings) -> Option<Alarm> {
        if let Some(arm) = self.broken.first() {
            return Some(Alarm {
                arm: *arm,
                kind: None,
            });
        }
        let enough = (1.0 / settings.alpha).ln();
        self.weighed.iter().find_map(|weighed| {
            let arm = weighed
                .arms
                .iter()
                .position(|evidence| evidence.log() >= enough)?;
            Some(Alarm {
                arm: arm + 1,
                kind: Some(weighed.kind),
            })
        })
    }
}

impl Weighed {
    fn observe(&mut self, control: &ArmTraffic, treatments: &[ArmTraffic], settings: &OperationsSettings) {
        let ratio = match self.kind {
            Kind::Slow => settings.latency_ratio,
            Kind::Errors | Kind::Fallbacks | Kind::Empty => settings.error_ratio,
        };
        // Of past ticks alone: this one is to be judged.
        if let Some(dispersion) = self.dispersion.value() {
            for (evidence, treatment) in self.arms.iter_mut().zip(treatments) {
                evidence.observe(treatment.of(self.kind), control.of(self.kind), ratio, dispersion);
            }
        }
        self.dispersion.observe(control.of(self.kind));
    }
}

#[cfg(test)]
mod tests;
