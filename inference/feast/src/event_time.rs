//! Event times: what a view's `_ts` field holds, a `google.protobuf.Timestamp`.

use prost::Message;

/// When a view's features of an entity were true, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventTime {
    seconds: i64,
    nanos: u32,
}

/// Why bytes are no event time.
#[derive(Debug, thiserror::Error)]
pub enum EventTimeError {
    /// They are no message.
    #[error("not a google.protobuf.Timestamp")]
    Damaged(#[source] prost::DecodeError),
    /// Its nanoseconds are a second or more, or less than none.
    #[error("{nanos} nanoseconds of a second; there are 0 to 999999999")]
    Nanos {
        /// What was given.
        nanos: i64,
    },
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Timestamp {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

impl EventTime {
    /// So many seconds after 1970 began in UTC (before it, if they are negative), and so many nanoseconds later.
    pub fn new(seconds: i64, nanos: u32) -> Result<Self, EventTimeError> {
        if nanos < 1_000_000_000 {
            Ok(Self { seconds, nanos })
        } else {
            Err(EventTimeError::Nanos { nanos: nanos.into() })
        }
    }

    /// Whole seconds since 1970.
    pub fn seconds(self) -> i64 {
        self.seconds
    }

    /// Nanoseconds after that.
    pub fn nanos(self) -> u32 {
        self.nanos
    }

    /// Reads a `_ts` field. No bytes are 1970, as for Feast.
    pub fn decode(bytes: &[u8]) -> Result<Self, EventTimeError> {
        let Timestamp { seconds, nanos } = Timestamp::decode(bytes).map_err(EventTimeError::Damaged)?;
        let nanos = u32::try_from(nanos).map_err(|_| EventTimeError::Nanos { nanos: nanos.into() })?;
        Self::new(seconds, nanos)
    }

    /// What a `_ts` field holds.
    pub fn encode(self) -> Vec<u8> {
        let timestamp = Timestamp {
            seconds: self.seconds,
            // Less than 2^30, which is checked above.
            nanos: self.nanos as i32,
        };
        timestamp.encode_to_vec()
    }
}
