//! Models of a pandas data frame: codes of categories, and what stands for them.

use serde_json::Value;

use super::samples::{json, matrix, numbers};
use super::*;

const MODEL: &str = include_str!(fixture!("lightgbm_frame.txt"));
const EXPECTED: &str = include_str!(fixture!("lightgbm_frame.expected.json"));
const CATEGORIES: &str = "pandas_categorical:[[2, 3, 5, 9, 40], [1.0, 4.0, 70.0]]";

fn inputs() -> Vec<String> {
    names(&["user.kind", "user.price", "item.club"])
}

fn load(model: &str) -> Result<Forest, ForestError> {
    Forest::load(Format::LightGbm, model.as_bytes(), &inputs())
}

#[track_caller]
fn check_refused(from: &str, to: &str, message: &str) {
    assert!(MODEL.contains(from), "the fixture has no {from}");
    let error = load(&MODEL.replacen(from, to, 1)).unwrap_err();
    assert_eq!(error.to_string(), message);
}

#[track_caller]
fn check_predicts(model: &str) {
    let expected: Value = json(EXPECTED);
    let (forest, rows) = (load(model).unwrap(), matrix(&expected["rows"]));
    for path in Path::available() {
        let found = predictions(&forest, path, &rows);
        check_close(&found, &numbers(&expected["predictions"]), 1e-12);
    }
}

#[test]
fn values_of_a_data_frame_get_the_predictions_of_lightgbm() {
    check_predicts(MODEL);
    // Without the parameters, the header's ranges say which columns are categories.
    check_predicts(&MODEL.replace("[categorical_feature: 0,2]", ""));
}

#[test]
fn a_value_between_two_categories_is_in_no_set() {
    let forest = load(MODEL).unwrap();
    for path in Path::available() {
        let rows = [39.5, 0.0, 70.5, 39.0, 0.0, 71.0];
        let found = predictions(&forest, path, &rows);
        assert_eq!(found[0], found[1]);
    }
}

#[test]
fn categories_below_zero_are_never_met() {
    check_predicts(&MODEL.replace(
        CATEGORIES,
        "pandas_categorical:[[2, 3, 5, 9, 40], [1, 4, 70, -1]]",
    ));
}

#[test]
fn categories_that_are_not_indexes_are_refused() {
    check_refused(
        CATEGORIES,
        "pandas_categorical:[[\"a\", \"b\", \"c\", \"d\", \"e\"], [1, 4, 70]]",
        "the LightGBM model was trained on a data frame in which column 0 has the category \"a\", but the workflow gives indexes, whole numbers from 0 to 16777216; train on the workflow's indexes",
    );
    check_refused(
        "[1.0, 4.0, 70.0]]",
        "[1.0, 4.5, 70.0]]",
        "the LightGBM model was trained on a data frame in which column 2 has the category 4.5, but the workflow gives indexes, whole numbers from 0 to 16777216; train on the workflow's indexes",
    );
}

#[test]
fn categories_of_columns_that_the_file_does_not_name_are_refused() {
    let message = |lists: usize, columns: usize| {
        format!(
            "the LightGBM model was trained on a data frame with {lists} category columns, but splits {columns} columns by category, and the file does not say which have whose categories; train on the workflow's indexes as integers, with categorical_feature"
        )
    };
    check_refused(
        CATEGORIES,
        "pandas_categorical:[[2, 3, 5, 9, 40]]",
        &message(1, 2),
    );
    check_refused(
        "[categorical_feature: 0,2]",
        "[categorical_feature: 0]",
        &message(2, 1),
    );
    check_refused(
        "[categorical_feature: 0,2]",
        "[categorical_feature: 0,3]",
        &message(2, 2),
    );
}

#[test]
fn a_code_beyond_the_categories_is_refused() {
    let shorter = MODEL.replace(CATEGORIES, "pandas_categorical:[[2, 3], [1, 4, 70]]");
    let message = load(&shorter).unwrap_err().to_string();
    assert!(
        message.contains("splits column 0 by the category with the code")
            && message.contains("had 2 categories"),
        "{message}"
    );
}

#[test]
fn categories_that_are_not_lists_are_refused() {
    let broken = MODEL.replace(CATEGORIES, "pandas_categorical:[[2, 3");
    let message = load(&broken).unwrap_err().to_string();
    assert!(
        message.starts_with("the LightGBM model's line pandas_categorical cannot be read"),
        "{message}"
    );
}

#[test]
fn a_model_without_a_data_frame_keeps_its_categories() {
    for none in ["pandas_categorical:null", "pandas_categorical:[]", ""] {
        let codes = load(&MODEL.replace(CATEGORIES, none)).unwrap();
        let found = predictions(&codes, Path::best(), &[0.0, 0.0, 2.0]);
        let by_value = predictions(&load(MODEL).unwrap(), Path::best(), &[2.0, 0.0, 70.0]);
        assert_eq!(found, by_value, "{none}");
    }
}
