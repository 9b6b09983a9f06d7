//! The two towers and whole pipelines on the scoreboard: trained as a run trains them, once a seed, and asked as a pod would be.
//!
//! They have the settings of the configuration, and are not tuned. What they learn from ends where the test window begins.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use gondola_causes::with_causes;
use gondola_models::features::UserId;
use gondola_models::pipeline::{RecommendRequest, Variant, VariantSettings};
use gondola_models::retrieval::Retrieval;
use serde_json::{Value, json};

use super::Run;
use super::bundles::{BundleFolders, BundleSet};
use super::judge::variant_settings;
use super::models::{FittedScorer, Retrievers, TrainingSet};
use super::prepare::Prepared;
use crate::dataset::Dataset;
use crate::dataset::training::Scorer;
use crate::features::snapshot::has;
use crate::fit::two_tower;
use crate::progress;
use crate::publish::TWO_TOWER;
use crate::rows::Row;
use crate::scoreboard::contender::{Asked, Contender, Cost, Lists};
use crate::scoreboard::entrants::Entrants;
use crate::scoreboard::ours::MAKER;
use crate::scoreboard::task::{Seen, Task};

/// A model that takes part.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Entrant {
    /// The two towers alone.
    Towers,
    /// A pipeline of all sources and a scorer.
    Pipeline(Scorer),
}

impl Run {
    /// The answers of those that take part; and in words, what could not be trained.
    pub(super) async fn contenders(&mut self, task: &Task, entrants: &Entrants) -> Asked {
        let towers = entrants.towers.then_some(Entrant::Towers);
        let scorers = entrants.scorers.iter().copied();
        let entrants: Vec<Entrant> = towers.into_iter().chain(scorers.map(Entrant::Pipeline)).collect();
        let mut asked = Asked::default();
        if entrants.is_empty() {
            return asked;
        }
        let mut contenders: Vec<(Entrant, Contender)> = entrants
            .into_iter()
            .map(|entrant| (entrant, self.contender(entrant)))
            .collect();
        for seed in &task.seeds {
            self.dataset.config.training.seed = *seed;
            let answered = self.answer(task, &mut contenders, &mut asked.missing).await;
            if let Err(error) = answered {
                let error = with_causes(error.as_ref());
                asked.missing.push(format!("two towers and pipelines: {error}"));
                return asked;
            }
        }
        let seeds = task.seeds.len() as f64;
        asked.contenders = contenders.into_iter().map(|(_, contender)| contender).collect();
        for contender in &mut asked.contenders {
            contender.cost.answer_seconds /= seeds;
        }
        asked
    }

    /// One that has not answered yet.
    fn contender(&self, entrant: Entrant) -> Contender {
        let config = &self.dataset.config;
        let settings = match entrant {
            Entrant::Towers => json!(config.training.two_tower),
            Entrant::Pipeline(scorer) => {
                let all = json!(config.training);
                let own = all.get(scorer.bundle().replace('-', "_"));
                json!({
                    "candidates": config.evaluation.candidates,
                    "stacking": config.training.stacking,
                    "two_tower": config.training.two_tower,
                    scorer.bundle(): own.cloned().unwrap_or(Value::Null),
                })
            }
        };
        Contender {
            name: entrant.title(),
            maker: MAKER.to_owned(),
            settings,
            cost: Cost {
                trials: 1,
                ..Cost::default()
            },
            lists: Vec::new(),
        }
    }

    /// Trains everybody with one seed and adds their lists.
    async fn answer(
        &mut self,
        task: &Task,
        contenders: &mut Vec<(Entrant, Contender)>,
        missing: &mut Vec<String>,
    ) -> anyhow::Result<()> {
        let trained = self.train(contenders, missing).await?;
        let asking = Asking::of(&self.dataset, &trained, task);
        for (entrant, contender) in contenders {
            let started = Instant::now();
            contender.lists.push(match entrant {
                Entrant::Towers => asking.towers()?,
                Entrant::Pipeline(scorer) => asking.pipeline(scorer.bundle())?,
            });
            contender.cost.answer_seconds += started.elapsed().as_secs_f64();
            // Later seeds find the features of the first.
            if contender.lists.len() == 1 {
                contender.cost.fit_seconds = trained.seconds.get(entrant).copied().unwrap_or_default();
            }
        }
        Ok(())
    }

    /// Trains everybody with the seed of the configuration.
    async fn train(
        &mut self,
        contenders: &mut Vec<(Entrant, Contender)>,
        missing: &mut Vec<String>,
    ) -> anyhow::Result<Trained> {
        let started = Instant::now();
        let prepared = self.prepare().await?;
        let Retrievers {
            towers,
            index,
            sources,
        } = self.fit_retrievers(&prepared).await?;
        let mut seconds = BTreeMap::from([(Entrant::Towers, started.elapsed().as_secs_f64())]);
        let mut scorers = Vec::new();
        if contenders.iter().any(|(entrant, _)| *entrant != Entrant::Towers) {
            let training_set = self.training_set(&prepared).await?;
            let until_scorers = started.elapsed().as_secs_f64();
            scorers = self.fit_scorers(&prepared, &training_set, contenders, missing);
            seconds.extend(scorers.iter().map(|FittedScorer { fitted, seconds }| {
                (Entrant::Pipeline(fitted.scorer), until_scorers + seconds)
            }));
        }
        let set = BundleSet {
            workflow: &prepared.workflow,
            known: &prepared.test.known,
            towers: &towers,
            index: &index,
            sources: &sources,
            scorers: &scorers,
            best: None,
            text: None,
        };
        Ok(Trained {
            folders: set.write()?,
            prepared,
            seconds,
        })
    }

