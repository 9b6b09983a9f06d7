//! Every field of a configuration at its extremes.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::{Value, json};

use super::super::DatasetConfig;
use crate::documents::places;
use crate::fit::plan;

/// A configuration that says something in every field.
fn whole() -> Value {
    let mut config: DatasetConfig =
        serde_saphyr::from_str(include_str!("../../../../examples/complete-journey/dataset.yaml")).unwrap();
    config.users.as_mut().unwrap().numeric.push("children".to_owned());
    config.items.numeric.push("weight".to_owned());
    let thresholds = [("item.brand".to_owned(), 3), ("user.home_store".to_owned(), 3)];
    config.features.frequency_thresholds.extend(thresholds);
    config.training.two_tower.ef_search = Some(64);
    config.windows.retrieval_step_days = Some(10);
    config.training.wide_deep.crosses = Some(vec![("age".to_owned(), "brand".to_owned())]);
    serde_json::to_value(config).unwrap()
}

/// What a field is set to, as YAML writes it.
fn extremes() -> Vec<String> {
    let numbers = [
        "0",
        "-1",
        "1",
        "4294967295",
        "4294967296",
        "9223372036854775807",
        "18446744073709551615",
        "-9223372036854775808",
        "0.0",
        "-0.0",
        "5e-324",
        "1.7976931348623157e308",
        "-1.7976931348623157e308",
        "1e39",
        ".nan",
        ".inf",
        "-.inf",
        "1e999",
    ];
    let texts = [
        "",
        " ",
        "\u{0}",
        "\u{feff}",
        "\"",
        "'; DROP TABLE items; --",
        "../../etc/passwd",
        "ü",
        "default",
        "user_id",
    ];
    let others = [
        "null",
        "true",
        "[]",
        "{}",
        "[1, 1]",
        "[0]",
        "[[]]",
        "2024-02-30",
        "'0000-01-01'",
        "'-262143-01-01'",
        "'+262142-12-31'",
        "'2024-02-29'",
    ];
    let numbers = numbers.into_iter().chain(others).map(str::to_owned);
    let texts = texts.into_iter().map(|text| json!(text).to_string());
    let long = json!("x".repeat(100_000)).to_string();
    let many = json!(vec![1; 10_000]).to_string();
    let twice = r#"["department", "department"]"#.to_owned();
    numbers.chain(texts).chain([long, many, twice]).collect()
}

/// Reads a configuration and makes of it what a run does before it looks at data.
fn use_it(yaml: &str) -> Result<(), String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), yaml).unwrap();
    let config = DatasetConfig::read(file.path()).map_err(|error| error.to_string())?;
    let windows = config.windows;
    let days = [
        windows.test_end(),
        windows.train_start(),
        windows.retrieval_start(),
    ];
    assert!(
        days.into_iter()
            .chain(windows.earlier_starts())
            .all(|day| (1700..2262).contains(&chrono::Datelike::year(&day)))
    );
    assert!(!windows.retrieval_steps().is_empty());
    assert!(!plan::workflow(&config).item.numeric.is_empty());
    Ok(())
}

#[test]
fn no_field_panics_at_its_extremes() {
    let whole = whole();
    use_it(&whole.to_string()).unwrap();
    let all = places(&whole);
    assert!(all.len() > 100, "{}", all.len());
    let mut accepted = 0;
    for place in &all {
        for extreme in extremes() {
            let mut config = whole.clone();
            *config.pointer_mut(place).unwrap() = json!("an extreme");
            let yaml = config.to_string().replace("\"an extreme\"", &extreme);
            let shown = &extreme[..extreme.len().min(40)];
            match catch_unwind(AssertUnwindSafe(|| use_it(&yaml))) {
                Ok(Ok(())) => accepted += 1,
                Ok(Err(message)) => {
                    assert!(!message.is_empty() && message.len() < 200_000, "{place}: {shown}")
                }
                Err(_) => panic!("{place} panics at {shown}"),
            }
        }
    }
    assert!(accepted > 100, "nearly everything is refused: {accepted}");
}

