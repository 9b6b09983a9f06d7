//! Which variant a user gets: the rule `rp1`, pure and without state.
//!
//! A hash of the user's id gives a bucket of 10,000, and the allocation says which arm owns the bucket. Every pod, and any
//! analyst with SHA-256 at hand, comes to the same answer from the same configuration. Two hashes with different purposes
//! decide who takes part (`traffic`) and which arm they get (`arm`), so that enrolling more users moves nobody.
//!
//! Which buckets an arm owns is remembered where weights change while users look on: [`allocate`] goes from the buckets that
//! arms own to those that they should own, moving the fewest users, and what it gives is written down for the next time.

use std::collections::BTreeMap;

use gondola_wire::buckets::{BUCKETS, Buckets};
use gondola_wire::routes::BucketRange;
use sha2::{Digest, Sha256};
use strum::IntoStaticStr;

/// One less than a byte can tell apart: [`GONE`] is nobody's place.
const MAX_ARMS: usize = 255;
/// The place of buckets whose arm is gone.
const GONE: usize = MAX_ARMS;
const MAX_SALT: usize = 128;

/// Why a configuration gives no assignment.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum AssignmentError {
    /// Nobody could be served.
    #[error("no arm of {arms:?} has a weight above 0; give one of them a weight")]
    NoWeight {
        /// The arms.
        arms: Vec<String>,
    },
    /// More arms than are useful.
    #[error("there are {0} arms; at most {MAX_ARMS} can split the users")]
    TooManyArms(usize),
    /// The salt would not be told from what follows it.
    #[error("the salt {0:?} is not 1 to {MAX_SALT} of A-Z, a-z, 0-9, '.', '_', '/' and '-'; use only those")]
    Salt(String),
    /// A range that can't be.
    #[error("buckets {start} to {end} of arm {arm} are no range within 0 to {BUCKETS}")]
    Range {
        /// The place of the arm.
        arm: usize,
        /// The first bucket.
        start: u16,
        /// One past the last bucket.
        end: u16,
    },
    /// Two arms would answer the same user.
    #[error("bucket {0} is owned twice")]
    OwnedTwice(u16),
    /// Nobody would answer a user.
    #[error("bucket {0} is owned by no arm")]
    NotOwned(u16),
}

/// One arm: a variant and its part of the users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arm {
    /// The variant's name.
    pub name: String,
    /// Its share, relative to the sum of all weights.
    pub weight: u32,
}

/// Users who are kept out of every experiment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holdout {
    /// Salt of the holdout, shared by the experiments that it holds users out of.
    pub salt: String,
    /// How many are held out.
    pub buckets: Buckets,
}

/// Who takes part, and which arm they get.
#[derive(Clone, Debug)]
pub struct Assignment {
    salt: String,
    traffic_buckets: Buckets,
    holdout: Option<Holdout>,
    arms: Vec<String>,
    allocation: Allocation,
}

/// What a user gets and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assigned {
    /// Which arm, by its place in the configuration; 0 is the control.
    pub arm: usize,
    /// Why.
    pub reason: Reason,
    /// Where the user stands in the order in which users are enrolled; `None` without a user id.
    pub traffic_bucket: Option<u16>,
    /// Which bucket of the allocation the user falls into; `None` without a user id.
    pub arm_bucket: Option<u16>,
}

impl Assigned {
    /// Whether the user takes part: only then does the answer count in an analysis.
    pub fn enrolled(&self) -> bool {
        self.reason == Reason::Assigned
    }
}

/// Why a user got an arm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, IntoStaticStr)]
pub enum Reason {
    /// By their bucket.
    Assigned,
    /// A tester asked for it: never counted.
    Forced,
    /// The request names no user: the control, always the same, never a random arm.
    NoUnit,
    /// Held out of every experiment: the control.
    Holdout,
    /// Not enrolled yet: the control.
    NotInTraffic,
}

impl Reason {
    /// The name used in answers and metrics.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl Assignment {
    /// Everybody takes part, and the arms' weights are their shares. The first arm is the control.
    pub fn new(salt: &str, arms: &[Arm]) -> Result<Self, AssignmentError> {
        let weights: Vec<u32> = arms.iter().map(|arm| arm.weight).collect();
        let names: Vec<String> = arms.iter().map(|arm| arm.name.clone()).collect();
        let allocation = Allocation::new(&weights).map_err(|error| error.about(&names))?;
        Self::with_allocation(salt, names, allocation)
    }

    /// Everybody takes part, and `allocation` says which of `arms`, by their places, they get. The first arm is the control.
    pub fn with_allocation(
        salt: &str,
        arms: Vec<String>,
        allocation: Allocation,
    ) -> Result<Self, AssignmentError> {
        check_salt(salt)?;
        Ok(Self {
            salt: salt.to_owned(),
            traffic_buckets: Buckets::ALL,
            holdout: None,
            arms,
            allocation,
        })
    }

