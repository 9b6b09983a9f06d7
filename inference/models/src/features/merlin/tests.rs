//! Exported workflows of NVTabular 23.8.0, and what it makes of `probe.parquet`: equal, or refused by name.
//!
//! How the files were made: `tests/fixtures/nvtabular/README.md`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::*;
use crate::features::columns::{NumberSource, NumericColumn};
use crate::features::operation::Operation;
use crate::features::table::RawTable;

/// The largest difference of two numbers, as a part of the greater.
const TOLERANCE: f64 = 1e-6;

/// What NVTabular makes of the probe.
#[derive(Deserialize)]
struct Expected {
    columns: Vec<String>,
    data: Vec<Vec<Value>>,
}

fn fixtures(folder: &str) -> PathBuf {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/nvtabular");
    fixtures.join(folder)
}

fn expected(folder: &str) -> BTreeMap<String, Expected> {
    let json = std::fs::read(fixtures(folder).join("expected.json")).unwrap();
    serde_json::from_slice(&json).unwrap()
}

/// All raw columns are the user's.
fn of_users(folder: &Path) -> Choices {
    let inputs = Exported::load(folder).unwrap().inputs;
    Choices {
        user: inputs.into_iter().map(|input| input.name).collect(),
        ..Choices::default()
    }
}

#[track_caller]
fn imported(place: &str) -> Imported {
    let folder = fixtures(place);
    match import(&folder, &of_users(&folder)) {
        Ok(imported) => imported,
        Err(error) => panic!("{place}: {error}"),
    }
}

#[track_caller]
fn refusal(place: &str) -> String {
    let folder = fixtures(place);
    import(&folder, &of_users(&folder)).unwrap_err().to_string()
}

/// Compares our outputs with NVTabular's, row by row, after a round through files.
#[track_caller]
fn check(set: &str, case: &str, expected: &Expected) {
    let place = format!("{set}/{case}");
    let folder = tempfile::tempdir().unwrap();
    let made = imported(&place).workflow;
    made.save(folder.path()).unwrap();
    let workflow = Workflow::load(folder.path()).unwrap();
    assert_eq!(workflow.digest(), made.digest(), "{place}");
    let probe = RawTable::read(&fixtures("probe.parquet"), "row").unwrap();
    let encoded = workflow.user.encode_table(&probe);
    for (row, wanted) in expected.data.iter().enumerate() {
        let ours = workflow.user.encode(&probe.row(row));
        assert_eq!(encoded.row(row), ours, "{place}: the table and its row {row}");
        for (column, wanted) in expected.columns.iter().zip(wanted) {
            let index = |name: &str| {
                let names = &workflow.user.categorical;
                let place = names.iter().position(|column| column.column == name)?;
                Some(f64::from(ours.categorical[place]))
            };
            let number = |name: &str| {
                let names = &workflow.user.numeric;
                let place = names.iter().position(|column| column.column == name)?;
                Some(f64::from(ours.numeric[place]))
            };
            if let Value::Array(list) = wanted {
                let elements = (0..).map_while(|place| index(&format!("{column}.{place}")));
                let mut wanted = list.iter().map(|element| element.as_f64().unwrap());
                // NVTabular pads on a GPU only.
                let padded = |_| wanted.next().unwrap_or(0.0);
                let wanted: Vec<f64> = elements.clone().map(padded).collect();
                assert_eq!(
                    elements.collect::<Vec<_>>(),
                    wanted,
                    "{place}: {column} of row {row}"
                );
                continue;
            }
            let found = index(column).or_else(|| number(column));
            let found = found.unwrap_or_else(|| panic!("{place}: there is no {column}"));
            let wanted = match wanted {
                Value::Bool(is_true) => f64::from(u8::from(*is_true)),
                // Models are never given what is not a number.
                other => other.as_f64().unwrap_or(0.0),
            };
            let most = match index(column) {
                Some(_) => 0.0,
                None => TOLERANCE * wanted.abs().max(least_measure(&workflow, column)),
            };
            assert!(
                (found - wanted).abs() <= most,
                "{place}: {column} of row {row} is {found}, and {wanted} for NVTabular"
            );
        }
    }
}

