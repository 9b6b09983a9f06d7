//! What the evidence says, by the design that was chosen before: a pure function of evidence and settings.
//!
//! Nothing here is decided; [`crate::decide`] does that. Every look of the evidence is read in order, so that the smallest p and
//! the intersection of intervals so far, and the one read at the planned number of users, come out the same however often
//! and whenever this is called.

mod metric;

use gondola_wire::arms::{PerArm, Treatment};
use gondola_wire::evidence::{Evidence, Point};
use jiff::Timestamp;

use crate::operations::{Alarm, alarm};
use crate::settings::{GuardrailSettings, Settings, SuccessSettings};
use crate::statistics::guardrail::{self, GuardrailVerdict};
use crate::statistics::sample_ratio::{DETECT, SampleRatio};
use crate::statistics::sequence::{OneSided, Sequence};
use crate::statistics::welch::{holm, welch};
use crate::statistics::{Contrast, Estimate, Interval, Sums, lift};
use metric::{Grounds, estimates};

/// What the evidence says.
#[derive(Clone, Debug)]
pub struct Assessment {
    /// Up to when.
    pub at: Timestamp,
    /// Users of each arm whose window of the first success metric is over.
    pub matured: PerArm<u64>,
    /// Each success metric in each treatment arm.
    pub success: Vec<Comparison>,
    /// Each guardrail in each treatment arm.
    pub guardrails: Vec<GuardrailComparison>,
    /// Whether users are split as planned.
    pub sample_ratio: SampleRatioAssessment,
    /// An arm that has more errors than it may.
    pub alarm: Option<Alarm>,
    /// When every arm had its planned number of users, if it did.
    pub plan_fulfilled_at: Option<Timestamp>,
}

/// A success metric in an arm.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// The metric's name.
    pub metric: String,
    /// The arm.
    pub arm: Treatment,
    /// The latest numbers.
    pub latest: Option<Reading>,
    /// What is known of the lift at any time: the intersection of all intervals so far. `None` where it is not bounded yet.
    pub interval: Option<Interval>,
    /// The smallest p so far.
    pub p: f64,
    /// Whether it is better than it must be, for certain, at any time.
    pub better: bool,
    /// Whether it is worse than the control, for certain, at any time.
    pub worse: bool,
    /// The one read at the planned number of users.
    pub final_read: Option<FinalRead>,
    /// The 90 % interval of the lift by the latest numbers, for equivalence at the end of the longest time.
    pub ninety: Option<Interval>,
    /// The course over time.
    pub course: Vec<CoursePoint>,
}

/// Numbers of two arms.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// The control.
    pub control: Estimate,
    /// The treatment.
    pub treatment: Estimate,
    /// Relative improvement; `None` where the control's mean is 0.
    pub lift: Option<f64>,
}

/// A point of the course over time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CoursePoint {
    /// When.
    pub at: Timestamp,
    /// Users of both arms.
    pub n: u64,
    /// The lift by then.
    pub lift: Option<f64>,
    /// Its interval at this look alone, valid at any time.
    pub interval: Option<Interval>,
}

/// What Welch's test said at the planned number of users.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FinalRead {
    /// Two-sided.
    pub p: f64,
    /// Corrected for the number of comparisons (Holm).
    pub corrected: f64,
    /// Whether the arm is better than it must be.
    pub better: bool,
    /// The 90 % interval of the lift, for equivalence.
    pub ninety: Option<Interval>,
}

/// A guardrail in an arm.
#[derive(Clone, Debug)]
pub struct GuardrailComparison {
    /// The guardrail's name.
    pub metric: String,
    /// The arm.
    pub arm: Treatment,
    /// The loss that is tolerated.
    pub margin: f64,
    /// The latest numbers.
    pub latest: Option<Reading>,
    /// Bounds of the relative difference, each valid at any time: the intersection so far, where it is bounded.
    pub interval: Option<Interval>,
    /// What follows.
    pub verdict: GuardrailVerdict,
}

/// Whether users are split as planned.
#[derive(Clone, Debug, PartialEq)]
pub struct SampleRatioAssessment {
    /// Users of each arm.
    pub counts: Vec<u64>,
    /// The smallest p so far.
    pub p: f64,
    /// The p of the latest counts.
    pub p_now: f64,
    /// The p of a chi-square test of the latest counts alone.
    pub chi_square_p: f64,
    /// Whether they are not.
    pub detected: bool,
    /// The smallest p by each look.
    pub course: Vec<(Timestamp, f64)>,
}

