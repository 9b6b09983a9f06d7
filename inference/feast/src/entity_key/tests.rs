use super::*;

const VECTORS: &str = include_str!("../../tests/samples/key_vectors.json");

fn vectors() -> serde_json::Value {
    serde_json::from_str(VECTORS).unwrap()
}

fn value_of(kind: &str, value: &serde_json::Value) -> KeyValue {
    match kind {
        "string_val" => KeyValue::String(value.as_str().unwrap().to_owned()),
        "int32_val" => KeyValue::Int32(value.as_i64().unwrap().try_into().unwrap()),
        "int64_val" => KeyValue::Int64(value.as_i64().unwrap()),
        "unix_timestamp_val" => KeyValue::UnixTimestamp(value.as_i64().unwrap()),
        "bytes_val" => KeyValue::Bytes(hex::decode(value.as_str().unwrap()).unwrap()),
        other => panic!("{other}"),
    }
}

/// The key of a vector: its join keys as they were given, and the key of them.
fn key_of(vector: &serde_json::Value) -> (Vec<String>, EntityKey) {
    let join_keys = vector["join_keys"].as_array().unwrap();
    let join_keys: Vec<String> = join_keys
        .iter()
        .map(|key| key.as_str().unwrap().to_owned())
        .collect();
    let values = vector["values"].as_array().unwrap().iter();
    let values = values.map(|value| value_of(value[0].as_str().unwrap(), &value[1]));
    let key = EntityKey::new(join_keys.iter().cloned().zip(values).collect()).unwrap();
    (join_keys, key)
}

fn layout(version: KeyVersion) -> KeyLayout {
    KeyLayout {
        version,
        project: "shop".to_owned(),
    }
}

#[test]
fn keys_have_the_bytes_that_feast_gives_them_and_are_read_back() {
    for vector in vectors()["entity_keys"].as_array().unwrap() {
        let (join_keys, key) = key_of(vector);
        for (version, name) in [(KeyVersion::V2, "v2"), (KeyVersion::V3, "v3")] {
            let bytes = hex::decode(vector[name].as_str().unwrap()).unwrap();
            assert_eq!(key.to_bytes(version), bytes, "{name} of {join_keys:?}");
            let layout = layout(version);
            let redis_key = layout.redis_key(&key);
            assert_eq!(redis_key, [bytes.as_slice(), b"shop"].concat());
            let join_keys: Vec<&str> = join_keys.iter().map(String::as_str).collect();
            assert_eq!(layout.parse(&join_keys, &redis_key), Ok(key.clone()));
        }
    }
}

#[test]
fn hash_fields_are_those_of_feast() {
    for (name, field) in vectors()["field_hash"].as_object().unwrap() {
        let (view, feature) = name.split_once(':').unwrap();
        assert_eq!(
            hex::encode(crate::feature_field(view, feature)),
            field.as_str().unwrap(),
            "{name}"
        );
    }
    assert_eq!(crate::time_field("customer_features"), "_ts:customer_features");
}

fn customer(id: &str) -> EntityKey {
    EntityKey::new(vec![("customer_id".to_owned(), KeyValue::String(id.to_owned()))]).unwrap()
}

#[test]
fn a_key_of_another_project_or_of_other_join_keys_is_told_apart() {
    for version in [KeyVersion::V2, KeyVersion::V3] {
        let ours = layout(version);
        let workshop = KeyLayout {
            project: "workshop".to_owned(),
            ..ours.clone()
        };
        let theirs = workshop.redis_key(&customer("7"));
        assert_eq!(ours.parse(&["customer_id"], &theirs), Err(NotThisKey::Project));
        let pair = ["customer_id", "article_id"];
        let redis_key = ours.redis_key(&customer("7"));
        assert_eq!(ours.parse(&["article_id"], &redis_key), Err(NotThisKey::JoinKeys));
        assert_eq!(ours.parse(&pair, &redis_key), Err(NotThisKey::JoinKeys));
    }
    assert_eq!(
        layout(KeyVersion::V2).parse(
            &["customer_id"],
            &layout(KeyVersion::V3).redis_key(&customer("7"))
        ),
        Err(NotThisKey::JoinKeys)
    );
}

#[test]
fn patterns_for_scans_let_no_byte_of_a_name_stand_for_others() {
    let layout = KeyLayout {
        version: KeyVersion::V3,
        project: "shop*".to_owned(),
    };
    // 42 bytes are `*` as a length.
    let name = "k".repeat(42);
    let pattern = layout.scan_pattern(&[&name]);
    let expected = [
        &[1, 0, 0, 0, 2, 0, 0, 0, b'\\', b'*', 0, 0, 0],
        name.as_bytes(),
        br"*shop\*",
    ]
    .concat();
    assert_eq!(pattern, expected);
}

#[test]
fn a_join_key_has_one_value() {
    let part = || ("a".to_owned(), KeyValue::Int64(1));
    assert_eq!(
        EntityKey::new(vec![part(), part()]),
        Err(EntityKeyError::Twice {
            join_key: "a".to_owned()
        })
    );
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_a_key_or_refused(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..80)) {
        for version in [KeyVersion::V2, KeyVersion::V3] {
            let layout = layout(version);
            let _ = layout.parse(&["a"], &bytes);
            let after_prefix = [prefix(version, &["a"]), bytes.clone(), b"shop".to_vec()].concat();
            if let Ok(key) = layout.parse(&["a"], &after_prefix) {
                assert_eq!(layout.redis_key(&key), after_prefix);
            }
        }
    }
}
