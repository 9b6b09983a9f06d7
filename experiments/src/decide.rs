//! Decisions, in the order in which they must be asked: harm first, then whether the data can be trusted, then who wins.

use std::time::Duration;

use gondola_crds::experiment::Promotion;
use gondola_wire::arms::Treatment;
use gondola_wire::counts::Kind;
use gondola_wire::decision::{Decision, Reason, Verdict};
use jiff::Timestamp;

use crate::assess::{Assessment, Comparison};

use crate::percent::{share, signed};
use crate::settings::Settings;
use crate::statistics::Interval;
use crate::statistics::guardrail::GuardrailVerdict;
use crate::statistics::sample_ratio::WARN;

/// What decisions are made from.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// The moment.
    pub now: Timestamp,
    /// How long the experiment has run.
    pub running: Duration,
    /// How long all its users have taken part; `None` before the last step.
    pub settled: Option<Duration>,
    /// A treatment arm of which no pod has answered for too long.
    pub down: Option<Treatment>,
    /// What the evidence says; `None` without any.
    pub assessment: Option<&'a Assessment>,
    /// Whether the evidence is recent.
    pub fresh: bool,
    /// Whether an arm has won already and waits for a person: time alone doesn't take that back.
    pub won: bool,
}

/// The first decision that is due.
pub fn decide(settings: &Settings, situation: &Situation<'_>) -> Option<Decision> {
    let rules: [fn(&Settings, &Situation<'_>) -> Option<Finding>; 5] =
        [operations, sample_ratio, harm, winner, fulfilled];
    rules
        .iter()
        .find_map(|rule| rule(settings, situation))
        .map(|finding| Decision {
            verdict: finding.verdict,
            arm: finding.arm.map(|arm| settings.arms[arm].name.clone()),
            reason: finding.reason,
            message: finding.message,
            time: situation.now,
        })
}

/// What a rule found.
struct Finding {
    verdict: Verdict,
    arm: Option<Treatment>,
    reason: Reason,
    message: String,
}

/// Errors, latency and dead pods act at once, whatever else is known.
fn operations(settings: &Settings, situation: &Situation<'_>) -> Option<Finding> {
    let roll_back = |arm: Treatment, reason, message| Finding {
        verdict: Verdict::RolledBack,
        arm: Some(arm),
        reason,
        message,
    };
    if let Some(arm) = situation.down {
        let message = format!(
            "no pod of arm {} answers; everybody gets {}",
            settings.arms[arm].name,
            settings.control()
        );
        return Some(roll_back(arm, Reason::ArmNotReady, message));
    }
    let alarm = situation.assessment?.alarm.as_ref()?;
    let arm = &settings.arms[alarm.arm].name;
    let what = match alarm.kind {
        None => format!(
            "had more than {} errors in two successive ticks",
            share(settings.operations.max_error_rate)
        ),
        Some(kind) => format!(
            "has more {} than {} times the control's",
            match kind.as_str() {
                "slow" => "slow answers",
                "empty" => "empty answers",
                word => word,
            },
            match kind {
                Kind::Slow => settings.operations.latency_ratio,
                _ => settings.operations.error_ratio,
            }
        ),
    };
    let message = format!("arm {arm} {what}; everybody gets {}", settings.control());
    Some(roll_back(alarm.arm, Reason::OperationsHarm, message))
}

/// Where users are not split as planned, the data say nothing: neither that an arm wins nor that it does harm.
fn sample_ratio(settings: &Settings, situation: &Situation<'_>) -> Option<Finding> {
    let ratio = &situation.assessment?.sample_ratio;
    ratio.detected.then(|| Finding {
        verdict: Verdict::Invalid,
        arm: None,
        reason: Reason::SampleRatioMismatch,
        message: format!(
            "users are not split as planned: {:?} of {:?} at weights {:?} (p {:.2e}); find out why events are lost or made before \
             you trust any number",
            ratio.counts,
            settings.arm_names(),
            settings.arms.iter().map(|arm| arm.weight).collect::<Vec<_>>(),
            ratio.p
        ),
    })
}

/// Recent data: nothing is decided on old ones.
fn fresh<'a>(situation: &Situation<'a>) -> Option<&'a Assessment> {
    situation.assessment.filter(|_| situation.fresh)
}

/// Fresh data of users who seem to be split as planned: while that is in doubt, outcomes are not compared.
fn trusted<'a>(situation: &Situation<'a>) -> Option<&'a Assessment> {
    fresh(situation).filter(|assessment| !is_doubted(assessment))
}

/// Whether users may not be split as planned, by the latest counts: what was in doubt earlier may be clear by now.
fn is_doubted(assessment: &Assessment) -> bool {
    assessment.sample_ratio.p_now < WARN
}

fn harm(settings: &Settings, situation: &Situation<'_>) -> Option<Finding> {
    let assessment = trusted(situation)?;
    let guardrail = assessment
        .guardrails
        .iter()
        .find(|guardrail| guardrail.verdict == GuardrailVerdict::Harm);
    let roll_back = |arm: Treatment, reason, why: String| Finding {
        verdict: Verdict::RolledBack,
        arm: Some(arm),
        reason,
        message: format!("{why}; everybody gets {}", settings.control()),
    };
    if let Some(guardrail) = guardrail {
        let lift = guardrail.latest.and_then(|latest| latest.lift);
        let why = format!(
            "arm {} loses more of {} than the margin of {} ({})",
            settings.arms[guardrail.arm].name,
            guardrail.metric,
            share(guardrail.margin),
            lift.map_or_else(|| "no lift".to_owned(), signed)
        );
        return Some(roll_back(guardrail.arm, Reason::GuardrailHarm, why));
    }
    let worse = assessment.success.iter().find(|comparison| comparison.worse)?;
    let why = format!(
        "arm {} is worse in {}: {}",
        settings.arms[worse.arm].name,
        worse.metric,
        in_words(worse)
    );
    Some(roll_back(worse.arm, Reason::SuccessHarm, why))
}

