//! What is found and scored on a device is what the processor's kernels find and score, whoever else is asked about.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use candle_core::{DType, Device};
use candle_nn::{VarBuilder, VarMap};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::nearest::{AT_A_TIME, check};
use super::*;
use crate::features::{EncodedRow, EncodedTable, ItemId, Layout, RawRow, RawTable};
use crate::items::{ItemFeatures, ItemNow, ItemsView, NewItem, block};
use crate::retrieval::index::{Index, Metric, SearchParameters};
use crate::retrieval::tower::{Tower, TowerConfig};
use crate::retrieval::{Found, TwoTowerConfig};
use crate::scoring::dcn::{Dcn, DcnConfig, cross::Cross};
use crate::scoring::dlrm::{Dlrm, DlrmConfig};
use crate::scoring::factorization_machine::{FactorizationMachine, FactorizationMachineConfig};
use crate::scoring::mlp::{Mlp, MlpConfig};
use crate::scoring::neural::tests::{rows, shape};
use crate::scoring::wide_deep::{WideDeep, WideDeepConfig, crosses::Crosses};
use crate::scoring::{CandidateBatch, Family, Loaded, ScorerConfig, load};

const DIMENSION: usize = 12;
/// More than three blocks.
const ITEMS: usize = 3500;
const NEAREST: usize = 50;

fn table(count: usize) -> RawTable {
    let ids: Vec<String> = (0..count).map(|row| format!("item-{row}")).collect();
    let column = Arc::new(StringArray::from(ids)) as ArrayRef;
    let batch = RecordBatch::try_from_iter([("item_id", column)]).unwrap();
    RawTable::from_batch(&batch, "item_id", Path::new("items.parquet")).unwrap()
}