/// Reads the evidence.
pub fn assess(settings: &Settings, evidence: &Evidence) -> Assessment {
    let trajectories: Vec<Trajectory> = (0..evidence.metrics.len())
        .map(|metric| trajectory(evidence, metric))
        .collect();
    let (of_success, of_guardrails) = trajectories.split_at(settings.success.len().min(trajectories.len()));
    let plan_fulfilled = plan_fulfilled(settings, of_success);
    let treatments = || settings.arms.treatments().map(|(arm, _)| arm);
    let mut success = Vec::new();
    for (metric, course) in settings.success.iter().zip(of_success) {
        success.extend(treatments().map(|arm| compare(settings, metric, course, arm, plan_fulfilled)));
    }
    correct_final_reads(settings, &mut success);
    let mut guardrails = Vec::new();
    for (metric, course) in settings.guardrails.iter().zip(of_guardrails) {
        guardrails.extend(treatments().map(|arm| guard(settings, metric, course, arm)));
    }
    let matured = of_success.first().and_then(|course| course.last());
    Assessment {
        at: evidence.analyzed_at,
        matured: matured.map_or_else(|| settings.arms.map(|_| 0), |(_, sums)| sums.map(|sums| sums.n)),
        success,
        guardrails,
        sample_ratio: sample_ratio(settings, evidence),
        alarm: alarm(&evidence.operations, &settings.operations),
        plan_fulfilled_at: plan_fulfilled.map(|look| of_success[0][look].0.at),
    }
}

/// Sums of each arm for one metric, up to and with each look.
type Trajectory = Vec<(Point, PerArm<Sums>)>;

fn trajectory(evidence: &Evidence, metric: usize) -> Trajectory {
    evidence.sums_over_time(metric).collect()
}

/// The first finished look at which every arm has the planned number of users in every success metric. It is read once: what comes
/// after does not change it.
fn plan_fulfilled(settings: &Settings, trajectories: &[Trajectory]) -> Option<usize> {
    let looks = trajectories.first()?.len();
    (0..looks).find(|look| {
        trajectories.iter().all(|course| {
            let (point, arms) = &course[*look];
            point.complete && arms.iter().all(|sums| sums.n >= settings.planned_units)
        })
    })
}

fn compare(
    settings: &Settings,
    success: &SuccessSettings,
    course: &Trajectory,
    arm: Treatment,
    plan_fulfilled: Option<usize>,
) -> Comparison {
    let sequence = sequence(settings);
    let decides = settings.alpha_sequence > 0.0;
    let mut comparison = Comparison {
        metric: success.metric.name.clone(),
        arm,
        latest: None,
        interval: None,
        p: 1.0,
        better: false,
        worse: false,
        final_read: None,
        ninety: None,
        course: Vec::with_capacity(course.len()),
    };
    for (look, (point, sums)) in course.iter().enumerate() {
        let Some((control, treatment)) = estimates(&success.metric, sums, arm) else {
            continue;
        };
        let reading = reading(control, treatment);
        comparison.latest = Some(reading);
        let grounds = Grounds::of(&success.metric, sums, arm);
        let plain = Contrast::new(&control, &treatment, 1.0);
        let interval =
            lift::interval(&control, &treatment, sequence.critical_value(plain.n)).filter(|_| grounds.bounds);
        comparison.course.push(CoursePoint {
            at: point.at,
            n: plain.n,
            lift: reading.lift,
            interval,
        });
        if !grounds.blame || plain.variance <= 0.0 {
            continue;
        }
        comparison.p = comparison.p.min(sequence.p(&plain));
        comparison.interval = intersect(comparison.interval, interval);
        comparison.worse |= sequence.interval(&plain).high < 0.0;
        if !grounds.praise {
            continue;
        }
        let needed = Contrast::new(&control, &treatment, control.factor(success.min_effect));
        comparison.better |= decides && sequence.interval(&needed).low > 0.0;
        comparison.ninety = ninety(&control, &treatment);
        if plan_fulfilled == Some(look) {
            comparison.final_read = final_read(&control, &treatment, success.min_effect);
        }
    }
    comparison
}

