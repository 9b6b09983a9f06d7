//! What Feast 0.67 wrote into a Redis, read as Feast itself said it: every value and every event time.

#![expect(clippy::unwrap_used, reason = "what is wrong ends a test")]

use std::collections::BTreeMap;

use gondola_feast::views::IdError;
use gondola_feast::*;
use gondola_request::{RawRow, Value};
use serde_json::Value as Json;

const REGISTRY: &[u8] = include_bytes!("samples/registry.pb");
const DUMP: &str = include_str!("samples/redis_dump.json");
const EXPECTED: &str = include_str!("samples/expected_redis.json");

type Hash = BTreeMap<Vec<u8>, Vec<u8>>;

fn json(text: &str) -> Json {
    serde_json::from_str(text).unwrap()
}

/// The store: hashes by key.
fn store() -> BTreeMap<Vec<u8>, Hash> {
    let keys = json(DUMP);
    let keys = keys.as_array().unwrap().iter().map(|entry| {
        let fields = entry["fields"].as_object().unwrap().iter();
        let fields = fields.map(|(field, value)| {
            (
                hex::decode(field).unwrap(),
                hex::decode(value.as_str().unwrap()).unwrap(),
            )
        });
        (
            hex::decode(entry["key"].as_str().unwrap()).unwrap(),
            fields.collect(),
        )
    });
    keys.collect()
}

fn views_of(names: &[&str]) -> Result<EntityViews, ViewsError> {
    let registry = Registry::read(REGISTRY).unwrap();
    registry.project("shop").unwrap().views_of(names, Versioning::Off)
}

fn layout() -> KeyLayout {
    KeyLayout {
        version: KeyVersion::V3,
        project: "shop".to_owned(),
    }
}

fn fields(store: &BTreeMap<Vec<u8>, Hash>, views: &EntityViews, id: &str) -> Vec<Option<Vec<u8>>> {
    let key = layout().redis_key(&views.entity_key(id).unwrap());
    let hash = store.get(&key);
    let fields = views.hash_fields().into_iter();
    fields.map(|field| hash?.get(&field).cloned()).collect()
}

/// An id of the samples, which are texts or numbers.
fn id_of(id: &Json) -> String {
    id.as_str().map_or_else(|| id.to_string(), str::to_owned)
}

/// What models see of a value that Feast gave out.
fn seen(value: &Json) -> Value {
    match value {
        Json::Null => Value::Null,
        Json::Bool(truth) => Value::Number((*truth).into()),
        Json::Number(number) => Value::Number(number.as_f64().unwrap()),
        Json::String(text) => Value::Text(text.clone()),
        list => panic!("{list} is for nobody"),
    }
}

/// Numbers may differ in the last bit, which `serde_json` does not always read as it was written.
#[track_caller]
fn assert_same(found: &Value, expected: &Value, what: &str) {
    match (found, expected) {
        (Value::Number(found), Value::Number(expected)) => {
            assert!(
                found.to_bits().abs_diff(expected.to_bits()) <= 1,
                "{what}: {found}, {expected}"
            );
        }
        _ => assert_eq!(found, expected, "{what}"),
    }
}

/// Compares all rows of a view with what Feast said of them. Gives the event times back.
#[track_caller]
fn check(view: &str, key: &str, said: &Json) -> Vec<Option<EventTime>> {
    let store = store();
    let views = views_of(&[view]).unwrap();
    let ids = said[key].as_array().unwrap();
    let rows = ids.iter().enumerate().map(|(place, id)| {
        let id = id_of(id);
        let found = views.read(&id, &fields(&store, &views, &id)).unwrap();
        let Found::Row { row, newest } = found else {
            return None;
        };
        for column in &views.columns {
            let expected = match column.value_type.column_kind() {
                Some(_) => seen(&said[&column.name][place]),
                None => Value::Null,
            };
            assert_same(
                row.get(&column.name),
                &expected,
                &format!("{} of {id}", column.name),
            );
            let seconds = said[format!("{}__ts", column.name)][place].as_i64().unwrap();
            assert_eq!(newest.unwrap().seconds(), seconds);
        }
        Some(newest.unwrap())
    });
    rows.collect()
}

