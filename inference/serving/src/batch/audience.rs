//! Who is in a batch: everybody in the features bundle, or those of a list.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use gondola_artifacts::Digest;
use gondola_experiments::assignment::bucket;
use gondola_models::features::RawTable;

use super::shard::Part;

/// How many unknown users an error names.
const NAMED: usize = 3;

/// One user of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// The bucket that the router finds them in.
    pub bucket: u16,
    /// Their row in the features bundle.
    pub row: usize,
}

/// The users of a batch, ordered by bucket, then by id.
pub struct Audience {
    members: Vec<Member>,
    digest: Digest,
}

/// Why a list of users makes no audience.
#[derive(Debug, thiserror::Error)]
pub enum AudienceError {
    /// The list can't be read.
    #[error("cannot read the list of users {}", path.display())]
    File {
        /// The list.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The list has nobody in it.
    #[error("the list of users {} is empty; write one id per line, or leave the list out for all users", path.display())]
    Empty {
        /// The list.
        path: PathBuf,
    },
    /// The list has users that are not in the features bundle.
    #[error(
        "{unknown} of the {listed} users in {} are not in the features bundle, among them {}; remove them, or publish features that have \
         them", path.display(), first.join(", ")
    )]
    Unknown {
        /// The list.
        path: PathBuf,
        /// How many it has.
        listed: usize,
        /// How many of them are not known.
        unknown: usize,
        /// The first of these.
        first: Vec<String>,
    },
}

impl Audience {
    /// Everybody in the features bundle. `salt` is the router's: the pipeline's namespace and name.
    pub fn everybody(users: &RawTable, salt: &str) -> Self {
        Self::of_rows(0..users.len(), users, salt)
    }

    /// The users of a list with one id per line, each once.
    pub fn listed(path: &Path, users: &RawTable, salt: &str) -> Result<Self, AudienceError> {
        let text = std::fs::read_to_string(path).map_err(|source| AudienceError::File {
            path: path.to_owned(),
            source,
        })?;
        let ids: BTreeSet<&str> = text.lines().filter(|line| !line.is_empty()).collect();
        if ids.is_empty() {
            return Err(AudienceError::Empty {
                path: path.to_owned(),
            });
        }
        let unknown: Vec<&str> = ids
            .iter()
            .copied()
            .filter(|id| users.find(id).is_none())
            .collect();
        if !unknown.is_empty() {
            return Err(AudienceError::Unknown {
                path: path.to_owned(),
                listed: ids.len(),
                unknown: unknown.len(),
                first: unknown.iter().take(NAMED).map(|id| (*id).to_owned()).collect(),
            });
        }
        let rows = ids.iter().filter_map(|id| users.find(id));
        Ok(Self::of_rows(rows, users, salt))
    }

    fn of_rows(rows: impl Iterator<Item = usize>, users: &RawTable, salt: &str) -> Self {
        let member = |row| Member {
            bucket: bucket("arm", salt, users.id(row)),
            row,
        };
        let mut members: Vec<Member> = rows.map(member).collect();
        members.sort_unstable_by(|a, b| {
            let by_bucket = a.bucket.cmp(&b.bucket);
            by_bucket.then_with(|| users.id(a.row).cmp(users.id(b.row)))
        });
        Self::of_members(members, users)
    }

    /// `members` are ordered.
    fn of_members(members: Vec<Member>, users: &RawTable) -> Self {
        let ids: Vec<&str> = members.iter().map(|member| users.id(member.row)).collect();
        Self {
            digest: Digest::of(ids.join("\n").as_bytes()),
            members,
        }
    }

    /// Those of them whose ids `belongs` says yes to; `users` is the table that they are from.
    pub fn only(mut self, users: &RawTable, belongs: impl Fn(&str) -> bool) -> Self {
        self.members.retain(|member| belongs(users.id(member.row)));
        Self::of_members(self.members, users)
    }

    /// Number of users.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there are no users.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The digest of all ids.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The users of a part.
    pub fn part(&self, part: Part) -> &[Member] {
        let before = |bucket| self.members.partition_point(|member| member.bucket < bucket);
        let buckets = part.buckets();
        &self.members[before(buckets.start)..before(buckets.end)]
    }
}
