//! Files of LightGBM and its predictions, damaged files, and every path against the others. Other formats: [`samples`] for
//! what they predict, and a module for what each refuses; [`parts`] for the other way to the leaves.

mod catboost;
mod frame;
mod parts;
mod samples;
mod xgboost;

use super::*;

/// A file of `tests/fixtures/trees`.
macro_rules! fixture {
    ($name:literal) => {
        concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/trees/", $name)
    };
}
use fixture;

const RANDOM_FOREST: &str = include_str!(fixture!("random_forest.txt"));
const ROWS: &[u8] = include_bytes!(fixture!("random_forest.rows.f32"));
const EXPECTED: &[u8] = include_bytes!(fixture!("random_forest.expected.f64"));

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// The inputs of `random_forest.txt`.
fn inputs() -> Vec<String> {
    names(&[
        "user.age",
        "user.visits",
        "user.spend",
        "item.department",
        "item.product type",
        "item.size",
        "item.price",
        "pair.purchases",
    ])
}

fn unnamed(inputs: usize) -> Vec<String> {
    (0..inputs).map(|i| format!("user.c{i}")).collect()
}

fn random_forest() -> Forest {
    Forest::load(Format::LightGbm, RANDOM_FOREST.as_bytes(), &inputs()).unwrap()
}

fn rows() -> Vec<f32> {
    ROWS.chunks_exact(4)
        .map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()))
        .collect()
}

fn doubles(bytes: &[u8]) -> Vec<f64> {
    bytes
        .chunks_exact(8)
        .map(|bytes| f64::from_le_bytes(bytes.try_into().unwrap()))
        .collect()
}

fn expected() -> Vec<f64> {
    doubles(EXPECTED)
}

fn predictions(forest: &Forest, path: Path, rows: &[f32]) -> Vec<f64> {
    let mut out = Vec::new();
    forest.predict_on(path, rows, |prediction| out.push(prediction));
    out
}

#[track_caller]
fn check_close(found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    for (row, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!(
            (found - expected).abs() <= tolerance,
            "row {row}: {found}, the library says {expected}"
        );
    }
}

/// Loads `RANDOM_FOREST` with one line changed and expects a message.
#[track_caller]
fn check_refused(from: &str, to: &str, message: &str) {
    assert!(RANDOM_FOREST.contains(from), "the fixture has no {from}");
    let error = Forest::load(
        Format::LightGbm,
        RANDOM_FOREST.replacen(from, to, 1).as_bytes(),
        &inputs(),
    )
    .unwrap_err();
    assert_eq!(error.to_string(), message);
}

/// The first line of the first tree that begins with `key=`.
fn line(key: &str) -> &'static str {
    let tree = &RANDOM_FOREST[RANDOM_FOREST.find("Tree=0").unwrap()..];
    tree.lines()
        .find(|line| line.starts_with(&format!("{key}=")))
        .unwrap()
}

/// That line with its value number `position` replaced.
fn with_value(key: &str, position: usize, value: &str) -> String {
    let (_, values) = line(key).split_once('=').unwrap();
    let mut values: Vec<&str> = values.split(' ').collect();
    values[position] = value;
    format!("{key}={}", values.join(" "))
}

#[test]
fn a_thousand_rows_get_the_probabilities_of_lightgbm_on_every_path() {
    let (forest, rows, expected) = (random_forest(), rows(), expected());
    // The second half has NaN, for which this forest leaves the vector code.
    let half = rows.len() / 2;
    for path in Path::available() {
        check_close(
            &predictions(&forest, path, &rows[..half]),
            &expected[..500],
            1e-12,
        );
        check_close(&predictions(&forest, path, &rows), &expected, 1e-12);
    }
    let mut out = Vec::new();
    forest.predict(&rows, 8, &mut out);
    check_close(
        &out.iter().map(|value| f64::from(*value)).collect::<Vec<_>>(),
        &expected,
        1e-6,
    );
}

#[test]
fn every_path_gives_equal_bits_for_every_number_of_rows() {
    let (forest, rows) = (random_forest(), rows());
    for count in (0..=130).chain([499]) {
        let rows = &rows[..count * 8];
        let portable = predictions(&forest, Path::Portable, rows);
        for path in Path::available() {
            let same = predictions(&forest, path, rows)
                .iter()
                .zip(&portable)
                .all(|(a, b)| a.to_bits() == b.to_bits());
            assert!(same, "{path:?} with {count} rows");
        }
    }
}

#[test]
fn more_rows_than_one_walk_takes_go_in_parts() {
    let (forest, mut rows) = (random_forest(), rows());
    rows.extend_from_within(..);
    let expected = [expected(), expected()].concat();
    check_close(&predictions(&forest, Path::best(), &rows), &expected, 1e-12);
}

#[test]
fn a_tree_of_one_leaf_gives_its_value_to_every_row() {
    let text = "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nmax_feature_idx=0\naverage_output\n\
                tree_sizes=1 1\n\nTree=0\nnum_leaves=1\nnum_cat=0\nleaf_value=0.5\n\nTree=1\nnum_leaves=1\n\
                num_cat=0\nleaf_value=1.5\n\nend of trees\n";
    let forest = Forest::load(Format::LightGbm, text.as_bytes(), &unnamed(1)).unwrap();
    for path in Path::available() {
        assert_eq!(predictions(&forest, path, &[0.0, f32::NAN, 7.0]), [1.0; 3]);
    }
}

