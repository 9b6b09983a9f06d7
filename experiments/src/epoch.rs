//! Which epoch of an experiment a ledger is in: a new spec or token begins another, and what the store remembers counts too.

use std::collections::BTreeMap;

use gondola_crds::experiment_status::{ExperimentStatus, PastEpoch};
use gondola_crds::text::Token;
use gondola_wire::decision::Decision;
use gondola_wire::ledger::Ledger;
use gondola_wire::memory::{Ending, Memory};
use jiff::Timestamp;

use crate::settings::Settings;

/// Earlier epochs that are remembered.
const MAX_REMEMBERED: usize = 5;

/// The ledger of what the spec asks for now: the one that there was, or a new epoch if the spec began again.
pub fn current(settings: &Settings, before: Option<&Ledger>) -> Ledger {
    let fresh = |epoch, history| Ledger {
        experiment: settings.name.clone(),
        epoch,
        restart_token: settings.restart_token.clone(),
        history,
        ..Ledger::default()
    };
    match before {
        None => fresh(1, Vec::new()),
        Some(before) if before.experiment != settings.name => fresh(1, past(before)),
        Some(before) if before.restart_token != settings.restart_token => {
            fresh(before.epoch + 1, past(before))
        }
        Some(before) => before.clone(),
    }
}

/// Takes up what the store remembers of an epoch that has not begun: an end that stands for this token stands still, and any
/// other is an earlier epoch.
pub(crate) fn recall(ledger: &mut Ledger, memory: &Memory) {
    if let Some(ending) = &memory.ending {
        let ended = ended(&memory.experiment, ending.clone(), ledger.history.clone());
        if ended.restart_token == ledger.restart_token {
            *ledger = ended;
            return;
        }
        if ledger.epoch <= ended.epoch {
            ledger.epoch = ended.epoch + 1;
            ledger.history = past(&ended);
        }
    }
    ledger.epoch = ledger.epoch.max(memory.last_epoch.map_or(1, |last| last + 1));
}

/// The ledger of an epoch that ended in another life of the pipeline.
fn ended(experiment: &str, ending: Ending, history: Vec<PastEpoch>) -> Ledger {
    let Ending {
        epoch,
        restart_token,
        phase,
        started_at,
        decision,
        winner,
    } = ending;
    Ledger {
        experiment: experiment.to_owned(),
        epoch,
        restart_token,
        phase,
        started_at,
        decision: Some(decision),
        winner,
        history,
        ..Ledger::default()
    }
}

/// What a status repeats of a decision.
fn decision_of(status: &ExperimentStatus) -> Option<Decision> {
    let decision = status.decision.as_ref()?;
    let word = |text: &str| serde_json::Value::String(text.to_owned());
    Some(Decision {
        verdict: serde_json::from_value(word(&decision.verdict)).ok()?,
        arm: status.winner.clone(),
        reason: serde_json::from_value(word(&decision.reason)).ok()?,
        message: decision.message.clone(),
        time: decision.time.parse().ok()?,
    })
}

/// What a status repeats of a ledger that was lost: enough to go on, and to keep a decision. The token is the spec's.
pub fn from_status(status: &ExperimentStatus, restart_token: Option<Token>) -> Ledger {
    let decision = decision_of(status);
    // A decision stands in the status before its phase does.
    let decided = decision.as_ref().and_then(|decision| decision.verdict.phase());
    let phase = decided
        .filter(|_| !status.phase.is_over())
        .unwrap_or(status.phase);
    let moment = |text: &Option<String>| text.as_ref()?.parse::<Timestamp>().ok();
    Ledger {
        experiment: status.name.clone(),
        epoch: u32::try_from(status.epoch).unwrap_or(1),
        restart_token,
        phase,
        started_at: moment(&status.start_time),
        stage: u32::try_from(status.stage).unwrap_or(0),
        stage_since: moment(&status.stage_start_time),
        unready_since: BTreeMap::new(),
        decision,
        winner: status.winner.clone(),
        pinned: BTreeMap::new(),
        history: status.history.clone(),
    }
}

/// The history with this epoch in front.
fn past(ledger: &Ledger) -> Vec<PastEpoch> {
    let this = PastEpoch {
        name: ledger.experiment.clone(),
        epoch: i32::try_from(ledger.epoch).unwrap_or(i32::MAX),
        phase: ledger.phase,
        reason: ledger
            .decision
            .as_ref()
            .map(|decision| decision.reason.as_str().to_owned()),
    };
    std::iter::once(this)
        .chain(ledger.history.iter().cloned())
        .take(MAX_REMEMBERED)
        .collect()
}