#[test]
fn customers_are_as_feast_says_and_one_is_not_there() {
    let times = check("customer_features", "customer_id", &json(EXPECTED)["cust_dict"]);
    let first = EventTime::new(1_793_534_400, 123_456_000).unwrap();
    assert_eq!(times[0], Some(first));
    // `missing`: Feast says that its values are present, and null.
    assert_eq!(times.len(), 7);
    assert_eq!(times[6], None);
    assert!(times[..6].iter().all(Option::is_some));
}

#[test]
fn articles_are_as_feast_says_and_one_is_not_there() {
    let times = check("article_features", "article_id", &json(EXPECTED)["item_dict"]);
    assert_eq!(times.last(), Some(&None));
    assert!(times[..times.len() - 1].iter().all(Option::is_some));
}

/// A value as protobuf's JSON has it.
fn proto_json(value: &FeastValue) -> Json {
    use serde_json::json;
    match value.kind.as_ref() {
        None => json!({}),
        Some(Kind::Int64(number)) => json!({ "int64_val": number.to_string() }),
        Some(Kind::String(text)) => json!({ "string_val": text }),
        Some(Kind::Double(number)) => json!({ "double_val": number }),
        Some(Kind::Bool(truth)) => json!({ "bool_val": truth }),
        Some(Kind::Int64List(list)) if list.val.is_empty() => json!({ "int64_list_val": {} }),
        Some(Kind::Int64List(list)) => {
            let texts: Vec<String> = list.val.iter().map(i64::to_string).collect();
            json!({ "int64_list_val": { "val": texts } })
        }
        Some(Kind::FloatList(list)) => {
            // Singles as protobuf writes them: with the digits of a single.
            let numbers: Vec<f64> = list
                .val
                .iter()
                .map(|number| number.to_string().parse().unwrap())
                .collect();
            json!({ "float_list_val": { "val": numbers } })
        }
        Some(other) => panic!("{other:?} is in no sample"),
    }
}

#[test]
fn lists_and_nulls_are_the_messages_that_feast_answers_with() {
    let store = store();
    let views = views_of(&["customer_features"]).unwrap();
    let said = &json(EXPECTED)["cust_proto_json"];
    let names = said["metadata"]["feature_names"]["val"].as_array().unwrap();
    for (name, result) in names.iter().zip(said["results"].as_array().unwrap()).skip(1) {
        let column = views
            .columns
            .iter()
            .find(|column| column.name == name.as_str().unwrap())
            .unwrap();
        for (place, expected) in result["values"].as_array().unwrap().iter().enumerate() {
            let id = id_of(&json(EXPECTED)["cust_dict"]["customer_id"][place]);
            let key = layout().redis_key(&views.entity_key(&id).unwrap());
            let bytes = store.get(&key).and_then(|hash| hash.get(column.field.as_slice()));
            let value = FeastValue::read(bytes.map_or(&[][..], Vec::as_slice)).unwrap();
            assert_eq!(&proto_json(&value), expected, "{name} of {id}");
            assert_eq!(Some(&value.write()), bytes.or(Some(&Vec::new())));
        }
    }
}

#[test]
fn a_scan_finds_the_articles_and_nobody_else() {
    let store = store();
    let views = views_of(&["article_features"]).unwrap();
    let ids: Vec<String> = store
        .keys()
        .filter_map(|key| layout().parse(&["article_id"], key).ok())
        .map(|entity| views.id_of(&entity).unwrap())
        .collect();
    assert_eq!(ids.len(), 12);
    assert!(ids.contains(&"108775015".to_owned()));
    assert!(store.len() > 24, "customers and pairs are there too");
}

