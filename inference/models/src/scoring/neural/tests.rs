//! What the tests of all neural families share.

use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Result as CandleResult, Tensor};
use candle_nn::{VarBuilder, VarMap};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::parts::{Pairs, Parts, Rows, upload};
use super::split::SCORED_AT_A_TIME;
use super::{Batch, InputShape, Network};
use crate::dense::WeightsError;
use crate::features::{EncodedRow, EncodedTable};
use crate::scoring::{CandidateBatch, ScoreError, Scorer};

/// More than are scored at a time.
const CANDIDATES: usize = SCORED_AT_A_TIME + 44;

/// Inputs of every kind.
pub(crate) fn shape() -> InputShape {
    InputShape {
        user_categorical: vec![5, 9, 3],
        item_categorical: vec![11, 4, 6, 7],
        user_numeric: 3,
        item_numeric: 5,
        pair: 2,
    }
}

/// A sample that other programs made.
pub(crate) fn fixture(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/dlrm")
        .join(file)
}

/// What the samples give.
pub(crate) fn expected() -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(fixture("expected.json")).unwrap()).unwrap()
}

/// Random rows that a workflow could have made.
pub(crate) fn rows(
    rng: &mut ChaCha8Rng,
    count: usize,
    cardinalities: &[usize],
    numeric: usize,
) -> EncodedTable {
    let mut table = EncodedTable::new(cardinalities.len(), numeric);
    for _ in 0..count {
        table.push(&EncodedRow {
            categorical: cardinalities
                .iter()
                .map(|size| rng.random_range(0..*size as u32))
                .collect(),
            numeric: (0..numeric).map(|_| rng.random_range(-2.0..2.0)).collect(),
        });
    }
    table
}

fn tensors(table: &EncodedTable, repeat: usize) -> (Tensor, Tensor) {
    let rows: Vec<usize> = (0..table.rows())
        .flat_map(|row| std::iter::repeat_n(row, repeat))
        .collect();
    let categorical: Vec<u32> = rows
        .iter()
        .flat_map(|row| table.categorical(*row))
        .copied()
        .collect();
    let numeric: Vec<f32> = rows.iter().flat_map(|row| table.numeric(*row)).copied().collect();
    let count = rows.len();
    (
        Tensor::from_vec(categorical, (count, table.categorical_width()), &Device::Cpu).unwrap(),
        Tensor::from_vec(numeric, (count, table.numeric_width()), &Device::Cpu).unwrap(),
    )
}

/// What a scorer gives for a user and items.
pub(crate) fn score(
    scorer: &impl Scorer,
    user: &EncodedRow,
    items: &EncodedTable,
    pairs: &[f32],
) -> Result<Vec<f32>, ScoreError> {
    let mut blocks = vec![0.0; items.rows() * scorer.block_width()];
    scorer.prepare(items, &mut blocks);
    let blocks: Vec<&[f32]> = blocks.chunks_exact(scorer.block_width()).collect();
    let batch = CandidateBatch {
        blocks: &blocks,
        pairs,
        pair_width: pairs.len() / items.rows().max(1),
    };
    let mut scores = vec![7.0];
    scorer.score(user, &batch, &mut scores).map(|()| scores)
}

