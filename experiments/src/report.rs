//! What people see of a step: the status, and the conditions.

use gondola_crds::experiment_status::{
    ArmStatus, DecisionStatus, ExperimentStatus, LiftBasisPoints, MetricStatus, OperationsStatus, Phase,
    SampleRatioStatus,
};
use gondola_wire::arms::Treatment;
use gondola_wire::decision::{Reason, Verdict};
use gondola_wire::evidence::Evidence;
use gondola_wire::time::{after, since};
use jiff::Timestamp;
use strum::{IntoStaticStr, VariantNames};

use crate::assess::{Assessment, Comparison, GuardrailComparison, Reading};
use crate::percent::{share, signed};
use crate::settings::{ArmSettings, Settings};
use crate::statistics::Interval;
use crate::statistics::operations::log_evidence;
use crate::statistics::sample_ratio::WARN;
use crate::step::{Routing, Step, WaitsFor};

/// Whether something holds; `None` where that can't be told.
pub type Truth = Option<bool>;

/// A condition of the pipeline that comes from its experiment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Its type.
    pub kind: ConditionKind,
    /// Whether it holds.
    pub truth: Truth,
    /// Why, in one word.
    pub reason: &'static str,
    /// Why, for people.
    pub message: String,
}

impl Condition {
    fn new(kind: ConditionKind, truth: Truth, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            kind,
            truth,
            reason,
            message: message.into(),
        }
    }
}

/// Types of an experiment's conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantNames)]
pub enum ConditionKind {
    /// Everything that it needs is there.
    ExperimentReady,
    /// It is on its way to its full share of users.
    RampProgressing,
    /// What was analyzed is recent enough to decide on.
    DataFresh,
    /// Users are not split as planned.
    SampleRatioMismatch,
    /// No arm fails or is slow more often than it may.
    OperationsHealthy,
    /// No guardrail is harmed.
    GuardrailsPass,
    /// An arm differs from the control.
    Significant,
    /// An arm won, and somebody has to promote it.
    PromotionReady,
    /// Users get something else than the spec says.
    SpecDrift,
}

