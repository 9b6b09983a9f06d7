//! Towers and indexes with random weights, in the shapes of trained ones.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use candle_core::{Device, Tensor};
use gondola_models::features::Workflow;
use gondola_models::retrieval::TwoTowerConfig;
use gondola_models::retrieval::index::{Index, Metric};
use gondola_models::retrieval::tower::TowerConfig;
use rand_chacha::ChaCha8Rng;
use serde_json::json;

use super::features::item_id;
use super::{FACTORY, NPROBE, TEXT_DIMENSION, TOWER_DIMENSION, draw};

const TOWER_EMBEDDING: usize = 16;
const TOWER_HIDDEN: usize = 128;
/// Dimensions in which vectors of the towers, and of texts, really differ.
const TOWER_INTRINSIC: usize = 24;
const TEXT_INTRINSIC: usize = 64;

/// Tensors by name, as they go into a safetensors file.
pub(super) struct Weights {
    rng: ChaCha8Rng,
    tensors: HashMap<String, Tensor>,
}

impl Weights {
    pub(super) fn new(purpose: u64) -> Self {
        Self {
            rng: draw::rng(purpose),
            tensors: HashMap::new(),
        }
    }

    pub(super) fn add(&mut self, name: String, values: Vec<f32>, shape: &[usize]) -> anyhow::Result<()> {
        self.tensors
            .insert(name, Tensor::from_vec(values, shape, &Device::Cpu)?);
        Ok(())
    }

    pub(super) fn embedding(&mut self, name: &str, cardinality: usize, width: usize) -> anyhow::Result<()> {
        let values = draw::normals(&mut self.rng, cardinality * width, 0.3);
        self.add(format!("{name}.weight"), values, &[cardinality, width])
    }

    pub(super) fn linear(&mut self, name: &str, input: usize, output: usize) -> anyhow::Result<()> {
        let values = draw::normals(&mut self.rng, input * output, 1.0 / (input as f32).sqrt());
        let bias = draw::normals(&mut self.rng, output, 0.01);
        self.add(format!("{name}.weight"), values, &[output, input])?;
        self.add(format!("{name}.bias"), bias, &[output])
    }

    pub(super) fn layers(&mut self, name: &str, widths: &[usize]) -> anyhow::Result<()> {
        for (position, pair) in widths.windows(2).enumerate() {
            self.linear(&format!("{name}.{position}"), pair[0], pair[1])?;
        }
        Ok(())
    }

    pub(super) fn save(&self, path: &Path) -> anyhow::Result<()> {
        Ok(candle_core::safetensors::save(&self.tensors, path)?)
    }
}

/// The retrieval bundle. Users land among the items: the query tower's last layer ends in the items' subspace.
pub(super) fn write_towers(folder: &Path, workflow: &Workflow, items: usize) -> anyhow::Result<()> {
    let cardinalities = workflow.cardinalities();
    let config = |categorical: Vec<usize>, numeric| TowerConfig {
        embedding: vec![TOWER_EMBEDDING; categorical.len()],
        categorical,
        numeric,
        hidden: vec![TOWER_HIDDEN],
        output: TOWER_DIMENSION,
    };
    let towers = TwoTowerConfig {
        query: config(cardinalities.user, workflow.user.numeric.len()),
        item: config(cardinalities.item, workflow.item.numeric.len()),
        known: None,
    };
    fs::write(folder.join("tower.json"), serde_json::to_vec_pretty(&towers)?)?;

    let basis = draw::basis(TOWER_INTRINSIC, TOWER_DIMENSION);
    let mut query = tower(&towers.query, 1)?;
    let last = into_subspace(&mut query.rng, &basis);
    query.add(
        "layer.1.weight".to_owned(),
        last,
        &[TOWER_DIMENSION, TOWER_HIDDEN],
    )?;
    query.save(&folder.join("query_tower.safetensors"))?;
    tower(&towers.item, 2)?.save(&folder.join("item_tower.safetensors"))?;

    let vectors = draw::clustered(&mut draw::rng(3), items, &basis, TOWER_INTRINSIC, 600);
    write_index(folder, &vectors, TOWER_DIMENSION)
}

fn tower(config: &TowerConfig, purpose: u64) -> anyhow::Result<Weights> {
    let mut weights = Weights::new(purpose);
    for (column, (cardinality, width)) in config.categorical.iter().zip(&config.embedding).enumerate() {
        weights.embedding(&format!("embedding.{column}"), *cardinality, *width)?;
    }
    let input = config.embedding.iter().sum::<usize>() + config.numeric;
    weights.layers("layer", &[input, TOWER_HIDDEN, TOWER_DIMENSION])?;
    Ok(weights)
}

/// A layer (`[outputs, inputs]`) whose outputs are in the subspace that `basis` spans.
fn into_subspace(rng: &mut ChaCha8Rng, basis: &[f32]) -> Vec<f32> {
    let inner = draw::normals(rng, TOWER_HIDDEN * TOWER_INTRINSIC, 0.1);
    let mut weights = vec![0.0; TOWER_DIMENSION * TOWER_HIDDEN];
    for output in 0..TOWER_DIMENSION {
        for input in 0..TOWER_HIDDEN {
            weights[output * TOWER_HIDDEN + input] = (0..TOWER_INTRINSIC)
                .map(|k| inner[input * TOWER_INTRINSIC + k] * basis[k * TOWER_DIMENSION + output])
                .sum();
        }
    }
    weights
}

/// The similarity bundle, without an encoder: neighbors of known items.
pub(super) fn write_texts(folder: &Path, items: usize) -> anyhow::Result<()> {
    let basis = draw::basis(TEXT_INTRINSIC, TEXT_DIMENSION);
    let vectors = draw::clustered(&mut draw::rng(4), items, &basis, TEXT_INTRINSIC, 2_000);
    fs::write(
        folder.join("encoder.json"),
        json!({"text_columns": []}).to_string(),
    )?;
    write_index(folder, &vectors, TEXT_DIMENSION)
}

fn write_index(folder: &Path, vectors: &[f32], dimension: usize) -> anyhow::Result<()> {
    let index = Index::build(vectors, dimension, Metric::InnerProduct, FACTORY)?;
    index.save(&folder.join("index.faiss"))?;
    let about = json!({"factory": FACTORY, "search": {"nprobe": NPROBE}});
    fs::write(folder.join("index.json"), about.to_string())?;
    let ids: Vec<String> = (0..index.len()).map(item_id).collect();
    fs::write(folder.join("items.json"), serde_json::to_vec(&ids)?)?;
    Ok(())
}
