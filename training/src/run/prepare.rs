//! What everything that is fitted and judged stands on: features, labels and the workflow.

use chrono::NaiveDate;
use gondola_models::features::InteractionWeights;
use gondola_models::features::{PairFeatures, Workflow};

use super::Run;
use super::checkpoints::{Checkpoints, Stage};
use crate::dataset::{Dataset, DatasetConfig};
use crate::features::{self, FeatureTables, Snapshot};
use crate::fit::encoded::{Encoded, EncodedRows};
use crate::fit::examples::raw_pairs;
use crate::fit::plan;
use crate::labels::{self, LabeledPairs, Window};
use crate::progress;
use crate::rows::SnapshotRow;

/// What is known at one cut-off.
pub(super) struct Known {
    pub(super) snapshot: Snapshot,
    /// The same as the tables that a bundle of features carries.
    pub(super) tables: FeatureTables,
    /// How much counts what users do later.
    pub(super) interactions: InteractionWeights,
}

/// What is known at one cut-off, and what was bought in the window after it.
pub(super) struct Sample {
    /// What the report calls it.
    pub(super) name: String,
    pub(super) known: Known,
    pub(super) window: Window,
    pub(super) labeled: LabeledPairs<SnapshotRow>,
}

/// What everything that is fitted and judged stands on.
pub(super) struct Prepared {
    /// The last training window.
    pub(super) train: Sample,
    /// The test window.
    pub(super) test: Sample,
    /// Fitted on the last training window.
    pub(super) workflow: Workflow,
    /// What the workflow says of pairs.
    pub(super) pairs: PairFeatures,
    /// The test window's snapshot.
    pub(super) encoded: Encoded<SnapshotRow>,
}

impl Known {
    /// Computes what is known on a day, unless an earlier run did.
    pub(super) async fn on(
        as_of: NaiveDate,
        dataset: &Dataset,
        checkpoints: &Checkpoints,
    ) -> anyhow::Result<Self> {
        let config = &dataset.config;
        let settings = (config.without_models(), as_of.to_string());
        let folder = match checkpoints.stage(&format!("features-{as_of}"), &settings)? {
            Stage::Done(folder) => folder,
            Stage::Open(stage) => {
                features::compute(dataset, as_of, stage.folder()).await?;
                stage.keep()?
            }
        };
        let tables = FeatureTables::in_folder(&folder, as_of);
        Ok(Self {
            snapshot: Snapshot::read(&tables)?,
            tables,
            interactions: config.features.interactions,
        })
    }
}

impl Run {
    /// Features and labels of the last training window and of the test window, and the workflow.
    pub(super) async fn prepare(&mut self) -> anyhow::Result<Prepared> {
        let windows = self.dataset.config.windows;
        let seed = self.dataset.config.training.seed;
        let train = self.sample("train", windows.train_start(), seed).await?;
        let test = self
            .sample("test", windows.test_start, seed.wrapping_add(1))
            .await?;
        let config = &self.dataset.config;
        let workflow = self.timings.time("workflow", || fit_workflow(config, &train))?;
        Ok(Prepared {
            pairs: PairFeatures::of(&workflow)?,
            encoded: Encoded::of(&workflow, &test.known.snapshot),
            train,
            test,
            workflow,
        })
    }

    /// Features as of a date, and labeled pairs of the window after it.
    pub(super) async fn sample(&mut self, name: &str, as_of: NaiveDate, seed: u64) -> anyhow::Result<Sample> {
        let (dataset, checkpoints) = (&self.dataset, &self.checkpoints);
        let step = format!("features and labels, {name}");
        let sample = async || -> anyhow::Result<Sample> {
            let spinner = progress::spinner("features and labels");
            spinner.set_message(format!("as of {as_of}"));
            let known = Known::on(as_of, dataset, checkpoints).await?;
            let days = chrono::Days::new(dataset.config.windows.target_days.into());
            let window = Window::read(dataset, as_of, as_of + days).await?;
            let half_life = dataset.config.features.half_life_days;
            let snapshot = &known.snapshot;
            let labeled = labels::label(&window.pairs(dataset, snapshot), snapshot, half_life, seed)?;
            spinner.finish();
            Ok(Sample {
                name: name.to_owned(),
                known,
                window,
                labeled,
            })
        };
        self.timings.time_async(step, sample).await
    }
}

/// Fits the workflow on the training snapshot; pair features on the labeled pairs.
fn fit_workflow(config: &DatasetConfig, train: &Sample) -> anyhow::Result<Workflow> {
    let plan = plan::workflow(config);
    let snapshot = &train.known.snapshot;
    let Snapshot { users, items, .. } = snapshot;
    let entities = Workflow::fit(&plan, users, items, &[]);
    let names: Vec<&str> = plan.pair.iter().map(|column| column.column.as_str()).collect();
    let features = PairFeatures::raw(&names, &entities)?;
    let encoded_items = EncodedRows::new(entities.item.encode_table(items));
    let values = raw_pairs(&features, &train.labeled.pairs, snapshot, &encoded_items);
    Ok(Workflow::fit(&plan, users, items, &values))
}