#[test]
fn inputs_that_differ_from_the_workflow_are_named() {
    let mut other = inputs();
    other[4] = "item.brand".to_owned();
    assert_eq!(
        Forest::load(Format::LightGbm, RANDOM_FOREST.as_bytes(), &other)
            .unwrap_err()
            .to_string(),
        "input 4 of the forest is item.product_type, but the workflow gives item.brand; load bundles of one run, or ask `gondola-train check` what a model of your own must read"
    );
    assert_eq!(
        Forest::load(Format::LightGbm, RANDOM_FOREST.as_bytes(), &unnamed(9))
            .unwrap_err()
            .to_string(),
        "the forest reads 8 inputs, but the workflow gives 9; load bundles of one run, or ask `gondola-train check` what a model of your own must read"
    );
    assert_eq!(lightgbm_name("item.a: [b]"), "item.a___b_");
}

#[test]
fn models_that_are_not_supported_are_refused_by_name() {
    let multiclass = include_str!(fixture!("lightgbm_multiclass.txt"));
    assert_eq!(
        Forest::load(Format::LightGbm, multiclass.as_bytes(), &unnamed(6))
            .unwrap_err()
            .to_string(),
        "the LightGBM model's header has num_class=3, but a score is one number; train with two classes (objective=binary)"
    );
    check_refused(
        "is_linear=0",
        "is_linear=1",
        "tree 0 is linear (is_linear=1), which is not supported; train without linear_tree",
    );
    check_refused(
        "objective=binary sigmoid:1",
        "objective=poisson",
        "the LightGBM model's header has objective=poisson, but only binary, cross_entropy, regression, ranking and none are supported",
    );
    check_refused(
        "version=v4",
        "version=v2",
        "the LightGBM model's header has version=v2, but only v3 and v4 are supported; save it with LightGBM 3 or 4",
    );
}

#[test]
fn damaged_trees_are_refused_with_tree_node_and_value() {
    let check = |key: &str, position: usize, value: &str, message: &str| {
        check_refused(line(key), &with_value(key, position, value), message);
    };
    check(
        "leaf_value",
        3,
        "nan",
        "tree 0, leaf_value[3] is NaN, but it must be finite",
    );
    check(
        "threshold",
        0,
        "nan",
        "tree 0, threshold[0] is NaN, but it must not be NaN",
    );
    check(
        "split_feature",
        5,
        "8",
        "tree 0, node 5 reads feature 8, but the model has 8 features",
    );
    check(
        "split_feature",
        5,
        "-1",
        "tree 0, split_feature[5] is -1, but it must be a feature's number",
    );
    check(
        "left_child",
        2,
        "62",
        "tree 0, left_child[2] is 62, but the tree has no such node or leaf",
    );
    check(
        "right_child",
        2,
        "-64",
        "tree 0, right_child[2] is -64, but the tree has no such node or leaf",
    );
    check(
        "right_child",
        2,
        "-9223372036854775808",
        "tree 0, right_child[2] is -9223372036854775808, but the tree has no such node or leaf",
    );
    check(
        "left_child",
        7,
        "0",
        "tree 0, node 7 leads to 0, which has another parent already, or is the root",
    );
    check(
        "num_leaves",
        0,
        "18446744073709551615",
        "tree 0, num_leaves[0] is 18446744073709551615, but it must be from 1 to 131072",
    );
    check(
        "num_leaves",
        0,
        "64",
        "tree 0 has 63 values in leaf_value, it must have 64",
    );
    check(
        "cat_boundaries",
        1,
        "4000000000",
        "tree 0, cat_boundaries[1] is 4000000000, but boundaries must grow and stay within cat_threshold",
    );
    check_refused(
        line("left_child"),
        "",
        "tree 0 has 0 lines left_child=, it must have one",
    );
}

#[test]
fn a_cycle_apart_from_the_root_is_refused() {
    let text = "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nmax_feature_idx=0\n\nTree=0\nnum_leaves=4\n\
                num_cat=0\nsplit_feature=0 0 0\nthreshold=0 0 0\ndecision_type=0 0 0\nleft_child=-1 2 1\n\
                right_child=-2 -3 -4\nleaf_value=1 2 3 4\n\nend of trees\n";
    assert_eq!(
        Forest::load(Format::LightGbm, text.as_bytes(), &unnamed(1))
            .unwrap_err()
            .to_string(),
        "tree 0: the root leads to 3 nodes and leaves of 7"
    );
}

#[test]
fn a_text_that_was_cut_off_anywhere_is_refused() {
    let end = RANDOM_FOREST.find("end of trees").unwrap() + "end of trees".len();
    for cut in (0..end).step_by(97).chain([end - 1]) {
        assert!(
            Forest::load(Format::LightGbm, &RANDOM_FOREST.as_bytes()[..cut], &inputs()).is_err(),
            "cut at {cut}"
        );
    }
}

#[test]
fn altered_bytes_never_panic() {
    for at in (0..RANDOM_FOREST.len()).step_by(13) {
        for byte in [b'9', b'-', b' ', b'\n', b'e'] {
            let mut bytes = RANDOM_FOREST.as_bytes().to_vec();
            bytes[at] = byte;
            let text = String::from_utf8(bytes).unwrap();
            if at % 7 != 0 && at > 2_000 && byte != b'9' {
                continue; // the rest of the file is more of the same
            }
            if let Ok(forest) = Forest::load(Format::LightGbm, text.as_bytes(), &inputs()) {
                predictions(&forest, Path::best(), &rows()[..8 * 20]);
                forest.parted(&[3, 5]);
            }
        }
    }
}
