//! What Feast keeps: values, event times, keys, registries and connection strings.

use gondola_feast::{
    Connection, EventTime, FeastValue, KeyLayout, KeyVersion, Registry, StoreSettings, Versioning,
};

/// Reads the bytes as each of them. What can be read is written and read as the same.
pub fn read_feast(bytes: &[u8]) {
    read_value(bytes);
    read_key(bytes);
    read_registry(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = Connection::check(&StoreSettings {
            connection_string: text.to_owned(),
            ..StoreSettings::default()
        });
    }
}

fn read_value(bytes: &[u8]) {
    if let Ok(value) = FeastValue::read(bytes) {
        let _ = value.to_value();
        let written = value.write();
        // NaN is not equal to itself, so that bytes are compared.
        let again = FeastValue::read(&written).expect("what is written can be read");
        assert_eq!(again.write(), written);
    }
    if let Ok(time) = EventTime::decode(bytes) {
        assert_eq!(EventTime::decode(&time.encode()).expect("what is written can be read"), time);
    }
}

fn read_key(bytes: &[u8]) {
    for version in [KeyVersion::V2, KeyVersion::V3] {
        let layout = KeyLayout {
            version,
            project: "shop".to_owned(),
        };
        for join_keys in [&["article_id"][..], &["customer_id", "article_id"]] {
            if let Ok(key) = layout.parse(join_keys, bytes) {
                assert_eq!(layout.redis_key(&key), bytes);
            }
        }
    }
}

fn read_registry(bytes: &[u8]) {
    let Ok(registry) = Registry::read(bytes) else {
        return;
    };
    let Ok(project) = registry.project("shop") else {
        return;
    };
    let names: Vec<&str> = project.views().keys().map(String::as_str).collect();
    for name in &names {
        for versioning in [Versioning::Off, Versioning::On] {
            let _ = project.views_of(&[name], versioning);
            let _ = project.views_of(&[&format!("{name}@v0")], versioning);
        }
    }
    let _ = project.views_of(&names, Versioning::On);
}
