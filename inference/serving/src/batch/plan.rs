//! What a batch is made of, and what was made: the JSON of its folder.

use std::collections::BTreeMap;

use gondola_artifacts::Digest;
use gondola_wire::serve_order::VariantOrder;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// `batch.json`: all that decides which bytes a batch has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The version of the program.
    pub program: String,
    /// The pipeline as `namespace/name`, by which the router finds a user's bucket.
    pub pipeline: String,
    /// How the variant answers.
    pub variant: VariantOrder,
    /// What its networks run on, if not on the processor by kernels: the last bits of scores depend on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// The digest of the bundle in each role.
    pub bundles: BTreeMap<String, String>,
    /// The number of items of a list.
    pub k: usize,
    /// Who gets a list.
    pub users: Users,
    /// The number of runs that make the batch together.
    pub shards: u16,
}

/// Who gets a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Users {
    /// How many.
    pub count: usize,
    /// The digest of their ids.
    pub digest: Digest,
}

/// A file of lists.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct File {
    /// Where it is in the batch's folder.
    pub path: String,
    /// Number of users in it.
    pub users: usize,
    /// Its size in bytes.
    pub size: u64,
    /// Its digest.
    pub sha256: Digest,
}

/// `shards/N-of-M.json`: what one shard wrote.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Written {
    /// Its files, by bucket.
    pub files: Vec<File>,
}

/// `manifest.json`: a whole batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// What it was made of.
    #[serde(flatten)]
    pub plan: Plan,
    /// Its files, by bucket.
    pub files: Vec<File>,
}

/// A value that two plans do not share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Its name, as a path of the JSON.
    pub field: String,
    /// What the one plan says.
    pub there: String,
    /// What the other says.
    pub here: String,
}

impl Plan {
    /// The first value of the plan `there` that this one does not share.
    pub fn difference(&self, there: &Self) -> Option<Difference> {
        let json = |plan: &Self| serde_json::to_value(plan).expect("a plan has string keys only");
        first_difference("", &json(there), &json(self))
    }
}

fn first_difference(field: &str, there: &Value, here: &Value) -> Option<Difference> {
    if there == here {
        return None;
    }
    if let (Value::Object(left), Value::Object(right)) = (there, here) {
        let keys = left.keys().chain(right.keys());
        return keys.into_iter().find_map(|key| {
            let field = if field.is_empty() {
                key.clone()
            } else {
                format!("{field}.{key}")
            };
            first_difference(&field, &there[key], &here[key])
        });
    }
    let shown = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => "not set".to_owned(),
        other => other.to_string(),
    };
    Some(Difference {
        field: field.to_owned(),
        there: shown(there),
        here: shown(here),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan {
            program: "0.1.0".to_owned(),
            pipeline: "default/shop".to_owned(),
            variant: VariantOrder::default(),
            device: None,
            bundles: [("scorer".to_owned(), "sha256:aa".to_owned())].into(),
            k: 12,
            users: Users {
                count: 3,
                digest: Digest::of(b"a\nb\nc"),
            },
            shards: 4,
        }
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut Plan), wanted: Option<(&str, &str, &str)>) {
        let (mut here, there) = (plan(), plan());
        change(&mut here);
        let found = here.difference(&there);
        let found = found
            .as_ref()
            .map(|found| (&*found.field, &*found.there, &*found.here));
        assert_eq!(found, wanted);
    }

    #[test]
    fn a_difference_is_named_with_both_values() {
        check(|_| {}, None);
        check(|plan| plan.shards = 8, Some(("shards", "4", "8")));
        check(
            |plan| {
                plan.bundles
                    .insert("scorer".into(), "sha256:bb".into())
                    .map_or((), drop)
            },
            Some(("bundles.scorer", "sha256:aa", "sha256:bb")),
        );
        check(
            |plan| plan.variant.candidates = Some(100),
            Some(("variant.candidates", "not set", "100")),
        );
    }
}
