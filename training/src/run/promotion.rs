//! Whether another channel takes what a run published: if it is better than what that channel points to, by more than chance.
//!
//! Both are judged on the same buyers, with features as of the same day: the first of the test window. What serves has seen purchases until the
//! day that its features say, so that only what was bought from that day on counts. Its index is made again from its own item tower, for the items
//! that were known on that day. Lists of all scorers that both have are judged, and a buyer's metric is the mean of them: bundles move as a set,
//! since those of another workflow don't go with them.

use std::fs;
use std::path::Path;

use anyhow::Context;
use chrono::NaiveDate;
use gondola_artifacts::{BundleFolder, Cache, Reference, ResolveError, Store, resolve};
use gondola_models::features::{Schema, Workflow};
use gondola_models::pipeline::{Variant, VariantFolders};
use gondola_models::scoring;
use tempfile::TempDir;

use super::Run;
use super::bundles::{BundleFolders, BundleSet};
use super::judge::variant_settings;
use super::models::Models;
use super::prepare::Prepared;
use crate::dataset::training::Scorer;
use crate::evaluate::end_to_end::{self, Bought};
use crate::evaluate::paired::Lift;
use crate::evaluate::ranking::{ListMetric, UserMetrics};
use crate::fit::encoded::Encoded;
use crate::fit::two_tower::Towers;
use crate::labels::{LabelError, Window};
use crate::progress;
use crate::publish::{FEATURES, PublishedBundle, TWO_TOWER, move_channel};

/// When a channel takes what a run published.
#[derive(Clone, Debug, PartialEq)]
pub struct PromotionRule {
    /// The channel.
    pub channel: String,
    /// What has to be better.
    pub metric: ListMetric,
    /// What the lower end of the 95 % interval of the relative difference has to be above.
    pub min_lift: f64,
}

/// What became of a promotion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Whether the channel moved.
    pub(super) promoted: bool,
    /// Why, as a sentence.
    pub(super) why: String,
}

impl Run {
    /// Moves the rule's channel to what was published, if it is better than what the channel points to.
    pub(super) async fn promote(
        &mut self,
        rule: &PromotionRule,
        store: &Store,
        prepared: &Prepared,
        models: &Models,
        published: &[PublishedBundle],
    ) -> anyhow::Result<Verdict> {
        let verdict = match Serving::fetch(store, &rule.channel, &models.names()).await? {
            None => Verdict {
                promoted: true,
                why: format!("channel {} pointed to nothing", rule.channel),
            },
            Some(serving) => self.compare(rule, &serving, prepared, models).await?,
        };
        if verdict.promoted {
            move_channel(store, &rule.channel, published).await?;
        }
        Ok(verdict)
    }

    async fn compare(
        &mut self,
        rule: &PromotionRule,
        serving: &Serving,
        prepared: &Prepared,
        models: &Models,
    ) -> anyhow::Result<Verdict> {
        let stays = |why: String| {
            Ok(Verdict {
                promoted: false,
                why: format!("channel {} stays as it is: {why}", rule.channel),
            })
        };
        let mut scorers = Vec::new();
        for scorer in models.names() {
            if serving.can_be_judged(scorer, models)? {
                scorers.push(scorer);
            }
        }
        if scorers.is_empty() {
            return stays(
                "it has no scorer of this run, or only such as read trained sources that this run has not, so that there is nothing to compare"
                    .to_owned(),
            );
        }
        let windows = self.dataset.config.windows;
        let from = windows.test_start.max(serving.known_until()?);
        let window = match Window::read(&self.dataset, from, windows.test_end()).await {
            Ok(window) => window,
            Err(LabelError::EmptyWindow { .. }) => {
                return stays(format!(
                    "nothing was bought since {from}, until when what it points to was trained"
                ));
            }
            Err(error) => return Err(error.into()),
        };
        let seed = self.dataset.config.training.seed;
        let window = window.sample(self.dataset.config.evaluation.users, seed);
        let bought = end_to_end::bought(&self.dataset, &prepared.test.known.snapshot, &window);
        let new = BundleSet::judged(prepared, models).write()?;
        let old = self.as_of_the_test(serving, prepared, models)?;
        let mut sums = vec![(0.0, 0.0); bought.len()];
        for scorer in &scorers {
            let of_new = self.metrics(&new.variant(scorer.bundle()), *scorer, &bought, rule.metric)?;
            let of_old = self.metrics(&serving.variant(*scorer, &old), *scorer, &bought, rule.metric);
            let of_old = of_old.context("cannot make lists with what the channel points to")?;
            for ((new, old), (of_new, of_old)) in sums.iter_mut().zip(of_new.into_iter().zip(of_old)) {
                *new += of_new / scorers.len() as f64;
                *old += of_old / scorers.len() as f64;
            }
        }
        let (new, old): (Vec<f64>, Vec<f64>) = sums.into_iter().unzip();
        let lift = Lift::of(&new, &old, seed);
        let figures = figures(rule.metric, &lift, &scorers);
        if lift.interval.low > rule.min_lift {
            let why = format!("channel {} moved: {figures}", rule.channel);
            return Ok(Verdict { promoted: true, why });
        }
        let needed = rule.min_lift * 100.0;
        stays(format!(
            "{figures}, and the lower end has to be above {needed:+.1} %"
        ))
    }