fn save<N>(network: impl Fn(VarBuilder<'_>) -> CandleResult<N>, path: &Path) {
    let weights = VarMap::new();
    network(VarBuilder::from_varmap(&weights, DType::F32, &Device::Cpu)).unwrap();
    weights.save(path).unwrap();
}

/// A retrieval bundle whose index, of a kind and a metric, has every vector twice.
fn write_retrieval(folder: &Path, items: usize, factory: &str, metric: Metric) {
    let shape = shape();
    let config = |categorical: Vec<usize>, numeric| TowerConfig {
        embedding: vec![4; categorical.len()],
        categorical,
        numeric,
        hidden: vec![16],
        output: DIMENSION,
    };
    let towers = TwoTowerConfig {
        query: config(shape.user_categorical, shape.user_numeric),
        item: config(shape.item_categorical, shape.item_numeric),
        known: None,
    };
    fs::write(folder.join("tower.json"), serde_json::to_vec(&towers).unwrap()).unwrap();
    for (file, config) in [("query_tower", &towers.query), ("item_tower", &towers.item)] {
        save(
            |vb| Tower::new(config, vb),
            &folder.join(format!("{file}.safetensors")),
        );
    }
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let half: Vec<f32> = (0..items / 2 * DIMENSION)
        .map(|_| rng.random_range(-1.0..1.0))
        .collect();
    let index = Index::build(&[half.clone(), half].concat(), DIMENSION, metric, factory).unwrap();
    index.save(&folder.join("index.faiss")).unwrap();
    // The index has the items in another order than the catalog.
    let ids: Vec<String> = (0..items).rev().map(|row| format!("item-{row}")).collect();
    fs::write(folder.join("items.json"), serde_json::to_vec(&ids).unwrap()).unwrap();
}

fn retrieval(factory: &str, metric: Metric) -> (tempfile::TempDir, Retrieval) {
    retrieval_of(ITEMS, factory, metric)
}

fn retrieval_of(items: usize, factory: &str, metric: Metric) -> (tempfile::TempDir, Retrieval) {
    let folder = tempfile::tempdir().unwrap();
    write_retrieval(folder.path(), items, factory, metric);
    let retrieval = Retrieval::load(
        folder.path(),
        &table(items),
        &Layout::default(),
        &SearchParameters::default(),
    )
    .unwrap();
    (folder, retrieval)
}

fn users(count: usize) -> EncodedTable {
    let shape = shape();
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    rows(&mut rng, count, &shape.user_categorical, shape.user_numeric)
}

fn near(nearest: &NearestItems, users: &EncodedTable, asked: &[usize]) -> Vec<Neighborhood> {
    let rows: Vec<EncodedRow> = asked.iter().map(|row| users.row(*row)).collect();
    nearest.of(&rows.iter().collect::<Vec<_>>()).unwrap()
}

fn bits(found: &[Found]) -> Vec<(u32, u32)> {
    let found = found.iter();
    found
        .map(|found| (found.item, found.similarity.to_bits()))
        .collect()
}

#[test]
fn the_nearest_items_are_those_of_an_exact_index_whatever_the_index() {
    let users = users(TOGETHER);
    let all: Vec<usize> = (0..TOGETHER).collect();
    // The same vectors; each bundle has towers of its own.
    let (_folder, flat) = retrieval("Flat", Metric::InnerProduct);
    for factory in ["Flat", "IVF16,Flat", "HNSW8"] {
        let (folder, retrieval) = retrieval(factory, Metric::InnerProduct);
        let nearest = NearestItems::load((folder.path(), &retrieval), NEAREST, &Device::Cpu).unwrap();
        for (user, near) in near(&nearest, &users, &all).iter().enumerate() {
            let query = retrieval.embed_user(&users.row(user), &[]).unwrap();
            for (device, kernel) in near.query.iter().zip(&query) {
                assert!((device - kernel).abs() < 1e-5, "{device} is not {kernel}");
            }
            check_nearest(&near.found, &flat.search(&query, NEAREST, None).unwrap());
        }
    }
}

#[test]
fn more_items_than_are_looked_at_at_a_time_are_looked_at_one_part_after_the_other() {
    let (folder, retrieval) = retrieval_of(AT_A_TIME + 20, "Flat", Metric::InnerProduct);
    let nearest = NearestItems::load((folder.path(), &retrieval), NEAREST, &Device::Cpu).unwrap();
    let users = users(3);
    for (user, near) in near(&nearest, &users, &[0, 1, 2]).iter().enumerate() {
        let query = retrieval.embed_user(&users.row(user), &[]).unwrap();
        check_nearest(&near.found, &retrieval.search(&query, NEAREST, None).unwrap());
    }
}

/// The same items, but for those that are as near as each other within what rounding makes of products.
#[track_caller]
fn check_nearest(found: &[Found], exact: &[Found]) {
    assert_eq!(found.len(), exact.len());
    for (found, exact) in found.iter().zip(exact) {
        let (one, other) = (found.similarity, exact.similarity);
        assert!((one - other).abs() < 1e-5, "{one} is not {other}");
    }
    let last = exact[exact.len() - 1].similarity;
    for exact in exact.iter().filter(|exact| exact.similarity > last + 1e-5) {
        assert!(found.iter().any(|found| found.item == exact.item), "{exact:?}");
    }
}

#[test]
fn of_equally_near_items_the_first_of_the_index_comes_first() {
    let (folder, retrieval) = retrieval("Flat", Metric::InnerProduct);
    let nearest = NearestItems::load((folder.path(), &retrieval), NEAREST, &Device::Cpu).unwrap();
    let found = near(&nearest, &users(1), &[0]).remove(0).found;
    for pair in found.chunks_exact(2) {
        assert_eq!(pair[0].similarity, pair[1].similarity);
        assert_eq!(
            pair[0].item,
            pair[1].item + (ITEMS / 2) as u32,
            "the index has it the other way"
        );
    }
}

#[test]
fn a_neighborhood_does_not_depend_on_who_else_is_asked_about() {
    let (folder, retrieval) = retrieval("Flat", Metric::InnerProduct);
    let nearest = NearestItems::load((folder.path(), &retrieval), NEAREST, &Device::Cpu).unwrap();
    let users = users(TOGETHER);
    let all: Vec<usize> = (0..TOGETHER).collect();
    let together = near(&nearest, &users, &all);
    for user in [0, 1, 30, TOGETHER - 1] {
        let alone = near(&nearest, &users, &[user]).remove(0);
        assert_eq!(alone.query, together[user].query);
        assert_eq!(bits(&alone.found), bits(&together[user].found));
    }
}

#[test]
fn a_user_of_whom_no_number_can_be_made_costs_nobody_else_their_neighbors() {
    let (folder, retrieval) = retrieval("Flat", Metric::InnerProduct);
    let nearest = NearestItems::load((folder.path(), &retrieval), NEAREST, &Device::Cpu).unwrap();
    let users = users(2);
    let mut damaged = users.row(0);
    damaged.numeric[1] = f32::NAN;
    let found = nearest.of(&[&damaged, &users.row(1)]).unwrap();
    assert!(found[0].query.iter().any(|value| value.is_nan()));
    let alone = near(&nearest, &users, &[1]).remove(0);
    assert_eq!(bits(&found[1].found), bits(&alone.found));
}

#[test]
fn what_a_device_can_not_find_is_said() {
    let (folder, of_distances) = retrieval("Flat", Metric::L2);
    let loaded = NearestItems::load((folder.path(), &of_distances), 5, &Device::Cpu);
    let message = loaded.err().unwrap().to_string();
    assert!(message.contains("build it for inner products"), "{message}");
    let (_folder, of_products) = retrieval("Flat", Metric::InnerProduct);
    let message = check(of_products.items(), 4097).err().unwrap().to_string();
    let part = "retrieval gives at most 4096 candidates, but the spec wants 4097";
    assert!(message.contains(part), "{message}");
}

/// What tests of scorers share: items, some of which were put, and users with candidates.
struct Scene {
    folder: tempfile::TempDir,
    loaded: Loaded,
    items: Items,
    users: EncodedTable,
    /// Of each user.
    candidates: Vec<u32>,
    /// Of all users.
    pairs: Vec<f32>,
}

/// More than are scored at a time, with 80 candidates each.
const USERS: usize = 60;
const CANDIDATES: usize = 80;
const CATALOG: usize = 200;

fn layout() -> Layout {
    let named = |kind: &str, count: usize| (0..count).map(|column| format!("{kind}-{column}")).collect();
    let shape = shape();
    Layout {
        user_categorical: named("club", shape.user_categorical.len()),
        user_numeric: named("age", shape.user_numeric),
        item_categorical: named("color", shape.item_categorical.len()),
        item_numeric: named("price", shape.item_numeric),
        pair: named("purchases", shape.pair),
    }
}

impl Scene {
    fn new<N>(family: Family, network: impl Fn(VarBuilder<'_>) -> CandleResult<N>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        save(network, &folder.path().join("model.safetensors"));
        let config = ScorerConfig {
            inputs: layout().inputs(),
            sampled_by: None,
            sources: Vec::new(),
            family,
        };
        let json = serde_json::to_vec(&config).unwrap();
        fs::write(folder.path().join("scorer.json"), json).unwrap();
        let loaded = load(folder.path(), &layout()).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(9);
        let shape = shape();
        let encoded = rows(&mut rng, CATALOG, &shape.item_categorical, shape.item_numeric);
        let items = Items::new(table(CATALOG), encoded, "sales", &loaded);
        let pairs = (0..USERS * CANDIDATES * shape.pair).map(|_| rng.random_range(-2.0..2.0));
        Self {
            folder,
            items,
            users: users(USERS),
            candidates: (0..CANDIDATES as u32)
                .map(|place| place * 7 % CATALOG as u32)
                .collect(),
            pairs: pairs.collect(),
            loaded,
        }
    }

    fn put(&self, id: &str, seed: u64) {
        let (mut rng, shape) = (ChaCha8Rng::seed_from_u64(seed), shape());
        self.put_row(
            id,
            rows(&mut rng, 1, &shape.item_categorical, shape.item_numeric).row(0),
        );
    }

    fn put_row(&self, id: &str, encoded: EncodedRow) {
        let new = NewItem {
            raw: RawRow::default(),
            block: block(&encoded, self.loaded.scorer.as_ref()),
            weight: 1.0,
            vector: vec![0.0; DIMENSION],
            text_vector: None,
            encoded,
        };
        let now = ItemNow {
            features: ItemFeatures::New(new),
            withdrawn: None,
        };
        self.items.set(vec![(ItemId::from(id), now)]).unwrap();
    }

    /// The scores of some users' candidates on the device.
    fn on_device(&self, scorer: &PairScorer, users: std::ops::Range<usize>) -> Vec<f32> {
        let rows: Vec<EncodedRow> = users.clone().map(|user| self.users.row(user)).collect();
        let asked: Vec<(&EncodedRow, usize)> = rows.iter().map(|row| (row, CANDIDATES)).collect();
        let width = CANDIDATES * shape().pair;
        let candidates = Candidates {
            users: &asked,
            items: &self.candidates.repeat(users.len()),
            pairs: &self.pairs[users.start * width..users.end * width],
        };
        let mut scores = vec![7.0];
        scorer
            .score(&candidates, &self.items.view(), &mut scores)
            .unwrap();
        scores
    }

    /// The same by the kernels.
    fn by_kernels(&self, user: usize) -> Vec<f32> {
        let items: ItemsView<'_> = self.items.view();
        let blocks: Vec<&[f32]> = self.candidates.iter().map(|item| items.block(*item)).collect();
        let pair_width = shape().pair;
        let batch = CandidateBatch {
            blocks: &blocks,
            pairs: &self.pairs[user * CANDIDATES * pair_width..][..CANDIDATES * pair_width],
            pair_width,
        };
        let mut scores = Vec::new();
        let scorer = &self.loaded.scorer;
        scorer.score(&self.users.row(user), &batch, &mut scores).unwrap();
        scores
    }

    #[track_caller]
    fn check(&self, scorer: &PairScorer) {
        let together = self.on_device(scorer, 0..USERS);
        for (user, scores) in together.chunks_exact(CANDIDATES).enumerate() {
            for (device, kernel) in scores.iter().zip(self.by_kernels(user)) {
                assert!((device - kernel).abs() < 1e-4, "{device} is not {kernel}");
            }
        }
        for user in [0, 17, USERS - 1] {
            let alone = self.on_device(scorer, user..user + 1);
            assert_eq!(alone, together[user * CANDIDATES..][..CANDIDATES], "user {user}");
        }
    }
}

#[track_caller]
fn check_family<N>(family: Family, network: impl Fn(VarBuilder<'_>) -> CandleResult<N>) {
    let mut scene = Scene::new(family, network);
    let parts = scoring::load_parts(scene.folder.path(), &Device::Cpu).unwrap();
    let scorer = PairScorer::new(parts.unwrap(), &scene.items, &Device::Cpu).unwrap();
    scene.check(&scorer);
    let before = scene.on_device(&scorer, 0..1);
    // A new item, and one in the place of the first candidate.
    scene.put("new", 1);
    scene.put("item-0", 2);
    scene.candidates[5] = CATALOG as u32;
    scene.check(&scorer);
    let after = scene.on_device(&scorer, 0..1);
    let changed: Vec<usize> = (0..CANDIDATES).filter(|at| before[*at] != after[*at]).collect();
    assert_eq!(changed, [0, 5]);
    scene.put("new", 3);
    scene.check(&scorer);
    let before = scene.on_device(&scorer, 0..1);
    let mut damaged = scene.items.encoded().row(7);
    damaged.numeric.fill(f32::INFINITY);
    scene.put_row("item-7", damaged);
    for (at, (before, after)) in before.iter().zip(scene.on_device(&scorer, 0..1)).enumerate() {
        match scene.candidates[at] {
            7 => assert!(!after.is_finite(), "{after}"),
            _ => assert_eq!(*before, after, "an item that is damaged spoils no other"),
        }
    }
}

#[test]
fn every_network_scores_as_its_kernels_do() {
    let (embedding_dim, shape) = (8, shape());
    let dlrm = DlrmConfig {
        embedding_dim,
        bottom: vec![16],
        top: vec![24, 12],
        interaction: Default::default(),
        numbers_to_top: false,
        arrangement: Default::default(),
        shape: shape.clone(),
    };
    check_family(Family::Dlrm(dlrm.clone()), |vb| Dlrm::new(&dlrm, vb));
    let wide_deep = WideDeepConfig {
        embedding_dim,
        hidden: vec![24, 12],
        crosses: Crosses {
            pairs: vec![(0, 1), (2, 0)],
            buckets: 97,
        },
        shape: shape.clone(),
    };
    check_family(Family::WideDeep(wide_deep.clone()), |vb| {
        WideDeep::new(&wide_deep, vb)
    });
    let dcn = DcnConfig {
        embedding_dim,
        cross: Cross::LowRank(5),
        cross_layers: 2,
        hidden: vec![24, 12],
        shape: shape.clone(),
    };
    check_family(Family::Dcn(dcn.clone()), |vb| Dcn::new(&dcn, vb));
    let mlp = MlpConfig {
        embedding_dim,
        hidden: vec![24, 12],
        shape: shape.clone(),
    };
    check_family(Family::Mlp(mlp.clone()), |vb| Mlp::new(&mlp, vb));
    let machine = FactorizationMachineConfig { dimension: 8, shape };
    check_family(Family::FactorizationMachine(machine.clone()), |vb| {
        FactorizationMachine::new(&machine, vb)
    });
}

#[test]
fn a_forest_has_no_network() {
    let folder = tempfile::tempdir().unwrap();
    let json = serde_json::json!({"family": "forest", "inputs": layout().inputs()});
    fs::write(folder.path().join("scorer.json"), json.to_string()).unwrap();
    assert!(
        scoring::load_parts(folder.path(), &Device::Cpu)
            .unwrap()
            .is_none()
    );
}
