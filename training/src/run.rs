//! One run: from transactions to published bundles and a report, step by step.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use gondola_inference::features::{Cells, PairFeatures, Schema, Workflow};
use gondola_inference::ordering::Order;
use gondola_inference::pipeline::{AlreadyBought, Variant, VariantFolders, VariantSettings};
use gondola_inference::retrieval::index::SearchParameters;
use gondola_inference::retrieval::sources::Quotas;
use sha2::{Digest, Sha256};
use url::Url;

use crate::dataset::{Dataset, DatasetConfig};
use crate::evaluate::{self, PairMetrics, VariantQuality, end_to_end};
use crate::features::{self, FeatureTables, POPULARITY, Snapshot};
use crate::fit::examples::{Encoded, Examples, encoded_pairs, raw_pairs};
use crate::fit::two_tower::Trained;
use crate::fit::{self, plan, text::TextSummary, two_tower};
use crate::labels::{self, LabelledPairs, Window};
use crate::progress;
use crate::publish;
use crate::report::Summary;

/// Users whose queries weigh the index against exact search.
const RECALL_QUERIES: usize = 500;

/// Candidates of each source when the pipeline is evaluated end to end: what the example's pipeline has.
const EVALUATED_QUOTAS: Quotas = Quotas {
    two_tower: 200,
    bought_before: 100,
    co_bought: 0,
    popular: 0,
};

/// What a run reads and where it writes.
#[derive(Clone, Debug)]
pub struct RunConfig {
    /// The data set's configuration.
    pub dataset: PathBuf,
    /// Where its files are.
    pub data: Url,
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
    let dataset = DatasetConfig::read(&config.dataset)?;
    let fingerprint = fingerprint(&dataset, config);
    if config.reuse
        && let Some(summary) = Summary::read(&config.report)
        && summary.fingerprint == fingerprint
        && publish::all_there(&config.store, &summary.bundles).await
    {
        return Ok(summary);
    }
    let work = tempfile::tempdir().context("cannot make a folder to work in")?;
    let summary = Run::begin(dataset, config, work.path())
        .await?
        .finish(config, fingerprint)
        .await?;
    summary.write(&config.report)?;
    Ok(summary)
}

/// Names everything that a run depends on: the configuration, where the data lie, and this version.
fn fingerprint(dataset: &DatasetConfig, config: &RunConfig) -> String {
    let mut digest = Sha256::new();
    digest.update(serde_json::to_vec(dataset).expect("configurations are always JSON"));
    digest.update(config.data.as_str());
    digest.update(env!("CARGO_PKG_VERSION"));
    hex::encode(digest.finalize())
}

/// A run in progress.
struct Run {
    dataset: Dataset,
    bundles: PathBuf,
    tables: PathBuf,
    steps: Vec<(String, f64)>,
    facts: Vec<(String, String)>,
}

/// What is known at one cut-off, and what was bought after it.
struct Sample {
    snapshot: Snapshot,
    tables: FeatureTables,
    window: Window,
    labelled: LabelledPairs,
}

impl Run {
    async fn begin(config: DatasetConfig, run: &RunConfig, work: &Path) -> anyhow::Result<Self> {
        let dataset = Dataset::open(config, &run.data).await?;
        let (bundles, tables) = (work.join("bundles"), work.join("tables"));
        for name in publish::NAMES {
            fs::create_dir_all(bundles.join(name)).context("cannot make the bundles' folders")?;
        }
        Ok(Self {
            dataset,
            bundles,
            tables,
            steps: Vec::new(),
            facts: Vec::new(),
        })
    }

