//! Who runs on which processor, so that clients take nothing from those whom they ask: by `taskset`, which every Linux has.

use std::fs;
use std::process::{self, Command, Stdio};

use anyhow::{Context as _, ensure};

/// A processor for those who are asked, and another for those who ask. Each is a number, as `taskset` reads it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Apart {
    pub(crate) servers: String,
    pub(crate) clients: String,
}

impl Apart {
    /// Two of the processors that this program may use; nothing where it may use one alone.
    pub(crate) fn find() -> anyhow::Result<Option<Self>> {
        Self::of(&allowed()?)
    }

    fn of(list: &str) -> anyhow::Result<Option<Self>> {
        Ok(match numbers(list)?[..] {
            [servers, clients, ..] => Some(Self {
                servers: servers.to_string(),
                clients: clients.to_string(),
            }),
            _ => None,
        })
    }
}

/// Keeps this program, with all of its threads, on one processor until it is dropped.
pub(crate) struct Kept {
    before: String,
}

impl Kept {
    pub(crate) fn on(processor: &str) -> anyhow::Result<Self> {
        let before = allowed()?;
        keep_on(processor)?;
        Ok(Self { before })
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Err(error) = keep_on(&self.before) {
            eprintln!("this program stays on one processor: {error:#}");
        }
    }
}

/// How a command begins that runs on one processor.
pub(crate) fn command_on(processor: &str) -> [String; 3] {
    ["taskset", "-c", processor].map(str::to_owned)
}

/// The processors that this program may use, such as `0-2,5`.
fn allowed() -> anyhow::Result<String> {
    let status = fs::read_to_string("/proc/self/status")?;
    let list = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    Ok(list
        .context("/proc/self/status has no Cpus_allowed_list")?
        .trim()
        .to_owned())
}

fn keep_on(processors: &str) -> anyhow::Result<()> {
    let this = process::id().to_string();
    let status = Command::new("taskset")
        .args(["-a", "-p", "-c", processors, &this])
        .stdout(Stdio::null())
        .status()
        .context("cannot run taskset")?;
    ensure!(status.success(), "taskset -a -p -c {processors} {this}: {status}");
    Ok(())
}

fn numbers(list: &str) -> anyhow::Result<Vec<u32>> {
    let mut numbers = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let wrong = || format!("{list:?} is no list of processors");
        let (first, last): (u32, u32) = (
            first.parse().with_context(wrong)?,
            last.parse().with_context(wrong)?,
        );
        numbers.extend(first..=last);
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_of_the_processors_that_may_be_used_are_kept_apart() {
        let of = |list: &str| {
            Apart::of(list)
                .unwrap()
                .map(|apart| (apart.servers, apart.clients))
        };
        let two = |servers: &str, clients: &str| Some((servers.to_owned(), clients.to_owned()));
        assert_eq!(of("0-1"), two("0", "1"));
        assert_eq!(of("3,5-7"), two("3", "5"));
        assert_eq!(of("2"), None);
        assert!(Apart::of("all").is_err());
    }
}
