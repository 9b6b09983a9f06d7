//! What an experiment has come to: the little that can't be worked out anew from spec and evidence.
//!
//! The operator keeps it in a ConfigMap that the pipeline owns, and repeats it in the status; the local server keeps it in a file. It
//! changes only in [`crate::step`].

use std::collections::BTreeMap;

use gondola_crds::experiment::Experiment;
use gondola_crds::experiment::text::Token;
use gondola_crds::experiment_status::{ExperimentStatus, PastEpoch, Phase};
use gondola_wire::resolution::VariantBundles;
use serde::{Deserialize, Serialize};

use crate::memory::{Ending, Memory};
use crate::moment::Moment;

/// The key of the ConfigMap that holds it.
pub const LEDGER_KEY: &str = "ledger.json";
/// Earlier epochs that are remembered.
const REMEMBERED: usize = 5;

/// What an experiment has come to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ledger {
    /// The experiment's name.
    pub experiment: String,
    /// How often it was restarted; 1 at first.
    pub epoch: u32,
    /// The text that would start it anew if it were another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_token: Option<Token>,
    /// Where it stands.
    pub phase: Phase,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Moment>,
    /// Which step of the ramp, from 0.
    #[serde(default)]
    pub stage: u32,
    /// Since when every router lets this step's users in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage_since: Option<Moment>,
    /// Since when no pod of an arm answers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unready_since: BTreeMap<String, Moment>,
    /// What was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
    /// The arm that everybody gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub winner: Option<String>,
    /// The bundles that each arm began with, by the variant's name: arms keep them until the experiment is over, wherever channels
    /// point meanwhile.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pinned: BTreeMap<String, VariantBundles>,
    /// Earlier epochs, the newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<PastEpoch>,
}

/// What was decided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// What follows.
    pub verdict: Verdict,
    /// The arm that it is about, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arm: Option<String>,
    /// Why, in one word.
    pub reason: Reason,
    /// Why, for people.
    pub message: String,
    /// When.
    pub time: Moment,
}

/// What follows from a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// Everybody gets the control.
    RolledBack,
    /// Nothing can be said of these data.
    Invalid,
    /// The arm has won, and a person may promote it.
    PromotionReady,
    /// The arm has won, and everybody gets it.
    Promoted,
    /// Nothing is certain.
    Inconclusive,
    /// The arms are as good as each other.
    Equivalent,
}

impl Verdict {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RolledBack => "RolledBack",
            Self::Invalid => "Invalid",
            Self::PromotionReady => "PromotionReady",
            Self::Promoted => "Promoted",
            Self::Inconclusive => "Inconclusive",
            Self::Equivalent => "Equivalent",
        }
    }

    /// Whether it protects users, so that it holds while all else is suspended.
    pub fn is_safety(self) -> bool {
        match self {
            Self::RolledBack | Self::Invalid => true,
            Self::PromotionReady | Self::Promoted | Self::Inconclusive | Self::Equivalent => false,
        }
    }

    /// The phase that it leads to; `None` where the experiment goes on.
    pub fn phase(self) -> Option<Phase> {
        match self {
            Self::RolledBack => Some(Phase::RolledBack),
            Self::Invalid => Some(Phase::Invalid),
            Self::PromotionReady => None,
            Self::Promoted => Some(Phase::Promoted),
            Self::Inconclusive => Some(Phase::Inconclusive),
            Self::Equivalent => Some(Phase::Equivalent),
        }
    }
}

/// Why, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// An arm has more errors, slow answers, fallbacks or empty answers than it may.
    OperationsHarm,
    /// No pod of an arm answers.
    ArmNotReady,
    /// Users are not split as planned.
    SampleRatioMismatch,
    /// An arm harms a guardrail.
    GuardrailHarm,
    /// An arm is worse in a success metric.
    SuccessHarm,
    /// An arm is better, and harms nothing.
    Better,
    /// The planned number of users was reached without a winner.
    PlanFulfilled,
    /// The longest time is over.
    TimeOver,
}

impl Reason {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OperationsHarm => "OperationsHarm",
            Self::ArmNotReady => "ArmNotReady",
            Self::SampleRatioMismatch => "SampleRatioMismatch",
            Self::GuardrailHarm => "GuardrailHarm",
            Self::SuccessHarm => "SuccessHarm",
            Self::Better => "Better",
            Self::PlanFulfilled => "PlanFulfilled",
            Self::TimeOver => "TimeOver",
        }
    }
}

impl Ledger {
    /// The ledger of what the spec asks for now: the one that there was, or a new epoch if the spec started anew.
    pub fn of(experiment: &Experiment, before: Option<&Self>) -> Self {
        let fresh = |epoch, history| Self {
            experiment: experiment.name.to_string(),
            epoch,
            restart_token: experiment.restart_token.clone(),
            history,
            ..Self::default()
        };
        match before {
            None => fresh(1, Vec::new()),
            Some(before) if before.experiment != experiment.name.as_str() => fresh(1, before.past()),
            Some(before) if before.restart_token != experiment.restart_token => {
                fresh(before.epoch + 1, before.past())
            }
            Some(before) => before.clone(),
        }
    }

    /// Takes up what the store remembers of an epoch that has not begun: an end that stands for this token stands still, and any
    /// other is an earlier epoch.
    pub(crate) fn recall(&mut self, memory: &Memory) {
        if let Some(ending) = &memory.ending {
            let ended = Self::ended(&memory.experiment, ending.clone(), self.history.clone());
            if ended.restart_token == self.restart_token {
                *self = ended;
                return;
            }
            if self.epoch <= ended.epoch {
                self.epoch = ended.epoch + 1;
                self.history = ended.past();
            }
        }
        self.epoch = self.epoch.max(memory.last_epoch.map_or(1, |last| last + 1));
    }

    /// The ledger of an epoch that ended in another life of the pipeline.
    fn ended(experiment: &str, ending: Ending, history: Vec<PastEpoch>) -> Self {
        let Ending {
            epoch,
            restart_token,
            phase,
            started_at,
            decision,
            winner,
        } = ending;
        Self {
            experiment: experiment.to_owned(),
            epoch,
            restart_token,
            phase,
            started_at,
            decision: Some(decision),
            winner,
            history,
            ..Self::default()
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
            time: Moment::parse(&decision.time)?,
        })
    }

    /// What a status repeats of a ledger that was lost: enough to go on, and to keep a decision.
    pub fn from_status(status: &ExperimentStatus, experiment: &Experiment) -> Self {
        let decision = Self::decision_of(status);
        // A decision stands in the status before its phase does.
        let decided = decision.as_ref().and_then(|decision| decision.verdict.phase());
        let phase = decided
            .filter(|_| !status.phase.is_over())
            .unwrap_or(status.phase);
        let moment = |text: &Option<String>| Moment::parse(text.as_ref()?);
        Self {
            experiment: status.name.clone(),
            epoch: u32::try_from(status.epoch).unwrap_or(1),
            restart_token: experiment.restart_token.clone(),
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
    fn past(&self) -> Vec<PastEpoch> {
        let this = PastEpoch {
            name: self.experiment.clone(),
            epoch: i32::try_from(self.epoch).unwrap_or(i32::MAX),
            phase: self.phase,
            reason: self
                .decision
                .as_ref()
                .map(|decision| decision.reason.as_str().to_owned()),
        };
        std::iter::once(this)
            .chain(self.history.iter().cloned())
            .take(REMEMBERED)
            .collect()
    }
}