    async fn finish(mut self, config: &RunConfig, fingerprint: String) -> anyhow::Result<Summary> {
        let windows = self.dataset.config.windows;
        let seed = self.dataset.config.training.seed;
        labels::check_test_window(&self.dataset).await?;
        let train = self.sample("train", windows.train_start(), seed).await?;
        let test = self.sample("test", windows.test_start, seed + 1).await?;

        let workflow = self.timed("workflow", |run| run.fit_workflow(&train))?;
        let pairs = PairFeatures::of(&workflow)?;
        let encoded = Encoded::new(&workflow, &test.snapshot);

        let towers = self.fit_towers(&workflow).await?;
        self.index_items(&towers, &encoded, &test.snapshot, "as evaluated")?;
        let examples = self.examples(&workflow, &pairs, &train).await?;
        let importances = self.fit_scorers(&workflow, &examples)?;
        let usual_chance = examples.labelled.usual_chance();
        drop(examples);
        let text = self.timed("text embeddings", |run| {
            run.fit_text(&test.snapshot, &config.encoder)
        })?;
        self.facts.push((
            "items with a text, different texts".into(),
            format!("{}, {}", text.items, text.texts),
        ));
        self.facts.push((
            "recall@200 of the text index".into(),
            format!("{:.4}", text.recall),
        ));
        self.write_features(&workflow, &test.snapshot, &test.tables)?;

        let scorers = self.timed("scores of labelled pairs", |run| {
            run.score_pairs(&workflow, &pairs, &encoded, &test, usual_chance)
        })?;
        let bought = end_to_end::bought(&test.window);
        let baselines = end_to_end::baselines(&test.snapshot, &bought);
        let variants = self.timed("lists for every buyer", |run| run.ask_variants(&bought))?;
        self.bring_up_to_date(&workflow, &towers).await?;
        let bundles = self.publish(config, &workflow, text.dimension).await?;
        Ok(Summary {
            fingerprint,
            dataset: self.dataset.config.name.clone(),
            windows: format!(
                "Trained on what was known on {} and bought until {} (training windows of {} days: {}); tested on what was \
                 known on {} and bought until {}.",
                windows.train_start(),
                windows.test_start,
                windows.target_days,
                windows.training,
                windows.test_start,
                windows.test_end()
            ),
            facts: self.facts,
            scorers,
            importances,
            baselines,
            variants,
            bundles,
            steps: self.steps,
            peak_memory_bytes: peak_memory_bytes(),
            machine: machine(),
        })
    }

    fn timed<T, E>(
        &mut self,
        step: &'static str,
        work: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        let started = Instant::now();
        let result = work(self);
        self.steps
            .push((step.to_owned(), started.elapsed().as_secs_f64()));
        result
    }

    /// Features as of a date, and labelled pairs of the window after it.
    async fn sample(&mut self, name: &str, as_of: chrono::NaiveDate, seed: u64) -> anyhow::Result<Sample> {
        let started = Instant::now();
        let spinner = progress::spinner("features and labels");
        spinner.set_message(format!("as of {as_of}"));
        let folder = self.tables.join(name);
        fs::create_dir_all(&folder).context("cannot make a folder for tables")?;
        let tables = features::compute(&self.dataset, as_of, &folder).await?;
        let snapshot = Snapshot::read(&tables)?;
        let days = chrono::Days::new(self.dataset.config.windows.target_days.into());
        let window = Window::read(&self.dataset, as_of, as_of + days).await?;
        let half_life = self.dataset.config.features.half_life_days;
        let labelled = labels::label(&window.pairs(&snapshot), &snapshot, half_life, seed)?;
        spinner.finish();
        self.facts.push((
            format!("{name}: users, items, labelled pairs"),
            format!(
                "{}, {}, {}",
                snapshot.users.len(),
                snapshot.items.len(),
                labelled.pairs.len()
            ),
        ));
        self.steps.push((
            format!("features and labels, {name}"),
            started.elapsed().as_secs_f64(),
        ));
        Ok(Sample {
            snapshot,
            tables,
            window,
            labelled,
        })
    }

    /// Fits the workflow on the training snapshot; pair features on the labelled pairs.
    fn fit_workflow(&mut self, train: &Sample) -> anyhow::Result<Workflow> {
        let plan = plan::workflow(&self.dataset.config);
        let Snapshot { users, items, .. } = &train.snapshot;
        let entities = Workflow::fit(&plan, users, items, &[]);
        let names: Vec<&str> = plan.pair.iter().map(|column| column.column.as_str()).collect();
        let features = PairFeatures::raw(&names, &entities)?;
        let encoded_items = entities.item.encode_table(items);
        let values = raw_pairs(&features, &train.labelled.pairs, &train.snapshot, &encoded_items);
        Ok(Workflow::fit(&plan, users, items, &values))
    }

