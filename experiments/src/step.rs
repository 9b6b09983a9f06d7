//! One step of an experiment: from spec, ledger and evidence to the next ledger, what routers are told, and what people see.
//!
//! Pure and from scratch each time. The ledger alone carries over; a step that is made twice, or after a crash, comes to the same
//! end. The operator makes a step in each pass, the local server every few seconds.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use gondola_crds::experiment_status::Phase;
use gondola_wire::buckets::Buckets;
use gondola_wire::decision::{Decision, Verdict};
use gondola_wire::evidence::Evidence;
use gondola_wire::ledger::Ledger;
use gondola_wire::memory::Memory;
use gondola_wire::resolution::VariantBundles;
use gondola_wire::routes::{ArmRoute, ExperimentRoutes, HoldoutRoutes};
use gondola_wire::time::{after, since};
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::assess::{Assessment, assess};
use crate::decide::{Situation, decide};
use crate::epoch;
use crate::settings::{ArmSettings, Settings};

/// How long an arm may be without a pod that answers.
const GRACE: Duration = Duration::from_secs(300);
/// How far the analyzer's clock may be ahead.
const CLOCKS_DIFFER: Duration = Duration::from_secs(300);
/// Requests of each arm below which a ramp waits.
const MIN_REQUESTS: u64 = 50;

/// What a step is made from.
#[derive(Clone, Debug)]
pub struct Inputs<'a> {
    /// The moment.
    pub now: Timestamp,
    /// The pipeline's namespace.
    pub namespace: &'a str,
    /// The pipeline's name.
    pub pipeline: &'a str,
    /// Variants of which a pod answers.
    pub ready: &'a BTreeSet<String>,
    /// Routers that answer.
    pub routers: usize,
    /// The variant that alone has a weight in the spec, if one has.
    pub only_weighted_variant: Option<&'a str>,
    /// What the analyzer found last.
    pub evidence: Option<&'a Evidence>,
    /// What the experiment's store remembers; none before anybody looked.
    pub memory: Option<&'a Memory>,
    /// The bundles that variants serve, of those that are rolled out; none where bundles can't change while a program runs.
    pub served: Option<&'a BTreeMap<String, VariantBundles>>,
    /// Whether all but safety is suspended: an arm that does harm is rolled back, and nothing else moves.
    pub suspended: bool,
}

/// What an experiment that has not started waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitsFor {
    /// A look into the store, for how it may have ended before.
    Memory,
    /// Pods of every arm and a router that answer.
    Arms,
    /// That the store keeps how it ended.
    Record,
}

/// What a step came to.
#[derive(Clone, Debug)]
pub struct Step {
    /// What is remembered.
    pub ledger: Ledger,
    /// What routers are told.
    pub routing: Routing,
    /// What the evidence says, if there is some of this epoch.
    pub assessment: Option<Assessment>,
    /// Whether the evidence is recent; `None` without any, or where the experiment is over.
    pub fresh: Option<bool>,
    /// When time alone may change something.
    pub next: Option<Timestamp>,
    /// What it waits for before it starts, or before it is over.
    pub waits_for: Option<WaitsFor>,
}

/// Who gets what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Routing {
    /// Those who take part are split, and all others get the control.
    Experiment(ExperimentRoutes),
    /// Everybody gets one variant.
    Everybody(String),
}

/// Makes a step.
pub fn step(settings: &Settings, before: Option<&Ledger>, inputs: &Inputs<'_>) -> Step {
    let mut ledger = epoch::current(settings, before);
    let memory = inputs
        .memory
        .filter(|memory| memory.experiment == ledger.experiment);
    if ledger.phase == Phase::Pending
        && let Some(memory) = memory
    {
        epoch::recall(&mut ledger, memory);
    }
    let evidence = inputs
        .evidence
        .filter(|evidence| evidence.experiment == ledger.experiment && evidence.epoch == ledger.epoch);
    let assessment = evidence.map(|evidence| assess(settings, evidence));
    let fresh = evidence.map(|evidence| is_fresh(evidence, settings, inputs.now));
    // What another release decided is not decided again.
    if !ledger.phase.is_over() && ledger.phase != Phase::Unknown {
        if memory.is_some() && !inputs.suspended {
            start(&mut ledger, settings, inputs);
        }
        pin(&mut ledger, settings, inputs);
        note_readiness(&mut ledger, settings, inputs);
        confirm_stage(&mut ledger, settings, inputs, evidence);
        let situation = situation(
            &ledger,
            settings,
            inputs,
            assessment.as_ref(),
            fresh.unwrap_or(false),
        );
        match situation.and_then(|situation| decide(settings, &situation)) {
            Some(decision) if inputs.suspended && !decision.verdict.is_safety() => {}
            Some(decision) => record(&mut ledger, decision),
            None if inputs.suspended => {}
            None => advance_stage(&mut ledger, settings, inputs.now, fresh, evidence),
        }
    }
    if ledger.phase == Phase::Promoted
        && inputs.only_weighted_variant.is_some()
        && inputs.only_weighted_variant == ledger.winner.as_deref()
    {
        ledger.phase = Phase::Completed;
    }
    let over = ledger.phase.is_over();
    Step {
        routing: routing(&ledger, settings, inputs),
        next: (!over).then(|| next(&ledger, settings, inputs.now)).flatten(),
        fresh: fresh.filter(|_| !over),
        assessment,
        waits_for: match (ledger.phase, memory) {
            (Phase::Pending, None) => Some(WaitsFor::Memory),
            (Phase::Pending, Some(_)) => Some(WaitsFor::Arms),
            (_, memory) => {
                let kept = memory.is_some_and(|memory| memory.keeps(&ledger));
                (over && !kept).then_some(WaitsFor::Record)
            }
        },
        ledger,
    }
}

