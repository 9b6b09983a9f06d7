//! An experiment as it was asked for, in numbers: defaults filled in, the plan computed, the split of alpha made.

use std::time::Duration;

use gondola_crds::experiment::{Design, Experiment, Method, Metric, MetricKind, Promotion};
use gondola_crds::text::{Length, Percent, Period, Token};
use gondola_wire::arms::PerArm;
use gondola_wire::buckets::{BUCKETS, Buckets};

use crate::assignment;
use crate::percent::share;
use crate::statistics::planning::{Plan, WEEK, quantile, weeks};
use crate::statistics::sequence::Sequence;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// Why an experiment can't be run as it is written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// The control is not one of the arms.
    #[error("control {control:?} is none of the arms {arms:?}; name one of them")]
    Control {
        /// The control.
        control: String,
        /// The arms.
        arms: Vec<String>,
    },
    /// The ramp goes down.
    #[error("traffic.ramp has {second} after {first}; let each step be larger than the one before")]
    Ramp {
        /// A step.
        first: String,
        /// The step after it.
        second: String,
    },
    /// Nobody would take part.
    #[error("traffic.percent is {0}; let some users take part")]
    Nobody(String),
    /// The plan can't be computed.
    #[error("design: {0}")]
    Plan(&'static str),
    /// An arm would never get a user.
    #[error(
        "arm {arm:?} has a weight of {weight} among {sum}, which is none of the 10,000 buckets that users fall into; give it {least} or more, or leave it out"
    )]
    NoBucket {
        /// The arm.
        arm: String,
        /// Its weight.
        weight: u32,
        /// The sum of all weights.
        sum: u64,
        /// A weight that is enough.
        least: u64,
    },
    /// A test with more chance of a false finding than of a true one.
    #[error("design.alpha is {0}; give less than 0.5, for example 0.05")]
    Alpha(String),
    /// Earlier behavior is used for means alone.
    #[error("metric {0:?} is a Ratio with cuped, which is for conversions, counts and sums; leave cuped out")]
    RatioWithCuped(String),
    /// Two metrics of one name.
    #[error("two metrics are called {0:?}; give each a name of its own")]
    MetricTwice(String),
}

/// An experiment in numbers.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its name.
    pub name: String,
    /// Another text starts it again.
    pub restart_token: Option<Token>,
    /// What users are split by; where it is none, that follows from the experiment's place: see [`Settings::salt_in`].
    pub salt: Option<String>,
    /// The header that holds the unit's id; the request's user where there is none.
    pub unit_header: Option<String>,
    /// Who is kept out.
    pub holdout: Option<HoldoutSettings>,
    /// The arms.
    pub arms: PerArm<ArmSettings>,
    /// Steps of the ramp; the last one is kept.
    pub stages: Vec<StageSettings>,
    /// What an arm must improve.
    pub success: Vec<SuccessSettings>,
    /// What an arm must not harm.
    pub guardrails: Vec<GuardrailSettings>,
    /// Bounds on errors and latency.
    pub operations: OperationsSettings,
    /// When data may decide.
    pub method: Method,
    /// Chance of a false finding of all that is read at any time.
    pub alpha_sequence: f64,
    /// Chance of a false finding of what is read once.
    pub alpha_final: f64,
    /// All of it.
    pub alpha: f64,
    /// Chance of a finding.
    pub power: f64,
    /// Users that each arm needs.
    pub planned_units: u64,
    /// The shortest time until an arm wins, in whole weeks if it is a day or more.
    pub min_duration: Duration,
    /// The longest time until it is over.
    pub max_duration: Duration,
    /// Within what arms are equivalent.
    pub equivalence_margin: Option<f64>,
    /// Whether a winner gets everybody at once.
    pub promotion: Promotion,
    /// How often things are done.
    pub cadence: CadenceSettings,
}

/// An arm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArmSettings {
    /// The variant's name.
    pub name: String,
    /// Its share of those who take part, relative to the sum of all arms' weights.
    pub weight: u32,
    /// What it owns by that: users are split by these, and it has one at least.
    pub buckets: Buckets,
}