impl ConditionKind {
    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Types of all conditions of an experiment, as the API calls them.
pub const CONDITIONS: &[&str] = ConditionKind::VARIANTS;

/// The status after a step.
pub fn status(settings: &Settings, step: &Step, evidence: Option<&Evidence>) -> ExperimentStatus {
    let Step {
        ledger, assessment, ..
    } = step;
    let evidence = evidence.filter(|_| assessment.is_some());
    let first = assessment
        .as_ref()
        .and_then(|assessment| assessment.success.first());
    let text = |moment: Option<Timestamp>| moment.map(in_seconds);
    let (revision, traffic) = match &step.routing {
        Routing::Experiment(routes) => (
            Some(routes.revision.clone()),
            share(routes.traffic_buckets.share()),
        ),
        Routing::Everybody(_) => (None, "0%".to_owned()),
    };
    ExperimentStatus {
        name: ledger.experiment.clone(),
        phase: step.reported_phase(settings),
        epoch: small(ledger.epoch),
        config_revision: revision,
        traffic_percent: Some(traffic),
        stage: small(ledger.stage),
        stage_start_time: text(ledger.stage_since),
        start_time: text(ledger.started_at),
        planned_units: Some(large(settings.planned_units)),
        expected_decision_time: text(expected_decision(settings, step)),
        units: assessment
            .as_ref()
            .map(|assessment| grouped(assessment.matured.iter().sum())),
        matured_units: assessment
            .as_ref()
            .map(|assessment| large(assessment.matured.iter().sum())),
        lift_basis_points: first.and_then(basis_points),
        lift: first.and_then(|first| Some(signed(first.latest?.lift?))),
        interval: first.and_then(|first| first.interval).map(in_brackets),
        arms: arms(settings, assessment.as_ref(), evidence),
        success: assessment
            .as_ref()
            .map_or_else(Vec::new, |assessment| success_statuses(settings, assessment)),
        guardrails: assessment
            .as_ref()
            .map_or_else(Vec::new, |assessment| guardrail_statuses(settings, assessment)),
        sample_ratio: assessment.as_ref().map(|assessment| SampleRatioStatus {
            p_value: probability(assessment.sample_ratio.p),
            chi2_p_value: probability(assessment.sample_ratio.chi_square_p),
            detected: assessment.sample_ratio.detected,
        }),
        operations: evidence.map_or_else(Vec::new, |evidence| operations(settings, evidence)),
        decision: ledger.decision.as_ref().map(|decision| DecisionStatus {
            verdict: decision.verdict.as_str().to_owned(),
            reason: decision.reason.as_str().to_owned(),
            message: decision.message.clone(),
            time: in_seconds(decision.time),
        }),
        winner: ledger.winner.clone(),
        last_analysis_time: evidence.map(|evidence| in_seconds(evidence.analyzed_at)),
        results_uri: evidence.and_then(|evidence| evidence.results.clone()),
        history: ledger.history.clone(),
    }
}

fn success_statuses(settings: &Settings, assessment: &Assessment) -> Vec<MetricStatus> {
    let status = |comparison: &Comparison| MetricStatus {
        lift_interval: comparison.interval.map(in_brackets).unwrap_or_default(),
        p_value: Some(probability(comparison.p)),
        verdict: success_verdict(comparison).to_owned(),
        ..metric_status(settings, &comparison.metric, comparison.arm, comparison.latest)
    };
    assessment.success.iter().map(status).collect()
}

fn guardrail_statuses(settings: &Settings, assessment: &Assessment) -> Vec<MetricStatus> {
    let status = |guardrail: &GuardrailComparison| MetricStatus {
        lift_interval: guardrail.interval.map(in_brackets).unwrap_or_default(),
        margin: Some(share(guardrail.margin)),
        verdict: format!("{:?}", guardrail.verdict),
        ..metric_status(settings, &guardrail.metric, guardrail.arm, guardrail.latest)
    };
    assessment.guardrails.iter().map(status).collect()
}

/// In one word, what is known of a success metric.
pub fn success_verdict(comparison: &Comparison) -> &'static str {
    if comparison.worse {
        "Worse"
    } else if comparison.better || comparison.final_read.is_some_and(|read| read.better) {
        "Better"
    } else {
        "Undecided"
    }
}

fn metric_status(settings: &Settings, metric: &str, arm: Treatment, latest: Option<Reading>) -> MetricStatus {
    let number = |number: f64| format!("{number:.5}");
    MetricStatus {
        name: metric.to_owned(),
        arm: settings.arms[arm].name.clone(),
        control: latest
            .map(|latest| number(latest.control.mean))
            .unwrap_or_default(),
        treatment: latest
            .map(|latest| number(latest.treatment.mean))
            .unwrap_or_default(),
        lift: latest
            .and_then(|latest| latest.lift)
            .map(signed)
            .unwrap_or_default(),
        ..MetricStatus::default()
    }
}

fn arms(settings: &Settings, assessment: Option<&Assessment>, evidence: Option<&Evidence>) -> Vec<ArmStatus> {
    let matured = assessment.map_or_else(
        || settings.arms.map(|_| 0),
        |assessment| assessment.matured.clone(),
    );
    let mut seen = evidence.iter().flat_map(|evidence| evidence.arms.iter());
    let arm = |(arm, matured): (&ArmSettings, &u64)| {
        let seen = seen.next().cloned().unwrap_or_default();
        ArmStatus {
            name: arm.name.clone(),
            units: large(seen.units),
            matured: large(*matured),
            exposures: large(seen.exposures),
            fallback_rate: share(seen.fallbacks as f64 / seen.exposures.max(1) as f64),
        }
    };
    settings.arms.iter().zip(matured.iter()).map(arm).collect()
}

