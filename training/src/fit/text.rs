//! The text index: every item's text through the sentence encoder. Equal texts are encoded once.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{Tensor, safetensors};
use gondola_models::device::Device;
use gondola_models::features::RawTable;
use gondola_models::items::text;
use gondola_models::retrieval::index::SearchParameters;
use gondola_models::similarity::TextConfig;
use gondola_models::similarity::encoder::{self, TextEncoder};

use super::item_index::{IndexSettings, ItemIndex, ItemVectors};
use super::{FitError, write_json};
use crate::dataset::training::TwoTower;
use crate::progress::Progress;

/// Texts encoded at a time.
const ENCODED_AT_A_TIME: usize = 64;

/// The file that vectors are kept in until the run is over, and their name in it.
const FILE: &str = "texts.safetensors";
const VECTORS: &str = "vectors";

/// What errors call them.
const MODEL: &str = "the vectors of texts";

/// Texts that weigh the index against exact search, about.
const RECALL_QUERIES: usize = 200;

/// What a text index is made of.
#[derive(Clone, Copy)]
pub(crate) struct TextTask<'a> {
    /// How its index is built.
    pub(crate) settings: &'a TwoTower,
    pub(crate) items: &'a RawTable,
    /// The columns that an item's text is put together from.
    pub(crate) columns: &'a [String],
    pub(crate) encoder: &'a Path,
}

/// Items' texts in an index, and what encoded them.
pub(crate) struct TextIndex {
    /// The items that have a text.
    pub(crate) index: ItemIndex,
    /// How many different texts they have.
    pub(crate) texts: usize,
    /// Width of the space.
    pub(crate) dimension: usize,
    config: TextConfig,
    encoder: PathBuf,
}

/// The vectors of all different texts, in the order of [`different`]: `[texts, dimension]`, row-major.
pub(crate) struct TextVectors {
    vectors: Vec<f32>,
    dimension: usize,
}

impl TextVectors {
    /// Embeds every different text once.
    pub(crate) fn embed(task: TextTask<'_>, bar: &Progress) -> Result<Self, FitError> {
        let encoder = encoder::load(task.encoder, Device::Cpu)?;
        let texts = task.texts();
        Ok(Self {
            vectors: embed(encoder.as_ref(), &different(&texts)?, bar)?,
            dimension: encoder.dimension(),
        })
    }

    /// Leaves them in a folder, to be loaded again.
    pub(crate) fn save(&self, folder: &Path) -> Result<(), FitError> {
        let save = || -> candle_core::Result<()> {
            let shape = (self.vectors.len() / self.dimension, self.dimension);
            let vectors = Tensor::from_slice(&self.vectors, shape, &candle_core::Device::Cpu)?;
            vectors.save_safetensors(VECTORS, folder.join(FILE))
        };
        save().map_err(FitError::network(MODEL))
    }

    /// What an earlier run left in a folder.
    pub(crate) fn load(folder: &Path) -> Result<Self, FitError> {
        let load = || -> candle_core::Result<Self> {
            let mut tensors = safetensors::load(folder.join(FILE), &candle_core::Device::Cpu)?;
            let vectors = tensors.remove(VECTORS);
            let vectors =
                vectors.ok_or_else(|| candle_core::Error::Msg(format!("{FILE} has no {VECTORS}")))?;
            Ok(Self {
                dimension: vectors.dim(1)?,
                vectors: vectors.flatten_all()?.to_vec1()?,
            })
        };
        load().map_err(FitError::network(MODEL))
    }
}

impl TextTask<'_> {
    /// The text of each item, empty where it has none.
    fn texts(&self) -> Vec<String> {
        let items = self.items;
        (0..items.len())
            .map(|row| text(&items.row(row), self.columns))
            .collect()
    }
}

/// Puts the vectors of texts into an index of items.
pub(crate) fn fit(task: TextTask<'_>, embedded: TextVectors) -> Result<TextIndex, FitError> {
    let (items, texts) = (task.items, task.texts());
    let rows: Vec<usize> = (0..items.len()).filter(|row| !texts[*row].is_empty()).collect();
    let different = different(&texts)?;
    let TextVectors { vectors, dimension } = embedded;
    let vectors: HashMap<&str, &[f32]> = different
        .iter()
        .copied()
        .zip(vectors.chunks_exact(dimension))
        .collect();
    let step = 1 + different.len() / RECALL_QUERIES;
    let vectors = ItemVectors {
        ids: rows.iter().map(|row| items.id(*row).into()).collect(),
        vectors: gather(&vectors, rows.iter().map(|row| texts[*row].as_str())),
        queries: gather(&vectors, different.iter().copied().step_by(step)),
        dimension,
    };
    let settings = IndexSettings {
        factory: &task.settings.text_index,
        search: SearchParameters {
            nprobe: task.settings.text_nprobe,
            ef_search: None,
        },
    };
    Ok(TextIndex {
        texts: different.len(),
        index: ItemIndex::build(vectors, &settings)?,
        dimension,
        config: TextConfig {
            text_columns: task.columns.to_vec(),
        },
        encoder: task.encoder.to_owned(),
    })
}