    /// Lets in only the users of the first `buckets`.
    pub fn with_traffic(self, traffic_buckets: Buckets) -> Self {
        Self {
            traffic_buckets,
            ..self
        }
    }

    /// Holds users out.
    pub fn with_holdout(mut self, holdout: Holdout) -> Result<Self, AssignmentError> {
        check_salt(&holdout.salt)?;
        self.holdout = Some(holdout);
        Ok(self)
    }

    /// Names of the arms, the control first.
    pub fn arms(&self) -> &[String] {
        &self.arms
    }

    /// The arm that a tester asks for by name, if there is one of it, and the user's own otherwise.
    pub fn assign_asked(&self, unit: &str, name: Option<&str>) -> Assigned {
        name.and_then(|name| self.forced(name))
            .unwrap_or_else(|| self.assign(unit))
    }

    fn forced(&self, name: &str) -> Option<Assigned> {
        let arm = self.arms.iter().position(|arm| arm == name)?;
        Some(Assigned {
            arm,
            reason: Reason::Forced,
            traffic_bucket: None,
            arm_bucket: None,
        })
    }

    /// The arm of a user, whose id is taken as it was received.
    pub fn assign(&self, unit: &str) -> Assigned {
        if unit.is_empty() {
            return Assigned {
                arm: 0,
                reason: Reason::NoUnit,
                traffic_bucket: None,
                arm_bucket: None,
            };
        }
        let traffic_bucket = bucket("traffic", &self.salt, unit);
        let arm_bucket = bucket("arm", &self.salt, unit);
        let held_out = |holdout: &Holdout| bucket("holdout", &holdout.salt, unit) < holdout.buckets.count();
        let reason = if self.holdout.as_ref().is_some_and(held_out) {
            Reason::Holdout
        } else if traffic_bucket >= self.traffic_buckets.count() {
            Reason::NotInTraffic
        } else {
            Reason::Assigned
        };
        let arm = if reason == Reason::Assigned {
            self.allocation.arm(arm_bucket)
        } else {
            0
        };
        Assigned {
            arm,
            reason,
            traffic_bucket: Some(traffic_bucket),
            arm_bucket: Some(arm_bucket),
        }
    }
}

/// The bucket of a unit for one purpose: the first 32 bits of SHA-256, scaled to 0..10,000. A salt has no `|` and the unit
/// comes last, so no two inputs hash alike by their spelling.
pub fn bucket(purpose: &str, salt: &str, unit: &str) -> u16 {
    let mut hash = Sha256::new();
    for part in ["rp1|", purpose, "|", salt, "|", unit] {
        hash.update(part.as_bytes());
    }
    let digest = hash.finalize();
    let first = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
    ((u64::from(first) * u64::from(BUCKETS)) >> 32) as u16
}

/// Which arm owns which of the 10,000 buckets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allocation {
    /// The arm of every bucket.
    owners: Vec<u8>,
}

/// Neighboring buckets of one arm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArmRange {
    /// The place of the arm that owns them.
    pub arm: usize,
    /// The first bucket.
    pub start: u16,
    /// One past the last bucket.
    pub end: u16,
}

impl ArmRange {
    /// The same buckets, of the arm at this place.
    pub fn of(arm: usize, range: &BucketRange) -> Self {
        Self {
            arm,
            start: range.start,
            end: range.end,
        }
    }

    fn buckets(&self) -> std::ops::Range<u16> {
        self.start..self.end
    }
}

impl AssignmentError {
    /// Names the arms, where only their weights were known.
    fn about<S: ToString>(self, names: &[S]) -> Self {
        match self {
            Self::NoWeight { .. } => Self::NoWeight {
                arms: names.iter().map(S::to_string).collect(),
            },
            error => error,
        }
    }
}

impl Allocation {
    /// Buckets in ranges, in the order of the arms.
    pub fn new(weights: &[u32]) -> Result<Self, AssignmentError> {
        let sizes = sizes(weights)?;
        let owners = sizes
            .iter()
            .enumerate()
            .flat_map(|(arm, size)| std::iter::repeat_n(arm as u8, usize::from(*size)));
        Ok(Self {
            owners: owners.collect(),
        })
    }

    /// Buckets as they were remembered: every one must be owned exactly once.
    pub fn from_ranges(ranges: &[ArmRange]) -> Result<Self, AssignmentError> {
        let mut owners = vec![None; usize::from(BUCKETS)];
        for range in ranges {
            let ArmRange { arm, start, end } = *range;
            let owner = u8::try_from(arm).map_err(|_| AssignmentError::TooManyArms(arm + 1))?;
            if start >= end || end > BUCKETS {
                return Err(AssignmentError::Range { arm, start, end });
            }
            for bucket in range.buckets() {
                if owners[usize::from(bucket)].replace(owner).is_some() {
                    return Err(AssignmentError::OwnedTwice(bucket));
                }
            }
        }
        let owned = |(bucket, owner): (u16, Option<u8>)| owner.ok_or(AssignmentError::NotOwned(bucket));
        let owners = (0..BUCKETS).zip(owners).map(owned).collect::<Result<_, _>>()?;
        Ok(Self { owners })
    }

