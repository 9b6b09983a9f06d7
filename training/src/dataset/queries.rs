//! How queries are run: by what, how much memory they take before they spill to disk, and in how many parts at once.

use std::fs;
use std::num::{NonZeroU32, NonZeroUsize};
use std::thread::available_parallelism;

use super::engine::Engine;

/// What queries get of the memory of this process: the rest is for tables, models and what no engine counts.
const SHARE: u64 = 8;
/// With less than this, sorts can't even merge what they spilled.
const LEAST: u64 = 256 << 20;

/// Parts on a cluster, whose cores this machine doesn't know.
const CLUSTER_PARTITIONS: NonZeroUsize = NonZeroUsize::new(16).expect("16 is not zero");

/// How queries are run. What they give depends on none of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuerySettings {
    /// What runs them.
    pub engine: Engine,
    /// What they may take of this process before they spill to disk; executors have a limit of their own.
    pub memory: QueryMemory,
    /// Parts that are computed at once.
    pub partitions: NonZeroUsize,
}

impl QuerySettings {
    /// A share of this machine's memory, and all cores of this machine or a few of a cluster's.
    pub fn on(engine: Engine) -> Self {
        let partitions = match engine {
            Engine::Local => available_parallelism().unwrap_or(NonZeroUsize::MIN),
            Engine::Ballista(_) => CLUSTER_PARTITIONS,
        };
        Self {
            engine,
            memory: QueryMemory::of_this_machine(),
            partitions,
        }
    }
}

impl Default for QuerySettings {
    /// In this process.
    fn default() -> Self {
        Self::on(Engine::Local)
    }
}

/// Memory that queries may take before they spill to disk, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryMemory(u64);

impl QueryMemory {
    /// So many MiB.
    pub fn mebibytes(count: NonZeroU32) -> Self {
        Self(u64::from(count.get()) << 20)
    }

    /// An eighth of the memory that this process may have, which a container limits.
    pub fn of_this_machine() -> Self {
        let limits = [
            "/sys/fs/cgroup/memory.max",
            "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        ];
        let limits = limits
            .iter()
            .filter_map(|file| fs::read_to_string(file).ok()?.trim().parse().ok());
        let all = limits.chain(memory_of_machine()).min();
        Self(all.map_or(LEAST, |all| (all / SHARE).max(LEAST)))
    }

    /// In bytes.
    pub(super) fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

fn memory_of_machine() -> Option<u64> {
    let all = fs::read_to_string("/proc/meminfo").ok()?;
    let line = all.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_what_somebody_says_or_a_part_of_what_there_is() {
        assert_eq!(
            QueryMemory::mebibytes(NonZeroU32::new(512).unwrap()).bytes(),
            512 << 20
        );
        let all = memory_of_machine().unwrap() as usize;
        let share = QueryMemory::of_this_machine().bytes();
        assert!(
            share >= LEAST as usize && share <= all.max(LEAST as usize),
            "{share} of {all}"
        );
    }
}
