//! Moments and lengths of time: what forms say of them in whole milliseconds, and sums that can't overflow.

use std::time::Duration;

use jiff::Timestamp;

/// The moment that comes `length` after another; the last one that there is where that would be later.
pub fn after(moment: Timestamp, length: Duration) -> Timestamp {
    moment
        .saturating_add(length)
        .expect("only lengths in calendar units can't be added")
}

/// The moment that comes `length` before another; the first one that there is where that would be earlier.
pub fn before(moment: Timestamp, length: Duration) -> Timestamp {
    moment
        .saturating_sub(length)
        .expect("only lengths in calendar units can't be subtracted")
}

/// How long before `now` an earlier moment was; nothing if it is yet to come.
pub fn since(earlier: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(earlier)).unwrap_or(Duration::ZERO)
}

/// Lengths of time as milliseconds.
pub(crate) mod milliseconds {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(length: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(length.as_millis()).unwrap_or(u64::MAX))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}

/// Moments by name, each as milliseconds since 1970.
pub(crate) mod by_name {
    use std::collections::BTreeMap;

    use jiff::Timestamp;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct Moment(#[serde(with = "jiff::fmt::serde::timestamp::millisecond::required")] Timestamp);

    pub(crate) fn serialize<S: Serializer>(
        moments: &BTreeMap<String, Timestamp>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_map(moments.iter().map(|(name, moment)| (name, Moment(*moment))))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<String, Timestamp>, D::Error> {
        let moments = BTreeMap::<String, Moment>::deserialize(deserializer)?;
        Ok(moments
            .into_iter()
            .map(|(name, moment)| (name, moment.0))
            .collect())
    }
}
