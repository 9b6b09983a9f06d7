//! What the reader of XGBoost's files refuses, and what it takes.

use serde_json::{Value, json};

use super::*;

/// A model of one tree with one split, `c0 < 0.5`, and the leaves -1 and 1.
fn stump() -> Value {
    json!({"learner": {
        "feature_names": [],
        "gradient_booster": {"name": "gbtree", "model": {"trees": [{
            "left_children": [1, -1, -1], "right_children": [2, -1, -1], "split_indices": [0, 0, 0],
            "split_conditions": [0.5, -1.0, 1.0], "default_left": [0, 0, 0], "split_type": [0, 0, 0],
            "categories": [], "categories_nodes": [], "categories_segments": [], "categories_sizes": [],
        }]}},
        "learner_model_param": {"base_score": "[5E-1]", "num_class": "0", "num_feature": "1", "num_target": "1"},
        "objective": {"name": "reg:squarederror"},
    }})
}

const TREE: &str = "/learner/gradient_booster/model/trees/0";

/// The stump, its root by category instead: 2 and 5 go right.
fn by_category() -> Value {
    let mut model = stump();
    for (key, value) in [
        ("split_type", json!([1, 0, 0])),
        ("categories", json!([2, 5])),
        ("categories_nodes", json!([0])),
        ("categories_segments", json!([0])),
        ("categories_sizes", json!([2])),
    ] {
        model.pointer_mut(TREE).unwrap()[key] = value;
    }
    model
}

fn load(model: &Value) -> Result<Forest, ForestError> {
    Forest::load(Format::Json, model.to_string().as_bytes(), &unnamed(1))
}

/// Changes the value at `pointer` and expects predictions for `rows`, on every path.
#[track_caller]
fn check_predicts(mut model: Value, changes: &[(&str, Value)], rows: &[f32], expected: &[f64]) {
    for (pointer, value) in changes {
        *model.pointer_mut(pointer).unwrap() = value.clone();
    }
    let forest = load(&model).unwrap();
    for path in Path::available() {
        assert_eq!(predictions(&forest, path, rows), expected, "{path:?}");
    }
}

/// Changes the value of the tree's `key` and expects a message.
#[track_caller]
fn check_refused(mut model: Value, pointer: &str, value: Value, message: &str) {
    *model.pointer_mut(pointer).unwrap() = value;
    let error = load(&model).unwrap_err();
    let found = format!("{:#}", anyhow::Error::from(error));
    assert_eq!(found, message);
}

#[track_caller]
fn check_tree_refused(model: Value, key: &str, value: Value, message: &str) {
    check_refused(model, &format!("{TREE}/{key}"), value, message);
}

#[test]
fn a_value_at_the_threshold_goes_right_and_nan_goes_by_default() {
    let rows = [
        0.5_f32.next_down(),
        0.5,
        f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
    ];
    check_predicts(stump(), &[], &rows, &[-0.5, 1.5, 1.5, 1.5, -0.5]);
    let left = (&*format!("{TREE}/default_left"), json!([true, false, false]));
    check_predicts(stump(), &[left], &rows, &[-0.5, 1.5, -0.5, 1.5, -0.5]);
    let zero = (&*format!("{TREE}/split_conditions"), json!([0.0, -1.0, 1.0]));
    check_predicts(
        stump(),
        &[zero],
        &[-0.0, 0.0, -1e-45, 1e-45],
        &[1.5, 1.5, -0.5, 1.5],
    );
}

#[test]
fn categories_in_the_set_go_right_and_nan_by_default() {
    let rows = [2.0, 5.9, 3.0, 64.0, -2.0, -0.5, 1e9, f32::NAN];
    let expected = [1.5, 1.5, -0.5, -0.5, -0.5, -0.5, -0.5, 1.5];
    check_predicts(by_category(), &[], &rows, &expected);
    let left = (&*format!("{TREE}/default_left"), json!([1, 0, 0]));
    check_predicts(by_category(), &[left], &rows[6..], &[-0.5, -0.5]);
    // Without NaN in any row the vector code decides.
    check_predicts(by_category(), &[], &rows[..7], &expected[..7]);
}

