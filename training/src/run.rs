//! The commands: one whole run, one scorer, or a comparison of scorers.
//!
//! A run is a chain of values: `Prepared` comes from the data, `Models` from what is prepared, `Judged` from
//! the models as a pod would load them, and the [`Summary`] from all of these. Files are written in one
//! place, `bundles`, which turns values into the folders of a set of bundles; a set that was judged and the
//! set that is published are two such sets, and neither knows of the other. What a step costs is all that a
//! `Run` remembers.

mod best;
mod bundles;
mod checkpoints;
mod contenders;
mod facts;
mod fingerprint;
mod judge;
mod models;
mod prepare;
mod promotion;
mod stacking;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use futures::future::LocalBoxFuture;
use gondola_artifacts::{Access, Store};
use url::Url;

use crate::dataset::queries::QuerySettings;
use crate::dataset::training::Scorer;
use crate::dataset::{Dataset, DatasetConfig, ShopFiles};
use crate::fetched::FetchedFolder;
use crate::fit::text::TextIndex;
use crate::publish::{self, PublishedBundle, PublishedScorer};
use crate::report::{Fact, Summary};
use crate::scoreboard::entrants::Entrants;
use crate::scoreboard::ours;
use crate::scoreboard::task::Task;
use crate::scoreboard::{self, ComparisonSettings, Scoreboard};
use crate::timings::Timings;
use crate::{labels, machine, progress};
use best::{BEST, Best};
use bundles::BundleSet;
use checkpoints::{Checkpoints, Stage};
use fingerprint::fingerprint;
use judge::{Depth, Judged};
use models::{FittedScorer, Latest, Models};
use prepare::Prepared;
pub use promotion::PromotionRule;

/// The folder of a run's stages, below its report: it is there while a run goes on, and after one that was killed.
const CHECKPOINTS: &str = "checkpoints";

/// What every command reads.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// The data set's configuration.
    pub dataset: PathBuf,
    /// Where its files are.
    pub data: Url,
    /// How an object store that they are in is reached.
    pub access: Access,
    /// Whether the test window is the last that the data fill, whatever `windows.test_start` says: for data that grow.
    pub test_latest: bool,
    /// How they are queried.
    pub queries: QuerySettings,
}

/// What a run reads and where it writes.
#[derive(Clone, Debug)]
pub struct RunConfig {
    /// The data set.
    pub inputs: Inputs,
    /// Folder or URL of the sentence encoder.
    pub encoder: String,
    /// The store that bundles are published into; reached as the data are.
    pub store: String,
    /// The channel that points to them.
    pub channel: String,
    /// When another channel takes them; never without.
    pub promotion: Option<PromotionRule>,
    /// A file for a line that says what a run came to.
    pub last_words: Option<PathBuf>,
    /// The folder of the report.
    pub report: PathBuf,
    /// Whether an earlier run with the same inputs is good enough.
    pub reuse: bool,
}

/// Runs everything; gives the summary, which an earlier run may have left. Boxed, as the other commands are, so that all of it is
/// compiled here, and not once more in the program.
pub fn run(config: &RunConfig) -> LocalBoxFuture<'_, anyhow::Result<Summary>> {
    Box::pin(run_everything(config))
}

async fn run_everything(config: &RunConfig) -> anyhow::Result<Summary> {
    let inputs = &config.inputs;
    let dataset = DatasetConfig::read(&inputs.dataset)?;
    let files = ShopFiles::find_with(&dataset, &inputs.data, &inputs.access).await?;
    let encoder = FetchedFolder::at(&config.encoder, &inputs.access).await?;
    let data = fingerprint::of_data(&files, inputs.test_latest)?;
    let fingerprint = fingerprint(&dataset, &data, Some(encoder.path()))?;
    if config.reuse
        && let Some(summary) = Summary::read(&config.report)
        && summary.fingerprint == fingerprint
        && let Ok(store) = Store::open_with(&config.store, &inputs.access)
        && publish::all_there(&store, &config.channel, &summary.bundles).await
    {
        return Ok(summary);
    }
    let scorers = dataset.training.scorers.clone();
    let checkpoints = Checkpoints::open(&config.report.join(CHECKPOINTS), data)?;
    let mut run = Run::begin(dataset, files, inputs, checkpoints).await?;
    // Before anything is trained for a store that can't be opened.
    let store = Store::open_with(&config.store, &inputs.access)?;
    let prepared = run.prepare().await?;
    let models = run.fit(&prepared, &scorers).await?;
    let judged = run.judge(&prepared, &models, Depth::Usual)?;
    let text = run.text_index(&prepared.test.known.snapshot, encoder.path())?;
    let latest = run.latest(&prepared.workflow, &models.towers).await?;
    let set = Published {
        prepared: &prepared,
        models: &models,
        latest: &latest,
        best: judged.best.as_ref(),
        text: &text,
    };
    let bundles = run.publish(&store, &config.channel, set).await?;
    let verdict = match &config.promotion {
        None => None,
        Some(rule) => Some(run.promote(rule, &store, &prepared, &models, &bundles).await?),
    };
    run.dataset.clear_shared_folder().await?;
    if let Some(file) = &config.last_words {
        promotion::leave_last_words(file, &bundles, verdict.as_ref())?;
    }
    let best = judged.best.as_ref().map(Best::title);
    let (mut summary, checkpoints) = run.summary(fingerprint, &prepared, &models, judged);
    summary
        .facts
        .extend(best.map(|best| Fact::new("published as best", best)));
    summary.facts.extend(facts::of_text(&text));
    summary.facts.extend(facts::of_latest(&latest));
    summary
        .facts
        .extend(verdict.map(|verdict| Fact::new("promotion", verdict.why)));
    summary.bundles = bundles;
    summary.write(&config.report)?;
    checkpoints.remove()?;
    Ok(summary)
}