#[track_caller]
fn refuses(place: &str, value: Value, message: &str) {
    let mut config = whole();
    *config.pointer_mut(place).unwrap() = value;
    assert_eq!(use_it(&config.to_string()), Err(message.to_owned()));
}

#[test]
fn what_can_not_be_meant_is_refused_by_name() {
    refuses(
        "/windows/target_days",
        json!(4_294_967_295u32),
        "windows.target_days is 4294967295, but it must be from 1 to 3660",
    );
    refuses(
        "/windows/test_start",
        json!("9999-12-31"),
        "windows.test_start is 9999-12-31, but all windows must be between 1700-01-01 and 2262-01-01",
    );
    refuses(
        "/training/mlp/descent/epochs",
        json!(0),
        "training.mlp.descent.epochs is 0, but it must be from 1 to 10000",
    );
    refuses(
        "/training/dlrm/top/1",
        json!(0),
        "training.dlrm.top is 0, but it must be from 1 to 16384",
    );
    refuses(
        "/features/windows_days",
        json!([7, 30, 7]),
        "features.windows_days names 7 twice; once is enough",
    );
    refuses(
        "/items/categorical/1",
        json!("brand"),
        "items.categorical names brand twice; once is enough",
    );
    refuses(
        "/training/two_tower/index",
        json!("HNSW99999999999"),
        "training.two_tower.index is \"HNSW99999999999\", but the number 99999999999 can be 4096 at most",
    );
    refuses(
        "/transactions/user",
        json!(""),
        "transactions.user is \"\", but it must name a column",
    );
    let mut thresholds = whole()["features"]["frequency_thresholds"].clone();
    thresholds["item.brnad"] = json!(3);
    let mut config = whole();
    config["features"]["frequency_thresholds"] = thresholds;
    let message = use_it(&config.to_string()).unwrap_err();
    assert!(
        message.starts_with("features.frequency_thresholds names \"item.brnad\"; use \"default\" or one of"),
        "{message}"
    );
}

#[test]
fn the_usual_indexes_are_taken() {
    for index in [
        "Flat",
        "IVF65536,Flat",
        "IVF262144_HNSW32,PQ64x8",
        "OPQ64_128,IVF1024,PQ64x4fs",
        "HNSW32",
        "PCAR64,SQ8",
    ] {
        let mut config = whole();
        *config.pointer_mut("/training/two_tower/index").unwrap() = json!(index);
        assert_eq!(use_it(&config.to_string()), Ok(()));
    }
}

#[test]
fn columns_that_are_called_as_features_are_refused_by_name() {
    for (place, column, field, file) in [
        (
            "/users/numeric/0",
            "purchases",
            "users.numeric",
            "demographics.parquet",
        ),
        (
            "/users/categorical/0",
            "popular_brand",
            "users.categorical",
            "demographics.parquet",
        ),
        (
            "/users/categorical/0",
            "home_store",
            "users.categorical",
            "demographics.parquet",
        ),
        (
            "/items/numeric/0",
            "mean_price",
            "items.numeric",
            "products.parquet",
        ),
        (
            "/items/numeric/0",
            "count_30d_purchased",
            "items.numeric",
            "products.parquet",
        ),
        ("/items/text/0", "item_id", "items.text", "products.parquet"),
    ] {
        refuses(
            place,
            json!(column),
            &format!(
                "{field} names the column {column:?}, as a feature is called that is computed; give it another name in {file}"
            ),
        );
    }
    // What is computed of items is no matter to users, and a window that is not asked for to nobody.
    for (place, column) in [
        ("/users/numeric/0", "mean_price"),
        ("/items/numeric/0", "purchases"),
        ("/items/numeric/0", "count_31d_purchased"),
        ("/items/numeric/0", "Mean_Price"),
    ] {
        let mut config = whole();
        *config.pointer_mut(place).unwrap() = json!(column);
        assert_eq!(use_it(&config.to_string()), Ok(()));
    }
}