    /// The arm of a bucket.
    pub fn arm(&self, bucket: u16) -> usize {
        usize::from(self.owners[usize::from(bucket)])
    }

    /// The same arms with other weights, moving as few buckets as can be: an arm that has too many gives up its highest
    /// ones, and those go, lowest first, to the arms that have too few, in their order. No bucket leaves an arm whose share
    /// grows or stays. Arms are told apart by their place; one that is gone has weight 0, or a place past
    /// all weights.
    pub fn reallocate(&self, weights: &[u32]) -> Result<Self, AssignmentError> {
        let target = sizes(weights)?;
        let mut owners = self.owners.clone();
        let mut kept = vec![0_u16; target.len()];
        let mut freed = Vec::new();
        for (bucket, owner) in owners.iter().enumerate() {
            let owner = usize::from(*owner);
            match target.get(owner) {
                Some(size) if kept[owner] < *size => kept[owner] += 1,
                _ => freed.push(bucket),
            }
        }
        let takers = target
            .iter()
            .zip(&kept)
            .enumerate()
            .flat_map(|(arm, (size, kept))| std::iter::repeat_n(arm as u8, usize::from(size - kept)));
        for (bucket, arm) in freed.into_iter().zip(takers) {
            owners[bucket] = arm;
        }
        Ok(Self { owners })
    }

    /// The buckets as ranges, in ascending order.
    pub fn ranges(&self) -> Vec<ArmRange> {
        let mut start = 0;
        let mut ranges = Vec::new();
        for run in self.owners.chunk_by(|a, b| a == b) {
            let end = start + run.len() as u16;
            ranges.push(ArmRange {
                arm: usize::from(run[0]),
                start,
                end,
            });
            start = end;
        }
        ranges
    }
}

/// The buckets of every name of `weights`, with as few moved from `previous` as can be: names that are not in `weights` give
/// all of theirs up, and no bucket leaves a name whose share grows or stays. Where `previous` does not own every bucket exactly
/// once there is nothing to keep, and names get their buckets in their order.
pub fn allocate(
    previous: &BTreeMap<String, Vec<BucketRange>>,
    weights: &BTreeMap<String, u32>,
) -> Result<BTreeMap<String, Vec<BucketRange>>, AssignmentError> {
    let names: Vec<&String> = weights.keys().collect();
    let shares: Vec<u32> = weights.values().copied().collect();
    let allocation = match Allocation::from_ranges(&owned_by(&names, previous)) {
        Ok(remembered) => remembered.reallocate(&shares),
        Err(_) => Allocation::new(&shares),
    };
    let allocation = allocation.map_err(|error| error.about(&names))?;
    let mut buckets: BTreeMap<String, Vec<BucketRange>> =
        names.iter().map(|name| ((*name).clone(), Vec::new())).collect();
    for ArmRange { arm, start, end } in allocation.ranges() {
        let of_name = buckets.entry(names[arm].clone()).or_default();
        of_name.push(BucketRange { start, end });
    }
    Ok(buckets)
}

/// Ranges by the places of `names`; whoever is none of them is [`GONE`].
fn owned_by(names: &[&String], ranges: &BTreeMap<String, Vec<BucketRange>>) -> Vec<ArmRange> {
    let of_name = |(name, ranges): (&String, &'_ Vec<BucketRange>)| -> Vec<ArmRange> {
        let place = names.binary_search(&name).unwrap_or(GONE);
        ranges.iter().map(|range| ArmRange::of(place, range)).collect()
    };
    ranges.iter().flat_map(of_name).collect()
}

/// How many buckets each weight is worth: by largest remainder, ties to the earlier arm.
pub fn sizes(weights: &[u32]) -> Result<Vec<u16>, AssignmentError> {
    if weights.len() > MAX_ARMS {
        return Err(AssignmentError::TooManyArms(weights.len()));
    }
    let total: u64 = weights.iter().copied().map(u64::from).sum();
    if total == 0 {
        return Err(AssignmentError::NoWeight { arms: Vec::new() });
    }
    let exact = |weight: u32| u64::from(weight) * u64::from(BUCKETS);
    let mut sizes: Vec<u16> = weights
        .iter()
        .map(|weight| (exact(*weight) / total) as u16)
        .collect();
    let left = BUCKETS - sizes.iter().sum::<u16>();
    let mut by_remainder: Vec<usize> = (0..weights.len()).collect();
    by_remainder.sort_by_key(|arm| std::cmp::Reverse(exact(weights[*arm]) % total));
    for arm in by_remainder.into_iter().take(usize::from(left)) {
        sizes[arm] += 1;
    }
    Ok(sizes)
}

fn check_salt(salt: &str) -> Result<(), AssignmentError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._/-".contains(&byte);
    if salt.is_empty() || salt.len() > MAX_SALT || !salt.bytes().all(allowed) {
        return Err(AssignmentError::Salt(salt.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