fn operations(settings: &Settings, evidence: &Evidence) -> Vec<OperationsStatus> {
    let enough = (1.0 / settings.operations.alpha).ln();
    let of_kind = evidence.operations.weighed.iter().flat_map(|weighed| {
        weighed
            .arms
            .iter()
            .zip(settings.arms.treatments())
            .map(|(found, (_, arm))| OperationsStatus {
                name: weighed.kind.as_str().to_owned(),
                arm: arm.name.clone(),
                log_evidence: format!("{:.1}", log_evidence(found)),
                alarm: log_evidence(found) >= enough,
            })
    });
    of_kind.collect()
}

/// When the planned number of users will be reached at the pace so far, at the end of a whole week.
pub fn expected_decision(settings: &Settings, step: &Step) -> Option<Timestamp> {
    if step.ledger.phase.is_over() {
        return None;
    }
    let started = step.ledger.started_at?;
    let assessment = step.assessment.as_ref()?;
    let fewest = assessment
        .matured
        .iter()
        .copied()
        .min()
        .filter(|fewest| *fewest > 0)?;
    // What comes in a window's length after the first exposure has come since then.
    let first_window = settings.success.first()?.metric.window + settings.cadence.lateness;
    let maturing = since(after(started, first_window), assessment.at);
    let whole = maturing.mul_f64(settings.planned_units as f64 / fewest as f64);
    let needed = crate::settings::whole_weeks(first_window + whole)
        .max(settings.min_duration)
        .min(settings.max_duration);
    Some(after(started, needed))
}

/// Every condition, in the order of [`CONDITIONS`].
pub fn conditions(settings: &Settings, step: &Step, evidence: Option<&Evidence>) -> Vec<Condition> {
    vec![
        ready(settings, step, evidence),
        ramp(settings, step),
        fresh(step),
        sample_ratio(step),
        operations_healthy(step),
        guardrails(step),
        significant(step),
        promotion(step),
        drift(step),
    ]
}

fn ready(settings: &Settings, step: &Step, evidence: Option<&Evidence>) -> Condition {
    let kind = ConditionKind::ExperimentReady;
    let ledger = &step.ledger;
    let waits = |reason, message: String| Condition::new(kind, Some(false), reason, message);
    match step.waits_for {
        None => {}
        Some(WaitsFor::Memory) => {
            let message =
                "waits until the analyzer has looked in the experiment's store for an earlier decision";
            return waits("WaitingForStore", message.to_owned());
        }
        Some(WaitsFor::Arms) => {
            let arms = settings.arm_names().join(", ");
            return waits(
                "WaitingForArms",
                format!("waits until a pod of each arm answers: {arms}"),
            );
        }
        Some(WaitsFor::Record) => {
            let phase = ledger.phase.as_str();
            return waits(
                "WaitingForStore",
                format!(
                    "epoch {} becomes {phase}, and users are routed so already; waits until the analyzer has kept that in the experiment's store",
                    ledger.epoch
                ),
            );
        }
    }
    let problem = evidence.and_then(|evidence| {
        evidence
            .routers
            .iter()
            .find_map(|router| Some((&router.name, router.problem.as_ref()?)))
    });
    if let (Some((router, problem)), false) = (problem, ledger.phase.is_over()) {
        let message = format!("router {router} records nothing: {problem}");
        return Condition::new(kind, Some(false), "NotRecording", message);
    }
    Condition::new(
        kind,
        Some(true),
        ledger.phase.as_str(),
        format!("epoch {} is {}", ledger.epoch, ledger.phase.as_str()),
    )
}

