//! How a batch is split: into parts, a file each, and into shards, a run of the command each.
//!
//! A part has the users of a hundred of the router's buckets, and a shard has whole parts. Neither depends on threads, and
//! parts do not even depend on the number of shards.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use gondola_wire::buckets::BUCKETS;

/// Number of parts; also the highest number of shards.
pub const PARTS: u16 = 100;
const BUCKETS_PER_PART: u16 = BUCKETS / PARTS;

/// A range of buckets whose users are in one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part(u16);

impl Part {
    /// The buckets of its users.
    pub fn buckets(self) -> Range<u16> {
        self.0 * BUCKETS_PER_PART..(self.0 + 1) * BUCKETS_PER_PART
    }

    /// Where its file is in a batch's folder.
    pub fn place(self) -> String {
        let Range { start, end } = self.buckets();
        format!("lists/buckets-{start:04}-{:04}.parquet", end - 1)
    }
}

/// One of several runs that make a batch together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    number: u16,
    of: u16,
}

/// What was given is not a shard.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a shard; write NUMBER/SHARDS with 1 to {PARTS} shards, numbered from 0: 0/8, 1/8, .. 7/8"
)]
pub struct ShardError {
    text: String,
}

impl Shard {
    /// All shards of a batch that has `of` of them.
    pub fn all(of: u16) -> impl Iterator<Item = Self> {
        (0..of).map(move |number| Self { number, of })
    }

    /// The number of shards of its batch.
    pub fn of(self) -> u16 {
        self.of
    }

    /// Its parts, in order.
    pub fn parts(self) -> impl Iterator<Item = Part> {
        let first = |shard: u16| (u32::from(shard) * u32::from(PARTS) / u32::from(self.of)) as u16;
        (first(self.number)..first(self.number + 1)).map(Part)
    }

    /// Where the list of its files is in a batch's folder.
    pub fn place(self) -> String {
        format!("shards/{}-of-{}.json", self.number, self.of)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

impl FromStr for Shard {
    type Err = ShardError;

    fn from_str(text: &str) -> Result<Self, ShardError> {
        let numbers = text
            .split_once('/')
            .and_then(|(number, of)| Some((number.parse().ok()?, of.parse().ok()?)));
        match numbers {
            Some((number, of)) if number < of && of <= PARTS => Ok(Self { number, of }),
            _ => Err(ShardError {
                text: text.to_owned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shards_of_a_batch_have_every_bucket_once_and_in_order() {
        for of in [1, 2, 3, 7, 64, PARTS] {
            let parts = Shard::all(of).flat_map(Shard::parts);
            let buckets: Vec<u16> = parts.flat_map(Part::buckets).collect();
            assert!(buckets.into_iter().eq(0..BUCKETS), "{of} shards");
            assert!(
                Shard::all(of).all(|shard| shard.parts().count() > 0),
                "{of} shards"
            );
        }
    }

    #[test]
    fn a_shard_is_written_as_it_is_read() {
        for text in ["0/1", "7/8", "99/100"] {
            assert_eq!(text.parse::<Shard>().unwrap().to_string(), text);
        }
        for text in ["", "1", "1/1", "8/8", "0/0", "0/101", "-1/4", "a/b", "0/8/9"] {
            let refused = text.parse::<Shard>().unwrap_err().to_string();
            assert!(
                refused.starts_with(&format!("{text:?} is not a shard; ")),
                "{refused}"
            );
        }
    }
}
