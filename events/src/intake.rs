//! Outcomes as clients send them, checked one by one: a bad one is named, and costs the others nothing.

use std::sync::Arc;
use std::time::Duration;

use gondola_wire::time::{after, since};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::event::Outcome;
use crate::unit::{EventId, UnitKey};

/// Most outcomes of one request.
pub const MAX_OUTCOMES: usize = 1000;
/// Longest id, in bytes.
const MAX_ID_BYTES: usize = 256;
/// Longest type, in bytes.
const MAX_KIND_BYTES: usize = 32;
/// A value beyond this is a mistake of a unit or of a format.
const MAX_VALUE: f64 = 1e12;
/// How far a client's clock may be ahead.
const AHEAD: Duration = Duration::from_secs(5 * 60);
/// How long ago an outcome may have happened.
const AGO: Duration = Duration::from_secs(90 * 86_400);

/// An outcome as a client tells it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RawOutcome {
    /// The client's own key: an outcome that is sent again under the same key counts once.
    pub event_id: Option<String>,
    /// Id of the unit, the same as in the requests for recommendations.
    #[serde(default)]
    pub unit: String,
    /// Type, such as `purchase`.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// How much; 1 where it is left out.
    pub value: Option<f64>,
    /// The item.
    pub item_id: Option<String>,
    /// The request for recommendations that it followed.
    pub request_id: Option<String>,
    /// When it happened, as milliseconds since 1970 or as RFC 3339; now where it is left out.
    pub event_time: Option<RawTime>,
}

/// A moment as a client writes it.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum RawTime {
    /// Milliseconds since 1970.
    Milliseconds(i64),
    /// RFC 3339, such as `2026-11-25T08:00:00Z`.
    Text(String),
}

/// Why an outcome is not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Refusal {
    /// Its place in the request, from 0.
    pub index: usize,
    /// What is wrong, and what to do.
    pub problem: String,
}

/// Reads an outcome: an object of JSON.
pub fn read(json: Value) -> Result<RawOutcome, String> {
    // serde would take an array for the fields in order.
    if !json.is_object() {
        return Err("is not a JSON object; give {\"unit\": ..., \"type\": ...}".to_owned());
    }
    serde_json::from_value(json).map_err(|error| format!("is not an outcome: {error}"))
}

/// Checks an outcome that arrives at `now`.
pub fn check(told: RawOutcome, key: &UnitKey, now: Timestamp) -> Result<Outcome, String> {
    let RawOutcome {
        event_id,
        unit,
        kind,
        value,
        item_id,
        request_id,
        event_time,
    } = told;
    check_id("unit", &unit)?;
    for (field, id) in [
        ("eventId", &event_id),
        ("itemId", &item_id),
        ("requestId", &request_id),
    ] {
        if let Some(id) = id {
            check_id(field, id)?;
        }
    }
    let in_kind = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    if kind.is_empty() || kind.len() > MAX_KIND_BYTES || !kind.bytes().all(in_kind) {
        return Err(format!(
            "type is {kind:?}; give 1 to {MAX_KIND_BYTES} letters, digits, '_', '-' and '.'"
        ));
    }
    // 0 and -0 are one amount.
    let value = value.unwrap_or(1.0) + 0.0;
    if !value.is_finite() || value.abs() > MAX_VALUE {
        return Err(format!(
            "value is {value}; give a number of at most {MAX_VALUE:e}"
        ));
    }
    let time = check_time(event_time, now)?;
    let hash = key.hash(&unit);
    let id = match &event_id {
        Some(own) => EventId::of(&[b"own", &hash.0, own.as_bytes()]),
        // What is told twice in the same words happened once; another amount is another sale.
        None => EventId::of(&[
            b"told",
            &hash.0,
            kind.as_bytes(),
            item_id.as_deref().unwrap_or_default().as_bytes(),
            request_id.as_deref().unwrap_or_default().as_bytes(),
            time.as_microsecond().to_string().as_bytes(),
            &value.to_bits().to_le_bytes(),
        ]),
    };
    Ok(Outcome {
        time,
        received: now,
        id,
        unit: hash,
        kind: kind.into(),
        value,
        item: item_id.map(Arc::from),
        request: request_id.map(Arc::from),
    })
}

fn check_id(field: &str, id: &str) -> Result<(), String> {
    match id.len() {
        0 => Err(format!("{field} is empty; give one")),
        bytes if bytes > MAX_ID_BYTES => {
            Err(format!("{field} has {bytes} bytes; give at most {MAX_ID_BYTES}"))
        }
        _ => Ok(()),
    }
}