impl Step {
    /// The phase that people are told. They may delete what is over: it is over once the store has kept its end.
    pub fn reported_phase(&self, settings: &Settings) -> Phase {
        match self.waits_for {
            Some(WaitsFor::Record) if self.ledger.stage == settings.last_stage() => Phase::Running,
            Some(WaitsFor::Record) => Phase::Ramping,
            _ => self.ledger.phase,
        }
    }
}

/// Keeps arms at the bundles that they began with. A ledger that was lost takes those that are served now.
fn pin(ledger: &mut Ledger, settings: &Settings, inputs: &Inputs<'_>) {
    let (Some(served), true) = (
        inputs.served,
        ledger.pinned.is_empty() && ledger.phase != Phase::Pending,
    ) else {
        return;
    };
    let arms = settings.arms.iter();
    ledger.pinned = arms
        .filter_map(|arm| Some((arm.name.clone(), served.get(&arm.name)?.clone())))
        .collect();
}

/// It begins when every arm answers: before that, arms would differ in more than the model.
fn start(ledger: &mut Ledger, settings: &Settings, inputs: &Inputs<'_>) {
    let is_served = |arm: &String| inputs.served.is_none_or(|served| served.contains_key(arm));
    let ready = settings
        .arms
        .iter()
        .all(|arm| inputs.ready.contains(&arm.name) && is_served(&arm.name));
    if ledger.phase == Phase::Pending && ready && inputs.routers > 0 {
        ledger.phase = if settings.last_stage() == 0 {
            Phase::Running
        } else {
            Phase::Ramping
        };
        // Whole seconds, as the status writes them.
        ledger.started_at = Timestamp::from_second(inputs.now.as_second()).ok();
    }
}

fn note_readiness(ledger: &mut Ledger, settings: &Settings, inputs: &Inputs<'_>) {
    for ArmSettings { name: arm, .. } in settings.arms.iter() {
        if inputs.ready.contains(arm) || ledger.phase == Phase::Pending {
            ledger.unready_since.remove(arm);
        } else {
            ledger.unready_since.entry(arm.clone()).or_insert(inputs.now);
        }
    }
}

/// A stage of the ramp counts from when every router enrolls its users.
fn confirm_stage(ledger: &mut Ledger, settings: &Settings, inputs: &Inputs<'_>, evidence: Option<&Evidence>) {
    if ledger.stage_since.is_some() || ledger.phase == Phase::Pending {
        return;
    }
    let revision = routes(ledger, settings, inputs).revision;
    let told = evidence.map_or(0, |evidence| {
        let routers = evidence.routers.iter();
        let behind = routers.clone().any(|router| router.revision != revision);
        if behind { 0 } else { routers.count() }
    });
    if told > 0 && told >= inputs.routers {
        ledger.stage_since = Some(inputs.now);
    }
}

/// Neither too old nor from the future, beyond what clocks differ by.
fn is_fresh(evidence: &Evidence, settings: &Settings, now: Timestamp) -> bool {
    let at = evidence.analyzed_at;
    since(at, now) <= settings.cadence.patience() && since(now, at) <= CLOCKS_DIFFER
}

fn situation<'a>(
    ledger: &Ledger,
    settings: &Settings,
    inputs: &Inputs<'_>,
    assessment: Option<&'a Assessment>,
    fresh: bool,
) -> Option<Situation<'a>> {
    let started = ledger.started_at?;
    let is_down = |arm: &String| {
        let unready = ledger.unready_since.get(arm);
        unready.is_some_and(|unready| since(*unready, inputs.now) >= GRACE)
    };
    let last = ledger.stage == settings.last_stage();
    Some(Situation {
        now: inputs.now,
        running: since(started, inputs.now),
        settled: ledger
            .stage_since
            .filter(|_| last)
            .map(|moment| since(moment, inputs.now)),
        down: settings
            .arms
            .treatments()
            .find_map(|(treatment, arm)| is_down(&arm.name).then_some(treatment)),
        assessment,
        fresh,
        won: ledger
            .decision
            .as_ref()
            .is_some_and(|decision| decision.verdict == Verdict::PromotionReady),
    })
}

