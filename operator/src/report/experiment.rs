//! What is true of the experiment, in the pipeline's status.

use gondola_crds::experiment_status::{ExperimentStatus, Phase};
use gondola_experiments::report::{self, ConditionKind};

use crate::finding::{Finding, Severity, Truth};
use crate::pipeline::Pipeline;
use crate::plan::Plan;
use crate::plan::experiment::Planned;
use crate::reasons;

/// The experiment's part of the status; what was known stays where the spec can't be run.
///
/// Numbers change with each analysis, not with each tick of the operations' evidence in between: otherwise watchers of
/// the pipeline would see a change twice a minute for nothing.
pub(super) fn status(pipeline: &Pipeline, plan: &Plan) -> Option<ExperimentStatus> {
    let before = || pipeline.status.experiment.clone();
    // A step that isn't applied has not been made.
    let planned = match plan.experiment.as_ref()? {
        Ok(planned) if !pipeline.spec.suspend || planned.step.ledger.phase == Phase::RolledBack => planned,
        _ => return before(),
    };
    let Planned {
        settings,
        step,
        evidence,
    } = planned;
    let now = report::status(settings, step, evidence.as_ref());
    match before() {
        Some(before) if differs_in_numbers_alone(&before, &now) => Some(before),
        _ => Some(now),
    }
}

fn differs_in_numbers_alone(before: &ExperimentStatus, now: &ExperimentStatus) -> bool {
    let decided = |status: &ExperimentStatus| {
        let ExperimentStatus {
            name,
            phase,
            epoch,
            config_revision,
            stage,
            stage_start_time,
            decision,
            winner,
            last_analysis_time,
            ..
        } = status.clone();
        let place = (name, phase, epoch, config_revision, stage, stage_start_time);
        (place, decision, winner, last_analysis_time)
    };
    decided(before) == decided(now)
}

/// The conditions that an experiment adds.
pub(super) fn findings(pipeline: &Pipeline, plan: &Plan) -> Vec<(&'static str, Finding)> {
    match &plan.experiment {
        None => Vec::new(),
        Some(_) if pipeline.spec.suspend => Vec::new(),
        Some(Err(error)) => vec![(
            ConditionKind::ExperimentReady.as_str(),
            Finding::unmet(reasons::INVALID_EXPERIMENT, format!("spec.experiment: {error}")),
        )],
        Some(Ok(planned)) => report::conditions(&planned.settings, &planned.step, planned.evidence.as_ref())
            .into_iter()
            .map(|condition| {
                (
                    condition.kind.as_str(),
                    finding(condition, planned.step.ledger.phase),
                )
            })
            .collect(),
    }
}

fn finding(condition: report::Condition, phase: Phase) -> Finding {
    let truth = match condition.truth {
        Some(true) => Truth::True,
        Some(false) => Truth::False,
        None => Truth::Unknown,
    };
    Finding::new(
        truth,
        severity(&condition, phase),
        condition.reason,
        condition.message,
    )
}

fn severity(condition: &report::Condition, phase: Phase) -> Severity {
    use ConditionKind::{
        DataFresh, ExperimentReady, GuardrailsPass, OperationsHealthy, PromotionReady, RampProgressing,
        SampleRatioMismatch, Significant, SpecDrift,
    };
    match (condition.kind, condition.truth) {
        (_, None) | (RampProgressing | Significant | PromotionReady, Some(_)) => Severity::Usual,
        (SampleRatioMismatch | SpecDrift, Some(false)) => Severity::Usual,
        (SampleRatioMismatch | SpecDrift, Some(true)) => Severity::Warning,
        (DataFresh | OperationsHealthy | GuardrailsPass, Some(true)) => Severity::Usual,
        (DataFresh | OperationsHealthy | GuardrailsPass | ExperimentReady, Some(false)) => Severity::Warning,
        // It was stopped, or its data can't be trusted: it is ready and yet not a success.
        (ExperimentReady, Some(true)) if matches!(phase, Phase::RolledBack | Phase::Invalid) => {
            Severity::Warning
        }
        (ExperimentReady, Some(true)) => Severity::Notice,
    }
}