/// Saves the weights that a network starts from, one tensor of them filled with a value.
fn save<N>(
    network: impl Fn(VarBuilder<'_>) -> CandleResult<N>,
    filled: Option<(&str, f32)>,
    path: &Path,
) -> N {
    let mut weights = VarMap::new();
    let network = network(VarBuilder::from_varmap(&weights, DType::F32, &Device::Cpu)).unwrap();
    if let Some((name, value)) = filled {
        let shape = weights.data().lock().unwrap()[name].shape().clone();
        weights
            .set_one(name, Tensor::full(value, shape, &Device::Cpu).unwrap())
            .unwrap();
    }
    weights.save(path).unwrap();
    network
}

/// Compares a network, and what it is when it is taken apart, with the scorer that serves its weights.
#[track_caller]
pub(crate) fn check_serving<N: Network, S: Scorer, P: Parts>(
    shape: &InputShape,
    network: impl Fn(VarBuilder<'_>) -> CandleResult<N>,
    into_parts: impl Fn(N) -> CandleResult<P>,
    load: impl Fn(&Path) -> Result<S, WeightsError>,
) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let network = save(network, None, &path);
    let scorer = load(&path).unwrap();

    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let user = rows(&mut rng, 1, &shape.user_categorical, shape.user_numeric);
    let items = rows(&mut rng, CANDIDATES, &shape.item_categorical, shape.item_numeric);
    let pairs: Vec<f32> = (0..CANDIDATES * shape.pair)
        .map(|_| rng.random_range(-2.0..2.0))
        .collect();

    let (user_categorical, user_numeric) = tensors(&user, CANDIDATES);
    let (item_categorical, item_numeric) = tensors(&items, 1);
    let batch = Batch {
        user_categorical,
        user_numeric,
        item_categorical,
        item_numeric,
        pair: Tensor::from_vec(pairs.clone(), (CANDIDATES, shape.pair), &Device::Cpu).unwrap(),
    };
    let logits = network.forward(&batch).unwrap();
    let trained: Vec<f32> = candle_nn::ops::sigmoid(&logits).unwrap().to_vec1().unwrap();
    let served = score(&scorer, &user.row(0), &items, &pairs).unwrap();
    assert_eq!(served.len(), trained.len());
    for (trained, served) in trained.iter().zip(&served) {
        assert!((trained - served).abs() < 1e-5, "{trained} is not {served}");
    }
    let users = rows(&mut rng, 3, &shape.user_categorical, shape.user_numeric);
    let pairs: Vec<f32> = (0..3 * CANDIDATES * shape.pair)
        .map(|_| rng.random_range(-2.0..2.0))
        .collect();
    check_parts(
        &into_parts(network).unwrap(),
        &scorer,
        shape,
        &users,
        &items,
        &pairs,
    );
}

/// Scores every item for every user, taken apart on a device and by what serves: `pairs` are a user's after the other's.
#[track_caller]
pub(crate) fn check_parts(
    parts: &impl Parts,
    scorer: &impl Scorer,
    shape: &InputShape,
    users: &EncodedTable,
    items: &EncodedTable,
    pairs: &[f32],
) {
    let device = Device::Cpu;
    let upload_rows = |table: &EncodedTable, vocabularies: &[usize]| {
        let rows = (0..table.rows()).map(|row| (table.categorical(row), table.numeric(row)));
        Rows::upload(rows, table.rows(), vocabularies, &device).unwrap()
    };
    let of_users = parts.users(&upload_rows(users, &shape.user_categorical)).unwrap();
    let of_items = parts.items(&upload_rows(items, &shape.item_categorical)).unwrap();
    let of_pairs = || (0..users.rows()).flat_map(|user| (0..items.rows()).map(move |item| (user, item)));
    let mut places = Vec::new();
    of_pairs().for_each(|(user, item)| {
        parts.push_places(users.categorical(user), items.categorical(item), &mut places)
    });
    let gathered = |part: &Tensor, positions: Vec<u32>| {
        part.index_select(&Tensor::new(positions, &device).unwrap(), 0)
            .unwrap()
    };
    let count = users.rows() * items.rows();
    let logits = parts.logits(&Pairs {
        user: gathered(&of_users, of_pairs().map(|(user, _)| user as u32).collect()),
        item: gathered(&of_items, of_pairs().map(|(_, item)| item as u32).collect()),
        features: upload(pairs.to_vec(), count, &device).unwrap(),
        places: upload(places, count, &device).unwrap(),
    });
    let found: Vec<f32> = candle_nn::ops::sigmoid(&logits.unwrap())
        .unwrap()
        .to_vec1()
        .unwrap();
    let own = pairs.len() / users.rows();
    for user in 0..users.rows() {
        let served = score(scorer, &users.row(user), items, &pairs[user * own..][..own]).unwrap();
        for (found, served) in found[user * items.rows()..].iter().zip(&served) {
            assert!((found - served).abs() < 1e-4, "{found} is not {served}");
        }
    }
}

/// Saves the weights that a network starts from, and wants them refused.
#[track_caller]
pub(crate) fn check_refused<S>(
    network: impl Fn(VarBuilder<'_>) -> CandleResult<()>,
    filled: Option<(&str, f32)>,
    load: impl Fn(&Path) -> Result<S, WeightsError>,
    part: &str,
) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    save(network, filled, &path);
    let error = load(&path).err().expect("these weights can't be served");
    assert!(error.to_string().contains(part), "{error}");
}

/// Saves the weights that a network starts from, and loads them.
pub(crate) fn fresh<S>(
    network: impl Fn(VarBuilder<'_>) -> CandleResult<()>,
    load: impl Fn(&Path) -> Result<S, WeightsError>,
) -> S {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    save(network, None, &path);
    load(&path).unwrap()
}