/// What a difference is at least measured by: a standard deviation, where NVTabular subtracts the mean in 32 bits.
fn least_measure(workflow: &Workflow, column: &str) -> f64 {
    let mut columns = workflow.user.numeric.iter();
    let Some(NumericColumn {
        source, operations, ..
    }) = columns.find(|numeric| numeric.column == column)
    else {
        return 0.0;
    };
    let is_single =
        operations.contains(&Operation::NaturalLog) || matches!(source, NumberSource::Lookup { .. });
    let is_normalized = operations
        .iter()
        .any(|operation| matches!(operation, Operation::Normalize { .. }));
    if is_single && is_normalized { 1.0 } else { 0.0 }
}

#[test]
fn outputs_of_saved_workflows_are_equal() {
    let mut equal = 0;
    for (case, expected) in expected("saved") {
        if !SAVED_REFUSED.contains(&case.as_str()) && !OTHERWISE.contains(&case.as_str()) {
            check("saved", &case, &expected);
            equal += 1;
        }
    }
    assert_eq!(equal, 14);
}

#[test]
fn outputs_of_every_mode_and_chain_are_equal() {
    let mut equal = 0;
    for (case, expected) in expected("made") {
        if !MADE_REFUSED.contains(&case.as_str()) && case != "tags" {
            check("made", &case, &expected);
            equal += 1;
        }
    }
    assert_eq!(equal, 31);
}

/// Saved workflows that are refused.
const SAVED_REFUSED: [&str; 7] = [
    "categorify_freq_buckets",
    "categorify_max_size_buckets",
    "categorify_num_buckets",
    "diflag",
    "groupby",
    "hashbucket",
    "hashedcross",
];

/// Saved workflows of which the expected outputs are of other inputs than the probe, or by the row's position.
const OTHERWISE: [&str; 2] = ["list_categorify_slice", "target_encoding_k5"];

/// Workflows of `made` that are refused.
const MADE_REFUSED: [&str; 7] = [
    "encoded_statistics",
    "fill_text",
    "filter",
    "lambda",
    "list_of_any_length",
    "normalized_index",
    "raw_text",
];

#[test]
fn what_hashes_by_the_position_of_a_row_is_refused_by_name() {
    for (case, named) in [
        (
            "categorify_num_buckets",
            "customer_id: Categorify with num_buckets=3",
        ),
        (
            "categorify_freq_buckets",
            "customer_id: Categorify with num_buckets=5",
        ),
        (
            "categorify_max_size_buckets",
            "customer_id: Categorify with num_buckets=4",
        ),
        ("hashbucket", "customer_id: HashBucket"),
        ("hashedcross", "customer_id_X_article_id: HashedCross"),
    ] {
        let wanted = format!(
            "{named} hashes a value with the position of its row (on a CPU) or by the GPU's own function, so that no server gives the same; fit Categorify without num_buckets in its place"
        );
        assert_eq!(refusal(&format!("saved/{case}")), wanted);
    }
}

#[test]
fn what_no_single_row_gives_is_refused_by_name() {
    let way_out = "reads other rows of the table, and a request has one; have the value as a column of the user's or the item's row, computed before";
    assert_eq!(
        refusal("saved/diflag"),
        format!("price_difference_lag_1: DifferenceLag {way_out}")
    );
    assert_eq!(
        refusal("saved/groupby"),
        format!("customer_id: Groupby {way_out}")
    );
    assert_eq!(
        refusal("made/filter"),
        "age: Filter leaves rows out, and a request has one row, which is answered; take it out of the workflow"
    );
    assert_eq!(
        refusal("made/lambda"),
        "age: LambdaOp runs code of its own, which no file describes; have its result as a raw column, or use an operator of NVTabular that does the same"
    );
}

