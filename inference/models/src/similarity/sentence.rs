//! How a folder makes one vector of a text's tokens, as sentence-transformers writes it down.
//!
//! `modules.json` lists the steps: a transformer, pooling ([`Pooling`]), then dense layers and scaling to length 1
//! ([`Head`]). `config_sentence_transformers.json` may name a prompt that stands before every text, and how vectors are
//! compared. A folder without `modules.json` is a transformer alone; its vectors are means. What can't be done as it is
//! written is refused by name.
//!
//! Releases that read none of this published the folder's own files and left those of its modules out, so that a
//! published encoder without them is one whose index was made of means ([`Sentence::published`]).

use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use super::head::Head;
use super::pooling::Pooling;
use super::text_encoder::{EncoderLoadError, json};

const MODULES: &str = "modules.json";
const SETTINGS: &str = "config_sentence_transformers.json";

/// What a folder says of itself.
#[derive(Debug, Default)]
pub(super) struct Sentence {
    /// The folder of the transformer.
    pub(super) transformer: PathBuf,
    /// How tokens become one vector, where the folder says it.
    pub(super) pooling: Option<Pooling>,
    /// What follows.
    pub(super) head: Vec<Head>,
    /// What stands before every text.
    pub(super) prompt: String,
}

/// A line of `modules.json`.
#[derive(Deserialize)]
struct Module {
    path: String,
    #[serde(rename = "type")]
    kind: String,
}

/// `config_sentence_transformers.json`.
#[derive(Default, Deserialize)]
struct Settings {
    #[serde(default)]
    prompts: std::collections::BTreeMap<String, String>,
    default_prompt_name: Option<String>,
    similarity_fn_name: Option<String>,
}

impl Sentence {
    /// Reads a folder.
    pub(super) fn read(folder: &Path) -> Result<Self, EncoderLoadError> {
        let mut sentence = Self::plain(folder);
        let modules = modules(folder)?;
        for (module, at) in &modules {
            match module.name() {
                "Transformer" | "CLIPModel" => sentence.transformer.clone_from(at),
                "Pooling" => sentence.pooling = Some(Pooling::read(&at.join("config.json"))?),
                "Dense" => sentence.head.push(Head::read_dense(at)?),
                "Normalize" => sentence.head.push(Head::Normalize),
                "Dropout" => {}
                _ => {
                    return Err(EncoderLoadError::Module {
                        path: folder.join(MODULES),
                        module: module.kind.clone(),
                    });
                }
            }
        }
        // Folders that were put together by hand have pooling without a list of modules.
        let alone = folder.join("1_Pooling/config.json");
        if sentence.pooling.is_none() && alone.exists() {
            sentence.pooling = Some(Pooling::read(&alone)?);
        }
        sentence.prompt = sentence.settled(&folder.join(SETTINGS))?;
        Ok(sentence)
    }

    /// Reads the folder of a published encoder: means of a transformer, where the files of its modules were left out.
    pub(super) fn published(folder: &Path) -> Result<Self, EncoderLoadError> {
        let left_out = |(module, at): &(Module, PathBuf)| {
            matches!(module.name(), "Pooling" | "Dense") && !at.join("config.json").exists()
        };
        match modules(folder)?.iter().any(left_out) {
            true => Ok(Self::plain(folder)),
            false => Self::read(folder),
        }
    }

    /// Whether nothing follows the transformer but scaling, and nothing stands before a text.
    pub(super) fn is_plain(&self) -> bool {
        let scales = |step: &Head| matches!(step, Head::Normalize);
        self.pooling.is_none() && self.prompt.is_empty() && self.head.iter().all(scales)
    }

    fn plain(folder: &Path) -> Self {
        Self {
            transformer: folder.to_owned(),
            ..Self::default()
        }
    }

    /// The default prompt, after a check of how vectors are compared.
    fn settled(&self, path: &Path) -> Result<String, EncoderLoadError> {
        if !path.exists() {
            return Ok(String::new());
        }
        let settings: Settings = json(path)?;
        let scaled = matches!(self.head.last(), Some(Head::Normalize));
        match settings.similarity_fn_name.as_deref() {
            None | Some("cosine") => {}
            // They give the order of the cosine where vectors have the length 1.
            Some("dot" | "dot_product" | "euclidean") if scaled => {}
            Some(other) => {
                return Err(EncoderLoadError::Field {
                    path: path.to_owned(),
                    field: "similarity_fn_name",
                    value: format!("`{other}`"),
                    expected: "texts are compared by the cosine of their vectors; take an encoder that is trained for it"
                        .to_owned(),
                });
            }
        }
        let Some(name) = settings.default_prompt_name else {
            return Ok(String::new());
        };
        let Some(prompt) = settings.prompts.get(&name) else {
            return Err(EncoderLoadError::Field {
                path: path.to_owned(),
                field: "default_prompt_name",
                value: format!("`{name}`"),
                expected: "`prompts` must have it".to_owned(),
            });
        };
        if !prompt.is_empty()
            && self
                .pooling
                .as_ref()
                .is_some_and(|pooling| !pooling.includes_prompt())
        {
            return Err(EncoderLoadError::Field {
                path: path.to_owned(),
                field: "default_prompt_name",
                value: format!("`{name}`"),
                expected: "pooling leaves the prompt out (include_prompt), which is not supported".to_owned(),
            });
        }
        Ok(prompt.clone())
    }
}

/// The folders of a folder's modules that are not the folder itself.
pub(super) fn module_folders(folder: &Path) -> Result<Vec<PathBuf>, EncoderLoadError> {
    let mut folders: Vec<PathBuf> = modules(folder)?.into_iter().map(|(_, at)| at).collect();
    folders.push(folder.join("1_Pooling"));
    folders.retain(|at| at != folder && at.is_dir());
    folders.sort();
    folders.dedup();
    Ok(folders)
}

/// The modules of a folder in order, and where each is; none where the folder lists none.
fn modules(folder: &Path) -> Result<Vec<(Module, PathBuf)>, EncoderLoadError> {
    let path = folder.join(MODULES);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let modules: Vec<Module> = json(&path)?;
    let inside = |module: Module| {
        let within = Path::new(&module.path);
        match within
            .components()
            .all(|part| matches!(part, Component::Normal(_)))
        {
            // Joining an empty path would end the folder with a slash.
            true if module.path.is_empty() => Ok((module, folder.to_owned())),
            true => {
                let at = folder.join(within);
                Ok((module, at))
            }
            false => Err(EncoderLoadError::Field {
                path: path.clone(),
                field: "path",
                value: format!("`{}`", module.path),
                expected: "modules lie within the encoder's folder".to_owned(),
            }),
        }
    };
    modules.into_iter().map(inside).collect()
}

impl Module {
    /// The class without its package, which changed between releases of sentence-transformers.
    fn name(&self) -> &str {
        self.kind.rsplit('.').next().unwrap_or(&self.kind)
    }
}

#[cfg(test)]
mod tests;
