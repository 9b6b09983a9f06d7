//! A decision about an experiment: what follows, and why.

use gondola_crds::experiment_status::Phase;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

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
    #[serde(with = "jiff::fmt::serde::timestamp::millisecond::required")]
    pub time: Timestamp,
}

/// What follows from a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr)]
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
        self.into()
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr)]
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
        self.into()
    }
}