/// Who is kept out of all experiments that name the same holdout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldoutSettings {
    /// Its name.
    pub name: String,
    /// How many of the users.
    pub buckets: Buckets,
}

/// A step of the ramp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StageSettings {
    /// Who takes part.
    pub buckets: Buckets,
    /// How long at least.
    pub hold: Duration,
}

/// A metric that an arm must improve.
#[derive(Clone, Debug)]
pub struct SuccessSettings {
    /// The metric.
    pub metric: MetricSettings,
    /// By more than this, relatively.
    pub min_effect: f64,
}

/// A metric that an arm must not harm.
#[derive(Clone, Debug)]
pub struct GuardrailSettings {
    /// The metric.
    pub metric: MetricSettings,
    /// By more than this, relatively.
    pub margin: f64,
}

/// How outcomes become a number for each user.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricSettings {
    /// Its name.
    pub name: String,
    /// How.
    pub kind: MetricKind,
    /// Type of the outcomes that make y.
    pub outcome: String,
    /// Of a ratio, type of the outcomes that make m.
    pub below: Option<String>,
    /// How long outcomes count after the first exposure.
    pub window: Duration,
    /// How long outcomes are counted before it.
    pub lookback: Option<Duration>,
    /// The most that y may be.
    pub cap: Option<f64>,
}

/// Bounds on errors and latency.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OperationsSettings {
    /// Share of errors that ends an arm.
    pub max_error_rate: f64,
    /// Allowed ratio of errors, fallbacks and empty answers to the control's.
    pub error_ratio: f64,
    /// Allowed ratio of slow answers.
    pub latency_ratio: f64,
    /// What is slow.
    pub slow: Duration,
    /// Chance of a false alarm.
    pub alpha: f64,
}

/// How often things are done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CadenceSettings {
    /// How long routers gather events.
    pub flush: Duration,
    /// How late an event may come.
    pub lateness: Duration,
    /// How often events are analyzed.
    pub analysis: Duration,
    /// How long a look is.
    pub look: Duration,
    /// How long the last step is kept before an arm can win.
    pub settle: Duration,
}

impl CadenceSettings {
    /// Data older than this are stale.
    pub fn patience(&self) -> Duration {
        3 * (self.flush + self.analysis)
    }
}

impl Settings {
    /// Reads an experiment.
    pub fn of(experiment: &Experiment) -> Result<Self, SettingsError> {
        let arms = arms(experiment)?;
        let success: Vec<SuccessSettings> = experiment.metrics.success.iter().map(success).collect();
        let guardrails: Vec<GuardrailSettings> = experiment
            .metrics
            .guardrails
            .iter()
            .map(|guardrail| GuardrailSettings {
                metric: metric(&guardrail.metric()),
                margin: guardrail.margin.fraction(),
            })
            .collect();
        check_names(&success, &guardrails)?;
        check_ratios(experiment)?;
        let design = &experiment.design;
        let method = design.method.unwrap_or_default();
        let alpha = alpha(design)?;
        let power = design.power.as_ref().map_or(0.8, |power| power.value());
        let (alpha_sequence, alpha_final) = match method {
            Method::Hybrid => (alpha / 5.0, alpha * 4.0 / 5.0),
            Method::Sequential => (alpha, 0.0),
            Method::Fixed => (0.0, alpha),
        };
        let comparisons = (success.len() * arms.treatments().count()) as f64;
        let settings = Self {
            name: experiment.name.to_string(),
            restart_token: experiment.restart_token.clone(),
            salt: experiment.salt.as_ref().map(ToString::to_string),
            unit_header: experiment.unit.as_ref().map(|unit| unit.header.to_string()),
            holdout: experiment.holdout.as_ref().map(|holdout| HoldoutSettings {
                name: holdout.name.to_string(),
                buckets: Buckets::from(&holdout.percent),
            }),
            stages: stages(experiment)?,
            operations: operations(experiment),
            method,
            alpha_sequence,
            alpha_final,
            alpha,
            power,
            planned_units: planned_units(
                experiment,
                critical_value(method, alpha_final, alpha, comparisons),
                power,
            )?,
            min_duration: whole_weeks(length(design.min_duration.as_ref(), WEEK)),
            max_duration: length(design.max_duration.as_ref(), 6 * WEEK),
            equivalence_margin: design.equivalence_margin.as_ref().map(Percent::fraction),
            promotion: experiment.promotion.unwrap_or_default(),
            cadence: cadence(experiment),
            arms,
            success,
            guardrails,
        };
        Ok(settings)
    }