    /// Trains the towers on the purchases before the training window.
    async fn fit_towers(&mut self, workflow: &Workflow) -> anyhow::Result<Trained> {
        let started = Instant::now();
        let config = &self.dataset.config;
        let windows = config.windows;
        let folder = self.tables.join("retrieval");
        fs::create_dir_all(&folder).context("cannot make a folder for tables")?;
        let tables = features::compute(&self.dataset, windows.retrieval_start(), &folder).await?;
        let before = Snapshot::read(&tables)?;
        let purchases = Window::read(&self.dataset, windows.retrieval_start(), windows.train_start()).await?;
        let settings = &config.training.two_tower;
        let bar = progress::bar("two towers");
        let trained = two_tower::train(
            settings,
            &workflow.cardinalities(),
            &Encoded::new(workflow, &before),
            &purchases.pairs(&before),
            config.training.seed,
            &bar,
        )?;
        bar.finish();
        self.steps
            .push(("two towers".into(), started.elapsed().as_secs_f64()));
        Ok(trained)
    }

    /// Indexes the items of a snapshot that were sold lately; `which` tells this index from others in the report.
    fn index_items(
        &mut self,
        trained: &Trained,
        encoded: &Encoded,
        snapshot: &Snapshot,
        which: &str,
    ) -> anyhow::Result<()> {
        let started = Instant::now();
        let Snapshot { items, users, .. } = snapshot;
        let windows = self.dataset.config.windows;
        let sold = |row: &u32| {
            let days = items.row(*row as usize).cell("days_since_sold").as_number();
            days.is_some_and(|days| days <= f64::from(windows.index_days))
        };
        let rows: Vec<u32> = (0..items.len() as u32).filter(sold).collect();
        let vectors = trained.embed_items(&encoded.items, &rows)?;
        let step = 1 + users.len() / RECALL_QUERIES;
        let queries: Vec<u32> = (0..users.len() as u32).step_by(step).collect();
        let queries = trained.embed_users(&encoded.users, &queries)?;
        let settings = &self.dataset.config.training.two_tower;
        let folder = self.bundles.join("two-tower");
        let recall = trained.save(&folder, settings, items, &rows, &vectors, &queries)?;
        self.facts.push((
            format!("index {which}: items, recall@200 against exact search"),
            format!("{}, {recall:.4}", rows.len()),
        ));
        self.steps
            .push((format!("index {which}"), started.elapsed().as_secs_f64()));
        Ok(())
    }

    /// What is published knows everything until the data's last day, not only what was known when the test window began:
    /// the models stay as they were evaluated, features and index are made anew.
    async fn bring_up_to_date(&mut self, workflow: &Workflow, towers: &Trained) -> anyhow::Result<()> {
        let started = Instant::now();
        let as_of = labels::day_after_last(&self.dataset).await?;
        let folder = self.tables.join("latest");
        fs::create_dir_all(&folder).context("cannot make a folder for tables")?;
        let tables = features::compute(&self.dataset, as_of, &folder).await?;
        let snapshot = Snapshot::read(&tables)?;
        self.write_features(workflow, &snapshot, &tables)?;
        self.facts
            .push(("published: what was known on".into(), as_of.to_string()));
        self.steps
            .push(("features, as published".into(), started.elapsed().as_secs_f64()));
        let encoded = Encoded::new(workflow, &snapshot);
        self.index_items(towers, &encoded, &snapshot, "as published")
    }

    /// The labelled pairs of all training windows; a window's tables are let go before the next are read.
    async fn examples(
        &mut self,
        workflow: &Workflow,
        pairs: &PairFeatures,
        train: &Sample,
    ) -> anyhow::Result<Examples> {
        let mut examples = Examples::new(workflow);
        examples.add(workflow, pairs, &train.snapshot, &train.labelled);
        let seed = self.dataset.config.training.seed;
        let earlier = self.dataset.config.windows.earlier_starts();
        for (as_of, number) in earlier.into_iter().zip(2..) {
            let name = format!("train {number}");
            let sample = self.sample(&name, as_of, seed + number).await?;
            examples.add(workflow, pairs, &sample.snapshot, &sample.labelled);
        }
        Ok(examples)
    }