fn record(ledger: &mut Ledger, decision: Decision) {
    let same = |before: &Decision| {
        (before.verdict, before.reason, &before.arm) == (decision.verdict, decision.reason, &decision.arm)
    };
    // It stands as it was made: later numbers are in the status.
    if ledger.decision.as_ref().is_some_and(same) {
        return;
    }
    if let Some(phase) = decision.verdict.phase() {
        ledger.phase = phase;
    }
    if decision.verdict == Verdict::Promoted {
        ledger.winner.clone_from(&decision.arm);
    }
    ledger.decision = Some(decision);
}

/// The next step of the ramp, once this one has been held, is known to be everywhere, and shows nothing bad.
fn advance_stage(
    ledger: &mut Ledger,
    settings: &Settings,
    now: Timestamp,
    fresh: Option<bool>,
    evidence: Option<&Evidence>,
) {
    let (Phase::Ramping, Some(stage_since), Some(true)) = (ledger.phase, ledger.stage_since, fresh) else {
        return;
    };
    let Some(stage) = settings.stages.get(ledger.stage as usize) else {
        return;
    };
    let seen = evidence.is_some_and(|evidence| {
        let totals = &evidence.operations.totals;
        totals.count() == settings.arms.count() && totals.iter().all(|arm| arm.requests >= MIN_REQUESTS)
    });
    if since(stage_since, now) < stage.hold || !seen {
        return;
    }
    ledger.stage += 1;
    ledger.stage_since = None;
    if ledger.stage == settings.last_stage() {
        ledger.phase = Phase::Running;
    }
}

fn routing(ledger: &Ledger, settings: &Settings, inputs: &Inputs<'_>) -> Routing {
    match ledger.phase {
        Phase::Pending | Phase::Ramping | Phase::Running | Phase::Invalid | Phase::Unknown => {
            Routing::Experiment(routes(ledger, settings, inputs))
        }
        Phase::Promoted | Phase::Completed => {
            let winner = ledger.winner.clone();
            Routing::Everybody(winner.unwrap_or_else(|| settings.control().to_owned()))
        }
        Phase::RolledBack | Phase::Inconclusive | Phase::Equivalent => {
            Routing::Everybody(settings.control().to_owned())
        }
    }
}

/// What routers are told while the experiment runs.
fn routes(ledger: &Ledger, settings: &Settings, inputs: &Inputs<'_>) -> ExperimentRoutes {
    let Inputs {
        namespace, pipeline, ..
    } = inputs;
    // A spec that was made shorter than its ledger leaves the last step.
    let stage = (ledger.stage as usize).min(settings.stages.len() - 1);
    let traffic_buckets = if ledger.phase == Phase::Pending {
        Buckets::NONE
    } else {
        settings.stages[stage].buckets
    };
    let mut routes = ExperimentRoutes {
        name: settings.name.clone(),
        epoch: ledger.epoch,
        revision: String::new(),
        salt: settings.salt_in(&format!("{namespace}/{pipeline}")),
        unit_header: settings.unit_header.clone(),
        holdout: settings.holdout.as_ref().map(|holdout| HoldoutRoutes {
            salt: format!("{namespace}/{}", holdout.name),
            buckets: holdout.buckets,
        }),
        traffic_buckets,
        arms: settings
            .arms
            .iter()
            .map(|arm| ArmRoute {
                variant: arm.name.clone(),
                weight: arm.weight,
            })
            .collect(),
        slow_milliseconds: settings.operations.slow.as_millis() as u64,
    };
    routes.revision = revision(&routes);
    routes
}

/// A short digest of what routers are told.
fn revision(routes: &ExperimentRoutes) -> String {
    let text = serde_json::to_string(routes).expect("routes hold text and numbers");
    hex::encode(&Sha256::digest(text)[..6])
}

/// The next moment at which time alone may change something.
fn next(ledger: &Ledger, settings: &Settings, now: Timestamp) -> Option<Timestamp> {
    let hold = settings
        .stages
        .get(ledger.stage as usize)
        .map_or(Duration::ZERO, |stage| stage.hold);
    let settle = |moment| after(moment, hold.max(settings.cadence.settle));
    let moments = [
        ledger.stage_since.map(|moment| after(moment, hold)),
        ledger.stage_since.map(settle),
        ledger
            .started_at
            .map(|started| after(started, settings.min_duration)),
        ledger
            .started_at
            .map(|started| after(started, settings.max_duration)),
        ledger
            .unready_since
            .values()
            .min()
            .map(|moment| after(*moment, GRACE)),
    ];
    moments.into_iter().flatten().filter(|moment| *moment > now).min()
}

#[cfg(test)]
mod tests;