#[test]
fn what_can_not_be_combined_is_refused_by_name() {
    for (case, wanted) in [
        (
            "encoded_statistics",
            "colour_price_mean: JoinGroupby is applied to what another operator gives, and only to raw columns can it be imported; fit it on the raw columns",
        ),
        (
            "fill_text",
            "colour: FillMissing fills in a text, and only numbers are filled; leave it out, as Categorify gives what is missing an index of its own",
        ),
        (
            "list_of_any_length",
            "hist: Categorify is applied to a list of any length, and models read a fixed number of inputs; add ListSlice with a length, such as ListSlice(10, pad=True)",
        ),
        (
            "normalized_index",
            "colour: Normalize is applied to an index of Categorify, which is not a quantity; leave it out of the workflow",
        ),
        (
            "raw_text",
            "colour_raw: no operator is applied to a text, which models can't read; add Categorify, or leave the output out with --leave-out",
        ),
    ] {
        assert_eq!(refusal(&format!("made/{case}")), wanted);
    }
}

#[test]
fn target_encoding_of_several_folds_is_that_of_all_rows() {
    let imported = imported("saved/target_encoding_k5");
    let one_fold = &expected("saved")["target_encoding"];
    let probe = RawTable::read(&fixtures("probe.parquet"), "row").unwrap();
    for (row, wanted) in one_fold.data.iter().enumerate() {
        let ours = f64::from(imported.workflow.user.encode(&probe.row(row)).numeric[0]);
        assert!(
            (ours - wanted[0].as_f64().unwrap()).abs() < TOLERANCE,
            "row {row}"
        );
    }
    assert_eq!(
        imported.notes[0].to_string(),
        "TE_article_id_target: TargetEncoding is by the statistics of all rows (kfold=1); NVTabular takes a fold's, by the row's position"
    );
}

#[test]
fn a_missing_number_that_nothing_fills_is_0_and_a_note_says_so() {
    let notes = |place| imported(place).notes;
    let note = |column: &str| Note {
        column: column.to_owned(),
        difference: Difference::MissingIsZero,
    };
    assert_eq!(notes("saved/normalize_nofill"), [note("price"), note("age")]);
    assert_eq!(notes("saved/normalize"), []);
}

#[test]
fn a_list_is_as_many_inputs_as_elements_are_kept() {
    let layout = imported("saved/list_categorify_slice").workflow.layout();
    assert_eq!(layout.user_categorical, ["hist.0", "hist.1"]);
}

#[test]
fn tags_say_whose_columns_are_and_choices_say_otherwise() {
    let folder = fixtures("made/tags");
    let layout = |choices| import(&folder, &choices).unwrap().workflow.layout();
    let tagged = layout(Choices::default());
    assert_eq!(tagged.inputs(), ["user.age", "item.colour"]);
    let chosen = layout(Choices {
        user: vec!["colour".into()],
        leave_out: vec!["age".into()],
        ..Choices::default()
    });
    assert_eq!(chosen.inputs(), ["user.colour"]);
}

#[test]
fn columns_that_are_nobody_s_or_of_both_are_refused() {
    let refusal = |choices| {
        let folder = fixtures("saved/categorify_combo");
        import(&folder, &choices).unwrap_err().to_string()
    };
    assert_eq!(
        refusal(Choices::default()),
        "colour_club is made of \"colour\", of which neither --user nor --item nor a tag of the workflow says whose it is; name it in one of the two, or leave the output out with --leave-out colour_club"
    );
    let mixed = Choices {
        user: vec!["club".into()],
        item: vec!["colour".into()],
        ..Choices::default()
    };
    assert_eq!(
        refusal(mixed),
        "colour_club is made of \"club\" of users and \"colour\" of items, and a row is of one of them; leave it out with --leave-out colour_club, and fit the model without it"
    );
    let both = Choices {
        user: vec!["club".into()],
        item: vec!["club".into()],
        ..Choices::default()
    };
    assert_eq!(
        refusal(both),
        "\"club\" is in --user and in --item; leave it in one of them"
    );
    let unknown = Choices {
        user: vec!["clubs".into()],
        ..Choices::default()
    };
    assert_eq!(
        refusal(unknown),
        "--user names \"clubs\", and there is [\"colour\", \"club\"]"
    );
}

#[test]
fn a_saved_workflow_that_was_not_exported_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("workflow.pkl"), "a pickle").unwrap();
    let message = import(folder.path(), &Choices::default())
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("run examples/merlin/export_workflow.py on it"),
        "{message}"
    );
}
