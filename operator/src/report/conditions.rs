//! Conditions: what is true of a pipeline, in Kubernetes' form.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

use super::reasons;

/// Whether something is true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// It is.
    True,
    /// It is not.
    False,
    /// Nobody can tell yet.
    Unknown,
}

impl Truth {
    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// Something that is true, false or not known, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whether it is true.
    pub truth: Truth,
    /// Why, in one word of [`super::reasons`].
    pub reason: &'static str,
    /// Why, for people; the same for the same state, without times or counts that change by themselves.
    pub message: String,
}

impl Finding {
    /// A finding.
    pub fn new(truth: Truth, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            truth,
            reason,
            message: message.into(),
        }
    }
}

fn without_digits(text: &str) -> String {
    text.chars()
        .filter(|character| !character.is_ascii_digit())
        .collect()
}

/// Turns findings into conditions. The time of a transition stays as long as the truth stays.
pub fn conditions(
    findings: Vec<(&'static str, Finding)>,
    before: &[Condition],
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    let condition = |(type_, finding): (&str, Finding)| {
        let status = finding.truth.as_str();
        let same = before
            .iter()
            .find(|condition| condition.type_ == type_ && condition.status == status);
        // What the network says has another port in it each time.
        let told =
            same.filter(|told| finding.reason == reasons::APPLY_FAILED && told.reason == finding.reason);
        let told = told.filter(|told| without_digits(&told.message) == without_digits(&finding.message));
        Condition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: finding.reason.to_owned(),
            message: told.map_or(finding.message, |told| told.message.clone()),
            observed_generation: generation,
            last_transition_time: same.map_or(Time(now), |condition| condition.last_transition_time.clone()),
        }
    };
    findings.into_iter().map(condition).collect()
}
