//! The steps that the commands share, each of which leaves what it made in a bundle's folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use chrono::NaiveDate;
use gondola_models::features::neighbours::{self, NEIGHBOURS};
use gondola_models::features::{Cells, PairFeatures, Schema, Workflow};

use crate::dataset::matches::Match;
use crate::dataset::training::Scorer;
use crate::dataset::{Dataset, DatasetConfig, ShopFiles};
use crate::features::{self, FeatureTables, POPULARITY, Snapshot};
use crate::fit::examples::{Encoded, Examples, raw_pairs};
use crate::fit::text::TextSummary;
use crate::fit::two_tower::{self, Trained};
use crate::fit::{self, Fitted, Task, plan};
use crate::labels::{self, LabelledPairs, Window};
use crate::progress;

/// Users whose queries weigh the index against exact search.
const RECALL_QUERIES: usize = 500;

/// A run in progress.
pub(super) struct Run {
    pub(super) dataset: Dataset,
    bundles: PathBuf,
    tables: PathBuf,
    pub(super) steps: Vec<(String, f64)>,
    pub(super) facts: Vec<(String, String)>,
    /// What people should look at.
    pub(super) notices: Vec<String>,
}

/// What is known at one cut-off, and what was bought after it.
pub(super) struct Sample {
    pub(super) snapshot: Snapshot,
    pub(super) tables: FeatureTables,
    pub(super) window: Window,
    pub(super) labelled: LabelledPairs,
}

/// What everything that is fitted and judged stands on.
pub(super) struct Ground {
    /// The last training window.
    pub(super) train: Sample,
    /// The test window.
    pub(super) test: Sample,
    pub(super) workflow: Workflow,
    pub(super) pairs: PairFeatures,
    /// The test window's snapshot.
    pub(super) encoded: Encoded,
}

/// A scorer that was fitted, and the seconds that it took.
pub(super) struct Made {
    pub(super) scorer: Scorer,
    pub(super) fitted: Fitted,
    pub(super) seconds: f64,
}

impl Run {
    /// Opens the data set; everything is made in folders below `work`.
    pub(super) async fn begin(config: DatasetConfig, files: ShopFiles, work: &Path) -> anyhow::Result<Self> {
        let (started, spinner) = (Instant::now(), progress::spinner("the shop's files"));
        let dataset = Dataset::read(config, files).await?;
        spinner.finish();
        labels::check_test_window(&dataset).await?;
        let matches = dataset
            .matches
            .iter()
            .map(|found| (found.title(), found.counts()));
        let left_out = dataset.left_out.iter().map(|(file, rows)| {
            let title = format!("rows of {file} that are left out, without an id or a time");
            (title, rows.to_string())
        });
        let whole_floats = dataset.whole_floats.iter().map(|(file, column)| {
            let title = format!("ids in column {column} of {file}");
            (
                title,
                "were written as floats, taken for whole numbers".to_owned(),
            )
        });
        let until = labels::day_after_last(&dataset).await?;
        let few_matches = dataset.matches.iter().filter_map(Match::notice);
        Ok(Self {
            notices: few_matches.chain(yet_to_come(until, today())).collect(),
            facts: matches.chain(left_out).chain(whole_floats).collect(),
            dataset,
            bundles: work.join("bundles"),
            tables: work.join("tables"),
            steps: vec![("the shop's files".to_owned(), started.elapsed().as_secs_f64())],
        })
    }

    /// The folder of all bundles.
    pub(super) fn bundles(&self) -> &Path {
        &self.bundles
    }

    /// The folder of a bundle, which is made where it isn't there.
    pub(super) fn folder(&self, name: &str) -> anyhow::Result<PathBuf> {
        let folder = self.bundles.join(name);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(folder)
    }

    /// Features and labels of the last training window and of the test window, and the workflow.
    pub(super) async fn ground(&mut self) -> anyhow::Result<Ground> {
        let windows = self.dataset.config.windows;
        let seed = self.dataset.config.training.seed;
        let train = self.sample("train", windows.train_start(), seed).await?;
        let test = self
            .sample("test", windows.test_start, seed.wrapping_add(1))
            .await?;
        let workflow = self.timed("workflow", |run| run.fit_workflow(&train))?;
        Ok(Ground {
            pairs: PairFeatures::of(&workflow)?,
            encoded: Encoded::new(&workflow, &test.snapshot),
            train,
            test,
            workflow,
        })
    }

