use std::path::PathBuf;

use std::collections::BTreeMap;

use super::*;
use crate::scoring::{Family, ScorerConfig};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../onnx/tests/fixtures")
        .join(name)
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn tensors(bound: &[(&str, &[&str])]) -> BTreeMap<String, Vec<String>> {
    let bound = bound.iter();
    bound
        .map(|(name, columns)| ((*name).to_owned(), names(columns)))
        .collect()
}

#[track_caller]
fn refused(name: &str, config: &OnnxConfig, layout: &Layout, part: &str) {
    let error = OnnxScorer::load(&fixture(name), config, layout).unwrap_err();
    assert!(error.to_string().contains(part), "{error}");
}

/// Scores items for one user.
fn score(scorer: &OnnxScorer, user: &EncodedRow, items: &[EncodedRow], pairs: &[f32]) -> Vec<f32> {
    let mut table = EncodedTable::new(items[0].categorical.len(), items[0].numeric.len());
    items.iter().for_each(|item| table.push(item));
    let width = scorer.block_width();
    let mut blocks = vec![0.0; items.len() * width];
    scorer.prepare(&table, &mut blocks);
    let blocks: Vec<&[f32]> = (0..items.len())
        .map(|item| &blocks[item * width..][..width])
        .collect();
    let candidates = CandidateBatch {
        blocks: &blocks,
        pairs,
        pair_width: pairs.len() / items.len(),
    };
    let mut scores = Vec::new();
    scorer.score(user, &candidates, &mut scores).unwrap();
    scores
}

/// torch's DLRMs: five numbers and three indexes, which here come from the user, the item and the pair.
fn dlrm_layout() -> Layout {
    Layout {
        user_categorical: names(&["city"]),
        user_numeric: names(&["age", "spend"]),
        item_categorical: names(&["kind", "brand"]),
        item_numeric: names(&["price", "sold"]),
        pair: names(&["purchases"]),
    }
}

fn dlrm_config() -> OnnxConfig {
    OnnxConfig {
        tensors: tensors(&[
            ("dense", &["numeric"]),
            ("sparse", &["user.city", "item.categorical"]),
        ]),
        output: None,
    }
}

#[derive(serde::Deserialize)]
struct Expected {
    dense: Vec<[f32; 5]>,
    sparse: Vec<[u32; 3]>,
    models: BTreeMap<String, Probabilities>,
}

#[derive(serde::Deserialize)]
struct Probabilities {
    #[serde(default)]
    prob: Vec<f32>,
}

#[test]
fn torch_s_dlrms_give_what_torch_gave() {
    let expected = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/dlrm/expected.json");
    let expected: Expected = serde_json::from_slice(&std::fs::read(expected).unwrap()).unwrap();
    for (file, model) in [
        ("dlrm_dot.legacy.onnx", "dlrm_dot"),
        ("dlrm_dot_itself.legacy.onnx", "dlrm_dot_itself"),
        ("dlrm_cat.legacy.onnx", "dlrm_cat"),
        ("dlrm_dot_gather.legacy.onnx", "dlrm_dot_gather"),
        ("dlrm_dot_gather.dynamo.onnx", "dlrm_dot_gather"),
    ] {
        let scorer = OnnxScorer::load(&fixture(file), &dlrm_config(), &dlrm_layout()).unwrap();
        let wanted = &expected.models[model].prob;
        assert_eq!(wanted.len(), expected.dense.len());
        for ((dense, sparse), wanted) in expected.dense.iter().zip(&expected.sparse).zip(wanted) {
            let user = EncodedRow {
                categorical: vec![sparse[0]],
                numeric: dense[..2].to_vec(),
            };
            let item = EncodedRow {
                categorical: sparse[1..].to_vec(),
                numeric: dense[2..4].to_vec(),
            };
            // Among others, in the second place.
            let other = EncodedRow {
                categorical: vec![0, 0],
                numeric: vec![0.5, 0.5],
            };
            let scores = score(&scorer, &user, &[other, item], &[0.0, dense[4]]);
            assert!(
                (scores[1] - wanted).abs() < 1e-6,
                "{file}: {scores:?} is not {wanted}"
            );
        }
    }
}

#[derive(serde::Deserialize)]
struct Pipeline {
    rows: Vec<[f32; 4]>,
    probabilities: Vec<f32>,
}

#[test]
fn a_pipeline_of_scikit_learn_gets_the_whole_row_and_gives_the_second_class() {
    let expected: Pipeline =
        serde_json::from_slice(&std::fs::read(fixture("scikit_learn.json")).unwrap()).unwrap();
    let layout = Layout {
        user_numeric: names(&["age"]),
        item_numeric: names(&["price", "sold"]),
        pair: names(&["purchases"]),
        ..Layout::default()
    };
    let file = fixture("scikit_learn.onnx");
    let scorer = OnnxScorer::load(&file, &OnnxConfig::default(), &layout).unwrap();
    for (row, wanted) in expected.rows.iter().zip(&expected.probabilities) {
        let entity = |numeric: &[f32]| EncodedRow {
            categorical: Vec::new(),
            numeric: numeric.to_vec(),
        };
        let scores = score(&scorer, &entity(&row[..1]), &[entity(&row[1..3])], &row[3..]);
        assert!((scores[0] - wanted).abs() < 1e-6, "{scores:?} is not {wanted}");
    }
}

