//! Whole experiments, day by day, from units to a decision.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gondola_crds::experiment::Experiment;
use gondola_events::analysis::unit::{First, KnownExposure, KnownOutcome};
use gondola_events::analysis::{Rules, Tally, Unit};
use gondola_events::unit::{UnitHash, UnitKey};
use gondola_experiments::operations::{alarm, observe};
use gondola_experiments::settings::Settings;
use gondola_experiments::step::{Inputs, Routing, step};
use gondola_protocol::Visit;
use gondola_router::experiment::{Enrolment, Recording, Silence};
use gondola_wire::counts::ArmCounts;
use gondola_wire::decision::Verdict;
use gondola_wire::evidence::{Evidence, RouterEvidence};
use gondola_wire::ledger::Ledger;
use gondola_wire::memory::Memory;
use gondola_wire::operations::Operations;
use jiff::{SignedDuration, Timestamp};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::json;

use super::{DAY, DAY_MILLISECONDS, Lines, START, experiment};

/// What is simulated.
struct World {
    /// Units that come, over 14 days.
    units: usize,
    /// How many of the control's convert.
    base: f64,
    /// How many times as many of the arm's do.
    ratio: f64,
    /// How many of the arm's units are never recorded.
    lost: f64,
}

/// How an experiment ended.
struct End {
    verdict: Option<Verdict>,
    /// Units of both arms when a mismatch of shares was found.
    mismatch_at: Option<u64>,
    /// Whether anything else was ever decided.
    decided: bool,
}

const DAYS: i32 = 14;

/// Runs an experiment with a look and a decision every day.
fn simulate(experiment: &Experiment, world: &World, seed: u64) -> anyhow::Result<End> {
    let settings = Settings::of(experiment)?;
    let mut ledger = None;
    let begun = make_step(&settings, &mut ledger, START, None)?;
    let Routing::Experiment(routes) = begun else {
        anyhow::bail!("it does not begin");
    };
    let recording = Arc::new(Recording::new(String::new(), Err(Silence::Unasked)));
    let enrolment = Enrolment::new(&routes, recording)?;
    let rules = Rules::new(&settings, 1, START);
    let units = units(&enrolment, &rules, world, seed)?;
    let mut end = End {
        verdict: None,
        mismatch_at: None,
        decided: false,
    };
    for day in 1..=DAYS + 7 {
        let now = START + day * DAY;
        let mut tally = Tally::new(&rules, now);
        for unit in units.values() {
            tally.add(unit);
        }
        let mut evidence = tally.finish();
        evidence.operations = Operations::new(&settings.arms);
        evidence.routers = vec![RouterEvidence {
            name: "router".to_owned(),
            revision: routes.revision.clone(),
            ..RouterEvidence::default()
        }];
        make_step(&settings, &mut ledger, now, Some(&evidence))?;
        let decided = ledger.as_ref().and_then(|ledger| ledger.decision.as_ref());
        end.verdict = decided.map(|decision| decision.verdict);
        end.decided |= end.verdict.is_some_and(|verdict| verdict != Verdict::Invalid);
        if end.verdict == Some(Verdict::Invalid) && end.mismatch_at.is_none() {
            end.mismatch_at = Some(evidence.arms.iter().map(|arm| arm.units).sum());
        }
    }
    Ok(end)
}

fn make_step(
    settings: &Settings,
    ledger: &mut Option<Ledger>,
    now: Timestamp,
    evidence: Option<&Evidence>,
) -> anyhow::Result<Routing> {
    let ready: BTreeSet<String> = settings.arms.iter().map(|arm| arm.name.clone()).collect();
    let memory = Memory::nothing(&settings.name);
    let inputs = Inputs {
        now,
        namespace: "shop",
        pipeline: "home",
        ready: &ready,
        routers: 1,
        only_weighted_variant: None,
        evidence,
        memory: Some(&memory),
        served: None,
        suspended: false,
    };
    let step = step(settings, ledger.as_ref(), &inputs);
    *ledger = Some(step.ledger);
    Ok(step.routing)
}

/// Units that come at any time in two weeks, are shown something once, and convert randomly.
fn units(
    enrolment: &Enrolment,
    rules: &Rules,
    world: &World,
    seed: u64,
) -> anyhow::Result<BTreeMap<UnitHash, Unit>> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let key = UnitKey::new(&seed.to_le_bytes().repeat(2))?;
    let visit = Visit::default();
    let mut units = BTreeMap::new();
    for number in 0..world.units {
        let id = format!("member-{number}");
        let assigned = enrolment.enrol(&id, &visit).assigned;
        let treated = assigned.arm == 1;
        let first =
            START + SignedDuration::from_millis(random.random_range(0..i64::from(DAYS) * DAY_MILLISECONDS));
        let converts = random.random_bool(world.base * if treated { world.ratio } else { 1.0 });
        if !assigned.enrolled() || (treated && random.random_bool(world.lost)) {
            continue;
        }
        let mut unit = Unit::default();
        let at = First {
            time: first,
            id: number as u64,
            arm: assigned.arm as u8,
        };
        unit.show(KnownExposure { at, fallback: false });
        if converts {
            unit.happen(KnownOutcome {
                id: number as u64,
                kind: rules.kind("purchase").unwrap_or_default(),
                time: first + SignedDuration::from_micros(1),
                value: 1.0,
            });
        }
        units.insert(key.hash(&id), unit);
    }
    Ok(units)
}

/// A share of so many, with three standard errors of a `nominal` one.
pub(super) fn three_errors(nominal: f64, of: usize) -> f64 {
    nominal + 3.0 * (nominal * (1.0 - nominal) / of as f64).sqrt()
}