    /// Fits the scorers of pipelines. One that can't be fitted no longer takes part.
    fn fit_scorers(
        &mut self,
        prepared: &Prepared,
        training_set: &TrainingSet,
        contenders: &mut Vec<(Entrant, Contender)>,
        missing: &mut Vec<String>,
    ) -> Vec<FittedScorer> {
        let mut scorers = Vec::new();
        contenders.retain(|(entrant, contender)| {
            let Entrant::Pipeline(scorer) = entrant else {
                return true;
            };
            match self.fit_scorer(*scorer, &prepared.workflow, training_set) {
                Ok(fitted) => {
                    scorers.push(fitted);
                    true
                }
                Err(error) => {
                    missing.push(format!("{}: {}", contender.name, with_causes(error.as_ref())));
                    false
                }
            }
        });
        scorers
    }
}

impl Entrant {
    /// What people call it.
    fn title(self) -> String {
        match self {
            Self::Towers => "two towers".to_owned(),
            Self::Pipeline(scorer) => format!("pipeline with {}", scorer.title()),
        }
    }
}

/// Everybody, trained with one seed.
struct Trained {
    prepared: Prepared,
    /// As a pod would have them.
    folders: BundleFolders,
    /// Seconds from the data to each.
    seconds: BTreeMap<Entrant, f64>,
}

/// Everybody who is asked, and what answers.
struct Asking<'a> {
    dataset: &'a Dataset,
    prepared: &'a Prepared,
    folders: &'a BundleFolders,
    task: &'a Task,
    /// The numbers of items, by their ids.
    numbers: HashMap<&'a str, u32>,
}

impl<'a> Asking<'a> {
    fn of(dataset: &'a Dataset, trained: &'a Trained, task: &'a Task) -> Self {
        let items = 0..task.items as u32;
        Self {
            dataset,
            prepared: &trained.prepared,
            folders: &trained.folders,
            task,
            numbers: items.map(|item| (dataset.items.id(item), item)).collect(),
        }
    }

    /// What is nearest to each user; nothing for one of whom the features know nothing.
    fn towers(&self) -> anyhow::Result<Lists> {
        let Prepared {
            test,
            workflow,
            encoded,
            ..
        } = self.prepared;
        let snapshot = &test.known.snapshot;
        let search = two_tower::search(&self.dataset.config.training.two_tower);
        let folder = self.folders.bundle(TWO_TOWER);
        let towers = Retrieval::load(&folder, &snapshot.items, &workflow.layout(), &search)?;
        let Task { k, seen, .. } = *self.task;
        self.lists("lists of the towers", |user| {
            let Some(row) = snapshot.users.find(user) else {
                return Ok(Vec::new());
            };
            let history = snapshot.history.of(row);
            let allowed = |item: &u32| seen == Seen::Keep || !has(history, *item);
            let query = towers.embed_user(&encoded.users.row(Row::at(row)), history)?;
            let found = towers.search(&query, k + history.len(), None)?;
            let rows = found.iter().map(|found| found.item).filter(allowed).take(k);
            Ok(rows
                .map(|row| snapshot.items.id(row as usize).to_owned())
                .collect())
        })
    }

    /// What the pipeline with this scorer answers.
    fn pipeline(&self, scorer: &str) -> anyhow::Result<Lists> {
        let folders = self.folders.variant(scorer);
        let usual = variant_settings(self.dataset, scorer, &folders);
        // As many as it can give.
        let items = self.prepared.test.known.snapshot.items.len();
        let k = self.task.k.min(usual.quotas.total()).min(items);
        let settings = VariantSettings {
            already_bought: self.task.seen.into(),
            limit: k,
            ..usual
        };
        let variant = Variant::load(&folders, &settings)?;
        self.lists("lists of a pipeline", |user| {
            let user = UserId::from(user);
            let answer = variant.recommend(&RecommendRequest { user, k: Some(k) })?;
            let items = answer.items.iter();
            Ok(items.map(|item| item.item.as_str().to_owned()).collect())
        })
    }

    /// A list for everybody who is asked, as numbers of items.
    fn lists(
        &self,
        title: &'static str,
        list: impl Fn(&str) -> anyhow::Result<Vec<String>>,
    ) -> anyhow::Result<Lists> {
        let bar = progress::bar(title);
        bar.set_length(self.task.test.len() as u64);
        let mut lists = Lists::new();
        for user in self.task.test.keys() {
            let ids = list(self.dataset.users.id(*user))?;
            let numbers = ids.iter().filter_map(|id| self.numbers.get(id.as_str()));
            lists.insert(*user, numbers.copied().collect());
            bar.inc(1);
        }
        bar.finish();
        Ok(lists)
    }
}
