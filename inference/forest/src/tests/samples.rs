//! Models of every library and what the library predicts with them, on every path.

use serde_json::Value;

use super::*;
use crate::model::Objective;

/// A model, and how near to the library's our predictions must be.
pub(super) struct Sample {
    pub(super) name: &'static str,
    pub(super) format: Format,
    pub(super) bytes: &'static [u8],
    tolerance: f64,
}

macro_rules! sample {
    ($name:literal, $format:ident, $tolerance:literal) => {
        Sample {
            name: $name,
            format: Format::$format,
            bytes: include_bytes!(fixture!($name)),
            tolerance: $tolerance,
        }
    };
}

/// XGBoost's raw margins are `f32` and so nearly equal only if they are equal; its probabilities are `f32` too.
pub(super) const SAMPLES: [Sample; 12] = [
    sample!("lightgbm_binary_cat_nan.txt", LightGbm, 1e-12),
    sample!("lightgbm_no_missing.txt", LightGbm, 1e-12),
    sample!("lightgbm_rf_lambdarank.txt", LightGbm, 1e-12),
    sample!("lightgbm_zero_as_missing.txt", LightGbm, 1e-12),
    sample!("xgboost_binary_cat.json", Json, 1e-12),
    sample!("xgboost_binary_cat.ubj", Ubjson, 1e-12),
    sample!("xgboost_dart.json", Json, 1e-12),
    sample!("catboost_float.json", Json, 1e-9),
    sample!("sklearn_rf_clf.onnx", Onnx, 1e-6),
    sample!("sklearn_rf_clf_nan.onnx", Onnx, 1e-6),
    sample!("sklearn_rf_reg.onnx", Onnx, 1e-6),
    sample!("sklearn_gbt_clf.onnx", Onnx, 1e-6),
];

/// How near predictions must be that the library rounds to `f32`.
const SINGLE: f64 = 1e-6;

pub(super) fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Numbers of a list; of lists of two, the second. Null is NaN.
pub(super) fn numbers(list: &Value) -> Vec<f64> {
    let number = |value: &Value| match value {
        Value::Array(values) => values.last().unwrap().as_f64().unwrap(),
        value => value.as_f64().unwrap_or(f64::NAN),
    };
    list.as_array().unwrap().iter().map(number).collect()
}

/// Rows of a matrix of the samples.
pub(super) fn matrix(inputs: &Value) -> Vec<f32> {
    let rows = inputs.as_array().unwrap().iter().flat_map(numbers);
    rows.map(|value| value as f32).collect()
}

/// The forest without what turns the trees' result into a prediction.
fn raw(forest: &Forest) -> Forest {
    Forest {
        outcome: Outcome {
            divisor: 1.0,
            objective: Objective::Identity,
        },
        ..forest.clone()
    }
}

#[test]
fn samples_give_the_predictions_of_their_libraries() {
    let (inputs, all) = (
        json(include_str!(fixture!("inputs.json"))),
        json(include_str!(fixture!("expected.json"))),
    );
    for Sample {
        name,
        format,
        bytes,
        tolerance,
    } in SAMPLES
    {
        let expected = &all["expected"][name];
        let rows = matrix(&inputs[expected["input"].as_str().unwrap()]);
        let forest = Forest::load(format, bytes, &unnamed(6)).unwrap();
        let mut compared = 0;
        for path in Path::available() {
            let found = predictions(&forest, path, &rows);
            for (key, found, tolerance) in [
                ("/raw", &predictions(&raw(&forest), path, &rows), tolerance),
                ("/prob", &found, tolerance.max(SINGLE)),
                ("/predict", &found, tolerance),
                ("/outputs/probabilities", &found, tolerance),
                ("/outputs/variable", &found, tolerance),
            ] {
                if let Some(expected) = expected.pointer(key) {
                    check_close(found, &numbers(expected), tolerance);
                    compared += 1;
                }
            }
        }
        assert!(compared > 0, "nothing to compare {name} with");
    }
}

#[test]
fn an_onnx_random_forest_gives_the_probabilities_of_its_library_on_a_thousand_rows() {
    let bytes = include_bytes!(fixture!("sklearn_random_forest.onnx"));
    let forest = Forest::load(Format::Onnx, bytes, &unnamed(8)).unwrap();
    let expected = doubles(include_bytes!(fixture!("sklearn_random_forest.expected.f64")));
    assert!(rows().iter().any(|value| value.is_nan()));
    for path in Path::available() {
        check_close(&predictions(&forest, path, &rows()), &expected, SINGLE);
    }
}