/// Fits one scorer and leaves its bundle's files in a folder, which must not be there yet. Gives how long it was
/// trained: passes over the pairs, or trees.
pub fn fit<'a>(
    inputs: &'a Inputs,
    scorer: Scorer,
    folder: &'a Path,
) -> LocalBoxFuture<'a, anyhow::Result<usize>> {
    Box::pin(fit_one(inputs, scorer, folder))
}

async fn fit_one(inputs: &Inputs, scorer: Scorer, folder: &Path) -> anyhow::Result<usize> {
    let dataset = DatasetConfig::read(&inputs.dataset)?;
    let files = ShopFiles::find_with(&dataset, &inputs.data, &inputs.access).await?;
    fs::create_dir(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut run = Run::begin(dataset, files, inputs, Checkpoints::temporary()?).await?;
    let prepared = run.prepare().await?;
    let training_set = run.training_set(&prepared).await?;
    let FittedScorer { fitted, .. } = run.fit_scorer(scorer, &prepared.workflow, &training_set)?;
    run.dataset.clear_shared_folder().await?;
    fitted.save(folder)?;
    Ok(fitted.rounds)
}

/// Fits scorers, compares them on the test window, and writes the report; publishes nothing.
pub fn evaluate<'a>(
    inputs: &'a Inputs,
    scorers: &'a [Scorer],
    report: &'a Path,
) -> LocalBoxFuture<'a, anyhow::Result<Summary>> {
    Box::pin(compare(inputs, scorers, report))
}

async fn compare(inputs: &Inputs, scorers: &[Scorer], report: &Path) -> anyhow::Result<Summary> {
    let dataset = DatasetConfig::read(&inputs.dataset)?;
    let files = ShopFiles::find_with(&dataset, &inputs.data, &inputs.access).await?;
    let data = fingerprint::of_data(&files, inputs.test_latest)?;
    let fingerprint = fingerprint(&dataset, &data, None)?;
    let checkpoints = Checkpoints::open(&report.join(CHECKPOINTS), data)?;
    let mut run = Run::begin(dataset, files, inputs, checkpoints).await?;
    let prepared = run.prepare().await?;
    let models = run.fit(&prepared, scorers).await?;
    let judged = run.judge(&prepared, &models, Depth::Inputs)?;
    run.dataset.clear_shared_folder().await?;
    let (summary, checkpoints) = run.summary(fingerprint, &prepared, &models, judged);
    summary.write(report)?;
    checkpoints.remove()?;
    Ok(summary)
}

/// Compares our models with other people's packages on one split of the data, and writes the page; publishes nothing.
pub fn compare_with_others<'a>(
    inputs: &'a Inputs,
    settings: &'a ComparisonSettings,
    report: &'a Path,
) -> LocalBoxFuture<'a, anyhow::Result<Scoreboard>> {
    Box::pin(compare_all(inputs, settings, report))
}