fn check_time(told: Option<RawTime>, now: Timestamp) -> Result<Timestamp, String> {
    let time = match told {
        None => return Ok(now),
        Some(RawTime::Milliseconds(milliseconds)) => Timestamp::from_millisecond(milliseconds).ok(),
        Some(RawTime::Text(text)) => Some(
            text.parse()
                .map_err(|_| format!("eventTime is {text:?}; write for example 2026-11-25T08:00:00Z"))?,
        ),
    };
    let time = time.ok_or("eventTime is not a time; give milliseconds since 1970")?;
    if time > after(now, AHEAD) {
        return Err("eventTime is more than 5 minutes in the future; set the client's clock".to_owned());
    }
    if since(time, now) > AGO {
        return Err("eventTime is more than 90 days ago; send outcomes when they happen".to_owned());
    }
    Ok(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_793_577_600, 0);

    fn told(json: &str) -> Result<Outcome, String> {
        let key = UnitKey::new(b"0123456789abcdef").unwrap();
        check(read(serde_json::from_str(json).unwrap())?, &key, NOW)
    }

    #[track_caller]
    fn refused(json: &str, problem: &str) {
        let found = told(json).unwrap_err();
        assert!(found.contains(problem), "{found:?} does not say {problem:?}");
    }

    #[test]
    fn what_is_left_out_is_now_and_once() {
        let outcome = told(r#"{"unit": "alice", "type": "purchase"}"#).unwrap();
        assert_eq!((outcome.time, outcome.value), (NOW, 1.0));
        let text =
            told(r#"{"unit": "alice", "type": "purchase", "eventTime": "2026-11-02T00:00:00Z"}"#).unwrap();
        let number = told(r#"{"unit": "alice", "type": "purchase", "eventTime": 1793577600000}"#).unwrap();
        assert_eq!(text.time, number.time);
    }

    #[test]
    fn the_same_outcome_has_the_same_id() {
        let first =
            told(r#"{"unit": "alice", "type": "purchase", "eventId": "order-1", "value": 3}"#).unwrap();
        let again =
            told(r#"{"unit": "alice", "type": "purchase", "eventId": "order-1", "value": 4}"#).unwrap();
        assert_eq!(first.id, again.id);
        let of_another = told(r#"{"unit": "bob", "type": "purchase", "eventId": "order-1"}"#).unwrap();
        assert_ne!(first.id, of_another.id, "keys are a unit's own");
        let other_item = told(r#"{"unit": "alice", "type": "purchase", "itemId": "1"}"#).unwrap();
        let no_item = told(r#"{"unit": "alice", "type": "purchase"}"#).unwrap();
        assert_ne!(other_item.id, no_item.id);
        let sale = |value: &str| {
            let told_once = format!(
                r#"{{"unit": "alice", "type": "purchase", "value": {value}, "eventTime": 1793577600000}}"#
            );
            told(&told_once).unwrap().id
        };
        assert_eq!(sale("9.99"), sale("9.990"));
        assert_ne!(sale("9.99"), sale("19.99"), "two sales in one second");
    }

    #[test]
    fn a_bad_outcome_is_named_with_the_way_out() {
        refused(r#"{"type": "purchase"}"#, "unit is empty; give one");
        refused(
            &format!(r#"{{"unit": "{}", "type": "purchase"}}"#, "a".repeat(257)),
            "unit has 257 bytes; give at most 256",
        );
        refused(r#"{"unit": "alice"}"#, "type is \"\"");
        refused(r#"{"unit": "alice", "type": "a b"}"#, "type is \"a b\"");
        refused(
            r#"{"unit": "alice", "type": "purchase", "value": 1e13}"#,
            "value is 1",
        );
        refused(
            r#"{"unit": "alice", "type": "purchase", "value": "NaN"}"#,
            "invalid type",
        );
        refused(r#"["alice", "purchase"]"#, "is not a JSON object");
        refused(r#"{"unit": "alice", "kind": "purchase"}"#, "unknown field `kind`");
        refused(
            r#"{"unit": "alice", "type": "purchase", "eventTime": 1793577901000}"#,
            "in the future",
        );
        refused(
            r#"{"unit": "alice", "type": "purchase", "eventTime": 0}"#,
            "90 days ago",
        );
        refused(
            r#"{"unit": "alice", "type": "purchase", "eventTime": "yesterday"}"#,
            "eventTime is \"yesterday\"",
        );
        let mut nan = RawOutcome {
            unit: "alice".into(),
            kind: "purchase".into(),
            value: Some(f64::NAN),
            ..RawOutcome::default()
        };
        let key = UnitKey::new(b"0123456789abcdef").unwrap();
        assert!(
            check(nan.clone(), &key, NOW)
                .unwrap_err()
                .contains("value is NaN")
        );
        nan.value = Some(f64::INFINITY);
        assert!(check(nan, &key, NOW).is_err());
    }
}
