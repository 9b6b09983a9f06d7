//! Towers, indexes and scorers, each as a value.

use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use chrono::NaiveDate;
use gondola_collaborative::Settings;
use gondola_models::features::{Cells, RawTable, Workflow};
use gondola_models::scoring::stacked::{StackedSource, layout_with};
use serde::{Deserialize, Serialize};

use super::checkpoints::Stage;
use super::prepare::{Known, Prepared, Sample};
use super::stacking::stacking;
use super::{Run, facts, fingerprint};
use crate::dataset::training::Scorer;
use crate::dataset::{Dataset, DatasetConfig};
use crate::evaluate::InputValue;
use crate::features::Snapshot;
use crate::fit::encoded::Encoded;
use crate::fit::examples::{Examples, PairInputs};
use crate::fit::item_index::{IndexSettings, ItemIndex, ItemVectors};
use crate::fit::text::{TextIndex, TextTask, TextVectors};
use crate::fit::two_tower::{self, Part, TowerTask, Towers, Validation};
use crate::fit::{self, FitError, Fitted, Task};
use crate::labels::{self, LabelError, Window};
use crate::progress;
use crate::report::Fact;
use crate::rows::{Pair, Row, SnapshotRow};

/// Users whose queries weigh the index against exact search.
const RECALL_QUERIES: usize = 500;

/// Everything that was fitted before the test window.
pub(super) struct Models {
    pub(super) towers: Towers,
    /// The items that were known when the test window began.
    pub(super) index: ItemIndex,
    /// What was learned of who bought what before the test window.
    pub(super) sources: Vec<FittedSource>,
    pub(super) scorers: Vec<FittedScorer>,
    /// The sources whose opinions the scorers read.
    pub(super) stacked: Vec<StackedSource>,
    /// The geometric mean of how likely the training pairs were to be drawn as negatives.
    pub(super) usual_chance: f32,
    /// How large the training windows before the last were.
    pub(super) earlier_windows: Vec<Fact>,
}

/// What finds candidates.
pub(super) struct Retrievers {
    pub(super) towers: Towers,
    /// The items that were known when the test window began.
    pub(super) index: ItemIndex,
    /// What was learned of who bought what before the test window.
    pub(super) sources: Vec<FittedSource>,
}

/// A scorer, and the seconds that it took to fit.
pub(super) struct FittedScorer {
    pub(super) fitted: Fitted,
    pub(super) seconds: f64,
}

/// A model of who buys what, and how it was fitted.
pub(super) struct FittedSource {
    pub(super) settings: Settings,
    pub(super) fitted: gondola_collaborative::Fitted,
}

/// The labeled pairs of all training windows.
pub(super) struct TrainingSet {
    pub(super) examples: Examples,
    /// The sources whose opinions are inputs.
    pub(super) stacked: Vec<StackedSource>,
    /// How large the windows before the last were.
    pub(super) earlier_windows: Vec<Fact>,
}

/// What is known at the end of the data, not only when the test window began.
pub(super) struct Latest {
    pub(super) known: Known,
    pub(super) index: ItemIndex,
    pub(super) sources: Vec<FittedSource>,
}

