//! What becomes of cells, by role.

use std::sync::Arc;

use arrow::array::{
    BinaryArray, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, Float32Array, Int64Array,
    ListArray, StringViewArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{Int32Type, Int64Type as Int64};

use super::*;

fn text(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

fn doubles(values: &[f64]) -> ArrayRef {
    Arc::new(Float64Array::from(values.to_vec()))
}

#[track_caller]
fn becomes_text(column: ArrayRef, role: Role, wanted: &[Option<&str>]) {
    let found = convert(&column, role).unwrap();
    assert_eq!(found.as_string::<i32>().iter().collect::<Vec<_>>(), wanted);
}

#[track_caller]
fn becomes_numbers(column: ArrayRef, wanted: &[Option<f64>]) {
    let found = convert(&column, Role::Quantity).unwrap();
    assert_eq!(
        found.as_primitive::<Float64Type>().iter().collect::<Vec<_>>(),
        wanted
    );
}

#[track_caller]
fn becomes_time(column: ArrayRef, wanted: Option<&str>) {
    let found = convert(&column, Role::Time).unwrap();
    let shown = (!found.is_null(0)).then(|| shown(&found, 0));
    assert_eq!(shown.as_deref(), wanted);
}

#[track_caller]
fn refused(column: ArrayRef, role: Role, problem: Problem) {
    match convert(&column, role) {
        Err(Refusal::Cell { problem: found, .. }) => assert_eq!(found, problem),
        other => panic!("{other:?}"),
    }
}

#[test]
fn empty_cells_and_nan_are_null_in_every_role() {
    for missing in ["", "NaN", "nan"] {
        for role in [Role::Id, Role::Category, Role::Text, Role::Quantity, Role::Time] {
            assert_eq!(
                convert(&text(&[missing]), role).unwrap().null_count(),
                1,
                "{missing:?} as {role}"
            );
        }
    }
    for role in [Role::Id, Role::Category, Role::Text, Role::Quantity, Role::Time] {
        assert_eq!(
            convert(&doubles(&[f64::NAN]), role).unwrap().null_count(),
            1,
            "{role}"
        );
    }
    becomes_time(text(&["NaT"]), None);
    becomes_numbers(text(&["-nan", " NAN ", " "]), &[None, None, None]);
    becomes_text(
        Arc::new(Float32Array::from(vec![f32::NAN, 1.5])),
        Role::Category,
        &[None, Some("1.5")],
    );
}

#[test]
fn whole_floats_are_whole_numbers_as_ids_and_as_categories() {
    becomes_text(
        doubles(&[1025.0, f64::NAN, -3.0]),
        Role::Id,
        &[Some("1025"), None, Some("-3")],
    );
    becomes_text(doubles(&[1.0, 0.5]), Role::Category, &[Some("1"), Some("0.5")]);
    let decimals = Decimal128Array::from(vec![Some(102_500), None, Some(7)]);
    let decimals = decimals.with_precision_and_scale(20, 2).unwrap();
    becomes_text(Arc::new(decimals.slice(0, 2)), Role::Id, &[Some("1025"), None]);
    refused(Arc::new(decimals), Role::Id, Problem::FractionalId);
    refused(doubles(&[7.0, 7.5]), Role::Id, Problem::FractionalId);
    refused(doubles(&[f64::INFINITY]), Role::Id, Problem::LargeId);
}

#[test]
fn ids_that_floats_can_not_hold_are_refused() {
    refused(doubles(&[9_007_199_254_742_018.0]), Role::Id, Problem::LargeId);
    becomes_text(
        doubles(&[9_007_199_254_740_991.0]),
        Role::Id,
        &[Some("9007199254740991")],
    );
    refused(
        Arc::new(Float32Array::from(vec![16_777_216.0])),
        Role::Id,
        Problem::LargeId,
    );
    refused(text(&["9007199254742018.0"]), Role::Id, Problem::LargeId);
    for rounded in ["1.23457E+11", "1e+16", "-1.5e+20"] {
        refused(text(&[rounded]), Role::Id, Problem::RoundedId);
    }
    let whole = Int64Array::from(vec![9_007_199_254_742_018]);
    becomes_text(Arc::new(whole), Role::Id, &[Some("9007199254742018")]);
}

#[test]
fn ids_of_texts_stay_as_they_are() {
    let ids = [
        "0108775015",
        "12E5",
        "7e12",
        "A-1",
        " 5",
        "9007199254742018",
        "1.0",
        "None",
        "1.23E+x",
        "E+1",
    ];
    becomes_text(text(&ids), Role::Id, &ids.map(Some));
    let bytes = BinaryArray::from(vec![b"abc".as_slice()]);
    becomes_text(Arc::new(bytes), Role::Id, &[Some("abc")]);
    refused(
        Arc::new(BinaryArray::from(vec![b"\xff".as_slice()])),
        Role::Id,
        Problem::NotUtf8,
    );
    let dictionary: DictionaryArray<Int32Type> = ["a", "", "a"].into_iter().collect();
    becomes_text(Arc::new(dictionary), Role::Id, &[Some("a"), None, Some("a")]);
    let keys = arrow::array::Int32Array::from(vec![Some(0), Some(1), None]);
    let values: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None]));
    let dictionary = DictionaryArray::<Int32Type>::new(keys, values);
    becomes_text(Arc::new(dictionary), Role::Id, &[Some("a"), None, None]);
    becomes_text(Arc::new(StringViewArray::from(vec!["a"])), Role::Id, &[Some("a")]);
}

