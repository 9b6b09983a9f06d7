//! What a pipeline answers, as far as the shop reads it: fields that it doesn't know are left out.

use std::collections::{BTreeMap, BTreeSet};

use gondola_request::{Explanation, ItemId};
use serde::Deserialize;

/// Stages in the order in which requests of both kinds meet them; the answer has them by name.
const STAGES: [&str; 7] = [
    "features",
    "retrieval",
    "filter",
    "embedding",
    "search",
    "scoring",
    "ordering",
];

/// Items, and where they come from.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Answer {
    /// The variant that answered.
    pub variant: String,
    /// Why it was this one.
    #[serde(default)]
    pub reason: Option<String>,
    /// Digests of its bundles, by role.
    #[serde(default)]
    pub bundles: BTreeMap<String, String>,
    /// The items, best first.
    pub items: Vec<Found>,
    /// Why the answer is less than it could be.
    #[serde(default)]
    pub degraded: Vec<String>,
    /// Microseconds by stage.
    #[serde(default)]
    pub timing: BTreeMap<String, u64>,
    /// The request's id, from a header.
    #[serde(skip)]
    pub request: Option<String>,
}

/// One item of an answer.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Found {
    /// Which item.
    pub item: ItemId,
    /// How good it is, within this answer.
    pub score: f32,
}

impl Answer {
    /// Stages with their microseconds, in the order in which they ran; those of other releases come last.
    pub fn stages(&self) -> Vec<(&str, u64)> {
        let known = STAGES
            .iter()
            .filter_map(|stage| self.timing.get_key_value(*stage));
        let other = self
            .timing
            .iter()
            .filter(|(stage, _)| !STAGES.contains(&stage.as_str()));
        known
            .chain(other)
            .map(|(stage, micros)| (stage.as_str(), *micros))
            .collect()
    }
}

/// What came of interactions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Receipt {
    /// Those that were not taken.
    #[serde(default)]
    pub refused: Vec<Refused>,
}

/// An interaction that was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Refused {
    /// Its place in the request.
    pub index: usize,
    /// Why.
    pub problem: String,
}

impl Receipt {
    /// Why the interaction at a place was not taken; `None` if it was.
    pub fn problem(&self, place: usize) -> Option<String> {
        let refused = self.refused.iter().find(|refused| refused.index == place);
        refused.map(|refused| refused.problem.clone())
    }
}

/// What is loaded.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Loaded {
    /// The pipeline's name.
    pub pipeline: String,
    /// Its variants.
    pub variants: Vec<Variant>,
}

/// A variant.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Variant {
    /// Its name.
    pub name: String,
    /// What it holds, if it can be reached.
    #[serde(default)]
    pub summary: Option<Summary>,
}

/// What a variant holds, as far as the shop reads it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Summary {
    /// What the scorer reads, such as `user.age`.
    pub inputs: Vec<String>,
}

impl Loaded {
    /// The columns of a customer that some variant reads.
    pub fn customer_columns(&self) -> BTreeSet<&str> {
        let summaries = self
            .variants
            .iter()
            .filter_map(|variant| variant.summary.as_ref());
        let inputs = summaries.flat_map(|summary| &summary.inputs);
        inputs.filter_map(|input| input.strip_prefix("user.")).collect()
    }
}

/// What became of products in a list for a customer.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Explained {
    /// One for each product that was asked for.
    pub items: Vec<Explanation>,
}

/// What a pipeline says when it refuses.
#[derive(Deserialize)]
pub(super) struct Failure {
    error: FailureDetail,
}

#[derive(Deserialize)]
struct FailureDetail {
    message: String,
}

impl Failure {
    /// The message; of a body that is no such JSON, as from something between, there is none.
    pub(super) fn read(body: &[u8]) -> String {
        match serde_json::from_slice::<Self>(body) {
            Ok(failure) => failure.error.message,
            Err(_) => "the pipeline refused without a reason".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_and_what_a_later_release_says_is_left_out() {
        let json = r#"{"user": "1", "variant": "dlrm", "reason": "assigned", "bundles": {"scorer": "sha256:6d5e"},
            "items": [{"item": "7", "score": 0.5, "why": "new"}], "degraded": ["unknown_user", "of_later"],
            "timing": {"filter": 3, "features": 5, "zeal": 1}, "later": true}"#;
        let answer: Answer = serde_json::from_str(json).unwrap();
        assert_eq!(answer.items[0].item.as_str(), "7");
        assert_eq!(answer.degraded, ["unknown_user", "of_later"]);
        assert_eq!(answer.stages(), [("features", 5), ("filter", 3), ("zeal", 1)]);
    }

    #[test]
    fn a_receipt_says_which_were_not_taken() {
        let json = r#"{"taken": 1, "duplicates": 0, "refused": [{"index": 1, "code": "NOT_FOUND", "problem": "no item"}]}"#;
        let receipt: Receipt = serde_json::from_str(json).unwrap();
        assert_eq!(receipt.problem(0), None);
        assert_eq!(receipt.problem(1).as_deref(), Some("no item"));
    }

    #[test]
    fn a_refusal_says_why_if_the_pipeline_did() {
        let body = br#"{"error": {"code": "NOT_FOUND", "message": "there is no item 7"}}"#;
        assert_eq!(Failure::read(body), "there is no item 7");
        assert_eq!(Failure::read(b"<html>"), "the pipeline refused without a reason");
    }
}
