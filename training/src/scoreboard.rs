//! The scoreboard: our models and other people's packages on one task, judged by the same ruler.
//!
//! In the order of a comparison:
//!
//! 1. [`task`]: one time split of the user's own data: what precedes the tuning window, the tuning window, everything before the
//!    test window, and what was bought in it;
//! 2. [`entrants`]: which of our models take part; [`ours`]: each model of who buys what, tuned, fitted and asked (towers and whole
//!    pipelines come in as [contenders](contender) that a run made); [`packages`]: the same by other people's packages, in Python;
//! 3. [`ruler`]: what every list is worth, user by user; [`standing`]: means, intervals, and who is better than whom by more than
//!    chance;
//! 4. `page`: a page for people, and JSON for programs; [`borda`] counts over several data sets.
//!
//! Everybody has the same trials to tune by, on the same window, and answers from the full catalogue. No metric is sampled, and
//! packages never judge themselves: they leave lists.

pub mod borda;
pub mod contender;
pub mod entrants;
pub mod ours;
pub mod packages;
mod page;
pub mod ruler;
pub mod standing;
pub mod task;

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::machine::machine;
use contender::Asked;
use standing::Standing;
use task::{Seen, Task};

/// How a comparison is made.
#[derive(Clone, Debug)]
pub struct ComparisonSettings {
    /// Other people's packages.
    pub against: Vec<String>,
    /// The Python that has them.
    pub python: PathBuf,
    /// Whether lists may have what their users had bought.
    pub seen: Seen,
    /// How many settings of a model are tried, at most.
    pub trials: usize,
    /// How many seeds a model with chance in it is fitted with.
    pub seeds: u64,
    /// Which of our models take part, by the names of their bundles; empty for all of them, with the pipelines that a run would publish.
    pub models: Vec<String>,
}

/// What a comparison came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scoreboard {
    /// Name of the data set.
    pub dataset: String,
    /// The task, in words.
    pub task: String,
    /// Which model to take, in one sentence.
    pub verdict: String,
    /// The models, the best first.
    pub standings: Vec<Standing>,
    /// Packages that could not be asked, or models that failed, in words.
    pub missing: Vec<String>,
    /// The machine: processor and cores.
    pub machine: String,
}

/// Has other people's packages answer as well as those who did, judges all answers, and leaves the page, its first picture (`scoreboard.svg`) and
/// `scoreboard.json` in a folder.
pub fn compare(
    dataset: &str,
    task: &Task,
    settings: &ComparisonSettings,
    mut asked: Asked,
    report: &Path,
) -> anyhow::Result<Scoreboard> {
    if !settings.against.is_empty() {
        let folder = report.join("task");
        let packages = packages::ask(task, &settings.against, &settings.python, &folder)?;
        asked = asked.and(packages);
    }
    let Asked { contenders, missing } = asked;
    anyhow::ensure!(
        !contenders.is_empty(),
        "no model could be fitted: {}",
        missing.join("; ")
    );
    let standings = standing::of(&contenders, task);
    let board = Scoreboard {
        dataset: dataset.to_owned(),
        task: task.in_words(),
        verdict: standing::verdict(&standings),
        standings,
        missing,
        machine: machine(),
    };
    board.write(report)?;
    Ok(board)
}

impl Scoreboard {
    fn write(&self, folder: &Path) -> anyhow::Result<()> {
        let write = |name: &str, content: &[u8]| {
            let path = folder.join(name);
            std::fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))
        };
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        write("scoreboard.html", page::render(self).as_bytes())?;
        write("scoreboard.svg", page::picture(self).as_bytes())?;
        write("scoreboard.json", &serde_json::to_vec_pretty(self)?)
    }

    /// Reads what an earlier comparison left in a folder.
    pub fn read(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join("scoreboard.json");
        let json = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_slice(&json).with_context(|| format!("{} is no scoreboard", path.display()))
    }

    /// The verdict and the table, for a terminal.
    pub fn text(&self) -> String {
        let missing: String = self
            .missing
            .iter()
            .map(|missing| format!("missing: {missing}\n"))
            .collect();
        format!(
            "{}\n\n{}\n{}\n{missing}",
            self.verdict,
            self.task,
            page::accuracy(self).text()
        )
    }
}
