//! The processes of the node: what a kernel, a crash or a lost machine does to them.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, ensure};

use crate::kubectl::run;

/// A process, stopped or ended as nobody asks it to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process(u32);

impl Process {
    /// The one program of a pod that is called so. Containers of a pod share a cgroup that has the pod's uid in its name.
    pub(crate) fn of_pod(uid: &str, program: &str) -> anyhow::Result<Self> {
        let belongs = |id: u32| {
            let read = |file: &str| fs::read_to_string(format!("/proc/{id}/{file}")).unwrap_or_default();
            read("cgroup").contains(&format!("pod{uid}")) && is_called(id, program)
        };
        let found = all()?.find(|id| belongs(*id));
        found
            .map(Self)
            .with_context(|| format!("pod {uid} runs no {program}"))
    }

    /// A program of the node that is called so.
    pub(crate) fn named(program: &str) -> anyhow::Result<Self> {
        let found = all()?.find(|id| is_called(*id, program));
        found.map(Self).with_context(|| format!("no {program} runs"))
    }

    /// It neither runs nor ends, as on a machine that hangs.
    pub(crate) async fn freeze(self) -> anyhow::Result<Frozen> {
        self.signal("STOP").await?;
        Ok(Frozen(self))
    }

    /// It ends without a word.
    pub(crate) async fn kill(self) -> anyhow::Result<()> {
        self.signal("KILL").await
    }

    async fn signal(self, signal: &str) -> anyhow::Result<()> {
        let (signal, id) = (format!("-{signal}"), self.0.to_string());
        run(Path::new("kill"), &[&signal, &id], "").await?;
        Ok(())
    }
}

/// A process that is stopped until this is thawed or dropped.
pub(crate) struct Frozen(Process);

impl Frozen {
    pub(crate) fn thaw(self) {
        drop(self);
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        // It may have been ended meanwhile.
        let id = self.0.0.to_string();
        let _ = std::process::Command::new("kill").args(["-CONT", &id]).output();
    }
}

fn all() -> anyhow::Result<impl Iterator<Item = u32>> {
    let entries = fs::read_dir("/proc").context("cannot list processes")?;
    let ids: Vec<u32> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    ensure!(!ids.is_empty(), "/proc has no process");
    Ok(ids.into_iter())
}

/// By the file that it runs: the kernel cuts the short name of a process after 15 letters.
fn is_called(id: u32, program: &str) -> bool {
    let command = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
    let first = command.split(|byte| *byte == 0).next().unwrap_or_default();
    Path::new(&*String::from_utf8_lossy(first))
        .file_name()
        .is_some_and(|name| name == program)
}
