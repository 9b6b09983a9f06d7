//! How good what was made is, by the scorers and the pipeline that serve.

use std::sync::Arc;

use gondola_models::device::Device;
use gondola_models::features::Neighbors;
use gondola_models::features::neighbors::NEIGHBOURS;
use gondola_models::ordering::Order;
use gondola_models::pipeline::stacking::Stacking;
use gondola_models::pipeline::{Variant, VariantFolders, VariantSettings};
use gondola_models::retrieval::index::SearchParameters;
use gondola_models::retrieval::sources::{Quotas, TrainedQuota};
use gondola_models::retrieval::trained::TrainedSource;
use gondola_models::retrieval::{Retrieval, RetrievalError};
use gondola_models::scoring::stacked::StackedSource;

use super::Run;
use super::best::{BEST, Best};
use super::bundles::{BundleFolders, BundleSet};
use super::models::{FittedScorer, FittedSource, Models};
use super::prepare::Prepared;
use crate::dataset::Dataset;
use crate::evaluate::baselines::NamedSource;
use crate::evaluate::pairs::{self, Judge};
use crate::evaluate::permutation;
use crate::evaluate::retrieval::{self, RetrievalQuality};
use crate::evaluate::{InputValue, PairIntervals, PairMetrics, ScorerQuality};
use crate::evaluate::{Quality, VariantQuality, end_to_end};
use crate::fit::examples::PairInputs;
use crate::fit::two_tower;
use crate::labels::Window;
use crate::progress;
use crate::publish::{FEATURES, TWO_TOWER};

/// What part of a list's nDCG is as good as the whole.
const AS_GOOD: f64 = 0.98;

/// How much is found out about scorers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// What a run reports.
    Usual,
    /// And what each input is worth, which takes longer than training.
    Inputs,
}

/// How good everything is.
pub(super) struct Judged<'m> {
    /// Each scorer on the labeled pairs of the test window.
    pub(super) scorers: Vec<ScorerQuality>,
    /// The two towers, compared with methods that need no deep model.
    pub(super) retrieval: Vec<RetrievalQuality>,
    /// Lists that need no model.
    pub(super) baselines: Vec<Quality>,
    /// The lists of each scorer's pipeline.
    pub(super) variants: Vec<VariantQuality>,
    /// Whether scorers are worth their while.
    pub(super) verdict: Option<String>,
    /// The scorer that the verdict says to take, unless the configuration says otherwise.
    pub(super) best: Option<Best<'m>>,
}

impl Run {
    /// Judges models as a pod would load them: from the folders of their bundles.
    pub(super) fn judge<'m>(
        &mut self,
        prepared: &Prepared,
        models: &'m Models,
        depth: Depth,
    ) -> anyhow::Result<Judged<'m>> {
        let bench = Bench {
            dataset: &self.dataset,
            prepared,
            folders: BundleSet::judged(prepared, models).write()?,
        };
        let window = prepared.test.window.sample(
            self.dataset.config.evaluation.users,
            self.dataset.config.training.seed,
        );
        let bought = end_to_end::bought(&self.dataset, &prepared.test.known.snapshot, &window);
        let timings = &mut self.timings;
        let scorers = timings.time("scores of labeled pairs", || bench.scorers(models, depth))?;
        let names = models.scorers.iter().map(|scorer| scorer.fitted.scorer.bundle());
        let mut variants = timings.time("lists for every buyer", || {
            names
                .map(|name| bench.variant(name, &bought))
                .collect::<Result<Vec<_>, _>>()
        })?;
        let sources = bench.sources(models)?;
        let retrieval = timings.time("retrieval beside its baselines", || {
            bench.retrieval(&window, &sources)
        })?;
        let seen = self.dataset.config.evaluation.seen;
        let simple = end_to_end::baselines(&prepared.test.known.snapshot, &sources, &bought, seen);
        let verdict = end_to_end::verdict(&variants, &simple, self.dataset.config.training.seed);
        let best = Best::of(verdict.as_ref(), &self.dataset.config, models, &prepared.workflow);
        if let Some(best @ Best::Simple(list, _)) = &best {
            best.save(&bench.folders.make(BEST)?)?;
            let served = bench.variant(BEST, &bought)?;
            let (_, itself) = simple
                .iter()
                .find(|(simple, _)| simple == list)
                .expect("what won was judged");
            if served.quality.quality.metrics.ndcg < AS_GOOD * itself.quality.metrics.ndcg {
                let notice = list.notice(&self.dataset.config.evaluation.candidates);
                self.notices.extend(notice);
            }
            variants.push(served);
        }
        Ok(Judged {
            scorers,
            retrieval,
            verdict: verdict.map(|verdict| verdict.sentence),
            best,
            baselines: simple.into_iter().map(|(_, judged)| judged.quality).collect(),
            variants: variants.into_iter().map(|judged| judged.quality).collect(),
        })
    }
}

/// What is judged, and on what.
struct Bench<'a> {
    dataset: &'a Dataset,
    prepared: &'a Prepared,
    folders: BundleFolders,
}