impl FittedScorer {
    /// Leaves it in a folder, to be loaded again.
    fn save(&self, folder: &Path) -> anyhow::Result<()> {
        self.fitted.save(folder)?;
        let kept = KeptScorer {
            rounds: self.fitted.rounds,
            gains: self.fitted.gains.clone(),
            seconds: self.seconds,
        };
        let path = folder.join(KEPT);
        fs::write(&path, serde_json::to_vec(&kept)?)
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// What an earlier run left in a folder.
    fn load(scorer: Scorer, folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join(KEPT);
        let kept = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let KeptScorer {
            rounds,
            gains,
            seconds,
        } = serde_json::from_slice(&kept)?;
        let fitted = Fitted::load(scorer, rounds, gains, folder)?;
        Ok(Self { fitted, seconds })
    }
}

/// The file beside a scorer's own with what these don't say.
const KEPT: &str = "fit.json";

/// How a scorer was fitted.
#[derive(Serialize, Deserialize)]
struct KeptScorer {
    rounds: usize,
    gains: Vec<InputValue>,
    seconds: f64,
}

impl Models {
    /// Which scorers there are, in order.
    pub(super) fn names(&self) -> Vec<Scorer> {
        self.scorers.iter().map(|scorer| scorer.fitted.scorer).collect()
    }
}

impl Run {
    /// What finds candidates, and scorers.
    pub(super) async fn fit(&mut self, prepared: &Prepared, scorers: &[Scorer]) -> anyhow::Result<Models> {
        let Retrievers {
            towers,
            index,
            sources,
        } = self.fit_retrievers(prepared).await?;
        let training_set = self.training_set(prepared).await?;
        let scorers = scorers.iter();
        let scorers = scorers.map(|scorer| self.fit_scorer(*scorer, &prepared.workflow, &training_set));
        Ok(Models {
            towers,
            index,
            sources,
            scorers: scorers.collect::<Result<_, _>>()?,
            stacked: training_set.stacked,
            usual_chance: training_set.examples.labeled.usual_chance(),
            earlier_windows: training_set.earlier_windows,
        })
    }

    /// Towers, the index to judge them by, and models of who buys what.
    pub(super) async fn fit_retrievers(&mut self, prepared: &Prepared) -> anyhow::Result<Retrievers> {
        let towers = self.fit_towers(&prepared.workflow).await?;
        let snapshot = &prepared.test.known.snapshot;
        Ok(Retrievers {
            index: self.index("index as evaluated", &towers, &prepared.encoded, snapshot)?,
            sources: self.fit_sources("sources as evaluated", snapshot)?,
            towers,
        })
    }

    /// Trains the towers on the purchases before the training window, each seen as of about its own day.
    async fn fit_towers(&mut self, workflow: &Workflow) -> anyhow::Result<Towers> {
        let (dataset, checkpoints) = (&self.dataset, &self.checkpoints);
        let fit = async || -> anyhow::Result<Towers> {
            let config = &dataset.config;
            let settings = (
                config.without_models(),
                &config.training.two_tower,
                config.training.seed,
            );
            let stage = match checkpoints.stage("two-tower", &settings)? {
                Stage::Done(folder) => return Ok(Towers::load(&folder)?),
                Stage::Open(stage) => stage,
            };
            let windows = dataset.config.windows;
            let (start, end) = (windows.retrieval_start(), windows.retrieval_end());
            // Says what to do where nothing was bought.
            Window::read(dataset, start, end).await?;
            let mut parts = Vec::new();
            for (from, to) in windows.retrieval_steps() {
                let snapshot = Known::on(from, dataset, checkpoints).await?.snapshot;
                parts.push(Part {
                    purchases: bought(dataset, &snapshot, from, to).await?,
                    encoded: Encoded::of(workflow, &snapshot),
                    snapshot,
                });
            }
            let split = windows.retrieval_split();
            let split = split.and_then(|split| {
                let place = parts.iter().position(|part| part.snapshot.as_of == split)?;
                Some((place, split))
            });
            let (later, items) = match split {
                Some((place, split)) => {
                    let snapshot = &parts[place].snapshot;
                    let later = bought(dataset, snapshot, split, end).await?;
                    (later, sold_within(&snapshot.items, windows.index_days))
                }
                None => (Vec::new(), Vec::new()),
            };
            let is_empty = |part: &Part| part.purchases.is_empty();
            let split = split.filter(|(place, _)| !later.is_empty() && !parts[..*place].iter().all(is_empty));
            let validation = split.map(|(earlier, _)| Validation {
                earlier,
                later: &later,
                items: &items,
            });
            let bar = progress::bar("two towers");
            let task = TowerTask {
                settings: &dataset.config.training.two_tower,
                cardinalities: &workflow.cardinalities(),
                parts: &parts,
                validation,
                seed: dataset.config.training.seed,
            };
            let towers = two_tower::train(task, &bar)?;
            bar.finish();
            towers.save(stage.folder())?;
            stage.keep()?;
            Ok(towers)
        };
        self.timings.time_async("two towers", fit).await
    }