#[test]
fn a_row_that_is_written_again_has_the_bytes_that_feast_wrote() {
    let store = store();
    let views = views_of(&["customer_features"]).unwrap();
    let read = fields(&store, &views, "cust1_0001");
    let Found::Row { row, newest } = views.read("cust1_0001", &read).unwrap() else {
        panic!("nothing")
    };
    let written = views
        .fields_of("cust1_0001", &row, newest.unwrap(), AbsentColumns::AreNull)
        .unwrap();
    // All but its two lists, which are not the data plane's to write.
    assert_eq!(written.len(), views.columns.len() + 1 - 2);
    for (field, value) in written {
        let place = views
            .hash_fields()
            .iter()
            .position(|asked| *asked == field)
            .unwrap();
        assert_eq!(read[place], Some(value), "{}", hex::encode(field));
    }
}

#[track_caller]
fn refused(names: &[&str], message: &str) {
    let error = views_of(names).unwrap_err().to_string();
    assert!(error.starts_with(message), "{error}");
}

#[test]
fn views_that_can_not_be_read_together_are_refused_with_the_way_out() {
    refused(&[], "no feature view is named");
    refused(
        &["custmer"],
        "project shop has no feature view custmer; it has article_features, cust_article, customer_features",
    );
    refused(
        &["cust_article"],
        "feature view cust_article has join keys customer_id, article_id, and needs one alone",
    );
    refused(
        &["customer_features", "article_features"],
        "feature view article_features has join key article_id, and customer_features has customer_id",
    );
    refused(
        &["customer_features", "customer_features"],
        "feature age is in feature view customer_features and in customer_features",
    );
    refused(
        &["customer_features@v1"],
        "customer_features@v1 names a version, and versions are off; name customer_features alone",
    );
}

#[test]
fn another_registry_is_refused() {
    let registry = Registry::read(REGISTRY).unwrap();
    assert_eq!(
        registry.project("web").unwrap_err().to_string(),
        "the registry has no project web; it has shop"
    );
    let empty = Registry::read(&[]).unwrap();
    assert_eq!(
        empty.project("web").unwrap_err().to_string(),
        "the registry has no project web; it has none"
    );
    let error = Registry::read(b"project: shop").unwrap_err().to_string();
    assert!(
        error.starts_with("not Feast's registry; give the path"),
        "{error}"
    );
    let error = Registry::read(&vec![0; MAX_REGISTRY_BYTES + 1]).unwrap_err();
    assert!(matches!(error, RegistryError::TooLarge { .. }));
}

#[test]
fn ids_of_numbers_are_written_as_numbers_are() {
    let views = views_of(&["article_features"]).unwrap();
    assert_eq!(views.key_type, KeyType::Int64);
    for id in ["0108775015", "+7", "7.0", "x", "", "9223372036854775808"] {
        assert!(
            matches!(views.entity_key(id), Err(IdError::NotWhole { .. })),
            "{id}"
        );
    }
    assert_eq!(
        views.entity_key("07").unwrap_err().to_string(),
        "the id 07 is not a whole number as INT64 writes it, which join key article_id is in Feast"
    );
}

#[test]
fn what_a_bundle_needs_is_compared_with_what_there_is() {
    let views = views_of(&["customer_features"]).unwrap();
    let number = ColumnKind::Number;
    let text = ColumnKind::Text;
    let fine = [
        ("age", number),
        ("age", text),
        ("club", text),
        ("avg_price", number),
        ("fn", number),
    ];
    assert_eq!(compare(&fine, &views), Ok(()));
    let wrong = [
        ("club", number),
        ("fn", text),
        ("emb", number),
        ("postcode", text),
        ("age", number),
    ];
    let messages: Vec<String> = compare(&wrong, &views)
        .unwrap_err()
        .iter()
        .map(Mismatch::to_string)
        .collect();
    assert_eq!(
        messages,
        [
            "column club has numbers in the bundle and STRING in feature view customer_features; declare it as Int64 or Float64 in Feast, or train on what Feast has",
            "column fn has texts in the bundle and BOOL in feature view customer_features; declare it as String in Feast, or train on what Feast has",
            "column emb has numbers in the bundle and FLOAT_LIST in feature view customer_features; declare it as Int64 or Float64 in Feast, or train on what Feast has",
            "column postcode, of which the bundle has texts, is in none of the feature views customer_features; add the view that has it, or train without it",
        ]
    );
}