#[test]
fn ubjson_and_json_of_one_model_are_the_same_model() {
    let json = Format::Json.parse(include_bytes!(fixture!("xgboost_binary_cat.json")));
    let ubjson = Format::Ubjson.parse(include_bytes!(fixture!("xgboost_binary_cat.ubj")));
    assert_eq!(json.unwrap(), ubjson.unwrap());
}

#[track_caller]
fn check_refused(format: Format, bytes: &[u8], inputs: usize, message: &str) {
    let error = Forest::load(format, bytes, &unnamed(inputs)).unwrap_err();
    assert_eq!(error.to_string(), message);
}

#[test]
fn samples_that_are_not_a_single_score_are_refused_by_name() {
    check_refused(
        Format::Json,
        include_bytes!(fixture!("xgboost_multi_parallel.json")),
        6,
        "the XGBoost model has num_class=3, but a score is one number; train with two classes (binary:logistic)",
    );
    check_refused(
        Format::Json,
        include_bytes!(fixture!("catboost_ctr.json")),
        5,
        "the CatBoost model has 1 categorical features, but only numeric ones are supported; give it the workflow's indexes as numbers, without cat_features",
    );
    check_refused(
        Format::Json,
        include_bytes!(fixture!("treelite_lightgbm_cat.json")),
        6,
        "treelite's JSON is not supported; bring the file of the library that trained the model",
    );
    check_refused(
        Format::Onnx,
        include_bytes!(fixture!("treeensemble_v5_member.onnx")),
        3,
        "the ONNX model's trees have n_targets=2, but a score is one number; train with one target",
    );
}

#[test]
fn every_format_refuses_another_number_of_inputs() {
    for sample in SAMPLES {
        check_refused(
            sample.format,
            sample.bytes,
            7,
            "the forest reads 6 inputs, but the workflow gives 7; load bundles of one run, or ask `gondola-train check` what a model of your own must read",
        );
    }
}

#[test]
fn files_that_were_cut_off_anywhere_are_refused() {
    for sample in SAMPLES {
        let end = match sample.format {
            Format::LightGbm => continue, // text after the trees is not read
            _ => sample.bytes.len(),
        };
        for cut in (0..end).step_by(37).chain([end - 1]) {
            let cut_off = Forest::load(sample.format, &sample.bytes[..cut], &unnamed(6));
            assert!(cut_off.is_err(), "{} cut at {cut}", sample.name);
        }
    }
}

#[test]
fn altered_bytes_of_any_format_never_panic() {
    for sample in SAMPLES {
        for at in (0..sample.bytes.len()).step_by(17) {
            for byte in [0, 0x7F, 0xFF, b'9', b'-', b'['] {
                let mut bytes = sample.bytes.to_vec();
                bytes[at] = byte;
                if let Ok(forest) = Forest::load(sample.format, &bytes, &unnamed(6)) {
                    predictions(&forest, Path::best(), &[0.5; 6 * 20]);
                    forest.parted(&[2, 4]);
                }
            }
        }
    }
}

#[test]
fn a_file_with_the_name_of_another_format_is_refused_as_what_it_is() {
    for sample in SAMPLES {
        for name in Format::ALL.into_iter().filter(|name| *name != sample.format) {
            let message = format!(
                "{} holds {}; name the file {}",
                name.file(),
                sample.format,
                sample.format.file()
            );
            check_refused(name, sample.bytes, 6, &message);
        }
    }
}

#[test]
fn a_file_that_is_not_a_model_at_all_is_refused_as_what_it_is() {
    for format in Format::ALL {
        check_refused(
            format,
            b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n",
            6,
            "the model is a pointer of git-lfs, not the file that it points to; fetch the file with `git lfs pull` and publish the bundle again",
        );
        check_refused(
            format,
            b"<!DOCTYPE html><title>404</title>",
            6,
            "the model is a web page, as a failed download leaves one; download the file again and publish the bundle again",
        );
    }
}

#[test]
fn json_of_others_is_refused() {
    let refused = |text: &str| {
        let error = Forest::load(Format::Json, text.as_bytes(), &unnamed(6)).unwrap_err();
        format!("{:#}", anyhow::Error::from(error))
    };
    let foreign = refused("{\"weights\": []}");
    assert!(
        foreign.starts_with("the JSON is neither an XGBoost model"),
        "{foreign}"
    );
    let deep = "[".repeat(1_000_000);
    for text in [
        format!("{{\"learner\": {deep}"),
        format!("{{\"other\": {deep}"),
        deep,
    ] {
        let message = refused(&text);
        assert!(message.starts_with("the model is not readable JSON"), "{message}");
    }
}