fn winner(settings: &Settings, situation: &Situation<'_>) -> Option<Finding> {
    let assessment = trusted(situation)?;
    if situation.running < settings.min_duration
        || situation
            .settled
            .is_none_or(|settled| settled < settings.cadence.settle)
    {
        return None;
    }
    let best = assessment
        .success
        .iter()
        .filter(|comparison| is_better(comparison) && harmless(assessment, comparison.arm))
        .max_by(|a, b| lift_of(a).total_cmp(&lift_of(b)))?;
    let arm = &settings.arms[best.arm].name;
    let verdict = match settings.promotion {
        Promotion::Manual => Verdict::PromotionReady,
        Promotion::Automatic => Verdict::Promoted,
    };
    Some(Finding {
        verdict,
        arm: Some(best.arm),
        reason: Reason::Better,
        message: format!("arm {arm} is better in {}: {}", best.metric, in_words(best)),
    })
}

fn fulfilled(settings: &Settings, situation: &Situation<'_>) -> Option<Finding> {
    if situation.won {
        return None;
    }
    let time_over = situation.running >= settings.max_duration;
    let assessment = match fresh(situation) {
        Some(assessment) => assessment,
        None if time_over => {
            return Some(Finding {
                verdict: Verdict::Inconclusive,
                arm: None,
                reason: Reason::TimeOver,
                message: "the longest time is over, and there are no fresh data".to_owned(),
            });
        }
        None => return None,
    };
    // An arm that is better and waits for its guardrails, or for the last step to settle, is given until the end; and so are data in
    // doubt.
    let waiting = is_doubted(assessment) || assessment.success.iter().any(is_better);
    let planned = assessment.plan_fulfilled_at.is_some() && situation.running >= settings.min_duration;
    let reason = match (time_over, planned && !waiting) {
        (true, _) => Reason::TimeOver,
        (false, true) => Reason::PlanFulfilled,
        (false, false) => return None,
    };
    let why = match reason {
        Reason::PlanFulfilled => "every arm had its planned number of users",
        _ => "the longest time is over",
    };
    let (verdict, so) = if !is_doubted(assessment) && is_equivalent(settings, assessment, reason) {
        let so = "the arms are as good as each other".to_owned();
        (Verdict::Equivalent, so)
    } else {
        (Verdict::Inconclusive, why_nobody_won(settings, assessment))
    };
    let intervals: Vec<String> = assessment.success.iter().map(in_words).collect();
    let advice = match verdict {
        Verdict::Equivalent => "; choose the one that costs less",
        _ => "",
    };
    Some(Finding {
        verdict,
        arm: None,
        reason,
        message: format!("{why}, and {so} ({}){advice}", intervals.join(", ")),
    })
}

/// What kept the best arm from winning.
fn why_nobody_won(settings: &Settings, assessment: &Assessment) -> String {
    if is_doubted(assessment) {
        return "it is in doubt whether users are split as planned, so that outcomes are not compared"
            .to_owned();
    }
    let Some(better) = assessment.success.iter().find(|comparison| is_better(comparison)) else {
        return "no arm is better for certain".to_owned();
    };
    let arm = &settings.arms[better.arm].name;
    let mut guardrails = assessment.guardrails.iter();
    let undecided = guardrails
        .find(|guardrail| guardrail.arm == better.arm && guardrail.verdict != GuardrailVerdict::NonInferior);
    match undecided {
        Some(guardrail) => format!(
            "arm {arm} is better in {}, but not known to keep {} within its margin of {}",
            better.metric,
            guardrail.metric,
            share(guardrail.margin)
        ),
        None => format!(
            "arm {arm} is better in {}, but too late to be settled",
            better.metric
        ),
    }
}

fn is_better(comparison: &Comparison) -> bool {
    comparison.better || comparison.final_read.is_some_and(|read| read.better)
}

/// Whether every guardrail of an arm is known to hold.
fn harmless(assessment: &Assessment, arm: Treatment) -> bool {
    let mut of_arm = assessment
        .guardrails
        .iter()
        .filter(|guardrail| guardrail.arm == arm);
    of_arm.all(|guardrail| guardrail.verdict == GuardrailVerdict::NonInferior)
}

/// By the read at the planned number of users, where that was reached, else by the latest numbers.
fn is_equivalent(settings: &Settings, assessment: &Assessment, reason: Reason) -> bool {
    let Some(margin) = settings.equivalence_margin else {
        return false;
    };
    let within = Interval::around(0.0, margin);
    assessment.success.iter().all(|comparison| {
        let ninety = match (comparison.final_read, reason) {
            (Some(read), _) => read.ninety,
            (None, Reason::TimeOver) => comparison.ninety,
            (None, _) => None,
        };
        ninety.is_some_and(|ninety| ninety.lies_within(within))
    })
}

fn lift_of(comparison: &Comparison) -> f64 {
    comparison
        .latest
        .and_then(|latest| latest.lift)
        .unwrap_or(f64::NEG_INFINITY)
}

/// Lift and interval, for people.
fn in_words(comparison: &Comparison) -> String {
    let lift = comparison.latest.and_then(|latest| latest.lift);
    let lift = lift.map_or_else(|| "no lift yet".to_owned(), signed);
    match comparison.interval {
        Some(Interval { low, high }) => format!("{lift}, between {} and {}", signed(low), signed(high)),
        None => format!("{lift}, not bounded yet"),
    }
}

#[cfg(test)]
mod tests;