    /// What users are split by, in the pipeline `namespace/name`.
    pub fn salt_in(&self, pipeline: &str) -> String {
        let own = || format!("{pipeline}/{}", self.name);
        self.salt.clone().unwrap_or_else(own)
    }

    /// All metrics: success, then guardrails. Evidence has them in this order.
    pub fn metrics(&self) -> impl Iterator<Item = &MetricSettings> {
        let success = self.success.iter().map(|success| &success.metric);
        success.chain(self.guardrails.iter().map(|guardrail| &guardrail.metric))
    }

    /// Pairs of success metric and treatment arm: alpha is split among them (Bonferroni).
    pub fn comparisons(&self) -> usize {
        self.success.len() * self.arms.treatments().count()
    }

    /// Names of the arms, the control first.
    pub fn arm_names(&self) -> Vec<&str> {
        self.arms.iter().map(|arm| arm.name.as_str()).collect()
    }

    /// The control's name.
    pub fn control(&self) -> &str {
        &self.arms.control.name
    }

    /// Users of an arm and the control together at which sequences are narrowest.
    pub fn tuned_at(&self) -> f64 {
        let both = 2.0 * self.planned_units as f64;
        match self.method {
            Method::Hybrid => both / 2.0,
            Method::Sequential | Method::Fixed => both,
        }
    }

    /// The last step of the ramp.
    pub fn last_stage(&self) -> u32 {
        (self.stages.len() - 1) as u32
    }
}

fn arms(experiment: &Experiment) -> Result<PerArm<ArmSettings>, SettingsError> {
    let names = || experiment.arms.iter().map(|arm| arm.variant.clone());
    let no_control = || SettingsError::Control {
        control: experiment.control.clone(),
        arms: names().collect(),
    };
    let control = names().position(|name| name == experiment.control);
    let control = control.ok_or_else(no_control)?;
    let weight = |weight| u32::try_from(weight).unwrap_or(0);
    let mut arms: Vec<(String, u32)> = names()
        .zip(experiment.arms.iter().map(|arm| weight(arm.weight)))
        .collect();
    arms[..=control].rotate_right(1);
    let weights: Vec<u32> = arms.iter().map(|(_, weight)| *weight).collect();
    let owned = assignment::sizes(&weights).unwrap_or_else(|_| vec![0; weights.len()]);
    let settings = |((name, weight), owned): ((String, u32), u16)| {
        if owned == 0 {
            return Err(no_bucket(name, weight, &weights));
        }
        Ok(ArmSettings {
            name,
            weight,
            buckets: Buckets::new(owned),
        })
    };
    let arms: Vec<ArmSettings> = arms
        .into_iter()
        .zip(owned)
        .map(settings)
        .collect::<Result<_, _>>()?;
    PerArm::from_list(arms).ok_or_else(no_control)
}

fn no_bucket(arm: String, weight: u32, weights: &[u32]) -> SettingsError {
    let sum: u64 = weights.iter().copied().map(u64::from).sum();
    let others = sum - u64::from(weight);
    SettingsError::NoBucket {
        arm,
        weight,
        sum,
        least: others.div_ceil(u64::from(BUCKETS) - 1).max(1),
    }
}

