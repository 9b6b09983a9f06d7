//! Findings as conditions, in Kubernetes' form.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

use crate::finding::Finding;
use crate::reasons;

fn without_digits(text: &str) -> String {
    text.chars()
        .filter(|character| !character.is_ascii_digit())
        .collect()
}

/// Turns findings into conditions. The time of a transition stays as long as the truth stays.
pub fn conditions(
    findings: &[(&'static str, Finding)],
    before: &[Condition],
    generation: i64,
    now: Timestamp,
) -> Vec<Condition> {
    let condition = |(type_, finding): &(&str, Finding)| {
        let status = finding.truth.as_str();
        let same = before
            .iter()
            .find(|condition| condition.type_ == *type_ && condition.status == status);
        // Network errors contain a different port each time.
        let repeated = same
            .filter(|repeated| finding.reason == reasons::APPLY_FAILED && repeated.reason == finding.reason);
        let repeated =
            repeated.filter(|repeated| without_digits(&repeated.message) == without_digits(&finding.message));
        Condition {
            type_: (*type_).to_owned(),
            status: status.to_owned(),
            reason: finding.reason.to_owned(),
            message: repeated
                .map_or(&finding.message, |repeated| &repeated.message)
                .clone(),
            observed_generation: Some(generation),
            last_transition_time: same.map_or(Time(now), |condition| condition.last_transition_time.clone()),
        }
    };
    findings.iter().map(condition).collect()
}