fn ramp(settings: &Settings, step: &Step) -> Condition {
    let kind = ConditionKind::RampProgressing;
    let ledger = &step.ledger;
    let stages = settings.stages.len();
    match ledger.phase {
        Phase::Ramping => {
            let waits = match ledger.stage_since {
                None => "every router has this step",
                Some(_) => "it has been held long enough, and shows nothing bad",
            };
            let message = format!("step {} of {stages}, until {waits}", ledger.stage + 1);
            Condition::new(kind, Some(true), "Ramping", message)
        }
        Phase::Running => Condition::new(kind, Some(false), "Complete", "all users of its share take part"),
        Phase::Pending => Condition::new(kind, Some(false), "WaitingForArms", "it has not started"),
        Phase::Invalid => Condition::new(
            kind,
            Some(false),
            "Frozen",
            "it stays where it is, since users are not split as planned",
        ),
        over => Condition::new(kind, Some(false), over.as_str(), "it is over"),
    }
}

fn fresh(step: &Step) -> Condition {
    let kind = ConditionKind::DataFresh;
    match (step.fresh, step.ledger.phase.is_over()) {
        (_, true) => Condition::new(kind, Some(true), "NotNeeded", "the experiment is over"),
        (None, false) => Condition::new(kind, None, "NoAnalysis", "nothing has been analyzed yet"),
        (Some(true), false) => Condition::new(kind, Some(true), "Fresh", "events are analyzed in time"),
        (Some(false), false) => Condition::new(
            kind,
            Some(false),
            "Stale",
            "the last analysis is too old to decide on; look at the analyzer's pod and at the store",
        ),
    }
}

fn sample_ratio(step: &Step) -> Condition {
    let kind = ConditionKind::SampleRatioMismatch;
    let ratio = step
        .assessment
        .as_ref()
        .map(|assessment| &assessment.sample_ratio);
    match ratio.map(|ratio| ratio.detected) {
        None => Condition::new(kind, None, "NoAnalysis", "nothing has been analyzed yet"),
        Some(false) if ratio.is_some_and(|ratio| ratio.p_now < WARN) => Condition::new(
            kind,
            None,
            "InDoubt",
            "users may not be split as planned; outcomes are not compared until that is clear",
        ),
        Some(false) => Condition::new(kind, Some(false), "AsPlanned", "users are split as planned"),
        Some(true) => Condition::new(
            kind,
            Some(true),
            "Detected",
            "users are not split as planned; no number can be trusted",
        ),
    }
}

fn operations_healthy(step: &Step) -> Condition {
    let kind = ConditionKind::OperationsHealthy;
    let decision = step
        .ledger
        .decision
        .as_ref()
        .filter(|decision| matches!(decision.reason, Reason::OperationsHarm | Reason::ArmNotReady));
    match (decision, &step.assessment) {
        (Some(decision), _) => Condition::new(kind, Some(false), decision.reason.as_str(), &decision.message),
        (None, None) => Condition::new(kind, None, "NoAnalysis", "nothing has been analyzed yet"),
        (None, Some(_)) => Condition::new(kind, Some(true), "Quiet", "no arm has more errors than it may"),
    }
}

fn guardrails(step: &Step) -> Condition {
    use crate::statistics::guardrail::GuardrailVerdict::{Harm, Undecided};
    let kind = ConditionKind::GuardrailsPass;
    let Some(assessment) = &step.assessment else {
        return Condition::new(kind, None, "NoAnalysis", "nothing has been analyzed yet");
    };
    let named = |wanted| {
        assessment
            .guardrails
            .iter()
            .find(|guardrail| guardrail.verdict == wanted)
            .map(|guardrail| guardrail.metric.clone())
    };
    if let Some(metric) = named(Harm) {
        return Condition::new(kind, Some(false), "Harm", format!("{metric} is harmed"));
    }
    if let Some(metric) = named(Undecided) {
        return Condition::new(kind, None, "Undecided", format!("{metric} is not decided yet"));
    }
    Condition::new(kind, Some(true), "NonInferior", "no guardrail is harmed")
}