impl Bench<'_> {
    fn scorers(&self, models: &Models, depth: Depth) -> anyhow::Result<Vec<ScorerQuality>> {
        let Prepared {
            test, pairs, encoded, ..
        } = self.prepared;
        let inputs = PairInputs {
            features: pairs,
            stacking: &self.stacking(models)?,
        };
        let features = inputs.encoded(&test.labeled.pairs, &test.known.snapshot, &encoded.items);
        let scorers = models.scorers.iter();
        scorers
            .map(|scorer| self.scorer(scorer, &features, models.usual_chance, depth))
            .collect()
    }

    /// One scorer on the labeled pairs of the test window, whose encoded pair features are `features`.
    fn scorer(
        &self,
        scorer: &FittedScorer,
        features: &[f32],
        usual_chance: f32,
        depth: Depth,
    ) -> anyhow::Result<ScorerQuality> {
        let Prepared {
            test,
            workflow,
            encoded,
            ..
        } = self.prepared;
        let (labeled, seed) = (&test.labeled, self.dataset.config.training.seed);
        let FittedScorer { fitted, seconds } = scorer;
        let name = fitted.scorer.bundle();
        let judge = Judge::load(&self.folders.bundle(name), &workflow.layout(), encoded)?;
        let scores = judge.score(&labeled.pairs, features)?;
        let scores = pairs::among_sampled(&scores, &labeled.chances, usual_chance);
        let permuted = match depth {
            Depth::Usual => Vec::new(),
            Depth::Inputs => {
                let spinner = progress::spinner("what each input is worth");
                let drops = permutation::drops(&judge, labeled, features, usual_chance, seed)?;
                spinner.finish_and_clear();
                InputValue::greatest_first(judge.layout.inputs(), drops)
            }
        };
        let users: Vec<u32> = labeled.pairs.iter().map(|pair| pair.user.0).collect();
        let user_count = test.known.snapshot.users.len();
        Ok(ScorerQuality {
            name: name.to_owned(),
            metrics: PairMetrics::of(&scores, &labeled.labels),
            intervals: PairIntervals::of(&scores, &labeled.labels, &users, user_count, seed),
            rounds: fitted.rounds,
            seconds: *seconds,
            bytes: self.folders.size(name)?,
            microseconds: judge.microseconds()?,
            gains: fitted.gains.clone(),
            permuted,
        })
    }

    /// The sources whose opinions the scorers read, as a pod would load them.
    fn stacking(&self, models: &Models) -> Result<Stacking, RetrievalError> {
        let items = &self.prepared.test.known.snapshot.items;
        let load = |stacked: &StackedSource| {
            let source = TrainedSource::load(&self.folders.bundle(&stacked.name), items)?;
            Ok((stacked.clone(), Arc::new(source)))
        };
        let sources = models.stacked.iter().map(load);
        Ok(Stacking::new(sources.collect::<Result<_, RetrievalError>>()?))
    }

    /// How much of what was bought is among the candidates, by the two towers and by what needs no deep
    /// model.
    fn retrieval(&self, window: &Window, sources: &[NamedSource]) -> anyhow::Result<Vec<RetrievalQuality>> {
        let test = &self.prepared.test;
        let snapshot = &test.known.snapshot;
        let search = two_tower::search(&self.dataset.config.training.two_tower);
        let towers = Retrieval::load(
            &self.folders.bundle(TWO_TOWER),
            &snapshot.items,
            &self.prepared.workflow.layout(),
            &search,
        )?;
        let neighbors = self.folders.bundle(FEATURES).join(NEIGHBOURS);
        Ok(retrieval::evaluate(
            &towers,
            sources,
            &self.prepared.encoded,
            &Neighbors::read(&neighbors, &snapshot.items)?,
            snapshot,
            &window.pairs(self.dataset, snapshot),
        )?)
    }

    /// The trained sources, with what people call them.
    fn sources(&self, models: &Models) -> Result<Vec<NamedSource>, RetrievalError> {
        let items = &self.prepared.test.known.snapshot.items;
        let load = |FittedSource { settings, .. }: &FittedSource| {
            let (title, bundle) = (settings.title(), settings.bundle());
            let source = TrainedSource::load(&self.folders.bundle(bundle), items)?;
            Ok(NamedSource {
                title,
                bundle,
                source,
            })
        };
        models.sources.iter().map(load).collect()
    }

    /// Loads a variant of the scorer bundle of this name and queries it for every buyer.
    fn variant(
        &self,
        scorer: &str,
        bought: &end_to_end::Bought,
    ) -> anyhow::Result<end_to_end::Judged<VariantQuality>> {
        let folders = self.folders.variant(scorer);
        let variant = Variant::load(&folders, &variant_settings(self.dataset, scorer, &folders))?;
        let bar = progress::bar("lists for every buyer");
        let judged = end_to_end::variant(&variant, bought, self.dataset.config.training.seed, &bar)?;
        bar.finish();
        Ok(judged)
    }
}

/// How a scorer's pipeline answers while it is judged, with all sources that there are: what no candidates are wanted of may have a say.
pub(super) fn variant_settings(dataset: &Dataset, scorer: &str, folders: &VariantFolders) -> VariantSettings {
    let config = &dataset.config;
    let mut quotas = Quotas::from(config.evaluation.candidates.clone());
    for name in folders.sources.keys() {
        if quotas.trained.iter().all(|quota| quota.name != *name) {
            let (name, candidates) = (name.clone(), 0);
            quotas.trained.push(TrainedQuota { name, candidates });
        }
    }
    VariantSettings {
        name: scorer.to_owned(),
        quotas,
        search: two_tower::search(&config.training.two_tower),
        similarity_search: SearchParameters::default(),
        device: Device::Cpu,
        already_bought: config.evaluation.seen.into(),
        blocked_items: Vec::new(),
        limit: end_to_end::K,
        order: Order::BestFirst,
        diversity: None,
    }
}
