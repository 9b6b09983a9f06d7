//! Bundles of the neural scorers with random weights, in the shapes of trained ones.

use std::fs;
use std::path::Path;

use gondola_models::features::Workflow;
use gondola_models::scoring::dcn::DcnConfig;
use gondola_models::scoring::dcn::cross::Cross;
use gondola_models::scoring::dlrm::DlrmConfig;
use gondola_models::scoring::dlrm::arrangement::{Arrangement, Interaction};
use gondola_models::scoring::factorization_machine::FactorizationMachineConfig;
use gondola_models::scoring::mlp::MlpConfig;
use gondola_models::scoring::neural::InputShape;
use gondola_models::scoring::wide_deep::WideDeepConfig;
use gondola_models::scoring::wide_deep::crosses::Crosses;
use gondola_models::scoring::{Family, ScorerConfig};

use super::models::Weights;

const DLRM_EMBEDDING: usize = 64;
/// Width of the other networks' embeddings.
const EMBEDDING: usize = 16;
/// Hidden layers of the other networks.
const HIDDEN: [usize; 2] = [128, 64];
const CROSS_LAYERS: usize = 2;
/// What a user buys most often or bought last, with the same of the item: positions of columns.
const CROSSES: [(usize, usize); 4] = [(5, 2), (7, 5), (9, 8), (11, 15)];
const CROSS_BUCKETS: usize = 1 << 16;

/// 29 embeddings of 64, bottom 19-128-64, top 499-128-64-32-1.
pub(super) fn write_dlrm(folder: &Path, workflow: &Workflow) -> anyhow::Result<()> {
    let config = DlrmConfig {
        embedding_dim: DLRM_EMBEDDING,
        bottom: vec![128],
        top: vec![128, 64, 32],
        interaction: Interaction::Dot,
        numbers_to_top: false,
        arrangement: Arrangement::Gondola,
        shape: shape(workflow),
    };
    let mut weights = embeddings(5, &config.shape, DLRM_EMBEDDING)?;
    weights.layers("bottom", &[config.shape.numeric(), 128, DLRM_EMBEDDING])?;
    let vectors = 1 + config.shape.user_categorical.len() + config.shape.item_categorical.len();
    let interactions = vectors * (vectors - 1) / 2;
    weights.layers("top", &[DLRM_EMBEDDING + interactions, 128, 64, 32, 1])?;
    write(folder, workflow, &weights, Family::Dlrm(config))
}

/// 29 embeddings of 16, layers 483-128-64-1.
pub(super) fn write_mlp(folder: &Path, workflow: &Workflow) -> anyhow::Result<()> {
    let config = MlpConfig {
        embedding_dim: EMBEDDING,
        hidden: HIDDEN.to_vec(),
        shape: shape(workflow),
    };
    let mut weights = embeddings(7, &config.shape, EMBEDDING)?;
    weights.layers("layer", &to_the_logit(&config.shape))?;
    write(folder, workflow, &weights, Family::Mlp(config))
}

/// The MLP's shape, and beside it a weight for each category and number and four crosses.
pub(super) fn write_wide_deep(folder: &Path, workflow: &Workflow) -> anyhow::Result<()> {
    let config = WideDeepConfig {
        embedding_dim: EMBEDDING,
        hidden: HIDDEN.to_vec(),
        crosses: Crosses {
            pairs: CROSSES.to_vec(),
            buckets: CROSS_BUCKETS,
        },
        shape: shape(workflow),
    };
    let mut weights = embeddings(8, &config.shape, EMBEDDING)?;
    add_embeddings(&mut weights, &config.shape, "wide.", 1)?;
    weights.embedding("wide.embedding.cross", CROSS_BUCKETS, 1)?;
    weights.linear("wide.linear", config.shape.numeric(), 1)?;
    weights.layers("layer", &to_the_logit(&config.shape))?;
    write(folder, workflow, &weights, Family::WideDeep(config))
}

/// 29 embeddings of 16, two full cross layers of 483, deep layers 483-128-64.
pub(super) fn write_dcn(folder: &Path, workflow: &Workflow) -> anyhow::Result<()> {
    let config = DcnConfig {
        embedding_dim: EMBEDDING,
        cross: Cross::Full,
        cross_layers: CROSS_LAYERS,
        hidden: HIDDEN.to_vec(),
        shape: shape(workflow),
    };
    let width = config.shape.width(EMBEDDING);
    let mut weights = embeddings(9, &config.shape, EMBEDDING)?;
    weights.layers("cross", &[width; CROSS_LAYERS + 1])?;
    weights.layers("deep", &[width, HIDDEN[0], HIDDEN[1]])?;
    weights.linear("logit", width + HIDDEN[1], 1)?;
    write(folder, workflow, &weights, Family::Dcn(config))
}

/// Places of 16 with a weight behind them, of 29 embeddings and all numbers.
pub(super) fn write_factorization_machine(folder: &Path, workflow: &Workflow) -> anyhow::Result<()> {
    let config = FactorizationMachineConfig {
        dimension: EMBEDDING,
        shape: shape(workflow),
    };
    let mut weights = embeddings(11, &config.shape, EMBEDDING + 1)?;
    weights.linear("number", config.shape.numeric(), EMBEDDING + 1)?;
    write(folder, workflow, &weights, Family::FactorizationMachine(config))
}

fn shape(workflow: &Workflow) -> InputShape {
    InputShape::of(&workflow.layout(), &workflow.cardinalities())
}

fn to_the_logit(shape: &InputShape) -> [usize; 4] {
    [shape.width(EMBEDDING), HIDDEN[0], HIDDEN[1], 1]
}

/// Weights that begin with an embedding of each categorical column.
fn embeddings(purpose: u64, shape: &InputShape, width: usize) -> anyhow::Result<Weights> {
    let mut weights = Weights::new(purpose);
    add_embeddings(&mut weights, shape, "", width)?;
    Ok(weights)
}

fn add_embeddings(
    weights: &mut Weights,
    shape: &InputShape,
    prefix: &str,
    width: usize,
) -> anyhow::Result<()> {
    for (entity, columns) in [
        ("user", &shape.user_categorical),
        ("item", &shape.item_categorical),
    ] {
        for (column, cardinality) in columns.iter().enumerate() {
            weights.embedding(
                &format!("{prefix}embedding.{entity}.{column}"),
                *cardinality,
                width,
            )?;
        }
    }
    Ok(())
}

fn write(folder: &Path, workflow: &Workflow, weights: &Weights, family: Family) -> anyhow::Result<()> {
    weights.save(&folder.join("model.safetensors"))?;
    let scorer = ScorerConfig {
        sampled_by: None,
        sources: Vec::new(),
        inputs: workflow.layout().inputs(),
        family,
    };
    fs::write(folder.join("scorer.json"), serde_json::to_vec_pretty(&scorer)?)?;
    Ok(())
}