/// Arms that are the same, looked at every day.
pub(super) fn nothing_to_find(lines: &mut Lines) -> anyhow::Result<()> {
    const RUNS: usize = 2000;
    let design = json!({"units": 1000, "minDuration": "7d", "maxDuration": "20d"});
    let world = World {
        units: 2400,
        base: 0.1,
        ratio: 1.0,
        lost: 0.0,
    };
    let (mut verdicts, mut mismatches) = (0u32, 0u32);
    for run in 0..RUNS {
        let end = simulate(&experiment(&format!("aa-{run}"), &design)?, &world, run as u64)?;
        match end.verdict {
            Some(Verdict::PromotionReady | Verdict::Promoted | Verdict::RolledBack) => verdicts += 1,
            Some(Verdict::Invalid) => mismatches += 1,
            _ => {}
        }
    }
    for (what, count, nominal) in [
        ("A/A experiments with a verdict, looked at daily", verdicts, 0.05),
        ("A/A experiments with a sample ratio mismatch", mismatches, 0.001),
    ] {
        let share = f64::from(count) / RUNS as f64;
        let most = three_errors(nominal, RUNS);
        let found = format!(
            "{count} of {RUNS} ({:.2} %), at most {:.2} %",
            100.0 * share,
            100.0 * most
        );
        lines.line(share <= most, what, found);
    }
    Ok(())
}

/// An arm that is better by what was planned for.
pub(super) fn something_to_find(lines: &mut Lines) -> anyhow::Result<()> {
    const RUNS: usize = 500;
    let design = json!({
        "minDetectableLift": "25%", "baseline": "0.1", "power": "0.8", "minDuration": "7d", "maxDuration": "20d",
    });
    let planned = Settings::of(&experiment("planned", &design)?)?.planned_units;
    let world = World {
        // Enough that both arms reach the plan.
        units: (2.0 * planned as f64 * 1.06) as usize,
        base: 0.1,
        ratio: 1.25,
        lost: 0.0,
    };
    let mut found = 0;
    for run in 0..RUNS {
        let end = simulate(
            &experiment(&format!("ab-{run}"), &design)?,
            &world,
            10_000 + run as u64,
        )?;
        found += usize::from(end.verdict == Some(Verdict::PromotionReady));
    }
    let share = found as f64 / RUNS as f64;
    let least = 0.8 - 3.0 * (0.8_f64 * 0.2 / RUNS as f64).sqrt();
    lines.line(
        share >= least,
        "planted lifts of 25 % that win, planned with a power of 80 %",
        format!(
            "{found} of {RUNS} ({:.1} %), at least {:.1} %; {planned} users an arm",
            100.0 * share,
            100.0 * least
        ),
    );
    Ok(())
}

/// An arm, one twentieth of whose units are never recorded.
pub(super) fn lost_events(lines: &mut Lines) -> anyhow::Result<()> {
    const RUNS: usize = 100;
    const EACH: usize = 20_000;
    let design = json!({"units": 100_000, "minDuration": "7d", "maxDuration": "30d"});
    let world = World {
        units: 2 * EACH,
        base: 0.1,
        ratio: 1.0,
        lost: 0.05,
    };
    let (mut at, mut verdicts) = (Vec::new(), 0);
    for run in 0..RUNS {
        let end = simulate(
            &experiment(&format!("lost-{run}"), &design)?,
            &world,
            20_000 + run as u64,
        )?;
        at.extend(end.mismatch_at);
        verdicts += usize::from(end.decided);
    }
    at.sort_unstable();
    // The test is made for mismatches of one or two percent in a million users; 5 % of an arm are 1.3 % of all.
    let median = at.get(at.len() / 2).copied().unwrap_or(u64::MAX);
    lines.line(
        median <= 30_000,
        "5 % of an arm's units lost: the median of units of both arms until a mismatch is found",
        format!(
            "{median}, at most 30,000; found within {EACH} an arm in {} of {RUNS}",
            at.len()
        ),
    );
    // Before it is found, chance may decide as it may in an A/A experiment: by the sequence alone, at a fifth of alpha.
    let most = three_errors(0.01, RUNS);
    lines.line(
        verdicts as f64 / RUNS as f64 <= most,
        "verdicts on such data",
        format!("{verdicts} of {RUNS}, at most {:.1} %", 100.0 * most),
    );
    Ok(())
}

/// An arm with a tenth of errors.
pub(super) fn errors(lines: &mut Lines) -> anyhow::Result<()> {
    let experiment = experiment("errors", &json!({"units": 1000}))?;
    let settings = Settings::of(&experiment)?;
    let mut random = ChaCha8Rng::seed_from_u64(5);
    // Of 50 requests, more than 5 % fail in 89 of 100 ticks: in two of them in 79 of 100.
    for (requests, least) in [(50, 70.0), (1000, 100.0)] {
        let mut within_two = 0;
        for _ in 0..200 {
            let mut operations = Operations::new(&settings.arms);
            for _ in 0..2 {
                let mut arm = |rate: f64| ArmCounts {
                    requests,
                    errors: (0..requests).filter(|_| random.random_bool(rate)).count() as u64,
                    ..ArmCounts::default()
                };
                let tick = [arm(0.001), arm(0.1)].into();
                observe(&mut operations, &tick, &settings.operations);
            }
            within_two += usize::from(alarm(&operations, &settings.operations).is_some());
        }
        let share = within_two as f64 / 2.0;
        lines.line(
            share >= least,
            &format!("an arm with 10 % errors is rolled back within two ticks of {requests} requests"),
            format!("{share} % of 200 runs, at least {least} %"),
        );
    }
    Ok(())
}