#[test]
fn base_score_and_objective_make_the_margin_and_the_prediction() {
    let name = "/learner/objective/name";
    let base = "/learner/learner_model_param/base_score";
    let of = |objective: &str, score: &str| [(name, json!(objective)), (base, json!(score))];
    check_predicts(stump(), &of("rank:ndcg", "5E-1"), &[0.0, 1.0], &[-0.5, 1.5]);
    // Margins of XGBoost 1.7 to 3.2 begin with the base score as it stands; it may be any number.
    check_predicts(stump(), &of("binary:logitraw", "5E-1"), &[0.0], &[-0.5]);
    check_predicts(
        stump(),
        &of("binary:logitraw", "[-9.75E-1]"),
        &[0.0],
        &[f64::from(-1.0_f32 - 0.975)],
    );
    let probability = 1.0 / (1.0 + 1.0_f64.exp());
    check_predicts(stump(), &of("binary:logistic", "5E-1"), &[0.0], &[probability]);
    check_predicts(stump(), &of("count:poisson", "1E0"), &[1.0], &[1.0_f64.exp()]);
}

#[test]
fn nodes_that_pruning_left_behind_are_dropped() {
    let mut model = stump();
    let tree = model.pointer_mut(TREE).unwrap();
    for (key, value) in [
        ("left_children", json!(-1)),
        ("right_children", json!(-1)),
        ("split_indices", json!(2_147_483_647)),
        ("split_conditions", json!(9.0)),
        ("default_left", json!(1)),
        ("split_type", json!(0)),
    ] {
        tree[key].as_array_mut().unwrap().push(value);
    }
    check_predicts(model, &[], &[0.0, 1.0], &[-0.5, 1.5]);
}

#[test]
fn damaged_trees_are_refused_with_tree_node_and_value() {
    for (key, value, message) in [
        (
            "left_children",
            json!([1, -1]),
            "tree 0 has 3 values in right_children, it must have 2",
        ),
        (
            "left_children",
            json!([0, -1, -1]),
            "tree 0, node 0 leads to 0, which has another parent already, or is the root",
        ),
        (
            "left_children",
            json!([2, -1, -1]),
            "tree 0, node 0 leads to 2, which has another parent already, or is the root",
        ),
        (
            "right_children",
            json!([2_000_000_000, -1, -1]),
            "tree 0, node 0 leads to 2000000000, but the tree has 3 nodes and leaves",
        ),
        (
            "right_children",
            json!([-7, -1, -1]),
            "tree 0, right_children[0] is -7, but the tree has no such node",
        ),
        (
            "split_indices",
            json!([1, 0, 0]),
            "tree 0, node 0 reads feature 1, but the model has 1 features",
        ),
        (
            "split_conditions",
            json!([0.5, 1e39, 1.0]),
            "tree 0, leaf 1 is inf, but it must be finite",
        ),
        (
            "split_conditions",
            json!([-1e39, 1.0, 1.0]),
            "tree 0, node 0 has a threshold that splits nothing (NaN, or `below minus infinity`); train the model again",
        ),
        (
            "split_type",
            json!([1, 0, 0]),
            "tree 0, split_type[0] is 1, but the node has no categories",
        ),
    ] {
        check_tree_refused(stump(), key, value, message);
    }
    for key in [
        "left_children",
        "right_children",
        "split_indices",
        "split_conditions",
        "default_left",
        "split_type",
    ] {
        let mut model = stump();
        let tree = model.pointer_mut(TREE).unwrap();
        tree[key].as_array_mut().unwrap().push(json!(0));
        assert!(load(&model).is_err(), "{key} has one value more");
    }
}

#[test]
fn category_sets_are_checked_against_their_lists() {
    for (key, value, message) in [
        (
            "categories",
            json!([2, 16_777_217]),
            "tree 0, categories[1] is 16777217, but the most is 16777216",
        ),
        (
            "categories_sizes",
            json!([3]),
            "tree 0 has 2 values in categories, it must have 3",
        ),
        (
            "categories_segments",
            json!([u64::MAX]),
            "tree 0, categories_segments[0] is -1, but segments must lie in categories",
        ),
        (
            "categories_nodes",
            json!([3]),
            "tree 0, categories_nodes[0] is 3, but the tree has no such node",
        ),
    ] {
        check_tree_refused(by_category(), key, value, message);
    }
}