#[test]
fn a_price_that_no_sum_can_hold_is_refused() {
    convert(&text(&["1000000000000", "-3.5", ""]), Role::Price).unwrap();
    refused(text(&["1e13"]), Role::Price, Problem::LargePrice);
}

#[test]
fn quantities_are_finite_numbers_that_models_can_hold() {
    becomes_numbers(
        text(&["22.36", " 1e3", "-.5", "+5"]),
        &[Some(22.36), Some(1000.0), Some(-0.5), Some(5.0)],
    );
    becomes_numbers(Arc::new(Int64Array::from(vec![3])), &[Some(3.0)]);
    becomes_numbers(Arc::new(BooleanArray::from(vec![true])), &[Some(1.0)]);
    for (wrong, problem) in [
        ("22,36", Problem::Comma),
        ("1,234.56", Problem::Comma),
        ("None", Problem::NoNumber),
        ("12 EUR", Problem::NoNumber),
        ("1_000", Problem::NoNumber),
        ("1.8e308", Problem::TooLarge),
        ("1e39", Problem::TooLarge),
        ("-inf", Problem::TooLarge),
    ] {
        refused(text(&[wrong]), Role::Quantity, problem);
    }
    refused(
        doubles(&[1.0, f64::NEG_INFINITY]),
        Role::Quantity,
        Problem::TooLarge,
    );
    let days: ArrayRef = Arc::new(Date32Array::from(vec![1]));
    assert_eq!(
        convert(&days, Role::Quantity),
        Err(Refusal::Type(DataType::Date32))
    );
}

#[test]
fn times_are_dates_and_counts_since_1970_and_nothing_else() {
    becomes_time(text(&["2024-01-31"]), Some("2024-01-31T00:00:00"));
    becomes_time(text(&["2024-01-31 18:30:00+02:00"]), Some("2024-01-31T16:30:00"));
    becomes_time(Arc::new(Date32Array::from(vec![1])), Some("1970-01-02T00:00:00"));
    let instant = TimestampMicrosecondArray::from(vec![1_700_000_000_000_000]).with_timezone("+02:00");
    becomes_time(Arc::new(instant), Some("2023-11-14T22:13:20"));
    for count in [1.7e9, 1.7e12, 1.7e15, 1.7e18] {
        becomes_time(doubles(&[count]), Some("2023-11-14T22:13:20"));
        becomes_time(
            Arc::new(Int64Array::from(vec![count as i64])),
            Some("2023-11-14T22:13:20"),
        );
        becomes_time(text(&[&format!("{count}")]), Some("2023-11-14T22:13:20"));
    }
    for wrong in [
        "31/01/2024",
        "01.31.2024",
        "2024-02-30",
        "0000-00-00",
        "yesterday",
        "None",
    ] {
        refused(text(&[wrong]), Role::Time, Problem::NoTime);
    }
    for number in [
        "20240131",
        "2024013118",
        "202401311830",
        "20240131183000",
        "45292",
        "0",
        "-1",
        "inf",
    ] {
        refused(text(&[number]), Role::Time, Problem::NumberNoTime);
    }
    refused(text(&["9999-12-31"]), Role::Time, Problem::FarTime);
    refused(
        Arc::new(TimestampMicrosecondArray::from(vec![i64::MAX])),
        Role::Time,
        Problem::FarTime,
    );
    let singles: ArrayRef = Arc::new(Float32Array::from(vec![1.7e9]));
    assert_eq!(
        convert(&singles, Role::Time),
        Err(Refusal::Type(DataType::Float32))
    );
}

#[test]
fn columns_of_lists_are_refused_by_their_type() {
    let lists = ListArray::from_iter_primitive::<Int64, _, _>([Some([Some(1)])]);
    let column: ArrayRef = Arc::new(lists);
    for role in [Role::Id, Role::Category, Role::Text, Role::Quantity, Role::Time] {
        assert!(matches!(convert(&column, role), Err(Refusal::Type(_))), "{role}");
    }
}

#[test]
fn a_column_of_whole_floats_is_one_of_ids_that_a_program_took_for_numbers() {
    let spelling = |ids: &[&str]| {
        let mut spelling = Spelling::default();
        spelling.add(&StringArray::from_iter_values(ids));
        spelling.is_of_floats()
    };
    assert!(spelling(&["1025.0", "1026", "-7.00"]));
    assert!(!spelling(&["1025", "0108775015"]), "there is nothing to take off");
    assert!(!spelling(&["7.0", "7.1"]), "the points belong to the ids");
    assert!(!spelling(&["7.0", "guest"]));
}

#[test]
fn long_values_are_shown_in_part() {
    let long = "ä".repeat(100);
    let Err(Refusal::Cell { value, .. }) = convert(&text(&[&long]), Role::Quantity) else {
        panic!("a number");
    };
    assert_eq!(value, format!("{}...", "ä".repeat(SHOWN)));
}
