//! How good what was made is, by the scorers and the pipeline that serve.

use std::path::Path;

use anyhow::Context;
use gondola_models::features::Neighbours;
use gondola_models::features::neighbours::NEIGHBOURS;
use gondola_models::ordering::Order;
use gondola_models::pipeline::{AlreadyBought, Variant, VariantFolders, VariantSettings};
use gondola_models::retrieval::Retrieval;
use gondola_models::retrieval::index::SearchParameters;
use gondola_models::similarity::device::Device;

use super::work::{Ground, Made, Run};
use crate::dataset::training::Scorer;
use crate::evaluate::pairs::{self, Judge};
use crate::evaluate::permutation;
use crate::evaluate::retrieval::{self, RetrievalQuality};
use crate::evaluate::scorer::ScorerQuality;
use crate::evaluate::{PairIntervals, PairMetrics, VariantQuality, end_to_end};
use crate::fit::examples::encoded_pairs;
use crate::fit::trees::greatest_first;
use crate::progress;

/// How much is found out about scorers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// What a run tells.
    Usual,
    /// And what each input is worth, which takes longer than training.
    Inputs,
}

impl Run {
    /// Each scorer on the labelled pairs of the test window.
    pub(super) fn judge_scorers(
        &mut self,
        ground: &Ground,
        made: Vec<Made>,
        usual_chance: f32,
        depth: Depth,
    ) -> anyhow::Result<Vec<ScorerQuality>> {
        let labelled = &ground.test.labelled;
        let features = encoded_pairs(
            &ground.pairs,
            &labelled.pairs,
            &ground.test.snapshot,
            &ground.encoded.items,
        );
        let users: Vec<u32> = labelled.pairs.iter().map(|pair| pair.user).collect();
        let (user_count, seed) = (
            ground.test.snapshot.users.len(),
            self.dataset.config.training.seed,
        );
        let mut qualities = Vec::with_capacity(made.len());
        for Made {
            scorer,
            fitted,
            seconds,
        } in made
        {
            let folder = self.folder(scorer.bundle())?;
            let judge = Judge::load(&folder, &ground.workflow.layout(), &ground.encoded)?;
            let scores = judge.score(&labelled.pairs, &features)?;
            let scores = pairs::among_sampled(&scores, &labelled.chances, usual_chance);
            let permuted = match depth {
                Depth::Usual => Vec::new(),
                Depth::Inputs => {
                    let spinner = progress::spinner("what each input is worth");
                    let drops = permutation::drops(&judge, labelled, &features, usual_chance, seed)?;
                    spinner.finish_and_clear();
                    greatest_first(ground.workflow.layout().inputs(), drops)
                }
            };
            qualities.push(ScorerQuality {
                name: scorer.bundle().to_owned(),
                metrics: PairMetrics::of(&scores, &labelled.labels),
                intervals: PairIntervals::of(&scores, &labelled.labels, &users, user_count, seed),
                rounds: fitted.rounds,
                seconds,
                bytes: size(&folder)?,
                microseconds: judge.microseconds()?,
                gains: fitted.gains.unwrap_or_default(),
                permuted,
            });
        }
        Ok(qualities)
    }

    /// How much of what was bought is among the candidates, by the two towers and by what needs no deep model.
    pub(super) fn judge_retrieval(&mut self, ground: &Ground) -> anyhow::Result<Vec<RetrievalQuality>> {
        let snapshot = &ground.test.snapshot;
        let towers = Retrieval::load(&self.folder("two-tower")?, &snapshot.items, &self.search())?;
        let bought = ground.test.window.pairs(snapshot);
        let neighbours = Neighbours::read(&self.folder("features")?.join(NEIGHBOURS), &snapshot.items)?;
        Ok(retrieval::evaluate(
            &towers,
            &ground.encoded,
            &neighbours,
            snapshot,
            &bought,
        )?)
    }

    /// Loads a variant of each scorer from the bundles' folders, as a pod would, and asks it for every buyer.
    pub(super) fn ask_variants(
        &mut self,
        scorers: &[Scorer],
        bought: &end_to_end::Bought,
    ) -> anyhow::Result<Vec<VariantQuality>> {
        let seed = self.dataset.config.training.seed;
        let mut qualities = Vec::new();
        for scorer in scorers {
            let folders = VariantFolders {
                features: self.folder("features")?,
                retrieval: self.folder("two-tower")?,
                scorer: self.folder(scorer.bundle())?,
                similarity: None,
            };
            let variant = Variant::load(&folders, &self.variant_settings(*scorer))?;
            let bar = progress::bar("lists for every buyer");
            qualities.push(end_to_end::variant(&variant, bought, seed, &bar)?);
            bar.finish();
        }
        Ok(qualities)
    }

    fn search(&self) -> SearchParameters {
        let two_tower = &self.dataset.config.training.two_tower;
        SearchParameters {
            nprobe: two_tower.nprobe,
            ef_search: two_tower.ef_search,
        }
    }

    fn variant_settings(&self, scorer: Scorer) -> VariantSettings {
        VariantSettings {
            name: scorer.bundle().to_owned(),
            quotas: self.dataset.config.evaluation.candidates.into(),
            search: self.search(),
            similarity_search: SearchParameters::default(),
            device: Device::Cpu,
            already_bought: AlreadyBought::Keep,
            blocked_items: Vec::new(),
            limit: end_to_end::K,
            order: Order::BestFirst,
            diversity: None,
        }
    }
}

/// Bytes of the files in a folder.
fn size(folder: &Path) -> anyhow::Result<u64> {
    let read = || -> std::io::Result<u64> {
        let entries = std::fs::read_dir(folder)?;
        entries.map(|entry| Ok(entry?.metadata()?.len())).sum()
    };
    read().with_context(|| format!("cannot read {}", folder.display()))
}