#[test]
fn category_sets_that_would_fill_the_memory_are_refused() {
    // A chain of nodes, each with a set of one large category: 2 MiB that take a few bytes in the file.
    let count = 100_usize;
    let mut model = stump();
    let inner = |f: &dyn Fn(usize) -> i64, leaf: i64| -> Value {
        (0..=2 * count)
            .map(|i| if i < count { f(i) } else { leaf })
            .collect()
    };
    let per_node = |f: &dyn Fn(usize) -> usize| -> Value { (0..count).map(f).collect() };
    let tree = model.pointer_mut(TREE).unwrap();
    for (key, value) in [
        ("left_children", inner(&|i| (count + i) as i64, -1)),
        (
            "right_children",
            inner(
                &|i| {
                    if i + 1 < count {
                        i as i64 + 1
                    } else {
                        2 * count as i64
                    }
                },
                -1,
            ),
        ),
        ("split_indices", inner(&|_| 0, 0)),
        ("split_conditions", inner(&|_| 0, 0)),
        ("default_left", inner(&|_| 0, 0)),
        ("split_type", inner(&|_| 1, 0)),
        ("categories", per_node(&|_| 16_777_216)),
        ("categories_nodes", per_node(&|i| i)),
        ("categories_segments", per_node(&|i| i)),
        ("categories_sizes", per_node(&|_| 1)),
    ] {
        tree[key] = value;
    }
    assert_eq!(
        load(&model).unwrap_err().to_string(),
        "the category sets up to tree 0 take more than 16777216 words; raise the frequency threshold of the categorical columns"
    );
}

#[test]
fn models_that_are_not_supported_are_refused_by_name() {
    let booster = "the XGBoost model's booster is \"gblinear\", but only gbtree and dart are supported; train one of them";
    check_refused(
        stump(),
        "/learner/gradient_booster/name",
        json!("gblinear"),
        booster,
    );
    check_refused(
        stump(),
        "/learner/objective/name",
        json!("survival:cox"),
        "the XGBoost model's objective is \"survival:cox\", but a score is one number: binary:logistic, binary:logitraw, reg:*, rank:* and count:poisson are supported",
    );
    check_refused(
        stump(),
        "/learner/learner_model_param/num_target",
        json!("2"),
        "the XGBoost model has num_target=2, but a score is one number; train with two classes (binary:logistic)",
    );
    check_refused(
        stump(),
        "/learner/learner_model_param/base_score",
        json!("[1E0,2E0]"),
        "the XGBoost model has base_score=[1E0,2E0], but it must be one number",
    );
    check_refused(
        stump(),
        "/learner/feature_names",
        json!(["a", "b"]),
        "the XGBoost model names 2 features, but num_feature is 1",
    );
    check_refused(
        stump(),
        "/learner/feature_names",
        json!(["age"]),
        "input 0 of the forest is age, but the workflow gives user.c0; load bundles of one run, or ask `gondola-train check` what a model of your own must read",
    );
    let mut recoded = stump();
    recoded["learner"]["gradient_booster"]["model"]["cats"] = json!({"enc": [{"type": 3}]});
    assert!(matches!(
        load(&recoded),
        Err(ForestError::Format(FormatError::XgBoost(XgBoostError::Recoded)))
    ));
}

#[test]
fn a_linear_booster_is_refused_by_name() {
    let linear = json!({"name": "gblinear", "model": {"boosted_rounds": 10, "weights": [0.5, 0.25]}});
    check_refused(
        stump(),
        "/learner/gradient_booster",
        linear,
        "the XGBoost model's booster is \"gblinear\", but only gbtree and dart are supported; train one of them",
    );
    check_refused(
        stump(),
        "/learner/gradient_booster",
        json!({"name": "gbtree", "model": {}}),
        "the XGBoost model's booster is gbtree, but it has no trees; save it again",
    );
}

fn remarks(model: &Value) -> Vec<Remark> {
    load(model).unwrap().remarks().to_vec()
}

#[test]
fn what_the_file_does_not_say_is_told() {
    let missing = Remark::Missing { library: "XGBoost" };
    assert_eq!(remarks(&stump()), std::slice::from_ref(&missing));
    assert_eq!(remarks(&by_category()), [missing.clone(), Remark::Categories]);
    let mut known = by_category();
    known["learner"]["gradient_booster"]["model"]["cats"] = json!({"enc": []});
    assert_eq!(remarks(&known), std::slice::from_ref(&missing));
    let mut early = stump();
    early["learner"]["attributes"] = json!({"best_iteration": "11", "best_score": "0.5"});
    early["learner"]["gradient_booster"]["model"]["iteration_indptr"] = json!((0..=30).collect::<Vec<u32>>());
    let best = Remark::BestIteration { best: 11, rounds: 30 };
    assert_eq!(remarks(&early), [missing, best.clone()]);
    assert!(best.to_string().contains("save booster[:12]"), "{best}");
}
