//! Text encoders: from an item's text to a vector, whatever the family of the model.
//!
//! A folder in Hugging Face's layout (`config.json`, `model.safetensors`, `tokenizer.json`) names its family in
//! `model_type`; [`load`] is the only place that knows them all. A folder without `model.safetensors`, but with `model.onnx`, may
//! be of any family ([`super::onnx`]). Folders of sentence-transformers say what follows the model ([`super::sentence`]). Vectors
//! come out L2-normalized in any case, so that an inner product is a cosine.

use std::path::{Path, PathBuf};

use super::bert::Bert;
use super::clip::Clip;
use super::onnx::{self, OnnxModel};
use super::sentence::{self, Sentence};
use super::sentence_encoder::SentenceEncoder;
use super::text_encoder::json;
pub use super::text_encoder::{EncodeError, EncoderLoadError, TextEncoder};
use crate::device::Device;

#[derive(serde::Deserialize)]
struct Family {
    #[serde(default)]
    model_type: String,
}

/// Loads the encoder that a folder holds onto a device.
pub fn load(folder: &Path, device: Device) -> Result<Box<dyn TextEncoder>, EncoderLoadError> {
    load_as(Sentence::read(folder)?, device)
}

/// Loads the encoder of a bundle onto a device, as its index was made: see [`super::sentence`].
pub fn load_published(folder: &Path, device: Device) -> Result<Box<dyn TextEncoder>, EncoderLoadError> {
    load_as(Sentence::published(folder)?, device)
}

/// The folders within an encoder's folder that it is loaded from too.
pub fn module_folders(folder: &Path) -> Result<Vec<PathBuf>, EncoderLoadError> {
    sentence::module_folders(folder)
}

/// The ONNX file that a folder's encoder is loaded from, if it is one.
pub fn network_file(folder: &Path) -> Option<PathBuf> {
    let transformer = Sentence::published(folder).ok()?.transformer;
    network_of(&transformer)
}

fn network_of(transformer: &Path) -> Option<PathBuf> {
    match transformer.join("model.safetensors").exists() {
        true => None,
        false => onnx::file(transformer),
    }
}

fn load_as(sentence: Sentence, device: Device) -> Result<Box<dyn TextEncoder>, EncoderLoadError> {
    if let Some(file) = network_of(&sentence.transformer) {
        let model = OnnxModel::load(&sentence.transformer, &file)?;
        return Ok(Box::new(SentenceEncoder::of(sentence, Box::new(model))?));
    }
    let device = device.open()?;
    let path = sentence.transformer.join("config.json");
    let Family { model_type } = json(&path)?;
    Ok(match model_type.as_str() {
        "bert" => {
            let model = Bert::load(&sentence.transformer, device)?;
            Box::new(SentenceEncoder::of(sentence, Box::new(model))?)
        }
        "clip" | "clip_text_model" if sentence.is_plain() => {
            Box::new(Clip::load(&sentence.transformer, device)?)
        }
        "clip" | "clip_text_model" => {
            return Err(EncoderLoadError::Field {
                path,
                field: "model_type",
                value: format!("`{model_type}`"),
                expected: "only `bert` can have pooling, dense layers or a prompt of its own".to_owned(),
            });
        }
        _ => return Err(EncoderLoadError::Family { path, model_type }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_family_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.json"), r#"{"model_type": "t5"}"#).unwrap();
        let message = load(folder.path(), Device::Cpu).err().unwrap().to_string();
        assert!(message.contains("`t5` is not supported"), "{message}");
    }

    #[test]
    fn a_missing_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let message = load(folder.path(), Device::Cpu).err().unwrap().to_string();
        assert!(message.contains("config.json: cannot be read"), "{message}");
    }
}
