//! Towers, indexes and scorers, each as a value.

use std::path::Path;

use gondola_models::features::{Cells, RawTable, Workflow};

use super::prepare::{Known, Prepared};
use super::{Run, facts};
use crate::dataset::DatasetConfig;
use crate::dataset::training::Scorer;
use crate::features::Snapshot;
use crate::fit::encoded::Encoded;
use crate::fit::examples::Examples;
use crate::fit::item_index::{IndexSettings, ItemIndex, ItemVectors};
use crate::fit::text::{TextIndex, TextTask};
use crate::fit::two_tower::{self, TowerTask, Towers};
use crate::fit::{self, FitError, Fitted, Task};
use crate::labels::{self, Window};
use crate::progress;
use crate::report::Fact;
use crate::rows::{Row, SnapshotRow};

/// Users whose queries weigh the index against exact search.
const RECALL_QUERIES: usize = 500;

/// Everything that was fitted before the test window.
pub(super) struct Models {
    pub(super) towers: Towers,
    /// The items that were known when the test window began.
    pub(super) index: ItemIndex,
    pub(super) scorers: Vec<FittedScorer>,
    /// The geometric mean of how likely the training pairs were to be drawn as negatives.
    pub(super) usual_chance: f32,
    /// How large the training windows before the last were.
    pub(super) earlier_windows: Vec<Fact>,
}

/// A scorer, and the seconds that it took to fit.
pub(super) struct FittedScorer {
    pub(super) fitted: Fitted,
    pub(super) seconds: f64,
}

/// The labeled pairs of all training windows.
pub(super) struct TrainingSet {
    pub(super) examples: Examples,
    /// How large the windows before the last were.
    pub(super) earlier_windows: Vec<Fact>,
}

/// What is known at the end of the data, not only when the test window began.
pub(super) struct Latest {
    pub(super) known: Known,
    pub(super) index: ItemIndex,
}

impl Models {
    /// Which scorers there are, in order.
    pub(super) fn names(&self) -> Vec<Scorer> {
        self.scorers.iter().map(|scorer| scorer.fitted.scorer).collect()
    }
}

impl Run {
    /// Towers, the index to judge them by, and scorers.
    pub(super) async fn fit(&mut self, prepared: &Prepared, scorers: &[Scorer]) -> anyhow::Result<Models> {
        let towers = self.fit_towers(&prepared.workflow).await?;
        let snapshot = &prepared.test.known.snapshot;
        let index = self.index("index as evaluated", &towers, &prepared.encoded, snapshot)?;
        let TrainingSet {
            examples,
            earlier_windows,
        } = self.training_set(prepared).await?;
        let scorers = scorers.iter();
        let scorers = scorers.map(|scorer| self.fit_scorer(*scorer, &prepared.workflow, &examples));
        Ok(Models {
            towers,
            index,
            scorers: scorers.collect::<Result<_, _>>()?,
            usual_chance: examples.labeled.usual_chance(),
            earlier_windows,
        })
    }

    /// Trains the towers on the purchases before the training window.
    async fn fit_towers(&mut self, workflow: &Workflow) -> anyhow::Result<Towers> {
        let (dataset, work) = (&self.dataset, self.work.path());
        let fit = async || -> anyhow::Result<Towers> {
            let windows = dataset.config.windows;
            let before = Known::on(windows.retrieval_start(), dataset, work)
                .await?
                .snapshot;
            let purchases = Window::read(dataset, windows.retrieval_start(), windows.train_start()).await?;
            let bar = progress::bar("two towers");
            let task = TowerTask {
                settings: &dataset.config.training.two_tower,
                cardinalities: &workflow.cardinalities(),
                encoded: &Encoded::of(workflow, &before),
                purchases: &purchases.pairs(dataset, &before),
                seed: dataset.config.training.seed,
            };
            let towers = two_tower::train(task, &bar)?;
            bar.finish();
            Ok(towers)
        };
        self.timings.time_async("two towers", fit).await
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
        let Prepared {
            train,
            workflow,
            pairs,
            ..
        } = prepared;
        let mut examples = Examples::new(workflow);
        examples.add(workflow, pairs, &train.known.snapshot, &train.labeled);
        let seed = self.dataset.config.training.seed;
        let earlier = self.dataset.config.windows.earlier_starts();
        let mut earlier_windows = Vec::new();
        for (as_of, number) in earlier.into_iter().zip(2..) {
            let name = format!("train {number}");
            let sample = self.sample(&name, as_of, seed.wrapping_add(number)).await?;
            examples.add(workflow, pairs, &sample.known.snapshot, &sample.labeled);
            earlier_windows.push(facts::of_sample(&sample));
        }
        Ok(TrainingSet {
            examples,
            earlier_windows,
        })
    }

    /// Fits a scorer, and notes the time.
    pub(super) fn fit_scorer(
        &mut self,
        scorer: Scorer,
        workflow: &Workflow,
        examples: &Examples,
    ) -> Result<FittedScorer, FitError> {
        let task = Task {
            training: &self.dataset.config.training,
            layout: &workflow.layout(),
            cardinalities: &workflow.cardinalities(),
            examples,
        };
        let fitted = self.timings.time(scorer.title(), || fit::scorer(scorer, task))?;
        let seconds = self.timings.last_seconds();
        Ok(FittedScorer { fitted, seconds })
    }

    /// The texts of a snapshot's items.
    pub(super) fn text_index(&mut self, snapshot: &Snapshot, encoder: &Path) -> Result<TextIndex, FitError> {
        let config = &self.dataset.config;
        self.timings.time("text embeddings", || {
            let bar = progress::bar("text embeddings");
            let task = TextTask {
                settings: &config.training.two_tower,
                items: &snapshot.items,
                columns: &config.items.text,
                encoder,
            };
            let text = fit::text::fit(task, &bar)?;
            bar.finish();
            Ok(text)
        })
    }

    /// What is published knows everything until the data's last day: the models stay as they were judged,
    /// features and index are recreated.
    pub(super) async fn latest(&mut self, workflow: &Workflow, towers: &Towers) -> anyhow::Result<Latest> {
        let (dataset, work) = (&self.dataset, self.work.path());
        let features = async || -> anyhow::Result<Known> {
            let as_of = labels::day_after_last(dataset).await?;
            Known::on(as_of, dataset, work).await
        };
        let known = self
            .timings
            .time_async("features, as published", features)
            .await?;
        let encoded = Encoded::of(workflow, &known.snapshot);
        let index = self.index("index as published", towers, &encoded, &known.snapshot)?;
        Ok(Latest { known, index })
    }
}

fn index(
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
    let vectors = ItemVectors {
        ids: rows.iter().map(|row| items.id(row.position()).into()).collect(),
        vectors: towers.embed_items(&encoded.items, &rows)?,
        queries: towers.embed_users(&encoded.users, &queries)?,
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
