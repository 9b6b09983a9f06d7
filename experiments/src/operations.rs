//! Errors and latency of the arms, tick by tick: evidence that an arm does harm, long before anything is known of its users.
//!
//! The mixture test of [`crate::statistics::operations`] weighs each kind of bad answer against the control's; a plain bound on the
//! share of errors acts from the first tick.

use gondola_wire::arms::{PerArm, Treatment};
use gondola_wire::counts::{ArmCounts, Kind};
use gondola_wire::operations::{Operations, Weighed};

use crate::settings::OperationsSettings;
use crate::statistics::operations::{Tick, disperse, dispersion, log_evidence, weigh};

/// How long a tick is, in seconds.
pub const TICK_SECONDS: u64 = 30;
/// Requests of a tick below which a share of errors says nothing.
const MIN_REQUESTS: u64 = 50;
/// Successive ticks above the bound that end an arm.
const STREAK: u32 = 2;

/// An arm that has more bad answers than it may.
#[derive(Clone, Debug, PartialEq)]
pub struct Alarm {
    /// The arm.
    pub arm: Treatment,
    /// Which answers; `None` for the plain bound on errors.
    pub kind: Option<Kind>,
}

/// Takes what each arm did in one tick.
pub fn observe(operations: &mut Operations, tick: &PerArm<ArmCounts>, settings: &OperationsSettings) {
    operations.ticks += 1;
    for (total, arm) in operations.totals.iter_mut().zip(tick.iter()) {
        total.add(arm);
    }
    for (arm, (streak, counts)) in operations.streaks.iter_mut().zip(tick.iter()).enumerate().skip(1) {
        // A tick with few requests neither counts nor forgives.
        if counts.requests < MIN_REQUESTS {
            continue;
        }
        *streak = if error_rate(counts) > settings.max_error_rate {
            *streak + 1
        } else {
            0
        };
        if *streak >= STREAK && !operations.broken.contains(&arm) {
            operations.broken.push(arm);
        }
    }
    for weighed in &mut operations.weighed {
        weigh_tick(weighed, tick, settings);
    }
}

/// The first arm that does harm.
pub fn alarm(operations: &Operations, settings: &OperationsSettings) -> Option<Alarm> {
    let broken = operations.broken.first();
    if let Some(arm) = broken.and_then(|place| Treatment::among_arms(*place)) {
        return Some(Alarm { arm, kind: None });
    }
    let enough = (1.0 / settings.alpha).ln();
    operations.weighed.iter().find_map(|weighed| {
        let arm = weighed
            .arms
            .iter()
            .position(|evidence| log_evidence(evidence) >= enough)?;
        Some(Alarm {
            arm: Treatment::among_treatments(arm),
            kind: Some(weighed.kind),
        })
    })
}

fn weigh_tick(weighed: &mut Weighed, tick: &PerArm<ArmCounts>, settings: &OperationsSettings) {
    let kind = weighed.kind;
    let ratio = match kind {
        Kind::Slow => settings.latency_ratio,
        Kind::Errors | Kind::Fallbacks | Kind::Empty => settings.error_ratio,
    };
    let control = tick_of(&tick.control, kind);
    // Of past ticks alone: this one is to be judged.
    if let Some(dispersion) = dispersion(&weighed.dispersion) {
        for (evidence, (_, treatment)) in weighed.arms.iter_mut().zip(tick.treatments()) {
            weigh(evidence, tick_of(treatment, kind), control, ratio, dispersion);
        }
    }
    disperse(&mut weighed.dispersion, control);
}

fn tick_of(counts: &ArmCounts, kind: Kind) -> Tick {
    Tick {
        requests: counts.requests,
        bad: counts.bad(kind),
    }
}

fn error_rate(counts: &ArmCounts) -> f64 {
    counts.errors as f64 / counts.requests.max(1) as f64
}

#[cfg(test)]
mod tests;