    /// What serves, with features, an index and sources as of the first day of the test window.
    fn as_of_the_test(
        &self,
        serving: &Serving,
        prepared: &Prepared,
        models: &Models,
    ) -> anyhow::Result<BundleFolders> {
        let workflow = Workflow::load(&serving.features.path)?;
        let towers = Towers::load(&serving.two_tower.path)?;
        let known = &prepared.test.known;
        let encoded = Encoded::of(&workflow, &known.snapshot);
        let index = super::models::index(&self.dataset.config, &towers, &encoded, &known.snapshot)?;
        let set = BundleSet {
            workflow: &workflow,
            known,
            towers: &towers,
            index: &index,
            sources: &models.sources,
            scorers: &[],
            best: None,
            text: None,
        };
        set.write()
    }

    /// A metric of each buyer's list, in the order of their ids.
    fn metrics(
        &self,
        folders: &VariantFolders,
        scorer: Scorer,
        bought: &Bought,
        metric: ListMetric,
    ) -> anyhow::Result<Vec<f64>> {
        let variant = Variant::load(
            folders,
            &variant_settings(&self.dataset, scorer.bundle(), folders),
        )?;
        let bar = progress::bar("lists to compare");
        let lists = end_to_end::lists(&variant, bought, &bar)?;
        bar.finish();
        let users = UserMetrics::of_each(
            lists.iter().map(Vec::as_slice).zip(bought.values()),
            end_to_end::K,
        );
        Ok(users.iter().map(|user| user.get(metric)).collect())
    }
}

fn figures(metric: ListMetric, lift: &Lift, scorers: &[Scorer]) -> String {
    let names: Vec<&str> = scorers.iter().map(|scorer| scorer.bundle()).collect();
    let percent = |share: f64| format!("{:+.1} %", share * 100.0);
    format!(
        "{}@{} of the lists of {} for {} buyers is {:.4}, and was {:.4} ({}, 95 % interval {} to {})",
        metric.title(),
        end_to_end::K,
        names.join(" and "),
        lift.buyers,
        lift.new,
        lift.old,
        percent(lift.relative),
        percent(lift.interval.low),
        percent(lift.interval.high)
    )
}

/// The bundles that a channel points to.
struct Serving {
    features: BundleFolder,
    two_tower: BundleFolder,
    scorers: Vec<(Scorer, BundleFolder)>,
    _cache: TempDir,
}

impl Serving {
    /// Fetches them; none where the channel has no features or no towers yet.
    async fn fetch(store: &Store, channel: &str, scorers: &[Scorer]) -> anyhow::Result<Option<Self>> {
        let folder = tempfile::tempdir().context("cannot make a folder for what serves")?;
        let cache = Cache::open(folder.path())?;
        let found = async |name: &str| -> anyhow::Result<Option<BundleFolder>> {
            let reference = Reference::channel(name, channel)?;
            match resolve(store, &reference).await {
                Ok(resolved) => Ok(Some(cache.fetch(store, &resolved, &|_| {}).await?)),
                Err(ResolveError::UnknownChannel { .. } | ResolveError::UnknownBundle { .. }) => Ok(None),
                Err(error) => Err(error.into()),
            }
        };
        let (Some(features), Some(two_tower)) = (found(FEATURES).await?, found(TWO_TOWER).await?) else {
            return Ok(None);
        };
        let mut fetched = Vec::new();
        for scorer in scorers {
            fetched.extend(found(scorer.bundle()).await?.map(|bundle| (*scorer, bundle)));
        }
        Ok(Some(Self {
            features,
            two_tower,
            scorers: fetched,
            _cache: folder,
        }))
    }

    /// Whether it has a scorer, and this run all trained sources that it reads.
    fn can_be_judged(&self, scorer: Scorer, models: &Models) -> anyhow::Result<bool> {
        let Some((_, bundle)) = self.scorers.iter().find(|(known, _)| *known == scorer) else {
            return Ok(false);
        };
        let there = |name: &String| {
            models
                .sources
                .iter()
                .any(|source| source.settings.bundle() == name)
        };
        Ok(scoring::sources_of(&bundle.path)?.iter().all(there))
    }

    /// The day after the last whose purchases it knows.
    fn known_until(&self) -> anyhow::Result<NaiveDate> {
        let schema = Schema::load(&self.features.path)?;
        let wrong = || {
            format!(
                "the features of {} say no day until which they know",
                self.features.path.display()
            )
        };
        schema.as_of.parse().with_context(wrong)
    }

    /// What a variant of it loads, with features and an index as of another day.
    fn variant(&self, scorer: Scorer, as_of: &BundleFolders) -> VariantFolders {
        let own = self.scorers.iter().find(|(known, _)| *known == scorer);
        let scorer = own.map_or_else(
            || as_of.bundle(scorer.bundle()),
            |(_, bundle)| bundle.path.clone(),
        );
        VariantFolders {
            features: as_of.bundle(FEATURES),
            retrieval: as_of.bundle(TWO_TOWER),
            sources: as_of.sources(),
            scorer,
            similarity: None,
        }
    }
}

/// Leaves what a run came to where others read it: a line.
pub(super) fn leave_last_words(
    file: &Path,
    published: &[PublishedBundle],
    verdict: Option<&Verdict>,
) -> anyhow::Result<()> {
    let bundles: Vec<String> = published
        .iter()
        .map(|bundle| format!("{}/{}", bundle.name, bundle.version))
        .collect();
    let mut words = format!("published {}", bundles.join(", "));
    if let Some(verdict) = verdict {
        words = format!("{words}; {}", verdict.why);
    }
    fs::write(file, words).with_context(|| format!("cannot write {}", file.display()))
}
