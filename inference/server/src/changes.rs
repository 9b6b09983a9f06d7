//! What is refused of changes before anybody else sees them.

use gondola_causes::with_causes;
use gondola_protocol::{RefusedChange, ServiceError};
use gondola_request::{Change, Interaction, Moment};

use crate::front::{check_id, check_length, check_present};

/// Most changes of one request.
pub const MAX_CHANGES: usize = 1_000;
/// Longest id of an event, in bytes.
pub const MAX_EVENT_ID_BYTES: usize = 128;
/// How far ahead of this server's clock a client's may be: a day, in milliseconds.
const MAX_AHEAD: i64 = 86_400_000;
/// 2000-01-01: whoever names an earlier time counts in seconds, or from somewhere else.
const EARLIEST: Moment = Moment(946_684_800_000);

/// Changes that may be made, and those that may not.
#[derive(Default)]
pub(crate) struct Checked {
    pub(crate) changes: Vec<Change>,
    /// The place of each change in the request.
    pub(crate) places: Vec<usize>,
    pub(crate) refused: Vec<RefusedChange>,
}

impl Checked {
    pub(crate) fn of(read: Vec<Result<Change, String>>) -> Self {
        let mut checked = Self::default();
        for (index, change) in read.into_iter().enumerate() {
            let change = change.map_err(|problem| ServiceError::Argument {
                argument: "the change",
                problem,
            });
            match change.and_then(|change| check_change(&change).map(|()| change)) {
                Ok(change) => {
                    checked.changes.push(change);
                    checked.places.push(index);
                }
                Err(error) => checked.refused.push(RefusedChange {
                    index,
                    code: error.code(),
                    problem: with_causes(&error),
                }),
            }
        }
        checked
    }
}

/// Refuses ids and times that can't be meant.
pub(crate) fn check_change(change: &Change) -> Result<(), ServiceError> {
    match change {
        Change::PutUser { user, .. } | Change::PatchUser { user, .. } | Change::DeleteUser { user } => {
            check_id("user", user.as_str())
        }
        Change::PutItem { item, .. } | Change::PatchItem { item, .. } | Change::DeleteItem { item } => {
            check_id("item", item.as_str())
        }
        Change::Interaction(interaction) => check_interaction(interaction, Moment::now()),
        // What is in them the models know.
        Change::PutRules(_) | Change::DeleteRules => Ok(()),
    }
}

fn check_interaction(interaction: &Interaction, now: Moment) -> Result<(), ServiceError> {
    check_present("event_id", &interaction.event_id)?;
    check_length("event_id", &interaction.event_id, MAX_EVENT_ID_BYTES)?;
    check_id("user", interaction.user.as_str())?;
    check_id("item", interaction.item.as_str())?;
    let wrong = |problem: String| {
        Err(ServiceError::Argument {
            argument: "event_time",
            problem,
        })
    };
    match interaction.event_time {
        Some(Moment(at)) if at > now.0 + MAX_AHEAD => wrong(format!(
            "is {at}, more than a day ahead of this server's clock, which says {}; give milliseconds since 1970, or leave it out",
            now.0
        )),
        Some(at) if at < EARLIEST => wrong(format!(
            "is {}, which is before the year 2000; give milliseconds since 1970, not seconds, or leave it out",
            at.0
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use gondola_request::InteractionKind;

    use super::*;

    const NOW: Moment = Moment(1_764_460_800_000);

    fn refused(change: impl FnOnce(&mut Interaction)) -> String {
        let mut interaction = Interaction {
            event_id: "e1".to_owned(),
            user: "anna".into(),
            item: "i1".into(),
            kind: InteractionKind::View,
            event_time: None,
            price: None,
            unit: None,
            request_id: None,
        };
        change(&mut interaction);
        check_interaction(&interaction, NOW).map_or_else(|error| error.to_string(), |()| String::new())
    }

    #[test]
    fn times_that_cannot_be_meant_are_refused_and_clocks_may_differ_by_a_day() {
        assert_eq!(refused(|_| {}), "");
        assert_eq!(
            refused(|event| event.event_time = Some(Moment(NOW.0 + MAX_AHEAD))),
            ""
        );
        assert_eq!(
            refused(|event| event.event_time = Some(Moment(NOW.0 + MAX_AHEAD + 1))),
            "event_time is 1764547200001, more than a day ahead of this server's clock, which says 1764460800000; give milliseconds \
             since 1970, or leave it out"
        );
        assert_eq!(
            refused(|event| event.event_time = Some(Moment(1_764_460_800))),
            "event_time is 1764460800, which is before the year 2000; give milliseconds since 1970, not seconds, or leave it out"
        );
    }

    #[test]
    fn long_and_empty_ids_are_refused() {
        assert_eq!(
            refused(|event| event.event_id.clear()),
            "event_id is empty; give one"
        );
        assert_eq!(
            refused(|event| event.user = "u".repeat(4096).into()),
            "user has 4096 bytes; give at most 256"
        );
        assert_eq!(
            refused(|event| event.event_id = "e".repeat(129)),
            "event_id has 129 bytes; give at most 128"
        );
    }
}
