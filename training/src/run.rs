//! The commands: one whole run, one scorer, or a comparison of scorers. Their steps are in [`work`] and [`judge`].

mod encoder;
mod judge;
mod work;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use gondola_models::features::Workflow;
use sha2::{Digest, Sha256};
use url::Url;

use crate::dataset::training::Scorer;
use crate::dataset::{DatasetConfig, ShopFiles};
use crate::evaluate::end_to_end;
use crate::fit::Fitted;
use crate::fit::two_tower::Trained;
use crate::publish;
use crate::report::Summary;
use judge::Depth;
use work::{Ground, Run};

/// What every command reads.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// The data set's configuration.
    pub dataset: PathBuf,
    /// Where its files are.
    pub data: Url,
}

/// What a run reads and where it writes.
#[derive(Clone, Debug)]
pub struct RunConfig {
    /// The data set.
    pub inputs: Inputs,
    /// The folder of the sentence encoder.
    pub encoder: PathBuf,
    /// The store that bundles are published into.
    pub store: String,
    /// The folder of the report.
    pub report: PathBuf,
    /// Whether an earlier run with the same inputs is good enough.
    pub reuse: bool,
}

/// Runs everything; gives the summary, which an earlier run may have left.
pub async fn run(config: &RunConfig) -> anyhow::Result<Summary> {
    let dataset = DatasetConfig::read(&config.inputs.dataset)?;
    let files = ShopFiles::find(&dataset, &config.inputs.data).await?;
    let fingerprint = fingerprint(&dataset, &files, Some(&config.encoder))?;
    if config.reuse
        && let Some(summary) = Summary::read(&config.report)
        && summary.fingerprint == fingerprint
        && publish::all_there(&config.store, &summary.bundles).await
    {
        return Ok(summary);
    }
    let work = tempfile::tempdir().context("cannot make a folder to work in")?;
    let run = Run::begin(dataset, files, work.path()).await?;
    let summary = run.publish_all(config, fingerprint).await?;
    summary.write(&config.report)?;
    Ok(summary)
}