fn alpha(design: &Design) -> Result<f64, SettingsError> {
    let Some(alpha) = &design.alpha else {
        return Ok(0.05);
    };
    // A guardrail spends it on each of two sides.
    if alpha.value() >= 0.5 {
        return Err(SettingsError::Alpha(alpha.to_string()));
    }
    Ok(alpha.value())
}

fn check_ratios(experiment: &Experiment) -> Result<(), SettingsError> {
    let metrics = &experiment.metrics;
    let guardrails = metrics.guardrails.iter().map(|guardrail| guardrail.metric());
    let mut all = metrics.success.iter().cloned().chain(guardrails);
    match all.find(|metric| metric.kind == MetricKind::Ratio && metric.cuped.is_some()) {
        Some(metric) => Err(SettingsError::RatioWithCuped(metric.name.to_string())),
        None => Ok(()),
    }
}

fn success(metric_of: &Metric) -> SuccessSettings {
    SuccessSettings {
        metric: metric(metric_of),
        min_effect: metric_of.min_effect.as_ref().map_or(0.0, Percent::fraction),
    }
}

fn metric(metric: &Metric) -> MetricSettings {
    let outcome = match metric.kind {
        MetricKind::Ratio => &metric.numerator,
        MetricKind::Conversion | MetricKind::Count | MetricKind::Sum => &metric.event,
    };
    let text = |kind: &Option<_>| kind.as_ref().map(ToString::to_string);
    MetricSettings {
        name: metric.name.to_string(),
        kind: metric.kind,
        // The schema asks for it.
        outcome: text(outcome).unwrap_or_default(),
        below: text(&metric.denominator).filter(|_| metric.kind == MetricKind::Ratio),
        window: metric.window.duration(),
        lookback: metric.cuped.as_ref().map(|cuped| cuped.lookback.duration()),
        cap: metric.cap.as_ref().map(|cap| cap.value()),
    }
}

fn check_names(success: &[SuccessSettings], guardrails: &[GuardrailSettings]) -> Result<(), SettingsError> {
    let mut names: Vec<&str> = success
        .iter()
        .map(|success| success.metric.name.as_str())
        .collect();
    names.extend(guardrails.iter().map(|guardrail| guardrail.metric.name.as_str()));
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(SettingsError::MetricTwice(pair[0].to_owned())),
        None => Ok(()),
    }
}

fn stages(experiment: &Experiment) -> Result<Vec<StageSettings>, SettingsError> {
    let traffic = experiment.traffic.clone().unwrap_or_default();
    let full = traffic
        .percent
        .map_or((Buckets::ALL, "100%".to_owned()), |percent| {
            (Buckets::from(&percent), percent.to_string())
        });
    if full.0 == Buckets::NONE {
        return Err(SettingsError::Nobody(full.1));
    }
    let default = || {
        let stages = [(100, HOUR), (500, DAY), (2000, DAY)].map(|(count, hold)| (Buckets::new(count), hold));
        // Steps that are not on the way are left out.
        let on_the_way = stages.into_iter().filter(|(buckets, _)| *buckets < full.0);
        let named = |(buckets, hold): (Buckets, Duration)| {
            let stage = StageSettings { buckets, hold };
            (stage, share(buckets.share()))
        };
        on_the_way.map(named).collect::<Vec<_>>()
    };
    let mut stages = traffic.ramp.map_or_else(default, |ramp| {
        let stage = |stage: gondola_crds::experiment::Stage| {
            let settings = StageSettings {
                buckets: Buckets::from(&stage.percent),
                hold: stage.hold.duration(),
            };
            (settings, stage.percent.to_string())
        };
        ramp.into_iter().map(stage).collect()
    });
    let last = StageSettings {
        buckets: full.0,
        hold: Duration::ZERO,
    };
    stages.push((last, full.1));
    for pair in stages.windows(2) {
        if pair[0].0.buckets >= pair[1].0.buckets {
            return Err(SettingsError::Ramp {
                first: pair[0].1.clone(),
                second: pair[1].1.clone(),
            });
        }
    }
    Ok(stages.into_iter().map(|(stage, _)| stage).collect())
}

