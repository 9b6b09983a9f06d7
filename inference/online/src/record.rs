//! How stores write down interactions, and what makes two of them the same.

use gondola_request::{Interaction, InteractionKind, ItemId, Moment, PastInteraction};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::store::StoreError;

/// Hexadecimal digits of a fingerprint: 64 bits.
pub const FINGERPRINT_DIGITS: usize = 16;
/// Digits of a time, so that records order by it as texts do.
pub const TIME_DIGITS: usize = 15;

/// What is kept of an interaction: a fingerprint of what the client sent, its time, and the rest as JSON, one after the other.
pub fn write(interaction: &Interaction, now: Moment) -> String {
    let Moment(at) = interaction.event_time.unwrap_or(now);
    let kept = Kept {
        item: interaction.item.clone(),
        kind: interaction.kind,
        price: interaction.price,
    };
    let json = serde_json::to_string(&kept).expect("texts and numbers are always JSON");
    format!(
        "{}{at:0width$}{json}",
        fingerprint(interaction),
        width = TIME_DIGITS
    )
}

/// Reads what [`write()`] wrote; `user` is named in errors.
pub fn read(record: &str, user: &str) -> Result<PastInteraction, StoreError> {
    let wrong = |problem: String| StoreError::Damaged {
        what: format!("an interaction of user {user:?}"),
        problem,
    };
    let parts = record
        .get(FINGERPRINT_DIGITS..FINGERPRINT_DIGITS + TIME_DIGITS)
        .zip(record.get(FINGERPRINT_DIGITS + TIME_DIGITS..));
    let (time, json) =
        parts.ok_or_else(|| wrong("it is too short; was it written by something else?".to_owned()))?;
    let at = time
        .parse()
        .map_err(|_| wrong(format!("its time is {time:?}; was it written by something else?")))?;
    let kept: Kept = serde_json::from_str(json).map_err(|error| wrong(error.to_string()))?;
    Ok(PastInteraction {
        item: kept.item,
        kind: kept.kind,
        at: Moment(at),
        price: kept.price,
    })
}

/// Whether a record is of an interaction with the same content.
pub fn is_of(record: &str, interaction: &Interaction) -> bool {
    record.starts_with(&fingerprint(interaction))
}

#[derive(Serialize, Deserialize)]
struct Kept {
    item: ItemId,
    kind: InteractionKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    price: Option<f64>,
}

/// What tells an event that is sent again from another with its id: a time that the client left out is not part of it.
fn fingerprint(interaction: &Interaction) -> String {
    let content = (
        &interaction.item,
        interaction.kind,
        interaction.event_time,
        interaction.price,
    );
    let json = serde_json::to_vec(&content).expect("texts and numbers are always JSON");
    let mut digits = hex::encode(Sha256::digest(json));
    digits.truncate(FINGERPRINT_DIGITS);
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interaction(event_time: Option<i64>) -> Interaction {
        Interaction {
            event_id: "e1".to_owned(),
            user: "anna".into(),
            item: "milk".into(),
            kind: InteractionKind::Purchase,
            event_time: event_time.map(Moment),
            price: Some(1.5),
            unit: None,
            request_id: None,
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let read = read(&write(&interaction(None), Moment(1_764_460_800_000)), "anna").unwrap();
        assert_eq!(
            read,
            PastInteraction {
                item: "milk".into(),
                kind: InteractionKind::Purchase,
                at: Moment(1_764_460_800_000),
                price: Some(1.5),
            }
        );
    }

    #[test]
    fn an_event_without_a_time_has_one_fingerprint_whenever_it_comes() {
        let fingerprint =
            |interaction, now| write(&interaction, Moment(now))[..FINGERPRINT_DIGITS].to_owned();
        assert_eq!(
            fingerprint(interaction(None), 1),
            fingerprint(interaction(None), 2)
        );
        assert_ne!(
            fingerprint(interaction(Some(1)), 1),
            fingerprint(interaction(Some(2)), 1)
        );
    }

    #[test]
    fn what_something_else_wrote_is_refused() {
        for record in [
            "",
            "short",
            "0123456789abcdefé23456789012345{}",
            "0123456789abcdef000000000000001{}",
        ] {
            let error = read(record, "anna").unwrap_err().to_string();
            assert!(error.contains("an interaction of user \"anna\""), "{error}");
        }
    }
}