    fn fit_scorers(
        &mut self,
        workflow: &Workflow,
        examples: &Examples,
    ) -> anyhow::Result<Vec<(String, f64)>> {
        let (layout, cardinalities) = (workflow.layout(), workflow.cardinalities());
        let training = self.dataset.config.training.clone();
        self.timed("DLRM", |run| {
            let bar = progress::bar("DLRM");
            let folder = run.bundles.join("dlrm");
            let seed = training.seed;
            fit::dlrm::train(
                &training.dlrm,
                &layout,
                &cardinalities,
                examples,
                seed,
                &bar,
                &folder,
            )?;
            bar.finish();
            anyhow::Ok(())
        })?;
        self.timed("forest", |run| {
            let spinner = progress::spinner("forest");
            let folder = run.bundles.join("forest");
            let seed = training.seed;
            let importances = fit::forest::train(&training.forest, &layout, examples, seed, &folder)?;
            spinner.finish();
            Ok(importances)
        })
    }

    fn fit_text(&mut self, snapshot: &Snapshot, encoder: &Path) -> anyhow::Result<TextSummary> {
        let bar = progress::bar("text embeddings");
        let config = &self.dataset.config;
        let folder = self.bundles.join("item-text");
        let settings = &config.training.two_tower;
        let summary = fit::text::fit(
            settings,
            &snapshot.items,
            &config.items.text,
            encoder,
            &bar,
            &folder,
        )?;
        bar.finish();
        Ok(summary)
    }

    fn write_features(
        &mut self,
        workflow: &Workflow,
        snapshot: &Snapshot,
        tables: &FeatureTables,
    ) -> anyhow::Result<()> {
        let folder = self.bundles.join("features");
        Schema::new(&snapshot.as_of.to_string(), POPULARITY).save(&folder)?;
        workflow.save(&folder)?;
        for table in [&tables.users, &tables.items, &tables.history] {
            let name = table.file_name().context("a table has a file name")?;
            fs::copy(table, folder.join(name)).with_context(|| format!("cannot copy {}", table.display()))?;
        }
        Ok(())
    }

    fn score_pairs(
        &mut self,
        workflow: &Workflow,
        pairs: &PairFeatures,
        encoded: &Encoded,
        test: &Sample,
        usual_chance: f32,
    ) -> anyhow::Result<Vec<(String, PairMetrics)>> {
        let features = encoded_pairs(pairs, &test.labelled.pairs, &test.snapshot, &encoded.items);
        let mut metrics = Vec::new();
        for name in publish::SCORERS {
            let folder = self.bundles.join(name);
            let scores = evaluate::pairs::score(
                &folder,
                &workflow.layout(),
                encoded,
                &test.labelled.pairs,
                &features,
            )?;
            let scores = evaluate::pairs::among_sampled(&scores, &test.labelled.chances, usual_chance);
            metrics.push((name.to_owned(), PairMetrics::of(&scores, &test.labelled.labels)));
        }
        Ok(metrics)
    }

    /// Loads each variant from the bundles' folders, as a pod would, and asks it for every buyer.
    fn ask_variants(&mut self, bought: &end_to_end::Bought) -> anyhow::Result<Vec<VariantQuality>> {
        let two_tower = &self.dataset.config.training.two_tower;
        let mut qualities = Vec::new();
        for name in publish::SCORERS {
            let folders = VariantFolders {
                features: self.bundles.join("features"),
                retrieval: self.bundles.join("two-tower"),
                scorer: self.bundles.join(name),
                similarity: None,
            };
            let settings = VariantSettings {
                name: name.to_owned(),
                quotas: EVALUATED_QUOTAS,
                search: SearchParameters {
                    nprobe: two_tower.nprobe,
                    ef_search: two_tower.ef_search,
                },
                similarity_search: SearchParameters::default(),
                already_bought: AlreadyBought::Keep,
                blocked_items: Vec::new(),
                limit: end_to_end::K,
                order: Order::BestFirst,
                diversity: None,
            };
            let variant = Variant::load(&folders, &settings)?;
            let bar = progress::bar("lists for every buyer");
            qualities.push(end_to_end::variant(&variant, bought, &bar)?);
            bar.finish();
        }
        Ok(qualities)
    }

    async fn publish(
        &mut self,
        config: &RunConfig,
        workflow: &Workflow,
        text_dimension: usize,
    ) -> anyhow::Result<Vec<(String, String, String)>> {
        let started = Instant::now();
        let dimension = self.dataset.config.training.two_tower.dimension;
        let published =
            publish::all(&config.store, &self.bundles, workflow, dimension, text_dimension).await?;
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
