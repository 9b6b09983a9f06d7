//! The one writer of a run: what was made, as the folders of a set of bundles.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use gondola_models::features::neighbors::{self, NEIGHBOURS};
use gondola_models::features::{Schema, Workflow};
use gondola_models::pipeline::VariantFolders;
use tempfile::TempDir;

use super::best::{BEST, Best};
use super::models::{FittedScorer, FittedSource, Models};
use super::prepare::{Known, Prepared};
use crate::features::POPULARITY;
use crate::fit::item_index::ItemIndex;
use crate::fit::text::TextIndex;
use crate::fit::two_tower::Towers;
use crate::publish::{FEATURES, ITEM_TEXT, TWO_TOWER};

/// What bundles that belong together are made of.
pub(super) struct BundleSet<'a> {
    pub(super) workflow: &'a Workflow,
    /// What the features are read from.
    pub(super) known: &'a Known,
    pub(super) towers: &'a Towers,
    /// The items of `known`.
    pub(super) index: &'a ItemIndex,
    /// What was learned of who buys what until `known`.
    pub(super) sources: &'a [FittedSource],
    pub(super) scorers: &'a [FittedScorer],
    /// The scorer to take; none where that is still to be found out.
    pub(super) best: Option<&'a Best<'a>>,
    /// There is none where nothing is published.
    pub(super) text: Option<&'a TextIndex>,
}

/// A set of bundles on disk, each in a folder of its name, as a pod has them; they go when this value goes.
pub(super) struct BundleFolders {
    folder: TempDir,
    sources: Vec<&'static str>,
}

impl<'a> BundleSet<'a> {
    /// What is judged: everything as of the first day of the test window.
    pub(super) fn judged(prepared: &'a Prepared, models: &'a Models) -> Self {
        Self {
            workflow: &prepared.workflow,
            known: &prepared.test.known,
            towers: &models.towers,
            index: &models.index,
            sources: &models.sources,
            scorers: &models.scorers,
            best: None,
            text: None,
        }
    }

    /// Writes all of them.
    pub(super) fn write(&self) -> anyhow::Result<BundleFolders> {
        let names = self.sources.iter().map(|source| source.settings.bundle());
        let folders = BundleFolders {
            folder: tempfile::tempdir().context("cannot make a folder for bundles")?,
            sources: names.collect(),
        };
        self.write_features(&folders.make(FEATURES)?)?;
        let two_tower = folders.make(TWO_TOWER)?;
        self.towers.save(&two_tower)?;
        self.index.save(&two_tower)?;
        for source in self.sources {
            let folder = folders.make(source.settings.bundle())?;
            source
                .fitted
                .save(&source.settings, &self.known.snapshot.items, &folder)?;
        }
        for scorer in self.scorers {
            let fitted = &scorer.fitted;
            fitted.save(&folders.make(fitted.scorer.bundle())?)?;
        }
        if let Some(best) = self.best {
            best.save(&folders.make(BEST)?)?;
        }
        if let Some(text) = self.text {
            text.save(&folders.make(ITEM_TEXT)?)?;
        }
        Ok(folders)
    }

    fn write_features(&self, folder: &Path) -> anyhow::Result<()> {
        let Known {
            snapshot,
            tables,
            interactions,
        } = self.known;
        Schema::new(&snapshot.as_of.to_string(), POPULARITY)
            .with_interactions(*interactions)
            .save(folder)?;
        self.workflow.save(folder)?;
        for table in [&tables.users, &tables.items, &tables.history] {
            let name = table.file_name().context("a table has a file name")?;
            fs::copy(table, folder.join(name)).with_context(|| format!("cannot copy {}", table.display()))?;
        }
        neighbors::save(&snapshot.neighbors(), &snapshot.items, &folder.join(NEIGHBOURS))?;
        Ok(())
    }
}

impl BundleFolders {
    /// The folder that all of them are in.
    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The folder of the bundle of this name.
    pub(super) fn bundle(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// What a variant of the scorer bundle of this name loads.
    pub(super) fn variant(&self, scorer: &str) -> VariantFolders {
        VariantFolders {
            features: self.bundle(FEATURES),
            retrieval: self.bundle(TWO_TOWER),
            sources: self.sources(),
            scorer: self.bundle(scorer),
            similarity: None,
        }
    }

    /// The folders of trained sources, by their names.
    pub(super) fn sources(&self) -> BTreeMap<String, PathBuf> {
        let names = self.sources.iter();
        names
            .map(|name| ((*name).to_owned(), self.bundle(name)))
            .collect()
    }

    /// Bytes of the files of a bundle.
    pub(super) fn size(&self, name: &str) -> anyhow::Result<u64> {
        let folder = self.bundle(name);
        let read = || -> std::io::Result<u64> {
            let entries = fs::read_dir(&folder)?;
            entries.map(|entry| Ok(entry?.metadata()?.len())).sum()
        };
        read().with_context(|| format!("cannot read {}", folder.display()))
    }

    /// Makes the folder of the bundle of this name.
    pub(super) fn make(&self, name: &str) -> anyhow::Result<PathBuf> {
        let folder = self.bundle(name);
        fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(folder)
    }
}