/// The sequence of one comparison. A fixed design shows it as well, and only lets it end an arm that is worse.
fn sequence(settings: &Settings) -> Sequence {
    let alpha = if settings.alpha_sequence > 0.0 {
        settings.alpha_sequence
    } else {
        settings.alpha
    };
    Sequence::new(alpha / settings.comparisons() as f64, settings.tuned_at())
}

fn reading(control: Estimate, treatment: Estimate) -> Reading {
    Reading {
        control,
        treatment,
        lift: lift::lift(&control, &treatment),
    }
}

fn intersect(before: Option<Interval>, new: Option<Interval>) -> Option<Interval> {
    match (before, new) {
        (Some(before), Some(new)) => Some(before.intersection(new)),
        (before, new) => before.or(new),
    }
}

fn final_read(control: &Estimate, treatment: &Estimate, min_effect: f64) -> Option<FinalRead> {
    let test = welch(control, treatment, control.factor(min_effect))?;
    Some(FinalRead {
        p: test.p,
        corrected: test.p,
        better: test.difference > 0.0,
        ninety: ninety(control, treatment),
    })
}

fn ninety(control: &Estimate, treatment: &Estimate) -> Option<Interval> {
    let plain = welch(control, treatment, 1.0)?;
    lift::interval(control, treatment, plain.critical_value(0.1))
}

fn correct_final_reads(settings: &Settings, success: &mut [Comparison]) {
    let p: Vec<f64> = success
        .iter()
        .map(|comparison| comparison.final_read.map_or(1.0, |read| read.p))
        .collect();
    for (comparison, corrected) in success.iter_mut().zip(holm(&p)) {
        if let Some(read) = &mut comparison.final_read {
            read.corrected = corrected;
            read.better &= corrected <= settings.alpha_final;
        }
    }
}

fn guard(
    settings: &Settings,
    guardrail: &GuardrailSettings,
    course: &Trajectory,
    arm: Treatment,
) -> GuardrailComparison {
    // All guardrails must pass, so that none needs a part of alpha of its own.
    let one_sided = OneSided::new(settings.alpha, settings.tuned_at());
    let shown = Sequence::new((2.0 * settings.alpha).min(0.5), settings.tuned_at());
    let mut comparison = GuardrailComparison {
        metric: guardrail.metric.name.clone(),
        arm,
        margin: guardrail.margin,
        latest: None,
        interval: None,
        verdict: GuardrailVerdict::Undecided,
    };
    for (_, sums) in course {
        let Some((control, treatment)) = estimates(&guardrail.metric, sums, arm) else {
            continue;
        };
        comparison.latest = Some(reading(control, treatment));
        let grounds = Grounds::of(&guardrail.metric, sums, arm);
        if !grounds.blame {
            continue;
        }
        let critical_value = shown.critical_value(control.n + treatment.n);
        let interval = lift::interval(&control, &treatment, critical_value).filter(|_| grounds.bounds);
        comparison.interval = intersect(comparison.interval, interval);
        let read = guardrail::read(&control, &treatment, guardrail.margin, &one_sided);
        comparison.verdict = match (comparison.verdict, read.verdict) {
            // Each is true at any time once it is true at one; harm is not forgotten.
            (GuardrailVerdict::Harm, _) | (_, GuardrailVerdict::Harm) => GuardrailVerdict::Harm,
            (GuardrailVerdict::NonInferior, _) => GuardrailVerdict::NonInferior,
            (GuardrailVerdict::Undecided, GuardrailVerdict::NonInferior) if grounds.praise => {
                GuardrailVerdict::NonInferior
            }
            (GuardrailVerdict::Undecided, _) => GuardrailVerdict::Undecided,
        };
    }
    comparison
}

fn sample_ratio(settings: &Settings, evidence: &Evidence) -> SampleRatioAssessment {
    let owned: Vec<u16> = settings.arms.iter().map(|arm| arm.buckets.count()).collect();
    let mut test = SampleRatio::new(&owned);
    let mut counts = vec![0; owned.len()];
    let mut course = Vec::with_capacity(evidence.looks.len());
    let mut p = 1.0;
    for (at, by_then) in evidence.units_over_time() {
        let by_then: Vec<u64> = by_then.iter().copied().collect();
        p = test.look(&by_then);
        course.push((at, p));
        counts = by_then;
    }
    SampleRatioAssessment {
        p,
        p_now: test.p(&counts),
        chi_square_p: test.chi_square(&counts).1,
        detected: p < DETECT,
        counts,
        course,
    }
}

#[cfg(test)]
mod tests;