    /// Models of who bought what until a snapshot. One that finds nothing to learn is left out, with a notice.
    fn fit_sources(
        &mut self,
        step: &'static str,
        snapshot: &Snapshot,
    ) -> Result<Vec<FittedSource>, gondola_collaborative::FitError> {
        let training = &self.dataset.config.training;
        let (users, items) = (snapshot.users.len(), snapshot.items.len());
        let fit = |settings: &Settings| {
            gondola_collaborative::fit(settings, &snapshot.history, users, items, training.seed)
        };
        let spinner = progress::spinner(step);
        let fitted: Vec<_> = self
            .timings
            .time(step, || training.sources.iter().map(fit).collect());
        spinner.finish();
        let mut sources = Vec::new();
        for (settings, fitted) in training.sources.iter().zip(fitted) {
            match fitted {
                Ok(fitted) => sources.push(FittedSource {
                    settings: settings.clone(),
                    fitted,
                }),
                Err(error @ gondola_collaborative::FitError::NoItem { .. }) => {
                    self.notices.push(format!("{step}: {error}"));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(sources)
    }

    /// An index of the items of a snapshot that were sold recently.
    fn index(
        &mut self,
        step: &str,
        towers: &Towers,
        encoded: &Encoded<SnapshotRow>,
        snapshot: &Snapshot,
    ) -> Result<ItemIndex, FitError> {
        let config = &self.dataset.config;
        self.timings
            .time(step, || index(config, towers, encoded, snapshot))
    }

    /// The labeled pairs of all training windows; what is known at a window's cut-off is let go before the
    /// next is read.
    pub(super) async fn training_set(&mut self, prepared: &Prepared) -> anyhow::Result<TrainingSet> {
        let Prepared { train, workflow, .. } = prepared;
        let sources = self.sources_before("the last training window", &train.known.snapshot)?;
        let stacked = self.stacked(&sources, train);
        let mut examples = Examples::new(workflow);
        let mut add = |sample: &Sample, sources| {
            let inputs = PairInputs {
                features: &prepared.pairs,
                stacking: &stacking(&stacked, sources),
            };
            examples.add(workflow, inputs, &sample.known.snapshot, &sample.labeled);
        };
        add(train, sources);
        let seed = self.dataset.config.training.seed;
        let earlier = self.dataset.config.windows.earlier_starts();
        let mut earlier_windows = Vec::new();
        for (as_of, number) in earlier.into_iter().zip(2..) {
            let name = format!("train {number}");
            let sample = self.sample(&name, as_of, seed.wrapping_add(number)).await?;
            let sources =
                self.sources_before(&format!("training window {number}"), &sample.known.snapshot)?;
            add(&sample, sources);
            earlier_windows.push(facts::of_sample(&sample));
        }
        Ok(TrainingSet {
            examples,
            stacked,
            earlier_windows,
        })
    }

    /// Fits a scorer, and notes the time.
    pub(super) fn fit_scorer(
        &mut self,
        scorer: Scorer,
        workflow: &Workflow,
        training_set: &TrainingSet,
    ) -> anyhow::Result<FittedScorer> {
        let task = Task {
            training: &self.dataset.config.training,
            layout: &layout_with(&workflow.layout(), &training_set.stacked),
            stacked: &training_set.stacked,
            cardinalities: &workflow.cardinalities(),
            examples: &training_set.examples,
        };
        let config = &self.dataset.config;
        let settings = (config.without_models(), &config.training);
        let checkpoints = &self.checkpoints;
        let fit = || -> anyhow::Result<FittedScorer> {
            match checkpoints.stage(scorer.bundle(), &settings)? {
                Stage::Done(folder) => FittedScorer::load(scorer, &folder),
                Stage::Open(stage) => {
                    let started = Instant::now();
                    let fitted = fit::scorer(scorer, task)?;
                    let seconds = started.elapsed().as_secs_f64();
                    let fitted = FittedScorer { fitted, seconds };
                    fitted.save(stage.folder())?;
                    stage.keep()?;
                    Ok(fitted)
                }
            }
        };
        self.timings.time(scorer.title(), fit)
    }

    /// The texts of a snapshot's items.
    pub(super) fn text_index(&mut self, snapshot: &Snapshot, encoder: &Path) -> anyhow::Result<TextIndex> {
        let (config, checkpoints) = (&self.dataset.config, &self.checkpoints);
        self.timings.time("text embeddings", || {
            let bar = progress::bar("text embeddings");
            let settings = (config.without_models(), fingerprint::of_encoder(encoder)?);
            let stage = checkpoints.stage("texts", &settings)?;
            let task = TextTask {
                settings: &config.training.two_tower,
                items: &snapshot.items,
                columns: &config.items.text,
                encoder,
            };
            let vectors = match stage {
                Stage::Done(folder) => TextVectors::load(&folder)?,
                Stage::Open(stage) => {
                    let vectors = TextVectors::embed(task, &bar)?;
                    vectors.save(stage.folder())?;
                    stage.keep()?;
                    vectors
                }
            };
            bar.finish();
            Ok(fit::text::fit(task, vectors)?)
        })
    }

    /// What is published knows everything until the data's last day: the models stay as they were judged,
    /// features and index are recreated.
    pub(super) async fn latest(&mut self, workflow: &Workflow, towers: &Towers) -> anyhow::Result<Latest> {
        let (dataset, checkpoints) = (&self.dataset, &self.checkpoints);
        let features = async || -> anyhow::Result<Known> {
            let as_of = labels::day_after_last(dataset).await?;
            Known::on(as_of, dataset, checkpoints).await
        };
        let known = self
            .timings
            .time_async("features, as published", features)
            .await?;
        let encoded = Encoded::of(workflow, &known.snapshot);
        let index = self.index("index as published", towers, &encoded, &known.snapshot)?;
        let sources = self.fit_sources("sources as published", &known.snapshot)?;
        Ok(Latest {
            known,
            index,
            sources,
        })
    }
}

/// What was bought on the days before `to`, from `from` on, of what a snapshot knows; nothing where nothing was.
async fn bought(
    dataset: &Dataset,
    snapshot: &Snapshot,
    from: NaiveDate,
    to: NaiveDate,
) -> Result<Vec<Pair<SnapshotRow>>, LabelError> {
    match Window::read(dataset, from, to).await {
        Ok(window) => Ok(window.pairs(dataset, snapshot)),
        Err(LabelError::EmptyWindow { .. }) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// An index of the items of a snapshot that were sold recently, by their tower.
pub(super) fn index(
    config: &DatasetConfig,
    towers: &Towers,
    encoded: &Encoded<SnapshotRow>,
    snapshot: &Snapshot,
) -> Result<ItemIndex, FitError> {
    let Snapshot { items, users, .. } = snapshot;
    let settings = &config.training.two_tower;
    let rows = sold_within(items, config.windows.index_days);
    let step = 1 + users.len() / RECALL_QUERIES;
    let queries: Vec<SnapshotRow> = (0..users.len()).step_by(step).map(Row::at).collect();
    let entities = towers.entities(encoded, snapshot);
    let vectors = ItemVectors {
        ids: rows.iter().map(|row| items.id(row.position()).into()).collect(),
        vectors: towers.embed_items(&entities, &rows)?,
        queries: towers.embed_users(&entities, &queries)?,
        dimension: settings.dimension,
    };
    let settings = IndexSettings {
        factory: &settings.index,
        search: two_tower::search(settings),
    };
    ItemIndex::build(vectors, &settings)
}

/// The items that were sold within some days.
fn sold_within(items: &RawTable, days: u32) -> Vec<SnapshotRow> {
    let sold = |row: &usize| {
        let since = items.row(*row).cell("days_since_sold").as_number();
        since.is_some_and(|since| since <= f64::from(days))
    };
    (0..items.len()).filter(sold).map(Row::at).collect()
}