#[test]
fn nothing_is_told_from_nulls_alone() {
    let views = views_of(&["customer_features"]).unwrap();
    let mut values: Vec<Option<Vec<u8>>> = vec![None; views.hash_fields().len()];
    assert_eq!(views.read("7", &values).unwrap(), Found::Nothing);
    values[0] = Some(Vec::new());
    let nulls = Found::Row {
        row: RawRow::default(),
        newest: None,
    };
    assert_eq!(views.read("7", &values).unwrap(), nulls);
    assert!(matches!(
        views.read("7", &values[1..]),
        Err(ReadRowError::Fields { asked: 7, found: 6 })
    ));
}

/// An error and its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[track_caller]
fn unreadable(column: &str, bytes: Vec<u8>, message: &str) {
    let views = views_of(&["customer_features"]).unwrap();
    let mut values = vec![None; views.hash_fields().len()];
    let place = views.columns.iter().position(|there| there.name == column);
    values[place.unwrap_or(views.columns.len())] = Some(bytes);
    let error = chain(&views.read("cust1_0001", &values).unwrap_err());
    assert!(error.starts_with(message), "{error}");
}

#[test]
fn a_value_that_can_not_be_read_is_named_by_view_column_and_entity() {
    let at = |column: &str, message: &str| {
        format!("feature {column} of feature view customer_features for cust1_0001: {message}")
    };
    unreadable(
        "club",
        vec![0; MAX_VALUE_BYTES + 1],
        &at("club", "the value has 1048577 bytes, and may have 1048576"),
    );
    unreadable("club", vec![0x12, 9, 1], &at("club", "not a feast.types.Value: "));
    unreadable("age", vec![0xe0, 3, 1], &at("age", "a value of kind 60 of"));
    unreadable(
        "age",
        FeastValue::from(Kind::String("7".to_owned())).write(),
        &at(
            "age",
            "a value of type STRING is stored, and the registry declares INT64",
        ),
    );
    unreadable(
        "age",
        FeastValue::from(Kind::Int64(1 << 60)).write(),
        &at("age", "the whole number 1152921504606846976 is beyond"),
    );
    unreadable(
        "_ts",
        vec![0x10, 0xff, 0xff, 0xff, 0xff, 7],
        &at("_ts", "2147483647 nanoseconds"),
    );
}

#[test]
fn a_row_with_values_that_feast_does_not_declare_is_not_written() {
    let views = views_of(&["customer_features"]).unwrap();
    let time = EventTime::new(1, 0).unwrap();
    let error = |row: RawRow| chain(&views.fields_of("7", &row, time, AbsentColumns::Stay).unwrap_err());
    assert_eq!(
        error(RawRow::from([("age", Value::Number(1.5))])),
        "feature age of feature view customer_features for 7: the number 1.5 is not a whole number that INT64 can hold, as Feast's \
         registry declares it"
    );
    assert_eq!(
        error(RawRow::from([("shoe_size", Value::Number(43.0))])),
        "shoe_size is a column of none of the feature views of customer_id; leave it out, or add it to a view in Feast"
    );
    let stays = views
        .fields_of("7", &RawRow::default(), time, AbsentColumns::Stay)
        .unwrap();
    assert_eq!(stays, Vec::new());
}

#[test]
fn columns_that_nobody_needs_are_not_fetched() {
    let views = views_of(&["customer_features"]).unwrap().only(&["club", "age"]);
    assert_eq!(views.hash_fields().len(), 3);
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_a_registry_or_refused(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300), at in 0_usize..4_000) {
        let _ = Registry::read(&bytes);
        let mut damaged = REGISTRY.to_vec();
        let end = (at + bytes.len()).min(damaged.len());
        damaged[at..end].copy_from_slice(&bytes[..end - at]);
        if let Ok(registry) = Registry::read(&damaged)
            && let Ok(project) = registry.project("shop") {
            for versioning in [Versioning::Off, Versioning::On] {
                let _ = project.views_of(&["customer_features"], versioning);
                let _ = project.views_of(&["customer_features@v0"], versioning);
            }
        }
    }
}
