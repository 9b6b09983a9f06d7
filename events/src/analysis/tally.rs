//! From units to evidence.

use std::collections::BTreeMap;
use std::time::Duration;

use gondola_wire::arms::PerArm;
use gondola_wire::evidence::{ArmEvidence, Evidence, FORMAT, Health, Look};
use gondola_wire::operations::Operations;
use gondola_wire::sums::Sums;
use gondola_wire::time::after;
use jiff::Timestamp;

use super::rules::Rules;
use super::state::Counted;
use super::unit::{Admission, Unit};

/// How far a pod's clock may be ahead.
const AHEAD: Duration = Duration::from_secs(5 * 60);

/// What units come to, unit by unit, in the order of their hashes.
#[derive(Debug)]
pub struct Tally<'a> {
    rules: &'a Rules,
    now: Timestamp,
    arms: PerArm<ArmEvidence>,
    looks: BTreeMap<u32, Look>,
    health: Health,
    counted: Counted,
}

impl<'a> Tally<'a> {
    /// Nothing yet, for an analysis at `now`.
    pub fn new(rules: &'a Rules, now: Timestamp) -> Self {
        let arm = |name: &String| ArmEvidence {
            name: name.clone(),
            ..ArmEvidence::default()
        };
        Self {
            rules,
            now,
            arms: rules.arms.map(arm),
            looks: BTreeMap::new(),
            health: Health {
                dropped: vec![0; rules.arms.count()],
                ..Health::default()
            },
            counted: Counted::default(),
        }
    }

    /// Adds what was counted elsewhere.
    pub fn note(&mut self, counted: &Counted) {
        self.counted.add(counted);
    }

    /// What was counted and not kept.
    pub fn counted(&self) -> Counted {
        self.counted
    }

    /// Counts outcomes that were forgotten, since nobody saw their unit exposed in time.
    pub fn note_forgotten(&mut self, outcomes: u64) {
        self.counted.forgotten += outcomes;
    }

    /// Counts what became of an exposure.
    pub fn note_exposure(&mut self, fate: Admission) {
        match fate {
            Admission::New | Admission::Beyond => {}
            Admission::Duplicate => self.counted.duplicate_exposures += 1,
        }
    }

    /// Counts what became of an outcome.
    pub fn note_outcome(&mut self, fate: Admission) {
        match fate {
            Admission::New => {}
            Admission::Duplicate => self.counted.duplicate_outcomes += 1,
            Admission::Beyond => self.counted.beyond += 1,
        }
    }

    /// Adds a unit.
    pub fn add(&mut self, unit: &Unit) {
        let Some(first) = unit.first else {
            self.health.outcomes_of_unknown_units += unit.outcomes.len() as u64;
            return;
        };
        // A clock that was ahead: its units would never be old enough.
        if first.time > after(self.now, AHEAD) {
            self.health.misdated += 1 + unit.outcomes.len() as u64;
            return;
        }
        self.health.exposures += unit.exposures.len() as u64;
        self.health.outcomes += unit.outcomes.len() as u64;
        self.health.newest_exposure = self.health.newest_exposure.max(Some(first.time));
        if unit.crossover {
            self.health.crossover_units += 1;
            self.health.outcomes_of_crossover_units += unit.outcomes.len() as u64;
            return;
        }
        let (too_early, too_late) = unit.left_out(&self.rules.metrics, first.time);
        self.health.outcomes_before_exposure += too_early;
        self.health.outcomes_after_window += too_late;
        let place = usize::from(first.arm);
        let arm = &mut self.arms[place];
        arm.units += 1;
        arm.exposures += unit.exposures.len() as u64;
        arm.fallbacks += u64::from(unit.fallbacks);
        self.look(self.rules.look_of(first.time)).units[place] += 1;
        for (number, metric) in self.rules.metrics.iter().enumerate() {
            let mature = after(after(first.time, metric.window), self.rules.lateness);
            if mature <= self.now {
                let observation = unit.observe(metric, first.time);
                self.look(self.rules.look_of(mature)).metrics[number][place].add(observation);
            }
        }
    }

    fn look(&mut self, number: u32) -> &mut Look {
        let Rules { arms, metrics, .. } = self.rules;
        self.looks.entry(number).or_insert_with(|| Look {
            number,
            units: arms.map(|_| 0),
            metrics: vec![arms.map(|_| Sums::default()); metrics.len()],
        })
    }

    /// The evidence; what routers say of themselves is not in it yet.
    pub fn finish(self) -> Evidence {
        let Self {
            rules,
            now,
            arms,
            looks,
            health,
            counted,
        } = self;
        Evidence {
            format: FORMAT,
            experiment: rules.experiment.clone(),
            epoch: rules.epoch,
            started_at: rules.started,
            look: rules.look,
            analyzed_at: now,
            operations: Operations::new(&arms),
            arms,
            metrics: rules.metrics.iter().map(|metric| metric.name.clone()).collect(),
            looks: looks.into_values().collect(),
            health: Health {
                duplicate_exposures: counted.duplicate_exposures,
                duplicate_outcomes: counted.duplicate_outcomes,
                late: counted.late,
                misdated: health.misdated + counted.misdated,
                outcomes_of_unknown_units: health.outcomes_of_unknown_units + counted.forgotten,
                outcomes_of_other_types: counted.other_types,
                exposures_of_other_arms: counted.other_arms,
                unusable_values: counted.unusable,
                outcomes_beyond_bound: counted.beyond,
                ..health
            },
            ..Evidence::default()
        }
    }
}