    pub(super) fn timed<T, E>(
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
    pub(super) async fn sample(&mut self, name: &str, as_of: NaiveDate, seed: u64) -> anyhow::Result<Sample> {
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
    pub(super) async fn fit_towers(&mut self, workflow: &Workflow) -> anyhow::Result<Trained> {
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
    pub(super) fn index_items(
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
        let folder = self.folder("two-tower")?;
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
    pub(super) async fn bring_up_to_date(
        &mut self,
        workflow: &Workflow,
        towers: &Trained,
    ) -> anyhow::Result<()> {
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
    pub(super) async fn examples(
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
            let sample = self.sample(&name, as_of, seed.wrapping_add(number)).await?;
            examples.add(workflow, pairs, &sample.snapshot, &sample.labelled);
        }
        Ok(examples)
    }

    /// Fits scorers, one after the other.
    pub(super) fn fit_scorers(
        &mut self,
        scorers: &[Scorer],
        workflow: &Workflow,
        examples: &Examples,
    ) -> anyhow::Result<Vec<Made>> {
        let (layout, cardinalities) = (workflow.layout(), workflow.cardinalities());
        let mut made = Vec::with_capacity(scorers.len());
        for scorer in scorers {
            let (started, folder) = (Instant::now(), self.folder(scorer.bundle())?);
            let task = Task {
                training: &self.dataset.config.training,
                layout: &layout,
                cardinalities: &cardinalities,
                examples,
            };
            let fitted = fit::scorer(*scorer, task, &folder)?;
            let seconds = started.elapsed().as_secs_f64();
            self.steps.push((scorer.title().to_owned(), seconds));
            made.push(Made {
                scorer: *scorer,
                fitted,
                seconds,
            });
        }
        Ok(made)
    }

    pub(super) fn fit_text(&mut self, snapshot: &Snapshot, encoder: &Path) -> anyhow::Result<TextSummary> {
        let bar = progress::bar("text embeddings");
        let config = &self.dataset.config;
        let folder = self.folder("item-text")?;
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

    pub(super) fn write_features(
        &mut self,
        workflow: &Workflow,
        snapshot: &Snapshot,
        tables: &FeatureTables,
    ) -> anyhow::Result<()> {
        let folder = self.folder("features")?;
        Schema::new(&snapshot.as_of.to_string(), POPULARITY).save(&folder)?;
        workflow.save(&folder)?;
        for table in [&tables.users, &tables.items, &tables.history] {
            let name = table.file_name().context("a table has a file name")?;
            fs::copy(table, folder.join(name)).with_context(|| format!("cannot copy {}", table.display()))?;
        }
        neighbours::save(&snapshot.neighbours(), &snapshot.items, &folder.join(NEIGHBOURS))?;
        Ok(())
    }
}

fn today() -> NaiveDate {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    NaiveDate::default() + chrono::Days::new(since_1970.as_secs() / 86_400)
}

/// What is told where the last purchase is yet to come: what is published counts its days from there.
fn yet_to_come(until: NaiveDate, today: NaiveDate) -> Option<String> {
    let last = until - chrono::Days::new(1);
    // Somewhere it is tomorrow already.
    (last > today + chrono::Days::new(1)).then(|| {
        format!(
            "The last purchase is of {last}, which is yet to come, and everything that is published counts its days from there: items that \
             were not sold shortly before are not recommended. Correct that purchase unless it is meant"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purchases_that_are_yet_to_come_are_told() {
        let day = |day: &str| day.parse::<NaiveDate>().unwrap();
        assert_eq!(yet_to_come(day("2024-05-22"), day("2024-05-20")), None);
        let notice = yet_to_come(day("2204-05-21"), day("2024-05-20")).unwrap();
        assert!(
            notice.starts_with("The last purchase is of 2204-05-20"),
            "{notice}"
        );
        assert!(today() > day("2025-01-01"));
    }
}
