//! What a user did, kept by event id in a hash.
//!
//! Nearly every event is new, and then two plain commands do: a script takes Redis nearly four times as long. What they leave open, whether an
//! event with a known id is the same, or that a user has too many, costs another round trip ([`outcome`]).

use gondola_request::{Interaction, Moment};
use redis::{Cmd, FromRedisValue, Value, cmd};

use super::scripts;
use crate::record;
use crate::store::{MAX_INTERACTIONS, Written};

/// A tenth too many: forgetting looks at all of them.
const TOO_MANY: i64 = (MAX_INTERACTIONS + MAX_INTERACTIONS / 10) as i64;

/// The commands that keep an interaction in the hash `key`, unless it has one with that event id.
pub(super) fn keep(key: &str, interaction: &Interaction, now: Moment) -> Vec<Cmd> {
    let (mut set, mut count) = (cmd("HSETNX"), cmd("HLEN"));
    set.arg(key)
        .arg(&interaction.event_id)
        .arg(record::write(interaction, now));
    count.arg(key);
    vec![set, count]
}

/// What came of an interaction, of the replies to [`keep`], and the command that is still to be run: whether a known event is
/// [another](is_another), or the earliest are to be forgotten. `key` is seldom needed.
pub(super) fn outcome(
    replies: &[Value],
    key: impl FnOnce() -> String,
    interaction: &Interaction,
) -> (Written, Option<Cmd>) {
    match replies {
        [Value::Int(0), ..] => {
            let mut known = cmd("HGET");
            known.arg(key()).arg(&interaction.event_id);
            (Written::Duplicate, Some(known))
        }
        [_, Value::Int(count)] if *count > TOO_MANY => {
            (Written::Taken, Some(scripts::forget(&key(), MAX_INTERACTIONS)))
        }
        _ => (Written::Taken, None),
    }
}

/// Whether the record of a known event is of other content. One that was deleted since then was known all the same.
pub(super) fn is_another(reply: &Value, interaction: &Interaction) -> bool {
    String::from_redis_value_ref(reply).is_ok_and(|record| !record::is_of(&record, interaction))
}