#[test]
fn the_user_s_row_goes_in_once_where_the_graph_has_room_for_one() {
    let layout = Layout {
        user_numeric: names(&["a", "b", "c"]),
        item_numeric: names(&["d", "e"]),
        ..Layout::default()
    };
    let file = fixture("user_once.onnx");
    let scorer = OnnxScorer::load(&file, &OnnxConfig::default(), &layout).unwrap();
    let user = EncodedRow {
        categorical: Vec::new(),
        numeric: vec![1.0, 0.5, -2.0],
    };
    // More than one run takes.
    let items: Vec<EncodedRow> = (0..1500)
        .map(|item| EncodedRow {
            categorical: Vec::new(),
            numeric: vec![item as f32 / 1000.0, 1.0],
        })
        .collect();
    let scores = score(&scorer, &user, &items, &[]);
    assert_eq!(scores.len(), items.len());
    for (score, item) in scores.iter().zip(&items) {
        let logit = -0.5 + 2.0 * item.numeric[0] - 0.5 * item.numeric[1];
        let wanted = 1.0 / (1.0 + (-logit).exp());
        assert!((score - wanted).abs() < 1e-6, "{score} is not {wanted}");
    }

    let of_the_item = OnnxConfig {
        tensors: tensors(&[("user", &["user.a", "user.b", "item.d"])]),
        output: None,
    };
    refused(
        "user_once.onnx",
        &of_the_item,
        &layout,
        "user: float [1, 3] can't be filled with 3 columns",
    );
}

#[test]
fn what_does_not_fit_is_refused_with_what_there_is() {
    let (layout, config) = (dlrm_layout(), dlrm_config());
    let file = "dlrm_dot.legacy.onnx";
    let unbound =
        "what the network's input dense: float [?, 5] is to get; call it like a column (user.city, user.age";
    refused(file, &OnnxConfig::default(), &layout, unbound);
    let with = |name: &str, columns: &[&str]| {
        let mut config = config.clone();
        config.tensors.insert(name.to_owned(), names(columns));
        config
    };
    refused(
        file,
        &with("dense", &["user.height"]),
        &layout,
        r#"fills the input "dense" with "user.height""#,
    );
    refused(
        file,
        &with("dense", &["user", "item.price"]),
        &layout,
        "can't be filled with 4 columns a row",
    );
    refused(
        file,
        &with("sparse", &["user", "pair"]),
        &layout,
        "user.age is a number with fractions",
    );
    refused(
        file,
        &with("deep", &["user"]),
        &layout,
        r#"fills the input "deep", but the network has dense: float [?, 5]"#,
    );
    let output = OnnxConfig {
        output: Some("logit".to_owned()),
        ..config
    };
    refused(file, &output, &layout, r#"names the output "logit""#);
    refused(
        "query_tower.onnx",
        &OnnxConfig {
            tensors: tensors(&[("ids", &["item.categorical"]), ("dense", &["numeric"])]),
            output: None,
        },
        &Layout {
            item_numeric: names(&["price", "sold"]),
            ..dlrm_layout()
        },
        "no single output",
    );
}

#[test]
fn a_configuration_says_no_more_than_it_must() {
    let plain = ScorerConfig {
        inputs: names(&["user.age"]),
        sampled_by: None,
        sources: Vec::new(),
        family: Family::Onnx(OnnxConfig::default()),
    };
    let json = serde_json::to_string(&plain).unwrap();
    assert_eq!(json, r#"{"inputs":["user.age"],"family":"onnx"}"#);
    assert_eq!(serde_json::from_str::<ScorerConfig>(&json).unwrap(), plain);
}

/// The child of the trials below: this test program asked for this one test, with the path as one more filter.
#[test]
fn child_that_tries_a_network() {
    let path = std::env::args().next_back().filter(|path| path.ends_with(FILE));
    if let Some(path) = path {
        crate::trial::load_and_use(Path::new(&path)).unwrap();
    }
}

#[test]
fn a_network_that_takes_all_time_or_memory_fails_its_trial() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE);
    let tried = |name: &str| {
        std::fs::copy(fixture(name), &path).unwrap();
        let test = "scoring::onnx::tests::child_that_tries_a_network";
        let program = std::env::current_exe().unwrap();
        crate::trial::Trial::by(program, ["--exact", test, "--nocapture"]).check(&path)
    };
    tried("dlrm_dot.legacy.onnx").unwrap();
    // It can't be told from a network that does not take zeros, and does no harm to the process.
    tried("huge.onnx").unwrap();
    let message = tried("forever.onnx").unwrap_err().to_string();
    assert!(message.contains("in a trial process failed"), "{message}");
    assert!(message.contains("TooLong"), "{message}");
}