/// Each text once, those of a length together, which make batches without padding; at least one.
fn different(texts: &[String]) -> Result<Vec<&str>, FitError> {
    let texts = texts.iter().map(String::as_str);
    let mut different: Vec<&str> = texts.filter(|text| !text.is_empty()).collect();
    different.sort_unstable();
    different.dedup();
    different.sort_by_key(|text| text.len());
    if different.is_empty() {
        return Err(FitError::Nothing {
            what: "item with a text",
            way_out: "name columns that have texts in items.text",
        });
    }
    Ok(different)
}

/// The vectors of texts, row-major.
fn embed(encoder: &dyn TextEncoder, texts: &[&str], bar: &Progress) -> Result<Vec<f32>, FitError> {
    bar.set_length(texts.len() as u64);
    let mut vectors = Vec::with_capacity(texts.len() * encoder.dimension());
    for chunk in texts.chunks(ENCODED_AT_A_TIME) {
        vectors.extend(encoder.encode(chunk)?);
        bar.inc(chunk.len() as u64);
    }
    Ok(vectors)
}

fn gather<'a>(vectors: &HashMap<&str, &[f32]>, texts: impl Iterator<Item = &'a str>) -> Vec<f32> {
    texts.flat_map(|text| vectors[text]).copied().collect()
}

impl TextIndex {
    /// Writes the index, the encoder and `encoder.json` into a bundle's folder. The encoder's files are those
    /// it was loaded from.
    pub(crate) fn save(&self, folder: &Path) -> Result<(), FitError> {
        self.index.save(folder)?;
        write_json(&folder.join("encoder.json"), &self.config)?;
        copy_encoder(&self.encoder, &folder.join("encoder"))
    }
}

/// Copies the files that an encoder is loaded from: the folder's own, those of its modules, and its model as ONNX if it is one.
fn copy_encoder(from: &Path, to: &Path) -> Result<(), FitError> {
    copy_files(from, to)?;
    if let Some(network) = encoder::network_file(from) {
        let within = network
            .strip_prefix(from)
            .expect("the file lies within the folder");
        let copy = to.join(within);
        let folder = copy.parent().unwrap_or(to);
        fs::create_dir_all(folder).map_err(FitError::file(folder))?;
        fs::copy(&network, &copy).map_err(FitError::file(&network))?;
    }
    for module in encoder::module_folders(from)? {
        let within = module.strip_prefix(from).expect("modules lie within the folder");
        copy_files(&module, &to.join(within))?;
    }
    Ok(())
}

/// Copies a folder's configuration and weights, without the folders in it.
fn copy_files(from: &Path, to: &Path) -> Result<(), FitError> {
    fs::create_dir_all(to).map_err(FitError::file(to))?;
    for entry in fs::read_dir(from).map_err(FitError::file(from))? {
        let path = entry.map_err(FitError::file(from))?.path();
        let needed = path
            .extension()
            .is_some_and(|ending| ending == "json" || ending == "safetensors");
        if let (true, Some(name)) = (needed && path.is_file(), path.file_name()) {
            fs::copy(&path, to.join(name)).map_err(FitError::file(&path))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_published_encoder_gives_the_vectors_of_its_folder() {
        let bert =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../inference/models/tests/fixtures/encoders/bert");
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        copy_files(&bert, from.path()).unwrap();
        copy_files(&bert.join("2_Dense"), &from.path().join("2_Dense")).unwrap();
        let modules = r#"[{"path": "", "type": "Transformer"}, {"path": "1_Pooling", "type": "Pooling"},
            {"path": "2_Dense", "type": "Dense"}]"#;
        fs::write(from.path().join("modules.json"), modules).unwrap();
        fs::create_dir(from.path().join("1_Pooling")).unwrap();
        fs::write(
            from.path().join("1_Pooling/config.json"),
            r#"{"pooling_mode": "cls"}"#,
        )
        .unwrap();
        fs::create_dir(from.path().join("onnx")).unwrap();
        fs::write(from.path().join("onnx/config.json"), "{}").unwrap();

        let published = to.path().join("encoder");
        copy_encoder(from.path(), &published).unwrap();
        assert!(!published.join("onnx").exists(), "nothing is read from there");
        let texts = ["red shoe", "blue hat"];
        let before = encoder::load(from.path(), Device::Cpu).unwrap();
        let after = encoder::load_published(&published, Device::Cpu).unwrap();
        assert_eq!((before.dimension(), after.dimension()), (8, 8));
        assert_eq!(before.encode(&texts).unwrap(), after.encode(&texts).unwrap());
    }
}