/// Fits one scorer and leaves its bundle's files in a folder, which must not be there yet.
pub async fn fit(inputs: &Inputs, scorer: Scorer, folder: &Path) -> anyhow::Result<Fitted> {
    let dataset = DatasetConfig::read(&inputs.dataset)?;
    let files = ShopFiles::find(&dataset, &inputs.data).await?;
    fs::create_dir(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let work = tempfile::tempdir().context("cannot make a folder to work in")?;
    let mut run = Run::begin(dataset, files, work.path()).await?;
    let Ground {
        train,
        workflow,
        pairs,
        ..
    } = run.ground().await?;
    let examples = run.examples(&workflow, &pairs, &train).await?;
    let made = run.fit_scorers(&[scorer], &workflow, &examples)?;
    copy_files(&run.folder(scorer.bundle())?, folder)?;
    let fitted = made.into_iter().next().map(|made| made.fitted);
    fitted.context("one scorer was asked for, so one was fitted")
}

/// Fits scorers, compares them on the test window, and writes the report; publishes nothing.
pub async fn evaluate(inputs: &Inputs, scorers: &[Scorer], report: &Path) -> anyhow::Result<Summary> {
    let dataset = DatasetConfig::read(&inputs.dataset)?;
    let files = ShopFiles::find(&dataset, &inputs.data).await?;
    let fingerprint = fingerprint(&dataset, &files, None)?;
    let work = tempfile::tempdir().context("cannot make a folder to work in")?;
    let mut run = Run::begin(dataset, files, work.path()).await?;
    let ground = run.ground().await?;
    let (summary, _) = run
        .fit_and_judge(&ground, scorers, Depth::Inputs, fingerprint)
        .await?;
    let summary = run.close(summary);
    summary.write(report)?;
    Ok(summary)
}

/// Names everything that a run depends on: the configuration, what the data and the encoder hold, and this version. Where they
/// lie says nothing.
fn fingerprint(dataset: &DatasetConfig, files: &ShopFiles, encoder: Option<&Path>) -> anyhow::Result<String> {
    let mut digest = Sha256::new();
    digest.update(serde_json::to_vec(&dataset.without_files()).expect("configurations are always JSON"));
    files.hash_into(&mut digest)?;
    if let Some(encoder) = encoder {
        encoder::hash_into(encoder, &mut digest)
            .with_context(|| format!("cannot read the encoder in {}", encoder.display()))?;
    }
    digest.update(env!("CARGO_PKG_VERSION"));
    Ok(hex::encode(digest.finalize()))
}

fn copy_files(from: &Path, to: &Path) -> anyhow::Result<()> {
    let copy = || -> std::io::Result<()> {
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
        Ok(())
    };
    copy().with_context(|| format!("cannot copy the bundle's files to {}", to.display()))
}

impl Run {
    /// Everything, and publishes it.
    async fn publish_all(mut self, config: &RunConfig, fingerprint: String) -> anyhow::Result<Summary> {
        let scorers = self.dataset.config.training.scorers.clone();
        let ground = self.ground().await?;
        let (mut summary, towers) = self
            .fit_and_judge(&ground, &scorers, Depth::Usual, fingerprint)
            .await?;
        let text = self.timed("text embeddings", |run| {
            run.fit_text(&ground.test.snapshot, &config.encoder)
        })?;
        self.facts.push((
            "items with a text, different texts".into(),
            format!("{}, {}", text.items, text.texts),
        ));
        self.facts.push((
            "recall@200 of the text index".into(),
            format!("{:.4}", text.recall),
        ));
        self.bring_up_to_date(&ground.workflow, &towers).await?;
        summary.bundles = self
            .publish(config, &scorers, &ground.workflow, text.dimension)
            .await?;
        Ok(self.close(summary))
    }

    /// Towers, index and scorers, and how good they are.
    async fn fit_and_judge(
        &mut self,
        ground: &Ground,
        scorers: &[Scorer],
        depth: Depth,
        fingerprint: String,
    ) -> anyhow::Result<(Summary, Trained)> {
        let Ground {
            train,
            test,
            workflow,
            pairs,
            encoded,
        } = ground;
        let towers = self.fit_towers(workflow).await?;
        self.index_items(&towers, encoded, &test.snapshot, "as evaluated")?;
        let examples = self.examples(workflow, pairs, train).await?;
        let made = self.fit_scorers(scorers, workflow, &examples)?;
        let usual_chance = examples.labelled.usual_chance();
        drop(examples);
        self.write_features(workflow, &test.snapshot, &test.tables)?;
        let qualities = self.timed("scores of labelled pairs", |run| {
            run.judge_scorers(ground, made, usual_chance, depth)
        })?;
        let bought = end_to_end::bought(&test.window);
        let variants = self.timed("lists for every buyer", |run| run.ask_variants(scorers, &bought))?;
        let retrieval = self.timed("retrieval beside its baselines", |run| {
            run.judge_retrieval(ground)
        })?;
        let summary = Summary {
            fingerprint,
            retrieval,
            dataset: self.dataset.config.name.clone(),
            windows: self.windows(),
            scorers: qualities,
            baselines: end_to_end::baselines(&test.snapshot, &bought),
            variants,
            machine: machine(),
            ..Summary::default()
        };
        Ok((summary, towers))
    }

    /// The windows, in words.
    fn windows(&self) -> String {
        let windows = self.dataset.config.windows;
        let stopped = match windows.training {
            0 | 1 => "",
            _ => " How long was found on the last training window, by training on those before it first.",
        };
        format!(
            "Trained on what was known on {} and bought until {} (training windows of {} days: {}); tested on what was \
             known on {} and bought until {}.{stopped}",
            windows.train_start(),
            windows.test_start,
            windows.target_days,
            windows.training,
            windows.test_start,
            windows.test_end()
        )
    }

    /// Adds what is known at the end.
    fn close(self, summary: Summary) -> Summary {
        Summary {
            notices: self.notices,
            facts: self.facts,
            steps: self.steps,
            peak_memory_bytes: peak_memory_bytes(),
            ..summary
        }
    }

    async fn publish(
        &mut self,
        config: &RunConfig,
        scorers: &[Scorer],
        workflow: &Workflow,
        text_dimension: usize,
    ) -> anyhow::Result<Vec<(String, String, String)>> {
        let started = Instant::now();
        let dimension = self.dataset.config.training.two_tower.dimension;
        let descriptions = publish::descriptions(scorers, workflow, dimension, text_dimension)?;
        let published = publish::all(&config.store, self.bundles(), &descriptions).await?;
        self.steps
            .push(("publishing".into(), started.elapsed().as_secs_f64()));
        Ok(published)
    }
}

/// The most memory that this process had at once.
fn peak_memory_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// The processor and the number of cores.
fn machine() -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = cpus
        .lines()
        .find(|line| line.starts_with("model name"))
        .and_then(|line| line.split(": ").nth(1));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{}, {cores} cores", name.unwrap_or("unknown processor"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "
name: tiny
transactions: {file: tx.csv, user: cid, item: aid, time: when}
items: {file: items.csv, key: aid}
features: {}
windows: {test_start: 2024-05-20}
";

    /// A shop's folder with an encoder, and what names its content.
    struct Shop(tempfile::TempDir);

    impl Shop {
        fn new() -> Self {
            let shop = Self(tempfile::tempdir().unwrap());
            fs::create_dir(shop.0.path().join("encoder")).unwrap();
            shop.with("dataset.yaml", CONFIG)
                .with("tx.csv", "when,cid,aid\n2024-01-01,u,i\n")
                .with("items.csv", "aid\ni\n")
                .with("encoder/config.json", "{}")
                .with("encoder/README.md", "what it is")
        }

        fn with(self, file: &str, content: &str) -> Self {
            fs::write(self.0.path().join(file), content).unwrap();
            self
        }

        async fn fingerprint(&self) -> String {
            let folder = self.0.path();
            let config = DatasetConfig::read(&folder.join("dataset.yaml")).unwrap();
            let files = ShopFiles::find(&config, &Url::from_directory_path(folder).unwrap())
                .await
                .unwrap();
            fingerprint(&config, &files, Some(&folder.join("encoder"))).unwrap()
        }
    }

    #[tokio::test]
    async fn a_run_is_named_by_what_it_reads_and_not_by_where_that_lies() {
        let named = Shop::new().fingerprint().await;
        let elsewhere = Shop::new()
            .with("renamed.csv", "when,cid,aid\n2024-01-01,u,i\n")
            .with("dataset.yaml", &CONFIG.replace("tx.csv", "renamed.csv"))
            .with("encoder/README.md", "what it is, in other words");
        assert_eq!(elsewhere.fingerprint().await, named);
        for (file, content) in [
            ("tx.csv", "when,cid,aid\n2024-01-02,u,i\n"),
            ("items.csv", "aid\ni\nj\n"),
            ("encoder/config.json", "{ }"),
            ("dataset.yaml", &CONFIG.replace("05-20", "05-21")),
        ] {
            let changed = Shop::new().with(file, content);
            assert_ne!(changed.fingerprint().await, named, "{file}");
        }
    }
}
