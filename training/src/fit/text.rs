//! The text index: every item's text through the sentence encoder. Equal texts are encoded once.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use gondola_models::features::RawTable;
use gondola_models::pipeline::items::text;
use gondola_models::retrieval::index::SearchParameters;
use gondola_models::similarity::device::Device;
use gondola_models::similarity::{TextConfig, encoder};
use indicatif::ProgressBar;

use super::two_tower::save_index;
use super::{FitError, write_json};
use crate::dataset::training::TwoTower;

/// Texts encoded at a time.
const ENCODED_AT_A_TIME: usize = 64;

/// What a run says of the texts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TextSummary {
    /// Items that have a text.
    pub items: usize,
    /// Different texts.
    pub texts: usize,
    /// Recall@200 of the index against exact search.
    pub recall: f64,
    /// Width of the space.
    pub dimension: usize,
}

/// Embeds the items' texts and leaves index, ids and encoder in a bundle's folder.
pub fn fit(
    settings: &TwoTower,
    items: &RawTable,
    columns: &[String],
    encoder_folder: &Path,
    bar: &ProgressBar,
    folder: &Path,
) -> Result<TextSummary, FitError> {
    let encoder = encoder::load(encoder_folder, Device::Cpu)?;
    let texts: Vec<String> = (0..items.len())
        .map(|row| text(&items.row(row), columns))
        .collect();
    let rows: Vec<u32> = (0..items.len() as u32)
        .filter(|row| !texts[*row as usize].is_empty())
        .collect();
    let mut different: Vec<&str> = rows.iter().map(|row| texts[*row as usize].as_str()).collect();
    different.sort_unstable();
    different.dedup();
    if different.is_empty() {
        let way_out = "name columns that have texts in items.text";
        return Err(FitError::Nothing {
            what: "item with a text",
            way_out,
        });
    }
    // Texts of a length make batches without padding.
    different.sort_by_key(|text| text.len());
    bar.set_length(different.len() as u64);
    let mut vectors: HashMap<&str, Vec<f32>> = HashMap::with_capacity(different.len());
    for chunk in different.chunks(ENCODED_AT_A_TIME) {
        let encoded = encoder.encode(chunk)?;
        let encoded = encoded.chunks_exact(encoder.dimension()).map(<[f32]>::to_vec);
        vectors.extend(chunk.iter().copied().zip(encoded));
        bar.inc(chunk.len() as u64);
    }
    let all: Vec<f32> = rows
        .iter()
        .flat_map(|row| &vectors[texts[*row as usize].as_str()])
        .copied()
        .collect();
    let queries: Vec<f32> = different
        .iter()
        .step_by(1 + different.len() / 200)
        .flat_map(|text| &vectors[text])
        .copied()
        .collect();
    let search = SearchParameters {
        nprobe: settings.text_nprobe,
        ef_search: None,
    };
    let recall = save_index(
        folder,
        &settings.text_index,
        search,
        encoder.dimension(),
        items,
        &rows,
        &all,
        &queries,
    )?;
    write_json(
        &folder.join("encoder.json"),
        &TextConfig {
            text_columns: columns.to_vec(),
        },
    )?;
    copy_encoder(encoder_folder, &folder.join("encoder"))?;
    Ok(TextSummary {
        items: rows.len(),
        texts: different.len(),
        recall,
        dimension: encoder.dimension(),
    })
}

/// Copies the files that an encoder is loaded from: the folder's own, and those of its modules.
fn copy_encoder(from: &Path, to: &Path) -> Result<(), FitError> {
    copy_files(from, to)?;
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
        let bert = Path::new(env!("CARGO_MANIFEST_DIR")).join("../inference/tests/fixtures/encoders/bert");
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