async fn compare_all(
    inputs: &Inputs,
    settings: &ComparisonSettings,
    report: &Path,
) -> anyhow::Result<Scoreboard> {
    let dataset = DatasetConfig::read(&inputs.dataset)?;
    let files = ShopFiles::find_with(&dataset, &inputs.data, &inputs.access).await?;
    let mut run = Run::begin(dataset, files, inputs, Checkpoints::temporary()?).await?;
    let ComparisonSettings {
        seen, trials, seeds, ..
    } = *settings;
    let entrants = Entrants::named(&settings.models, &run.dataset.config.training.scorers)?;
    let task = Task::read(&run.dataset, seen, trials, seeds).await?;
    task.check()?;
    let pipelines = run.contenders(&task, &entrants).await;
    run.dataset.clear_shared_folder().await?;
    let asked = ours::ask(&task, entrants.spaces).and(pipelines);
    scoreboard::compare(&run.dataset.config.name, &task, settings, asked, report)
}

/// A run in progress: the data set that it reads, its stages, and what its steps took.
struct Run {
    dataset: Dataset,
    notices: Vec<String>,
    checkpoints: Checkpoints,
    timings: Timings,
}

/// What a run publishes.
struct Published<'a> {
    prepared: &'a Prepared,
    models: &'a Models,
    latest: &'a Latest,
    best: Option<&'a Best<'a>>,
    text: &'a TextIndex,
}

impl Run {
    /// Opens the data set.
    async fn begin(
        config: DatasetConfig,
        files: ShopFiles,
        inputs: &Inputs,
        checkpoints: Checkpoints,
    ) -> anyhow::Result<Self> {
        let queries = &inputs.queries;
        let mut timings = Timings::default();
        let spinner = progress::spinner("the shop's files");
        let read = async || -> anyhow::Result<_> {
            let folder = match checkpoints.stage("shop", &config.without_models())? {
                Stage::Done(folder) => folder,
                Stage::Open(stage) => {
                    Dataset::stage(config.clone(), &files, queries, stage.folder()).await?;
                    stage.keep()?
                }
            };
            let mut dataset = Dataset::open_staged(config, queries, &folder).await?;
            spinner.finish();
            let until = labels::day_after_last(&dataset).await?;
            if inputs.test_latest {
                dataset.config = dataset.config.tested_until(until)?;
            }
            labels::check_test_window(&dataset).await?;
            Ok((dataset, until))
        };
        let (dataset, until) = timings.time_async("the shop's files", read).await?;
        Ok(Self {
            notices: facts::notices(&dataset, until, facts::today()),
            dataset,
            checkpoints,
            timings,
        })
    }

    /// Publishes the models as they were judged, with features and index as of the data's last day.
    async fn publish(
        &mut self,
        store: &Store,
        channel: &str,
        published: Published<'_>,
    ) -> anyhow::Result<Vec<PublishedBundle>> {
        let Published {
            prepared,
            models,
            latest,
            best,
            text,
        } = published;
        let set = BundleSet {
            workflow: &prepared.workflow,
            known: &latest.known,
            towers: &models.towers,
            index: &latest.index,
            sources: &latest.sources,
            scorers: &models.scorers,
            best,
            text: Some(text),
        };
        let dimension = self.dataset.config.training.two_tower.dimension;
        let sources: Vec<&str> = latest
            .sources
            .iter()
            .map(|source| source.settings.bundle())
            .collect();
        let publish = async || -> anyhow::Result<_> {
            let stacked = || models.stacked.iter().map(|source| source.name.clone()).collect();
            let scorers = models.scorers.iter().map(|scorer| PublishedScorer {
                name: scorer.fitted.scorer.bundle(),
                sources: stacked(),
            });
            let best = best.map(|best| PublishedScorer {
                name: BEST,
                sources: best.sources(),
            });
            let scorers: Vec<PublishedScorer> = scorers.chain(best).collect();
            let dimensions = (dimension, text.dimension);
            let descriptions = publish::descriptions(&scorers, &sources, &prepared.workflow, dimensions)?;
            publish::all(store, channel, set.write()?.path(), &descriptions).await
        };
        self.timings.time_async("publishing", publish).await
    }

    /// What the run made and how good it is; what the steps took until now.
    fn summary(
        self,
        fingerprint: String,
        prepared: &Prepared,
        models: &Models,
        judged: Judged<'_>,
    ) -> (Summary, Checkpoints) {
        let config = &self.dataset.config;
        let summary = Summary {
            fingerprint,
            dataset: config.name.clone(),
            windows: facts::windows(config.windows),
            facts: facts::all(&self.dataset, prepared, models),
            verdict: judged.verdict.unwrap_or_default(),
            notices: self.notices,
            scorers: judged.scorers,
            retrieval: judged.retrieval,
            baselines: judged.baselines,
            variants: judged.variants,
            bundles: Vec::new(),
            steps: self.timings.into_steps(),
            peak_memory_bytes: machine::peak_memory_bytes(),
            machine: machine::machine(),
        };
        (summary, self.checkpoints)
    }
}
