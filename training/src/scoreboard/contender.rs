//! A model that takes part: what it is, what it cost, and its lists.

use std::collections::BTreeMap;

/// The lists of one fitted model, the best item first, by user.
pub type Lists = BTreeMap<u32, Vec<u32>>;

/// A model that takes part.
#[derive(Clone, Debug)]
pub struct Contender {
    /// What people call it.
    pub name: String,
    /// Who made it: `gondola`, or a package with its version.
    pub maker: String,
    /// The settings that were the best in the tuning window.
    pub settings: serde_json::Value,
    /// What it cost.
    pub cost: Cost,
    /// Its lists, once a seed; once where there is no chance in it.
    pub lists: Vec<Lists>,
}

/// Those who answered, and who did not.
#[derive(Debug, Default)]
pub struct Asked {
    /// Models with their lists.
    pub contenders: Vec<Contender>,
    /// Packages that could not be asked, and models that failed, in words.
    pub missing: Vec<String>,
}

impl Asked {
    /// These and others.
    pub fn and(mut self, others: Self) -> Self {
        self.contenders.extend(others.contenders);
        self.missing.extend(others.missing);
        self
    }
}

/// What a model cost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// How many settings were tried.
    pub trials: usize,
    /// Seconds of all trials.
    pub tuning_seconds: f64,
    /// Seconds of one fit: the mean over seeds, of pipelines that of the first.
    pub fit_seconds: f64,
    /// Seconds for the lists of all users who were asked, the mean over seeds.
    pub answer_seconds: f64,
    /// The most memory of the process that it ran in, in bytes; none where others ran in it too.
    pub peak_memory_bytes: Option<u64>,
}