fn significant(step: &Step) -> Condition {
    let kind = ConditionKind::Significant;
    let Some(assessment) = &step.assessment else {
        return Condition::new(kind, None, "NoAnalysis", "nothing has been analyzed yet");
    };
    let found = assessment
        .success
        .iter()
        .find(|comparison| success_verdict(comparison) != "Undecided");
    match found {
        Some(comparison) => Condition::new(
            kind,
            Some(true),
            success_verdict(comparison),
            format!("{} differs from the control's", comparison.metric),
        ),
        None => Condition::new(kind, Some(false), "Undecided", "no difference is certain"),
    }
}

fn promotion(step: &Step) -> Condition {
    let kind = ConditionKind::PromotionReady;
    match &step.ledger.decision {
        Some(decision) if decision.verdict == Verdict::PromotionReady && !step.ledger.phase.is_over() => {
            Condition::new(kind, Some(true), "Better", &decision.message)
        }
        Some(decision) => Condition::new(
            kind,
            Some(false),
            decision.verdict.as_str(),
            "there is nothing to promote",
        ),
        None => Condition::new(kind, Some(false), "Undecided", "no arm has won yet"),
    }
}

fn drift(step: &Step) -> Condition {
    let kind = ConditionKind::SpecDrift;
    match (step.ledger.phase, &step.ledger.winner) {
        (Phase::Promoted, Some(winner)) => Condition::new(
            kind,
            Some(true),
            "WinnerNotInSpec",
            format!(
                "everybody gets {winner}, which the spec does not say; give {winner} all the weight and remove spec.experiment"
            ),
        ),
        _ => Condition::new(kind, Some(false), "AsSpecified", "the spec says what is served"),
    }
}

/// The verdict in one sentence, for the top of a page.
pub fn sentence(settings: &Settings, step: &Step) -> String {
    let ledger = &step.ledger;
    if let Some(decision) = &ledger.decision {
        let verdict = match decision.verdict {
            Verdict::RolledBack => "Rolled back",
            Verdict::Invalid => "Invalid",
            Verdict::PromotionReady => "Ready to promote",
            Verdict::Promoted => "Promoted",
            Verdict::Inconclusive => "Inconclusive",
            Verdict::Equivalent => "Equivalent",
        };
        return format!("{verdict}: {}.", decision.message);
    }
    if ledger.phase == Phase::Pending {
        return format!("Not begun: waits for {}.", settings.arm_names().join(" and "));
    }
    let matured = step
        .assessment
        .as_ref()
        .and_then(|assessment| assessment.matured.iter().copied().min())
        .unwrap_or(0);
    let part = (matured as f64 / settings.planned_units as f64).min(1.0) * 100.0;
    let when = expected_decision(settings, step)
        .map(|moment| format!("; expected {moment:.0}"))
        .unwrap_or_default();
    format!("No decision yet: {part:.0}% of the planned users{when}.")
}

/// As Kubernetes writes times: `2026-11-25T08:00:00Z`.
fn in_seconds(moment: Timestamp) -> String {
    format!("{moment:.0}")
}

/// A number as the API keeps it: it has no unsigned integers.
fn large(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn small(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// A relative difference in hundredths of a percent; none before there is a difference.
fn basis_points(comparison: &Comparison) -> Option<LiftBasisPoints> {
    let points = |lift: f64| (lift * 10_000.0).round() as i64;
    let interval = comparison.interval;
    Some(LiftBasisPoints {
        estimate: Some(points(comparison.latest?.lift?)),
        low: interval.map(|interval| points(interval.low)),
        high: interval.map(|interval| points(interval.high)),
    })
}

fn in_brackets(Interval { low, high }: Interval) -> String {
    format!("[{}, {}]", signed(low), signed(high))
}

fn probability(p: f64) -> String {
    if p < 0.0001 {
        format!("{p:.1e}")
    } else {
        format!("{p:.4}")
    }
}

/// A number with commas: 182,311.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
