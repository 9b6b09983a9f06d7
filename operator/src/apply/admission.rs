//! What others change about our objects on their way into the API server.
//!
//! A mutating webhook or policy may change every Deployment: set a default, add a sidecar, pin an image by its digest. What it makes of
//! an object never equals what was sent, and sending it again changes nothing. So the result of each intent is remembered by object; as
//! long as the object still equals that result, nothing is sent, and the status names what differs. The memory is lost with the process:
//! the next one sends once, which changes nothing.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use crate::names::short_hash;

/// The results of what was sent, by the object's uid.
#[derive(Debug, Default)]
pub struct Admission(Mutex<HashMap<String, Admitted>>);

#[derive(Debug, PartialEq)]
struct Admitted {
    sent: String,
    became: String,
}

/// The first difference between an object and what was sent, because admission changed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overridden {
    /// The object's kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// The first field that differs, as a path.
    pub path: String,
}

impl Admission {
    /// Remembers what the API server made of an object.
    pub fn remember(&self, sent: &Value, live: &Value) {
        let admitted = Admitted {
            sent: short_hash(&sent.to_string()),
            became: fingerprint(live),
        };
        self.lock().insert(uid(live), admitted);
    }

    /// Whether an object equals what the API server made of the same intent earlier.
    pub fn knows(&self, wanted: &Value, live: &Value) -> bool {
        let admitted = Admitted {
            sent: short_hash(&wanted.to_string()),
            became: fingerprint(live),
        };
        self.lock().get(&uid(live)) == Some(&admitted)
    }

    /// Forgets an object that is as it was sent, or that is gone.
    pub fn forget(&self, live: &Value) {
        self.lock().remove(&uid(live));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Admitted>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn uid(live: &Value) -> String {
    live["metadata"]["uid"].as_str().unwrap_or_default().to_owned()
}

/// A digest of an object without its status, the API server's counters, and the number of pods, which has another owner.
fn fingerprint(live: &Value) -> String {
    let mut asked = live.clone();
    if let Some(fields) = asked.as_object_mut() {
        fields.remove("status");
    }
    if let Some(metadata) = asked["metadata"].as_object_mut() {
        for field in ["resourceVersion", "generation", "managedFields"] {
            metadata.remove(field);
        }
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.remove("deployment.kubernetes.io/revision");
        }
    }
    if let Some(spec) = asked["spec"].as_object_mut() {
        spec.remove("replicas");
    }
    short_hash(&asked.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_admission_makes_of_an_intent_is_known_until_either_changes() {
        let admission = Admission::default();
        let wanted = json!({"spec": {"image": "a:1"}});
        let live = |image: &str, version: &str, replicas: u32| json!({"metadata": {"uid": "u", "resourceVersion": version}, "spec": {"image": image, "replicas": replicas}, "status": {"ready": version}});
        assert!(!admission.knows(&wanted, &live("a@sha256:1", "1", 1)));
        admission.remember(&wanted, &live("a@sha256:1", "1", 1));
        assert!(
            admission.knows(&wanted, &live("a@sha256:1", "2", 5)),
            "counts are not what was asked for"
        );
        assert!(
            !admission.knows(&wanted, &live("somebody-elses:1", "3", 1)),
            "an edit is undone"
        );
        assert!(!admission.knows(&json!({"spec": {"image": "a:2"}}), &live("a@sha256:1", "2", 1)));
    }
}
