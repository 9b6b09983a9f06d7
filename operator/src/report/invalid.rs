//! The conditions of a pipeline that this release can't read.

use k8s_openapi::jiff::Timestamp;
use kube::core::error_boundary::InvalidObject;
use serde_json::{Value, json};

use crate::reasons::INVALID_OBJECT;

/// The conditions of such a pipeline, as JSON: its other conditions may be of a release that has more of them.
pub fn conditions(invalid: &InvalidObject, now: Timestamp) -> Value {
    let message = format!(
        "this release of the operator can't read the object: {}; its pods keep running as they are, and other pipelines are not affected; fix the field, or install a release that knows it",
        invalid.error
    );
    let condition = |type_: &str, status: &str| {
        json!({
            "type": type_,
            "status": status,
            "reason": INVALID_OBJECT,
            "message": message,
            "observedGeneration": invalid.metadata.generation,
            // It is written once a generation, when it begins.
            "lastTransitionTime": began(invalid, now),
        })
    };
    json!([condition("Ready", "False"), condition("Stalled", "True")])
}

/// A time that is the same at each pass: when the object was made, which is no later than when it became unreadable.
fn began(invalid: &InvalidObject, now: Timestamp) -> String {
    let created = invalid.metadata.creation_timestamp.as_ref().map(|time| time.0);
    created.unwrap_or(now).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
