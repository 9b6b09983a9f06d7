//! What outlives a pipeline's objects: how an experiment ended, kept beside its events.
//!
//! The ledger is an object of the pipeline and goes with it. A pipeline that is deleted and created again, replaced by force or restored
//! from a backup would begin an experiment again that had been rolled back, and send users to an arm that is known to do harm. So the
//! analyzer writes the end of an experiment into the experiment's store, and an experiment begins only after the analyzer has looked
//! there. Routers obey a decision at once; people are told that the experiment is over once the store has kept it, so that nobody who
//! acts on the end can be faster than its record.

use gondola_crds::experiment_status::Phase;
use gondola_crds::text::Token;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::decision::Decision;
use crate::ledger::Ledger;

/// The key, in the ConfigMap of the evidence, that holds what the analyzer found in the store.
pub const MEMORY_KEY: &str = "memory.json";

/// What the store remembers of the experiment of a name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Memory {
    /// The experiment's name.
    pub experiment: String,
    /// How it ended last; none where it never did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ending: Option<Ending>,
    /// The last epoch of which statistics were kept: another life of the experiment must not mix its users with those.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_epoch: Option<u32>,
}

/// How an experiment ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ending {
    /// Its epoch.
    pub epoch: u32,
    /// The token of that epoch: another one starts the experiment again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_token: Option<Token>,
    /// Where it stood.
    pub phase: Phase,
    /// When it had begun.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "jiff::fmt::serde::timestamp::millisecond::optional"
    )]
    pub started_at: Option<Timestamp>,
    /// What was decided.
    pub decision: Decision,
    /// The arm that everybody gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub winner: Option<String>,
}

impl Memory {
    /// A store that was looked at and remembers nothing.
    pub fn nothing(experiment: &str) -> Self {
        Self {
            experiment: experiment.to_owned(),
            ..Self::default()
        }
    }

    /// Whether the end that a ledger came to is remembered.
    pub fn keeps(&self, ledger: &Ledger) -> bool {
        let end = |ending: &Ending| {
            (
                ending.epoch,
                ending.restart_token.clone(),
                ending.decision.verdict,
            )
        };
        let ended = Ending::of(ledger);
        ended.is_some() && ended.as_ref().map(end) == self.ending.as_ref().map(end)
    }
}

impl Ending {
    /// The end that a ledger came to, if it came to one.
    pub fn of(ledger: &Ledger) -> Option<Self> {
        let decision = ledger.decision.clone()?;
        ledger.phase.is_over().then(|| Self {
            epoch: ledger.epoch,
            restart_token: ledger.restart_token.clone(),
            phase: ledger.phase,
            started_at: ledger.started_at,
            decision,
            winner: ledger.winner.clone(),
        })
    }
}
