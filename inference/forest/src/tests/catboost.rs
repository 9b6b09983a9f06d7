//! What the reader of CatBoost's files refuses, and what it takes.

use serde_json::{Value, json};

use super::*;

/// A model of one tree: bit 0 of a leaf's number is `c0 > 0.5`, bit 1 is `c1 > 2`.
fn two_levels() -> Value {
    json!({
        "features_info": {"float_features": [
            {"flat_feature_index": 0, "feature_name": "0", "nan_value_treatment": "AsFalse"},
            {"flat_feature_index": 1, "feature_name": "1", "nan_value_treatment": "AsTrue"},
        ]},
        "model_info": {"params": {"loss_function": {"type": "RMSE"}}},
        "oblivious_trees": [{"leaf_values": [1.0, 2.0, 3.0, 4.0], "splits": [
            {"split_type": "FloatFeature", "border": 0.5, "float_feature_index": 0},
            {"split_type": "FloatFeature", "border": 2.0, "float_feature_index": 1},
        ]}],
        "scale_and_bias": [10, [0.5]],
    })
}

fn load(model: &Value) -> Result<Forest, ForestError> {
    Forest::load(Format::Json, model.to_string().as_bytes(), &unnamed(2))
}

#[track_caller]
fn check_refused(pointer: &str, value: Value, message: &str) {
    let mut model = two_levels();
    *model.pointer_mut(pointer).unwrap() = value;
    assert_eq!(load(&model).unwrap_err().to_string(), message);
}

#[test]
fn the_answers_of_the_levels_are_the_bits_of_the_leaf() {
    let forest = load(&two_levels()).unwrap();
    let rows = [
        [0.5, 2.0],
        [0.6, 2.0],
        [0.5, 2.1],
        [0.6, 2.1],
        [f32::NAN, 0.0],
        [0.0, f32::NAN],
    ]
    .concat();
    for path in Path::available() {
        assert_eq!(
            predictions(&forest, path, &rows),
            [10.5, 20.5, 30.5, 40.5, 10.5, 30.5]
        );
    }
}

#[test]
fn a_tree_without_splits_is_one_leaf() {
    let mut model = two_levels();
    model["oblivious_trees"] = json!([{"leaf_values": [7.0], "splits": null}]);
    assert_eq!(
        predictions(&load(&model).unwrap(), Path::best(), &[0.0, 0.0]),
        [70.5]
    );
}

#[test]
fn models_that_are_damaged_or_not_supported_are_refused_by_name() {
    check_refused(
        "/oblivious_trees",
        Value::Null,
        "the CatBoost model has no oblivious trees; train with grow_policy=SymmetricTree",
    );
    check_refused(
        "/oblivious_trees/0/leaf_values",
        json!([1.0, 2.0, 3.0]),
        "tree 0 has 3 leaf values for 2 levels, it must have 4; a score is one number, train with one output",
    );
    let level = json!({"split_type": "FloatFeature", "border": 0.5, "float_feature_index": 0});
    check_refused(
        "/oblivious_trees/0/splits",
        Value::Array(vec![level; 100]),
        "tree 0 has 100 levels, the most is 16",
    );
    check_refused(
        "/oblivious_trees/0/splits/0",
        json!({"split_type": "OnlineCtr", "border": 0.5}),
        "tree 0 has a split of type \"OnlineCtr\", but only FloatFeature is supported; train without cat_features",
    );
    check_refused(
        "/oblivious_trees/0/splits/0/float_feature_index",
        json!(2),
        "tree 0, node 1 reads feature 2, but the model has 2 features",
    );
    check_refused(
        "/features_info/float_features/1/flat_feature_index",
        json!(0),
        "feature 1 of the CatBoost model has the number 0; save it again",
    );
    check_refused(
        "/scale_and_bias",
        json!([1, [0, 0]]),
        "the CatBoost model's scale_and_bias has 2 biases, it must have one; train with one output",
    );
    check_refused(
        "/features_info/float_features/0/feature_name",
        json!("age"),
        "input 0 of the forest is age, but the workflow gives user.c0; load bundles of one run, or ask `gondola-train check` what a model of your own must read",
    );
}

#[test]
fn a_sum_of_models_is_refused_by_name() {
    let info = json!({"loss_function": "{\"type\":\"Logloss\"}", "model0:params": {}, "model1:params": {}});
    check_refused(
        "/model_info",
        info,
        "the CatBoost model has no training parameters (model_info.params), as a sum of models (sum_models) has none, so that nothing says what its sum means; save one trained model",
    );
}

#[test]
fn names_of_a_data_frame_must_be_those_of_the_workflow() {
    let mut model = two_levels();
    for (position, name) in ["c1", "c0"].into_iter().enumerate() {
        let feature = &mut model["features_info"]["float_features"][position];
        feature.as_object_mut().unwrap().remove("feature_name");
        feature["feature_id"] = json!(name);
    }
    let message = load(&model).unwrap_err().to_string();
    assert!(
        message.starts_with("input 0 of the forest is c1, but the workflow gives user.c0"),
        "{message}"
    );
}

#[test]
fn counts_are_the_exponential_of_the_sum() {
    let mut model = two_levels();
    model["model_info"]["params"]["loss_function"]["type"] = json!("Poisson");
    let found = predictions(&load(&model).unwrap(), Path::best(), &[0.0, 0.0]);
    assert_eq!(found, [10.5_f64.exp()]);
}

#[test]
fn the_class_that_a_probability_is_for_is_told() {
    let mut model = two_levels();
    model["model_info"]["class_params"] = json!({"class_names": ["bought", "no"]});
    let forest = load(&model).unwrap();
    let [class] = forest.remarks() else {
        panic!("one remark")
    };
    let text = class.to_string();
    assert!(
        text.contains("a score is the probability of the class no, the second"),
        "{text}"
    );
}