fn operations(experiment: &Experiment) -> OperationsSettings {
    let operations = experiment.operations.clone().unwrap_or_default();
    let latency = operations.latency.as_ref();
    let ratio = latency.and_then(|latency| latency.ratio.as_ref());
    OperationsSettings {
        max_error_rate: operations.max_error_rate.as_ref().map_or(0.05, Percent::fraction),
        // Below 1 an arm would have to be better than the control.
        error_ratio: operations
            .error_ratio
            .as_ref()
            .map_or(1.2, |ratio| ratio.value().max(1.0)),
        latency_ratio: ratio.map_or(1.2, |ratio| ratio.value().max(1.0)),
        slow: latency.map_or(Duration::from_millis(300), |latency| latency.slo.duration()),
        alpha: operations.alpha.as_ref().map_or(0.01, |alpha| alpha.value()),
    }
}

/// How far a difference must reach to be found, by what decides at the planned number of users.
fn critical_value(method: Method, alpha_final: f64, alpha: f64, comparisons: f64) -> f64 {
    match method {
        Method::Hybrid | Method::Fixed => quantile(1.0 - alpha_final / comparisons / 2.0),
        Method::Sequential => Sequence::critical_value_when_tuned(alpha / comparisons),
    }
}

fn planned_units(experiment: &Experiment, critical_value: f64, power: f64) -> Result<u64, SettingsError> {
    let design = &experiment.design;
    if let Some(units) = design.units {
        return Ok(u64::try_from(units).unwrap_or(0));
    }
    let missing = SettingsError::Plan("a plan is missing; set minDetectableLift and baseline, or units");
    let (Some(lift), Some(baseline)) = (&design.min_detectable_lift, &design.baseline) else {
        return Err(missing);
    };
    let (lift, baseline) = (lift.fraction(), baseline.value());
    let first = experiment
        .metrics
        .success
        .first()
        .ok_or(SettingsError::Plan("there is no success metric; give one"))?;
    let plan = if first.kind == MetricKind::Conversion {
        if baseline <= 0.0 || baseline * (1.0 + lift) >= 1.0 {
            return Err(SettingsError::Plan(
                "baseline of a conversion must lie between 0 and 1, with minDetectableLift on top",
            ));
        }
        Plan::conversion(baseline, lift, critical_value, power)
    } else {
        let deviation = design.deviation.as_ref().ok_or(SettingsError::Plan(
            "deviation is missing, which planning needs for all but conversions; give it, or units",
        ))?;
        Plan::mean(baseline, deviation.value(), lift, critical_value, power)
    };
    plan.units_per_arm().ok_or(SettingsError::Plan(
        "no number of users can show a lift of nothing; give a larger minDetectableLift and a baseline above 0",
    ))
}

fn cadence(experiment: &Experiment) -> CadenceSettings {
    let cadence = experiment.cadence.clone().unwrap_or_default();
    let second = Duration::from_secs(1);
    let traffic = experiment.traffic.as_ref();
    let period = |period: &Option<Period>, default| period.as_ref().map_or(default, Period::duration);
    CadenceSettings {
        flush: period(&cadence.flush, 60 * second),
        lateness: length(cadence.lateness.as_ref(), HOUR),
        analysis: period(&cadence.analysis, 300 * second),
        look: period(&cadence.look, DAY),
        settle: length(traffic.and_then(|traffic| traffic.settle.as_ref()), DAY),
    }
}

fn length(length: Option<&Length>, default: Duration) -> Duration {
    length.map_or(default, Length::duration)
}

/// Rounded up to whole weeks where it is a day or more: weekdays and weekends differ.
pub(crate) fn whole_weeks(duration: Duration) -> Duration {
    if duration < DAY {
        return duration;
    }
    WEEK.saturating_mul(u32::try_from(weeks(duration)).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests;
