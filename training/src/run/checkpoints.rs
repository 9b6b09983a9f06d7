//! What a run has done so far, so that a run that was killed goes on where it stopped.
//!
//! A stage is a folder that is named by the digest of what it was made from. It is written under another name and
//! renamed when it is whole: a folder with its name is a stage that is done, whoever did it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Serialize;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// Letters of a digest in a folder's name.
const SHOWN: usize = 16;

/// The folder of a run's stages.
pub(super) struct Checkpoints {
    folder: PathBuf,
    /// What names the data and this version.
    made_from: String,
    /// Goes when this value goes, where nobody is to go on from here.
    _temporary: Option<TempDir>,
}

/// A stage of a run.
pub(super) enum Stage {
    /// An earlier run left it in this folder.
    Done(PathBuf),
    /// It is to be made.
    Open(OpenStage),
}

/// A stage that is being made.
pub(super) struct OpenStage {
    folder: PathBuf,
    done: PathBuf,
}

impl Checkpoints {
    /// Stages in a folder, which later runs with the same digest of the data go on from.
    pub(super) fn open(folder: &Path, made_from: String) -> anyhow::Result<Self> {
        make(folder)?;
        Ok(Self {
            folder: folder.to_owned(),
            made_from,
            _temporary: None,
        })
    }

    /// Stages that nobody goes on from.
    pub(super) fn temporary() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("cannot make a folder to work in")?;
        Ok(Self {
            folder: folder.path().to_owned(),
            made_from: String::new(),
            _temporary: Some(folder),
        })
    }

    /// The stage of a name that is made from the data and from these settings.
    pub(super) fn stage(&self, name: &str, settings: &impl Serialize) -> anyhow::Result<Stage> {
        let mut digest = Sha256::new();
        digest.update(&self.made_from);
        digest.update(serde_json::to_vec(settings).context("settings are always JSON")?);
        let digest = hex::encode(digest.finalize());
        let done = self.folder.join(format!("{name}-{}", &digest[..SHOWN]));
        if done.is_dir() {
            return Ok(Stage::Done(done));
        }
        let folder = done.with_extension("unfinished");
        remove(&folder)?;
        make(&folder)?;
        Ok(Stage::Open(OpenStage { folder, done }))
    }

    /// Removes all stages: the run is over.
    pub(super) fn remove(self) -> anyhow::Result<()> {
        remove(&self.folder)
    }
}

impl OpenStage {
    /// Where its files are to be put.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The stage is whole; gives the folder that it has from now on.
    pub(super) fn keep(self) -> anyhow::Result<PathBuf> {
        let Self { folder, done } = self;
        fs::rename(&folder, &done).with_context(|| format!("cannot rename {}", folder.display()))?;
        Ok(done)
    }
}

fn make(folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))
}

fn remove(folder: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(stage: Stage) -> OpenStage {
        match stage {
            Stage::Open(open) => open,
            Stage::Done(folder) => panic!("{} is done", folder.display()),
        }
    }

    #[test]
    fn a_stage_is_done_when_it_is_whole_and_only_for_what_it_was_made_from() {
        let folder = tempfile::tempdir().unwrap();
        let run = Checkpoints::open(folder.path(), "data".to_owned()).unwrap();
        let stage = open(run.stage("towers", &1).unwrap());
        fs::write(stage.folder().join("half"), "").unwrap();
        // The run is killed here; the next one finds nothing of it.
        let stage = open(run.stage("towers", &1).unwrap());
        assert!(!stage.folder().join("half").exists());
        fs::write(stage.folder().join("whole"), "").unwrap();
        let kept = stage.keep().unwrap();
        let again = Checkpoints::open(folder.path(), "data".to_owned()).unwrap();
        assert!(matches!(again.stage("towers", &1).unwrap(), Stage::Done(found) if found == kept));
        open(again.stage("towers", &2).unwrap());
        let other = Checkpoints::open(folder.path(), "other data".to_owned()).unwrap();
        open(other.stage("towers", &1).unwrap());
        again.remove().unwrap();
        assert!(!folder.path().exists());
    }
}
